//! Headroom learnt from how far load outran its own past while pods started.
//!
//! A count decided now serves what comes until the pods of the next decision are Ready: one lead time later. How far
//! need rose above what was known, over every lead time seen, gives quantiles of that error, in units of a scale that
//! follows √need (square-root staffing) and how restless the signal has been lately. Each quantile stands for a level of
//! headroom, and each level is replayed beside the real count: what it would have set, held by the scale-in window and
//! late by the start-up time, against the load that came. The lowest level whose loss stays within the declared share of
//! load is the headroom.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::window::{Extreme, Window};
use crate::number::{ceil_count_forgiving, count_of, floor_count, from_count};
use crate::time::{Span, Time};

/// Needs are taken note of this often.
const STEP: Span = Span::from_seconds(15);
/// An evaluation may come this much early and still count as the next.
const EARLY: Span = Span::from_seconds(2);
/// A longer gap between two needs leaves what came in between unknown.
const LONGEST_GAP: Span = Span::from_seconds(75);
/// From an arrival until the mean of a minute shows it, on average.
const METRIC_LAG: Span = Span::from_seconds(30);
/// Nothing is added before this much of the load was seen.
const ENOUGH: Span = Span::from_seconds(4 * 3600);
/// Until so much was seen, no level below the one for a load that nothing is known of is taken.
const ONE_DAY: Span = Span::from_seconds(86_400);
/// After this time an error counts half.
const ERROR_HALF_LIFE: Span = ONE_DAY;
/// After this time a loss counts half: losses are rarer than errors.
const LOSS_HALF_LIFE: Span = Span::from_seconds(5 * 86_400);
/// After this time restlessness is forgotten by half.
const RESTLESSNESS_HALF_LIFE: Span = Span::from_seconds(1800);
/// No signal is as calm as its last hour may look.
const LEAST_RESTLESSNESS: f64 = 0.1;
/// Levels of headroom: quantiles of the error.
const LEVELS: [f64; 8] = [0.6, 0.8, 0.88, 0.92, 0.95, 0.97, 0.98, 0.99];
/// The level for a load of which less than a day is known.
const CAUTIOUS_LEVEL: usize = 6;
/// Of one moment's load no larger share is counted as lost: a burst that no headroom would have met says little about
/// how much headroom to have.
const LARGEST_LOSS: f64 = 0.2;
/// Where even the highest level would have lost this many times the declared share, load outruns every headroom, …
const OUT_OF_REACH: f64 = 3.0;
/// … and no more than this share of need is spent on it.
const OUT_OF_REACH_SHARE: f64 = 0.5;

/// How much headroom is to be learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibratedHeadroom {
    /// Whether it is added to need; if not it is only shown.
    pub enforced: bool,
    /// The share of load that may go unserved while pods start, above 0.
    pub unserved: f64,
    /// The most that it adds, as a share of need plus one replica.
    pub most: f64,
}

/// The times that decide how far ahead a count has to be right.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeadTime {
    /// From asking for a pod until it serves.
    pub(super) start_up: Span,
    /// Between two evaluations.
    pub(super) polling_interval: Span,
    /// How long a recommendation keeps pods.
    pub(super) scale_down_window: Span,
}

impl LeadTime {
    /// From an arrival until pods that were asked for because of it serve, and those of the evaluation after it.
    pub(super) fn horizon(&self) -> Span {
        self.start_up + self.polling_interval + METRIC_LAG
    }

    fn lag(&self) -> Span {
        self.polling_interval + METRIC_LAG
    }
}

/// What is known of a signal's headroom.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadroomReport {
    /// Replicas that it adds to this need, or would where it is only observed.
    pub replicas: f64,
    /// The same as a share of need.
    pub share: f64,
    /// Whether they are added.
    pub added: bool,
    /// The share of load that would have gone unserved with it.
    pub unserved: f64,
    /// The share of load that may.
    pub allowed: f64,
    /// No headroom that may be spent keeps to that share.
    pub out_of_reach: bool,
    /// How much of the load was seen.
    pub observed: Span,
}

