//! The Universal Scalability Law of a workload, declared or fitted.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ceilings::Enforcement;
use super::quantity::Quantity;

/// The Universal Scalability Law, C(N) = λN / (1 + α(N−1) + βN(N−1)): with declared coefficients, or fitted to what
/// Prometheus has seen of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.fit) ? !has(self.alpha) && !has(self.beta) : has(self.alpha) && has(self.beta)").message(
        "write either alpha and beta, as measured in a load test, or fit, the queries to work them out from"
    ),
    validation = Rule::new("has(self.fit) || has(self.marginalGainPercent) || !has(self.beta) || (quantity(string(self.beta)).isGreaterThan(quantity('0')))").message(
        "with beta 0 throughput has no peak, so nothing would be capped: add marginalGainPercent, or remove scalability"
    )
)]
pub struct ScalabilityCeiling {
    /// Contention α: the serial share of the work, 0 to below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0')) && quantity(string(self)).isLessThan(quantity('1'))").message(
        "alpha is a share, 0 to below 1: write for example \"0.03\""
    ))]
    pub alpha: Option<Quantity>,
    /// Coherency β: the cost of each pair of replicas keeping in step, 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0'))").message(
        "beta is 0 or more: write for example \"0.0008\""
    ))]
    pub beta: Option<Quantity>,
    /// Queries from which α and β are worked out while the workload runs. There is no ceiling before the workload was
    /// seen near its peak, and a new revision earns it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<ScalabilityFit>,
    /// The ceiling as a percentage of the peak N* = √((1−α)/β), 1 to 100. Default: 80. A fitted ceiling is that
    /// percentage of the peak's upper bound, and never less than the largest count that carried load well.
    #[serde(default = "default_safety_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub safety_percent: u32,
    /// Stop where one more replica adds less than this percentage of the first one's throughput, 1 to 99.
    /// Default: not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub marginal_gain_percent: Option<u32>,
    /// `Observe` (default): only report. `Enforce`: never grow past the ceiling. `Hard`: cut to it at once.
    #[serde(default)]
    pub enforcement: Enforcement,
}

/// What tells the workload's capacity at the sizes at which it ran. Only windows in which the count stood still, that
/// no rollout fell into and that were loaded enough are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.utilizationQuery) || has(self.saturation)").message(
    "throughput tells a capacity only together with the load: add utilizationQuery, the share of the limiting resource in use (0 to 1), or saturation"
))]
pub struct ScalabilityFit {
    /// Name of a server in the operator's configuration. Default: `main`.
    #[serde(default = "super::metric::default_server")]
    #[schemars(length(min = 1, max = 63))]
    pub server: String,
    /// PromQL for the work done per second by all replicas together: served requests, not arrivals.
    #[schemars(length(min = 1, max = 4096))]
    pub throughput_query: String,
    /// PromQL for the number of Ready replicas, such as `count(up{job="checkout"} == 1)`.
    #[schemars(length(min = 1, max = 4096))]
    pub ready_replicas_query: String,
    /// PromQL for the share of the limiting resource that is in use, 0 to 1: busy workers over all workers, or CPU where
    /// CPU limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub utilization_query: Option<String>,
    /// What tells that the workload takes all that it can, so that its throughput is its capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Saturation>,
    /// What tells that load is carried well. Default: every window counts as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Length of a window in seconds, 8 to 3600. Eight samples are taken of it, so that it should last for at least eight
    /// scrapes. Default: 120.
    #[serde(default = "default_window_seconds")]
    #[schemars(range(min = 8, max = 3600))]
    pub window_seconds: u32,
    /// Age in seconds at which a window counts no more, an hour to 60 days; at a fifth of it, about, it counts half.
    /// Default: 1209600 (14 days).
    #[serde(default = "default_expires_after_seconds")]
    #[schemars(range(min = 3600, max = 5_184_000))]
    pub expires_after_seconds: u32,
}

/// A query that tells that the workload is full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saturation {
    /// PromQL, such as the length of the queue of work.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// The workload is full while the query yields more.
    #[x_kube(validation = Rule::new("isQuantity(string(self))").message(
        "above is a number in the query's own unit: write for example \"0\""
    ))]
    pub above: Quantity,
}

/// A service level objective.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    /// PromQL, such as the 99th percentile of latency.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// The objective is met while the query yields no more.
    #[x_kube(validation = Rule::new("isQuantity(string(self))").message(
        "atMost is a number in the query's own unit: write for example \"300m\" for 0.3 seconds"
    ))]
    pub at_most: Quantity,
}

const fn default_safety_percent() -> u32 {
    80
}

const fn default_window_seconds() -> u32 {
    120
}

const fn default_expires_after_seconds() -> u32 {
    1_209_600
}
