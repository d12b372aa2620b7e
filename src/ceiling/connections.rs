//! How many replicas a database's connections carry, a rollout at any moment included.

use serde::{Deserialize, Serialize};

use crate::api::RolloutOverlap;
use crate::control::{CountOrPercent, Pod, UpdateStrategy};
use crate::number::{count_of, percent_rounded_down, percent_rounded_up, saturate};
use crate::time::Span;

/// What a workload's own shape adds to its replicas in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutShape {
    /// How pods are replaced.
    pub update: UpdateStrategy,
    /// The longest a pod may take to shut down.
    pub termination_grace: Span,
    /// The longest a pod takes to shut down, once measured.
    pub drain: Option<Span>,
    /// The shortest a pod takes to become Ready, once measured.
    pub start_up: Option<Span>,
}

/// What is assumed where something has not been measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assume {
    /// The worst: right for growth, which must never pass a limit.
    Worst,
    /// The best: right for a ceiling that would remove pods, which nobody may do out of ignorance.
    Best,
}

impl RolloutShape {
    /// Pods that a rollout adds beside `replicas`, rounded as Kubernetes rounds `maxSurge`: percentages up, and at
    /// least one where `maxUnavailable` comes to none.
    pub fn surge(&self, replicas: u32) -> u32 {
        match self.update {
            UpdateStrategy::RollingUpdate { max_surge, .. } => match max_surge {
                CountOrPercent::Count(count) => count,
                CountOrPercent::Percent(percent) => percent_rounded_up(replicas, percent),
            },
            UpdateStrategy::Replace => 0,
            UpdateStrategy::Unknown => replicas,
        }
    }

    /// Old pods that still terminate while new ones already serve; a rollout does not wait for them.
    ///
    /// Every time new pods become Ready, at most surge + maxUnavailable old ones are told to stop. While one of
    /// those drains, as many more batches can follow as starts fit into one drain.
    pub fn overlap(&self, replicas: u32, overlap: RolloutOverlap, assume: Assume) -> u32 {
        let UpdateStrategy::RollingUpdate { max_unavailable, .. } = self.update else {
            return match (self.update, overlap) {
                (UpdateStrategy::Replace, _) => 0,
                (_, RolloutOverlap::Pods(pods)) => pods,
                (_, _) => replicas,
            };
        };
        match overlap {
            RolloutOverlap::Pods(pods) => pods,
            RolloutOverlap::OneRevision => replicas,
            RolloutOverlap::Observed => {
                let unavailable = match max_unavailable {
                    CountOrPercent::Count(count) => count,
                    CountOrPercent::Percent(percent) => percent_rounded_down(replicas, percent),
                };
                let batch = self.surge(replicas).saturating_add(unavailable).max(1);
                let start_up = self.start_up.filter(|start_up| *start_up > Span::ZERO);
                let batches = match (self.drain, start_up, assume) {
                    (Some(drain), Some(start_up), _) => batches(drain, start_up),
                    (None, Some(start_up), Assume::Worst) => batches(self.termination_grace, start_up),
                    (_, None, Assume::Worst) => return replicas,
                    (_, _, Assume::Best) => 1,
                };
                replicas.min(batch.saturating_mul(batches))
            }
        }
    }

    /// The most pods that can hold connections at `replicas`, in a rollout begun at any moment.
    pub fn reachable(&self, replicas: u32, overlap: RolloutOverlap, assume: Assume) -> u32 {
        replicas.saturating_add(self.surge(replicas)).saturating_add(self.overlap(replicas, overlap, assume))
    }
}

/// How many batches of old pods drain at once: as many as starts fit into one drain.
fn batches(drain: Span, start_up: Span) -> u32 {
    saturate(drain.millis().div_ceil(start_up.millis().max(1))).max(1)
}

/// Pods that `connections` carry at one moment, at `per_pod` each.
pub fn carried_pods(connections: u32, per_pod: u32) -> u32 {
    connections.checked_div(per_pod).unwrap_or(0)
}

/// The largest count whose pods, and `beside` more, never exceed `pods` at one moment; 0 if none.
pub fn largest_count(
    pods: u32,
    shape: &RolloutShape,
    overlap: RolloutOverlap,
    assume: Assume,
    beside: u32,
) -> u32 {
    // `reachable` never falls as the count grows, so the largest count is found by halving.
    let (mut fits, mut exceeds) = (0, pods.saturating_add(1));
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits).wrapping_div(2);
        if shape.reachable(middle, overlap, assume).saturating_add(beside) <= pods {
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    fits
}

/// The pool size per pod that would fit at `replicas` (mission C5): what is left, over the most pods at one moment.
pub fn fitting_pool(connections: u32, overlap: RolloutOverlap, shape: &RolloutShape, replicas: u32) -> u32 {
    connections.checked_div(shape.reachable(replicas, overlap, Assume::Worst)).unwrap_or(0)
}

