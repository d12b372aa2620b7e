//! The demo's cluster: the API server double on loopback, with the workload on it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use super::DemoError;
use super::story::PodTimes;
use crate::apiserver::{ApiServer, Collection, Listening, Settings, object};
use crate::plant::{Lasting, Plant, PlantSettings};

/// The namespace of everything in the demo.
pub const NAMESPACE: &str = "shop";
/// The name of the Deployment and of its policy.
pub const NAME: &str = "checkout";
/// The environment variable that tells a pod how many connections to open.
const POOL_SIZE: &str = "DB_POOL_SIZE";
const DEPLOYMENT: &str = include_str!("../../../examples/demo/deployment.yaml");
/// The image that the rolling update brings.
const NEXT_IMAGE: &str = "registry.example/checkout:1.42";

/// The demo's cluster; it ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    deployments: Collection,
    pods: Collection,
    events: Collection,
    kubeconfig: PathBuf,
    _plant: Plant,
    _listening: Listening,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// What it does.
    pub phase: PodPhase,
    /// Connections that it opens as soon as its container runs; 0 before.
    pub pool: u32,
}

/// What a pod does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// It is not Ready yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It shuts down.
    Terminating,
}

/// A Deployment's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `maxSurge`.
    pub max_surge: u32,
    /// `maxUnavailable`.
    pub max_unavailable: u32,
    /// Connections each pod opens.
    pub pool: u32,
}

/// An event about the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, which is unique.
    pub name: String,
    /// Whether somebody should look.
    pub warning: bool,
    /// Reason code.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

impl Cluster {
    /// Starts the API server on loopback with the definitions, the Deployment and `policy` in it, and writes a
    /// kubeconfig into `directory`.
    pub async fn start(directory: &Path, policy: &Value, times: PodTimes) -> Result<Self, DemoError> {
        let server = ApiServer::new(Settings::default());
        let settings = PlantSettings {
            startup: Lasting::Between(times.start_up.0, times.start_up.1),
            drain: Lasting::Between(times.drain.0, times.drain.1),
            ..PlantSettings::default()
        };
        let plant = Plant::start(&server, settings)?;
        server.add_namespace(NAMESPACE);
        let definitions = server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions")?;
        for definition in plimsoll::api::definitions() {
            let definition =
                serde_json::to_value(definition).map_err(|error| DemoError::Own(error.to_string()))?;
            definitions.create("", definition)?;
        }
        let deployments = server.collection("apps", "v1", "deployments")?.written_by("kubectl");
        let deployment: Value =
            serde_saphyr::from_str(DEPLOYMENT).map_err(|error| DemoError::Own(error.to_string()))?;
        deployments.create(NAMESPACE, as_applied(&deployment))?;
        let listening = server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let kubeconfig = directory.join("kubeconfig");
        fs::write(&kubeconfig, listening.kubeconfig())?;
        let cluster = Self {
            deployments,
            pods: server.collection("", "v1", "pods")?,
            events: server.collection("", "v1", "events")?,
            kubeconfig,
            _plant: plant,
            _listening: listening,
        };
        cluster.apply_policy(policy).await?;
        Ok(cluster)
    }

    /// Applies the policy as `kubectl apply --server-side` does, so that the API server's rules have their say.
    async fn apply_policy(&self, policy: &Value) -> Result<(), DemoError> {
        use kube::api::{Api, Patch, PatchParams};
        let policies: Api<plimsoll::api::ScalingPolicy> = Api::namespaced(self.client().await?, NAMESPACE);
        let applied = policies
            .patch(NAME, &PatchParams::apply("kubectl").force(), &Patch::Apply(as_applied(policy)))
            .await;
        applied.map(drop).map_err(|error| DemoError::Policy(error.to_string()))
    }

