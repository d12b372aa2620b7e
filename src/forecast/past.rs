//! The past of a need on a grid, and what is made of its gaps.

use std::collections::VecDeque;

use super::outlook::{Unforeseen, UnforeseenKind};
use crate::number::{count_of, from_count};
use crate::signal::Moments;
use crate::time::{Span, Time};

/// From one value to the next: finer is of no use to what looks back for weeks, and coarser would miss a ramp.
pub const STEP: Span = Span::from_seconds(300);
/// Steps of an hour.
pub(super) const HOUR: usize = 12;
/// Steps of a day.
pub(super) const DAY: usize = 24 * HOUR;
/// Up to this many values in a row are drawn through from those at both sides.
const SHORT_GAP: usize = HOUR;
/// No more of the past than this share may be made up.
const MOST_MISSING: f64 = 0.2;
/// A value beyond this many times what 99 of 100 keep to, with nothing like it beside it, is a fault of the metric and no
/// load.
const LONE_SPIKE: f64 = 10.0;

/// Values on a grid, NaN where none is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Past {
    first: Time,
    values: VecDeque<f64>,
}

/// A past without gaps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Whole {
    pub(super) first: Time,
    pub(super) values: Vec<f64>,
}

impl Past {
    /// The moments that are not known yet of the last `span`.
    pub(super) fn missing(&self, span: Span, now: Time) -> Moments {
        let from = if self.values.is_empty() { now - span } else { self.end().max(now - span) };
        Moments::within(from, now, STEP)
    }

    /// The moment after the last.
    pub(super) fn end(&self) -> Time {
        self.first + STEP.times(u64::from(count_of(self.values.len())))
    }

    /// Takes note of what came after; what is no load is a gap. What does not follow on what is known begins anew.
    pub(super) fn learn(
        &mut self,
        moments: Moments,
        values: impl IntoIterator<Item = Option<f64>>,
        keep: Span,
    ) {
        if moments.step != STEP || moments.count == 0 {
            return;
        }
        let gap = moments.first.millis().saturating_sub(self.end().millis());
        let step = i64::try_from(STEP.millis()).unwrap_or(i64::MAX);
        let steps = usize::try_from(gap.div_euclid(step)).unwrap_or(usize::MAX);
        let most = usize::try_from(keep.millis().div_euclid(STEP.millis())).unwrap_or(usize::MAX);
        if self.values.is_empty() || gap.rem_euclid(step) != 0 || steps > most {
            *self = Self { first: moments.first, values: VecDeque::new() };
        } else {
            self.values.extend(std::iter::repeat_n(f64::NAN, steps));
        }
        let sound = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let many = usize::try_from(moments.count).unwrap_or(usize::MAX);
        self.values.extend(values.into_iter().take(many).map(|value| sound(value).unwrap_or(f64::NAN)));
        while self.values.len() > most.max(1) {
            self.values.pop_front();
            self.first = self.first + STEP;
        }
    }

    /// The value at a moment.
    pub(super) fn at(&self, at: Time) -> Option<f64> {
        let steps = at.since(self.first).millis().checked_div(STEP.millis())?;
        let value = *self.values.get(usize::try_from(steps).ok()?)?;
        (at >= self.first && value.is_finite()).then_some(value)
    }

    /// The past from the first to the last known value, with its gaps filled: short ones in a straight line, longer ones by
    /// the day before or after.
    pub(super) fn whole(&self) -> Result<Whole, Unforeseen> {
        let mut values: Vec<f64> = self.values.iter().copied().collect();
        drop_spikes(&mut values);
        let begin = values.iter().position(|value| value.is_finite());
        let end = values.iter().rposition(|value| value.is_finite());
        let (Some(begin), Some(end)) = (begin, end) else {
            return Err(Unforeseen::new(
                UnforeseenKind::TooShort,
                "the metric has no past yet: forecasts begin once two days of it are known",
            ));
        };
        values.truncate(end.saturating_add(1));
        values.drain(..begin);
        let missing = from_count(count_of(values.iter().filter(|value| value.is_nan()).count()));
        let share = missing / from_count(count_of(values.len())).max(1.0);
        if share > MOST_MISSING {
            return Err(Unforeseen::new(
                UnforeseenKind::TooManyGaps,
                format!(
                    "{:.0} % of the metric's past is missing, and at most {:.0} % may be: look for gaps in what is scraped or recorded",
                    share * 100.0,
                    MOST_MISSING * 100.0
                ),
            ));
        }
        fill(&mut values);
        Ok(Whole { first: self.first + STEP.times(u64::from(count_of(begin))), values })
    }
}

impl Whole {
    /// The moment after the last.
    pub(super) fn end(&self) -> Time {
        self.first + STEP.times(u64::from(count_of(self.values.len())))
    }

    /// How much it is.
    pub(super) fn span(&self) -> Span {
        STEP.times(u64::from(count_of(self.values.len())))
    }
}

fn drop_spikes(values: &mut [f64]) {
    let usual = quantile(values.iter().copied(), 0.99).unwrap_or(f64::INFINITY);
    let limit = LONE_SPIKE * usual;
    if limit <= 0.0 {
        return;
    }
    let lone: Vec<usize> = values
        .iter()
        .enumerate()
        .filter(|(at, value)| {
            let beside = [at.checked_sub(1), at.checked_add(1)].into_iter().flatten();
            let beside = beside.filter_map(|at| values.get(at)).any(|value| *value > limit);
            **value > limit && !beside
        })
        .map(|(at, _)| at)
        .collect();
    for at in lone {
        if let Some(value) = values.get_mut(at) {
            *value = f64::NAN;
        }
    }
}