/// Pods beyond the count and its surge: they hold connections, and no rollout arithmetic knows of them. Pods that end are
/// among them, whatever made them end.
pub fn pods_beside(pods: &[Pod], spec_replicas: u32, shape: &RolloutShape) -> u32 {
    let terminating = count_of(pods.iter().filter(|pod| pod.terminating_since.is_some()).count());
    let alive = count_of(pods.len()).saturating_sub(terminating);
    let expected = spec_replicas.saturating_add(shape.surge(spec_replicas));
    alive.saturating_sub(expected).saturating_add(terminating)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::PodId;
    use crate::time::Time;

    fn rolling(max_surge: CountOrPercent, max_unavailable: CountOrPercent) -> RolloutShape {
        RolloutShape {
            update: UpdateStrategy::RollingUpdate { max_surge, max_unavailable },
            termination_grace: Span::from_seconds(30),
            drain: None,
            start_up: None,
        }
    }

    const QUARTER: CountOrPercent = CountOrPercent::Percent(25);

    #[test]
    fn the_example_of_380_connections_at_20_a_pod() {
        let pods = carried_pods(380, 20);
        let shape = rolling(QUARTER, QUARTER);
        let replace = RolloutShape { update: UpdateStrategy::Replace, ..shape };
        assert_eq!(pods, 19);
        assert_eq!(largest_count(pods, &replace, RolloutOverlap::Observed, Assume::Worst, 0), 19, "no surge");
        assert_eq!(
            largest_count(pods, &shape, RolloutOverlap::Pods(0), Assume::Worst, 0),
            15,
            "surge of a quarter"
        );
        assert_eq!(
            largest_count(pods, &shape, RolloutOverlap::OneRevision, Assume::Worst, 0),
            8,
            "surge and a terminating revision"
        );
        assert_eq!(
            largest_count(pods, &shape, RolloutOverlap::Pods(0), Assume::Worst, 2),
            13,
            "two pods still terminating"
        );
    }

    #[test]
    fn what_is_not_measured_refuses_growth_and_removes_nothing() {
        let shape = rolling(QUARTER, QUARTER);
        let overlap = |shape: &RolloutShape, assume| shape.overlap(12, RolloutOverlap::Observed, assume);
        assert_eq!(
            (overlap(&shape, Assume::Worst), overlap(&shape, Assume::Best)),
            (12, 6),
            "nothing is measured"
        );
        let started = RolloutShape { start_up: Some(Span::from_seconds(8)), ..shape };
        assert_eq!(
            (overlap(&started, Assume::Worst), overlap(&started, Assume::Best)),
            (12, 6),
            "grace 30 s, four batches"
        );
        let quick = RolloutShape { drain: Some(Span::from_seconds(2)), ..started };
        assert_eq!(
            (overlap(&quick, Assume::Worst), overlap(&quick, Assume::Best)),
            (6, 6),
            "one batch of 3 and 3"
        );
        let slow = RolloutShape { drain: Some(Span::from_seconds(20)), ..started };
        assert_eq!(
            (overlap(&slow, Assume::Worst), overlap(&slow, Assume::Best)),
            (12, 12),
            "three batches, one revision"
        );
    }

    #[test]
    fn a_kind_whose_rollouts_are_not_known_may_double() {
        let shape = RolloutShape { update: UpdateStrategy::Unknown, ..rolling(QUARTER, QUARTER) };
        assert_eq!(shape.reachable(5, RolloutOverlap::Pods(1), Assume::Best), 11);
        assert_eq!(shape.reachable(5, RolloutOverlap::Observed, Assume::Best), 15);
    }

    #[test]
    fn a_budget_for_no_pod_is_zero_and_not_a_panic() {
        for pods in [0, 1, u32::MAX] {
            let shape = rolling(CountOrPercent::Percent(u32::MAX), CountOrPercent::Count(u32::MAX));
            assert!(
                largest_count(pods, &shape, RolloutOverlap::OneRevision, Assume::Worst, u32::MAX) <= pods
            );
        }
        assert_eq!(carried_pods(1, 0), 0);
    }

    #[test]
    fn the_pool_that_would_fit_is_worked_out_backwards() {
        let shape = RolloutShape { update: UpdateStrategy::Replace, ..rolling(QUARTER, QUARTER) };
        assert_eq!(fitting_pool(485, RolloutOverlap::Pods(0), &shape, 40), 12);
        assert_eq!(fitting_pool(485, RolloutOverlap::Pods(0), &shape, 0), 0);
    }

    #[test]
    fn pods_that_end_count_once_beside_those_that_stay() {
        let pod = |id: u64, ends: bool| Pod {
            id: PodId(id),
            created: Time::default(),
            ready_since: None,
            terminating_since: ends.then_some(Time::default()),
        };
        let pods = [pod(1, false), pod(2, false), pod(3, false), pod(4, true), pod(5, true)];
        let replace = RolloutShape { update: UpdateStrategy::Replace, ..rolling(QUARTER, QUARTER) };
        assert_eq!(pods_beside(&pods, 3, &replace), 2);
        assert_eq!(pods_beside(&pods, 2, &replace), 3, "one more than asked for");
        assert_eq!(pods_beside(&pods, 3, &rolling(QUARTER, QUARTER)), 2);
    }
}
