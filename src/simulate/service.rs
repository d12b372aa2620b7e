//! What Ready pods do with load: capacity, the line that forms, latency.

use crate::ceiling::usl::Law;
use crate::number::{ceil_count_forgiving, from_count};

/// What becomes of load beyond capacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overload {
    /// It is lost at once.
    Dropped,
    /// It waits in line, first come first served; who has waited so many seconds gives up.
    Queued {
        /// Seconds.
        patience: f64,
    },
}

/// A service of like pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceSettings {
    /// Requests per second that one pod alone carries at most; above 0.
    pub capacity_per_pod: f64,
    /// α and β of the Universal Scalability Law; without, twice the pods carry twice as much.
    pub scalability: Option<(f64, f64)>,
    /// Seconds that one request takes without waiting, the mean; above 0.
    pub service_time: f64,
    /// What becomes of load beyond capacity.
    pub overload: Overload,
    /// A request that waits in line for longer than this many seconds comes late.
    pub late_after: f64,
}

/// A service at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    settings: ServiceSettings,
    law: Law,
    backlog: f64,
}

/// What became of the load of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Served {
    /// Requests that came.
    pub arrived: f64,
    /// Requests answered, from the line included.
    pub answered: f64,
    /// Requests lost: dropped, or given up.
    pub lost: f64,
    /// Requests that came and will wait in line for too long.
    pub late: f64,
    /// The share of the Ready pods' capacity that was busy, 0 to 1.
    pub utilization: f64,
    /// Seconds until an answer, the mean, waiting included.
    pub mean_latency: f64,
    /// Seconds within which 99 of 100 requests are answered.
    pub p99_latency: f64,
    /// Requests being served or waiting (Little's law).
    pub in_flight: f64,
}

/// Latency formulas have no value at full utilization: beyond this share the line counts, not the formula.
const HIGHEST_UTILIZATION: f64 = 0.99;
/// The 99th percentile of an exponential time, in means: ln 100.
const P99: f64 = 4.605_170_185_988_092;

impl Service {
    /// With nobody waiting.
    pub fn new(settings: ServiceSettings) -> Self {
        let (alpha, beta) = settings.scalability.unwrap_or((0.0, 0.0));
        Self { settings, law: Law { lambda: settings.capacity_per_pod, alpha, beta }, backlog: 0.0 }
    }

    /// Requests per second that so many pods carry at most.
    pub fn capacity(&self, pods: f64) -> f64 {
        if pods <= 0.0 {
            0.0
        } else if self.settings.scalability.is_none() || pods < 1.0 {
            pods * self.settings.capacity_per_pod
        } else {
            self.law.throughput(pods)
        }
    }

    /// The fewest pods that carry a rate at full utilization, at least 1; where no count does, the best there is.
    pub fn demand(&self, rate: f64) -> u32 {
        let pods = if self.settings.scalability.is_none() {
            ceil_count_forgiving(rate / self.settings.capacity_per_pod)
        } else {
            let largest = || self.law.best_size().unwrap_or(1);
            self.law.smallest_size_for(rate * (1.0 - 1e-9)).unwrap_or_else(largest)
        };
        pods.max(1)
    }

    /// Lets `seconds` pass at an arrival rate, with so many pods.
    pub fn step(&mut self, rate: f64, pods: f64, seconds: f64) -> Served {
        let capacity = self.capacity(pods);
        let (arrived, can) = (rate * seconds, capacity * seconds);
        let due = arrived + self.backlog;
        // Counts are rounded to a part in 10⁹ as well.
        let answered = if due <= can * (1.0 + 1e-9) { due } else { can };
        let over = due - answered;
        let (lost, late) = match self.settings.overload {
            Overload::Dropped => {
                self.backlog = 0.0;
                (over, 0.0)
            }
            Overload::Queued { patience } => {
                let before = if capacity > 0.0 { self.backlog / capacity } else { f64::INFINITY };
                self.backlog = over.min(capacity.max(self.settings.capacity_per_pod) * patience);
                let after = if capacity > 0.0 { self.backlog / capacity } else { f64::INFINITY };
                let lost = over - self.backlog;
                let late = late_share(before, after, self.settings.late_after);
                (lost, (arrived * late - lost).max(0.0))
            }
        };
        let utilization = if can > 0.0 { (answered / can).min(1.0) } else { f64::from(u8::from(due > 0.0)) };
        let waiting = if capacity > 0.0 { self.backlog / capacity } else { 0.0 };
        let (mean, p99) = self.response(utilization, pods);
        let (mean_latency, p99_latency) = (mean + waiting, p99 + waiting);
        let in_flight = answered / seconds * mean + self.backlog;
        Served { arrived, answered, lost, late, utilization, mean_latency, p99_latency, in_flight }
    }

