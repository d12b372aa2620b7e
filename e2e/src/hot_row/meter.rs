//! What the service tells of itself to Prometheus, as its pods and its gateway would.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::number::ceil_count;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::shop::SERVICE;
use crate::orders::fleet::{Counts, Fleet};
use crate::orders::tally::real;
use crate::real::Exporter;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// Over which time latency is told.
const LATENCY_WINDOW: Duration = Duration::from_secs(3);

/// Meters both sides until it is dropped.
#[derive(Debug)]
pub struct Metering(JoinHandle<()>);

impl Drop for Metering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Metering {
    /// Begins to meter.
    pub fn start(fleet: Arc<Fleet>, exporter: Arc<Exporter>, sides: [&'static str; 2]) -> Self {
        Self(tokio::spawn(meter(fleet, exporter, sides)))
    }
}

async fn meter(fleet: Arc<Fleet>, exporter: Arc<Exporter>, sides: [&'static str; 2]) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Instant::now();
    let mut recent = sides.map(|_| Recent::after(LATENCY_WINDOW, Counts::default()));
    loop {
        let now = ticks.tick().await.max(before);
        let passed = now.duration_since(before).as_secs_f64();
        before = now;
        for (side, recent) in sides.into_iter().zip(&mut recent) {
            let labels = [("side", side)];
            let occupancy = fleet.occupancy(side, SERVICE);
            exporter.gauge("ready_pods", &labels, occupancy.ready.into());
            exporter.gauge("workers", &labels, occupancy.workers.into());
            exporter.gauge("waiting_requests", &labels, occupancy.waiting.into());
            exporter.add("busy_worker_seconds_total", &labels, f64::from(occupancy.busy) * passed);
            let (counts, _) = recent.look(&fleet, side, now);
            exporter.counter("arrivals_total", &labels, real(counts.asked));
            exporter.counter("requests_done_total", &labels, real(counts.done));
            if let Some(latency) = recent.percentile(95.0) {
                exporter.gauge("latency_p95_seconds", &labels, latency);
            }
        }
    }
}

/// How long requests took that ended lately, those included that were given up.
#[derive(Debug)]
pub struct Recent {
    window: Duration,
    seen: Counts,
    latencies: VecDeque<(Instant, f64)>,
}

impl Recent {
    /// Of so much time, beginning after `seen` was counted.
    pub const fn after(window: Duration, seen: Counts) -> Self {
        Self { window, seen, latencies: VecDeque::new() }
    }

    /// Takes in what ended since it was last looked at, and returns it in seconds, with all that there is by now.
    pub fn look(&mut self, fleet: &Fleet, side: &str, now: Instant) -> (Counts, Vec<f64>) {
        let (counts, ended) = fleet.ended_since(side, SERVICE, &self.seen);
        let ended: Vec<f64> = ended.iter().map(Duration::as_secs_f64).collect();
        self.latencies.extend(ended.iter().map(|latency| (now, *latency)));
        self.seen = counts;
        while self.latencies.front().is_some_and(|(at, _)| now.duration_since(*at) > self.window) {
            self.latencies.pop_front();
        }
        (counts, ended)
    }

    /// So many percent of them took at most this many seconds; none without any.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        percentile(self.latencies.iter().map(|(_, latency)| *latency).collect(), percent)
    }
}

/// The value that so many percent of `values` do not exceed (nearest rank).
pub fn percentile(mut values: Vec<f64>, percent: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let count = f64::from(plimsoll::number::count_of(values.len()));
    let rank = ceil_count(percent / 100.0 * count).saturating_sub(1);
    values.get(usize::try_from(rank).unwrap_or(usize::MAX)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 95.0), Some(19.0));
        assert_eq!(percentile(values.clone(), 99.0), Some(20.0));
        assert_eq!(percentile(values, 50.0), Some(10.0));
        assert_eq!(percentile(Vec::new(), 50.0), None);
    }
}
