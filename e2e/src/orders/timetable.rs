//! What happens when: load that grows past what the database carries, and everything that goes wrong meanwhile.

use std::time::Duration;

/// How often everything is scraped.
pub const SCRAPE_SECONDS: u32 = 1;

/// The least a course may last: a leader's successor waits for its lease, and draining takes its time.
pub const SHORTEST: Duration = Duration::from_secs(60);

/// Something that is done to both sides at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All services get a new version, with surge.
    Rollout,
    /// The operator that leads is killed; its successor has to wait for the lease.
    LeaderKilled,
    /// The process of one pod of a service is killed; its container is started again.
    PodCrashes(&'static str),
    /// One pod of a service is deleted: its successor starts while it drains.
    PodDeleted(&'static str),
    /// It is declared that the database will give less.
    LimitDeclared,
    /// The database gives less.
    LimitEnforced,
}

impl Event {
    /// A word or two for a chart.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::LeaderKilled => "leader killed",
            Self::PodCrashes(_) => "pod crashes",
            Self::PodDeleted(_) => "pod deleted",
            Self::LimitDeclared => "lower limit declared",
            Self::LimitEnforced => "and enforced",
        }
    }
}

/// The course of one run.
#[derive(Clone, Debug)]
pub struct Timetable {
    duration: Duration,
}

/// Moments as shares of the duration, and what each service's load is worth in replicas.
const LOAD: [(f64, [f64; 3]); 9] = [
    (0.00, [2.0, 2.0, 2.0]),
    (0.06, [2.0, 2.0, 2.0]),
    (0.16, [6.0, 6.0, 5.0]),
    (0.46, [6.0, 6.0, 5.0]),
    (0.55, [11.8, 11.8, 9.8]),
    (0.91, [11.8, 11.8, 9.8]),
    (0.95, [4.0, 3.0, 3.0]),
    (0.97, [2.0, 2.0, 2.0]),
    (1.00, [2.0, 2.0, 2.0]),
];

const EVENTS: [(f64, Event); 6] = [
    (0.24, Event::Rollout),
    (0.29, Event::LeaderKilled),
    (0.42, Event::PodCrashes("checkout")),
    (0.50, Event::PodDeleted("orders")),
    (0.71, Event::LimitDeclared),
    (0.89, Event::LimitEnforced),
];

/// What only a long course has time for: the same again, at the limit.
const MORE_EVENTS: [(f64, Event); 4] = [
    (0.60, Event::Rollout),
    (0.65, Event::PodCrashes("orders")),
    (0.67, Event::PodDeleted("checkout")),
    (0.80, Event::Rollout),
];

/// From which duration on there is time for more.
const LONG: Duration = Duration::from_secs(180);

impl Timetable {
    /// As long as everything needs that happens once.
    pub const SHORT: Duration = Duration::from_secs(80);

    /// A course of this duration, or of the shortest if it is shorter.
    pub fn new(duration: Duration) -> Self {
        Self { duration: duration.max(SHORTEST) }
    }

    /// How long it lasts.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// What the load of the services is worth in replicas, a time after the beginning.
    pub fn load(&self, time: Duration) -> [f64; 3] {
        let share = time.as_secs_f64() / self.duration.as_secs_f64();
        for pair in LOAD.windows(2) {
            let [(from, before), (until, after)] = pair else { continue };
            if share <= *until {
                let way = ((share - from) / (until - from)).clamp(0.0, 1.0);
                let mut load = *before;
                for ((load, before), after) in load.iter_mut().zip(before).zip(after) {
                    *load = before + (after - before) * way;
                }
                return load;
            }
        }
        LOAD.last().map_or([0.0; 3], |(_, load)| *load)
    }

    /// What happens, in order.
    pub fn events(&self) -> Vec<(Duration, Event)> {
        let more: &[_] = if self.duration >= LONG { &MORE_EVENTS } else { &[] };
        let mut events: Vec<_> = EVENTS.iter().chain(more).copied().collect();
        events.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        events.into_iter().map(|(share, event)| (self.duration.mul_f64(share), event)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_grows_in_lines_and_events_come_in_order() {
        let timetable = Timetable::new(Duration::from_secs(100));
        let load = timetable.load(Duration::from_secs(11));
        assert!((load[0] - 4.0).abs() < 1e-9 && (load[2] - 3.5).abs() < 1e-9, "{load:?}");
        let after = timetable.load(Duration::from_secs(1000));
        assert!(after.iter().all(|load| (load - 2.0).abs() < 1e-9), "{after:?}");
        for seconds in [1, 100, 300] {
            let timetable = Timetable::new(Duration::from_secs(seconds));
            let events = timetable.events();
            assert!(events.is_sorted_by_key(|(moment, _)| *moment));
            assert_eq!(events.len(), if seconds == 300 { 10 } else { 6 });
            assert!(events.iter().all(|(moment, _)| *moment < timetable.duration()));
        }
    }
}
