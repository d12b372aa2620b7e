//! What time it is.

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
}

impl Clock {
    /// The machine's wall clock.
    pub const fn wall() -> Self {
        Self(None)
    }

    /// It is `now`, and from here on time passes as it does for tokio: not at all while tokio's clock is paused.
    pub fn simulated(now: Time) -> Self {
        Self(Some(Simulated { begins: now, since: Instant::now() }))
    }

    /// Now.
    pub fn now(&self) -> Time {
        match &self.0 {
            None => moment(jiff::Timestamp::now()),
            Some(simulated) => simulated.begins + span(simulated.since.elapsed()),
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

    #[test]
    fn the_wall_clock_tells_this_century() {
        assert!(Clock::wall().now() > Time::from_seconds(1_700_000_000));
    }
}
