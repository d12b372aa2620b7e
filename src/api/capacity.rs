//! What counts as capacity, how much of it is kept spare, and what happens without data.

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// Time-aware exponential smoothing, apart for each direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Smoothing {
    /// Half-life for growth in seconds, 0 to 3600. Default: 0, the raw value.
    #[serde(default)]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_up_half_life_seconds: u32,
    /// Half-life for shrinking in seconds, 0 to 3600; shrinking uses the larger of raw and smoothed. Default: 60.
    #[serde(default = "default_scale_down_half_life")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_half_life_seconds: u32,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self { scale_up_half_life_seconds: 0, scale_down_half_life_seconds: default_scale_down_half_life() }
    }
}

/// When a started pod counts as capacity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarmUp {
    /// `Measured` (default): a pod is warm once it has been Ready for as long as pods of this workload take from
    /// creation to Ready (90th percentile, at most 600 seconds); `seconds` until five starts were seen.
    /// `Declared`: once it has been Ready for `seconds`.
    #[serde(default)]
    pub source: WarmUpSource,
    /// Warm-up time in seconds, 0 to 3600. Default: 30.
    #[serde(default = "default_warm_up_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub seconds: u32,
    /// How a pod's capacity grows while it warms up, as status shows it. `None` (default): nothing until warm.
    /// `Linear`: in proportion to the time it has been Ready.
    #[serde(default)]
    pub ramp: Ramp,
    /// The most pods that may be starting or warming up at once when demand adds pods: a number, or a percentage of
    /// the count such as "25%", rounded up. Keeps a scale-out from falling on caches and databases in lockstep.
    /// Floors are exempt. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<CountOrPercentText>,
}

impl Default for WarmUp {
    fn default() -> Self {
        Self {
            source: WarmUpSource::default(),
            seconds: default_warm_up_seconds(),
            ramp: Ramp::default(),
            max_concurrent: None,
        }
    }
}

/// A number of pods, or a percentage such as `25%`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CountOrPercentText {
    /// So many pods.
    Count(u32),
    /// So many percent, with the sign.
    Percent(String),
}

impl JsonSchema for CountOrPercentText {
    fn schema_name() -> Cow<'static, str> {
        "CountOrPercent".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 8,
            "x-kubernetes-validations": [{
                "rule": "string(self).matches('^([1-9][0-9]{0,5}|[1-9][0-9]{0,3}%)$')",
                "message": "maxConcurrent is a number of pods, 1 or more, or a percentage such as \"25%\"",
            }],
        })
    }
}

/// Where the warm-up time comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WarmUpSource {
    /// From the start-up times of the workload's own pods.
    #[default]
    Measured,
    /// From the policy.
    Declared,
}

/// How a pod's capacity grows while it warms up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ramp {
    /// Nothing until warm.
    #[default]
    None,
    /// In proportion to the time the pod has been Ready.
    Linear,
}

/// Spare capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.zones) || self.surviveZones < self.zones").message(
        "surviveZones must be less than zones: of the zones at least one must remain"
    )
)]
pub struct Headroom {
    /// Extra capacity in percent of need, 0 to 1000; where `surviveZones` asks for more, that counts. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub percent: u32,
    /// Extra replicas on top of what demand takes (N+1, N+2), 0 to 1000. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: u32,
    /// How many zones may be lost while the others carry the load, and `minReplicas` are left, 0 to 15. The pods must be
    /// spread evenly, by a topologySpreadConstraint of the workload with maxSkew 1. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 15))]
    pub survive_zones: u32,
    /// How many zones the pods are spread over, 2 to 16. Default: as many as the pods' labels name, which Kubernetes 1.35 and
    /// later give them, and at least `minDomains` of the workload's topologySpreadConstraint over zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 16))]
    pub zones: Option<u32>,
    /// Headroom learnt from the load itself; need is raised by this or by `percent`, whichever is more.
    #[serde(default)]
    pub calibrated: CalibratedHeadroom,
    /// Need as it will be when pods asked for now serve, where load has risen steadily for minutes.
    #[serde(default)]
    pub lead_compensation: LeadCompensation,
}

