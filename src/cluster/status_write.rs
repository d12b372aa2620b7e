//! Status, written by server-side apply.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;

use super::call::{ApiError, Call};
use super::identity::PolicyKey;
use crate::api::{ScalingPolicy, ScalingPolicyStatus};

/// Who writes status; a name of its own, so that status and count are never given up by writing the other.
pub const STATUS_MANAGER: &str = "plimsoll/status";

/// Writes the whole status of a policy. Applying is forced, as Kubernetes advises controllers: the status is ours.
pub async fn write_status(
    client: &Client,
    policy: &PolicyKey,
    status: &ScalingPolicyStatus,
) -> Result<(), ApiError> {
    let api: Api<ScalingPolicy> = Api::namespaced(client.clone(), &policy.namespace);
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
    // The answer is the whole policy; nothing of it is needed, and a newer version of it must not look like a failure.
    let request = async {
        api.patch_status(&policy.name, &params, &Patch::Apply(&applied)).await.map(|_| ()).or_else(|error| {
            match error {
                kube::Error::SerdeError(_) => Ok(()),
                other => Err(other),
            }
        })
    };
    call.answer(request).await
}
