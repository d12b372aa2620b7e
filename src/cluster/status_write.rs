//! Status, written by server-side apply.

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource};
use serde_json::json;

use super::authority::Authority;
use super::call::{ApiError, Call, bounded_in_time};
use super::identity::PolicyKey;
use crate::api::{ScalingPolicy, ScalingPolicyStatus};

/// Who writes status; a name of its own, so that status and count are never given up by writing the other.
pub const STATUS_MANAGER: &str = "plimsoll/status";

/// Writes the whole status of a policy. Applying is forced, as Kubernetes advises controllers: the status is ours.
pub async fn write_status(
    client: &Client,
    authority: &Authority,
    policy: &PolicyKey,
    status: &ScalingPolicyStatus,
) -> Result<(), ApiError> {
    let applied = json!({
        "apiVersion": ScalingPolicy::api_version(&()),
        "kind": ScalingPolicy::kind(&()),
        "metadata": {"name": policy.name, "namespace": policy.namespace},
        "status": status,
    });
    let call = Call {
        verb: "patch",
        resource: "scalingpolicies/status",
        group: "plimsoll.dev",
        namespace: Some(&policy.namespace),
    };
    let params = PatchParams::apply(STATUS_MANAGER).force();
    // The answer is the whole policy, of which nothing is needed.
    let request = async {
        let path = Request::new(ScalingPolicy::url_path(&(), Some(&policy.namespace)));
        let request = path.patch_subresource("status", &policy.name, &params, &Patch::Apply(&applied));
        let request = bounded_in_time(request.map_err(kube::Error::BuildRequest)?);
        client.request_text(request).await.map(|_| ())
    };
    call.written(authority, request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ApiErrorKind;
    use crate::cluster::testing::{Answer, Asked, refusal, server};

    fn policy() -> PolicyKey {
        PolicyKey { namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    #[tokio::test]
    async fn status_alone_is_applied_and_nothing_that_is_empty() {
        let (client, log) =
            server(|_| Answer::Json(200, json!({"spec": "of a version that nobody here can read"})));
        let status = ScalingPolicyStatus { current_replicas: Some(3), ..ScalingPolicyStatus::default() };
        write_status(&client, &Authority::unshared(), &policy(), &status).await.unwrap();
        let asked = Asked {
            method: "PATCH".to_owned(),
            path: "/apis/plimsoll.dev/v1alpha1/namespaces/shop/scalingpolicies/web/status?&force=true&fieldManager=plimsoll%2Fstatus&timeout=5s"
                .to_owned(),
            content_type: "application/apply-patch+yaml".to_owned(),
            body: json!({
                "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy",
                "metadata": {"name": "web", "namespace": "shop"},
                "status": {"currentReplicas": 3}
            }),
        };
        assert_eq!(log.all(), [asked]);
    }

    #[tokio::test]
    async fn a_missing_verb_for_status_is_named() {
        let (client, _) = server(|_| refusal(403, "Forbidden", "no"));
        let error = write_status(&client, &Authority::unshared(), &policy(), &ScalingPolicyStatus::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Forbidden);
        assert!(
            error.message.contains("verb patch on scalingpolicies/status in API group plimsoll.dev"),
            "{error}"
        );
    }
}
