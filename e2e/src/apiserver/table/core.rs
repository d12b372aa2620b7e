//! Tables of the core kinds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Row, age, age_since, name, text_or};
use crate::apiserver::object::{self, text};

pub(super) const PODS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Ready", "string", 0, pod_ready),
    Row("Status", "string", 0, pod_status),
    Row("Restarts", "string", 0, pod_restarts),
    Row("Age", "string", 0, age),
    Row("IP", "string", 1, |pod, _| text_or(pod, &["status", "podIP"], "<none>")),
    Row("Node", "string", 1, |pod, _| text_or(pod, &["spec", "nodeName"], "<none>")),
    Row("Nominated Node", "string", 1, |pod, _| text_or(pod, &["status", "nominatedNodeName"], "<none>")),
    Row("Readiness Gates", "string", 1, |_, _| json!("<none>")),
];

pub(super) const EVENTS: &[Row] = &[
    Row("Last Seen", "string", 0, event_last_seen),
    Row("Type", "string", 0, |event, _| json!(text(event, &["type"]))),
    Row("Reason", "string", 0, |event, _| json!(text(event, &["reason"]))),
    Row("Object", "string", 0, event_object),
    Row("Subobject", "string", 1, |event, _| json!(text(involved(event), &["fieldPath"]))),
    Row("Source", "string", 1, event_source),
    Row("Message", "string", 0, event_message),
    Row("First Seen", "string", 1, event_first_seen),
    Row("Count", "string", 1, event_count),
    Row("Name", "string", 1, name),
];

pub(super) const NAMESPACES: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Status", "string", 0, |namespace, _| json!(text(namespace, &["status", "phase"]))),
    Row("Age", "string", 0, age),
];

pub(super) const NODES: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Status", "string", 0, node_status),
    Row("Roles", "string", 0, |_, _| json!("<none>")),
    Row("Age", "string", 0, age),
    Row("Version", "string", 0, |node, _| json!(text(node, &["status", "nodeInfo", "kubeletVersion"]))),
];

pub(super) const SERVICES: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Type", "string", 0, |service, _| json!(text(service, &["spec", "type"]))),
    Row("Cluster-IP", "string", 0, |service, _| text_or(service, &["spec", "clusterIP"], "<none>")),
    Row("External-IP", "string", 0, |_, _| json!("<none>")),
    Row("Port(s)", "string", 0, service_ports),
    Row("Age", "string", 0, age),
    Row("Selector", "string", 1, |service, _| json!(pairs(object::at(service, &["spec", "selector"])))),
];

pub(super) const CONFIG_MAPS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Data", "string", 0, |map, _| {
        let count = |field: &str| map.get(field).and_then(Value::as_object).map_or(0, Map::len);
        json!(count("data").saturating_add(count("binaryData")))
    }),
    Row("Age", "string", 0, age),
];

pub(super) const LEASES: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Holder", "string", 0, |lease, _| json!(text(lease, &["spec", "holderIdentity"]))),
    Row("Age", "string", 0, age),
];

pub(super) const DEFINITIONS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Created At", "date", 0, |crd, _| json!(text(crd, &["metadata", "creationTimestamp"]))),
];

pub(super) const OTHERS: &[Row] = &[Row("Name", "string", 0, name), Row("Age", "string", 0, age)];

fn pod_ready(pod: &Value, _: Timestamp) -> Value {
    let statuses = object::list(pod, &["status", "containerStatuses"]);
    let ready =
        statuses.iter().filter(|status| status.get("ready").and_then(Value::as_bool) == Some(true)).count();
    json!(format!("{ready}/{}", object::list(pod, &["spec", "containers"]).len()))
}

fn pod_status(pod: &Value, _: Timestamp) -> Value {
    if object::is_terminating(pod) {
        return json!("Terminating");
    }
    let statuses = object::list(pod, &["status", "containerStatuses"]);
    let waiting = statuses.iter().map(|status| text(status, &["state", "waiting", "reason"]));
    match waiting.into_iter().find(|reason| !reason.is_empty()) {
        Some(reason) => json!(reason),
        None => text_or(pod, &["status", "phase"], "Unknown"),
    }
}

fn pod_restarts(pod: &Value, _: Timestamp) -> Value {
    let statuses = object::list(pod, &["status", "containerStatuses"]);
    let restarts: i64 = statuses.iter().filter_map(|status| object::integer(status, &["restartCount"])).sum();
    json!(restarts.to_string())
}

fn node_status(node: &Value, _: Timestamp) -> Value {
    let ready = object::entry(node, &["status", "conditions"], "type", "Ready");
    let mut status = String::from(match ready.map(|ready| text(ready, &["status"])) {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    });
    if object::at(node, &["spec", "unschedulable"]).and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    json!(status)
}

fn service_ports(service: &Value, _: Timestamp) -> Value {
    let ports = object::list(service, &["spec", "ports"]).iter();
    let shown: Vec<String> = ports
        .map(|port| {
            format!("{}/{}", object::integer(port, &["port"]).unwrap_or(0), text(port, &["protocol"]))
        })
        .collect();
    json!(if shown.is_empty() { "<none>".to_owned() } else { shown.join(",") })
}

/// `key=value` pairs with commas between, or `<none>`.
pub(super) fn pairs(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// The object that an event speaks of, in either API version.
fn involved(event: &Value) -> &Value {
    event.get("involvedObject").or_else(|| event.get("regarding")).unwrap_or(&Value::Null)
}

fn event_object(event: &Value, _: Timestamp) -> Value {
    let object = involved(event);
    json!(format!("{}/{}", text(object, &["kind"]).to_lowercase(), text(object, &["name"])))
}

fn event_message(event: &Value, _: Timestamp) -> Value {
    let message =
        if event.get("note").is_some() { text(event, &["note"]) } else { text(event, &["message"]) };
    json!(message.trim())
}

fn event_source(event: &Value, _: Timestamp) -> Value {
    let component = ["reportingComponent", "reportingController"].iter().map(|field| text(event, &[*field]));
    let legacy = text(event, &["source", "component"]);
    json!(component.into_iter().find(|name| !name.is_empty()).unwrap_or(legacy))
}

fn event_times(event: &Value) -> (&str, &str) {
    let first_of = |fields: &[&[&'static str]]| -> Option<Vec<&'static str>> {
        fields.iter().find(|path| !text(event, path).is_empty()).map(|path| path.to_vec())
    };
    let last: &[&[&'static str]] =
        &[&["series", "lastObservedTime"], &["lastTimestamp"], &["deprecatedLastTimestamp"], &["eventTime"]];
    let first: &[&[&'static str]] = &[&["eventTime"], &["firstTimestamp"], &["deprecatedFirstTimestamp"]];
    let read = |path: Option<Vec<&'static str>>| path.map_or("", |path| text(event, &path));
    (read(first_of(first)), read(first_of(last)))
}

fn event_first_seen(event: &Value, now: Timestamp) -> Value {
    json!(age_since(event_times(event).0, now))
}

fn event_last_seen(event: &Value, now: Timestamp) -> Value {
    json!(age_since(event_times(event).1, now))
}

fn event_count(event: &Value, _: Timestamp) -> Value {
    let count = [&["series", "count"][..], &["count"], &["deprecatedCount"]]
        .iter()
        .find_map(|path| object::integer(event, path));
    json!(count.unwrap_or(1).to_string())
}
