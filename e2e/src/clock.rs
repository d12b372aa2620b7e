//! Wall time that follows tokio's clock, so that `tokio::time::pause` moves every timestamp with it.

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Duration, Instant};

/// A wall clock that advances exactly as tokio's time does.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that shows `base` now.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, start: Instant::now() }
    }

    /// A clock that shows the machine's time now.
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// What the clock shows at `instant`; saturates at the calendar's ends.
    pub fn at(&self, instant: Instant) -> Timestamp {
        let elapsed = signed(instant.saturating_duration_since(self.start));
        self.base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The instant at which the clock shows `moment`; never before the clock was started.
    pub fn instant(&self, moment: Timestamp) -> Instant {
        let ahead = moment.duration_since(self.base);
        self.start + Duration::try_from(ahead).unwrap_or_default()
    }
}

/// `moment` as Kubernetes writes it: RFC 3339 in UTC, whole seconds, rounded down.
pub fn whole_seconds(moment: Timestamp) -> String {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment).to_string()
}

/// `moment` as a `MicroTime` is written: RFC 3339 in UTC with six decimals.
pub fn microseconds(moment: Timestamp) -> String {
    format!("{moment:.6}")
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_moves_with_tokios_time_and_with_nothing_else() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_millis(3_600_500)).await;
        assert_eq!(clock.now().to_string(), "1970-01-01T01:00:00.5Z");
        assert_eq!(whole_seconds(clock.now()), "1970-01-01T01:00:00Z");
        assert_eq!(microseconds(clock.now()), "1970-01-01T01:00:00.500000Z");
        assert_eq!(clock.instant(clock.now()), Instant::now());
    }
}
