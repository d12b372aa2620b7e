//! Safety nets: signals that can only add pods, in bounded steps, and only while that helps.

use super::memory::{NetStep, SignalMemory};
use super::policy::Signal;
use super::reason::Reason;
use crate::number::{from_count, percent_rounded_up};
use crate::time::{Span, Time};

/// A step that does not take at least this share off the value did not help.
const LEAST_HELP: f64 = 0.05;

/// What a net is told besides its own value.
#[derive(Clone, Copy, Debug)]
pub(super) struct NetSituation {
    /// The count that a step starts from.
    pub(super) base: u32,
    /// What the leading signals need.
    pub(super) leading_need: u32,
    /// Pods that are still to come or to warm up.
    pub(super) ordered: u32,
    /// How long a step takes to show: a pod's start and warm-up, and the metric's age.
    pub(super) lead_time: Span,
    pub(super) now: Time,
}

/// What a net asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetProposal {
    /// The count asked for; the base where nothing is.
    pub(super) replicas: u32,
    pub(super) reason: Reason,
}

/// What a net whose fresh `value` is above its target asks for: one step in a lead time, so that the step before is
/// seen to have helped, or not, before the next. Latency that comes from elsewhere must not be fed.
pub(super) fn propose(
    signal: &Signal,
    memory: &mut SignalMemory,
    value: f64,
    situation: NetSituation,
) -> NetProposal {
    let hold = |reason| NetProposal { replicas: situation.base, reason };
    if let Some(step) = memory.net_step {
        if situation.base <= step.replicas {
            // The step never landed, or was undone: it cannot tell whether it would have helped.
            memory.net_step = None;
        } else if situation.now.since(step.at) >= situation.lead_time {
            memory.net_ineffective = value > step.value * (1.0 - LEAST_HELP);
            memory.net_step = None;
        } else {
            return hold(Reason::NetWaiting);
        }
    }
    if memory.net_ineffective {
        return hold(Reason::NetIneffective);
    }
    if situation.ordered > 0 {
        return hold(Reason::NetWaiting);
    }
    let most = situation
        .leading_need
        .saturating_add(percent_rounded_up(situation.leading_need, signal.max_add_percent));
    let step = percent_rounded_up(situation.base, signal.max_step_percent).max(1);
    let replicas = situation.base.saturating_add(step).min(most);
    if replicas <= situation.base {
        return hold(Reason::NetExhausted);
    }
    memory.net_step = Some(NetStep { at: situation.now, value, replicas: situation.base });
    NetProposal { replicas, reason: Reason::NetAboveTarget }
}

/// Forgets what a net did, once its value is back under its target.
pub(super) fn relax(memory: &mut SignalMemory) {
    memory.net_step = None;
    memory.net_ineffective = false;
}

/// The smallest count at which a level of `value` on `serving` pods would stay under the net's scale-out edge, if it
/// grew in proportion to the load per pod.
pub(super) fn smallest_safe_count(signal: &Signal, value: f64, serving: u32) -> f64 {
    from_count(serving) * value / (signal.target * (1.0 + signal.scale_up_tolerance))
}
