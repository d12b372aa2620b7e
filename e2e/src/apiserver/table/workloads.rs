//! Tables of workloads.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Row, age, name, number};
use crate::apiserver::object::{self, text};
use crate::apiserver::selector::label_selector_text;

pub(super) const DEPLOYMENTS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Ready", "string", 0, ready),
    Row("Up-to-date", "integer", 0, |object, _| number(object, &["status", "updatedReplicas"])),
    Row("Available", "integer", 0, |object, _| number(object, &["status", "availableReplicas"])),
    Row("Age", "string", 0, age),
    Row("Containers", "string", 1, |object, _| containers(object, "name")),
    Row("Images", "string", 1, |object, _| containers(object, "image")),
    Row("Selector", "string", 1, selector),
];

pub(super) const REPLICA_SETS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Desired", "integer", 0, |object, _| number(object, &["spec", "replicas"])),
    Row("Current", "integer", 0, |object, _| number(object, &["status", "replicas"])),
    Row("Ready", "integer", 0, |object, _| number(object, &["status", "readyReplicas"])),
    Row("Age", "string", 0, age),
    Row("Containers", "string", 1, |object, _| containers(object, "name")),
    Row("Images", "string", 1, |object, _| containers(object, "image")),
    Row("Selector", "string", 1, selector),
];

pub(super) const STATEFUL_SETS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Ready", "string", 0, ready),
    Row("Age", "string", 0, age),
    Row("Containers", "string", 1, |object, _| containers(object, "name")),
    Row("Images", "string", 1, |object, _| containers(object, "image")),
];

fn ready(object: &Value, _: Timestamp) -> Value {
    let ready = object::integer(object, &["status", "readyReplicas"]).unwrap_or(0);
    let desired = object::integer(object, &["spec", "replicas"]).unwrap_or(0);
    json!(format!("{ready}/{desired}"))
}

fn containers(object: &Value, field: &str) -> Value {
    let containers = object::list(object, &["spec", "template", "spec", "containers"]).iter();
    json!(containers.map(|container| text(container, &[field])).collect::<Vec<_>>().join(","))
}

fn selector(object: &Value, _: Timestamp) -> Value {
    json!(object::at(object, &["spec", "selector"]).map(label_selector_text).unwrap_or_default())
}
