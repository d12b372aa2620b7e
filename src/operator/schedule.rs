//! When a policy is evaluated: on a grid of its own, so that a thousand policies do not ask at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Uid;

/// After a start every policy is evaluated within this time, however seldom it wants to be.
const FIRST_WITHIN: Duration = Duration::from_secs(15);
/// The first wait after a write that failed and may succeed in a moment; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When a policy is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    origin: Instant,
    identity: u64,
    /// Evaluations in a row that are to be tried again.
    failures: u32,
}

impl Schedule {
    /// The grid of a policy; `origin` is the same for all.
    pub fn new(origin: Instant, policy: Uid) -> Self {
        // The hash is spread once more: uids made one after the other differ in few bits.
        Self { origin, identity: policy.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32), failures: 0 }
    }

    /// When a policy that was there before the operator is evaluated first.
    pub fn first(&self, interval: Duration, now: Instant) -> Instant {
        now + self.phase(interval.min(FIRST_WITHIN))
    }

    /// When to evaluate after an evaluation that ended `now`; `again` tells that a write failed and may succeed in a
    /// moment.
    pub fn next(&mut self, interval: Duration, now: Instant, again: bool) -> Instant {
        self.failures = if again { self.failures.saturating_add(1) } else { 0 };
        let regular = self.regular(interval, now);
        if !again {
            return regular;
        }
        let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures - 1));
        regular.min(now + wait)
    }

    /// The next point of the grid, left out if it is less than half an interval away.
    fn regular(&self, interval: Duration, now: Instant) -> Instant {
        let interval = interval.max(Duration::from_millis(1));
        let since = (now - self.origin).as_nanos();
        let phase = self.phase(interval).as_nanos();
        let passed = (since + interval.as_nanos() - phase) % interval.as_nanos();
        let left = interval.saturating_sub(Duration::from_nanos(u64::try_from(passed).unwrap_or(0)));
        now + if left < interval / 2 { left + interval } else { left }
    }

    /// The grid's offset, from zero to less than the interval.
    fn phase(&self, interval: Duration) -> Duration {
        let milliseconds = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.identity % milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[tokio::test(start_paused = true)]
    async fn evaluations_keep_to_a_grid_whatever_they_take() {
        let origin = Instant::now();
        let mut schedule = Schedule::new(origin, Uid(7));
        let first = schedule.next(INTERVAL, origin + Duration::from_secs(40), false);
        for took in [0, 1, 7] {
            let next = schedule.next(INTERVAL, first + Duration::from_secs(took), false);
            assert_eq!(next - first, INTERVAL, "took {took} s");
        }
        assert_eq!(
            schedule.next(INTERVAL, first + Duration::from_secs(8), false) - first,
            INTERVAL * 2,
            "too soon is left out"
        );
        assert_eq!(
            schedule.next(INTERVAL, first + Duration::from_hours(1), false) - first,
            Duration::from_secs(3615)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn policies_are_spread_over_the_interval() {
        let origin = Instant::now();
        let mut buckets = [0; 15];
        for policy in 0..15_000_u32 {
            let schedule = Schedule::new(origin, Uid::of(&format!("0b1e8f9a-7e53-4b3f-9f1c-{policy:012x}")));
            let wait = (schedule.first(INTERVAL, origin) - origin).as_secs();
            buckets[usize::try_from(wait).unwrap()] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1200).contains(count)), "{buckets:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_seldom_evaluated_policy_does_not_wait_long_after_a_start() {
        let origin = Instant::now();
        for policy in 0..100 {
            let first = Schedule::new(origin, Uid(policy)).first(Duration::from_hours(1), origin);
            assert!(first - origin < FIRST_WITHIN);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_tried_again_with_growing_waits() {
        let origin = Instant::now();
        let mut schedule = Schedule::new(origin, Uid(1));
        let hour = Duration::from_hours(1);
        let waits: Vec<_> = (0..5).map(|_| (schedule.next(hour, origin, true) - origin).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16]);
        schedule.next(hour, origin, false);
        assert_eq!((schedule.next(hour, origin, true) - origin).as_secs(), 1);
        (0..100).for_each(|_| assert!(schedule.next(INTERVAL, origin, true) - origin <= INTERVAL * 2));
    }
}
