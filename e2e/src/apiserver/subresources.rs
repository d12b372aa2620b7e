//! What is POSTed to a subresource: evictions, bindings, and questions about access.

use std::sync::Arc;

use serde_json::{Value, json};

use super::authorization::{Act, Authorization};
use super::cluster::Cluster;
use super::delete::DeleteOptions;
use super::kinds::Kind;
use super::object;
use super::request::ResourceRequest;
use super::selector::label_selector_matches;
use super::status::Failure;
use super::store::{Key, Object};
use super::write::{Door, WriteOptions};

/// The storage name of SelfSubjectAccessReviews, which are answered and never stored.
pub(crate) const ACCESS_REVIEWS: &str = "selfsubjectaccessreviews.authorization.k8s.io";

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// POST to `object/subresource`.
pub(crate) fn create(
    cluster: &mut Cluster,
    kind: &Kind,
    request: &ResourceRequest,
    body: &Value,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    match (kind.storage.as_str(), request.subresource.as_str()) {
        ("pods.", "eviction") => evict(cluster, kind, request, body, options),
        ("pods.", "binding") => bind(cluster, kind, request, body, options),
        (_, "") => Err(Failure::method_not_allowed()),
        _ => Err(Failure::no_such_resource()),
    }
}

fn success(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
}

/// Deletes a pod unless a disruption budget would be broken.
fn evict(
    cluster: &mut Cluster,
    kind: &Kind,
    request: &ResourceRequest,
    body: &Value,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    let pod = cluster.stored(kind, &request.namespace, &request.name)?;
    let budgets: Vec<(Key, Object)> = cluster
        .store
        .list(BUDGETS, &request.namespace)
        .map(|(key, budget)| (key.clone(), Arc::clone(budget)))
        .collect();
    let covers = |budget: &Value| {
        object::at(budget, &["spec", "selector"])
            .is_some_and(|selector| label_selector_matches(selector, &pod.value))
    };
    let is_spent =
        |budget: &Value| object::integer(budget, &["status", "disruptionsAllowed"]).unwrap_or(0) < 1;
    if let Some((key, _)) =
        budgets.iter().find(|(_, budget)| covers(&budget.value) && is_spent(&budget.value))
    {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let why = format!("The disruption budget {} does not allow any further disruption", key.1);
        return Err(Failure {
            details: json!({"causes": [{"reason": "DisruptionBudget", "message": why}]}),
            ..Failure::new(429, "TooManyRequests", message)
        });
    }
    let asked = object::at(body, &["deleteOptions"]).cloned().unwrap_or_default();
    let deletion = DeleteOptions::read(&asked, options.dry_run, None, "", options.now);
    cluster.delete(kind, &request.namespace, &request.name, &deletion)?;
    // What was evicted is spent at once, not only when the controller has looked.
    for (_, budget) in budgets.iter().filter(|(_, budget)| !options.dry_run && covers(&budget.value)) {
        let mut spent = budget.value.clone();
        let left = object::count(&spent, &["status", "disruptionsAllowed"]).saturating_sub(1);
        object::set(&mut spent, &["status", "disruptionsAllowed"], left);
        cluster.store.put(BUDGETS, spent);
    }
    Ok(success(201))
}

/// Puts a pod on a node.
fn bind(
    cluster: &mut Cluster,
    kind: &Kind,
    request: &ResourceRequest,
    body: &Value,
    options: &WriteOptions,
) -> Result<Value, Failure> {
    let old = cluster.stored(kind, &request.namespace, &request.name)?;
    let node = object::text(&old.value, &["spec", "nodeName"]);
    if !node.is_empty() {
        let why = format!("pod {} is already assigned to node {node:?}", request.name);
        return Err(Failure::conflict(kind.resource_subject(&request.name), &why));
    }
    let mut pod = old.value.clone();
    object::set(&mut pod, &["spec", "nodeName"], object::text(body, &["target", "name"]));
    cluster.replace(kind, Door::Main, &old, pod, None, Vec::new(), options)?;
    Ok(success(201))
}

/// Answers whether the caller may do what the review asks about.
pub(crate) fn review_access(authorization: &Authorization, token: &str, mut review: Value) -> Value {
    let text = |field: &str| object::text(&review, &["spec", "resourceAttributes", field]).to_owned();
    let (verb, group, resource) = (text("verb"), text("group"), text("resource"));
    let (subresource, namespace, name) = (text("subresource"), text("namespace"), text("name"));
    let act = Act {
        verb: &verb,
        group: &group,
        resource: &resource,
        subresource: &subresource,
        namespace: &namespace,
        name: &name,
    };
    let allowed = authorization.allows(token, &act);
    object::set(&mut review, &["status"], json!({"allowed": allowed}));
    review
}
