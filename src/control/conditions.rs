//! What status shows as conditions.

use super::decision::{Condition, ConditionStatus, ConditionType, SignalReport};
use super::demand::{Demand, Fitness, percent};
use super::guard::{GuardReport, GuardState};
use super::limits::Limits;
use super::observation::{TargetFault, TargetFaultKind};
use super::overwritten::Contest;
use super::policy::Policy;
use super::reason::Reason;
use super::scalability::significant;
use super::settle::{Orders, Outcome};
use super::slo::{self, SloReport};
use crate::api::Role;
use crate::capacity::Counts;
use crate::time::Span;

use ConditionStatus::{False, True};
use ConditionType::{
    AbleToScale, BudgetInfeasible, Flapping, Guarded, HeadroomSufficient, PodsFailing, Ready,
    ReplicasOverwritten, RolloutStalled, ScalingActive, ScalingLimited,
};

/// What the conditions are made of.
pub(super) struct Seen<'a> {
    pub(super) policy: &'a Policy,
    pub(super) counts: &'a Counts,
    /// Pods that exist, in whatever state.
    pub(super) pods: usize,
    pub(super) spec_replicas: u32,
    pub(super) demand: &'a Demand,
    pub(super) guards: &'a [GuardReport],
    /// What the error budget does.
    pub(super) slo: Option<&'a SloReport>,
    /// Where the bottleneck is, if something could tell.
    pub(super) bottleneck: Option<Condition>,
    /// The count after stabilization, headroom left out.
    pub(super) stabilized: u32,
    /// Why a scale-in waits for the time before memory began to pass.
    pub(super) unknown_past: Option<String>,
    pub(super) limits: &'a Limits,
    /// Whether the scalability ceiling that is fitted has been earned.
    pub(super) scalability: Option<Condition>,
    pub(super) outcome: &'a Outcome,
    pub(super) orders: &'a Orders,
    /// Too many reversals, and the scale-in window that follows from them.
    pub(super) reversals: Option<(u32, Span)>,
    /// Pods that were asked for and are no longer waited for.
    pub(super) missing: u32,
    /// Not Ready for this long, a pod is failing.
    pub(super) deadline: Span,
    /// A rollout makes no progress.
    pub(super) stalled: bool,
    /// A count that others insist on.
    pub(super) contest: Option<Contest>,
    /// Annotations that could not be read.
    pub(super) unreadable: Option<&'a str>,
}

/// Conditions of a policy whose workload cannot be seen.
pub(super) fn unseen(fault: &TargetFault) -> Vec<Condition> {
    let reason = Reason::FailedGetScale;
    let not_able = condition(AbleToScale, False, reason, fault.message.clone());
    let status = if fault.kind == TargetFaultKind::Unavailable { ConditionStatus::Unknown } else { False };
    let unknown = |kind| condition(kind, ConditionStatus::Unknown, reason, fault.message.clone());
    let ready = condition(Ready, status, reason, fault.message.clone());
    vec![not_able, ready, unknown(ScalingActive), unknown(ScalingLimited)]
}

/// Conditions of a policy whose workload is seen, sorted by type.
pub(super) fn seen(seen: &Seen<'_>) -> Vec<Condition> {
    let able = able_to_scale(seen);
    let active = scaling_active(seen);
    let infeasible = infeasible(seen);
    let guarded = guarded(seen.guards);
    let ready = ready(seen, &able, &active, infeasible.as_ref(), guarded.as_ref());
    let mut conditions = vec![able];
    conditions.extend(seen.bottleneck.clone());
    conditions.extend(infeasible);
    conditions.extend(seen.slo.map(slo::condition));
    if let Some((reversals, window)) = seen.reversals {
        let message = format!(
            "the count changed direction {reversals} times in 30 minutes: nothing is removed before {window} of calm"
        );
        conditions.push(condition(Flapping, True, Reason::TooManyReversals, message));
    }
    conditions.extend(guarded);
    conditions.extend(headroom_sufficient(seen));
    conditions.extend(pods_failing(seen));
    conditions.push(ready);
    conditions.extend(overwritten(seen));
    conditions.extend(rollout_stalled(seen));
    conditions.extend(seen.scalability.clone());
    conditions.extend([active, scaling_limited(seen)]);
    conditions
}

