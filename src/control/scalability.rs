//! The scalability law of a workload, learnt from what it carried at the sizes at which it ran.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::decision::{CeilingReport, Condition, ConditionStatus, ConditionType, Limit, ScalabilityReport};
use super::memory::Memory;
use super::observation::{Rollout, ScalabilitySample, ScalabilityView, Workload};
use super::policy::{FitRules, Policy, Scalability, ScalabilityLaw};
use super::reason::Reason;
use crate::ceiling::scalability;
use crate::ceiling::usl::{Assessment, Estimator, Fit, FittedCeiling, Load, NotReady, Settings, Window};
use crate::number::{MAX_COUNT, floor_count, from_count};
use crate::time::{Span, Time};

/// A ceiling that can no longer be shown is kept for so long: what stands at the edge of being known comes and goes.
const KEPT: Span = Span::from_seconds(3600);
/// Without a new window the law is looked at anew after so long: windows age.
const LOOKED_AT_AGAIN: Span = Span::from_seconds(3600);
/// A ceiling is raised when the higher one was shown for so long.
const RAISED_AFTER: Span = Span::from_seconds(3600);
/// A ceiling moves when the newest one lies farther off than one replica and this share of it.
const PLAY: f64 = 0.05;
/// The half-life of windows as a share of the age at which they count no more: 3 of 14 days.
const HALF_LIFE: f64 = 3.0 / 14.0;
/// The share of a knee that must have been measured.
const NEAR_KNEE: f64 = 0.9;

/// What is known of a workload's scalability law.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ScalabilityMemory {
    /// The rules by which it was learnt.
    rules: Option<FitRules>,
    /// The revision that it is about, and since when that runs alone.
    steady: Option<Steady>,
    estimator: Estimator,
    /// Samples of the window under way.
    open: Vec<ScalabilitySample>,
    /// The window before it.
    before: Option<Sizes>,
    /// Up to where samples were taken.
    read_to: Option<Time>,
    /// Everything there is to read was read.
    complete: bool,
    /// Why nothing can be read.
    fault: Option<String>,
    assessed: Option<(Time, Assessment)>,
    /// What was assessed last is not held, since more of the past was still to be read.
    withheld: bool,
    held: Option<HeldCeiling>,
    /// A higher ceiling than the one in force, since when it has been shown, and the lowest of those shown since.
    rising: Option<(Time, u32)>,
}

impl Memory {
    /// Takes in what was read of the workload's throughput.
    pub(super) fn learn_scalability(
        &mut self,
        policy: &Policy,
        view: &ScalabilityView,
        workload: &Workload,
        now: Time,
    ) {
        if let Some(scalability) = &policy.scalability {
            self.scalability.learn(scalability, view, workload, now);
        }
    }

    /// Whether a fitted ceiling has been earned.
    pub(super) fn scalability_condition(&self, policy: &Policy) -> Option<Condition> {
        self.scalability.condition(policy.scalability.as_ref()?)
    }

    /// What a fit knows.
    pub(super) fn scalability_report(&self, policy: &Policy) -> Option<ScalabilityReport> {
        self.scalability.report(policy.scalability.as_ref()?)
    }

    /// The count at which throughput peaks, declared or fitted.
    pub(super) fn scalability_peak(&self, policy: &Policy) -> Option<f64> {
        self.scalability.peak(policy.scalability.as_ref()?)
    }
}

/// What a status tells of a scalability law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecalledScalability {
    /// The revision that it is about.
    pub revision: u64,
    /// Since when that revision runs alone.
    pub since: Time,
    /// The ceiling that it had earned.
    pub ceiling: Option<u32>,
}

/// A revision that runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steady {
    revision: u64,
    since: Time,
}

/// The ceiling in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeldCeiling {
    replicas: u32,
    /// When it was shown last, or found in a status.
    shown: Time,
}

/// The fewest and the most ready pods of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    end: Time,
    fewest: u32,
    most: u32,
}

