//! After what time a load comes again.

use super::past::{DAY, HOUR, STEP};
use crate::number::{count_of, from_count};
use crate::time::Span;

/// The shortest season that may be declared.
pub const SHORTEST_SEASON: Span = Span::from_seconds(3600);
/// The longest season that may be declared.
pub const LONGEST_SEASON: Span = Span::from_seconds(14 * 86_400);

const WEEK: usize = 7 * DAY;
/// A season correlates at least this well with the one before.
const LEAST_CORRELATION: f64 = 0.4;
/// And by this much better than what lies an eighth of it to either side: what merely changes slowly does not.
const STANDS_OUT: f64 = 0.05;
/// A week is looked at beside a day if it correlates by this much better.
const WEEK_ADDS: f64 = 0.05;

/// The seasons of a load in steps, the shortest first: a day, a week or both; none where nothing comes again.
pub(super) fn found(values: &[f64]) -> Vec<usize> {
    let flat = without_line(values);
    // Each day beside the one before: a holiday among them says nothing of the others.
    let day = stands_out(DAY, |lag| typical(&flat, lag));
    let week = stands_out(WEEK, |lag| correlation(&flat, lag))
        .filter(|week| day.is_none() || correlation(&flat, DAY).is_none_or(|day| *week >= day + WEEK_ADDS));
    [day.map(|_| DAY), week.map(|_| WEEK)].into_iter().flatten().collect()
}

/// A declared season in steps.
pub(super) fn steps(season: Span) -> usize {
    let steps = season.millis().checked_div(STEP.millis()).unwrap_or(1);
    usize::try_from(steps).unwrap_or(usize::MAX).max(2)
}

/// How well a load correlates with itself one season earlier, if that is a season.
fn stands_out(season: usize, correlation: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    let found = correlation(season)?;
    let eighth = season.div_euclid(8);
    let beside = [season.saturating_sub(eighth), season.saturating_add(eighth)];
    let beside = beside.into_iter().filter_map(correlation).fold(-1.0, f64::max);
    (found >= LEAST_CORRELATION && found >= beside + STANDS_OUT).then_some(found)
}

/// How well a day correlates with the values `lag` steps earlier, in the middle of all days.
fn typical(values: &[f64], lag: usize) -> Option<f64> {
    let days = (1..).map_while(|day: usize| {
        let begin = values.len().checked_sub(day.checked_mul(DAY)?)?;
        let earlier = values.get(begin.checked_sub(lag)?..)?.get(..DAY)?;
        Some(pearson(earlier, values.get(begin..)?).unwrap_or(0.0))
    });
    super::past::quantile(days, 0.5)
}

/// Pearson's correlation of values with those `lag` steps earlier; none where fewer than `lag` pairs are known.
fn correlation(values: &[f64], lag: usize) -> Option<f64> {
    let later = values.get(lag..)?;
    // An hour is forgiven: a range that is asked for may hold a little less.
    if later.len().saturating_add(HOUR) < lag.min(WEEK) {
        return None;
    }
    pearson(values, later)
}

/// Pearson's correlation of values with others, as far as there are both; none where either does not change.
fn pearson(values: &[f64], later: &[f64]) -> Option<f64> {
    let pairs = || values.iter().copied().zip(later.iter().copied());
    let many = from_count(count_of(values.len().min(later.len()))).max(1.0);
    let (x, y) = pairs().fold((0.0, 0.0), |(x, y), (earlier, later)| (x + earlier, y + later));
    let (x, y) = (x / many, y / many);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (earlier, later) in pairs() {
        let (dx, dy) = (earlier - x, later - y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let scale = (xx * yy).sqrt();
    (scale > 0.0 && scale.is_finite()).then(|| xy / scale)
}

/// The values without the straight line through them: growth over weeks correlates at every lag.
fn without_line(values: &[f64]) -> Vec<f64> {
    let middle = (from_count(count_of(values.len())) - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / from_count(count_of(values.len())).max(1.0);
    let (mut above, mut below) = (0.0, 0.0);
    for (at, value) in (0_u32..).zip(values) {
        let x = from_count(at) - middle;
        above += x * (value - mean);
        below += x * x;
    }
    let slope = if below > 0.0 { above / below } else { 0.0 };
    (0_u32..).zip(values).map(|(at, value)| value - slope * (from_count(at) - middle)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::from_u64;

    /// Noise between −1 and 1, the same in every run.
    fn noise(at: usize) -> f64 {
        let mixed = u64::try_from(at).unwrap().wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        from_u64((mixed ^ (mixed >> 32)) >> 11) / from_u64(1 << 52) - 1.0
    }

    fn wave(at: usize, period: usize) -> f64 {
        (from_count(count_of(at % period)) / from_count(count_of(period)) * std::f64::consts::TAU).sin()
    }

    fn load(days: usize, of: impl Fn(usize) -> f64) -> Vec<usize> {
        found(&(0..days * DAY).map(of).collect::<Vec<_>>())
    }

    #[test]
    fn days_and_weeks_are_found_where_they_are_and_nowhere_else() {
        let weekend = |at: usize| if (at / DAY) % 7 >= 5 { 0.3 } else { 1.0 };
        let walk: Vec<f64> = (0..14 * DAY)
            .scan(100.0, |level, at| {
                *level += noise(at);
                Some(*level)
            })
            .collect();
        for (what, seasons, expected) in [
            ("a daily wave", load(14, |at| 10.0 + 5.0 * wave(at, DAY)), vec![DAY]),
            ("with noise", load(14, |at| 10.0 + 5.0 * wave(at, DAY) + 3.0 * noise(at)), vec![DAY]),
            (
                "with a holiday",
                load(7, |at| if at / DAY == 5 { 3.0 } else { 10.0 + 5.0 * wave(at, DAY) + noise(at) }),
                vec![DAY],
            ),
            ("of three days", load(3, |at| 10.0 + 5.0 * wave(at, DAY)), vec![DAY]),
            (
                "that grows",
                load(14, |at| 10.0 + from_count(count_of(at)) / 100.0 + 5.0 * wave(at, DAY)),
                vec![DAY],
            ),
            ("business days", load(14, |at| weekend(at) * (10.0 + 8.0 * wave(at, DAY))), vec![DAY, WEEK]),
            ("of one week", load(7, |at| weekend(at) * (10.0 + 8.0 * wave(at, DAY))), vec![DAY]),
            (
                "two peaks a day",
                load(14, |at| 10.0 + 4.0 * wave(at, DAY) + 4.0 * wave(at, DAY / 2)),
                vec![DAY],
            ),
            ("only a week", load(28, |at| 10.0 + 5.0 * wave(at, WEEK) + noise(at)), vec![WEEK]),
            ("noise", load(14, |at| 10.0 + 5.0 * noise(at)), vec![]),
            ("nothing at all", load(14, |_| 10.0), vec![]),
            ("growth", load(14, |at| from_count(count_of(at))), vec![]),
            ("a random walk", found(&walk), vec![]),
            ("one day", load(1, |at| wave(at, DAY)), vec![]),
            ("a wave of seven hours", load(14, |at| wave(at, 84)), vec![]),
        ] {
            assert_eq!(seasons, expected, "{what}");
        }
    }
}
