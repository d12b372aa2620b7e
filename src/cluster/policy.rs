//! A policy as kept.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;

use super::identity::{PolicyKey, TargetKey, Uid, moment};
use super::overrides::overrides;
use crate::api::{Mode, ScalingPolicy, ScalingPolicySpec, ScalingPolicyStatus};
use crate::control::Overrides;
use crate::time::Time;

/// A policy as kept: without its status and without metadata that nobody reads.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRecord {
    /// Namespace and name.
    pub key: PolicyKey,
    /// Identity of this very object.
    pub uid: Uid,
    /// Its uid as events need it.
    pub object_uid: String,
    /// The generation of the spec.
    pub generation: i64,
    /// When it was created; of two policies on one workload the older acts.
    pub created: Time,
    /// When somebody last wrote anything of it but its status, as far as the API server tells; its creation at the
    /// earliest.
    pub edited: Time,
    /// What it asks for, or why that cannot be read.
    pub spec: Result<Arc<ScalingPolicySpec>, String>,
    /// What it points at, if it can be read.
    pub target: Option<TargetKey>,
    /// What its annotations ask for.
    pub overrides: Overrides,
}

impl PolicyRecord {
    /// Trims a policy; none if it lacks a uid, a name or a namespace, which no API server leaves out.
    pub fn trim(policy: DeserializeGuard<ScalingPolicy>) -> Option<(Self, Option<Box<ScalingPolicyStatus>>)> {
        match policy.0 {
            Ok(policy) => {
                let status = policy.status.map(Box::new);
                Some((Self::new(&policy.metadata, Ok(policy.spec))?, status))
            }
            // A field of a newer version must not hide every other policy.
            Err(invalid) => {
                let sentence = format!(
                    "this operator cannot read the policy ({}): use only fields of its own custom resource \
                     definition (kubectl explain scalingpolicy.spec), or update the operator",
                    invalid.error
                );
                Some((Self::new(&invalid.metadata, Err(sentence))?, None))
            }
        }
    }

    /// The names of the connection budgets that it draws on.
    pub fn budgets(&self) -> impl Iterator<Item = &str> {
        let ceilings = self.spec.iter().flat_map(|spec| &spec.ceilings);
        let connections = ceilings.flat_map(|ceilings| &ceilings.connections);
        connections.filter_map(|ceiling| Some(ceiling.budget_ref.as_ref()?.name.as_str()))
    }

    fn new(metadata: &ObjectMeta, spec: Result<ScalingPolicySpec, String>) -> Option<Self> {
        let key = PolicyKey { namespace: metadata.namespace.clone()?, name: metadata.name.clone()? };
        let object_uid = metadata.uid.clone()?;
        let target = spec.as_ref().ok().map(|spec| {
            let target = &spec.scale_target_ref;
            TargetKey::new(&target.api_version, &target.kind, &key.namespace, &target.name)
        });
        Some(Self {
            key,
            uid: Uid::of(&object_uid),
            object_uid,
            generation: metadata.generation.unwrap_or(0),
            created: metadata.creation_timestamp.as_ref().map_or_else(Time::default, |time| moment(time.0)),
            edited: edited(metadata),
            spec: spec.map(Arc::new),
            target,
            overrides: overrides(metadata.annotations.as_ref()),
        })
    }

    /// What it does with its decisions, if it can be read.
    pub fn mode(&self) -> Option<Mode> {
        self.spec.as_ref().ok().map(|spec| spec.mode)
    }
}

fn edited(metadata: &ObjectMeta) -> Time {
    let created = metadata.creation_timestamp.iter();
    let managed = metadata.managed_fields.iter().flatten();
    let written = managed.filter(|entry| entry.subresource.as_deref() != Some("status"));
    let times = created.chain(written.filter_map(|entry| entry.time.as_ref()));
    times.map(|time| moment(time.0)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_stands_as_it_stands_since_its_last_edit_and_not_since_its_last_status() {
        let metadata = |managed: serde_json::Value| -> ObjectMeta {
            serde_json::from_value(
                serde_json::json!({"creationTimestamp": "2026-01-01T10:00:00Z", "managedFields": managed}),
            )
            .unwrap()
        };
        let entry = |time: &str, subresource: &str| serde_json::json!({"manager": "any", "operation": "Update", "time": time, "subresource": subresource});
        let edits =
            serde_json::json!([entry("2026-01-01T11:00:00Z", ""), entry("2026-01-01T12:00:00Z", "status")]);
        for (managed, expected) in [
            (serde_json::json!([]), "2026-01-01T10:00:00Z"),
            (edits, "2026-01-01T11:00:00Z"),
            (serde_json::json!([entry("2025-01-01T11:00:00Z", "")]), "2026-01-01T10:00:00Z"),
        ] {
            assert_eq!(edited(&metadata(managed)), moment(expected.parse().unwrap()), "{expected}");
        }
        assert_eq!(edited(&ObjectMeta::default()), Time::default());
    }
}