/// What was learnt of one signal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Calibration {
    needs: VecDeque<Sample>,
    /// Until when errors are known.
    resolved: Option<Time>,
    errors: Errors,
    restlessness: f64,
    /// What each level would have lost, and all of the load, both in replicas times seconds.
    lost: [f64; LEVELS.len()],
    load: f64,
    observed: Span,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: Time,
    /// What the signal asks for.
    need: f64,
    /// The same with what a trend adds.
    expected: f64,
    /// The unit of its error.
    scale: f64,
    /// The most headroom that it may get.
    most: f64,
}

impl Calibration {
    /// Takes note of a need, in replicas without headroom, and of the need expected after one lead time. `most` is the
    /// most that headroom may add, as a share of need plus one replica.
    pub(super) fn observe(&mut self, need: f64, expected: f64, most: f64, lead: &LeadTime, now: Time) {
        let passed = self.needs.back().map(|last| now.since(last.at));
        if self.needs.back().is_some_and(|last| last.at > now) || passed.is_some_and(|gap| gap > LONGEST_GAP)
        {
            self.interrupt();
        } else if passed.is_some_and(|passed| passed + EARLY < STEP) {
            return;
        }
        let passed = self.needs.back().map_or(Span::ZERO, |last| now.since(last.at));
        let ago = self.needs.iter().find(|sample| now.since(sample.at) <= lead.horizon());
        let moved = ago.map_or(0.0, |then| (need - then.need).abs()) / need.max(1.0).sqrt();
        let kept = decayed(passed, RESTLESSNESS_HALF_LIFE);
        self.restlessness = if self.needs.is_empty() && self.observed == Span::ZERO {
            moved
        } else {
            self.restlessness * kept + (1.0 - kept) * moved
        };
        self.needs.push_back(Sample {
            at: now,
            need,
            expected,
            scale: self.scale(need),
            most: most * (need + 1.0),
        });
        self.observed = self.observed + passed;
        self.resolve(lead, passed, now);
        self.replay(lead, need, passed, now);
        let keep = lead.horizon() + lead.scale_down_window + lead.start_up + STEP;
        while self.needs.front().is_some_and(|oldest| now.since(oldest.at) > keep) {
            self.needs.pop_front();
        }
    }

    /// What comes next is not the continuation of what was.
    pub(super) fn interrupt(&mut self) {
        self.needs.clear();
        self.resolved = None;
    }

    /// Takes over what another has learnt, if that is more.
    pub(super) fn take_over(&mut self, other: Self) {
        if other.observed > self.observed {
            *self = other;
        }
    }

    /// Begins anew with the past of the metric as it is asked for now, where that is enough: what was seen before may have
    /// been another query, or another target.
    pub(super) fn be_taught(&mut self, lesson: Self) {
        if lesson.observed >= ENOUGH {
            *self = lesson;
        } else {
            self.take_over(lesson);
        }
    }

    /// What is to be added to a need; none before enough was seen.
    pub(super) fn headroom(&self, need: f64, rules: &CalibratedHeadroom) -> Option<HeadroomReport> {
        if self.observed < ENOUGH || self.load <= 0.0 {
            return None;
        }
        let allowed = rules.unserved * self.load;
        let keeps = |lost: &&f64| **lost <= allowed;
        // From the highest level downwards, as far as losses stay within what is allowed.
        let good = self.lost.iter().rev().take_while(keeps).count();
        let lowest = LEVELS.len().saturating_sub(good.max(1));
        let level = if self.observed < ONE_DAY { lowest.max(CAUTIOUS_LEVEL) } else { lowest };
        let quantile = LEVELS.get(level).copied().unwrap_or(1.0);
        let highest = self.lost.last().copied().unwrap_or(0.0);
        let out_of_reach = highest > OUT_OF_REACH * allowed;
        let most = if out_of_reach { rules.most.min(OUT_OF_REACH_SHARE) } else { rules.most };
        let [error] = self.errors.quantiles([quantile]);
        let replicas = (error * self.scale(need)).min(most * (need + 1.0));
        Some(HeadroomReport {
            replicas,
            share: replicas / need.max(1.0),
            added: rules.enforced,
            unserved: self.lost.get(level).copied().unwrap_or(0.0) / self.load,
            allowed: rules.unserved,
            out_of_reach,
            observed: self.observed,
        })
    }