/// Fills each gap; the first and the last value are known.
fn fill(values: &mut [f64]) {
    let known = values.to_vec();
    let mut at = 0;
    while at < known.len() {
        if known.get(at).is_some_and(|value| value.is_finite()) {
            at = at.saturating_add(1);
            continue;
        }
        let length = known.iter().skip(at).take_while(|value| value.is_nan()).count();
        let left = at.checked_sub(1).and_then(|left| known.get(left)).copied().unwrap_or(0.0);
        let right = known.get(at.saturating_add(length)).copied().unwrap_or(left);
        for number in 0..length {
            let here = at.saturating_add(number);
            let share = from_count(count_of(number.saturating_add(1)))
                / from_count(count_of(length)).mul_add(1.0, 1.0);
            let line = left + (right - left) * share;
            let day = || {
                // What was filled a day before counts as known.
                let before = here.checked_sub(DAY).and_then(|day| values.get(day)).copied();
                let after = known.get(here.saturating_add(DAY)).copied();
                before.into_iter().chain(after).find(|value| value.is_finite())
            };
            let filled = if length <= SHORT_GAP { line } else { day().unwrap_or(line) };
            if let Some(value) = values.get_mut(here) {
                *value = filled;
            }
        }
        at = at.saturating_add(length);
    }
}

/// The value that a share of them does not pass; those that are no numbers are left out.
pub(super) fn quantile(values: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let rank = (share.clamp(0.0, 1.0) * from_count(count_of(last))).round();
    let rank = usize::try_from(crate::number::floor_count(rank)).unwrap_or(last).min(last);
    sorted.get(rank).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64) -> Time {
        Time::from_seconds(1_700_000_100) + STEP.times(step)
    }

    fn past(values: &[Option<f64>]) -> Past {
        let mut past = Past::default();
        let count = count_of(values.len());
        past.learn(
            Moments { first: at(0), step: STEP, count },
            values.iter().copied(),
            Span::from_seconds(30 * 86_400),
        );
        past
    }

    #[test]
    fn what_is_no_load_is_a_gap_and_short_gaps_are_drawn_through() {
        let odd = [None, Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)];
        for hole in odd {
            let mut values = vec![Some(10.0); 40];
            values[20] = Some(10.0);
            values[21] = hole;
            values[22] = Some(14.0);
            let whole = past(&values).whole().unwrap();
            assert!((whole.values[21] - 12.0).abs() < 1e-9, "{hole:?}: {}", whole.values[21]);
        }
        // Neither end is made up.
        let mut values = vec![Some(3.0); 30];
        values[0] = None;
        values[29] = Some(f64::NAN);
        let whole = past(&values).whole().unwrap();
        assert_eq!((whole.first, whole.values.len()), (at(1), 28));
    }

    #[test]
    fn long_gaps_are_filled_by_the_day_before_and_too_many_are_refused() {
        let daily = |at: usize| Some(if at % DAY < DAY / 2 { 10.0 } else { 20.0 });
        let mut values: Vec<_> = (0..4 * DAY).map(daily).collect();
        for value in &mut values[2 * DAY + 100..2 * DAY + 200] {
            *value = None;
        }
        let whole = past(&values).whole().unwrap();
        let expected: Vec<_> = (0..4 * DAY).map(|at| daily(at).unwrap()).collect();
        assert_eq!(whole.values, expected);
        for value in &mut values[DAY..2 * DAY] {
            *value = None;
        }
        let refused = past(&values).whole().unwrap_err();
        assert_eq!(refused.kind, UnforeseenKind::TooManyGaps);
        assert!(refused.message.starts_with("34 %"), "{}", refused.message);
        assert_eq!(past(&[None, None]).whole().unwrap_err().kind, UnforeseenKind::TooShort);
    }

    #[test]
    fn a_lone_spike_of_a_counter_that_jumped_is_no_load_but_a_burst_is() {
        let mut values = vec![Some(10.0); 400];
        values[100] = Some(1e12);
        let whole = past(&values).whole().unwrap();
        assert!((whole.values[100] - 10.0).abs() < 1e-9);
        for value in &mut values[200..210] {
            *value = Some(90.0);
        }
        let whole = past(&values).whole().unwrap();
        assert!((whole.values[205] - 90.0).abs() < 1e-9);
    }

    #[test]
    fn what_comes_later_is_put_behind_and_what_is_too_old_goes() {
        let mut past = past(&[Some(1.0), Some(2.0)]);
        let keep = STEP.times(4);
        assert_eq!(past.missing(keep, at(3)), Moments { first: at(2), step: STEP, count: 2 });
        past.learn(Moments { first: at(3), step: STEP, count: 2 }, [Some(4.0), Some(5.0)], keep);
        assert_eq!(
            (past.at(at(2)), past.at(at(3)), past.at(at(0)), past.at(at(9))),
            (None, Some(4.0), None, None)
        );
        assert_eq!((past.first, past.values.len()), (at(1), 4));
        // After a long time there is nothing to put it behind.
        past.learn(Moments { first: at(90), step: STEP, count: 1 }, [Some(7.0)], keep);
        assert_eq!((past.first, past.values.len()), (at(90), 1));
        // Another grid is not taken.
        past.learn(Moments { first: at(91), step: Span::from_seconds(7), count: 1 }, [Some(9.0)], keep);
        assert_eq!(past.values.len(), 1);
    }
}
