//! What a scenario stands on: an API server with workloads that come and go, a real Prometheus that scrapes what the
//! scenario sets, and the operator. A scenario cannot tell the floors apart.

mod operator;
mod requests;
mod role;
mod simulated;
mod stage;

pub use operator::{Operator, OperatorOptions};
pub use role::{Right, operator_rights};
pub use simulated::{NAMESPACE, SimulatedBed, ToldSignals};
pub use stage::{POLICY, Stage, WORKLOAD, Workload, condition};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use plimsoll::api::{ScalingPolicy, definitions};
use tokio::time::{Instant, sleep};

use crate::apiserver::{ApiServer, Failure, Rule, Settings};
use crate::plant::{Lasting, Plant, PlantSettings};
use crate::real::audit::Request;
use crate::real::cluster::SetupError;
use crate::real::{
    Cluster, ClusterOptions, Course, DEADLINE, Exporter, Kubelet, Prometheus, PrometheusOptions, ServicePast,
    StartError, Target,
};
use requests::{Recording, RequestLog};

/// The user that operators run as, with the rights of [`operator_rights`] and no others.
pub const OPERATOR: &str = "operator";

/// How often something is looked at that cannot be waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Which servers a bed is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// The API server double with the plant.
    Double,
    /// `etcd`, `kube-apiserver` and `kube-controller-manager` with the fake kubelet.
    Real,
}

/// A floor with a Prometheus, an exporter, the operator's custom resource definitions and its role.
pub struct Bed {
    ground: Ground,
    prometheus: Prometheus,
    exporter: Exporter,
}

enum Ground {
    Double { server: ApiServer, _plant: Plant, log: RequestLog },
    Real { cluster: Box<Cluster>, kubelet: Kubelet },
}

