//! One autoscaler's half of the test bed: a namespace with the three services, and a database of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client as Database;

use super::OrdersError;
use super::fleet::SERVICE_LABEL;
use super::limits::{DATABASE, Limit, database_job};
use super::services::{MIN_REPLICAS, SERVICES};
use crate::real::postgres::SUPERUSER;
use crate::real::{DEADLINE, Postgres, PostgresExporter, Target};

/// The database of the services.
pub const ORDERS: &str = "orders";
/// The role that they all are.
const ROLE: &str = "shop";
/// A rollout is a new annotation, as `kubectl rollout restart` makes it.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Who is connected: a service's clients bear their pod's name. Processes of the server itself are no clients.
const COUNT: &str = "SELECT CASE datname WHEN 'orders' THEN split_part(application_name, '-', 1) ELSE '' END, count(*) \
                     FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1";

/// A namespace with its database.
pub struct Side {
    namespace: &'static str,
    client: Client,
    database: Database,
    exporter: PostgresExporter,
    postgres: Postgres,
}

/// The databases of a side, before there is a cluster.
#[derive(Debug)]
pub struct Base {
    database: Database,
    exporter: PostgresExporter,
    postgres: Postgres,
}

impl Base {
    /// A PostgreSQL with the services' database and its exporter.
    pub async fn start() -> Result<Self, OrdersError> {
        let postgres = Postgres::start(DATABASE).await?;
        let exporter = PostgresExporter::start(&postgres).await?;
        let database = postgres.connect(SUPERUSER, "postgres").await?;
        for statement in
            [format!("CREATE ROLE {ROLE} LOGIN"), format!("CREATE DATABASE {ORDERS} OWNER {ROLE}")]
        {
            database.batch_execute(&statement).await?;
        }
        let table = "CREATE TABLE orders (number bigint GENERATED ALWAYS AS IDENTITY, service text NOT NULL, \
                     placed timestamptz NOT NULL DEFAULT now())";
        postgres.connect(ROLE, ORDERS).await?.batch_execute(table).await?;
        Ok(Self { database, exporter, postgres })
    }

    /// How pods reach the services' database.
    pub fn connection_string(&self) -> String {
        self.postgres.connection_string(ROLE, ORDERS)
    }

    /// What Prometheus scrapes.
    pub fn target(&self, namespace: &str) -> Target {
        Target::new(&database_job(namespace), self.exporter.address())
    }

    /// Creates the services in a namespace that is there.
    pub async fn populate(self, namespace: &'static str, client: Client) -> Result<Side, OrdersError> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        for service in SERVICES {
            let deployment = serde_json::from_value(service.deployment()).map_err(OrdersError::other)?;
            deployments.create(&PostParams::default(), &deployment).await?;
        }
        let Self { database, exporter, postgres } = self;
        Ok(Side { namespace, client, database, exporter, postgres })
    }
}

impl Side {
    /// The namespace's name, which is also the autoscaler's.
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where its database's metrics are.
    pub fn exporter(&self) -> std::net::SocketAddr {
        self.exporter.address()
    }

    /// Waits until every service has its first pods.
    pub async fn wait_until_ready(&self) -> Result<(), OrdersError> {
        let deadline = Instant::now() + DEADLINE;
        let deployments: Api<Deployment> = Api::namespaced(self.client(), self.namespace);
        loop {
            let list = deployments.list(&ListParams::default()).await?;
            let ready = |deployment: &&Deployment| {
                let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas);
                ready.and_then(|ready| u32::try_from(ready).ok()) == Some(MIN_REPLICAS)
            };
            if list.items.iter().filter(ready).count() == SERVICES.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let words = format!("the pods of {} do not become ready", self.namespace);
                return Err(OrdersError::Other(format!(
                    "{words}; PostgreSQL said:\n{}",
                    self.postgres.log_tail()
                )));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// What each service is scaled to.
    pub async fn replicas(&self) -> Result<BTreeMap<String, u32>, OrdersError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client(), self.namespace);
        let list = deployments.list(&ListParams::default()).await?;
        let count = |deployment: Deployment| {
            let replicas = deployment.spec.and_then(|spec| spec.replicas)?;
            Some((deployment.metadata.name?, u32::try_from(replicas).ok()?))
        };
        Ok(list.items.into_iter().filter_map(count).collect())
    }

    /// Connections by service; those of other clients under no name.
    pub async fn connections(&self) -> Result<BTreeMap<String, u32>, OrdersError> {
        let rows = self.database.query(COUNT, &[]).await?;
        let counts =
            rows.iter().map(|row| (row.get(0), u32::try_from(row.get::<_, i64>(1)).unwrap_or(u32::MAX)));
        Ok(counts.collect())
    }

    /// Gives every service a new version at once.
    pub async fn roll_out(&self) -> Result<(), OrdersError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client(), self.namespace);
        let annotations = json!({RESTARTED: Timestamp::now().to_string()});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        for service in SERVICES {
            deployments.patch(service.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        Ok(())
    }

    /// Deletes one pod of a service, which drains while its successor starts.
    pub async fn delete_pod(&self, service: &str) -> Result<(), OrdersError> {
        let pods: Api<Pod> = Api::namespaced(self.client(), self.namespace);
        let list = pods.list(&ListParams::default().labels(&format!("{SERVICE_LABEL}={service}"))).await?;
        let stays = list.items.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
        let Some(name) = stays.and_then(|pod| pod.metadata.name) else { return Ok(()) };
        pods.delete(&name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Makes the database refuse the services more than so many connections.
    pub async fn enforce(&self, limit: Limit) -> Result<(), OrdersError> {
        let connections = limit.connections();
        let statement = format!("ALTER DATABASE {ORDERS} CONNECTION LIMIT {connections}");
        self.database.batch_execute(&statement).await?;
        Ok(())
    }
}

/// What a service is scaled to.
pub async fn replicas(client: &Client, namespace: &str, service: &str) -> Result<u32, OrdersError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let scale = deployments.get_scale(service).await?;
    let replicas = scale.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    u32::try_from(replicas).map_err(OrdersError::other)
}

/// Scales a service.
pub async fn scale(client: &Client, namespace: &str, service: &str, count: u32) -> Result<(), OrdersError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
    deployments.patch_scale(service, &PatchParams::default(), &patch).await?;
    Ok(())
}
