//! Time-aware exponential smoothing.

use crate::time::{Span, Time};

/// An exponentially weighted moving average whose weights depend on the time between samples, so that an irregular
/// or missed evaluation does not change what "one minute" means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MovingAverage {
    last: Option<(Time, f64)>,
}

impl MovingAverage {
    /// Takes a sample and returns the average: after one `half_life`, half of a step has been followed. A half-life
    /// of zero follows at once. `value` must be finite.
    pub fn update(&mut self, value: f64, now: Time, half_life: Span) -> f64 {
        let average = match self.last {
            Some((before, average)) if half_life > Span::ZERO => {
                let kept = (-now.since(before).seconds() / half_life.seconds()).exp2();
                value + (average - value) * kept
            }
            _ => value,
        };
        self.last = Some((now, average));
        average
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_step_is_followed_in_one_half_life_however_often_it_is_sampled() {
        for samples in [1_i64, 2, 7, 60] {
            let mut average = MovingAverage::default();
            average.update(100.0, Time::from_seconds(0), Span::from_seconds(60));
            let mut last = 100.0;
            for sample in 1..=samples {
                let now = Time::from_millis(60_000 * sample / samples);
                last = average.update(0.0, now, Span::from_seconds(60));
            }
            assert!((last - 50.0).abs() < 1e-9, "{samples} samples: {last}");
        }
    }

    #[test]
    fn no_half_life_follows_at_once() {
        let mut average = MovingAverage::default();
        average.update(100.0, Time::from_seconds(0), Span::ZERO);
        assert_eq!(average.update(3.0, Time::from_seconds(1), Span::ZERO).to_bits(), 3.0_f64.to_bits());
    }
}
