//! What a policy tracks: queries, their targets and what makes an answer trustworthy.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// One signal: a PromQL query, the target it is held at, and what makes its answer trustworthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.role == 'Leading' || self.target.type != 'AverageValue'").message(
        "a SafetyNet watches a level such as a latency: write target.type: Value, or make the metric Leading"
    ),
    validation = Rule::new("self.role == 'SafetyNet' || (!has(self.maxStepPercent) && !has(self.maxAddPercent) && !has(self.absent))").message(
        "maxStepPercent, maxAddPercent and absent belong to a SafetyNet: remove them, or write role: SafetyNet"
    )
)]
pub struct Metric {
    /// Name of the signal in status, events and explanations; unique in the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// `Leading` (default): drives the count in both directions; the largest need of all leading signals wins.
    /// `SafetyNet`: can only add pods, in bounded steps, while the value is above its target; for latencies and
    /// other effects that have causes besides too few pods.
    #[serde(default)]
    pub role: Role,
    /// The query and the server that answers it.
    pub prometheus: PrometheusQuery,
    /// The value to hold.
    pub target: Target,
    /// How old the data behind the query may be. Default: 60 seconds, measured on the query's own selectors.
    #[serde(default)]
    pub freshness: Freshness,
    /// `None` (default), or `PerPod`: the query combines one series per pod (label `pod`, else `instance`), and the
    /// answer counts only when at least 80 percent of the serving pods stand behind it with a fresh sample.
    #[serde(default)]
    pub coverage: Coverage,
    /// What an exact zero means while pods serve. `Suspect` (default): a broken pipeline until proven otherwise; the
    /// count is held. `Data`: no load, to be acted on.
    #[serde(default)]
    pub zero: Zero,
    /// What a negative value means. `Suspect` (default), or `Data`: a need of zero pods.
    #[serde(default)]
    pub negative: Zero,
    /// What warnings in the server's answer mean (Thanos and Mimir warn of partial data). `Suspect` (default), or
    /// `Ignore`.
    #[serde(default)]
    pub warnings: Warnings,
    /// The pods that a `Value` or `Utilization` is an average over: `Serving` (default), all Ready pods; `Warm`, where
    /// the query leaves out pods that are still warming up.
    #[serde(default)]
    pub averaged_over: AveragedOver,
    /// Largest believable growth from one evaluation to the next, as a factor above 1. Beyond it a second
    /// evaluation must confirm. Default: 10.
    #[serde(default = "default_max_rise")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('1'))").message(
        "maxRise is a factor above 1: write for example 10 to have more than tenfold growth confirmed by a second evaluation"
    ))]
    pub max_rise: Quantity,
    /// Largest believable fall from one evaluation to the next, as a share of the value between 0 and 1. Beyond it
    /// a second evaluation must confirm: served throughput that collapses is not demand that collapsed. Default: 0.9.
    #[serde(default = "default_max_drop")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('1'))").message(
        "maxDrop is a share between 0 and 1: write for example \"0.9\" to have a fall by more than 90 percent confirmed by a second evaluation"
    ))]
    pub max_drop: Quantity,
    /// Dead band of this metric; overrides `behavior`'s.
    #[serde(default)]
    pub tolerance: MetricTolerance,
    /// SafetyNet only: pods added in one step, in percent of the present count, once per lead time (the time a pod
    /// takes to carry load, and the metric to show it). Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_step_percent: Option<u32>,
    /// SafetyNet only: the most pods added in all, in percent of what the leading signals need. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_add_percent: Option<u32>,
    /// SafetyNet only: what no series means. `Unknown` (default): nothing is known, so nothing is scaled in.
    /// `Healthy`: the signal exists only while something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<Absent>,
}

/// What a signal may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// Drives the count in both directions.
    #[default]
    Leading,
    /// Can only add pods.
    SafetyNet,
}

/// A PromQL query and the server that answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrometheusQuery {
    /// Name of a server in the operator's configuration. Default: `main`.
    #[serde(default = "default_server")]
    #[schemars(length(min = 1, max = 63))]
    pub server: String,
    /// PromQL that yields exactly one number.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
}