    /// The unit of errors at a need.
    fn scale(&self, need: f64) -> f64 {
        need.max(1.0).sqrt() * (self.restlessness + LEAST_RESTLESSNESS)
    }

    /// Learns the errors of the needs whose lead time has passed.
    fn resolve(&mut self, lead: &LeadTime, passed: Span, now: Time) {
        self.errors.forget(decayed(passed, ERROR_HALF_LIFE));
        let horizon = lead.horizon();
        let due = |sample: &&Sample| {
            sample.at + horizon <= now && self.resolved.is_none_or(|resolved| sample.at > resolved)
        };
        let due: Vec<Sample> = self.needs.iter().filter(due).copied().collect();
        for sample in due {
            let later =
                self.needs.iter().filter(|later| later.at > sample.at && later.at <= sample.at + horizon);
            let most = later.map(|later| later.need).fold(0.0, f64::max);
            self.errors.learn((most - sample.expected) / sample.scale);
            self.resolved = Some(sample.at);
        }
    }

    /// Takes note of what each level would have lost of the load that is seen now.
    fn replay(&mut self, lead: &LeadTime, need: f64, passed: Span, now: Time) {
        let at = now - lead.lag();
        if self.needs.front().is_none_or(|oldest| oldest.at > at - lead.start_up) {
            return;
        }
        let kept = decayed(passed, LOSS_HALF_LIFE);
        let seconds = passed.seconds();
        self.load = self.load * kept + need * seconds;
        for (lost, unit) in self.lost.iter_mut().zip(self.errors.quantiles(LEVELS)) {
            let mut held = Window::new(Extreme::Largest);
            let mut supply = f64::INFINITY;
            for sample in self.needs.iter().take_while(|sample| sample.at <= at) {
                let wanted = sample.expected + (unit * sample.scale).min(sample.most);
                held.push(ceil_count_forgiving(wanted), sample.at, lead.scale_down_window);
                // Pods asked for since then do not serve yet; pods given up since then no longer do.
                if sample.at > at - lead.start_up
                    && let Some(held) = held.over(lead.scale_down_window, sample.at)
                {
                    supply = supply.min(from_count(held).max(1.0));
                }
            }
            let short = if supply.is_finite() { (need - supply).max(0.0) } else { 0.0 };
            *lost = *lost * kept + short.min(LARGEST_LOSS * need) * seconds;
        }
    }
}

/// What is left of a weight after some time.
fn decayed(passed: Span, half_life: Span) -> f64 {
    (-passed.seconds() / half_life.seconds()).exp2()
}

const BINS: usize = 64;
/// Errors up to this one are as good as none.
const SMALLEST_ERROR: f64 = 0.02;
/// ln of the ratio between the bounds of a bin.
const BIN_WIDTH: f64 = 0.15;

/// Errors by size, the older the lighter: bins that grow in proportion.
#[derive(Clone, Debug, PartialEq)]
struct Errors([f64; BINS]);

impl Default for Errors {
    fn default() -> Self {
        Self([0.0; BINS])
    }
}

impl Errors {
    fn forget(&mut self, kept: f64) {
        for weight in &mut self.0 {
            *weight *= kept;
        }
    }

    fn learn(&mut self, error: f64) {
        let bin = if error > SMALLEST_ERROR {
            1 + floor_count((error / SMALLEST_ERROR).ln() / BIN_WIDTH)
        } else {
            0
        };
        let bin = usize::try_from(bin).unwrap_or(BINS).min(BINS.saturating_sub(1));
        if let Some(weight) = self.0.get_mut(bin) {
            *weight += 1.0;
        }
    }

