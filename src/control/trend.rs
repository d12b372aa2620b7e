//! Where load is going: a robust, significant trend, projected over one lead time.
//!
//! The slope is Theil and Sen's, the median of the slopes between all pairs of the last ten minutes' medians; it counts
//! where Kendall's τ says that the minutes rise, not that they scatter.

use std::collections::VecDeque;

use crate::number::{count_of, from_count};
use crate::time::{Span, Time};

/// One entry a minute: a mean of a minute says nothing new sooner.
const MINUTE: Span = Span::from_seconds(60);
/// Minutes that a trend is made of.
const MINUTES: usize = 10;
/// Fewer minutes make none.
const FEWEST_MINUTES: usize = 8;
/// Kendall's τ from which on a rise is no scatter. Of ten unrelated minutes, one in five hundred comes to it.
const SIGNIFICANT: f64 = 0.7;

/// What was seen of a need in the last minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trend {
    /// Medians of whole minutes, the oldest first.
    minutes: VecDeque<f64>,
    /// The minute under way: when it began, and what was seen in it.
    begun: Option<Time>,
    seen: Vec<f64>,
}

impl Trend {
    /// Takes note of a need.
    pub(super) fn observe(&mut self, need: f64, now: Time) {
        let begun = match self.begun {
            Some(begun) if begun <= now && now.since(begun) < MINUTE.times(2) => begun,
            Some(_) => {
                // What came in between is not known.
                self.interrupt();
                now
            }
            None => now,
        };
        self.begun = Some(begun);
        if now.since(begun) >= MINUTE {
            self.minutes.extend(median(&mut self.seen));
            self.seen.clear();
            self.begun = Some(begun + MINUTE);
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
        self.seen.push(need);
    }

    /// What comes next is not the continuation of what was.
    pub(super) fn interrupt(&mut self) {
        *self = Self::default();
    }

    /// How far need will have risen after `ahead`; 0 where no rise is sure.
    pub(super) fn rise(&self, ahead: Span) -> f64 {
        if self.minutes.len() < FEWEST_MINUTES {
            return 0.0;
        }
        let mut slopes = Vec::new();
        let mut concord = 0.0;
        for (number, earlier) in self.minutes.iter().enumerate() {
            for (distance, later) in (1_u32..).zip(self.minutes.iter().skip(number.saturating_add(1))) {
                let slope = (later - earlier) / from_count(distance);
                concord += if slope > 0.0 {
                    1.0
                } else if slope < 0.0 {
                    -1.0
                } else {
                    0.0
                };
                slopes.push(slope);
            }
        }
        if concord < SIGNIFICANT * from_count(count_of(slopes.len())) {
            return 0.0;
        }
        let slope = median(&mut slopes).unwrap_or(0.0).max(0.0);
        slope * ahead.seconds() / MINUTE.seconds()
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Span = Span::from_seconds(180);

    fn seen(seconds: i64, need: impl Fn(i64) -> f64) -> Trend {
        let mut trend = Trend::default();
        for second in (0..=seconds).step_by(15) {
            trend.observe(need(second), Time::from_seconds(1_700_000_000 + second));
        }
        trend
    }

    /// Noise of three percent, the same at each run.
    fn noise(second: i64) -> f64 {
        let mixed = second.unsigned_abs().wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        1.0 + 0.06 * ((mixed >> 40) as f64 / (1_u64 << 24) as f64 - 0.5)
    }

    #[test]
    fn a_ramp_is_projected_and_noise_does_not_hide_it() {
        // One more each minute: three more in three minutes.
        let rise = seen(900, |second| 20.0 + second as f64 / 60.0).rise(AHEAD);
        assert!((rise - 3.0).abs() < 0.1, "{rise}");
        let rise = seen(900, |second| (20.0 + second as f64 / 60.0) * noise(second)).rise(AHEAD);
        assert!((2.0..4.0).contains(&rise), "{rise}");
    }

    #[test]
    fn what_falls_stands_still_or_has_just_begun_is_no_rise() {
        assert!(seen(900, |second| 40.0 - second as f64 / 60.0).rise(AHEAD).abs() < 1e-12);
        assert!(seen(900, |_| 20.0).rise(AHEAD).abs() < 1e-12);
        assert!(
            seen(300, |second| 20.0 + second as f64 / 60.0).rise(AHEAD).abs() < 1e-12,
            "five minutes are too few"
        );
    }

    #[test]
    fn one_spike_is_no_trend_and_does_not_bend_one() {
        let spike = |second: i64| if (480..540).contains(&second) { 200.0 } else { 20.0 };
        assert!(seen(900, spike).rise(AHEAD).abs() < 1e-12);
        let on_a_ramp =
            |second: i64| if (480..540).contains(&second) { 200.0 } else { 20.0 + second as f64 / 60.0 };
        let rise = seen(900, on_a_ramp).rise(AHEAD);
        assert!(rise < 3.2, "{rise}");
    }

    #[test]
    fn on_a_load_that_only_scatters_a_trend_adds_less_than_a_percent() {
        let mut trend = Trend::default();
        let mut added = 0.0;
        let mut evaluations = 0.0;
        for second in (0..30 * 86_400).step_by(15) {
            trend.observe(20.0 * noise(second), Time::from_seconds(1_700_000_000 + second));
            added += trend.rise(AHEAD);
            evaluations += 1.0;
        }
        assert!(added / evaluations < 0.01 * 20.0, "{}", added / evaluations);
    }

    #[test]
    fn a_gap_ends_what_was_seen() {
        let mut trend = seen(900, |second| 20.0 + second as f64 / 60.0);
        trend.observe(60.0, Time::from_seconds(1_700_000_000 + 1200));
        assert!(trend.rise(AHEAD).abs() < 1e-12);
    }
}
