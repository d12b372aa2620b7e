//! What must not be passed: connections that a database gives, and the peak of the Universal Scalability Law.

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::scalability::ScalabilityCeiling;

/// Ceilings on the replica count besides maxReplicas. The lowest enforced one binds and is named in status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ceilings {
    /// Databases and poolers whose connections the pods take, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub connections: Vec<ConnectionCeiling>,
    /// The Universal Scalability Law of the workload: beyond its peak, more replicas carry less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability: Option<ScalabilityCeiling>,
}

/// Connections that one database or pooler gives to this workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.inline) != has(self.budgetRef)").message(
        "write either budgetRef, the name of a ConnectionBudget, or inline, the limit as numbers"
    ),
    validation = Rule::new("has(self.budgetRef) || (!has(self.weight) && !has(self.guaranteedReplicas))").message(
        "weight and guaranteedReplicas are about a budget that several workloads share: write budgetRef, or remove them"
    )
)]
pub struct ConnectionCeiling {
    /// Name of the database as status and events will call it; unique in the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The limit, as numbers; for a database of which this workload has a fixed part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<ConnectionLimit>,
    /// The ConnectionBudget that this workload shares with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_ref: Option<BudgetRef>,
    /// The most connections one pod opens: pool size × processes; 1 or more.
    #[schemars(range(min = 1, max = 100_000))]
    pub per_pod: u32,
    /// Weight when what is beyond the floors is shared, 1 to 1000. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u32>,
    /// Replicas that the budget must always carry, with their rollout: the floor, which is never lent. Default:
    /// minReplicas, and never less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub guaranteed_replicas: Option<u32>,
    /// Old pods that still hold connections while they terminate and new ones already serve, in a rolling update.
    /// `Observed` (default): from the measured drain and start-up times; all of one revision until both are
    /// known. `OneRevision`: all of one revision. A number: that many.
    #[serde(default)]
    pub rollout_overlap: RolloutOverlap,
    /// `Enforce` (default): never grow past the ceiling; walk down to a ceiling that fell, at the scale-down rate.
    /// `Hard`: the same, but cut to a ceiling that fell at once. `Observe`: only report.
    #[serde(default = "Enforcement::enforce")]
    pub enforcement: Enforcement,
}

/// A ConnectionBudget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Connections as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.reserved + self.others < self.maxConnections").message(
    "reserved and others leave no connection for this workload: raise maxConnections or lower them"
))]
pub struct ConnectionLimit {
    /// What the server gives in all (`max_connections`, or a pooler's limit), 1 or more.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: u32,
    /// Held back for administration, replication, migrations and jobs. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub reserved: u32,
    /// What other clients use at most. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub others: u32,
}

/// What a ceiling does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforcement {
    /// Reports where it would bind.
    #[default]
    Observe,
    /// Is never grown past; walked down to when it falls.
    Enforce,
    /// Is never grown past; cut to at once when it falls.
    Hard,
}

impl Enforcement {
    fn enforce() -> Self {
        Self::Enforce
    }
}

/// How many old pods still hold connections while new ones serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutOverlap {
    /// Worked out from measured drain and start-up times.
    #[default]
    Observed,
    /// All of one revision.
    OneRevision,
    /// This many pods.
    Pods(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RolloutOverlapText {
    Pods(u32),
    Word(RolloutOverlapWord),
}

#[derive(Serialize, Deserialize)]
enum RolloutOverlapWord {
    Observed,
    OneRevision,
}

impl Serialize for RolloutOverlap {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Observed => RolloutOverlapText::Word(RolloutOverlapWord::Observed),
            Self::OneRevision => RolloutOverlapText::Word(RolloutOverlapWord::OneRevision),
            Self::Pods(pods) => RolloutOverlapText::Pods(*pods),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RolloutOverlap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RolloutOverlapText::deserialize(deserializer)
            .map(|text| match text {
                RolloutOverlapText::Word(RolloutOverlapWord::Observed) => Self::Observed,
                RolloutOverlapText::Word(RolloutOverlapWord::OneRevision) => Self::OneRevision,
                RolloutOverlapText::Pods(pods) => Self::Pods(pods),
            })
            .map_err(|_| {
                serde::de::Error::custom("rolloutOverlap is Observed, OneRevision or a number of pods")
            })
    }
}

impl JsonSchema for RolloutOverlap {
    fn schema_name() -> Cow<'static, str> {
        "RolloutOverlap".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 16,
            "x-kubernetes-validations": [{
                "rule": "string(self).matches('^(Observed|OneRevision|[0-9]{1,6})$')",
                "message": "rolloutOverlap is Observed, OneRevision or a number of pods, 0 or more",
            }],
        })
    }
}
