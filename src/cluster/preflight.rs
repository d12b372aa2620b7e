//! Before the watches begin: can the operator see what it must see?

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchParams};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::call::{ApiError, ApiErrorKind, Call};
use crate::api::ScalingPolicy;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Preflight {
    /// All that is needed can be seen. Holds what cannot be seen and is not needed.
    Ready(Option<ApiError>),
    /// The custom resource definition is not installed.
    NotInstalled,
}

/// Lists and watches one object of every kind in each of `namespaces`, or in the whole cluster if there are none.
pub async fn preflight(client: &Client, namespaces: &[String]) -> Result<Preflight, ApiError> {
    let everywhere = [None];
    let scopes: Vec<_> = namespaces.iter().map(|namespace| Some(namespace.as_str())).collect();
    let mut dispensable = None;
    for scope in if scopes.is_empty() { everywhere.as_slice() } else { scopes.as_slice() } {
        match look::<ScalingPolicy>(client, *scope).await {
            Err(error) if error.kind == ApiErrorKind::NotFound => return Ok(Preflight::NotInstalled),
            looked => looked?,
        }
        look::<Deployment>(client, *scope).await?;
        look::<StatefulSet>(client, *scope).await?;
        look::<ReplicaSet>(client, *scope).await?;
        look::<Pod>(client, *scope).await?;
        match look::<HorizontalPodAutoscaler>(client, *scope).await {
            Ok(()) => {}
            Err(error) if error.kind.passes() => return Err(error),
            Err(error) => dispensable = Some(error),
        }
    }
    Ok(Preflight::Ready(dispensable))
}

async fn look<K>(client: &Client, scope: Option<&str>) -> Result<(), ApiError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let (resource, group) = (K::plural(&()), K::group(&()));
    let call = |verb| Call { verb, resource: &resource, group: &group, namespace: scope };
    // The metadata is enough to know, and cannot fail to be understood.
    let api = scope.map_or_else(
        || Api::<PartialObjectMeta<K>>::all(client.clone()),
        |namespace| Api::namespaced(client.clone(), namespace),
    );
    let list = call("list").answer(api.list(&ListParams::default().limit(1))).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let begin = async {
        let params = WatchParams::default().timeout(1);
        let mut events = api.watch(&params, &version).await?.boxed();
        // A server that refuses does so before the first event; one without events says nothing for a second.
        let first = tokio::time::timeout(std::time::Duration::from_millis(10), events.next()).await;
        match first {
            Ok(Some(Err(error))) => Err(error),
            _ => Ok(()),
        }
    };
    call("watch").answer(begin).await
}
