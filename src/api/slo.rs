//! The service level objective: a budget of errors, whose burning moves the targets.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::capacity::HeadroomEnforcement;
use super::metric::{Freshness, PrometheusQuery};
use super::quantity::Quantity;

/// What stands in the query of an objective for the window that is asked about.
pub const WINDOW: &str = "$window";

/// A service level objective. While its error budget burns, the targets of all leading metrics are lowered within
/// `targetPercent`, which buys headroom; they rise again, slowly, once it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    /// The share of good events that is aimed at, in percent: at least 50, below 100. For example "99.9".
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('50')) && quantity(string(self)).isLessThan(quantity('100'))").message(
        "objectivePercent is the percentage of good events that is aimed at, at least 50 and below 100: write for example \"99.9\""
    ))]
    pub objective_percent: Quantity,
    /// PromQL that yields the share of bad events in a window, 0 to 1, with `$window` where the window's length goes. It is
    /// asked about 5m, 30m, 1h, 6h and 3d.
    #[x_kube(validation = Rule::new("self.query.contains('$window')").message(
        "the query of an slo is asked about several windows: write $window where the range goes, for example rate(http_requests_total{code=~\"5..\"}[$window])"
    ))]
    pub prometheus: PrometheusQuery,
    /// How old the data behind the shortest window may be. Default: 60 seconds, measured on the query's own selectors.
    #[serde(default)]
    pub freshness: Freshness,
    /// Between which percentages of themselves the targets may be moved.
    #[serde(default)]
    pub target_percent: TargetPercent,
    /// `Enforce` (default): the targets are moved. `Observe`: it is only shown.
    #[serde(default)]
    pub enforcement: HeadroomEnforcement,
}

/// Percentages of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetPercent {
    /// How far a burning budget lowers the targets, 20 to 100. Default: 70.
    #[serde(default = "default_least")]
    #[schemars(range(min = 20, max = 100))]
    pub min: u32,
    /// How far a healthy budget raises them, 100 to 150. Default: 100, which is not at all.
    #[serde(default = "default_most")]
    #[schemars(range(min = 100, max = 150))]
    pub max: u32,
}

impl Default for TargetPercent {
    fn default() -> Self {
        Self { min: default_least(), max: default_most() }
    }
}

fn default_least() -> u32 {
    70
}

fn default_most() -> u32 {
    100
}
