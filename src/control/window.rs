//! The largest or smallest recommendation of the recent past.

use std::collections::VecDeque;

use crate::time::{Span, Time};

/// Which recommendation of a window counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extreme {
    Largest,
    Smallest,
}

/// Recommendations of the recent past, reduced to those that can still be the extreme of some window that ends now:
/// each newer entry is less extreme than the one before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window<T> {
    extreme: Extreme,
    entries: VecDeque<(Time, T)>,
}

impl<T: PartialOrd + Copy> Window<T> {
    pub(super) fn new(extreme: Extreme) -> Self {
        Self { extreme, entries: VecDeque::new() }
    }

    /// Adds a value seen `now` and forgets what is older than `keep`.
    pub(super) fn push(&mut self, value: T, now: Time, keep: Span) {
        // What a clock that was ahead dated in the future was seen now at the latest, and must not stay until then.
        for (at, _) in &mut self.entries {
            *at = (*at).min(now);
        }
        while self.entries.front().is_some_and(|(at, _)| *at <= now - keep) {
            self.entries.pop_front();
        }
        let outdone = |earlier: T| match self.extreme {
            Extreme::Largest => earlier <= value,
            Extreme::Smallest => earlier >= value,
        };
        while self.entries.back().is_some_and(|(_, earlier)| outdone(*earlier)) {
            self.entries.pop_back();
        }
        self.entries.push_back((now, value));
    }

    /// The extreme of the values seen less than `window` ago; as in HPA, one seen exactly then is out.
    pub(super) fn over(&self, window: Span, now: Time) -> Option<T> {
        self.entries.iter().find(|(at, _)| *at > now - window).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn what_is_dated_in_the_future_counts_from_now_on_for_a_window() {
        let (window, keep) = (Span::from_seconds(30), Span::from_seconds(600));
        let mut least = Window::new(Extreme::Smallest);
        least.push(1, Time::from_seconds(10_000), keep);
        let value = |least: &mut Window<u32>, at: i64| {
            least.push(6, Time::from_seconds(at), keep);
            least.over(window, Time::from_seconds(at))
        };
        assert_eq!(value(&mut least, 1000), Some(1));
        assert_eq!(value(&mut least, 1029), Some(1));
        assert_eq!(value(&mut least, 1030), Some(6));
    }

    use super::*;

    proptest! {
        #[test]
        fn the_extreme_is_the_one_that_a_full_list_has(
            values in prop::collection::vec((0_u32..50, 1_u32..40), 1..60),
            window in 0_u64..600,
        ) {
            let window = Span::from_seconds(window);
            let mut largest = Window::new(Extreme::Largest);
            let mut smallest = Window::new(Extreme::Smallest);
            let mut all = Vec::new();
            let mut now = Time::from_seconds(0);
            for (value, step) in values {
                now = now + Span::from_seconds(u64::from(step));
                largest.push(value, now, Span::from_seconds(600));
                smallest.push(value, now, Span::from_seconds(600));
                all.push((now, value));
                let recent = || all.iter().filter(|(at, _)| *at > now - window).map(|(_, value)| *value);
                prop_assert_eq!(largest.over(window, now), recent().max());
                prop_assert_eq!(smallest.over(window, now), recent().min());
            }
        }
    }
}
