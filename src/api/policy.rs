//! `ScalingPolicy`: what a user declares.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::behavior::Behavior;
use super::capacity::{EmergencyMax, Fallback, Frozen, Headroom, Smoothing, WarmUp};
use super::ceilings::Ceilings;
use super::forecast::Forecast;
use super::guard::Guard;
use super::metric::Metric;
use super::schedule::Schedule;
use super::slo::Slo;
use super::status::ScalingPolicyStatus;

/// Scales a workload with its load and never past what stands behind it can carry.
#[allow(clippy::duplicated_attributes, reason = "each printed column has a type and a path")]
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "ScalingPolicy",
    plural = "scalingpolicies",
    shortname = "sp",
    category = "autoscaling",
    namespaced,
    status = "ScalingPolicyStatus",
    derive = "PartialEq",
    doc = "Scales a workload with its load and never past what stands behind it can carry.",
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".spec.scaleTargetRef.name",
        description = "The workload that is scaled"
    ),
    printcolumn(
        name = "Signals",
        type_ = "string",
        json_path = ".status.targets",
        description = "Each signal's value and target"
    ),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.minReplicas"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.maxReplicas"),
    printcolumn(
        name = "Ceiling",
        type_ = "integer",
        json_path = ".status.effectiveMaxReplicas",
        description = "The most replicas that all limits allow"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.currentReplicas",
        description = "Replicas asked of the workload"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".status.desiredReplicas",
        description = "Replicas this policy wants"
    ),
    printcolumn(
        name = "Limited-By",
        type_ = "string",
        json_path = ".status.limitedBy",
        description = "What holds the count below the need"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = 1),
    printcolumn(
        name = "As-Of",
        type_ = "date",
        json_path = ".status.asOf",
        priority = 1,
        description = "How long ago this status was written"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message(
        "maxReplicas must not be below minReplicas: raise maxReplicas or lower minReplicas"
    ),
    validation = Rule::new("self.metrics.exists(metric, metric.role == 'Leading')").message(
        "a SafetyNet cannot drive the count alone: add a metric with role: Leading, such as a request rate"
    ),
    validation = Rule::new("self.mode != 'Frozen' || has(self.frozen)").message(
        "mode Frozen needs to know the count: add frozen.replicas"
    ),
    validation = Rule::new("!has(self.frozen) || (self.frozen.replicas >= self.minReplicas && self.frozen.replicas <= self.maxReplicas)").message(
        "frozen.replicas must lie between minReplicas and maxReplicas; to go lower in an emergency use emergencyMax"
    ),
    validation = Rule::new("!has(self.fallback) || (self.fallback.replicas >= self.minReplicas && self.fallback.replicas <= self.maxReplicas)").message(
        "fallback.replicas must lie between minReplicas and maxReplicas"
    ),
    validation = Rule::new("!has(self.schedules) || self.schedules.all(schedule, schedule.minReplicas >= self.minReplicas && schedule.minReplicas <= self.maxReplicas)").message(
        "minReplicas of a schedule must lie between minReplicas and maxReplicas of the policy"
    ),
    validation = Rule::new("!has(self.forecast) || self.metrics.exists(metric, metric.role == 'Leading' && metric.target.type == 'AverageValue' && (!has(self.forecast.metric) || metric.name == self.forecast.metric))").message(
        "a forecast is about load that comes from outside: name in forecast.metric a Leading metric with an AverageValue target, such as a request rate"
    )
)]
pub struct ScalingPolicySpec {
    /// The workload to scale: anything with a `/scale` subresource in the policy's namespace. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message(
        "scaleTargetRef cannot change, or what was learnt of one workload would be used on another: create a new ScalingPolicy"
    ))]
    pub scale_target_ref: ScaleTargetRef,
    /// Fewest replicas, 1 to 100000. Default: 1. Scale to zero does not exist yet.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(max = 100_000))]
    #[x_kube(validation = Rule::new("self >= 1").message(
        "scale to zero is not supported yet: write minReplicas 1 or more"
    ))]
    pub min_replicas: u32,
    /// Most replicas, 1 to 100000; never passed, whatever a metric says.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_replicas: u32,
    /// Seconds between evaluations, 1 to 3600. Default: 15.
    #[serde(default = "default_polling_interval")]
    #[schemars(range(min = 1, max = 3600))]
    pub polling_interval: u32,
    /// `Active` (default): scale. `DryRun`: decide and publish, write nothing; the way to run beside an HPA.
    /// `Frozen`: hold the count in `frozen`.
    #[serde(default)]
    pub mode: Mode,
    /// The count to hold with mode Frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// Directions in which demand may not move the count. Ceilings, minReplicas and emergencyMax still act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub paused: Vec<Direction>,
    /// A cap for an emergency: cut to at once, also below minReplicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_max: Option<EmergencyMax>,
    /// The signals to track, 1 to 8, by name; at least one Leading.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub metrics: Vec<Metric>,
    /// How fast and how readily the count may move: HPA v2's `behavior`, field for field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
    /// Smoothing of the signals, apart for each direction.
    #[serde(default)]
    pub smoothing: Smoothing,
    /// When a started pod counts as capacity.
    #[serde(default)]
    pub warm_up: WarmUp,
    /// Spare capacity.
    #[serde(default)]
    pub headroom: Headroom,
    /// A service level objective, whose burning error budget lowers the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// Times at which more replicas are kept, at most 16, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub schedules: Vec<Schedule>,
    /// A floor ahead of peaks that come again, forecast from the metrics' past. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// What must not be passed besides maxReplicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
    /// Signals of what stands behind the workload, at most 8, by name: while one is beyond its threshold the count is held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub guards: Vec<Guard>,
    /// What to run with when no leading signal has been fit to use for a while. Default: hold the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// The workload that is scaled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleTargetRef {
    /// API version of the workload. Default: apps/v1.
    #[serde(default = "default_target_api_version")]
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Kind of the workload. Default: Deployment.
    #[serde(default = "default_target_kind")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the workload.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What the policy does with its decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Writes them.
    #[default]
    Active,
    /// Publishes them and writes nothing.
    DryRun,
    /// Holds a fixed count.
    Frozen,
}

/// A direction of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// Adding pods.
    ScaleUp,
    /// Removing pods.
    ScaleDown,
}

fn default_min_replicas() -> u32 {
    1
}

fn default_polling_interval() -> u32 {
    15
}

fn default_target_api_version() -> String {
    "apps/v1".to_owned()
}

fn default_target_kind() -> String {
    "Deployment".to_owned()
}
