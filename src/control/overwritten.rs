//! Counts that others set: corrected once, and kept where they come back.

use crate::time::{Span, Time};

/// What is corrected is left alone for this long if it comes back, and each time it does twice as long …
const FIRST_BACK_OFF: Span = Span::from_seconds(300);
/// … but no longer than this.
const LONGEST_BACK_OFF: Span = Span::from_seconds(3600);

/// What is remembered of counts set by others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overwritten {
    /// When a count set by others was seen last.
    seen: Option<Time>,
    /// When we asked for a count last.
    asked: Option<Time>,
    contest: Option<Contest>,
}

/// A count that others set again after it was corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contest {
    /// What they set.
    pub(super) theirs: u32,
    /// Until then nothing is removed.
    pub(super) until: Time,
    back_off: Span,
}

impl Overwritten {
    /// Takes note that we ask for a count.
    pub(super) fn ask(&mut self, now: Time) {
        self.asked = Some(now);
    }

    /// Takes note of a count that we did not ask for.
    pub(super) fn see(&mut self, theirs: u32, now: Time) {
        let back_off =
            self.contest.map_or(FIRST_BACK_OFF, |contest| contest.back_off.times(2).min(LONGEST_BACK_OFF));
        let asked = self.asked.filter(|asked| self.seen.is_some_and(|seen| *asked >= seen));
        let corrected = asked.is_some_and(|asked| now.since(asked) < back_off);
        self.contest = match self.contest {
            Some(contest) if now < contest.until => Some(Contest { theirs, ..contest }),
            _ if corrected => Some(Contest { theirs, until: now + back_off, back_off }),
            _ => None,
        };
        self.seen = Some(now);
    }

    /// The count that others insist on, while it is left alone.
    pub(super) fn contest(&self, now: Time) -> Option<Contest> {
        self.contest.filter(|contest| now < contest.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_seconds(1_000_000) + Span::from_seconds(seconds)
    }

    #[test]
    fn what_comes_back_is_left_alone_for_longer_and_longer() {
        let mut overwritten = Overwritten::default();
        overwritten.see(15, at(0));
        assert_eq!(overwritten.contest(at(0)), None, "once is a person's good right, and is corrected");
        let (mut now, mut lasted) = (15, Vec::new());
        for _ in 0..6 {
            overwritten.ask(at(now - 15));
            overwritten.see(15, at(now));
            let until = overwritten.contest(at(now)).unwrap().until;
            lasted.push(until.since(at(now)).rounded_seconds());
            assert_eq!(overwritten.contest(until), None, "then it is corrected once more");
            now += lasted[lasted.len() - 1] + 15;
        }
        assert_eq!(lasted, [300, 600, 1200, 2400, 3600, 3600]);
    }

    #[test]
    fn two_that_are_far_apart_or_not_corrected_are_no_contest() {
        for (asked, second) in
            [(Some(at(10)), at(400)), (None, at(30)), (Some(at(0) - Span::from_seconds(5)), at(30))]
        {
            let mut overwritten = Overwritten::default();
            overwritten.see(15, at(0));
            if let Some(asked) = asked {
                overwritten.ask(asked);
            }
            overwritten.see(15, second);
            assert_eq!(overwritten.contest(second), None, "{asked:?} {second:?}");
        }
    }
}