/// What the guards do; one that acts comes before one that cannot see.
fn guarded(guards: &[GuardReport]) -> Option<Condition> {
    if guards.is_empty() {
        return None;
    }
    let sentences = |of: &dyn Fn(&&GuardReport) -> bool| -> Option<String> {
        let sentences: Vec<_> = guards.iter().filter(of).map(|guard| guard.message.as_str()).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    };
    let acting = |guard: &&GuardReport| guard.state != GuardState::Inactive;
    if let Some(message) = sentences(&acting) {
        let holds = guards.iter().filter(acting).any(|guard| guard.state != GuardState::Expired);
        let reason = if holds { Reason::GuardActive } else { Reason::GuardExpired };
        return Some(condition(Guarded, True, reason, message));
    }
    let unfit = guards.iter().filter(|guard| guard.signal != crate::signal::SignalState::Fresh);
    let unfit: Vec<_> = unfit.map(|guard| format!("{}: {}", guard.message, guard.fault)).collect();
    if !unfit.is_empty() {
        return Some(condition(Guarded, ConditionStatus::Unknown, Reason::GuardUnfit, unfit.join("; ")));
    }
    let message = sentences(&|_| true).unwrap_or_default();
    Some(condition(Guarded, False, Reason::NoGuardActive, message))
}

/// Losses scatter: so many times what is allowed is no scatter.
const CLEARLY_TOO_MUCH: f64 = 2.0;

/// Whether headroom carries what load does while pods start, by the signal that it carries worst; none before enough of any
/// was seen.
fn headroom_sufficient(seen: &Seen<'_>) -> Option<Condition> {
    let learnt = |signal: &'_ SignalReport| Some((signal.name.clone(), signal.headroom?));
    let worst = seen.demand.signals.iter().filter_map(learnt).max_by(|(_, one), (_, other)| {
        (one.unserved / one.allowed).total_cmp(&(other.unserved / other.allowed))
    });
    let (name, headroom) = worst?;
    let hours = headroom.observed.rounded_seconds() / 3600;
    let (unserved, allowed) = (small_percent(headroom.unserved), small_percent(headroom.allowed));
    let extra = percent((headroom.share * 100.0).round() / 100.0);
    let declared = seen.policy.headroom_factor - 1.0;
    let (status, reason, message) = if headroom.out_of_reach
        || headroom.unserved > CLEARLY_TOO_MUCH * headroom.allowed
    {
        let message = format!(
            "{name} rises faster than pods start: with {extra} headroom {unserved} of the load would have gone unserved, \
             {allowed} may (seen for {hours} h); shorten the start-up time, raise minReplicas before known peaks, or shed load"
        );
        (False, Reason::LoadOutrunsPods, message)
    } else if !headroom.added && declared < headroom.share {
        let message = format!(
            "{name} takes {extra} headroom for what it does while pods start, and {} is declared (seen for {hours} h): write \
             headroom.calibrated.enforcement: Enforce, or lower the target by {}",
            percent(declared),
            percent(((headroom.share - declared) / (1.0 + headroom.share) * 100.0).ceil() / 100.0)
        );
        (False, Reason::HeadroomTooSmall, message)
    } else {
        let message = format!(
            "with {extra} headroom, learnt over {hours} h of {name}, {unserved} of the load goes unserved while pods start; \
             {allowed} may"
        );
        (True, Reason::HeadroomCovers, message)
    };
    Some(condition(HeadroomSufficient, status, reason, message))
}

/// A share as a percentage with three significant digits.
fn small_percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0))
}

fn pods_failing(seen: &Seen<'_>) -> Option<Condition> {
    let pods = |count: u32| if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") };
    let deadline = seen.deadline;
    if seen.counts.failing > 0 {
        let message = format!(
            "{} not Ready after {deadline}: nothing waits for them and they count as no capacity, but as connections until \
             they are gone; look at their events and logs",
            pods(seen.counts.failing)
        );
        return Some(condition(PodsFailing, True, Reason::PodsNotReady, message));
    }
    (seen.missing > 0).then(|| {
        let message = format!(
            "{} asked for more than {deadline} ago do not exist: nothing waits for them; look for a quota, an admission \
             webhook or the workload's own events",
            pods(seen.missing)
        );
        condition(PodsFailing, True, Reason::PodsMissing, message)
    })
}