/// The value to hold a signal at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.type != 'AverageValue' || (has(self.averageValue) && !has(self.value) && !has(self.averageUtilization))").message(
        "type AverageValue takes exactly averageValue: the part of the query's total that one replica should carry"
    ),
    validation = Rule::new("self.type != 'Value' || (has(self.value) && !has(self.averageValue) && !has(self.averageUtilization))").message(
        "type Value takes exactly value: the level, in the query's own unit, that the query is held at"
    ),
    validation = Rule::new("self.type != 'Utilization' || (has(self.averageUtilization) && !has(self.value) && !has(self.averageValue))").message(
        "type Utilization takes exactly averageUtilization: the percentage that the query, itself in percent, is held at"
    )
)]
pub struct Target {
    /// `AverageValue`: the query yields a total; need = total / averageValue. The best kind where it can be had:
    /// arrivals do not depend on the replica count. `Value`: the query yields a level per pod, such as in-flight
    /// requests per pod; need = pods × level / value. `Utilization`: the same, in percent.
    #[serde(rename = "type")]
    pub kind: TargetKind,
    /// With type AverageValue: how much of the query's total one replica should carry; above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))").message(
        "averageValue is what one replica should carry: write a number above 0, for example \"90\""
    ))]
    pub average_value: Option<Quantity>,
    /// With type Value: the level to hold, in the query's own unit; above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))").message(
        "value is the level to hold: write a number above 0 in the query's own unit, for example 300m"
    ))]
    pub value: Option<Quantity>,
    /// With type Utilization: the percentage to hold, 1 to 1000; the query yields percent (75, not 0.75).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub average_utilization: Option<u32>,
}

/// How a query's value relates to the replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// A total, divided by what one replica should carry.
    AverageValue,
    /// A level per pod.
    Value,
    /// A level per pod, in percent.
    Utilization,
}

/// How old the data behind a query may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freshness {
    /// Oldest acceptable newest sample, in seconds; at least twice the scrape interval is sensible. Default: 60.
    #[serde(default = "default_max_age")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_age_seconds: u32,
    /// PromQL that yields the age in seconds. Default: the age of the newest sample behind the query's selectors.
    /// Declare it where recording rules or `or vector(0)` make old data look young.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { max_age_seconds: default_max_age(), query: None }
    }
}

/// Whether a value is built from one series per pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Coverage {
    /// Not per pod.
    #[default]
    None,
    /// One series per pod.
    PerPod,
}

/// What an odd value means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Zero {
    /// A broken pipeline until proven otherwise.
    #[default]
    Suspect,
    /// A number like any other.
    Data,
}

/// What warnings in an answer mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Warnings {
    /// The answer may be incomplete.
    #[default]
    Suspect,
    /// The answer counts all the same.
    Ignore,
}

/// The pods that a level is an average over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AveragedOver {
    /// All Ready pods.
    #[default]
    Serving,
    /// Ready pods whose warm-up is over.
    Warm,
}

/// What the absence of a safety net's series means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Absent {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Nothing is wrong.
    Healthy,
}

/// Dead band of one metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricTolerance {
    /// Need may exceed the count by this share before anything is added; 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0'))").message(
        "tolerance is a share of the count, 0 or more: write for example \"0.05\" for five percent"
    ))]
    pub scale_up: Option<Quantity>,
    /// Need may fall short of the count by this share before anything is removed; 0 to below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0')) && quantity(string(self)).isLessThan(quantity('1'))").message(
        "tolerance of a scale-in is a share of the count, 0 to below 1: write for example \"0.1\" for ten percent"
    ))]
    pub scale_down: Option<Quantity>,
}

pub(super) fn default_server() -> String {
    "main".to_owned()
}

fn default_max_age() -> u32 {
    60
}

fn default_max_rise() -> Quantity {
    Quantity::of("10")
}

fn default_max_drop() -> Quantity {
    Quantity::of("0.9")
}
