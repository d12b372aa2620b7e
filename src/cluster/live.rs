//! A workload and its pods as the API server itself tells them, for decisions that must not rest on a watch that may be
//! behind.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::{NamespaceResourceScope, Selector};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::call::{ApiError, ApiErrorKind, Call};
use super::identity::TargetKey;
use super::index::{Found, Index};
use super::pod::{self, PodRecord};
use super::workload::WorkloadRecord;

/// Pods asked for at once: some five megabytes.
const PAGE: u32 = 500;

/// A watched workload with all its pods; none if it does not exist. The pods are read after the workload, so a write that
/// names the workload's version rests on pods that are no older than it.
pub(super) async fn look(
    client: &Client,
    index: &Index,
    target: &TargetKey,
    told: u64,
) -> Result<Option<Found>, ApiError> {
    let (record, selector) = if target.kind == "StatefulSet" {
        let Some(set) = named::<StatefulSet>(client, target).await? else { return Ok(None) };
        let record = index.trim_workload(target, |before| WorkloadRecord::stateful_set(&set, before));
        (record, set.spec.map(|spec| spec.selector))
    } else {
        let Some(deployment) = named::<Deployment>(client, target).await? else { return Ok(None) };
        let record = index.trim_workload(target, |before| WorkloadRecord::deployment(&deployment, before));
        (record, deployment.spec.map(|spec| spec.selector))
    };
    let (Some(record), Some(selector)) = (record, selector) else { return Ok(None) };
    let pods = pods(client, &target.namespace, &text(selector, target)?).await?;
    Ok(Some(index.found(target, &record, &pods, told)))
}

/// The object of this name. A list of one needs no right beyond those of a watch.
async fn named<K>(client: &Client, target: &TargetKey) -> Result<Option<K>, ApiError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let (resource, group) = (K::plural(&()), K::group(&()));
    let call = Call { verb: "list", resource: &resource, group: &group, namespace: Some(&target.namespace) };
    let api: Api<K> = Api::namespaced(client.clone(), &target.namespace);
    let one = ListParams::default().fields(&format!("metadata.name={}", target.name));
    Ok(call.answer(api.list(&one)).await?.items.pop())
}

/// Every pod that a selector selects, page by page.
pub(super) async fn pods(
    client: &Client,
    namespace: &str,
    selector: &str,
) -> Result<Vec<PodRecord>, ApiError> {
    let call = Call { verb: "list", resource: "pods", group: "", namespace: Some(namespace) };
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut params = ListParams::default().labels(selector).limit(PAGE);
    let mut records = Vec::new();
    loop {
        let page = call.answer(api.list(&params)).await?;
        records.extend(page.items.iter().filter_map(pod::trim).filter(|record| !record.finished));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(records),
        }
    }
}

fn text(selector: LabelSelector, target: &TargetKey) -> Result<String, ApiError> {
    Selector::try_from(selector).map(|selector| selector.to_string()).map_err(|error| ApiError {
        kind: ApiErrorKind::NotScalable,
        message: format!("{target} has a selector by which its pods cannot be found: {error}"),
    })
}