impl ScalabilityMemory {
    /// Knows a law's ceiling from before, for example from a status: it holds until the windows behind it were read again.
    pub(super) fn recall(&mut self, known: RecalledScalability) {
        self.steady = Some(Steady { revision: known.revision, since: known.since });
        self.held = known.ceiling.map(|replicas| HeldCeiling { replicas, shown: known.since });
    }

    /// From when on samples are of use: since when the revision runs alone.
    pub(super) fn since(&self) -> Option<Time> {
        self.steady.map(|steady| steady.since)
    }

    /// Takes in what was read of the workload's past, and looks at the law anew where that changes anything.
    pub(super) fn learn(
        &mut self,
        policy: &Scalability,
        view: &ScalabilityView,
        workload: &Workload,
        now: Time,
    ) {
        let ScalabilityLaw::Fitted(rules) = &policy.law else { return *self = Self::default() };
        if self.rules.as_ref() != Some(rules) {
            // What other queries told is of no use; these are asked for all that time anew. What a status tells is no
            // older than the operator.
            let edited = self.rules.is_some();
            let held = self.held.filter(|_| !edited).map(|held| HeldCeiling { shown: now, ..held });
            let rules = Some(rules.as_ref().clone());
            *self = Self { rules, steady: self.steady, held, ..Self::default() };
        }
        self.follow(workload, now);
        self.complete = view.complete;
        self.fault.clone_from(&view.fault);
        let windows = view.samples.iter().filter(|sample| self.take(rules, sample)).count();
        let due = self.assessed.as_ref().is_none_or(|(at, _)| now.since(*at) >= LOOKED_AT_AGAIN || *at > now);
        if windows > 0 || due || view.complete && self.withheld {
            let assessment = self.estimator.assess(now, &settings(policy, rules));
            // Half of the past shows another ceiling than all of it.
            if view.complete {
                self.hold(policy, &assessment, now);
            }
            self.withheld = !view.complete;
            self.assessed = Some((now, assessment));
        }
        self.give_up(rules, now);
    }

    /// Follows the workload's revision. Another one has to earn its ceiling.
    fn follow(&mut self, workload: &Workload, now: Time) {
        let mixed = workload.rollout != Rollout::Settled;
        self.estimator.follow(&spelled(workload.revision));
        match &mut self.steady {
            Some(steady) if steady.revision == workload.revision => {
                // A clock that was ahead must not keep windows from counting until its time has come.
                steady.since = if mixed { now } else { steady.since.min(now) };
            }
            Some(_) => {
                self.steady = Some(Steady { revision: workload.revision, since: now });
                self.held = None;
                self.assessed = None;
            }
            None => {
                let oldest = workload.pods.iter().filter_map(|pod| pod.ready_since).min();
                let since = oldest.filter(|oldest| !mixed && *oldest <= now).unwrap_or(now);
                self.steady = Some(Steady { revision: workload.revision, since });
            }
        }
    }

    /// Takes one sample. Tells whether a window was counted.
    fn take(&mut self, rules: &FitRules, sample: &ScalabilitySample) -> bool {
        let length = rules.window();
        if self.read_to.is_some_and(|read_to| sample.at <= read_to && sample.at + length >= read_to) {
            return false;
        }
        self.read_to = Some(sample.at);
        let end = end_of_window(sample.at, length);
        if self.open.first().is_some_and(|first| end_of_window(first.at, length) != end) {
            self.open.clear();
        }
        self.open.push(*sample);
        if sample.at < end {
            return false;
        }
        let samples = std::mem::take(&mut self.open);
        let Some(sizes) = sizes(&samples, end) else {
            self.before = None;
            return false;
        };
        let before = self.before.replace(sizes).filter(|before| before.end + length == end);
        let Some((before, steady)) = before.zip(self.steady) else { return false };
        let Some(window) = window(rules, &samples, before, sizes, steady) else { return false };
        self.estimator.observe(&window).is_ok()
    }

