//! Each policy's figures, as last decided: read at every scrape, gone with the policy.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::audit::{self, Flaw, Level};
use crate::cluster::PolicyKey;
use crate::control::{
    BURN_WINDOWS, Condition, ConditionStatus, ConditionType, Decision, ForecastPhase, GuardState, Policy,
};
use crate::number::from_count;
use crate::signal::SignalState;
use crate::time::Span;

/// What is shown of one policy.
#[derive(Clone, Debug, Default)]
pub struct PolicyFigures {
    /// By metric and further labels.
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    metric: usize,
    label: Option<String>,
    /// Why a condition is as it is.
    reason: Option<String>,
    value: f64,
}

struct Description {
    name: &'static str,
    help: &'static str,
    /// The label beside namespace and policy.
    label: Option<&'static str>,
}

const fn describe(name: &'static str, label: Option<&'static str>, help: &'static str) -> Description {
    Description { name, help, label }
}

const CURRENT: usize = 0;
const DESIRED: usize = 1;
const NEEDED: usize = 2;
const MIN: usize = 3;
const MAX: usize = 4;
const EFFECTIVE_MAX: usize = 5;
const UNMET: usize = 6;
const LIMITED: usize = 7;
const PODS: usize = 8;
const SIGNAL_VALUE: usize = 9;
const SIGNAL_TARGET: usize = 10;
const SIGNAL_NEED: usize = 11;
const SIGNAL_AGE: usize = 12;
const SIGNAL_FIT: usize = 13;
const CEILING: usize = 14;
const GROWTH_LIMIT: usize = 15;
const GUARD_VALUE: usize = 16;
const GUARD_THRESHOLD: usize = 17;
const GUARD_ACTIVE: usize = 18;
const GUARD_EXPIRED: usize = 19;
const GUARD_FIT: usize = 20;
const BOTTLENECK_MOVED: usize = 21;
const CAPACITY: usize = 22;
const DEFICIT: usize = 23;
const DEFICIT_RATIO: usize = 24;
const SCALABILITY_WINDOWS: usize = 25;
const SCALABILITY_ALPHA: usize = 26;
const SCALABILITY_BETA: usize = 27;
const SCALABILITY_PEAK: usize = 28;
const CONDITION: usize = 29;
const SCHEDULE: usize = 30;
const SIGNAL_HEADROOM: usize = 31;
const BURN_RATE: usize = 32;
const TARGET_RATIO: usize = 33;
const FORECAST: usize = 34;
const FORECAST_ACTS: usize = 35;
const FORECAST_ERROR: usize = 36;
const FORECAST_NAIVE_ERROR: usize = 37;
const FORECAST_MISSED: usize = 38;
const FINDINGS: usize = 39;