/// Why a bed could not be made, or did not do what it was told. Shown the same when a test unwraps it.
#[derive(thiserror::Error)]
pub enum BedError {
    /// A server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A cluster could not be prepared.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The API server refused.
    #[error(transparent)]
    Kubernetes(Box<kube::Error>),
    /// The double refused.
    #[error(transparent)]
    Double(#[from] Failure),
    /// A file or a connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The operator's configuration is not valid.
    #[error(transparent)]
    Config(#[from] plimsoll::prometheus::ConfigError),
    /// Something waited for did not come.
    #[error("{0}")]
    Late(String),
}

impl fmt::Debug for BedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<kube::Error> for BedError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

impl Bed {
    /// Makes a bed in which `users` are known besides [`OPERATOR`], without any rights.
    pub async fn start(floor: Floor, users: &[&str]) -> Result<Arc<Self>, BedError> {
        Self::start_with_past(floor, users, Vec::new()).await
    }

    /// The same, with a Prometheus that knows of a past.
    pub async fn start_with_past(
        floor: Floor,
        users: &[&str],
        past: Vec<ServicePast>,
    ) -> Result<Arc<Self>, BedError> {
        let exporter = Exporter::start()?;
        let targets = vec![Target::new("service", exporter.address())];
        let options = PrometheusOptions { targets, past, ..PrometheusOptions::default() };
        let prometheus = Prometheus::start_with(options).await?;
        let ground = match floor {
            Floor::Double => Ground::double()?,
            Floor::Real => Ground::real(users).await?,
        };
        let bed = Self { ground, prometheus, exporter };
        for definition in definitions() {
            bed.install(&definition).await?;
        }
        bed.grant(OPERATOR, &operator_rights()?).await?;
        Ok(Arc::new(bed))
    }

    /// Which servers it is made of.
    pub const fn floor(&self) -> Floor {
        match self.ground {
            Ground::Double { .. } => Floor::Double,
            Ground::Real { .. } => Floor::Real,
        }
    }

    /// The floor in words, with the API server's version.
    pub fn name(&self) -> String {
        match &self.ground {
            Ground::Double { .. } => "the API server double".to_owned(),
            Ground::Real { cluster, .. } => format!("kube-apiserver {}", cluster.version()),
        }
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Result<Client, BedError> {
        match &self.ground {
            Ground::Double { server, .. } => Ok(server.client()),
            Ground::Real { cluster, .. } => Ok(cluster.client().await.map_err(SetupError::from)?),
        }
    }

    /// A client of a user who has been granted rights.
    pub async fn client_as(&self, user: &str) -> Result<Client, BedError> {
        match &self.ground {
            Ground::Double { server, log, .. } => {
                let service = Recording::new(server.service().bearing(user), user, log.clone());
                Ok(Client::new(service, "default"))
            }
            Ground::Real { cluster, .. } => Ok(cluster.client_as(user).await.map_err(SetupError::from)?),
        }
    }

    /// Gives a user these rights in all namespaces, and waits until they count. Listing policies must be among them.
    pub async fn grant(&self, user: &str, rights: &[Right]) -> Result<(), BedError> {
        match &self.ground {
            Ground::Double { server, .. } => {
                let rules = rights.iter().map(|right| {
                    let Right { api_groups, resources, verbs } = right;
                    Rule::new(&borrowed(verbs), &borrowed(api_groups), &borrowed(resources))
                });
                server.bind(user, user, rules.collect());
            }
            Ground::Real { cluster, .. } => {
                let rules = rights.iter().map(|right| PolicyRule {
                    api_groups: Some(right.api_groups.clone()),
                    resources: Some(right.resources.clone()),
                    verbs: right.verbs.clone(),
                    ..PolicyRule::default()
                });
                cluster.grant(user, rules.collect()).await?;
            }
        }
        // The authorizer learns of new rights through a watch.
        let policies: Api<ScalingPolicy> = Api::all(self.client_as(user).await?);
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = policies.list(&ListParams::default().limit(1)).await {
            if Instant::now() >= deadline {
                return Err(error.into());
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// The requests that users have sent so far, in the order in which they were answered.
    pub fn requests(&self) -> io::Result<Vec<Request>> {
        match &self.ground {
            Ground::Double { log, .. } => Ok(log.requests()),
            Ground::Real { cluster, .. } => cluster.requests(),
        }
    }

    /// The Prometheus that scrapes the exporter each second.
    pub const fn prometheus(&self) -> &Prometheus {
        &self.prometheus
    }

    /// The exporter; series of a scenario bear the label `namespace`.
    pub const fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// The real cluster, if this floor is one.
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.ground {
            Ground::Double { .. } => None,
            Ground::Real { cluster, .. } => Some(cluster),
        }
    }

    /// The fake kubelet, if this floor has one.
    pub const fn kubelet(&self) -> Option<&Kubelet> {
        match &self.ground {
            Ground::Double { .. } => None,
            Ground::Real { kubelet, .. } => Some(kubelet),
        }
    }

    /// Creates a namespace.
    pub async fn namespace(&self, name: &str) -> Result<(), BedError> {
        match &self.ground {
            Ground::Double { server, .. } => server.add_namespace(name),
            Ground::Real { cluster, .. } => drop(cluster.namespace(name).await?),
        }
        Ok(())
    }

    async fn install(&self, definition: &CustomResourceDefinition) -> Result<(), BedError> {
        match &self.ground {
            Ground::Double { server, .. } => {
                let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
                definitions.create(&PostParams::default(), definition).await?;
            }
            Ground::Real { cluster, .. } => cluster.install(definition).await?,
        }
        Ok(())
    }
}

impl Ground {
    fn double() -> Result<Self, BedError> {
        let server = ApiServer::new(Settings::default());
        let settings = PlantSettings {
            startup: Lasting::Always(Duration::from_secs(1)),
            drain: Lasting::Always(Duration::from_millis(500)),
            ..PlantSettings::default()
        };
        let plant = Plant::start(&server, settings)?;
        Ok(Self::Double { server, _plant: plant, log: RequestLog::default() })
    }

    async fn real(users: &[&str]) -> Result<Self, BedError> {
        let users = [OPERATOR].iter().chain(users).map(ToString::to_string).collect();
        let cluster = Cluster::start_with(ClusterOptions { users, ..ClusterOptions::default() }).await?;
        let client = cluster.client_as("fake-kubelet").await.map_err(SetupError::from)?;
        let kubelet = Kubelet::start(client).await?;
        Ok(Self::Real { cluster: Box::new(cluster), kubelet })
    }
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Records the course of a scenario's workload.
async fn record(client: Client, namespace: &str) -> Result<Course, BedError> {
    Course::watch(client, namespace, WORKLOAD).await.map_err(|error| BedError::Late(error.to_string()))
}