fn overwritten(seen: &Seen<'_>) -> Option<Condition> {
    let contest = seen.contest?;
    let message = format!(
        "somebody else set replicas to {} after it was corrected: the larger count is kept until {}, then it is corrected \
         once more; remove replicas from what is applied, or pause this policy",
        contest.theirs,
        super::moment(contest.until)
    );
    Some(condition(ReplicasOverwritten, True, Reason::ReplicasOverwritten, message))
}

fn rollout_stalled(seen: &Seen<'_>) -> Option<Condition> {
    seen.stalled.then(|| {
        let message =
            "a rollout is under way and makes no progress: nothing waits for it; finish it or undo it";
        condition(RolloutStalled, True, Reason::RolloutStalled, message.to_owned())
    })
}

fn condition(kind: ConditionType, status: ConditionStatus, reason: Reason, message: String) -> Condition {
    Condition { kind, status, reason, message }
}

fn able_to_scale(seen: &Seen<'_>) -> Condition {
    if let Some(rival) = &seen.orders.rival {
        let message = format!(
            "{} {} scales this workload too: nothing is written while it does; remove one of the two, or write mode: DryRun",
            rival.kind, rival.name
        );
        return condition(AbleToScale, False, Reason::RivalAutoscaler, message);
    }
    if seen.orders.dry_run {
        let message = "mode DryRun: decisions are published, nothing is written".to_owned();
        return condition(AbleToScale, False, Reason::DryRun, message);
    }
    let wanted = seen.demand.replicas;
    let (reason, message) = if seen.stabilized == wanted {
        (Reason::ReadyForNewScale, "recent recommendations agree with the newest")
    } else if seen.stabilized < wanted {
        (
            Reason::ScaleUpStabilized,
            "recent recommendations were lower than the newest: waiting for them to agree",
        )
    } else {
        (
            Reason::ScaleDownStabilized,
            "recent recommendations were higher than the newest: waiting for them to agree",
        )
    };
    match &seen.unknown_past {
        Some(unknown) if reason == Reason::ScaleDownStabilized => {
            condition(AbleToScale, True, Reason::HistoryUnknown, unknown.clone())
        }
        _ => condition(AbleToScale, True, reason, message.to_owned()),
    }
}

fn scaling_active(seen: &Seen<'_>) -> Condition {
    if seen.spec_replicas == 0 {
        let message = "replicas is 0: scaling is off until somebody sets it to 1 or more".to_owned();
        return condition(ScalingActive, False, Reason::ScalingDisabled, message);
    }
    if let Some(frozen) = &seen.orders.frozen {
        let until = frozen.until.map_or_else(
            || "until the freeze is removed".to_owned(),
            |until| format!("until {}", super::moment(until)),
        );
        let because = frozen.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return condition(
            ScalingActive,
            False,
            Reason::Frozen,
            format!("frozen at {} {until}{because}", frozen.replicas),
        );
    }
    if seen.counts.serving == 0 && seen.pods > 0 {
        let message =
            "pods exist but none is Ready: the count is held, only totals measured upstream may raise it";
        return condition(ScalingActive, False, Reason::NoReadyPods, message.to_owned());
    }
    let unfit = unfit(seen);
    match seen.demand.leading {
        Fitness::None => condition(ScalingActive, False, Reason::FailedGetExternalMetric, unfit),
        Fitness::Some => condition(
            ScalingActive,
            True,
            Reason::SomeMetricsUnfit,
            format!("pods may be added, none removed: {unfit}"),
        ),
        Fitness::All if !unfit.is_empty() => condition(
            ScalingActive,
            True,
            Reason::SomeMetricsUnfit,
            format!("pods may be added, none removed: {unfit}"),
        ),
        Fitness::All => {
            let leading = seen.demand.signals.iter().zip(&seen.policy.signals);
            let names: Vec<_> = leading
                .filter(|(_, signal)| signal.role == Role::Leading)
                .map(|(report, _)| report.name.as_str())
                .collect();
            let message = format!("the count follows {}", names.join(", "));
            condition(ScalingActive, True, Reason::ValidMetricFound, message)
        }
    }
}

/// Every unfit signal with what is wrong.
fn unfit(seen: &Seen<'_>) -> String {
    let unfit = seen.demand.signals.iter().filter(|report| report.state != crate::signal::SignalState::Fresh);
    unfit
        .map(|report| format!("{} is {:?}: {}", report.name, report.state, report.message))
        .collect::<Vec<_>>()
        .join("; ")
}

