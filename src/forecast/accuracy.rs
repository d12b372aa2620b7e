//! How far forecasts of the last day were off, beside what anybody could have said at the same moments.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::past::{DAY, HOUR, quantile};
use crate::number::{count_of, from_count};
use crate::time::{Span, Time};

/// Forecasts of this span are compared with what came.
const COMPARED: Span = Span::from_seconds(86_400);
/// Before so many were, nothing is known of them.
const ENOUGH: usize = DAY * 3 / 4;
/// So much less than the error of what anybody could have said a forecast must be off to be trusted …
const TO_BE_TRUSTED: f64 = 0.9;
/// … and so much to stay so.
const TO_STAY_TRUSTED: f64 = 1.0;
/// A forecast that is off by more than this share of the load is not trusted, whatever it is compared with.
const LARGEST_ERROR: f64 = 0.5;
/// So many of the newest forecasts are looked at by themselves: a holiday need not last a day to be noticed.
const NEWEST: usize = 2 * HOUR;
/// Load that passes the upper quantile by no more than this share of it does not pass it.
const HAIR: f64 = 0.01;
/// The upper quantile may be passed so much more often than it says.
const MORE_MISSES: f64 = 0.25;

/// How far forecasts of the last day were off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accuracy {
    /// All errors together as a share of all load (weighted absolute percentage error).
    pub error: f64,
    /// The same of the better of two forecasts that anybody can make at the same moment: the last value, and the mean of the
    /// last day.
    pub naive_error: f64,
    /// How often load passed the upper quantile, as a share.
    pub missed: f64,
    /// How often it should have.
    pub allowed: f64,
    /// Moments compared.
    pub moments: u32,
}

/// Whether a forecast may raise a floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It may.
    Trusted,
    /// Too few forecasts could be compared with what came.
    Unproven,
    /// It is hardly better than what anybody could say.
    NoBetterThanNaive,
    /// It is off by too much of the load.
    TooFarOff,
    /// Its upper quantile is passed far too often.
    MissedTooOften,
}

/// One forecast with what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Compared {
    pub(super) at: Time,
    pub(super) actual: f64,
    pub(super) expected: f64,
    /// None while no quantile was known.
    pub(super) upper: Option<f64>,
    /// What was known when it was made: the last value, and the mean of a day.
    pub(super) last: f64,
    pub(super) mean: f64,
}

/// The unit of an error at a need: a fleet twice as large is off by 1.4 times as many.
pub(super) fn unit(expected: f64) -> f64 {
    expected.max(1.0).sqrt()
}

/// Forecasts of the last day with what came, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger {
    entries: VecDeque<Compared>,
    trusted: bool,
}

impl Ledger {
    pub(super) fn note(&mut self, compared: Compared) {
        if self.entries.back().is_none_or(|last| compared.at > last.at) {
            self.entries.push_back(compared);
        }
    }

    /// Forgets what is older than a day.
    pub(super) fn forget(&mut self, now: Time) {
        while self.entries.front().is_some_and(|oldest| now.since(oldest.at) > COMPARED) {
            self.entries.pop_front();
        }
    }

    /// Until when forecasts were compared.
    pub(super) fn until(&self) -> Option<Time> {
        self.entries.back().map(|last| last.at)
    }

    /// What is to be added to an expected need of one, in units of its error, so that no more than the rest is above.
    pub(super) fn margin(&self, share: f64) -> Option<f64> {
        quantile(self.entries.iter().map(|seen| (seen.actual - seen.expected) / unit(seen.expected)), share)
    }

    /// What the last day says of the forecasts, and whether they may be trusted from now on.
    pub(super) fn judge(&mut self, share: f64) -> (Option<Accuracy>, Verdict) {
        let (accuracy, verdict) = self.weigh(share);
        self.trusted = verdict == Verdict::Trusted;
        (accuracy, verdict)
    }

