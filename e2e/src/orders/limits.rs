//! What the database gives, and how that is declared to the operator.

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::OrdersError;
use super::services::{MIN_REPLICAS, SERVICES, Service};
use super::side::ORDERS;
use crate::real::postgres::PostgresOptions;

/// What PostgreSQL gives unless told otherwise.
pub const DATABASE: PostgresOptions =
    PostgresOptions { max_connections: 100, superuser_reserved_connections: 3 };
/// Held back: what only a superuser gets, and one to spare for others that connect anew.
const RESERVED: u32 = DATABASE.superuser_reserved_connections + 1;
/// What others use besides: the exporter two, and the test bed one, which counts who is connected.
const OTHERS: u32 = 3;
/// The budget's name, and the ceiling's.
const NAME: &str = "orders-db";
const GROUP: &str = "plimsoll.dev";
const VERSION: &str = "v1alpha1";
const BUDGET: &str = "ConnectionBudget";

/// How much of the database there is for the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// All that it gives.
    Full,
    /// After it was lowered in the middle of the course.
    Lowered,
}

impl Limit {
    /// Connections for the three services together.
    pub fn connections(self) -> u32 {
        SERVICES.iter().map(|service| self.part_of(service)).sum()
    }

    /// What one service may hold where each has a fixed part.
    pub const fn part_of(self, service: &Service) -> u32 {
        match self {
            Self::Full => service.part,
            Self::Lowered => service.lowered_part,
        }
    }

    /// `max_connections` of a database that gives so much.
    fn max_connections(self) -> u32 {
        self.connections() + RESERVED + OTHERS
    }
}

/// How the operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
pub enum Declaration {
    /// Each service has a fixed part of the database, in its own policy.
    Parts,
    /// The services share one budget.
    Budget,
}

impl Declaration {
    /// The budget where the operator knows one, else parts.
    pub fn best() -> Self {
        let budgets =
            plimsoll::api::definitions().iter().any(|definition| definition.spec.names.kind == BUDGET);
        if budgets { Self::Budget } else { Self::Parts }
    }

    /// What it is called in a report.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Parts => "a fixed part for each service",
            Self::Budget => "one ConnectionBudget",
        }
    }

    fn ceiling(self, service: &Service, limit: Limit) -> Value {
        match self {
            Self::Parts => json!({
                "name": NAME, "perPod": service.per_pod,
                "inline": {"maxConnections": limit.part_of(service)},
            }),
            Self::Budget => json!({
                "name": NAME, "perPod": service.per_pod, "budgetRef": {"name": NAME},
                "weight": service.weight, "guaranteedReplicas": MIN_REPLICAS,
            }),
        }
    }

    /// Creates the policies, and the budget if there is one.
    pub async fn create(self, admin: &Client, namespace: &str) -> Result<(), OrdersError> {
        if self == Self::Budget {
            create(Api::all_with(admin.clone(), &resource(BUDGET)), budget(namespace)).await?;
        }
        for service in SERVICES {
            let mut policy = service.policy();
            if let Some(spec) = policy.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert(
                    "ceilings".to_owned(),
                    json!({"connections": [self.ceiling(&service, Limit::Full)]}),
                );
            }
            create(policies(admin, namespace), policy).await?;
        }
        Ok(())
    }

    /// Declares that the database gives this much.
    pub async fn declare(self, admin: &Client, namespace: &str, limit: Limit) -> Result<(), OrdersError> {
        let change = PatchParams::default();
        match self {
            Self::Parts => {
                for service in SERVICES {
                    let ceilings = json!({"connections": [self.ceiling(&service, limit)]});
                    let patch = Patch::Merge(json!({"spec": {"ceilings": ceilings}}));
                    policies(admin, namespace).patch(service.name, &change, &patch).await?;
                }
            }
            Self::Budget => {
                let budgets: Api<DynamicObject> = Api::all_with(admin.clone(), &resource(BUDGET));
                let limit = json!({"maxConnections": limit.max_connections()});
                budgets.patch(NAME, &change, &Patch::Merge(json!({"spec": {"limit": limit}}))).await?;
            }
        }
        Ok(())
    }
}

/// The budget, with what PostgreSQL's own exporter tells of it.
fn budget(namespace: &str) -> Value {
    let job = database_job(namespace);
    let others = format!("sum(pg_stat_activity_count{{job=\"{job}\",datname!=\"{ORDERS}\"}})");
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": BUDGET, "metadata": {"name": NAME},
        "spec": {
            "limit": {"maxConnections": Limit::Full.max_connections()},
            "reserved": RESERVED,
            "others": {"prometheus": {"query": others}},
            // Days are short here.
            "lending": {"leaseSeconds": 10, "recallDeadlineSeconds": 6, "lingerSeconds": 1},
        },
    })
}

/// The job under which a side's database is scraped.
pub fn database_job(namespace: &str) -> String {
    format!("{namespace}-db")
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind))
}

/// The policies of a namespace.
pub fn policies(admin: &Client, namespace: &str) -> Api<DynamicObject> {
    let mut resource = resource("ScalingPolicy");
    "scalingpolicies".clone_into(&mut resource.plural);
    Api::namespaced_with(admin.clone(), namespace, &resource)
}

/// Creates an object that is not there.
pub(crate) async fn create(api: Api<DynamicObject>, object: Value) -> Result<(), OrdersError> {
    let object = serde_json::from_value(object).map_err(OrdersError::other)?;
    api.create(&PostParams::default(), &object).await.map(drop).map_err(OrdersError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_all_that_the_database_gives() {
        assert_eq!(Limit::Full.max_connections(), DATABASE.max_connections);
        assert!(Limit::Lowered.connections() < Limit::Full.connections());
    }

    #[test]
    fn together_the_services_can_want_more_than_there_is_and_none_alone_can() {
        let most = |service: &Service| service.per_pod * crate::orders::services::MAX_REPLICAS;
        let all: u32 = SERVICES.iter().map(most).sum();
        assert!(all > Limit::Full.connections());
        assert!(SERVICES.iter().all(|service| most(service) < Limit::Lowered.connections()));
    }
}
