//! The requests by which the double is held against a real server.

#![allow(clippy::too_many_lines, reason = "the tables are long")]

mod applying;
mod custom_resources;
mod errors;
mod small_kinds;

use serde_json::{Value, json};

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub(crate) const WIDGETS: &str = "/apis/test.dev/v1/namespaces/default/widgets";

/// A request; `{rv}` in its path and body stands for the resourceVersion that the server answered last, `{uid}` for
/// the uid.
pub(crate) struct Step {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

fn step(method: &'static str, path: impl Into<String>, content_type: &'static str, body: &Value) -> Step {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Step { method, path: path.into(), content_type, body }
}

fn get(path: impl Into<String>) -> Step {
    step("GET", path, JSON, &Value::Null)
}

fn deployment(name: &str, change: &Value) -> Value {
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "c",
                    "image": "nginx:1",
                    "ports": [{"containerPort": 80}],
                    "env": [{"name": "A", "value": "1"}],
                    "readinessProbe": {"httpGet": {"port": 80}},
                }]},
            },
        },
    });
    json_patch::merge(&mut deployment, change);
    deployment
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// All requests, in groups that do not touch each other's objects.
pub(crate) fn all() -> Vec<Step> {
    [errors::errors(), custom_resources::custom_resources(), applying::applying(), small_kinds::small_kinds()]
        .into_iter()
        .flatten()
        .collect()
}