    fn weigh(&self, share: f64) -> (Option<Accuracy>, Verdict) {
        let told: Vec<(&Compared, f64)> =
            self.entries.iter().filter_map(|seen| Some((seen, seen.upper?))).collect();
        let load: f64 = told.iter().map(|(seen, _)| seen.actual).sum();
        if told.len() < ENOUGH || load <= 0.0 {
            return (None, Verdict::Unproven);
        }
        let error = |of: &dyn Fn(&Compared) -> f64| {
            told.iter().map(|(seen, _)| (seen.actual - of(seen)).abs()).sum::<f64>() / load
        };
        let missed = told.iter().filter(|(seen, upper)| seen.actual > *upper * (1.0 + HAIR)).count();
        let moments = count_of(told.len());
        let accuracy = Accuracy {
            error: error(&|seen| seen.expected),
            naive_error: error(&|seen| seen.last).min(error(&|seen| seen.mean)),
            missed: from_count(count_of(missed)) / from_count(moments),
            allowed: 1.0 - share,
            moments,
        };
        let factor = if self.trusted { TO_STAY_TRUSTED } else { TO_BE_TRUSTED };
        let verdict = if accuracy.error > LARGEST_ERROR || self.newest_excess() > LARGEST_ERROR {
            Verdict::TooFarOff
        } else if accuracy.error > factor * accuracy.naive_error {
            Verdict::NoBetterThanNaive
        } else if accuracy.missed > accuracy.allowed + MORE_MISSES {
            Verdict::MissedTooOften
        } else {
            Verdict::Trusted
        };
        (Some(accuracy), verdict)
    }
}

impl Ledger {
    /// What the newest forecasts expected beyond what came, as a share of it; of a replica, where less came.
    fn newest_excess(&self) -> f64 {
        let newest = || self.entries.iter().rev().take(NEWEST);
        let excess: f64 = newest().map(|seen| (seen.expected - seen.actual).max(0.0)).sum();
        let load: f64 = newest().map(|seen| seen.actual.max(1.0)).sum();
        if load > 0.0 { excess / load } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(many: u64, of: impl Fn(u64) -> Compared) -> Ledger {
        let mut ledger = Ledger::default();
        for at in 0..many {
            ledger.note(Compared {
                at: Time::from_seconds(1_700_000_000) + super::super::past::STEP.times(at),
                ..of(at)
            });
        }
        ledger
    }

    fn seen(actual: f64, expected: f64, upper: Option<f64>, naive: f64) -> Compared {
        Compared { at: Time::default(), actual, expected, upper, last: naive, mean: naive + 1.0 }
    }

    #[test]
    fn a_forecast_is_trusted_for_what_it_is_better_at() {
        use Verdict::{MissedTooOften, NoBetterThanNaive, TooFarOff, Trusted, Unproven};
        for (what, many, entry, verdict) in [
            ("good", 288, seen(10.0, 10.5, Some(11.0), 14.0), Trusted),
            ("too few", 100, seen(10.0, 10.5, Some(11.0), 14.0), Unproven),
            ("never with a quantile", 288, seen(10.0, 10.5, None, 14.0), Unproven),
            ("no load", 288, seen(0.0, 0.0, Some(0.0), 0.0), Unproven),
            ("worse than the last value", 288, seen(10.0, 12.0, Some(13.0), 11.0), NoBetterThanNaive),
            ("hardly better", 288, seen(10.0, 11.95, Some(13.0), 12.0), NoBetterThanNaive),
            ("far too much of late", 288, seen(2.0, 3.1, Some(4.0), 9.0), TooFarOff),
            ("far off", 288, seen(10.0, 16.0, Some(17.0), 30.0), TooFarOff),
            ("always above its quantile", 288, seen(10.0, 9.0, Some(9.5), 14.0), MissedTooOften),
        ] {
            let (accuracy, found) = ledger(many, |_| entry).judge(0.9);
            assert_eq!(found, verdict, "{what}: {accuracy:?}");
            assert_eq!(accuracy.is_some(), verdict != Unproven, "{what}");
        }
    }

    #[test]
    fn what_is_trusted_stays_so_until_it_is_worse_than_naive_and_must_then_earn_it_again() {
        let mut ledger = ledger(288, |_| seen(10.0, 10.5, Some(11.0), 14.0));
        assert_eq!(ledger.judge(0.9).1, Verdict::Trusted);
        let hardly = |at: u64| Compared {
            at: Time::from_seconds(1_700_086_400) + super::super::past::STEP.times(at),
            ..seen(10.0, 11.95, Some(13.0), 12.0)
        };
        for at in 0..288 {
            ledger.note(hardly(at));
        }
        ledger.forget(Time::from_seconds(1_700_086_400 + 86_400));
        assert_eq!(ledger.judge(0.9).1, Verdict::Trusted);
        ledger.trusted = false;
        assert_eq!(ledger.judge(0.9).1, Verdict::NoBetterThanNaive);
    }

    #[test]
    fn the_margin_is_a_quantile_of_errors_in_units_of_the_root() {
        let ledger = ledger(100, |at| seen(100.0 + f64::from(u32::try_from(at).unwrap()), 100.0, None, 0.0));
        let margin = ledger.margin(0.9).unwrap();
        assert!((margin - 8.9).abs() < 0.11, "{margin}");
        assert_eq!(Ledger::default().margin(0.9), None);
    }
}
