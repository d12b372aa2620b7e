//! What `decide` answers: a count, and how it came about.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::deficit::Deficit;
use super::forecasts::ForecastReport;
use super::guard::GuardReport;
use super::headroom::HeadroomReport;
use super::observation::Workload;
use super::reason::Reason;
use super::schedules::ScheduleReport;
use super::slo::SloReport;
use super::zones::ZoneLossReport;
use crate::api::Enforcement;
use crate::capacity::Counts;
use crate::ceiling::connections::RolloutShape;
use crate::signal::SignalState;
use crate::time::{Span, Time};

/// A count with its explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was taken.
    pub time: Time,
    /// Replicas asked for before; none while the workload cannot be seen.
    pub from: Option<u32>,
    /// Replicas to write; none if nothing is to be written.
    pub write: Option<u32>,
    /// Replicas this policy wants now; differs from `write` where a mode or a rival keeps it from writing.
    pub desired: Option<u32>,
    /// What decided.
    pub reason: Reason,
    /// One sentence: what is done and why.
    pub message: String,
    /// Replicas that demand and floors ask for, before any limit.
    pub need: Option<u32>,
    /// The most replicas that maxReplicas and all enforced ceilings allow.
    pub effective_max: u32,
    /// The limit that holds the count below the need.
    pub limited_by: Option<Limit>,
    /// Replicas needed beyond that limit.
    pub unmet: u32,
    /// How the count came about.
    pub steps: Vec<Step>,
    /// Each signal as judged, in the policy's order.
    pub signals: Vec<SignalReport>,
    /// Each ceiling, in the policy's order.
    pub ceilings: Vec<CeilingReport>,
    /// Each guard, in the policy's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardReport>,
    /// Each schedule, in the policy's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleReport>,
    /// Each forecast, in the order of the metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<ForecastReport>,
    /// What is kept for the loss of zones; none where nothing is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_loss: Option<ZoneLossReport>,
    /// What the error budget does; none where no objective is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<SloReport>,
    /// What would help, in plain sentences; only while something is unmet or the bottleneck lies behind the workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
    /// Load against what the present pods carry; none while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deficit: Option<Deficit>,
    /// The workload's pods, counted.
    pub counts: Option<Counts>,
    /// Time from creation to Ready, as measured.
    pub start_up: Option<StartUp>,
    /// Time from the request to shut down until a pod is gone, as measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// The changes of the last half hour after which the direction changed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reversals: Vec<Time>,
    /// What the fit of the scalability ceiling knows; none where no fit is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability: Option<ScalabilityReport>,
    /// What status shows as conditions, sorted by type.
    pub conditions: Vec<Condition>,
    /// A scale-in waits for nothing but an age measured at the evaluation itself: ask for it next time.
    pub wants_age: bool,
    /// What budgets must know of it; none while the workload cannot be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footprint: Option<Footprint>,
}

/// What a workload takes of budgets now, and would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Footprint {
    /// How it replaces its pods, as far as is measured.
    pub shape: RolloutShape,
    /// Pods beyond its count and its surge.
    pub beside: u32,
    /// Replicas that it would have if every budget had enough; the present ones where the policy writes nothing.
    pub wanted: u32,
    /// Its count follows this policy, so that something can be asked back.
    pub movable: bool,
}

impl Footprint {
    /// Of a workload of which nothing is measured and for which nobody speaks: what it has.
    pub fn unmeasured(workload: &Workload) -> Self {
        let shape = RolloutShape {
            update: workload.update,
            termination_grace: workload.termination_grace,
            drain: None,
            start_up: None,
        };
        Self { shape, beside: 0, wanted: workload.spec_replicas, movable: false }
    }
}

/// One step from need to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Which step.
    pub step: StepName,
    /// Count before the step.
    pub before: u32,
    /// Count after the step.
    pub after: u32,
    /// What the step found.
    pub reason: Reason,
    /// One sentence with its numbers.
    pub message: String,
}

/// The steps, in the order in which a count walks through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StepName {
    /// What the signals ask for.
    Need,
    /// Whether need differs enough from the count.
    Tolerance,
    /// What the safety nets add.
    SafetyNet,
    /// Whether recent recommendations agree.
    Stabilization,
    /// Whether a scale-in would itself push a signal over its scale-out edge.
    LookAhead,
    /// Whether the world is fit for a scale-in.
    ScaleDownGuard,
    /// What the count may not go below.
    Floor,
    /// How fast the count may move.
    Rate,
    /// How many pods may be warming up at once.
    WarmUp,
    /// What guards allow while what they watch suffers.
    Guard,
    /// What must not be passed.
    Ceiling,
    /// What people and modes say.
    Override,
}