/// Headroom learnt from how far load outran its own past while pods started. For metrics with an `AverageValue` target;
/// it acts once four hours were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalibratedHeadroom {
    /// `Enforce` (default): need is raised by what was learnt. `Observe`: it is only shown.
    #[serde(default)]
    pub enforcement: HeadroomEnforcement,
    /// The percentage of the load that may go unserved while pods start, above 0 and at most 10. Default: 0.05.
    #[serde(default = "default_unserved_percent")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('10'))").message(
        "unservedPercent is a percentage of the load, above 0 and at most 10: write for example \"0.05\""
    ))]
    pub unserved_percent: Quantity,
    /// The most that it adds, in percent of need plus one replica, 0 to 1000. Default: 200. Where even this would leave
    /// too much unserved, load outruns pods whatever is spent, and no more than 50 is.
    #[serde(default = "default_most_headroom_percent")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_percent: u32,
}

impl Default for CalibratedHeadroom {
    fn default() -> Self {
        Self {
            enforcement: HeadroomEnforcement::default(),
            unserved_percent: default_unserved_percent(),
            max_percent: default_most_headroom_percent(),
        }
    }
}

/// What is done with headroom that was worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeadroomEnforcement {
    /// Need is raised by it.
    #[default]
    Enforce,
    /// It is only shown.
    Observe,
}

/// A steady rise of the last ten minutes, projected over the time until pods asked for now serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeadCompensation {
    /// `Enforce` (default): need is raised by the projected rise. `Observe`: it is only shown.
    #[serde(default)]
    pub enforcement: HeadroomEnforcement,
    /// The most that it adds, in percent of need plus one replica, 0 to 1000. Default: 100.
    #[serde(default = "default_most_rise_percent")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_percent: u32,
}

impl Default for LeadCompensation {
    fn default() -> Self {
        Self { enforcement: HeadroomEnforcement::default(), max_percent: default_most_rise_percent() }
    }
}

fn default_unserved_percent() -> Quantity {
    Quantity::of("0.05")
}

const fn default_most_headroom_percent() -> u32 {
    200
}

const fn default_most_rise_percent() -> u32 {
    100
}

/// What to run with when no leading signal has been fit to use for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fallback {
    /// Seconds without a leading signal fit to use before the fallback acts, 0 to 86400. Default: 300.
    #[serde(default = "default_fallback_after")]
    #[schemars(range(min = 0, max = 86_400))]
    pub after_seconds: u32,
    /// `AtLeast` (default): raises to `replicas`, never lowers. `EvenIfLower`: goes to exactly `replicas`, also
    /// downwards, under the scale-down rate; this scales in without data, and is only for workloads that can be
    /// short of pods but not long of them.
    #[serde(default)]
    pub behavior: FallbackBehavior,
    /// The count to run with, 1 or more.
    #[schemars(range(min = 1, max = 100_000))]
    pub replicas: u32,
}

/// What a fallback may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FallbackBehavior {
    /// Only raise.
    #[default]
    AtLeast,
    /// Go to exactly the declared count, also downwards.
    EvenIfLower,
}

/// A count fixed by a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Frozen {
    /// The count to hold, between minReplicas and maxReplicas.
    #[schemars(range(min = 1, max = 100_000))]
    pub replicas: u32,
    /// When the freeze ends by itself, RFC 3339, for example 2026-12-01T06:00:00Z. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    /// Why, for those who come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
}

/// A cap set by a person in an emergency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmergencyMax {
    /// The most replicas allowed, 1 or more; cut to at once, also below minReplicas.
    #[schemars(range(min = 1, max = 100_000))]
    pub replicas: u32,
    /// When the cap ends by itself, RFC 3339, for example 2026-12-01T06:00:00Z. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    /// Why, for those who come later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reason: Option<String>,
}

fn default_scale_down_half_life() -> u32 {
    60
}

fn default_warm_up_seconds() -> u32 {
    30
}

fn default_fallback_after() -> u32 {
    300
}
