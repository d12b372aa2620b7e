//! `/scale`: read where there is no watch, written with the version that was seen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::call::{ApiError, ApiErrorKind, Call};
use super::workload::count;

/// Who writes the count; a name of its own, so that no other write of ours ever gives the field up.
pub const SCALE_MANAGER: &str = "plimsoll/scale";

/// How long it is believed which resource a kind is.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// How long it is believed that there is no such kind.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// What `/scale` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSeen {
    /// Uid of the workload.
    pub uid: String,
    /// The version that a write must name.
    pub resource_version: String,
    /// Replicas asked for.
    pub spec_replicas: u32,
    /// Selects the workload's pods; empty if the workload does not say.
    pub selector: String,
}

/// Reads and writes `/scale` of any kind.
pub struct Scales {
    client: Client,
    kinds: Mutex<HashMap<(String, String), Mapping>>,
}

#[derive(Clone)]
struct Mapping {
    until: Instant,
    resource: Result<ApiResource, ApiError>,
}

impl Scales {
    /// Speaks through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Mutex::default() }
    }

    /// Reads `/scale` of a workload.
    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<ScaleSeen, ApiError> {
        let resource = self.resource(api_version, kind).await?;
        let path = format!("{}/scale", resource.plural);
        let call = Call { verb: "get", resource: &path, group: &resource.group, namespace: Some(namespace) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        call.answer(api.get_scale(name)).await.map(ScaleSeen::new)
    }

    /// Asks for `replicas`, if the workload is still as it was in `resource_version`; else the error is a conflict.
    pub async fn write(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        replicas: u32,
        resource_version: &str,
    ) -> Result<ScaleSeen, ApiError> {
        let resource = self.resource(api_version, kind).await?;
        let path = format!("{}/scale", resource.plural);
        let call =
            Call { verb: "patch", resource: &path, group: &resource.group, namespace: Some(namespace) };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let params = PatchParams { field_manager: Some(SCALE_MANAGER.to_owned()), ..PatchParams::default() };
        let patch =
            json!({"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}});
        call.answer(api.patch_scale(name, &params, &Patch::Merge(&patch))).await.map(ScaleSeen::new)
    }

    /// Which resource a kind is.
    async fn resource(&self, api_version: &str, kind: &str) -> Result<ApiResource, ApiError> {
        match (api_version, kind) {
            ("apps/v1", "Deployment") => return Ok(ApiResource::erase::<Deployment>(&())),
            ("apps/v1", "StatefulSet") => return Ok(ApiResource::erase::<StatefulSet>(&())),
            _ => {}
        }
        let key = (api_version.to_owned(), kind.to_owned());
        let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(mapping) = known.filter(|mapping| Instant::now() < mapping.until) {
            return mapping.resource;
        }
        let resource = self.discover(api_version, kind).await;
        let lasts = match &resource {
            Ok(_) => KNOWN_FOR,
            Err(error) if error.kind.passes() => return resource,
            Err(_) => UNKNOWN_FOR,
        };
        let mapping = Mapping { until: Instant::now() + lasts, resource: resource.clone() };
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, mapping);
        resource
    }

    async fn discover(&self, api_version: &str, kind: &str) -> Result<ApiResource, ApiError> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let call = Call { verb: "get", resource: api_version, group, namespace: None };
        let found = call.answer(kube::discovery::pinned_kind(&self.client, &gvk)).await;
        let (resource, capabilities) = found.map_err(|error| match error.kind {
            ApiErrorKind::NotFound => ApiError {
                kind: ApiErrorKind::NotFound,
                message: format!(
                    "the cluster has no kind {kind} in {api_version}: correct scaleTargetRef, or install what brings the kind"
                ),
            },
            _ => error,
        })?;
        if capabilities.subresources.iter().any(|(subresource, _)| subresource.plural == "scale") {
            Ok(resource)
        } else {
            Err(ApiError {
                kind: ApiErrorKind::NotScalable,
                message: format!(
                    "{kind} in {api_version} has no /scale subresource, so it cannot be scaled: correct scaleTargetRef"
                ),
            })
        }
    }
}

impl ScaleSeen {
    fn new(scale: Scale) -> Self {
        Self {
            uid: scale.uid().unwrap_or_default(),
            resource_version: scale.resource_version().unwrap_or_default(),
            // The server leaves the field out where it is 0.
            spec_replicas: scale.spec.and_then(|spec| spec.replicas).map_or(0, count),
            selector: scale.status.and_then(|status| status.selector).unwrap_or_default(),
        }
    }
}