const DESCRIPTIONS: [Description; 40] = [
    describe("replicas", None, "Replicas asked of the workload, from its spec"),
    describe("desired_replicas", None, "Replicas that the policy wants"),
    describe("needed_replicas", None, "Replicas that demand and floors ask for, before any limit"),
    describe("min_replicas", None, "minReplicas of the policy"),
    describe("max_replicas", None, "maxReplicas of the policy"),
    describe(
        "effective_max_replicas",
        None,
        "The most replicas that maxReplicas and all enforced ceilings allow",
    ),
    describe("unmet_replicas", None, "Replicas needed beyond what the limits allow"),
    describe("limited", Some("limit"), "1 for the limit that holds the count below the need"),
    describe("pods", Some("state"), "Pods of the workload by state; a pod can be in several"),
    describe("signal_value", Some("signal"), "Value of a signal in its query's own unit"),
    describe("signal_target", Some("signal"), "Target of a signal in its query's own unit"),
    describe("signal_needed_replicas", Some("signal"), "Replicas that one signal alone asks for"),
    describe("signal_age_seconds", Some("signal"), "Age of the newest sample behind a signal"),
    describe("signal_fit", Some("signal"), "1 if a signal is fit to use, else 0"),
    describe("ceiling_replicas", Some("limit"), "A ceiling in replicas"),
    describe(
        "ceiling_growth_limit_replicas",
        Some("limit"),
        "What growth may reach now under a ceiling, with pods that still hold connections counted",
    ),
    describe("guard_value", Some("guard"), "Value of a guard in its query's own unit"),
    describe("guard_threshold", Some("guard"), "Threshold of a guard in its query's own unit"),
    describe("guard_active", Some("guard"), "1 while a guard is active, expired included, else 0"),
    describe(
        "guard_expired",
        Some("guard"),
        "1 while a guard has been active for longer than it may hold the count",
    ),
    describe("guard_fit", Some("guard"), "1 if a guard's value is fit to use, else 0"),
    describe(
        "bottleneck_moved",
        None,
        "1 while the bottleneck lies behind the workload, 0 while it does not, absent while nobody knows",
    ),
    describe(
        "capacity",
        Some("signal"),
        "What the present pods carry at their target, in the unit of the signal furthest above its own",
    ),
    describe(
        "deficit",
        Some("signal"),
        "Load beyond that capacity, in the signal's unit; 0 while there is none",
    ),
    describe(
        "deficit_ratio",
        None,
        "Load beyond capacity as a share of the load, 0 to 1: what a load shedder has to turn away; absent while it is not \
         known",
    ),
    describe(
        "scalability_windows",
        None,
        "Windows of constant size and enough load from which the scalability law is fitted",
    ),
    describe("scalability_alpha", None, "Contention of the workload as fitted (Universal Scalability Law)"),
    describe("scalability_beta", None, "Coherency of the workload as fitted (Universal Scalability Law)"),
    describe("scalability_peak_replicas", None, "The count at which throughput peaks, as fitted"),
    describe(
        "condition",
        Some("type"),
        "A condition of the policy's status by its type and reason: 1 if True, 0 if False, -1 if Unknown",
    ),
    describe(
        "schedule_replicas",
        Some("schedule"),
        "The floor that a schedule sets now; 0 while it sets none",
    ),
    describe(
        "signal_headroom_replicas",
        Some("signal"),
        "Headroom learnt of a signal in replicas; absent until enough was seen",
    ),
    describe(
        "slo_burn_rate",
        Some("window"),
        "How many times as fast as it may the error budget burns, by window; absent where it is not known",
    ),
    describe(
        "slo_target_ratio",
        None,
        "The share of themselves at which targets stand for the error budget; absent where no objective is declared",
    ),
    describe(
        "forecast_replicas",
        Some("signal"),
        "The floor that the forecast of a signal asks for now, whether or not it may; absent while there is none",
    ),
    describe(
        "forecast_acting",
        Some("signal"),
        "1 while the forecast of a signal may raise the floor, else 0",
    ),
    describe(
        "forecast_error_ratio",
        Some("signal"),
        "Errors of the last day's forecasts together as a share of all load (WAPE)",
    ),
    describe(
        "forecast_naive_error_ratio",
        Some("signal"),
        "The same of the better of the last value and the mean of a day: what anybody could have said",
    ),
    describe(
        "forecast_missed_ratio",
        Some("signal"),
        "How often load passed the percentile that was forecast in the last day, as a share",
    ),
    describe(
        "workload_findings",
        Some("level"),
        "What the audit of the workload found, by level; absent while its manifest cannot be seen",
    ),
];

impl PolicyFigures {
    /// The figures of a decision; `current` includes a write just made.
    pub fn new(policy: &Policy, decision: &Decision, current: Option<u32>) -> Self {
        let mut figures = Self::default();
        figures.count(CURRENT, None, current);
        figures.count(DESIRED, None, decision.desired);
        figures.count(NEEDED, None, decision.need);
        figures.count(MIN, None, Some(policy.min));
        figures.count(MAX, None, Some(policy.max));
        figures.count(EFFECTIVE_MAX, None, Some(decision.effective_max));
        figures.count(UNMET, None, Some(decision.unmet));
        if let Some(limit) = &decision.limited_by {
            figures.count(LIMITED, Some(limit.to_string()), Some(1));
        }
        if let Some(counts) = &decision.counts {
            for (state, count) in [
                ("serving", counts.serving),
                ("warm", counts.warm),
                ("ordered", counts.ordered),
                ("failing", counts.failing),
                ("terminating", counts.terminating),
                ("reachable", counts.reachable),
            ] {
                figures.count(PODS, Some(state.to_owned()), Some(count));
            }
        }
        for signal in &decision.signals {
            let label = || Some(signal.name.clone());
            figures.real(SIGNAL_VALUE, label(), signal.value);
            figures.real(SIGNAL_TARGET, label(), Some(signal.target));
            figures.count(SIGNAL_NEED, label(), signal.need);
            figures.real(SIGNAL_HEADROOM, label(), signal.headroom.map(|headroom| headroom.replicas));
            figures.real(SIGNAL_AGE, label(), signal.age.map(Span::seconds));
            figures.count(SIGNAL_FIT, label(), Some(u32::from(signal.state == SignalState::Fresh)));
        }
        for ceiling in &decision.ceilings {
            figures.count(CEILING, Some(ceiling.limit.to_string()), ceiling.replicas);
            figures.count(GROWTH_LIMIT, Some(ceiling.limit.to_string()), ceiling.growth_limit);
        }
        for guard in &decision.guards {
            let label = || Some(guard.name.clone());
            figures.real(GUARD_VALUE, label(), guard.value);
            figures.real(GUARD_THRESHOLD, label(), Some(guard.threshold));
            let acts = guard.state != GuardState::Inactive;
            figures.count(GUARD_ACTIVE, label(), Some(u32::from(acts)));
            figures.count(GUARD_EXPIRED, label(), Some(u32::from(guard.state == GuardState::Expired)));
            figures.count(GUARD_FIT, label(), Some(u32::from(guard.signal == SignalState::Fresh)));
        }
        for schedule in &decision.schedules {
            figures.count(SCHEDULE, Some(schedule.name.clone()), Some(schedule.floor.unwrap_or(0)));
        }
        if let Some(slo) = &decision.slo {
            for ((window, _), rate) in BURN_WINDOWS.iter().zip(slo.burn) {
                figures.real(BURN_RATE, Some((*window).to_owned()), rate);
            }
            figures.real(TARGET_RATIO, None, Some(from_count(slo.percent) / 100.0));
        }
        for forecast in &decision.forecasts {
            let label = || Some(forecast.metric.clone());
            let accuracy = forecast.standing.as_ref().and_then(|standing| standing.accuracy);
            figures.count(FORECAST, label(), forecast.replicas);
            figures.count(FORECAST_ACTS, label(), Some(u32::from(forecast.phase == ForecastPhase::Acting)));
            figures.real(FORECAST_ERROR, label(), accuracy.map(|accuracy| accuracy.error));
            figures.real(FORECAST_NAIVE_ERROR, label(), accuracy.map(|accuracy| accuracy.naive_error));
            figures.real(FORECAST_MISSED, label(), accuracy.map(|accuracy| accuracy.missed));
        }
        let moved =
            decision.conditions.iter().find(|condition| condition.kind == ConditionType::BottleneckMoved);
        let moved = moved.filter(|condition| condition.status != ConditionStatus::Unknown);
        figures.count(
            BOTTLENECK_MOVED,
            None,
            moved.map(|condition| u32::from(condition.status == ConditionStatus::True)),
        );
        for condition in &decision.conditions {
            figures.condition(condition);
        }
        if let Some(known) = &decision.scalability {
            figures.count(SCALABILITY_WINDOWS, None, Some(known.windows));
            figures.real(SCALABILITY_ALPHA, None, known.alpha);
            figures.real(SCALABILITY_BETA, None, known.beta);
            figures.real(SCALABILITY_PEAK, None, known.peak);
        }
        if let Some(deficit) = &decision.deficit {
            let label = || Some(deficit.signal.clone());
            figures.real(CAPACITY, label(), Some(deficit.capacity));
            figures.real(DEFICIT, label(), Some(deficit.excess));
            figures.real(DEFICIT_RATIO, None, Some(deficit.share));
        }
        figures
    }

