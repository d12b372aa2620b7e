//! The API server double, on loopback.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use futures::future::BoxFuture;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::queries::Queries;
use super::{Asked, Fault, Floor, Size, deployment, name, namespace, namespaces, policy};
use crate::apiserver::{ApiServer, Failure, ResourceRequest, Settings};
use crate::real::loopback::LoopbackServer;

/// The API server double, on loopback, and queries answered without effort.
pub struct DoubleFloor {
    server: ApiServer,
    queries: Queries,
    asked: Arc<Mutex<Asked>>,
    kubeconfig: PathBuf,
    _listening: LoopbackServer,
    _directory: TempDir,
}

impl DoubleFloor {
    /// A server that holds so many policies, each with a workload whose pods are Ready.
    pub fn start(size: Size) -> Result<Self, Fault> {
        let server = ApiServer::new(Settings { history: 1000, ..Settings::default() });
        fill(&server, size).map_err(|failure| Fault::Other(format!("{failure:?}")))?;
        let asked = Arc::new(Mutex::new(Asked::default()));
        let (service, counted) = (server.service(), asked.clone());
        let counting = tower::service_fn(move |request: Request<Body>| {
            if let Some(resource) = ResourceRequest::parse(request.method(), request.uri()) {
                let path = match resource.subresource.as_str() {
                    "" => resource.resource.clone(),
                    subresource => format!("{}/{subresource}", resource.resource),
                };
                let mut asked = counted.lock().unwrap_or_else(PoisonError::into_inner);
                asked.count(resource.verb.name(), &path);
            }
            let service = service.clone();
            async move {
                Ok::<_, Infallible>(service.oneshot(request).await.unwrap_or_else(|never| match never {}))
            }
        });
        let listening = LoopbackServer::start(move || Router::new().fallback_service(counting.clone()))?;
        let directory = tempfile::tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        let cluster = json!({"server": format!("http://{}", listening.address())});
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "double",
            "clusters": [{"name": "double", "cluster": cluster}], "users": [{"name": "user", "user": {}}],
            "contexts": [{"name": "double", "context": {"cluster": "double", "user": "user"}}]});
        std::fs::write(&kubeconfig, config.to_string())?;
        let queries = Queries::start(size.pods)?;
        Ok(Self { server, queries, asked, kubeconfig, _listening: listening, _directory: directory })
    }
}

fn fill(server: &ApiServer, Size { policies, pods: count }: Size) -> Result<(), Failure> {
    for namespace in namespaces() {
        server.add_namespace(&namespace);
    }
    let definitions = server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions")?;
    for definition in plimsoll::api::definitions() {
        definitions.create("", serde_json::to_value(definition).unwrap_or_default())?;
    }
    let deployments = server.collection("apps", "v1", "deployments")?;
    let replica_sets = server.collection("apps", "v1", "replicasets")?;
    let pods = server.collection("", "v1", "pods")?;
    let scaling = server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies")?;
    let since = Timestamp::now().to_string();
    for number in 0..policies {
        let (name, namespace) = (name(number), namespace(number));
        let mut made = deployments.create(&namespace, deployment(number, count))?;
        put(
            &mut made,
            "status",
            json!({"observedGeneration": 1, "replicas": count, "updatedReplicas": count, "readyReplicas": count}),
        );
        let made = deployments.update_status(&namespace, made)?;
        let containers = json!([{"name": "web", "image": "web:1"}]);
        let template = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}});
        let set = replica_sets.create(&namespace, json!({
            "metadata": {"name": format!("{name}-1"), "ownerReferences": [owner("apps/v1", "Deployment", &made)]},
            "spec": {"replicas": count, "selector": {"matchLabels": {"app": name}}, "template": template}}))?;
        for pod in 0..count {
            let metadata = json!({"name": format!("{name}-1-{pod}"), "labels": {"app": name},
                "ownerReferences": [owner("apps/v1", "ReplicaSet", &set)]});
            let mut pod =
                pods.create(&namespace, json!({"metadata": metadata, "spec": {"containers": containers}}))?;
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
            put(&mut pod, "status", json!({"phase": "Running", "conditions": [ready]}));
            pods.update_status(&namespace, pod)?;
        }
        scaling.create(&namespace, policy(number))?;
    }
    Ok(())
}

fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value);
    }
}

fn owner(api_version: &str, kind: &str, object: &Value) -> Value {
    let of = |field: &str| object.pointer(&format!("/metadata/{field}")).cloned().unwrap_or_default();
    json!({"apiVersion": api_version, "kind": kind, "name": of("name"), "uid": of("uid"), "controller": true})
}

impl Floor for DoubleFloor {
    fn name(&self) -> String {
        "the API server double".to_owned()
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn prometheus(&self) -> String {
        self.queries.url()
    }

    fn demand(&self, factor: f64) -> BoxFuture<'_, Result<(), Fault>> {
        let percent = format!("{:.0}", factor * 100.0).parse().unwrap_or(100);
        self.queries.demand(percent);
        Box::pin(async { Ok(()) })
    }

    fn asked(&self) -> BoxFuture<'_, Result<Asked, Fault>> {
        let (values, ages) = self.queries.asked();
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(async move { Ok(Asked { values, ages, ..asked }) })
    }

    fn relist(&self) -> bool {
        self.server.compact();
        true
    }
}
