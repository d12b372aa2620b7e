//! How fast the error budget burns, and how far the targets are moved for it.
//!
//! A burn rate is the share of bad events over the share that the objective allows: 1 spends the budget exactly by the end of
//! its period. The pairs of windows and their thresholds are those of the SRE Workbook, chapter 5 (multiwindow, multi-burn-rate
//! alerts): the long window tells that it matters, the short one that it still goes on.

use serde::{Deserialize, Serialize};

use super::decision::{Condition, ConditionStatus, ConditionType, SignalReport};
use super::policy::{Compat, Policy};
use super::reason::Reason;
use super::trail::spelled;
use crate::number::{floor_count, from_count};
use crate::signal::{Age, Answer, Reading};
use crate::time::{Span, Time};

/// The windows that are asked about, the shortest first, as PromQL writes them.
pub const BURN_WINDOWS: [(&str, Span); 5] = [
    ("5m", Span::from_seconds(300)),
    ("30m", Span::from_seconds(1_800)),
    ("1h", Span::from_seconds(3_600)),
    ("6h", Span::from_seconds(21_600)),
    ("3d", Span::from_seconds(259_200)),
];

/// A pair of windows, and how soon the targets are all the way down while both burn.
struct Pair {
    long: usize,
    short: usize,
    threshold: f64,
    way_down: Span,
}

const PAIRS: [Pair; 3] = [
    Pair { long: 2, short: 0, threshold: 14.4, way_down: Span::from_seconds(600) },
    Pair { long: 3, short: 1, threshold: 6.0, way_down: Span::from_seconds(3_600) },
    Pair { long: 4, short: 3, threshold: 1.0, way_down: Span::from_seconds(21_600) },
];
/// From the lower bound back to the declared target.
const WAY_BACK: Span = Span::from_seconds(86_400);
/// From the declared target to the upper bound.
const WAY_UP: Span = Span::from_seconds(7 * 86_400);

/// An objective as `decide` reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// The share of events that may be bad, above 0.
    pub budget: f64,
    /// The lowest share of the targets, above 0 and at most 1.
    pub least: f64,
    /// The highest, at least 1.
    pub most: f64,
    /// Whether the targets are moved, or it is only shown.
    pub enforced: bool,
    /// The oldest data that the shortest window may stand on.
    pub max_age: Span,
}

/// Where the targets stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SloMemory {
    share: f64,
    looked: Option<Time>,
}

impl Default for SloMemory {
    fn default() -> Self {
        Self { share: 1.0, looked: None }
    }
}

impl SloMemory {
    /// Where they stood before, as whole percent.
    pub(super) fn recalled(percent: u32) -> Self {
        Self { share: from_count(percent) / 100.0, looked: None }
    }

    /// Where they stand, without when that was looked at.
    pub(super) fn learnt(self) -> Self {
        Self { looked: None, ..self }
    }
}

/// What the budget does, and what follows for the targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SloReport {
    /// What the budget does.
    pub state: SloState,
    /// Where the targets stand, in whole percent of themselves.
    pub percent: u32,
    /// They are moved, and not only shown.
    pub enforced: bool,
    /// Replicas that this adds to the largest need; negative where it saves some.
    pub replicas: f64,
    /// The burn rate in each of [`BURN_WINDOWS`], where it is known.
    pub burn: [Option<f64>; 5],
    /// One sentence.
    pub message: String,
}

/// What an error budget does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SloState {
    /// Less is spent than may be.
    Healthy,
    /// More is spent than may be, too little to act on.
    Spending,
    /// It burns: the targets go down.
    Burning,
    /// It burns while a guard is active: more pods would feed what is full.
    Guarded,
    /// It cannot be told.
    Unfit,
}

/// Looks at the burn rates and moves the targets. None where no objective is declared.
pub(super) fn track(
    policy: &Policy,
    readings: &[Reading],
    guard: Option<&str>,
    memory: &mut SloMemory,
    now: Time,
) -> Option<SloReport> {
    let Some(slo) = policy.slo.as_ref().filter(|_| policy.compat == Compat::None) else {
        *memory = SloMemory::default();
        return None;
    };
    // Nobody looked in between, so nobody knows that it burned all that time.
    let passed =
        memory.looked.map_or(Span::ZERO, |looked| now.since(looked).min(policy.polling_interval.times(2)));
    memory.looked = Some(now);
    let share = memory.share.clamp(slo.least, slo.most);
    let burn = burn_rates(slo, readings);
    let rate = |window: usize| burn.get(window).copied().flatten();
    let fault = readings
        .first()
        .map_or_else(|| Some("it was not read".to_owned()), |reading| fault(reading, slo, now));
    let burning = PAIRS.iter().find(|pair| {
        let over = |window| rate(window).is_some_and(|rate| rate > pair.threshold);
        over(pair.long) && over(pair.short)
    });
    let calm = |windows: &[usize]| windows.iter().all(|window| rate(*window).is_some_and(|rate| rate < 1.0));
    let part = |way: Span| passed.seconds() / way.seconds();
    let (state, share) = match (&fault, burning, guard) {
        // Headroom that was bought is not given back on the strength of nothing.
        (Some(_), ..) => (SloState::Unfit, share.min(1.0)),
        (None, Some(_), Some(_)) => (SloState::Guarded, share.min(1.0)),
        (None, Some(pair), None) => {
            let from = share.min(1.0);
            (SloState::Burning, (from - (1.0 - slo.least) * part(pair.way_down)).max(slo.least))
        }
        (None, None, _) if calm(&[0, 1, 2, 3]) => {
            let back = share + (1.0 - slo.least) * part(WAY_BACK);
            let share = if share < 1.0 {
                back.min(1.0)
            } else if calm(&[4]) {
                (share + (slo.most - 1.0) * part(WAY_UP)).min(slo.most)
            } else {
                share
            };
            (SloState::Healthy, share)
        }
        (None, None, _) => (SloState::Spending, share),
    };
    memory.share = share;
    // Whole percent, and rather headroom than none.
    let percent = floor_count(share * 100.0 + 1e-6);
    let message = sentence(slo, state, percent, burning, &burn, fault.as_deref(), guard);
    Some(SloReport { state, percent, enforced: slo.enforced, replicas: 0.0, burn, message })
}