    /// Moves the ceiling in force to what the windows show.
    fn hold(&mut self, policy: &Scalability, assessment: &Assessment, now: Time) {
        let Some(replicas) = ceiling(policy, assessment) else { return };
        let near = |held: HeldCeiling| {
            held.replicas.abs_diff(replicas) <= floor_count(PLAY * from_count(held.replicas)).max(1)
        };
        let (replicas, rising) = match (self.held, self.rising) {
            (Some(held), _) if near(held) => (held.replicas, None),
            (Some(held), rising) if replicas > held.replicas => {
                // What is known less well has a higher upper bound: that alone is no reason to grow.
                let (since, least) = rising.map_or((now, replicas), |(at, least)| (at, least.min(replicas)));
                let lasted = since <= now && now.since(since) >= RAISED_AFTER;
                if lasted { (least, None) } else { (held.replicas, Some((since.min(now), least))) }
            }
            _ => (replicas, None),
        };
        self.rising = rising;
        self.held = Some(HeldCeiling { replicas, shown: now });
    }

    /// Lets go of a ceiling that the windows no longer show.
    fn give_up(&mut self, rules: &FitRules, now: Time) {
        let kept = if self.complete { KEPT } else { rules.expires_after() };
        if self.held.is_some_and(|held| now.since(held.shown) > kept) {
            self.held = None;
        }
    }

    /// The ceiling with how it came about.
    pub(super) fn ceiling(&self, policy: &Scalability) -> CeilingReport {
        let replicas = self.held.map(|held| held.replicas);
        CeilingReport {
            limit: Limit::Scalability,
            replicas,
            growth_limit: replicas,
            enforcement: policy.enforcement,
            message: self.message(policy),
        }
    }

    fn message(&self, policy: &Scalability) -> String {
        let allowed = (policy.safety * 100.0).round();
        let known = self.assessed.as_ref().map(|(_, assessment)| assessment);
        let mut message = match (known.map(|known| (known, &known.ceiling)), self.held) {
            (Some((known, Ok(ceiling))), _) => {
                let stays = self.held.filter(|held| held.replicas != ceiling.replicas).map(|held| {
                    format!(
                        "; {} stay in force: the newest answer, {}, is too near or too new",
                        held.replicas, ceiling.replicas
                    )
                });
                format!(
                    "{}, {allowed} % of that is allowed{}{}",
                    peak_in_words(known, ceiling),
                    carried(ceiling),
                    stays.unwrap_or_default()
                )
            }
            (Some((known, Err(_))), Some(held)) if knee(policy, known).is_some() => {
                format!("{}; up to {} replicas each adds enough", law_in_words(known), held.replicas)
            }
            (_, Some(held)) if !self.complete => {
                format!(
                    "{} replicas as known from before; the windows behind it are being read",
                    held.replicas
                )
            }
            (Some((_, Err(missing))), Some(held)) => {
                format!("{} replicas as shown before; no longer: {}", held.replicas, listed(missing))
            }
            (Some((_, Err(missing))), None) => format!("no ceiling yet: {}", listed(missing)),
            (None, _) => "no ceiling yet: no window has been read".to_owned(),
        };
        if let Some(fault) = &self.fault {
            // Writing to a String cannot fail.
            let _ = write!(message, "; windows cannot be read: {fault}");
        }
        message
    }

    /// Whether there is a ceiling, or the first thing that is missing.
    pub(super) fn condition(&self, policy: &Scalability) -> Option<Condition> {
        if !matches!(policy.law, ScalabilityLaw::Fitted(_)) {
            return None;
        }
        let (status, reason) = match (self.held, &self.fault, &self.assessed) {
            (Some(_), ..) => (ConditionStatus::True, Reason::CeilingEarned),
            (None, Some(_), _) => (ConditionStatus::Unknown, Reason::WindowsUnreadable),
            (None, None, Some((_, Assessment { ceiling: Err(missing), .. }))) => {
                (ConditionStatus::False, missing.first().map_or(Reason::TooFewWindows, reason))
            }
            _ => (ConditionStatus::False, Reason::TooFewWindows),
        };
        Some(Condition {
            kind: ConditionType::ScalabilityFitted,
            status,
            reason,
            message: self.message(policy),
        })
    }

