//! One window of a running workload, and whether it tells a capacity.

use crate::number::{MAX_COUNT, from_count};
use crate::time::{Span, Time};

/// Below this utilization a window says too little: dividing by it would multiply its error, and a capacity taken
/// as less than it is would look like the falling branch.
const LEAST_UTILIZATION: f64 = 0.5;
/// Above this the utilization is not a share of what is there; up to it, it is full.
const MOST_UTILIZATION: f64 = 1.1;
/// How much of the ready pods may come and go within a window.
const STEADY_SHARE: f64 = 0.05;

/// How loaded the workload was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// The share of the limiting resource that was in use: busy workers of worker slots; CPU only where CPU limits.
    Utilization(f64),
    /// As much as it could take: a queue, or slow answers with more arriving than leaving.
    Saturated,
}

/// What was measured of a workload over some minutes.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// When it ended.
    pub end: Time,
    /// How long it was. Windows must not overlap.
    pub length: Span,
    /// The workload's revision, for example its pod template hash.
    pub revision: String,
    /// The fewest ready pods in it.
    pub fewest_ready: u32,
    /// The most ready pods in it.
    pub most_ready: u32,
    /// Whether a rollout, a start or a shutdown of a pod fell into it.
    pub rollout: bool,
    /// How loaded the workload was.
    pub load: Load,
    /// Mean throughput, in any unit that stays the same.
    pub throughput: f64,
    /// Whether the service level objective was met throughout.
    pub objective_met: bool,
}

/// Why a window is of no use.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Pods came or went.
    #[error("pods started or stopped in this window")]
    Rollout,
    /// The size was not constant.
    #[error("from {fewest} to {most} pods were ready: the size was not constant")]
    SizeChanged {
        /// The fewest ready pods.
        fewest: u32,
        /// The most ready pods.
        most: u32,
    },
    /// Nobody was there.
    #[error("no pod was ready")]
    NoReplicas,
    /// No throughput.
    #[error("{0} is not a throughput: a number above 0 is needed")]
    Throughput(f64),
    /// No utilization.
    #[error("{0} is not a utilization: a share from 0 to 1 of the limiting resource is needed")]
    Utilization(f64),
    /// Capacity cannot be told from so little load.
    #[error("at {:.0} % utilization the capacity cannot be told; {:.0} % is needed", 100.0 * .0, 100.0 * LEAST_UTILIZATION)]
    TooIdle(f64),
    /// Part of it was counted already.
    #[error("it overlaps a window that was already counted")]
    Overlaps,
}

impl Window {
    /// When it began.
    pub fn start(&self) -> Time {
        self.end - self.length
    }

    /// The size to which it counts, and the capacity at that size: throughput over utilization, or throughput where
    /// saturated.
    pub fn capacity(&self) -> Result<(u32, f64), Refused> {
        if self.rollout {
            return Err(Refused::Rollout);
        }
        let (fewest, most) = (self.fewest_ready, self.most_ready.min(MAX_COUNT));
        if fewest == 0 || most == 0 {
            return Err(Refused::NoReplicas);
        }
        if fewest > most || from_count(most - fewest) > STEADY_SHARE * from_count(most) {
            return Err(Refused::SizeChanged { fewest, most });
        }
        // Far within what squares and ratios of numbers can hold.
        if !(1e-9..=1e15).contains(&self.throughput) {
            return Err(Refused::Throughput(self.throughput));
        }
        let used = match self.load {
            Load::Saturated => 1.0,
            Load::Utilization(used) if !(0.0..=MOST_UTILIZATION).contains(&used) => {
                return Err(Refused::Utilization(used));
            }
            Load::Utilization(used) if used < LEAST_UTILIZATION => return Err(Refused::TooIdle(used)),
            Load::Utilization(used) => used.min(1.0),
        };
        Ok((fewest + (most - fewest).div_ceil(2), self.throughput / used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window {
            end: Time::from_seconds(10_000),
            length: Span::from_seconds(120),
            revision: "a".to_owned(),
            fewest_ready: 10,
            most_ready: 10,
            rollout: false,
            load: Load::Utilization(0.8),
            throughput: 400.0,
            objective_met: true,
        }
    }

    #[test]
    fn capacity_is_throughput_over_utilization() {
        assert_eq!(window().capacity(), Ok((10, 500.0)));
        assert_eq!(Window { load: Load::Saturated, ..window() }.capacity(), Ok((10, 400.0)));
        assert_eq!(Window { load: Load::Utilization(1.05), ..window() }.capacity(), Ok((10, 400.0)));
        assert_eq!(Window { fewest_ready: 39, most_ready: 41, ..window() }.capacity(), Ok((40, 500.0)));
    }

    #[test]
    fn what_tells_no_capacity_is_refused_with_the_reason() {
        for (refused, text) in [
            (Window { rollout: true, ..window() }, "pods started or stopped"),
            (Window { fewest_ready: 8, ..window() }, "from 8 to 10 pods were ready"),
            (Window { fewest_ready: 11, ..window() }, "from 11 to 10"),
            (Window { fewest_ready: 0, ..window() }, "no pod was ready"),
            (Window { throughput: f64::NAN, ..window() }, "NaN is not a throughput"),
            (Window { throughput: 0.0, ..window() }, "0 is not a throughput"),
            (Window { throughput: f64::INFINITY, ..window() }, "inf is not a throughput"),
            (Window { throughput: -3.0, ..window() }, "-3 is not a throughput"),
            (
                Window { load: Load::Utilization(0.3), ..window() },
                "at 30 % utilization the capacity cannot be told",
            ),
            (Window { load: Load::Utilization(80.0), ..window() }, "80 is not a utilization"),
            (Window { load: Load::Utilization(f64::NAN), ..window() }, "NaN is not a utilization"),
            (Window { load: Load::Utilization(-0.1), ..window() }, "-0.1 is not a utilization"),
        ] {
            let said = refused.capacity().unwrap_err().to_string();
            assert!(said.contains(text), "{said}");
        }
    }
}