    /// Mean and 99th percentile of the response time of M/M/c, with Sakasegawa's approximation of Erlang's C.
    fn response(&self, utilization: f64, pods: f64) -> (f64, f64) {
        let time = self.settings.service_time;
        let workers = (pods * self.settings.capacity_per_pod * time).max(1.0);
        let utilization = utilization.min(HIGHEST_UTILIZATION);
        let waits = utilization.powf((2.0 * (workers + 1.0)).sqrt() - 1.0);
        let drain = time / (workers * (1.0 - utilization));
        (time + waits * drain, time * P99 + drain * (waits * 100.0).ln().max(0.0))
    }
}

/// The share of a step's arrivals that wait for longer than `limit`, as the line grows or shrinks evenly.
fn late_share(before: f64, after: f64, limit: f64) -> f64 {
    let (short, long) = (before.min(after), before.max(after));
    if long <= limit {
        0.0
    } else if short >= limit || !long.is_finite() {
        1.0
    } else {
        (long - limit) / (long - short)
    }
}

/// Whether load of a step went unserved, beyond rounding.
pub(super) fn is_lost(served: &Served) -> bool {
    served.lost > served.arrived * 1e-9
}

/// Pods that connections of a database carry.
pub(super) fn connected(pods: f64, existing: u32, connections: u32, per_pod: u32) -> f64 {
    let most = connections.checked_div(per_pod).unwrap_or(0);
    if existing <= most { pods } else { pods.min(from_count(most)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(overload: Overload) -> ServiceSettings {
        ServiceSettings {
            capacity_per_pod: 100.0,
            scalability: None,
            service_time: 0.05,
            overload,
            late_after: 1.0,
        }
    }

    #[test]
    fn what_comes_is_answered_lost_or_waits() {
        for overload in [Overload::Dropped, Overload::Queued { patience: 3.0 }] {
            let mut service = Service::new(settings(overload));
            let (mut arrived, mut answered, mut lost) = (0.0, 0.0, 0.0);
            for (rate, pods) in
                [(90.0, 1.0), (400.0, 1.0), (400.0, 2.0), (50.0, 2.0), (0.0, 0.0), (900.0, 0.0), (0.0, 3.0)]
            {
                for _ in 0..10 {
                    let served = service.step(rate, pods, 1.0);
                    arrived += served.arrived;
                    answered += served.answered;
                    lost += served.lost;
                    assert!((0.0..=1.0).contains(&served.utilization) && served.late >= 0.0, "{served:?}");
                    assert!(
                        served.late + served.lost <= served.arrived + service.backlog + 1e-6,
                        "{served:?}"
                    );
                }
            }
            assert!((arrived - answered - lost - service.backlog).abs() < 1e-6, "{overload:?}");
            assert!(lost > 0.0);
        }
    }

    #[test]
    fn latency_follows_the_published_values_of_m_m_c() {
        // M/M/1 at 80 %: R = S/(1−ρ) = 5 S. M/M/4 at 80 %: W = 0.746 S (Erlang C 0.5964).
        let mut one = Service::new(ServiceSettings { capacity_per_pod: 20.0, ..settings(Overload::Dropped) });
        let served = one.step(16.0, 1.0, 1.0);
        assert!((served.mean_latency - 0.25).abs() < 1e-9, "{served:?}");
        let served = one.step(64.0, 4.0, 1.0);
        assert!((served.mean_latency / 0.05 - 1.746).abs() < 0.06, "{served:?}");
        assert!(served.p99_latency > served.mean_latency);
    }

    #[test]
    fn demand_is_the_least_count_that_carries_the_load() {
        let linear = Service::new(settings(Overload::Dropped));
        for (rate, pods) in [(0.0, 1), (100.0, 1), (100.01, 2), (4_999.999_999_999, 50), (5000.0, 50)] {
            assert_eq!(linear.demand(rate), pods, "{rate}");
        }
        let law = Service::new(ServiceSettings {
            scalability: Some((0.03, 0.0008)),
            ..settings(Overload::Dropped)
        });
        for rate in [50.0, 300.0, 900.0] {
            let pods = law.demand(rate);
            assert!(
                law.capacity(from_count(pods)) >= rate * (1.0 - 1e-9)
                    && law.capacity(from_count(pods - 1)) < rate
            );
        }
        assert_eq!(law.demand(1e9), 35, "the peak is the best there is");
    }
}
