//! `ScalingPolicy` status: what a user reads.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller saw and did. Written on change, and when a shown value has moved by more than ten percent;
/// `asOf` tells when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, AbleToScale, ScalingActive, ScalingLimited and others; sorted by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// Replicas asked of the workload (`spec.replicas`) when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<u32>,
    /// Replicas this policy wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<u32>,
    /// The most replicas that maxReplicas and all enforced ceilings allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_max_replicas: Option<u32>,
    /// What holds the count below the need; absent if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// Replicas needed beyond what the limits allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet_replicas: Option<u32>,
    /// Each signal's value and target in one line; `?` marks a signal that is not fit to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
    /// When this status was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
    /// The workload's pods, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodCounts>,
    /// Each signal as last judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricStatus>,
    /// Each ceiling as last computed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ceilings: Vec<CeilingStatus>,
    /// What the fit of the scalability ceiling knows; the ceiling itself is among the ceilings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability: Option<ScalabilityStatus>,
    /// Each guard as last judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<GuardStatus>,
    /// Each schedule: the floor that it sets, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleStatus>,
    /// Each forecast: what it asks for now, the next peak, and how far it is off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<ForecastStatus>,
    /// What is kept for the loss of zones; absent where nothing is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_loss: Option<ZoneLossStatus>,
    /// What the error budget does, and where the targets stand for it; absent where no objective is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<SloStatus>,
    /// What would help, in plain sentences; only while something is needed that the limits do not allow, or the bottleneck
    /// lies behind the workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
    /// Load beyond what the present pods can carry; absent while they carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deficit: Option<DeficitStatus>,
    /// The last decision, step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionStatus>,
    /// The last ten changes of the count that this policy made, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_changes: Vec<ChangeStatus>,
    /// Time from creation to Ready of this workload's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_up: Option<StartUpStatus>,
    /// Time from the request to shut down until a pod of this workload is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
    /// The changes of the last half hour after which the direction changed, the last eight of them, newest first.
    /// Many of them are flapping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reversals: Vec<Time>,
    /// What the audit of the workload found, the gravest first, sixteen at most: what loses requests or capacity when pods
    /// come and go. The rules are those of `plimsoll lint`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingStatus>,
}

/// Something that the audit of a workload found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// Name of the rule.
    pub rule: String,
    /// Error, Warning or Note.
    pub level: String,
    /// What is so, and why it matters.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

/// The workload's pods, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// Ready pods.
    pub serving: u32,
    /// Ready for at least the warm-up time.
    pub warm: u32,
    /// Asked for and not yet warm.
    pub ordered: u32,
    /// Not Ready long after they should have been.
    pub failing: u32,
    /// Shutting down; may still hold connections.
    pub terminating: u32,
    /// The most pods that can hold connections at one moment, a rollout included.
    pub reachable: u32,
}

/// One signal as last judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// Name of the metric.
    pub name: String,
    /// Fresh, Stale, Missing or Suspect.
    pub state: String,
    /// The value seen, in the query's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The target, in the query's own unit; per replica where the query yields a total.
    pub target: String,
    /// Replicas that this signal alone asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<u32>,
    /// Replicas of it that a steady rise will take by the time that pods asked for now serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rise: Option<String>,
    /// Headroom learnt of it; absent until enough was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<HeadroomStatus>,
    /// Age of the newest sample behind the query, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Why the signal is not fit to use, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Headroom learnt of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeadroomStatus {
    /// Replicas that it adds to the present need, or would where it is only observed.
    pub replicas: String,
    /// The same in percent of need.
    pub percent: u32,
    /// The percentage of the load that would have gone unserved with it.
    pub unserved_percent: String,
    /// Hours of the load that it was learnt from.
    pub observed_hours: u64,
}

/// One ceiling as last computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CeilingStatus {
    /// Name of the ceiling.
    pub name: String,
    /// The ceiling in replicas; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// What growth may reach at this moment, with pods that still hold connections counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_limit: Option<u32>,
    /// Observe, Enforce or Hard.
    pub enforcement: String,
    /// How the number came about.
    pub reason: String,
}

/// What is known of the workload's Universal Scalability Law.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalabilityStatus {
    /// The revision that it is about; another one earns its ceiling anew.
    pub revision: String,
    /// Since when that revision runs without a rollout: windows count from here.
    pub since: Time,
    /// Windows that count: constant size, no rollout, enough load.
    pub windows: u32,
    /// Contention α as fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<String>,
    /// Coherency β as fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<String>,
    /// The count at which throughput peaks, N*, as fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_replicas: Option<String>,
    /// The upper bound of N*, from which the ceiling is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_at_most: Option<String>,
    /// The ceiling in replicas; absent until it is earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u32>,
}

