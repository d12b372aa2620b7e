//! A server with its plant, and the objects that tests put on it.

use e2e::apiserver::{ApiServer, Collection, Settings};
use e2e::clock::Clock;
use e2e::plant::{Lasting, Plant, PlantSettings};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Duration;

/// A server whose clock starts at a fixed moment.
pub(crate) fn server() -> ApiServer {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    ApiServer::new(Settings { clock: Clock::starting_at(start), ..Settings::default() })
}

/// A server that knows widgets.
pub(crate) fn server_with_widgets() -> ApiServer {
    let server = server();
    let crd: Value = serde_saphyr::from_str(include_str!("widgets.yaml")).unwrap();
    let crds = server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    crds.create("", crd).unwrap();
    server
}

/// A server with a plant whose pods take ten seconds to start and five to drain.
pub(crate) fn planted() -> (ApiServer, Plant) {
    let server = server();
    let settings = PlantSettings {
        startup: Lasting::Always(Duration::from_secs(10)),
        drain: Lasting::Always(Duration::from_secs(5)),
        ..PlantSettings::default()
    };
    let plant = Plant::start(&server, settings).unwrap();
    (server, plant)
}

pub(crate) fn deployments(server: &ApiServer) -> Collection {
    server.collection("apps", "v1", "deployments").unwrap()
}

pub(crate) fn pods(server: &ApiServer) -> Collection {
    server.collection("", "v1", "pods").unwrap()
}

/// A Deployment named `web`, with `change` merged into it.
pub(crate) fn web(replicas: u32, change: &Value) -> Value {
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "v1"}]},
            },
        },
    });
    json_patch::merge(&mut deployment, change);
    deployment
}

pub(crate) fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// Changes the Deployment `web` as a user would.
pub(crate) fn edit(server: &ApiServer, change: &Value) {
    let deployments = deployments(server);
    let mut deployment = deployments.get("default", "web").unwrap();
    json_patch::merge(&mut deployment, change);
    deployments.update("default", deployment).unwrap();
}

/// The figures of the Deployment's status: replicas, updated, ready, available, unavailable.
pub(crate) fn counts(server: &ApiServer) -> [u64; 5] {
    let deployment = deployments(server).get("default", "web").unwrap();
    ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"]
        .map(|field| deployment["status"][field].as_u64().unwrap_or(0))
}

/// Status and reason of a condition of the Deployment.
pub(crate) fn condition(server: &ApiServer, kind: &str) -> (String, String) {
    let deployment = deployments(server).get("default", "web").unwrap();
    let conditions = deployment["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|c| c["type"] == kind).cloned().unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// Lets `seconds` pass.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // One more moment, so that what is due at the very end has happened.
    tokio::time::sleep(Duration::from_millis(1)).await;
}
