//! A past for a Prometheus that has just been started: what a service would have shown for days.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll::ceiling::usl::Law;

use crate::random::Random;

/// Its series, each with the label `namespace`.
const NAMES: [&str; 4] = ["served_per_second", "ready_replicas", "busy_share", "latency_p99_seconds"];
/// How often the past was scraped.
const STEP: Duration = Duration::from_secs(15);
/// The count changes no more often.
const SETTLES: u64 = 600;
/// A busy time and a quiet one.
const CYCLE: f64 = 21_600.0;
/// Requests take so long in an idle service, in seconds.
const IDLE_LATENCY: f64 = 0.04;
/// Callers give up after this, in seconds.
const TIMEOUT: f64 = 2.0;

/// A service that was scaled by its load alone, and whose throughput followed the Universal Scalability Law.
#[derive(Clone, Debug)]
pub struct ServicePast {
    /// The value of the label `namespace` of its series.
    pub namespace: String,
    /// What it carried at each size.
    pub law: Law,
    /// Requests a second for each replica.
    pub target: f64,
    /// Its fewest and most replicas.
    pub sizes: (u32, u32),
    /// Requests a second at its quietest and at its busiest.
    pub load: (f64, f64),
    /// How long ago it began.
    pub lasting: Duration,
}

impl ServicePast {
    /// What services showed up to now, in `OpenMetrics`.
    pub(super) fn open_metrics(pasts: &[Self]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut families = NAMES.map(|name| format!("# TYPE {name} gauge\n"));
        for (seed, past) in (0..).zip(pasts) {
            let mut random = Random::seeded(seed);
            let begin = now.saturating_sub(past.lasting.as_secs());
            let mut at = begin.next_multiple_of(STEP.as_secs());
            while at <= now {
                let shown = past.shown(at, &mut random);
                for ((family, value), name) in families.iter_mut().zip(shown).zip(NAMES) {
                    let namespace = &past.namespace;
                    // Writing to a String cannot fail.
                    let _ = writeln!(family, "{name}{{namespace=\"{namespace}\"}} {value} {at}");
                }
                at += STEP.as_secs();
            }
        }
        families.concat() + "# EOF\n"
    }

    fn load_at(&self, at: f64) -> f64 {
        let share = (1.0 - (at / CYCLE * std::f64::consts::TAU).cos()) / 2.0;
        self.load.0 + (self.load.1 - self.load.0) * share
    }

    fn shown(&self, at: u64, random: &mut Random) -> [f64; 4] {
        let settled = whole(at - at % SETTLES);
        let (fewest, most) = (f64::from(self.sizes.0), f64::from(self.sizes.1));
        let size = (self.load_at(settled) / self.target).ceil().clamp(fewest, most);
        let (load, capacity) = (self.load_at(whole(at)), self.law.throughput(size));
        let busy = (load / capacity).min(1.0);
        let mut noise = || 1.0 + 0.02 * (random.unit() - 0.5);
        let latency = (IDLE_LATENCY / (1.0 - busy).max(1e-3)).min(TIMEOUT);
        [load.min(capacity) * noise(), size, (busy * noise()).min(1.0), latency]
    }
}

fn whole(seconds: u64) -> f64 {
    plimsoll::number::from_u64(seconds)
}