    /// A client that speaks HTTP with the API server, as the operator does on a cluster.
    pub async fn client(&self) -> Result<kube::Client, DemoError> {
        let own =
            |error: &dyn std::fmt::Display| DemoError::Own(format!("no client for the API server: {error}"));
        let file = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| own(&error))?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| own(&error))?;
        config.proxy_url = None;
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_mins(5));
        kube::Client::try_from(config).map_err(|error| own(&error))
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The pods that exist, in order of their names.
    pub fn pods(&self) -> Vec<Pod> {
        self.pods.list(NAMESPACE).iter().map(pod).collect()
    }

    /// Replicas asked of the Deployment.
    pub fn asked(&self) -> u32 {
        self.deployment().map_or(0, |deployment| object::count(&deployment, &["spec", "replicas"]))
    }

    /// Whether all replicas asked for are Ready.
    pub fn is_settled(&self) -> bool {
        let pods = self.pods();
        let ready = pods.iter().filter(|pod| pod.phase == PodPhase::Ready).count();
        ready == pods.len() && plimsoll::number::count_of(ready) == self.asked()
    }

    /// The Deployment's numbers.
    pub fn shape(&self) -> Shape {
        let deployment = self.deployment().unwrap_or_default();
        let rolling = |field| object::count(&deployment, &["spec", "strategy", "rollingUpdate", field]);
        let template = object::at(&deployment, &["spec", "template"]).cloned().unwrap_or_default();
        Shape {
            max_surge: rolling("maxSurge"),
            max_unavailable: rolling("maxUnavailable"),
            pool: pool_size(&template),
        }
    }

    /// Begins a rolling update; an error is a conflict with another writer, and the next moment tries again.
    pub fn roll_out(&self) -> Result<(), DemoError> {
        let Some(mut deployment) = self.deployment() else { return Ok(()) };
        let containers =
            deployment.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            object::set(container, &["image"], NEXT_IMAGE);
        }
        self.deployments.update(NAMESPACE, deployment)?;
        Ok(())
    }

    /// The events about the policy, oldest first.
    pub fn events(&self) -> Vec<Event> {
        let mut events: Vec<Value> = self.events.list(NAMESPACE);
        events.retain(|event| object::text(event, &["involvedObject", "kind"]) == "ScalingPolicy");
        events.sort_by_cached_key(|event| object::text(event, &["eventTime"]).to_owned());
        events
            .iter()
            .map(|event| Event {
                name: object::name(event).to_owned(),
                warning: object::text(event, &["type"]) == "Warning",
                reason: object::text(event, &["reason"]).to_owned(),
                message: object::text(event, &["message"]).to_owned(),
            })
            .collect()
    }

    fn deployment(&self) -> Option<Value> {
        self.deployments.get(NAMESPACE, NAME)
    }
}

/// The object with the note of its last state that `kubectl apply` looks for, and warns where it is missing.
fn as_applied(object: &Value) -> Value {
    const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let mut applied = object.clone();
    object::set(&mut applied, &["metadata", "annotations", LAST_APPLIED], format!("{object}\n"));
    applied
}

fn pod(pod: &Value) -> Pod {
    let conditions = object::list(pod, &["status", "conditions"]);
    let is_ready = conditions.iter().any(|condition| {
        object::text(condition, &["type"]) == "Ready" && object::text(condition, &["status"]) == "True"
    });
    let phase = if object::is_terminating(pod) {
        PodPhase::Terminating
    } else if is_ready {
        PodPhase::Ready
    } else {
        PodPhase::Starting
    };
    let runs = object::text(pod, &["status", "phase"]) == "Running";
    Pod { name: object::name(pod).to_owned(), phase, pool: if runs { pool_size(pod) } else { 0 } }
}

/// What the containers of a pod, or of a template, are told to open.
fn pool_size(pod: &Value) -> u32 {
    let containers = object::list(pod, &["spec", "containers"]);
    let variables = containers.iter().flat_map(|container| object::list(container, &["env"]));
    let sizes = variables.filter(|variable| object::text(variable, &["name"]) == POOL_SIZE);
    sizes.filter_map(|variable| object::text(variable, &["value"]).parse::<u32>().ok()).sum()
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}
