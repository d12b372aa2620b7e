//! Rules that the typed server checks beyond an object's schema.

use serde_json::{Value, json};

use crate::apiserver::kinds::Kind;
use crate::apiserver::object;
use crate::apiserver::selector::label_selector_matches;
use crate::apiserver::status::Cause;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// What is wrong with an object's name.
pub(crate) fn name_problems(object: &Value) -> Vec<Cause> {
    let name = object::name(object);
    if name.is_empty() {
        return vec![Cause::required("metadata.name", "name or generateName is required")];
    }
    let is_label = |label: &str| {
        let inner = label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 {
        let why = "must be no more than 253 bytes";
        return vec![Cause::invalid("metadata.name", &json!(name), why)];
    }
    if !name.split('.').all(is_label) {
        return vec![Cause::invalid("metadata.name", &json!(name), SUBDOMAIN)];
    }
    Vec::new()
}

/// Rules that one object can break.
pub(crate) fn problems(kind: &Kind, object: &Value) -> Vec<Cause> {
    match kind.storage.as_str() {
        "deployments.apps" | "replicasets.apps" | "statefulsets.apps" => workload(object),
        "horizontalpodautoscalers.autoscaling" => autoscaler(object),
        "pods." => containers(object, "spec"),
        _ => Vec::new(),
    }
}

/// Rules that a change can break.
pub(crate) fn update_problems(kind: &Kind, new: &Value, old: &Value) -> Vec<Cause> {
    let is_workload = matches!(kind.storage.as_str(), "deployments.apps" | "replicasets.apps");
    let selector = |object: &Value| object::at(object, &["spec", "selector"]).cloned().unwrap_or_default();
    if is_workload && selector(new) != selector(old) {
        return vec![Cause::invalid("spec.selector", &selector(new), "field is immutable")];
    }
    Vec::new()
}

fn workload(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    causes.extend(not_negative(object, &["spec", "replicas"]));
    let selector = object::at(object, &["spec", "selector"]).cloned().unwrap_or_default();
    let template = object::at(object, &["spec", "template"]).cloned().unwrap_or_default();
    let is_empty = selector.as_object().is_none_or(serde_json::Map::is_empty);
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if is_empty {
        let why = "empty selector is invalid for deployment";
        causes.push(Cause::invalid("spec.selector", &selector, why));
    }
    if is_empty || !label_selector_matches(&selector, &template) {
        let labels = object::at(&template, &["metadata", "labels"]).cloned().unwrap_or_default();
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", &labels, why));
    }
    causes.extend(containers(object, "spec.template.spec"));
    causes
}

fn containers(object: &Value, path: &str) -> Vec<Cause> {
    let steps: Vec<&str> = path.split('.').chain(["containers"]).collect();
    let containers = object::list(object, &steps);
    if containers.is_empty() {
        return vec![Cause::required(format!("{path}.containers"), "")];
    }
    let missing = |(index, container): (usize, &Value)| {
        let lacks = |field: &str| {
            object::text(container, &[field])
                .is_empty()
                .then(|| Cause::required(format!("{path}.containers[{index}].{field}"), ""))
        };
        [lacks("name"), lacks("image")]
    };
    containers.iter().enumerate().flat_map(missing).flatten().collect()
}

fn autoscaler(object: &Value) -> Vec<Cause> {
    let least = object::integer(object, &["spec", "minReplicas"]).unwrap_or(1);
    let most = object::integer(object, &["spec", "maxReplicas"]).unwrap_or(0);
    let mut causes = Vec::new();
    if least < 1 {
        let why = "must be greater than or equal to 1";
        causes.push(Cause::invalid("spec.minReplicas", &json!(least), why));
    }
    if most < 1 {
        causes.push(Cause::required("spec.maxReplicas", "must be set and greater than 0"));
    }
    if most < least {
        let why = "must be greater than or equal to `minReplicas`";
        causes.push(Cause::invalid("spec.maxReplicas", &json!(most), why));
    }
    let target = object::text(object, &["spec", "scaleTargetRef", "apiVersion"]);
    if target.is_empty() {
        let why = "apiVersion must specify API group";
        causes.push(Cause::invalid("spec.scaleTargetRef.apiVersion", &json!(target), why));
    }
    causes
}

/// Refuses a negative count at `path`.
pub(crate) fn not_negative(object: &Value, path: &[&str]) -> Option<Cause> {
    let value = object::integer(object, path).filter(|value| *value < 0)?;
    Some(Cause::invalid(path.join("."), &json!(value), "must be greater than or equal to 0"))
}
