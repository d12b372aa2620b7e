//! Schedules: times at which more replicas are kept.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A floor for certain times: known peaks are met before they come. It can only raise the count, never past a ceiling;
/// where several schedules overlap, the largest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.start) != has(self.startTime)").message(
        "write either start, a cron expression for windows that come again, or startTime, a moment for one that comes once"
    ),
    validation = Rule::new("!has(self.start) || (!has(self.endTime) && has(self.end) != has(self.durationSeconds))").message(
        "a schedule with start ends at end, a cron expression as well, or after durationSeconds: write one of them"
    ),
    validation = Rule::new("!has(self.startTime) || (!has(self.end) && has(self.endTime) != has(self.durationSeconds))").message(
        "a schedule with startTime ends at endTime, a moment as well, or after durationSeconds: write one of them"
    ),
    validation = Rule::new("has(self.start) == has(self.timeZone)").message(
        "start and end are read on a wall clock: write timeZone with them, such as Europe/Berlin or UTC; startTime and endTime carry their own"
    ),
    validation = Rule::new("!has(self.startTime) || !has(self.endTime) || self.startTime < self.endTime").message(
        "endTime must be later than startTime"
    )
)]
pub struct Schedule {
    /// Name of the schedule in status and explanations; unique among the schedules.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// When windows begin, as a cron expression of five fields: minute, hour, day of month, month, day of week. In the
    /// night in which clocks leap forward, what they leap over comes when they leap; in the night in which an hour comes
    /// twice, a window begins at the first and ends at the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub start: Option<String>,
    /// When windows end, as a cron expression: the next such time after a window's beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub end: Option<String>,
    /// The zone whose wall clock start and end are read on, by its IANA name, such as Europe/Berlin or UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// When the one window begins, RFC 3339, for example 2026-11-27T08:00:00+01:00.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the one window ends, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// How long a window lasts, instead of end or endTime, 60 to 2678400 seconds; whatever the clocks do meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 2_678_400))]
    pub duration_seconds: Option<u32>,
    /// The fewest replicas while a window is open, between the policy's minReplicas and maxReplicas.
    #[schemars(range(min = 1, max = 100_000))]
    pub min_replicas: u32,
    /// The floor rises evenly for so long before a window begins, and is all there when it does; and falls as long after
    /// its end. 0 to 86400 seconds. Default: 0, at once.
    #[serde(default)]
    #[schemars(range(max = 86_400))]
    pub ramp_seconds: u32,
    /// How long the floor falls after a window's end, 0 to 86400 seconds. Default: rampSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 86_400))]
    pub ramp_out_seconds: Option<u32>,
}
