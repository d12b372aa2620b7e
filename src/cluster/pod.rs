//! A pod, trimmed to what an autoscaler needs.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::identity::{Uid, hash, moment};
use super::selector::Label;
use crate::capacity::ZONE_LABEL;
use crate::control::Pod;
use crate::number::count_of;
use crate::time::{Span, Time};

/// A pod as kept: some 150 bytes instead of ten thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodRecord {
    /// As `decide` sees it.
    pub pod: Pod,
    /// The object that controls it.
    pub owner: Option<Uid>,
    /// That object is a ReplicaSet.
    pub in_replica_set: bool,
    /// Its labels, hashed; for its zone, and for workloads that are only known by a selector.
    pub labels: Box<[Label]>,
    /// The longest it may take to shut down.
    pub termination_grace: Span,
    /// Its containers have ended for good: it carries nothing and holds nothing.
    pub finished: bool,
}

impl PodRecord {
    /// The first request to end counts: when a kubelet asks for the removal of a pod that has drained, the API server
    /// dates its deletion anew.
    pub(super) fn terminates_no_later_than(&mut self, known: Option<&Self>) {
        if let (Some(first), Some(since)) =
            (known.and_then(|known| known.pod.terminating_since), &mut self.pod.terminating_since)
        {
            *since = first.min(*since);
        }
    }
}

/// Zones that the labels of pods name.
pub(super) fn zones<'a>(pods: impl Iterator<Item = &'a PodRecord>) -> u32 {
    let zone = |pod: &PodRecord| pod.labels.iter().find_map(|label| label.value_of(ZONE_LABEL));
    count_of(pods.filter_map(zone).collect::<BTreeSet<_>>().len())
}

/// Trims a pod; none if it lacks a uid, which no API server leaves out.
pub(super) fn trim(pod: &v1::Pod) -> Option<PodRecord> {
    let metadata = &pod.metadata;
    let created = metadata.creation_timestamp.as_ref().map_or_else(Time::default, |time| moment(time.0));
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    Some(PodRecord {
        pod: Pod {
            id: Uid::of(metadata.uid.as_deref()?).pod(),
            created,
            ready_since: ready_since(pod, created),
            terminating_since: terminating_since(pod),
        },
        owner: controlling(metadata.owner_references.as_deref()).map(|owner| Uid::of(&owner.uid)),
        in_replica_set: controlling(metadata.owner_references.as_deref())
            .is_some_and(|owner| owner.kind == "ReplicaSet"),
        labels: metadata.labels.iter().flatten().map(|(key, value)| Label::new(key, value)).collect(),
        termination_grace: grace.map_or(super::workload::DEFAULT_TERMINATION_GRACE, seconds),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
    })
}

/// The uid of the controlling owner.
pub(super) fn controller(owners: Option<&[OwnerReference]>) -> Option<Uid> {
    controlling(owners).map(|owner| Uid::of(&owner.uid))
}

fn controlling(owners: Option<&[OwnerReference]>) -> Option<&OwnerReference> {
    owners?.iter().find(|owner| owner.controller == Some(true))
}

/// When the pod became Ready; where that is not told, since it was created.
fn ready_since(pod: &v1::Pod, created: Time) -> Option<Time> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready =
        conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(created, |time| moment(time.0)))
}

/// When the pod was asked to shut down: `deletionTimestamp` is when it must be gone.
fn terminating_since(pod: &v1::Pod) -> Option<Time> {
    let deadline = moment(pod.metadata.deletion_timestamp.as_ref()?.0);
    Some(deadline - pod.metadata.deletion_grace_period_seconds.map_or(Span::ZERO, seconds))
}

/// Kubernetes counts seconds with a sign; a negative number of them means none.
pub(super) fn seconds(seconds: i64) -> Span {
    Span::from_seconds(u64::try_from(seconds).unwrap_or(0))
}

/// A label value or name as compared: its hash.
pub(super) fn text_hash(text: &str) -> u64 {
    hash(text.as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in super::super) fn pod(value: serde_json::Value) -> v1::Pod {
        serde_json::from_value(value).unwrap()
    }

    fn at(text: &str) -> Time {
        moment(text.parse().unwrap())
    }

    #[test]
    fn a_pod_is_read_as_its_conditions_and_deletion_say() {
        let record = trim(&pod(json!({
            "metadata": {
                "uid": "u1", "creationTimestamp": "2026-01-01T10:00:00Z",
                "deletionTimestamp": "2026-01-01T12:00:30Z", "deletionGracePeriodSeconds": 30,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "other"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": true}
                ]
            },
            "spec": {"containers": [], "terminationGracePeriodSeconds": 90},
            "status": {"phase": "Running", "conditions": [
                {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T10:00:01Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T10:00:07Z"}
            ]}
        })))
        .unwrap();
        assert_eq!(record.pod.id, Uid::of("u1").pod());
        assert_eq!(record.pod.created, at("2026-01-01T10:00:00Z"));
        assert_eq!(record.pod.ready_since, Some(at("2026-01-01T10:00:07Z")));
        assert_eq!(record.pod.terminating_since, Some(at("2026-01-01T12:00:00Z")));
        assert_eq!(record.owner, Some(Uid::of("rs")));
        assert_eq!(record.termination_grace, Span::from_seconds(90));
        assert!(!record.finished);
    }

    #[test]
    fn a_pod_that_is_not_ready_or_finished_is_seen_as_such() {
        let not_ready = trim(&pod(json!({
            "metadata": {"uid": "u1"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
        })))
        .unwrap();
        assert_eq!((not_ready.pod.ready_since, not_ready.finished), (None, false));
        for phase in ["Succeeded", "Failed"] {
            assert!(
                trim(&pod(json!({"metadata": {"uid": "u1"}, "status": {"phase": phase}}))).unwrap().finished
            );
        }
        assert!(trim(&pod(json!({"metadata": {"name": "without-uid"}}))).is_none());
    }
}
