//! What time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::moment;
use crate::time::{Span, Time};

/// What time it is: the machine's wall clock, or a simulated one that follows tokio's.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Simulated>);

#[derive(Clone, Debug)]
struct Simulated {
    begins: Time,
    since: Instant,
    error: ClockError,
}

/// How far a simulated clock is off, in milliseconds; for clocks that jump.
#[derive(Clone, Debug, Default)]
pub struct ClockError(Arc<AtomicI64>);

impl ClockError {
    /// Puts the clock so far ahead of the time, or behind it.
    pub fn set(&self, milliseconds: i64) {
        self.0.store(milliseconds, Ordering::Relaxed);
    }

    /// How far the clock is ahead of the time.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock {
    /// The machine's wall clock.
    pub const fn wall() -> Self {
        Self(None)
    }

    /// It is `now`, and from here on time passes as it does for tokio: not at all while tokio's clock is paused.
    pub fn simulated(now: Time) -> Self {
        Self::faulty(now, ClockError::default())
    }

    /// The same, off by `error`.
    pub fn faulty(now: Time, error: ClockError) -> Self {
        Self(Some(Simulated { begins: now, since: Instant::now(), error }))
    }

    /// Now.
    pub fn now(&self) -> Time {
        match &self.0 {
            None => moment(jiff::Timestamp::now()),
            Some(simulated) => {
                let now = simulated.begins + span(simulated.since.elapsed());
                Time::from_millis(now.millis().saturating_add(simulated.error.get()))
            }
        }
    }
}

/// A duration as a span; saturates.
pub(super) fn span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_follows_tokios() {
        let start = Time::from_seconds(1_000_000);
        let clock = Clock::simulated(start);
        assert_eq!(clock.now(), start);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now(), start + Span::from_millis(1500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_faulty_clock_jumps_both_ways() {
        let (start, error) = (Time::from_seconds(1_000_000), ClockError::default());
        let clock = Clock::faulty(start, error.clone());
        error.set(5000);
        assert_eq!(clock.now(), start + Span::from_seconds(5));
        error.set(-5000);
        assert_eq!(clock.now(), start - Span::from_seconds(5));
    }

    #[test]
    fn the_wall_clock_tells_this_century() {
        assert!(Clock::wall().now() > Time::from_seconds(1_700_000_000));
    }
}
