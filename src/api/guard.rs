//! Guards: what stands behind a workload, watched, and what the count may not do while it suffers.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::{Freshness, PrometheusQuery, Warnings};
use super::quantity::Quantity;

/// A signal of something behind the workload, such as a database's CPU. While it is beyond its threshold, demand removes
/// nothing, safety nets are silent, and `action` says what else the count may not do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.comparison != 'GreaterThan' || !has(self.releaseThreshold) || (isQuantity(string(self.threshold)) && isQuantity(string(self.releaseThreshold)) && quantity(string(self.releaseThreshold)).isLessThan(quantity(string(self.threshold))))").message(
        "releaseThreshold must lie below threshold, or the guard would end where it begins: write for example threshold \"0.85\" and releaseThreshold \"0.7\", or comparison: LessThan for what is bad when low"
    ),
    validation = Rule::new("self.comparison != 'LessThan' || !has(self.releaseThreshold) || (isQuantity(string(self.threshold)) && isQuantity(string(self.releaseThreshold)) && quantity(string(self.releaseThreshold)).isGreaterThan(quantity(string(self.threshold))))").message(
        "with comparison LessThan releaseThreshold must lie above threshold: write for example threshold \"0.8\" and releaseThreshold \"0.9\" for a cache's hit ratio"
    ),
    validation = Rule::new("self.maxDurationSeconds > self.holdSeconds").message(
        "maxDurationSeconds must be longer than holdSeconds: a guard that ends before its hold has passed never guards"
    )
)]
pub struct Guard {
    /// Name of the guard in status, events and explanations; unique among the guards.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The query and the server that answers it.
    pub prometheus: PrometheusQuery,
    /// How old the data behind the query may be. Default: 60 seconds, measured on the query's own selectors.
    #[serde(default)]
    pub freshness: Freshness,
    /// What warnings in the server's answer mean. `Suspect` (default), or `Ignore`.
    #[serde(default)]
    pub warnings: Warnings,
    /// Which side of the threshold is bad. `GreaterThan` (default): the guard becomes active above it. `LessThan`: below
    /// it, for a hit ratio or free connections.
    #[serde(default)]
    pub comparison: Comparison,
    /// Beyond this value, in the query's own unit, the guard becomes active.
    #[x_kube(validation = Rule::new("isQuantity(string(self))").message(
        "threshold is a number in the query's own unit: write for example \"0.85\""
    ))]
    pub threshold: Quantity,
    /// The guard ends when the value has been at this or better for `holdSeconds`. Default: the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_threshold: Option<Quantity>,
    /// What the count may not do while the guard is active. `BlockScaleUp`: grow. `BlockScaleDown`: nothing more than
    /// what every guard forbids. `Freeze`: move at all, but to `minReplicas` and for ceilings. `CapAtCurrent`: grow beyond
    /// the count at which the guard became active. `StepDown`: grow; and a tenth of the pods, at least one, goes each
    /// `holdSeconds` while a fresh value is beyond the threshold, never below `minReplicas`.
    pub action: GuardAction,
    /// How long the value must have been good before the guard ends, and the time between two steps, 0 to 3600 seconds.
    /// Default: 60.
    #[serde(default = "default_hold")]
    #[schemars(range(max = 3600))]
    pub hold_seconds: u32,
    /// The longest the guard may hold the count, 1 to 86400 seconds. Afterwards, while the value stays bad, it lets the
    /// count move a tenth at a time, at most once each `holdSeconds` and never before the pods of the step before are warm.
    /// Default: 1800.
    #[serde(default = "default_max_duration")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_duration_seconds: u32,
    /// What a value means that is not fit to use. `Hold` (default): the guard stays as it is. `Ignore`: the value counts as
    /// good. `Activate`: as bad, though nothing is removed on its account.
    #[serde(default)]
    pub on_missing: OnMissing,
}

/// Which side of a threshold is bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Comparison {
    /// Above it.
    #[default]
    GreaterThan,
    /// Below it.
    LessThan,
}

/// What the count may not do while a guard is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GuardAction {
    /// Grow.
    BlockScaleUp,
    /// Shrink with demand.
    BlockScaleDown,
    /// Move.
    Freeze,
    /// Grow beyond the count at which the guard became active.
    CapAtCurrent,
    /// Grow; and it is lowered step by step.
    StepDown,
}

/// What a guard's value means that is not fit to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnMissing {
    /// The guard stays as it is.
    #[default]
    Hold,
    /// The value counts as good.
    Ignore,
    /// The value counts as bad.
    Activate,
}

fn default_hold() -> u32 {
    60
}

fn default_max_duration() -> u32 {
    1800
}
