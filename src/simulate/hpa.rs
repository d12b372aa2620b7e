//! What HPA v2 knows of pods: which of them count when it reads CPU, and with what
//! (`pkg/controller/podautoscaler/replica_calculator.go` of Kubernetes 1.36 is what it must agree with).

use crate::number::{ceil_count, from_count};
use crate::time::{Span, Time};

/// After its start a pod's CPU is looked at with suspicion for so long (`--horizontal-pod-autoscaler-cpu-initialization-period`).
const CPU_INITIALIZATION: Span = Span::from_seconds(300);

/// A workload's pods as HPA sorts them when it reads CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Groups {
    /// Pods whose sample counts.
    pub ready: u32,
    /// Pods whose sample does not count yet.
    pub unready: u32,
    /// Pods without a sample.
    pub missing: u32,
    /// Mean CPU of the pods that count, in percent of their request.
    pub utilization: f64,
}

impl Groups {
    /// Sorts pods, each given by its creation and the moment since which it is Ready. A sample is the mean of `window`
    /// and comes `delay` late.
    pub fn of(
        pods: impl Iterator<Item = (Time, Option<Time>)>,
        utilization: f64,
        (window, delay): (Span, Span),
        now: Time,
    ) -> Self {
        let mut groups = Self { utilization, ..Self::default() };
        for (created, ready_since) in pods {
            if now.since(created) < delay {
                groups.missing += 1;
            } else if ready_since.is_none_or(|ready| {
                now.since(created) < CPU_INITIALIZATION && now.since(ready) < window + delay
            }) {
                groups.unready += 1;
            } else {
                groups.ready += 1;
            }
        }
        groups
    }

    /// The count that HPA proposes at `current` replicas; none where no pod counts, which HPA takes as a failed read.
    pub fn proposal(&self, current: u32, target: u32, (down, up): (f64, f64)) -> Option<u32> {
        if self.ready == 0 {
            return None;
        }
        let target = from_count(target.max(1));
        let within = |ratio: f64| (1.0 - down..=1.0 + up).contains(&ratio);
        // HPA works with whole percents.
        let ratio = self.utilization.floor() / target;
        let scale_up_with_unready = self.unready > 0 && ratio > 1.0;
        if !scale_up_with_unready && self.missing == 0 {
            let proposed = ceil_count(ratio * from_count(self.ready));
            return Some(if within(ratio) { current } else { proposed });
        }
        let mut sum = self.utilization * from_count(self.ready);
        let mut pods = self.ready;
        if self.missing > 0 {
            pods = pods.saturating_add(self.missing);
            if ratio < 1.0 {
                sum += target.max(100.0) * from_count(self.missing);
            }
        }
        if scale_up_with_unready {
            pods = pods.saturating_add(self.unready);
        }
        let filled = (sum / from_count(pods)).floor() / target;
        let turned = (ratio < 1.0 && filled > 1.0) || (ratio > 1.0 && filled < 1.0);
        let proposed = ceil_count(filled * from_count(pods));
        let against = (filled < 1.0 && proposed > current) || (filled > 1.0 && proposed < current);
        Some(if within(filled) || turned || against { current } else { proposed })
    }
}

/// What HPA proposes for an Object metric with a `Value` target: pods that are Running and Ready, terminating ones
/// included.
pub fn value_proposal(value: f64, target: f64, current: u32, ready: u32, (down, up): (f64, f64)) -> u32 {
    let ratio = value / target;
    if (1.0 - down..=1.0 + up).contains(&ratio) { current } else { ceil_count(ratio * from_count(ready)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_sorted_by_what_their_sample_can_tell() {
        let now = Time::from_seconds(10_000);
        let ago = |seconds| now - Span::from_seconds(seconds);
        let pods = [
            (ago(5), None),            // no sample yet
            (ago(60), None),           // starting
            (ago(120), Some(ago(60))), // its window began before it was Ready
            (ago(120), Some(ago(80))), // counts
            (ago(400), Some(ago(10))), // five minutes old: counts as it is
            (ago(400), None),          // never became Ready
        ];
        let groups =
            Groups::of(pods.into_iter(), 50.0, (Span::from_seconds(60), Span::from_seconds(15)), now);
        assert_eq!((groups.ready, groups.unready, groups.missing), (2, 3, 1));
    }

    #[test]
    fn unready_and_missing_pods_count_as_hpa_counts_them() {
        let tolerance = (0.1, 0.1);
        for (ready, unready, missing, utilization, current, expected, why) in [
            (5, 0, 0, 85.0, 5, Some(5), "within the tolerance"),
            (5, 0, 0, 100.0, 5, Some(7), "100 / 80 × 5 = 6.25"),
            (5, 0, 0, 40.0, 5, Some(3), "40 / 80 × 5 = 2.5"),
            (5, 2, 0, 100.0, 7, Some(7), "two unready pods at 0: 71 % of 80 turns the direction"),
            (5, 1, 0, 200.0, 6, Some(13), "one unready pod at 0: 166 % × 6"),
            (5, 2, 0, 40.0, 7, Some(3), "on the way down unready pods are left out"),
            (5, 0, 2, 40.0, 7, Some(5), "missing pods at 100 % on the way down: 57 % × 7"),
            (5, 0, 5, 90.0, 10, Some(10), "missing pods at 0 on the way up: 45 % turns the direction"),
            (0, 3, 0, 0.0, 3, None, "nobody to ask"),
        ] {
            let groups = Groups { ready, unready, missing, utilization };
            assert_eq!(groups.proposal(current, 80, tolerance), expected, "{why}");
        }
    }
}
