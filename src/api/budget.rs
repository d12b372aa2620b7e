//! `ConnectionBudget`: what one database or pooler gives, and who holds it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::metric::PrometheusQuery;

/// What one database or pooler gives in this cluster. Policies draw on it by `ceilings.connections[].budgetRef`.
#[allow(clippy::duplicated_attributes, reason = "each printed column has a type and a path")]
#[derive(Clone, Debug, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "ConnectionBudget",
    plural = "connectionbudgets",
    shortname = "cb",
    category = "autoscaling",
    status = "ConnectionBudgetStatus",
    derive = "PartialEq",
    doc = "What one database or pooler gives in this cluster, and which workloads hold how much of it.",
    printcolumn(
        name = "Limit",
        type_ = "integer",
        json_path = ".status.limit",
        description = "Connections the server gives in all"
    ),
    printcolumn(
        name = "Others",
        type_ = "integer",
        json_path = ".status.others",
        description = "Taken by clients outside the budget"
    ),
    printcolumn(
        name = "Granted",
        type_ = "integer",
        json_path = ".status.granted",
        description = "Granted to workloads"
    ),
    printcolumn(
        name = "Free",
        type_ = "integer",
        json_path = ".status.free",
        description = "Not granted and not held"
    ),
    printcolumn(
        name = "Holders",
        type_ = "string",
        json_path = ".status.summary",
        description = "Who holds what"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
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
#[x_kube(validation = Rule::new("!has(self.limit.maxConnections) || self.reserved < self.limit.maxConnections").message(
    "reserved leaves no connection: raise limit.maxConnections or lower reserved"
))]
pub struct ConnectionBudgetSpec {
    /// What the server gives in all.
    pub limit: BudgetLimit,
    /// Held back for administration, replication, migrations and jobs. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub reserved: u32,
    /// What clients outside the budget take; the query must leave out the users of the budget's own workloads.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<OtherClients>,
    /// All connections in use, from the database itself. What the workloads' pods cannot account for then counts as
    /// taken by others, and is named in the condition Attributed. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<InUse>,
    /// Labels of the namespaces whose policies may draw. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<LabelSelector>,
    /// How what nobody needs is lent, and asked back.
    #[serde(default)]
    pub lending: LendingRules,
}

/// The limit: a number, or a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.maxConnections) != has(self.prometheus)").message(
    "write either maxConnections or prometheus, and not both"
))]
pub struct BudgetLimit {
    /// The limit as a number: `max_connections` of the server, or a pooler's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_connections: Option<u32>,
    /// The limit as a query, for example `pg_settings_max_connections{server="orders"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// How long the last known limit holds when the query fails, 0 to 86400 seconds. Default: 3600.
    #[serde(default = "default_last_known")]
    #[schemars(range(min = 0, max = 86_400))]
    pub last_known_seconds: u32,
    /// What growth may count on then; never more than the last known limit. No pod is removed for it. Default: the last known
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub assumed: Option<u32>,
}

/// What clients outside the budget take: a number, or a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.connections) != has(self.prometheus)").message(
    "write either connections or prometheus, and not both"
))]
pub struct OtherClients {
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub connections: Option<u32>,
    /// As a query, for example `sum(pg_stat_activity_count{usename!~"checkout|orders"})`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// How long the last known figure holds when the query fails, 0 to 86400 seconds. Default: 3600.
    #[serde(default = "default_last_known")]
    #[schemars(range(min = 0, max = 86_400))]
    pub last_known_seconds: u32,
    /// What growth must leave to them then; never less than the last known figure. No pod is removed for it. Default: the
    /// last known figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub assumed: Option<u32>,
}

/// All connections in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InUse {
    /// As a query, for example `sum(pg_stat_activity_count{datname="orders"})`.
    pub prometheus: PrometheusQuery,
}

/// How what nobody needs is lent, and asked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LendingRules {
    /// What was granted beyond a floor is kept for at least so long, unless a floor needs it or the limit fell; 0 to 3600
    /// seconds. Default: 120.
    #[serde(default = "default_lease")]
    #[schemars(range(min = 0, max = 3600))]
    pub lease_seconds: u32,
    /// A workload that is asked to give back walks down under its scale-in rate, and is cut after so long; 0 to 3600
    /// seconds. Default: 300.
    #[serde(default = "default_recall_deadline")]
    #[schemars(range(min = 0, max = 3600))]
    pub recall_deadline_seconds: u32,
    /// Connections of a pod that is gone count for so long; 1 to 600 seconds. Default: 10.
    #[serde(default = "default_linger")]
    #[schemars(range(min = 1, max = 600))]
    pub linger_seconds: u32,
}

impl Default for LendingRules {
    fn default() -> Self {
        Self {
            lease_seconds: default_lease(),
            recall_deadline_seconds: default_recall_deadline(),
            linger_seconds: default_linger(),
        }
    }
}

/// Who holds what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionBudgetStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Overcommitted, Infeasible, LimitKnown, Attributed; sorted by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// What the server gives in all, as last known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<u32>,
    /// Taken by clients outside the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<u32>,
    /// The sum of all grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<u32>,
    /// Of these, beyond the holders' floors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent: Option<u32>,
    /// Neither granted nor within reach of any pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u32>,
    /// How far what is granted and running exceeds what the server gives; absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overcommitted: Option<u32>,
    /// Who holds what, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When this status was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
    /// Every workload with a grant, by namespace, kind and name. These are the grants: what is written here holds, and is
    /// what the next leader goes by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub holders: Vec<HolderStatus>,
}

/// One workload's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HolderStatus {
    /// Namespace of the workload.
    pub namespace: String,
    /// API group of the workload; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind of the workload.
    pub kind: String,
    /// Name of the workload.
    pub name: String,
    /// Connections that its pods may reach, a rollout at any moment included.
    pub granted: u32,
    /// The most connections that one of its pods opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_pod: Option<u32>,
    /// Connections that its pods could reach when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<u32>,
    /// What it can always have: its guaranteed replicas with their rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// Replicas and connections that it waits for, and for whom; absent if it lacks nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Since when it has had at least so many.
    pub since: Time,
    /// Since when what it reaches beyond its grant is asked back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled_since: Option<Time>,
    /// Why it cannot be asked to give back, such as a policy that is frozen; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
}

fn default_last_known() -> u32 {
    3600
}

fn default_lease() -> u32 {
    120
}

fn default_recall_deadline() -> u32 {
    300
}

fn default_linger() -> u32 {
    10
}
