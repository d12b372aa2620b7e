//! How fast and how readily the count may move: HPA v2's `behavior`, field for field.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// How fast and how readily the count may move; the fields and semantics of HPA v2's `behavior`, and its defaults but
/// for one: where no scale-down policies are written, pods are removed gradually.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behavior {
    /// Rules for adding pods. Default: at once, by the larger of 4 pods and 100 percent in 15 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Rules for removing pods. Default: to the highest recommendation of the last 300 seconds, by at most the larger of
    /// 25 percent and 10 pods in 60 seconds; HPA's own default, which lets all go at once, is written as policies:
    /// [{type: Percent, value: 100, periodSeconds: 15}]. So that not all workloads drop their connections in the same
    /// second, each policy removes pods by an offset of its own later: up to a tenth of the window, and up to 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.tolerance) || (isQuantity(string(self.tolerance)) && quantity(string(self.tolerance)).isLessThan(quantity('1')))").message(
        "tolerance of a scale-in is a share of the count, 0 to below 1: write for example \"0.1\" for ten percent"
    ))]
    pub scale_down: Option<ScalingRules>,
}

/// Rules for one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingRules {
    /// Seconds of past recommendations that must agree before the count moves this way, 0 to 3600. Default: 0 for
    /// scale-up, 300 for scale-down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<u32>,
    /// Which policy counts when several allow different amounts. Default: `Max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// How much may change in a period. At least one; leave the field out for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub policies: Option<Vec<ScalingPolicyRule>>,
    /// Share of the count by which need must differ before the count moves this way: 0 or more. Default: 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('0'))").message(
        "tolerance is a share of the count, 0 or more: write for example \"0.05\" for five percent"
    ))]
    pub tolerance: Option<Quantity>,
}

/// Which policy counts when several allow different amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// The count does not move this way by demand.
    Disabled,
}

/// How much may change in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicyRule {
    /// What `value` counts.
    #[serde(rename = "type")]
    pub kind: PolicyKind,
    /// The most pods, or percent of the pods at the period's start, that may change in the period; 1 or more.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub value: u32,
    /// The period in seconds, 1 to 1800.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: u32,
}

/// What a rate policy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyKind {
    /// Pods.
    Pods,
    /// Percent of the pods at the period's start.
    Percent,
}