    /// The count at which throughput peaks, declared or fitted.
    pub(super) fn peak(&self, policy: &Scalability) -> Option<f64> {
        match &policy.law {
            ScalabilityLaw::Declared(law) => scalability::peak(law),
            ScalabilityLaw::Fitted(_) => self.assessed.as_ref()?.1.fit.as_ref()?.law.peak(),
        }
    }

    /// What status shows, and a restart needs.
    pub(super) fn report(&self, policy: &Scalability) -> Option<ScalabilityReport> {
        let (ScalabilityLaw::Fitted(_), Some(steady)) = (&policy.law, self.steady) else { return None };
        let known = self.assessed.as_ref().map(|(_, assessment)| assessment);
        let fit = known.and_then(|known| known.fit.as_ref());
        Some(ScalabilityReport {
            revision: steady.revision,
            since: steady.since,
            windows: known.map_or(0, |known| known.windows),
            alpha: fit.map(|fit| fit.law.alpha),
            beta: fit.map(|fit| fit.law.beta),
            peak: fit.and_then(|fit| fit.law.peak()),
            peak_at_most: known.and_then(|known| known.ceiling.as_ref().ok()).map(|ceiling| ceiling.at_most),
            ceiling: self.held.map(|held| held.replicas),
        })
    }
}

/// The end of the window that holds `at`: windows lie on a grid through the epoch and hold their end, not their begin.
fn end_of_window(at: Time, length: Span) -> Time {
    let width = i64::try_from(length.millis().max(1)).unwrap_or(i64::MAX);
    let number = at.millis().saturating_sub(1).div_euclid(width);
    Time::from_millis(number.saturating_add(1).saturating_mul(width))
}

/// Ready pods in a whole window; none where a sample is missing.
fn sizes(samples: &[ScalabilitySample], end: Time) -> Option<Sizes> {
    if samples.len() < usize::try_from(FitRules::SAMPLES).unwrap_or(usize::MAX) {
        return None;
    }
    let ready: Option<Vec<u32>> =
        samples.iter().map(|sample| sample.ready_replicas.map(|ready| floor_count(ready.round()))).collect();
    let ready = ready?;
    Some(Sizes { end, fewest: ready.iter().copied().min()?, most: ready.iter().copied().max()? })
}

/// The window of `samples`; none where something was not measured. Pods are warm when they were there in the window
/// before as well.
fn window(
    rules: &FitRules,
    samples: &[ScalabilitySample],
    before: Sizes,
    sizes: Sizes,
    steady: Steady,
) -> Option<Window> {
    let queries = &rules.queries;
    let utilization = || mean(samples, |sample| sample.utilization).map(Load::Utilization);
    let full = match &queries.saturation {
        Some(_) => {
            all(samples, |sample| sample.saturation)?.iter().all(|value| *value > rules.saturated_above)
        }
        None => false,
    };
    let load = match &queries.utilization_query {
        _ if full => Load::Saturated,
        Some(_) => utilization()?,
        None => return None,
    };
    let objective_met = match &queries.objective {
        Some(_) => {
            all(samples, |sample| sample.objective)?.iter().all(|value| *value <= rules.objective_at_most)
        }
        None => true,
    };
    Some(Window {
        end: sizes.end,
        length: rules.window(),
        revision: spelled(steady.revision),
        fewest_ready: sizes.fewest.min(before.fewest),
        most_ready: sizes.most.max(before.most),
        rollout: before.end < steady.since,
        load,
        throughput: mean(samples, |sample| sample.throughput)?,
        objective_met,
    })
}

fn all(samples: &[ScalabilitySample], of: impl Fn(&ScalabilitySample) -> Option<f64>) -> Option<Vec<f64>> {
    samples.iter().map(of).collect()
}

fn mean(samples: &[ScalabilitySample], of: impl Fn(&ScalabilitySample) -> Option<f64>) -> Option<f64> {
    let values = all(samples, of)?;
    let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
    Some(values.iter().sum::<f64>() / from_count(count))
}

