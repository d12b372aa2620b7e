//! Stabilization: how far recent recommendations agree, how far back a scale-in looks for them, and where it would be taken
//! back at once.

use super::decision::StepName;
use super::demand::{Demand, Fitness, Ground};
use super::memory::Memory;
use super::policy::{Compat, Policy};
use super::reason::Reason;
use super::trail::Trail;
use crate::number::count_of;
use crate::time::{Span, Time};

/// Evaluations may be missed this many times before the scale-in window starts anew.
pub(super) const MISSED_EVALUATIONS: u64 = 3;
/// The span in which reversals are counted.
pub(super) const FLAPPING_SPAN: Span = Span::from_seconds(1800);
/// So many reversals are flapping; each further one widens the scale-in window again.
pub(super) const FLAPPING_REVERSALS: u32 = 4;
/// The scale-in window is never widened further.
const WIDEST: u64 = 4;

/// The present count, moved as far as the recent recommendations agree. Works on the base.
pub(super) fn stabilize(ground: &Ground<'_>, demand: &Demand, memory: &mut Memory, trail: &mut Trail) -> u32 {
    let (policy, base, now) = (ground.policy, ground.base, ground.now);
    let born = memory.born == Some(now);
    let hpa = policy.compat == Compat::Hpa;
    // A window that begins, or that has a gap, begins with the present count: what was wanted before is not known.
    let gap = policy.polling_interval.times(MISSED_EVALUATIONS);
    let interrupted = memory.last_recommendation.is_none_or(|last| now.since(last) > gap);
    if born {
        memory.scale_up.push(base, now, ground.keep);
    }
    if demand.leading != Fitness::None {
        memory.scale_up.push(demand.replicas, now, ground.keep);
    }
    if if hpa { born } else { interrupted && demand.leading == Fitness::All } {
        memory.scale_down.push(base, now, ground.keep);
    }
    if demand.leading == Fitness::All {
        memory.scale_down.push(demand.replicas, now, ground.keep);
        memory.last_recommendation = Some(now);
    }

    let wanted = demand.replicas;
    let least = memory.scale_up.over(policy.scale_up.window, now).map_or(wanted, |least| least.min(wanted));
    let most = memory.scale_down.over(ground.scale_down_window, now).map_or(wanted, |most| most.max(wanted));
    let stabilized = base.max(least).min(most);
    let (reason, message) = if stabilized == wanted {
        (Reason::ReadyForNewScale, format!("recent recommendations agree with {wanted}"))
    } else if wanted >= base {
        let window = policy.scale_up.window;
        (Reason::ScaleUpStabilized, format!("the lowest recommendation of the last {window} was {least}"))
    } else {
        let window = ground.scale_down_window;
        (Reason::ScaleDownStabilized, format!("the highest recommendation of the last {window} was {most}"))
    };
    let window = ground.scale_down_window;
    let (reason, message) = if wanted >= base {
        (reason, message)
    } else if let Some(unknown) = memory.unknown_past(window, now) {
        (Reason::HistoryUnknown, format!("{message}; {unknown}"))
    } else if let Some(known) = memory.known_past(window, now) {
        (reason, format!("{message}; {known}"))
    } else {
        (reason, message)
    };
    trail.note(StepName::Stabilization, wanted, stabilized, reason, message);
    stabilized
}

/// Ends a scale-in where a signal would be back over its scale-out edge. Works on the base.
pub(super) fn look_ahead(ground: &Ground<'_>, demand: &Demand, stabilized: u32, trail: &mut Trail) -> u32 {
    let base = ground.base;
    let Some((safe, name)) = demand.safe.as_ref().filter(|(safe, _)| *safe > stabilized) else {
        return stabilized;
    };
    if stabilized >= base || ground.policy.compat == Compat::Hpa {
        return stabilized;
    }
    let after = base.min(*safe);
    let then = if after < base { "the step ends at" } else { "the count stays" };
    let message =
        format!("{name} would be back over its scale-out edge below {safe} replicas: {then} {after}");
    trail.note(StepName::LookAhead, stabilized, after, Reason::AnticipatedFlapping, message);
    after
}

/// The reversals of the last while, how many, and how far back a scale-in looks for them.
pub(super) fn flapping(policy: &Policy, memory: &Memory, now: Time) -> (Vec<Time>, u32, Span) {
    let turns = memory.changes.turns(FLAPPING_SPAN, now);
    let reversals = count_of(turns.len());
    let widened = widened(policy, reversals);
    (turns, reversals, widened + policy.scale_down_delay())
}

/// How long past recommendations and needs are kept.
pub(super) fn kept(policy: &Policy) -> Span {
    (widest(policy) + policy.scale_down_delay()).max(policy.scale_up.window)
}

/// The scale-in window, doubled for flapping and again for every two further reversals, up to four times. It relaxes by
/// itself as the reversals pass out of sight.
fn widened(policy: &Policy, reversals: u32) -> Span {
    if reversals < FLAPPING_REVERSALS || policy.compat == Compat::Hpa {
        return policy.scale_down.window;
    }
    let doublings = 1 + (reversals - FLAPPING_REVERSALS) / 2;
    widened_from(policy).times(1_u64.checked_shl(doublings).unwrap_or(WIDEST).min(WIDEST))
}

/// The scale-in window at its widest.
pub(super) fn widest(policy: &Policy) -> Span {
    widened_from(policy).times(WIDEST)
}

/// A window of nothing is widened too: from the time between two evaluations.
fn widened_from(policy: &Policy) -> Span {
    policy.scale_down.window.max(policy.polling_interval)
}
