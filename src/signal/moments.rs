//! Evenly spaced moments.

use serde::{Deserialize, Serialize};

use crate::time::{Span, Time};

/// Evenly spaced moments, the earliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moments {
    /// The earliest.
    pub first: Time,
    /// From one to the next; more than zero.
    pub step: Span,
    /// How many there are.
    pub count: u32,
}

impl Moments {
    /// The moments of a grid of `step` through the epoch that are not before `from` and not after `to`.
    pub fn within(from: Time, to: Time, step: Span) -> Self {
        let step = step.max(Span::from_millis(1));
        let width = i64::try_from(step.millis()).unwrap_or(i64::MAX);
        let first =
            from.millis().div_euclid(width).saturating_add(i64::from(from.millis().rem_euclid(width) > 0));
        let last = to.millis().div_euclid(width);
        let count = u32::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0);
        Self { first: Time::from_millis(first.saturating_mul(width)), step, count }
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Time> {
        (0..self.count).map(move |at| self.at(at))
    }

    /// The moment number `at`, counted from 0.
    pub fn at(self, at: u32) -> Time {
        self.first + self.step.times(u64::from(at))
    }

    /// The number of the moment `at`, if it is one of them.
    pub fn position(self, at: Time) -> Option<u32> {
        let since =
            at.millis().checked_sub(self.first.millis()).and_then(|since| u64::try_from(since).ok())?;
        let number = since.checked_div(self.step.millis())?;
        let on_grid = number.checked_mul(self.step.millis()) == Some(since);
        u32::try_from(number).ok().filter(|number| on_grid && *number < self.count)
    }

    /// The same moments in pieces of at most `longest`.
    pub fn pieces(self, longest: u32) -> impl Iterator<Item = Self> {
        let longest = longest.max(1);
        (0..self.count.div_ceil(longest)).map(move |piece| {
            let begin = piece.saturating_mul(longest);
            Self { first: self.at(begin), step: self.step, count: longest.min(self.count - begin) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(moments: Moments) -> Vec<i64> {
        moments.iter().map(|at| at.millis() / 1000).collect()
    }

    #[test]
    fn moments_lie_on_a_grid_within_both_ends() {
        for (from, to, expected) in [
            (30, 60, vec![30, 45, 60]),
            (31, 59, vec![45]),
            (46, 59, vec![]),
            (60, 30, vec![]),
            (-16, 1, vec![-15, 0]),
        ] {
            let found =
                Moments::within(Time::from_seconds(from), Time::from_seconds(to), Span::from_seconds(15));
            assert_eq!(seconds(found), expected, "{from} to {to}");
        }
    }

    #[test]
    fn a_moment_is_found_by_its_time_and_by_no_other() {
        let moments = Moments { first: Time::from_seconds(30), step: Span::from_seconds(15), count: 3 };
        for (number, at) in (0..3).zip(moments.iter()) {
            assert_eq!(moments.position(at), Some(number));
        }
        for millis in [29_999, 30_001, 15_000, 75_000, i64::MIN, i64::MAX] {
            assert_eq!(moments.position(Time::from_millis(millis)), None, "{millis}");
        }
    }

    #[test]
    fn pieces_put_together_are_the_whole() {
        let moments = Moments { first: Time::from_seconds(7), step: Span::from_seconds(5), count: 23 };
        for longest in [1, 2, 7, 22, 23, 100] {
            let pieces: Vec<_> = moments.pieces(longest).collect();
            assert!(pieces.iter().all(|piece| (1..=longest).contains(&piece.count)), "{pieces:?}");
            assert_eq!(
                pieces.iter().flat_map(|piece| piece.iter()).collect::<Vec<_>>(),
                moments.iter().collect::<Vec<_>>()
            );
        }
        assert_eq!(Moments { count: 0, ..moments }.pieces(5).count(), 0);
    }
}
