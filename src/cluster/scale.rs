//! `/scale`: read where there is no watch, written with the version that was seen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Request};
use kube::{Api, Client, Resource as _, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::authority::Authority;
use super::call::{ApiError, ApiErrorKind, Call, bounded_in_time};
use super::workload::count;

/// Who writes the count; a name of its own, so that no other write of ours ever gives the field up.
pub const SCALE_MANAGER: &str = "plimsoll/scale";

/// How long it is believed which resource a kind is.
const KNOWN_FOR: Duration = Duration::from_mins(10);
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
    authority: Authority,
    kinds: Mutex<HashMap<(String, String), Mapping>>,
}

#[derive(Clone)]
struct Mapping {
    until: Instant,
    resource: Result<ApiResource, ApiError>,
}

impl Scales {
    /// Speaks through `client`; writes only while `authority` holds.
    pub fn new(client: Client, authority: Authority) -> Self {
        Self { client, authority, kinds: Mutex::default() }
    }

    /// What speaks to the API server.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Reads `/scale` of a workload.
    pub async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<ScaleSeen, ApiError> {
        refuse_paths(api_version, name)?;
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
        refuse_paths(api_version, name)?;
        let resource = self.resource(api_version, kind).await?;
        let path = format!("{}/scale", resource.plural);
        let call =
            Call { verb: "patch", resource: &path, group: &resource.group, namespace: Some(namespace) };
        let params = PatchParams { field_manager: Some(SCALE_MANAGER.to_owned()), ..PatchParams::default() };
        let scale =
            json!({"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}});
        let path = Request::new(DynamicObject::url_path(&resource, Some(namespace)));
        let request = path.patch_subresource("scale", name, &params, &Patch::Merge(&scale));
        let sent = async {
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client.request::<Scale>(bounded_in_time(request)).await
        };
        call.written(&self.authority, sent).await.map(ScaleSeen::new)
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

/// Refuses what would lead a request elsewhere: both are written into its path as they are, and what may be done there is
/// what the operator may do, not what the policy's author may.
fn refuse_paths(api_version: &str, name: &str) -> Result<(), ApiError> {
    let is_segment = |text: &str| {
        !matches!(text, "" | "." | "..")
            && text.chars().all(|sign| sign.is_ascii_graphic() && !"/\\%?#".contains(sign))
    };
    let fault = if !is_segment(name) {
        format!("scaleTargetRef.name {name:?} is not the name of an object: correct it")
    } else if api_version.split('/').count() > 2 || !api_version.split('/').all(is_segment) {
        format!("scaleTargetRef.apiVersion {api_version:?} is not one: write it as apps/v1")
    } else {
        return Ok(());
    };
    Err(ApiError { kind: ApiErrorKind::NotFound, message: fault })
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cluster::testing::{Answer, Asked, refusal, scale, server};

    async fn write(scales: &Scales) -> Result<ScaleSeen, ApiError> {
        scales.write("apps/v1", "Deployment", "shop", "web", 9, "41").await
    }

    #[tokio::test]
    async fn a_count_is_written_with_the_version_that_was_seen() {
        let (client, log) = server(|_| scale(9, "42", "app=web"));
        let written = write(&Scales::new(client, Authority::unshared())).await.unwrap();
        assert_eq!((written.spec_replicas, written.resource_version.as_str()), (9, "42"));
        let asked = Asked {
            method: "PATCH".to_owned(),
            path: "/apis/apps/v1/namespaces/shop/deployments/web/scale?&fieldManager=plimsoll%2Fscale&timeout=5s"
                .to_owned(),
            content_type: "application/merge-patch+json".to_owned(),
            body: json!({"metadata": {"resourceVersion": "41"}, "spec": {"replicas": 9}}),
        };
        assert_eq!(log.all(), [asked]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_fails_tells_why() {
        for (code, kind, words) in [
            (409, ApiErrorKind::Conflict, "the object has been modified (409)"),
            (403, ApiErrorKind::Forbidden, "grant it the verb patch on deployments/scale in API group apps"),
            (422, ApiErrorKind::Refused, "the object has been modified (422)"),
            (503, ApiErrorKind::Unavailable, "patch deployments/scale in namespace shop failed"),
        ] {
            let (client, _) = server(move |_| refusal(code, "Whatever", "the object has been modified"));
            let error = write(&Scales::new(client, Authority::unshared())).await.unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.message.contains(words), "{}", error.message);
        }
        let (client, _) = server(|_| Answer::Never);
        assert_eq!(
            write(&Scales::new(client, Authority::unshared())).await.unwrap_err().kind,
            ApiErrorKind::Timeout
        );
    }

    fn rollouts(asked: &Asked) -> Answer {
        let kind = |name: &str, kind: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get", "patch"]});
        let resources: Vec<Value> = vec![
            kind("rollouts", "Rollout"),
            kind("rollouts/scale", "Scale"),
            kind("experiments", "Experiment"),
        ];
        match asked.path.as_str() {
            "/apis/argoproj.io/v1alpha1" => Answer::Json(
                200,
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "argoproj.io/v1alpha1", "resources": resources}),
            ),
            path if path.ends_with("/rollouts/web/scale") => scale(3, "7", "app=web"),
            _ => refusal(404, "NotFound", "not found"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_without_a_watch_is_found_once_and_read_each_time() {
        let (client, log) = server(rollouts);
        let scales = Scales::new(client, Authority::unshared());
        for _ in 0..3 {
            let seen = scales.get("argoproj.io/v1alpha1", "Rollout", "shop", "web").await.unwrap();
            assert_eq!((seen.spec_replicas, seen.selector.as_str()), (3, "app=web"));
        }
        assert_eq!((log.about("/scale").len(), log.all().len()), (3, 4));
        tokio::time::advance(KNOWN_FOR).await;
        scales.get("argoproj.io/v1alpha1", "Rollout", "shop", "web").await.unwrap();
        assert_eq!(log.all().len(), 6, "a kind may move to another resource");
    }

    #[tokio::test]
    async fn no_name_and_no_version_leads_a_request_elsewhere() {
        let (client, log) = server(rollouts);
        let scales = Scales::new(client, Authority::unshared());
        let version = "argoproj.io/v1alpha1";
        for (api_version, name) in [
            (version, "../../victim/rollouts/web"),
            (version, ".."),
            (version, ""),
            (version, "web/scale?x="),
            (version, "web/scale#"),
            (version, "%2e%2e%2fweb"),
            (version, "..\\web"),
            (version, "web scale"),
            (version, "w\u{e9}b"),
            ("../api/v1", "web"),
            ("argoproj.io/..", "web"),
            ("argoproj.io/v1alpha1/namespaces", "web"),
            ("/v1", "web"),
            ("v1?watch=1", "web"),
        ] {
            let read = scales.get(api_version, "Rollout", "shop", name).await.unwrap_err();
            let written = scales.write(api_version, "Rollout", "shop", name, 9, "1").await.unwrap_err();
            for error in [read, written] {
                assert_eq!(error.kind, ApiErrorKind::NotFound);
                assert!(error.message.contains("scaleTargetRef"), "{}", error.message);
            }
        }
        assert_eq!(log.all(), [], "no server hears of them");
    }

    #[tokio::test]
    async fn a_kind_that_cannot_be_scaled_is_told_from_one_that_does_not_exist() {
        let (client, log) = server(rollouts);
        let scales = Scales::new(client, Authority::unshared());
        for (api_version, kind, expected, words) in [
            ("argoproj.io/v1alpha1", "Experiment", ApiErrorKind::NotScalable, "has no /scale subresource"),
            (
                "argoproj.io/v1alpha1",
                "Rolout",
                ApiErrorKind::NotFound,
                "no kind Rolout in argoproj.io/v1alpha1",
            ),
            ("nowhere.io/v1", "Thing", ApiErrorKind::NotFound, "no kind Thing in nowhere.io/v1"),
        ] {
            let error = scales.get(api_version, kind, "shop", "web").await.unwrap_err();
            assert_eq!(error.kind, expected, "{kind}");
            assert!(error.message.contains(words), "{}", error.message);
            let asked = log.all().len();
            scales.get(api_version, kind, "shop", "web").await.unwrap_err();
            assert_eq!(log.all().len(), asked, "what does not exist is not asked for at every evaluation");
        }
    }
}