fn spelled(revision: u64) -> String {
    format!("{revision:x}")
}

fn settings(policy: &Scalability, rules: &FitRules) -> Settings {
    let expires_after = rules.expires_after();
    let half_life = HALF_LIFE * expires_after.seconds();
    Settings {
        safety: policy.safety,
        half_life: Span::from_seconds(floor_count(half_life).into()),
        expires_after,
    }
}

/// The ceiling that `assessment` supports.
fn ceiling(policy: &Scalability, assessment: &Assessment) -> Option<u32> {
    let below_peak = assessment.ceiling.as_ref().ok().map(|ceiling| ceiling.replicas);
    below_peak.into_iter().chain(knee(policy, assessment)).min()
}

/// The knee, where it is asked for and was measured. It needs no peak: throughput that never falls has one too.
fn knee(policy: &Scalability, assessment: &Assessment) -> Option<u32> {
    let open = |missing: &NotReady| {
        matches!(
            missing,
            NotReady::NoPeakYet { .. } | NotReady::NeverNearPeak { .. } | NotReady::IntervalTooWide { .. }
        )
    };
    let described = match &assessment.ceiling {
        Ok(_) => true,
        Err(missing) => missing.iter().all(open),
    };
    let fit = assessment.fit.as_ref().filter(|_| described)?;
    let knee = scalability::knee(&optimistic(fit), policy.marginal_gain?);
    (knee < MAX_COUNT && NEAR_KNEE * from_count(knee) <= fit.largest).then_some(knee)
}

/// The law at the cheapest coefficients that the measurements leave open: a knee too low would cost capacity.
fn optimistic(fit: &Fit) -> scalability::Coefficients {
    scalability::Coefficients {
        alpha: fit.alpha_interval.lower.max(0.0),
        beta: fit.beta_interval.lower.max(0.0),
    }
}

/// A coefficient with three significant digits, as papers write it.
pub(crate) fn significant(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if rounded != 0.0 && rounded.abs() < 1e-6 { format!("{rounded:e}") } else { rounded.to_string() }
}

fn law_in_words(known: &Assessment) -> String {
    match &known.fit {
        Some(fit) => format!(
            "fitted α {} and β {} from {} windows",
            significant(fit.law.alpha),
            significant(fit.law.beta),
            known.windows
        ),
        None => format!("{} windows", known.windows),
    }
}

fn peak_in_words(known: &Assessment, ceiling: &FittedCeiling) -> String {
    let peak = known.fit.as_ref().and_then(|fit| fit.law.peak()).unwrap_or(ceiling.at_most);
    format!(
        "{}: throughput peaks at {peak:.1} replicas, at most at {:.1}",
        law_in_words(known),
        ceiling.at_most
    )
}

fn carried(ceiling: &FittedCeiling) -> String {
    match ceiling.carried_well {
        Some(carried) if carried >= ceiling.below_peak => format!("; {carried} replicas carried load well"),
        _ => String::new(),
    }
}

fn listed(missing: &[NotReady]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn reason(missing: &NotReady) -> Reason {
    match missing {
        NotReady::TooFewWindows { .. } => Reason::TooFewWindows,
        NotReady::NewRevision { .. } => Reason::NewRevision,
        NotReady::TooFewSizes { .. } => Reason::TooFewSizes,
        NotReady::RangeTooNarrow { .. } => Reason::RangeTooNarrow,
        NotReady::NeverNearPeak { .. } => Reason::NeverNearPeak,
        NotReady::NoPeakYet { .. } => Reason::NoPeakYet,
        NotReady::IntervalTooWide { .. } => Reason::IntervalTooWide,
        NotReady::PoorFit { .. } => Reason::PoorFit,
        NotReady::BelowAllSeen { .. } => Reason::OnlyBeyondPeak,
        NotReady::Superlinear => Reason::Superlinear,
        NotReady::NoGrowth => Reason::NoGrowth,
        NotReady::Expired { .. } => Reason::WindowsExpired,
        NotReady::NotFitted(_) => Reason::NotFitted,
    }
}
