//! Load over time: calm, far more than there is capacity for, and calm again.

use std::time::Duration;

/// Requests a second that arrive at once, in the sweep and when there is too much: half as much again as the service carries
/// at its best.
pub const TOO_MUCH: f64 = 45.0;
/// What is calm before and after, as a share of the best throughput of the sweep.
const CALM_BEFORE: f64 = 0.4;
const CALM_AFTER: f64 = 0.75;
/// When load begins to grow, is all there, and is gone; as shares of the course.
const GROWS: (f64, f64) = (0.05, 0.15);
const FALLS: f64 = 0.65;
/// From when to when autoscalers are measured, as shares of the course: once they have had time to follow.
const MEASURED: [(f64, f64); 2] = [(0.45, FALLS), (0.80, 1.0)];

/// A part of the course that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// More arrives than any size carries.
    TooMuch,
    /// Three quarters of what the best size carries arrive.
    Afterwards,
}

/// Load over time.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// How long it lasts.
    pub duration: Duration,
    /// The best throughput of the sweep.
    pub best: f64,
}

impl Course {
    /// Requests a second, a time after the beginning.
    pub fn load(&self, time: Duration) -> f64 {
        let share = self.share(time);
        let calm = CALM_BEFORE * self.best;
        if share >= FALLS {
            CALM_AFTER * self.best
        } else {
            let way = ((share - GROWS.0) / (GROWS.1 - GROWS.0)).clamp(0.0, 1.0);
            calm + (TOO_MUCH - calm) * way
        }
    }

    /// From when to when a phase is measured, in seconds.
    pub fn measured(&self, phase: Phase) -> (f64, f64) {
        let [too_much, afterwards] = MEASURED;
        let (from, until) = match phase {
            Phase::TooMuch => too_much,
            Phase::Afterwards => afterwards,
        };
        let seconds = self.duration.as_secs_f64();
        (from * seconds, until * seconds)
    }

    fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.duration.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_grows_beyond_what_is_carried_and_falls_to_what_is() {
        let course = Course { duration: Duration::from_secs(100), best: 30.0 };
        for (seconds, load) in [(0, 12.0), (5, 12.0), (15, TOO_MUCH), (64, TOO_MUCH), (65, 22.5), (100, 22.5)]
        {
            let told = course.load(Duration::from_secs(seconds));
            assert!((told - load).abs() < 1e-6, "{seconds} s: {told}");
        }
        assert_eq!(course.measured(Phase::TooMuch), (45.0, 65.0));
        assert_eq!(course.measured(Phase::Afterwards), (80.0, 100.0));
    }
}
