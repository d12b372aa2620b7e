//! The ReplicaSet controller: as many pods as asked for, the least useful going first.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::{Controllers, QUOTA, Workload, conditions};
use crate::apiserver::{Failure, Key, Object, object};
use crate::clock::whole_seconds;

/// At most this many pods are made or deleted at a time, as in Kubernetes.
const BURST: usize = 500;
/// How long after a quota refused a pod it is tried again.
const QUOTA_RETRY: Duration = Duration::from_secs(5);

impl Controllers {
    pub(super) fn sync_replica_set(&mut self, key: &Key) -> Result<(), Failure> {
        let Some(set) = self.replica_sets.get(key).cloned() else { return Ok(()) };
        let set = &set.value;
        let pods = self.pods.owned_by(object::uid(set));
        if object::is_terminating(set) {
            return self.finish_owner(&Workload::ReplicaSet(key.clone()), set, &pods);
        }
        let (terminating, active): (Vec<_>, Vec<_>) =
            pods.iter().cloned().partition(|pod| object::is_terminating(&pod.value));
        let wanted = usize::try_from(object::count(set, &["spec", "replicas"])).unwrap_or(usize::MAX);
        if active.len() < wanted {
            let missing = wanted.saturating_sub(active.len());
            let room = self.room_for_pods(&key.0).min(missing);
            for _ in 0..room.min(BURST) {
                self.create_pod(set)?;
            }
            if room < missing {
                self.appoint(Instant::now() + QUOTA_RETRY, Workload::ReplicaSet(key.clone()));
            }
            if room > 0 {
                return Ok(());
            }
        }
        if active.len() > wanted {
            let excess = active.len().saturating_sub(wanted).min(BURST);
            for pod in least_useful_first(active).into_iter().take(excess) {
                let (namespace, name) = (object::namespace(&pod.value), object::name(&pod.value));
                self.pods.collection().delete(namespace, name, None)?;
            }
            return Ok(());
        }
        self.report_replica_set(key, set, &active, terminating.len())
    }

    /// How many more pods the namespace's quota allows.
    fn room_for_pods(&self, namespace: &str) -> usize {
        let namespace_object = self.namespaces.get(&(String::new(), namespace.to_owned()));
        let quota =
            namespace_object.and_then(|object| object::annotation(&object.value, QUOTA)?.parse().ok());
        quota.map_or(usize::MAX, |quota: usize| {
            quota.saturating_sub(self.pods.in_namespace(namespace).count())
        })
    }

    fn create_pod(&mut self, set: &Value) -> Result<(), Failure> {
        let mut pod = object::at(set, &["spec", "template"]).cloned().unwrap_or_default();
        let namespace = object::namespace(set).to_owned();
        let name = format!("{}-{}", object::name(set), self.random.suffix(5));
        object::set(&mut pod, &["metadata", "generateName"], format!("{}-", object::name(set)));
        object::set(&mut pod, &["metadata", "name"], name);
        object::set(&mut pod, &["metadata", "ownerReferences"], json!([owner_reference(set)]));
        self.pods.collection().create(&namespace, pod)?;
        Ok(())
    }

    fn report_replica_set(
        &mut self,
        key: &Key,
        set: &Value,
        active: &[Object],
        terminating: usize,
    ) -> Result<(), Failure> {
        let minimum = Duration::from_secs(u64::from(object::count(set, &["spec", "minReadySeconds"])));
        let ready: Vec<&Object> =
            active.iter().filter(|pod| conditions::is_true(&pod.value, "Ready")).collect();
        let now = Instant::now();
        let mut available = 0_usize;
        for pod in &ready {
            let since = ready_since(&pod.value).map_or(now, |moment| self.clock.instant(moment));
            if since + minimum <= now || minimum.is_zero() {
                available = available.saturating_add(1);
            } else {
                self.appoint(since + minimum, Workload::ReplicaSet(key.clone()));
            }
        }
        let mut status = json!({
            "replicas": active.len(),
            "observedGeneration": object::integer(set, &["metadata", "generation"]).unwrap_or(0),
        });
        for (field, count) in [
            ("fullyLabeledReplicas", active.len()),
            ("readyReplicas", ready.len()),
            ("availableReplicas", available),
            ("terminatingReplicas", terminating),
        ] {
            if count > 0 {
                object::set(&mut status, &[field], count);
            }
        }
        if set.get("status") == Some(&status) {
            return Ok(());
        }
        let mut changed = set.clone();
        object::set(&mut changed, &["status"], status);
        self.replica_sets.collection().update_status(&key.0, changed)?;
        Ok(())
    }
}

/// The reference by which `owner` controls what it makes.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": object::text(owner, &["apiVersion"]),
        "kind": object::text(owner, &["kind"]),
        "name": object::name(owner),
        "uid": object::uid(owner),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

pub(super) fn ready_since(pod: &Value) -> Option<jiff::Timestamp> {
    let condition = object::entry(pod, &["status", "conditions"], "type", "Ready")?;
    object::text(condition, &["lastTransitionTime"]).parse().ok()
}

/// Pods in the order in which they are given up: unscheduled, pending, not ready, cheap to delete, ready for a short
/// time, restarted often, young.
fn least_useful_first(mut pods: Vec<Object>) -> Vec<Object> {
    pods.sort_by_cached_key(|pod| {
        let pod = &pod.value;
        let is_ready = conditions::is_true(pod, "Ready");
        let cost = object::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
        let cost: i64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
        let ready_since = ready_since(pod).filter(|_| is_ready).map(whole_seconds).unwrap_or_default();
        let created = object::text(pod, &["metadata", "creationTimestamp"]).to_owned();
        (
            !object::text(pod, &["spec", "nodeName"]).is_empty(),
            object::text(pod, &["status", "phase"]) == "Running",
            is_ready,
            cost,
            std::cmp::Reverse(ready_since),
            std::cmp::Reverse(created),
            object::name(pod).to_owned(),
        )
    });
    pods
}