    /// For each share of them, in rising order, the error that it does not pass; 0 for none and for those as good as
    /// none.
    fn quantiles<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let total = self.0.iter().sum::<f64>();
        let mut found = [0.0; N];
        let mut open = shares.iter().zip(&mut found).rev().peekable();
        let mut passed = 0.0;
        for (bin, weight) in self.0.iter().enumerate().skip(1).rev() {
            while let Some((share, quantile)) =
                open.next_if(|(share, _)| passed + weight > (1.0 - **share) * total)
            {
                let upper = SMALLEST_ERROR * (BIN_WIDTH * from_count(count_of(bin))).exp();
                let lower = upper * (-BIN_WIDTH).exp();
                let into = (((1.0 - share) * total - passed) / weight).clamp(0.0, 1.0);
                *quantile = upper - (upper - lower) * into;
            }
            passed += weight;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAD: LeadTime = LeadTime {
        start_up: Span::from_seconds(60),
        polling_interval: Span::from_seconds(15),
        scale_down_window: Span::from_seconds(300),
    };
    const RULES: CalibratedHeadroom = CalibratedHeadroom { enforced: true, unserved: 0.0005, most: 2.0 };
    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> Time {
        Time::from_seconds(1_700_000_000 + seconds)
    }

    fn seen(hours: i64, need: impl Fn(i64) -> f64) -> Calibration {
        let mut calibration = Calibration::default();
        for seconds in (0..=hours * HOUR).step_by(15) {
            calibration.observe(need(seconds), need(seconds), 2.0, &LEAD, at(seconds));
        }
        calibration
    }

    #[test]
    fn nothing_is_added_before_enough_was_seen_and_nothing_to_a_calm_load_after() {
        assert_eq!(seen(3, |_| 10.0).headroom(10.0, &RULES), None);
        let headroom = seen(30, |_| 10.0).headroom(10.0, &RULES).unwrap();
        assert!(headroom.replicas < 0.05 && !headroom.out_of_reach, "{headroom:?}");
        assert!(headroom.observed >= Span::from_seconds(29 * 3600), "{headroom:?}");
    }

    #[test]
    fn a_load_that_steps_up_again_and_again_gets_the_step_as_headroom() {
        // Half more for ten minutes of each hour, at once.
        let stepping = |seconds: i64| if seconds.rem_euclid(HOUR) < 600 { 15.0 } else { 10.0 };
        let headroom = seen(30, stepping).headroom(10.0, &RULES).unwrap();
        assert!((4.0..6.5).contains(&headroom.replicas), "{headroom:?}");
        assert!(headroom.unserved <= headroom.allowed, "{headroom:?}");
        let frugal = CalibratedHeadroom { unserved: 0.05, ..RULES };
        let less = seen(30, stepping).headroom(10.0, &frugal).unwrap();
        assert!(less.replicas < 1.0, "five percent may go unserved: {less:?}");
        let capped = CalibratedHeadroom { most: 0.1, ..RULES };
        assert!((seen(30, stepping).headroom(10.0, &capped).unwrap().replicas - 1.1).abs() < 1e-9);
    }

    #[test]
    fn headroom_grows_with_the_root_of_need() {
        let calibration = seen(30, |seconds| if seconds.rem_euclid(HOUR) < 600 { 15.0 } else { 10.0 });
        let of = |need| calibration.headroom(need, &RULES).unwrap().replicas;
        assert!((of(40.0) / of(10.0) - 2.0).abs() < 1e-9, "{} {}", of(40.0), of(10.0));
    }

    #[test]
    fn what_no_headroom_meets_is_said_and_not_chased() {
        // Twenty times as much for two minutes, at moments that no level foresees.
        let bursting = |seconds: i64| if seconds.rem_euclid(2 * HOUR) < 120 { 200.0 } else { 10.0 };
        let headroom = seen(30, bursting).headroom(10.0, &RULES).unwrap();
        assert!(headroom.out_of_reach, "{headroom:?}");
        assert!(headroom.replicas <= 0.5 * 11.0 + 1e-9, "{headroom:?}");
        assert!(headroom.unserved > 3.0 * headroom.allowed, "{headroom:?}");
    }

    #[test]
    fn a_jump_over_a_gap_teaches_nothing() {
        let mut calibration = seen(30, |_| 10.0);
        let before = calibration.headroom(10.0, &RULES).unwrap().replicas;
        for seconds in (30 * HOUR + 600..=31 * HOUR).step_by(15) {
            calibration.observe(40.0, 40.0, 2.0, &LEAD, at(seconds));
        }
        let after = calibration.headroom(10.0, &RULES).unwrap().replicas;
        assert!(after <= before + 1e-9, "{before} {after}");
        // The same jump, seen as it happens, does.
        let mut calibration = seen(30, |_| 10.0);
        for seconds in (30 * HOUR + 15..=31 * HOUR).step_by(15) {
            calibration.observe(40.0, 40.0, 2.0, &LEAD, at(seconds));
        }
        assert!(calibration.lost.iter().all(|lost| *lost > 0.0));
    }

    #[test]
    fn a_clock_that_jumps_back_leaves_what_was_learnt_and_goes_on() {
        let mut calibration = seen(30, |seconds| if seconds.rem_euclid(HOUR) < 600 { 15.0 } else { 10.0 });
        let before = calibration.headroom(10.0, &RULES).unwrap().replicas;
        calibration.observe(10.0, 10.0, 2.0, &LEAD, at(0));
        calibration.observe(10.0, 10.0, 2.0, &LEAD, at(15));
        assert_eq!(calibration.needs.len(), 2);
        assert!((calibration.headroom(10.0, &RULES).unwrap().replicas / before - 1.0).abs() < 0.05);
    }

    #[test]
    fn memory_is_bounded_however_often_it_is_evaluated() {
        let mut calibration = Calibration::default();
        let lead = LeadTime { polling_interval: Span::from_seconds(1), ..LEAD };
        for seconds in 0..4 * HOUR {
            calibration.observe(10.0, 10.0, 2.0, &lead, at(seconds));
        }
        assert!(calibration.needs.len() < 50, "{}", calibration.needs.len());
    }

    proptest! {
        #[test]
        fn a_quantile_is_that_of_the_errors_to_the_width_of_a_bin(
            errors in prop::collection::vec(-1.0..50.0_f64, 200..400),
            share in 0.6..0.99_f64,
        ) {
            let mut known = Errors::default();
            for error in &errors {
                known.learn(*error);
            }
            let mut sorted = errors.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = floor_count(share * from_count(count_of(sorted.len())));
            let near = |rank: u32| sorted[usize::try_from(rank).unwrap().min(sorted.len() - 1)].max(0.0);
            let [smaller, found] = known.quantiles([share / 2.0, share]);
            prop_assert!(smaller <= found);
            let (lower, upper) = (near(rank.saturating_sub(1)), near(rank + 1));
            prop_assert!(found >= lower * 0.86 - SMALLEST_ERROR && found <= upper * 1.17 + SMALLEST_ERROR, "{found} of {lower} to {upper}");
        }

        #[test]
        fn no_load_brings_a_number_that_is_none(
            needs in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1e-6_f64, 0.0..50.0_f64, 1e8..1e9_f64], 1..300),
            polling in 1_i64..120,
        ) {
            let mut calibration = Calibration { observed: ONE_DAY, ..Calibration::default() };
            let lead = LeadTime { polling_interval: Span::from_seconds(polling.unsigned_abs()), ..LEAD };
            for (number, need) in (0_i64..).zip(&needs) {
                calibration.observe(*need, *need, 2.0, &lead, at(number * polling));
                if let Some(headroom) = calibration.headroom(*need, &RULES) {
                    prop_assert!(headroom.replicas.is_finite() && headroom.replicas >= 0.0, "{headroom:?}");
                    prop_assert!(headroom.replicas <= 2.0 * (need + 1.0), "{headroom:?}");
                    prop_assert!((0.0..=1.0).contains(&headroom.unserved), "{headroom:?}");
                }
            }
        }
    }
}