/// One guard as last judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuardStatus {
    /// Name of the guard.
    pub name: String,
    /// What it forbids while it is active.
    pub action: String,
    /// `Inactive`; `Active`; `Releasing`, when the value is good again and the hold has not passed; `Expired`, when the
    /// longest time has passed and the count may move step by step.
    pub state: String,
    /// Whether its value is fit to use: Fresh, Stale, Missing or Suspect.
    pub signal: String,
    /// The value seen, in the query's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The threshold, in the query's own unit.
    pub threshold: String,
    /// Since when it has been active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Until when it holds the count at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Since when the value has been good again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_since: Option<Time>,
    /// The count at which it became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// When the count last moved under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step: Option<Time>,
    /// Why the value is not fit to use, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What is kept for the loss of zones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneLossStatus {
    /// Zones that the pods are spread over, as declared or as seen; 0 where they are not known.
    pub zones: u32,
    /// How many of them may be lost.
    pub survives: u32,
    /// Of what demand asks for, the replicas that are there for the loss alone.
    pub extra_replicas: u32,
    /// Replicas of the wanted count that are left after the loss, when they are spread evenly.
    pub replicas_left: u32,
    /// Why nothing is kept, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What an error budget does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SloStatus {
    /// `Healthy`; `Spending`, when more is spent than may be and too little to act on; `Burning`; `Guarded`, when it burns
    /// while a guard is active; `Unfit`, when it cannot be told.
    pub state: String,
    /// Where the targets stand, in percent of themselves; where it is only observed, where they would.
    pub target_percent: u32,
    /// Replicas that this adds to the present need; negative where it saves some.
    pub replicas: String,
    /// How many times as fast as it may the error budget burns, by window; absent where it is not known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub burn_rates: BTreeMap<String, String>,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleStatus {
    /// Name of the schedule.
    pub name: String,
    /// `Waiting`, when a window is to come; `RampingUp`; `Active`, while a window is open; `RampingDown`; `Over`, when none
    /// will come any more.
    pub state: String,
    /// The floor that it sets now; absent while it sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// When the window begins, or began, that sets the floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// When that window ends, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// When the next window begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start: Option<Time>,
    /// When the next window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_end: Option<Time>,
}

/// One forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastStatus {
    /// Name of the metric that it is about.
    pub metric: String,
    /// `Acting`, when it may raise the floor; `Shown`, when it might and mode is ForecastOnly; `Stopped`, while it is not
    /// good enough; `Unproven`, before enough of it could be compared with what came; `Missing`, while there is none.
    pub state: String,
    /// What made it: Mstl, or SeasonalNaive where MSTL cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// After these times the load comes again, in seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub season_seconds: Vec<u64>,
    /// When it was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted_at: Option<Time>,
    /// Hours of the past that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_hours: Option<u64>,
    /// The floor that it asks for now, whether or not it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// The largest need of the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_peak: Option<ForecastPeakStatus>,
    /// How far forecasts of the last day were off; absent until enough were compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<ForecastAccuracyStatus>,
    /// What it says, or why there is none and what to do.
    pub message: String,
}

/// A need that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastPeakStatus {
    /// When it is to be expected.
    pub time: Time,
    /// The replicas that it takes.
    pub replicas: u32,
}

/// How far forecasts of the last day were off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastAccuracyStatus {
    /// All errors together in percent of all load.
    pub error_percent: String,
    /// The same of the better of two forecasts that anybody can make: the last value, and the mean of the last day.
    pub naive_error_percent: String,
    /// The percentage of the time in which need passed what was forecast for the percentile.
    pub missed_percent: String,
}

/// Load beyond what the present pods can carry, by the leading signal that is furthest above its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeficitStatus {
    /// Name of the metric.
    pub metric: String,
    /// The load, in the query's own unit.
    pub load: String,
    /// What the present pods carry at their target, in the same unit; those warming up as their ramp counts them.
    pub capacity: String,
    /// The load beyond that.
    pub excess: String,
    /// The excess in percent of the load: what a load shedder has to turn away.
    pub percent: u32,
}

/// The last decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// When it was taken.
    pub time: Time,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// Reason code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// How the count came about, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepStatus>,
}

/// One step from need to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name of the step.
    pub step: String,
    /// Count before the step.
    pub before: u32,
    /// Count after the step.
    pub after: u32,
    /// Reason code.
    pub reason: String,
    /// One sentence with its numbers.
    pub message: String,
}

/// One change of the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeStatus {
    /// When it was written.
    pub time: Time,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// What held the count below the need, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// Reason code.
    pub reason: String,
}

/// Time from creation to Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartUpStatus {
    /// Median in seconds.
    pub p50_seconds: u64,
    /// 90th percentile in seconds.
    pub p90_seconds: u64,
    /// Starts measured.
    pub samples: u32,
}

/// Time from the request to shut down until a pod is gone, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Median in seconds.
    pub p50_seconds: u64,
    /// 90th percentile in seconds.
    pub p90_seconds: u64,
    /// The longest in seconds, which connection ceilings reckon with.
    pub longest_seconds: u64,
    /// Drains measured.
    pub samples: u32,
}
