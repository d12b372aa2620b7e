//! What a budget gives, from figures that may be missing, late or wrong (rule 9).

use crate::time::{Span, Time};

/// A limit that falls by more than this share of what it was is not believed before a second reading.
const SUSPECT_FALL: f64 = 0.5;
/// What other clients took counts for so long after it fell.
const OTHERS_LINGER: Span = Span::from_seconds(60);
/// Two readings are two only if they lie so far apart.
const CONFIRMS_AFTER: Span = Span::from_seconds(10);

/// A number of connections as declared, or as asked of a metrics server.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Declared.
    Declared(u32),
    /// Asked, and found at this moment.
    Found(u32, Time),
    /// Asked, and not found, for this reason.
    Missing(String),
}

/// What is assumed when a figure is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnMissing {
    /// How long the last known figure is believed.
    pub last_known: Span,
    /// What is assumed then; the last known figure for ever if nothing is declared.
    pub assumed: Option<u32>,
}

/// What a budget gives, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSeen {
    /// What the server gives in all; none if it was never known.
    pub limit: Option<u32>,
    /// Held back.
    pub reserved: u32,
    /// Taken by others; none if it was never known.
    pub others: Option<u32>,
    /// What growth may use: limit − reserved − others.
    pub for_growth: u32,
    /// What removes pods when it is exceeded: as last read, once a fall is confirmed; never what is only supposed.
    pub for_recall: u32,
    /// What is wrong with the figures, in words; empty if nothing is.
    pub faults: Vec<String>,
}

/// Follows the figures of one budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitTracker {
    limit: Known,
    others: Known,
    /// The highest of the others of the last minute.
    peaks: Vec<(Time, u32)>,
    /// A limit that is believed for removing pods.
    confirmed: Option<u32>,
    /// The first reading below it.
    fell: Option<(Time, u32)>,
    /// What others took when that was read last.
    others_read: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Known {
    last: Option<(Time, u32)>,
}