/// The share of themselves at which targets are held.
pub(super) fn share(report: Option<&SloReport>) -> f64 {
    report
        .filter(|report| report.enforced && report.percent > 0)
        .map_or(1.0, |report| from_count(report.percent) / 100.0)
}

/// With what it adds to the largest need.
pub(super) fn weighed(report: Option<SloReport>, signals: &[SignalReport]) -> Option<SloReport> {
    let share = share(report.as_ref());
    let largest = signals.iter().filter_map(|signal| signal.need).max().map_or(0.0, from_count);
    report.map(|report| SloReport { replicas: largest * (1.0 - share), ..report })
}

fn burn_rates(slo: &Slo, readings: &[Reading]) -> [Option<f64>; 5] {
    let mut burn = [None; 5];
    for (burn, reading) in burn.iter_mut().zip(readings) {
        *burn = ratio(reading).ok().map(|ratio| ratio / slo.budget);
    }
    burn
}

/// The share of bad events, or why there is none.
fn ratio(reading: &Reading) -> Result<f64, String> {
    if let Some(warning) = reading.warnings.first() {
        return Err(format!("the answer may be partial: {warning}"));
    }
    match &reading.answer {
        // Rates of two series may be extrapolated a little differently.
        Answer::Value(ratio) if (0.0..=1.01).contains(ratio) => Ok(ratio.min(1.0)),
        Answer::Value(ratio) => {
            Err(format!("it yields {ratio}, and a share of bad events lies between 0 and 1"))
        }
        Answer::NoSeries => Err(
            "it matched nothing: where there may be no bad event at all, write `or 0 * …` behind their rate"
                .to_owned(),
        ),
        Answer::ManySeries(count) => {
            Err(format!("it yields {count} series: aggregate them, for example with sum"))
        }
        Answer::Failed(sentence) => Err(sentence.clone()),
    }
}

/// Why the shortest window is not fit to use.
fn fault(reading: &Reading, slo: &Slo, now: Time) -> Option<String> {
    if let Err(why) = ratio(reading) {
        return Some(why);
    }
    let age = match &reading.age {
        Age::Measured(age) => *age,
        Age::Earlier { age, at } => *age + now.since(*at),
        Age::NotSampled => return None,
        Age::NoSample => return Some("no sample stands behind it".to_owned()),
        Age::Unknown(why) => return Some(format!("its age is not known: {why}")),
    };
    (age > slo.max_age).then(|| format!("its newest sample is {age} old, {} may be", slo.max_age))
}

fn sentence(
    slo: &Slo,
    state: SloState,
    percent: u32,
    burning: Option<&Pair>,
    burn: &[Option<f64>; 5],
    fault: Option<&str>,
    guard: Option<&str>,
) -> String {
    let named = |window: usize| BURN_WINDOWS.get(window).map_or("", |(name, _)| *name);
    let rate = |window: usize| burn.get(window).copied().flatten().map_or_else(|| "?".to_owned(), spelled);
    let targets = if slo.enforced {
        format!("targets stand at {percent} %")
    } else {
        format!("targets would stand at {percent} %")
    };
    let burns = burning.map_or_else(String::new, |pair| {
        format!(
            "the error budget burns {} times as fast as it may over {} and {} times over {}",
            rate(pair.long),
            named(pair.long),
            rate(pair.short),
            named(pair.short)
        )
    });
    match state {
        SloState::Unfit => {
            format!("the burn rate is not fit to use, {targets}: {}", fault.unwrap_or_default())
        }
        SloState::Guarded => format!(
            "{burns}; {targets}: more pods would feed what guard {} watches",
            guard.unwrap_or_default()
        ),
        SloState::Burning if from_count(percent) <= slo.least * 100.0 + 1e-6 => {
            format!("{burns}; {targets}, the lowest declared: if it goes on, the cause is not too few pods")
        }
        SloState::Burning => format!("{burns}; {targets} and go down"),
        SloState::Spending => {
            format!("the error budget burns {} times as fast as it may over {}; {targets}", rate(2), named(2))
        }
        SloState::Healthy if percent < 100 => {
            format!("the error budget is spent more slowly than it may be; {targets} and rise")
        }
        SloState::Healthy => format!("the error budget is spent more slowly than it may be; {targets}"),
    }
}

/// What the conditions say of it.
pub(super) fn condition(report: &SloReport) -> Condition {
    let (status, reason) = match report.state {
        SloState::Healthy => (ConditionStatus::True, Reason::BudgetHealthy),
        SloState::Spending => (ConditionStatus::True, Reason::BudgetSpending),
        SloState::Burning | SloState::Guarded => (ConditionStatus::False, Reason::BudgetBurning),
        SloState::Unfit => (ConditionStatus::Unknown, Reason::BurnRateUnfit),
    };
    Condition { kind: ConditionType::ErrorBudgetKept, status, reason, message: report.message.clone() }
}