    /// These figures and what the audit of the workload found.
    #[must_use]
    pub fn audited(mut self, flaws: Option<&[Flaw]>) -> Self {
        let Some(flaws) = flaws else { return self };
        self.condition(&audit::condition(flaws));
        for level in Level::ALL {
            self.count(FINDINGS, Some(level.to_string()), Some(audit::count(flaws, level)));
        }
        self
    }

    fn condition(&mut self, condition: &Condition) {
        let value = match condition.status {
            ConditionStatus::True => 1.0,
            ConditionStatus::False => 0.0,
            ConditionStatus::Unknown => -1.0,
        };
        self.samples.push(Sample {
            metric: CONDITION,
            label: Some(condition.kind.to_string()),
            reason: Some(condition.reason.to_string()),
            value,
        });
    }

    #[cfg(test)]
    pub(super) fn of_unmet(unmet: u32) -> Self {
        let mut figures = Self::default();
        figures.count(UNMET, None, Some(unmet));
        figures
    }

    fn count(&mut self, metric: usize, label: Option<String>, value: Option<u32>) {
        self.real(metric, label, value.map(from_count));
    }

    fn real(&mut self, metric: usize, label: Option<String>, value: Option<f64>) {
        self.samples.extend(value.map(|value| Sample { metric, label, reason: None, value }));
    }
}

/// The figures of all policies.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies(Arc<Mutex<BTreeMap<PolicyKey, PolicyFigures>>>);

impl Policies {
    pub(super) fn set(&self, policy: &PolicyKey, figures: PolicyFigures) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(policy.clone(), figures);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn remove(&self, policy: &PolicyKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(policy);
    }
}

impl Collector for Policies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Copied, so that a slow scrape never holds up a decision.
        let policies = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (at, description) in DESCRIPTIONS.iter().enumerate() {
            let mut family =
                encoder.encode_descriptor(description.name, description.help, None, MetricType::Gauge)?;
            for (policy, figures) in &policies {
                for sample in figures.samples.iter().filter(|sample| sample.metric == at) {
                    let mut labels =
                        vec![("namespace", policy.namespace.as_str()), ("policy", policy.name.as_str())];
                    labels.extend(description.label.zip(sample.label.as_deref()));
                    labels.extend(sample.reason.as_deref().map(|reason| ("reason", reason)));
                    family.encode_family(&labels)?.encode_gauge(&sample.value)?;
                }
            }
        }
        let mut family =
            encoder.encode_descriptor("policies", "Policies that are evaluated", None, MetricType::Gauge)?;
        family.encode_gauge(&crate::number::count_of(policies.len()))
    }
}