impl LimitTracker {
    /// Begins with what was known of the limit, and of the others, some time ago: none is believed to be as it was, and none
    /// to be better.
    pub fn recalled(limit: Option<u32>, others: Option<u32>) -> Self {
        let long_ago = |connections| Known { last: Some((Time::from_seconds(0), connections)) };
        Self {
            limit: limit.map(long_ago).unwrap_or_default(),
            others: others.map(long_ago).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Takes note of the figures at `now`. `unattributed` are connections in use that no pod accounts for.
    #[allow(clippy::too_many_arguments, reason = "each is a figure of its own")]
    pub fn read(
        &mut self,
        limit: &Figure,
        limit_missing: OnMissing,
        reserved: u32,
        others: &Figure,
        others_missing: OnMissing,
        unattributed: u32,
        now: Time,
    ) -> LimitSeen {
        let mut faults = Vec::new();
        let supposed = self.limit.resolve("limit", limit, limit_missing, now, u32::min, &mut faults);
        let others_supposed =
            self.others.resolve("others", others, others_missing, now, u32::max, &mut faults);
        let peak = self.peak(others_supposed.unwrap_or(0).max(unattributed), now);
        let given = |limit: u32, others: u32| limit.saturating_sub(reserved).saturating_sub(others);
        if let Some(limit) = limit.known() {
            self.confirm(limit, now, &mut faults);
        }
        // What is only supposed stops growth; pods are removed for what was read.
        let others_read = match others.known() {
            Some(_) => Some(peak),
            None => self.others_read.map(|read| read.max(unattributed)),
        };
        self.others_read = others_read;
        let for_recall =
            self.confirmed.zip(others_read).map_or(u32::MAX, |(limit, others)| given(limit, others));
        LimitSeen {
            limit: supposed,
            reserved,
            others: others_supposed.map(|_| peak),
            for_growth: supposed.zip(others_supposed).map_or(0, |(limit, _)| given(limit, peak)),
            for_recall,
            faults,
        }
    }

    /// Others rise at once, and fall when they have been lower for a minute.
    fn peak(&mut self, others: u32, now: Time) -> u32 {
        self.peaks.retain(|(at, value)| *at <= now && *at + OTHERS_LINGER > now && *value > others);
        self.peaks.push((now, others));
        self.peaks.iter().map(|(_, value)| *value).max().unwrap_or(others)
    }

    /// The limit that may remove pods.
    fn confirm(&mut self, limit: u32, now: Time, faults: &mut Vec<String>) {
        let before = self.confirmed.unwrap_or(limit);
        let collapse = f64::from(limit) < f64::from(before) * SUSPECT_FALL;
        if !collapse {
            self.fell = None;
            self.confirmed = Some(limit);
            return;
        }
        let (since, highest) = self.fell.get_or_insert((now, limit));
        *highest = (*highest).max(limit);
        if now.since(*since) >= CONFIRMS_AFTER {
            self.confirmed = Some(*highest);
            self.fell = None;
            return;
        }
        faults.push(format!(
            "the limit fell from {before} to {limit} in one reading: nothing grows beyond it, and nothing is removed \
             before a second reading agrees"
        ));
    }
}

impl Figure {
    /// The number, if it is known now.
    const fn known(&self) -> Option<u32> {
        match self {
            Self::Declared(connections) | Self::Found(connections, _) => Some(*connections),
            Self::Missing(_) => None,
        }
    }
}

impl Known {
    fn resolve(
        &mut self,
        name: &str,
        figure: &Figure,
        missing: OnMissing,
        now: Time,
        careful: fn(u32, u32) -> u32,
        faults: &mut Vec<String>,
    ) -> Option<u32> {
        let why = match figure {
            Figure::Declared(connections) => return Some(*connections),
            Figure::Found(connections, at) => {
                self.last = Some((*at, *connections));
                return Some(*connections);
            }
            Figure::Missing(why) => why,
        };
        match (self.last, missing.assumed) {
            (Some((at, last)), _) if now.since(at) < missing.last_known => {
                faults.push(format!("{name} is not known ({why}): the last known {last} holds"));
                Some(last)
            }
            (Some((_, last)), Some(assumed)) => {
                let careful = careful(last, assumed);
                faults.push(format!(
                    "{name} has not been known for {} ({why}): {careful} is assumed",
                    missing.last_known
                ));
                Some(careful)
            }
            (Some((_, last)), None) => {
                faults.push(format!(
                    "{name} has not been known for {} ({why}): the last known {last} holds; declare {name}.assumed",
                    missing.last_known
                ));
                Some(last)
            }
            (None, assumed) => {
                let then = assumed.map_or_else(
                    || "declare what to assume, or mend the query".to_owned(),
                    |assumed| format!("{assumed} is assumed"),
                );
                faults.push(format!("{name} was never known ({why}): {then}"));
                assumed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: OnMissing = OnMissing { last_known: Span::from_seconds(300), assumed: Some(60) };

    fn at(seconds: i64) -> Time {
        Time::from_seconds(1_790_000_000 + seconds)
    }

    fn gone() -> Figure {
        Figure::Missing("the query finds no series".to_owned())
    }

    /// What growth may use and what removes pods, after one reading after the other.
    fn seen(readings: &[(i64, Figure, Figure)]) -> Vec<(u32, u32)> {
        let mut tracker = LimitTracker::default();
        let read = |(second, limit, others): &(i64, Figure, Figure)| {
            let seen = tracker.read(limit, MISSING, 3, others, MISSING, 0, at(*second));
            (seen.for_growth, seen.for_recall)
        };
        readings.iter().map(read).collect()
    }

    fn limits(readings: &[(i64, Option<u32>)]) -> Vec<(u32, u32)> {
        let with_others = |(second, limit): &(i64, Option<u32>)| {
            let limit = limit.map_or_else(gone, |limit| Figure::Found(limit, at(*second)));
            (*second, limit, Figure::Declared(0))
        };
        seen(&readings.iter().map(with_others).collect::<Vec<_>>())
    }

    #[test]
    fn a_limit_that_falls_stops_growth_at_once_and_removes_pods_when_a_second_reading_agrees() {
        for (what, readings, expected) in [
            ("a fall by less than half", &[(0, Some(103)), (15, Some(63))][..], &[(100, 100), (60, 60)][..]),
            (
                "a collapse that stays",
                &[(0, Some(103)), (15, Some(23)), (20, Some(33)), (30, Some(23))],
                &[(100, 100), (20, 100), (30, 100), (20, 30)],
            ),
            (
                "a collapse that was a slip",
                &[(0, Some(103)), (15, Some(0)), (30, Some(103)), (45, Some(0))],
                &[(100, 100), (0, 100), (100, 100), (0, 100)],
            ),
            ("a rise", &[(0, Some(103)), (15, Some(203))], &[(100, 100), (200, 200)]),
        ] {
            assert_eq!(limits(readings), expected, "{what}");
        }
    }

    #[test]
    fn a_missing_limit_is_the_last_one_known_and_then_never_more_than_that() {
        for (what, readings, expected) in [
            (
                "assumed is less",
                &[(0, Some(103)), (299, None), (300, None), (999, None)][..],
                &[(100, 100), (100, 100), (57, 100), (57, 100)][..],
            ),
            ("assumed is more", &[(0, Some(43)), (299, None), (300, None)], &[(40, 40), (40, 40), (40, 40)]),
            (
                "it comes back",
                &[(0, Some(103)), (300, None), (301, Some(83))],
                &[(100, 100), (57, 100), (80, 80)],
            ),
            ("it was never known", &[(0, None), (999, None)], &[(57, u32::MAX), (57, u32::MAX)]),
        ] {
            assert_eq!(limits(readings), expected, "{what}: what is only supposed removes no pod");
        }
        let mut never = LimitTracker::default();
        let undeclared = OnMissing { assumed: None, ..MISSING };
        let seen = never.read(&gone(), undeclared, 3, &Figure::Declared(0), MISSING, 0, at(0));
        assert_eq!((seen.limit, seen.for_growth, seen.for_recall), (None, 0, u32::MAX), "nothing is removed");
    }

    #[test]
    fn others_that_were_never_read_stop_growth_and_remove_nothing() {
        let mut tracker = LimitTracker::default();
        let (limit, undeclared) = (Figure::Declared(103), OnMissing { assumed: None, ..MISSING });
        let seen = tracker.read(&limit, MISSING, 3, &gone(), undeclared, 0, at(0));
        assert_eq!((seen.for_growth, seen.for_recall), (0, u32::MAX));
        let seen = tracker.read(&limit, MISSING, 3, &Figure::Found(10, at(15)), undeclared, 0, at(15));
        assert_eq!((seen.for_growth, seen.for_recall), (90, 90));
        let seen = tracker.read(&limit, MISSING, 3, &gone(), MISSING, 0, at(999));
        assert_eq!((seen.for_growth, seen.for_recall), (40, 90), "60 are assumed, and 10 were read");
    }

    #[test]
    fn what_was_known_before_a_restart_is_taken_for_no_more_than_it_was_and_removes_nothing() {
        let after = |limit, others, assumed| {
            let missing = OnMissing { assumed, ..MISSING };
            let mut tracker = LimitTracker::recalled(limit, others);
            let seen = tracker.read(&gone(), missing, 3, &gone(), missing, 0, at(0));
            (seen.for_growth, seen.for_recall)
        };
        assert_eq!(after(Some(103), Some(10), None), (90, u32::MAX));
        assert_eq!(after(Some(103), Some(10), Some(60)), (0, u32::MAX), "60 of 60 are assumed to be taken");
        assert_eq!(after(None, None, None), (0, u32::MAX));
    }

    #[test]
    fn others_rise_at_once_and_fall_when_they_have_been_lower_for_a_minute() {
        let readings = [(0, 10), (15, 40), (30, 20), (74, 20), (75, 20), (90, 20)]
            .map(|(second, others)| (second, Figure::Declared(103), Figure::Found(others, at(second))));
        let growth: Vec<u32> = seen(&readings).into_iter().map(|(growth, _)| growth).collect();
        assert_eq!(growth, [90, 60, 60, 60, 80, 80]);
        let clocked_back = [(100, 40), (20, 10)]
            .map(|(second, others)| (second, Figure::Declared(103), Figure::Found(others, at(second))));
        assert_eq!(seen(&clocked_back).last(), Some(&(90, 90)), "a clock that is set back holds nothing");
    }

    #[test]
    fn connections_that_no_pod_accounts_for_count_where_they_are_more_than_the_others() {
        let mut tracker = LimitTracker::default();
        let limit = Figure::Declared(103);
        let seen = tracker.read(&limit, MISSING, 3, &Figure::Declared(10), MISSING, 25, at(0));
        assert_eq!((seen.others, seen.for_growth), (Some(25), 75));
    }
}
