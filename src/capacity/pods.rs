//! Pods, counted.

use serde::{Deserialize, Serialize};

use crate::api::Ramp;
use crate::control::Pod;
use crate::number::count_of;
use crate::time::{Span, Time};

/// A workload's pods, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Ready pods.
    pub serving: u32,
    /// Ready for at least the warm-up time.
    pub warm: u32,
    /// Capacity in pods: warm pods, and warming ones as the ramp counts them.
    pub capacity: f64,
    /// Not Ready yet, and within the time they may take.
    pub starting: u32,
    /// Not Ready long after they should have been.
    pub failing: u32,
    /// Shutting down.
    pub terminating: u32,
    /// Asked for and not there; `ordered` beyond the pods that can be seen.
    pub missing: u32,
    /// Asked for and not yet warm.
    pub ordered: u32,
    /// The most pods that can hold connections at one moment, a rollout included.
    pub reachable: u32,
}

/// When pods count as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yardstick {
    /// Ready for this long, a pod is warm.
    pub warm_up: Span,
    /// How capacity grows meanwhile.
    pub ramp: Ramp,
    /// Not Ready for this long, a pod is failing.
    pub deadline: Span,
}

/// Counts the pods of a workload that was asked for `spec_replicas`. `reachable` is left to who knows the rollout.
pub fn count(pods: &[Pod], spec_replicas: u32, yardstick: Yardstick, now: Time) -> Counts {
    let mut counts = Counts::default();
    for pod in pods {
        if pod.terminating_since.is_some() {
            counts.terminating += 1;
        } else if let Some(ready_since) = pod.ready_since {
            let ready_for = now.since(ready_since);
            counts.serving += 1;
            if ready_for >= yardstick.warm_up {
                counts.warm += 1;
                counts.capacity += 1.0;
            } else if yardstick.ramp == Ramp::Linear {
                counts.capacity += ready_for.seconds() / yardstick.warm_up.seconds();
            }
        } else if now.since(pod.created) >= yardstick.deadline {
            counts.failing += 1;
        } else {
            counts.starting += 1;
        }
    }
    let alive = count_of(pods.len()).saturating_sub(counts.terminating);
    counts.missing = spec_replicas.saturating_sub(alive);
    counts.ordered =
        (counts.serving - counts.warm).saturating_add(counts.starting).saturating_add(counts.missing);
    counts
}