/// A signal as judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalReport {
    /// Name of the metric.
    pub name: String,
    /// Fit to use, or why not.
    pub state: SignalState,
    /// What was found.
    pub reason: Reason,
    /// The value seen, in the query's own unit; none if there is none or it is not a number.
    pub value: Option<f64>,
    /// The target, in the query's own unit.
    pub target: f64,
    /// Replicas that this signal alone asks for, with headroom; none for safety nets and unfit signals.
    pub need: Option<u32>,
    /// Replicas that a steady rise will ask for beyond that value, by the time that pods asked for now serve.
    pub rise: Option<f64>,
    /// Headroom learnt of it; none before enough was seen.
    pub headroom: Option<HeadroomReport>,
    /// Age of the newest sample behind the query.
    pub age: Option<Span>,
    /// What is wrong and what to do; empty if nothing is.
    pub message: String,
    /// How target and value are spelled for people.
    pub text: String,
}

/// A ceiling as computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CeilingReport {
    /// Which limit.
    pub limit: Limit,
    /// The ceiling in replicas; none if there is none. May cause scale-in.
    pub replicas: Option<u32>,
    /// What growth may reach now, with pods that still hold connections counted.
    pub growth_limit: Option<u32>,
    /// What the ceiling does.
    pub enforcement: Enforcement,
    /// How the number came about.
    pub message: String,
}

/// What holds a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// `maxReplicas`.
    MaxReplicas,
    /// Connections of a database or pooler.
    Connections(String),
    /// The Universal Scalability Law.
    Scalability,
    /// A person's emergency cap.
    EmergencyMax,
    /// A guard.
    Guard(String),
}

impl Limit {
    /// As a part of a sentence: "held at 25 by …".
    pub fn in_words(&self) -> String {
        match self {
            Self::MaxReplicas => "maxReplicas".to_owned(),
            Self::Connections(name) => format!("database connections of {name}"),
            Self::Scalability => "the scalability ceiling (USL)".to_owned(),
            Self::EmergencyMax => "the emergency cap".to_owned(),
            Self::Guard(name) => format!("guard {name}"),
        }
    }
}

impl fmt::Display for Limit {
    /// As status and columns show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxReplicas => f.write_str("maxReplicas"),
            Self::Connections(name) => write!(f, "connections/{name}"),
            Self::Scalability => f.write_str("scalability"),
            Self::EmergencyMax => f.write_str("emergencyMax"),
            Self::Guard(name) => write!(f, "guard/{name}"),
        }
    }
}

/// A condition as status shows it; times are added where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Reason code.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
}

/// Condition types. The first three are HPA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// Whether the count can be read and written.
    AbleToScale,
    /// The bottleneck lies behind the workload.
    BottleneckMoved,
    /// A ceiling lies below `minReplicas`.
    BudgetInfeasible,
    /// Whether the error budget is spent no faster than it may be.
    ErrorBudgetKept,
    /// The count changes direction too often.
    Flapping,
    /// Whether the forecast is better than what anybody could say.
    ForecastAccurate,
    /// A guard holds the count.
    Guarded,
    /// Whether headroom is enough for what load does while pods start.
    HeadroomSufficient,
    /// Pods do not become Ready in time, or do not appear; they are not waited for.
    PodsFailing,
    /// Everything is in order: readable, measured and free to act.
    Ready,
    /// Somebody else sets the count again and again.
    ReplicasOverwritten,
    /// A rollout makes no progress; it is not waited for.
    RolloutStalled,
    /// Whether the scalability ceiling that is fitted has been earned.
    ScalabilityFitted,
    /// Whether signals drive the count.
    ScalingActive,
    /// Whether a limit holds the count.
    ScalingLimited,
    /// Whether the workload keeps its requests when pods come and go.
    WorkloadAudited,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// Time from creation to Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartUp {
    /// Median.
    pub p50: Span,
    /// 90th percentile.
    pub p90: Span,
    /// Starts measured.
    pub samples: u32,
}

/// What is known of a workload's scalability law.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalabilityReport {
    /// The revision that it is about.
    pub revision: u64,
    /// Since when that revision runs alone.
    pub since: Time,
    /// Windows that count.
    pub windows: u32,
    /// Contention α as fitted.
    pub alpha: Option<f64>,
    /// Coherency β as fitted.
    pub beta: Option<f64>,
    /// The peak N* as fitted.
    pub peak: Option<f64>,
    /// Its upper bound, where there is a ceiling.
    pub peak_at_most: Option<f64>,
    /// The ceiling.
    pub ceiling: Option<u32>,
}

/// Time from the request to shut down until a pod is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Median.
    pub p50: Span,
    /// 90th percentile.
    pub p90: Span,
    /// The longest, which ceilings reckon with.
    pub longest: Span,
    /// Drains measured.
    pub samples: u32,
}
