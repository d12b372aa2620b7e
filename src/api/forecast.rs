//! Forecasts: known peaks that nobody wrote a schedule for.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What load will do next, by what it did on the days before: it raises the floor ahead of peaks that come again. It can
/// only raise the count, never past a ceiling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forecast {
    /// `ForecastOnly` (default): shown with how far it is off, and nothing else. `ForecastAndScale`: it raises the floor, as
    /// long as it is better than what anybody could say.
    #[serde(default)]
    pub mode: ForecastMode,
    /// Name of the metric that it is about, a Leading one with an AverageValue target: load that comes from outside.
    /// Default: each such metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub metric: Option<String>,
    /// After what time the load comes again, 3600 to 1209600 seconds. Default: found, a day or a week or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3600, max = 1_209_600))]
    pub season_seconds: Option<u32>,
    /// How many days of the past it rests on, 2 to 28; a season takes two of it. Default: 14.
    #[serde(default = "default_history_days")]
    #[schemars(range(min = 2, max = 28))]
    pub history_days: u32,
    /// The floor is what need stays at or below in so many of a hundred cases, 50 to 99. Default: 90.
    #[serde(default = "default_percentile")]
    #[schemars(range(min = 50, max = 99))]
    pub percentile: u32,
    /// The floor is there so much earlier than pods take to start, as measured, 0 to 3600 seconds. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 3600))]
    pub scheduling_buffer_seconds: u32,
}

/// What is done with a forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForecastMode {
    /// It is only shown.
    #[default]
    ForecastOnly,
    /// It raises the floor.
    ForecastAndScale,
}

const fn default_history_days() -> u32 {
    14
}

const fn default_percentile() -> u32 {
    90
}
