//! One look at the cluster for a person at a terminal: listed once, nothing watched.

use std::fmt::Debug;
use std::future::Future;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{DeserializeGuard, ObjectList, PartialObjectMeta};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::unbounded_channel;

use super::call::{ApiError, ApiErrorKind, Call};
use super::identity::PolicyKey;
use super::index::Index;
use super::policy::PolicyRecord;
use super::watched::Watched;
use crate::api::{ScalingPolicy, ScalingPolicyStatus};
use crate::time::Time;

/// Objects asked for at once.
const PAGE: u32 = 500;
/// Pages of one list that are read: no terminal shows more.
const MOST_PAGES: u32 = 200;

/// A policy with the status that it has now.
pub type PolicySeen = (PolicyRecord, ScalingPolicyStatus);

/// What one look at a namespace found.
pub struct Survey {
    /// Everything that was found.
    pub index: Index,
    /// What could not be looked at and is not needed, in sentences.
    pub unseen: Vec<String>,
}

/// Looks at all that a decision about workloads of a namespace takes. Times that only a watch can tell, such as how long
/// pods took to go, stay unknown.
pub async fn survey(client: &Client, namespace: &str, now: Time) -> Result<Survey, ApiError> {
    let index = Index::new(unbounded_channel().0);
    let scope = Some(namespace);
    // Owners before what they own, as the watches have it.
    let (deployments, sets, owners, pods, policies, autoscalers) = futures::join!(
        list::<Deployment>(client, scope),
        list::<StatefulSet>(client, scope),
        replica_sets(client, namespace),
        list::<Pod>(client, scope),
        list::<DeserializeGuard<ScalingPolicy>>(client, scope),
        list::<HorizontalPodAutoscaler>(client, scope)
    );
    put(deployments?, &index, now);
    put(sets?, &index, now);
    put(owners?, &index, now);
    put(pods?, &index, now);
    put(policies?, &index, now);
    let mut unseen = Vec::new();
    match autoscalers {
        Ok(autoscalers) => put(autoscalers, &index, now),
        Err(error) => unseen.push(format!("whether an HPA acts on the workload is not known: {error}")),
    }
    Ok(Survey { index, unseen })
}

fn put<K: Watched>(objects: Vec<K>, index: &Index, now: Time) {
    for object in objects {
        object.put(index, now);
    }
}

/// A policy of this name as it is now; none if there is none.
pub async fn find_policy(client: &Client, key: &PolicyKey) -> Result<Option<PolicySeen>, ApiError> {
    let call = Call {
        verb: "get",
        resource: "scalingpolicies",
        group: "plimsoll.dev",
        namespace: Some(&key.namespace),
    };
    let api: Api<DeserializeGuard<ScalingPolicy>> = Api::namespaced(client.clone(), &key.namespace);
    let found = call.answer(api.get_opt(&key.name)).await.map_err(|error| own_words(&call, error))?;
    Ok(found.and_then(trimmed))
}

/// Every policy of a namespace, or of the whole cluster, by namespace and name.
pub async fn list_policies(client: &Client, namespace: Option<&str>) -> Result<Vec<PolicySeen>, ApiError> {
    let listed = list::<DeserializeGuard<ScalingPolicy>>(client, namespace).await?;
    let mut policies: Vec<_> = listed.into_iter().filter_map(trimmed).collect();
    policies.sort_by(|(left, _), (right, _)| left.key.cmp(&right.key));
    Ok(policies)
}

fn trimmed(policy: DeserializeGuard<ScalingPolicy>) -> Option<PolicySeen> {
    PolicyRecord::trim(policy)
        .map(|(record, status)| (record, status.map(|status| *status).unwrap_or_default()))
}

/// What was told about a policy as events, the newest first.
pub async fn policy_events(client: &Client, policy: &PolicyRecord) -> Result<Vec<Event>, ApiError> {
    let namespace = &policy.key.namespace;
    let call = Call { verb: "list", resource: "events", group: "", namespace: Some(namespace) };
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.uid={}", policy.object_uid));
    let mut events = pages(&call, about, |page| {
        let api = api.clone();
        async move { api.list(&page).await }
    })
    .await?;
    events.sort_by_key(|event| std::cmp::Reverse(told_at(event)));
    Ok(events)
}

/// When an event was told last.
pub fn told_at(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let at = series.or(event.event_time.as_ref()).map(|time| time.0);
    at.or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Objects of a kind as the API server has them, each a YAML reader's document; none if the cluster has no such kind.
pub async fn objects(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Result<Vec<DynamicObject>, ApiError> {
    let api: Api<DynamicObject> = namespace.map_or_else(
        || Api::all_with(client.clone(), resource),
        |namespace| Api::namespaced_with(client.clone(), namespace, resource),
    );
    let call = Call { verb: "list", resource: &resource.plural, group: &resource.group, namespace };
    let listed = pages(&call, ListParams::default(), |page| {
        let api = api.clone();
        async move { api.list(&page).await }
    })
    .await;
    match listed {
        Err(error) if error.kind == ApiErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

async fn list<K: Watched>(client: &Client, namespace: Option<&str>) -> Result<Vec<K>, ApiError> {
    let (resource, group) = (K::plural(&()), K::group(&()));
    let call = Call { verb: "list", resource: &resource, group: &group, namespace };
    let api: Api<K> = namespace
        .map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
    pages(&call, ListParams::default(), |page| {
        let api = api.clone();
        async move { api.list(&page).await }
    })
    .await
}

async fn replica_sets(
    client: &Client,
    namespace: &str,
) -> Result<Vec<PartialObjectMeta<ReplicaSet>>, ApiError> {
    let call = Call { verb: "list", resource: "replicasets", group: "apps", namespace: Some(namespace) };
    let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    pages(&call, ListParams::default(), |page| {
        let api = api.clone();
        async move { api.list_metadata(&page).await }
    })
    .await
}

/// A list, page by page, each with a deadline.
async fn pages<T, F>(
    call: &Call<'_>,
    params: ListParams,
    ask: impl Fn(ListParams) -> F,
) -> Result<Vec<T>, ApiError>
where
    T: Clone + Debug + DeserializeOwned,
    F: Future<Output = kube::Result<ObjectList<T>>>,
{
    let mut params = params.limit(PAGE);
    let mut items = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = call.answer(ask(params.clone())).await.map_err(|error| own_words(call, error))?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(items),
        }
    }
    Err(ApiError {
        kind: ApiErrorKind::Refused,
        message: format!("{call}: there are more than {} objects: name a namespace", MOST_PAGES * PAGE),
    })
}

/// A failure as the person is told whose credentials were used.
fn own_words(call: &Call<'_>, error: ApiError) -> ApiError {
    let message = match error.kind {
        ApiErrorKind::Forbidden => format!(
            "you may not {call}: ask for a role with the verb {} on {}{}",
            call.verb,
            call.resource,
            if call.group.is_empty() { String::new() } else { format!(" in API group {}", call.group) }
        ),
        ApiErrorKind::Unauthorized => {
            format!(
                "the API server does not accept your credentials ({call}): renew those of your kubeconfig"
            )
        }
        ApiErrorKind::NotFound if call.group == "plimsoll.dev" => format!(
            "the cluster does not know {}: install the definitions with plimsoll crd | kubectl apply -f -",
            call.resource
        ),
        _ => return error,
    };
    ApiError { kind: error.kind, message }
}