fn infeasible(seen: &Seen<'_>) -> Option<Condition> {
    let (least, soft) = (seen.policy.min.max(1), &seen.limits.soft);
    if seen.limits.reports.is_empty() && seen.orders.emergency_max.is_none() {
        return None;
    }
    if let Some((budget, why)) = &seen.limits.sharing_off {
        let message = format!(
            "sharing is off, so nothing is granted of budget {budget} and the count does not grow, whatever the load: {why}"
        );
        return Some(condition(BudgetInfeasible, True, Reason::SharingOff, message));
    }
    Some(if soft.replicas < least && seen.orders.emergency_max.is_none() {
        let message = format!(
            "{} allows {} replicas, minReplicas is {}: the count is not cut below minReplicas and does not grow; raise the \
             limit, lower what each pod takes, or lower minReplicas",
            soft.limit.in_words(),
            soft.replicas,
            seen.policy.min
        );
        condition(BudgetInfeasible, True, Reason::BudgetInfeasible, message)
    } else {
        let message = format!("every ceiling leaves room for minReplicas {}", seen.policy.min);
        condition(BudgetInfeasible, False, Reason::BudgetFeasible, message)
    })
}

fn scaling_limited(seen: &Seen<'_>) -> Condition {
    let outcome = seen.outcome;
    let status = if outcome.limited == Reason::DesiredWithinRange { False } else { True };
    let message = match (&outcome.limited_by, outcome.limited) {
        (Some(limit), _) => {
            let need = outcome.need.unwrap_or(outcome.replicas);
            let allowed = need.saturating_sub(outcome.unmet);
            let unmet = if outcome.unmet == 1 {
                "1 replica is unmet".to_owned()
            } else {
                format!("{} replicas are unmet", outcome.unmet)
            };
            let limit = limit.in_words();
            if outcome.replicas > allowed {
                let there = outcome.replicas;
                format!("needs {need}, {limit} allows {allowed} of the {there} that there are: {unmet}")
            } else if outcome.replicas < allowed {
                format!("needs {need}, {limit} will allow {allowed}: {unmet}")
            } else {
                format!("needs {need}, held at {} by {limit}: {unmet}", outcome.replicas)
            }
        }
        (None, Reason::ScaleUpLimit) => "the scale-up rate spreads the growth".to_owned(),
        (None, Reason::ScaleDownLimit) => "the scale-down rate spreads the shrinking".to_owned(),
        (None, Reason::WarmUpLimit) => "growth waits for the pods that are warming up".to_owned(),
        (None, Reason::TooFewReplicas) => {
            format!("demand asks for less than minReplicas {}", seen.policy.min)
        }
        (None, Reason::ZoneLoss) => "demand asks for less than is kept for the loss of zones".to_owned(),
        (None, Reason::Schedule) => "demand asks for less than a schedule keeps".to_owned(),
        (None, _) => "no limit holds the count".to_owned(),
    };
    condition(ScalingLimited, status, outcome.limited, message)
}

/// Ready sums up what a person has to know; the first trouble found is its reason.
fn ready(
    seen: &Seen<'_>,
    able: &Condition,
    active: &Condition,
    infeasible: Option<&Condition>,
    guarded: Option<&Condition>,
) -> Condition {
    if let Some(unreadable) = seen.unreadable {
        // Somebody acts in an emergency, and nothing comes of it.
        return condition(Ready, False, Reason::UnreadableAnnotation, unreadable.to_owned());
    }
    let trouble = [
        (able.reason == Reason::RivalAutoscaler).then_some(able),
        (active.status == False && active.reason != Reason::Frozen).then_some(active),
        (active.reason == Reason::SomeMetricsUnfit).then_some(active),
        infeasible.filter(|condition| condition.status == True),
        guarded.filter(|condition| condition.reason == Reason::GuardUnfit),
    ];
    match trouble.into_iter().flatten().next() {
        // What the count does comes first, what is wrong with the signals after it.
        Some(trouble) if trouble.kind == ScalingActive => {
            let message = format!("{}: {}", seen.outcome.message, trouble.message);
            condition(Ready, False, trouble.reason, message)
        }
        Some(trouble) => condition(Ready, False, trouble.reason, trouble.message.clone()),
        None => condition(Ready, True, Reason::Ready, seen.outcome.message.clone()),
    }
}
