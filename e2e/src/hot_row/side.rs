//! One autoscaler's half of the test bed: a namespace with the service, and a database with the hot row.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Duration, Instant, sleep};

use super::shop::{self, SERVICE};
use crate::orders::OrdersError;
use crate::orders::fleet::Fleet;
use crate::orders::side::{replicas, scale};
use crate::real::postgres::{PostgresOptions, SUPERUSER};
use crate::real::{DEADLINE, Postgres};

/// More connections than pods ever hold.
const DATABASE: PostgresOptions = PostgresOptions { max_connections: 100, superuser_reserved_connections: 3 };
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A PostgreSQL with the hot row.
pub async fn database() -> Result<Postgres, OrdersError> {
    let postgres = Postgres::start(DATABASE).await?;
    let client = postgres.connect(SUPERUSER, "postgres").await?;
    for statement in shop::SCHEMA {
        client.batch_execute(statement).await?;
    }
    Ok(postgres)
}

/// How pods reach it.
pub fn connection_string(postgres: &Postgres) -> String {
    postgres.connection_string(SUPERUSER, "postgres")
}

/// A namespace with the service.
#[derive(Clone)]
pub struct Side {
    namespace: &'static str,
    client: Client,
}

impl Side {
    /// Creates the service in a namespace that is there.
    pub async fn populate(namespace: &'static str, client: Client) -> Result<Self, OrdersError> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let deployment = serde_json::from_value(shop::deployment()).map_err(OrdersError::other)?;
        deployments.create(&PostParams::default(), &deployment).await?;
        Ok(Self { namespace, client })
    }

    /// The namespace's name, which is also the autoscaler's.
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What the service is scaled to.
    pub async fn replicas(&self) -> Result<u32, OrdersError> {
        replicas(&self.client, self.namespace, SERVICE).await
    }

    /// Scales the service by hand.
    pub async fn scale(&self, count: u32) -> Result<(), OrdersError> {
        scale(&self.client, self.namespace, SERVICE, count).await
    }

    /// Waits until just so many pods run, and all of them are ready.
    pub async fn settles_at(&self, fleet: &Fleet, count: u32) -> Result<(), OrdersError> {
        let deadline = Instant::now() + DEADLINE;
        let all = usize::try_from(count).unwrap_or(usize::MAX);
        while fleet.occupancy(self.namespace, SERVICE).ready != count || fleet.running(self.namespace) != all
        {
            if Instant::now() > deadline {
                return Err(OrdersError::Other(format!(
                    "{} does not settle at {count} pods",
                    self.namespace
                )));
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}
