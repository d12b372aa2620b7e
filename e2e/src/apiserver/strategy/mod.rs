//! What the server itself does to objects of each built-in kind: defaults, fields it resets, rules it checks.

mod defaults;
mod rules;

use serde_json::{Value, json};

use super::kinds::{Conversion, Kind};
use super::object;
use super::status::Cause;

pub(crate) use defaults::apply_defaults;
pub(crate) use rules::{name_problems, not_negative};
use rules::{problems, update_problems};

/// Prepares an object that is about to be created: what only the system may say is set or taken away.
pub(crate) fn prepare_create(kind: &Kind, object: &mut Value) {
    match kind.storage.as_str() {
        "namespaces." => {
            let name = object::name(object).to_owned();
            object::set(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
            object::set(object, &["spec", "finalizers"], json!(["kubernetes"]));
            object::set(object, &["status"], json!({"phase": "Active"}));
        }
        "pods." => object::set(object, &["status"], json!({"phase": "Pending", "qosClass": "BestEffort"})),
        "poddisruptionbudgets.policy" => object::set(object, &["status"], no_disruptions()),
        "nodes." | "events." => {}
        _ if kind.is_custom() && kind.status => {
            object::remove(object, &["status"]);
        }
        _ if kind.status => object::set(object, &["status"], json!({})),
        _ => {}
    }
    if kind.generation {
        object::set(object, &["metadata", "generation"], 1);
    }
}

/// Prepares an update through the main endpoint: status stays as it was.
pub(crate) fn prepare_update(kind: &Kind, object: &mut Value, old: &Value) {
    if kind.status {
        object::copy(object, old, &["status"]);
    }
    let is_service = kind.storage == "services.";
    if is_service && object::text(object, &["spec", "clusterIP"]).is_empty() {
        object::copy(object, old, &["spec", "clusterIP"]);
        object::copy(object, old, &["spec", "clusterIPs"]);
    }
}

/// Prepares an update through `/status`: only status changes, and annotations of built-in kinds.
pub(crate) fn prepare_status_update(kind: &Kind, object: &mut Value, old: &Value) {
    let annotations = object::at(object, &["metadata", "annotations"]).cloned();
    let status = object::at(object, &["status"]).cloned();
    *object = old.clone();
    match status {
        Some(status) => object::set(object, &["status"], status),
        None if kind.is_custom() => {
            object::remove(object, &["status"]);
        }
        None => object::set(object, &["status"], json!({})),
    }
    if let (false, Some(annotations)) = (kind.is_custom(), annotations) {
        object::set(object, &["metadata", "annotations"], annotations);
    }
}

/// Whether the update changes what the user wants, which `metadata.generation` counts.
pub(crate) fn changes_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    if !kind.is_custom() {
        // Deployments count annotations too: a change of them once was a roll-back.
        let annotations = |object: &Value| object::at(object, &["metadata", "annotations"]).cloned();
        let is_annotated = kind.storage == "deployments.apps" && annotations(old) != annotations(new);
        return is_annotated || old.get("spec") != new.get("spec");
    }
    let wanted = |object: &Value| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| *name != "metadata" && !(kind.status && *name == "status"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    wanted(old) != wanted(new)
}

/// The object that a typed server compares a new one with: its fields that are always written.
pub(crate) fn blank(kind: &Kind) -> Value {
    let pod_template = json!({"metadata": {}, "spec": {"containers": []}});
    match kind.storage.as_str() {
        "deployments.apps" => json!({
            "metadata": {},
            "spec": {"selector": null, "strategy": {}, "template": pod_template},
            "status": {},
        }),
        "replicasets.apps" => {
            json!({"metadata": {}, "spec": {"selector": null, "template": pod_template}, "status": {}})
        }
        "statefulsets.apps" => json!({
            "metadata": {},
            "spec": {"selector": null, "updateStrategy": {}, "serviceName": null, "template": pod_template},
            "status": {},
        }),
        "pods." => json!({"metadata": {}, "spec": {"containers": []}, "status": {}}),
        "namespaces." => {
            json!({"metadata": {}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
        }
        "poddisruptionbudgets.policy" => json!({"metadata": {}, "spec": {}, "status": no_disruptions()}),
        "events." if kind.conversion == Conversion::Events => json!({
            "metadata": {},
            "eventTime": null,
            "regarding": {},
            "deprecatedSource": {},
            "deprecatedFirstTimestamp": null,
            "deprecatedLastTimestamp": null,
        }),
        "events." => json!({
            "metadata": {},
            "eventTime": null,
            "involvedObject": {},
            "source": {},
            "firstTimestamp": null,
            "lastTimestamp": null,
            "reportingComponent": "",
            "reportingInstance": "",
        }),
        _ if kind.is_custom() => json!({"metadata": {}}),
        _ => json!({"metadata": {}, "spec": {}, "status": {}}),
    }
}

/// The status of a disruption budget that nobody has looked at.
fn no_disruptions() -> Value {
    json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
}

/// Rules that one object can break, and for an update those that the step can break.
pub(crate) fn all_problems(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = problems(kind, object);
    if let Some(old) = old {
        causes.extend(update_problems(kind, object, old));
    }
    causes
}
