//! The StatefulSet controller: numbered pods, one after the other unless told otherwise.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::deployment::template_hash;
use super::replica_set::owner_reference;
use super::{Controllers, Workload, conditions};
use crate::apiserver::{Failure, Key, Object, object};

/// The label that tells which template a pod was made from.
const REVISION: &str = "controller-revision-hash";

/// A StatefulSet and its pods by number.
struct View {
    set: Value,
    pods: BTreeMap<u32, Object>,
    revision: String,
    is_parallel: bool,
}

impl Controllers {
    pub(super) fn sync_stateful_set(&mut self, key: &Key) -> Result<(), Failure> {
        let Some(set) = self.stateful_sets.get(key).cloned() else { return Ok(()) };
        let owned = self.pods.owned_by(object::uid(&set.value));
        if object::is_terminating(&set.value) {
            return self.finish_owner(&Workload::StatefulSet(key.clone()), &set.value, &owned);
        }
        let view = View::of(&set.value, owned);
        if !self.add_pods(&view)? && !self.remove_pods(&view)? {
            self.replace_outdated(&view)?;
        }
        self.report_stateful_set(key, &view)
    }

    /// Makes the pods that are missing; true if one was made or must be waited for.
    fn add_pods(&mut self, view: &View) -> Result<bool, Failure> {
        let mut waits = false;
        for number in 0..view.wanted() {
            match view.pods.get(&number) {
                Some(pod) if view.is_parallel || is_serving(&pod.value) => {}
                Some(_) => return Ok(true),
                None => {
                    self.create_numbered(view, number)?;
                    if !view.is_parallel {
                        return Ok(true);
                    }
                    waits = true;
                }
            }
        }
        Ok(waits)
    }

    fn create_numbered(&mut self, view: &View, number: u32) -> Result<(), Failure> {
        let set = &view.set;
        let name = format!("{}-{number}", object::name(set));
        let mut pod = object::at(set, &["spec", "template"]).cloned().unwrap_or_default();
        object::set(&mut pod, &["metadata", "name"], name.as_str());
        object::set(&mut pod, &["metadata", "labels", REVISION], view.revision.as_str());
        object::set(&mut pod, &["metadata", "labels", "statefulset.kubernetes.io/pod-name"], name.as_str());
        object::set(&mut pod, &["metadata", "labels", "apps.kubernetes.io/pod-index"], number.to_string());
        object::set(&mut pod, &["metadata", "ownerReferences"], json!([owner_reference(set)]));
        object::set(&mut pod, &["spec", "hostname"], name);
        self.pods.collection().create(object::namespace(set), pod)?;
        Ok(())
    }

    /// Takes away the pods beyond the count, the highest number first; true if there are any.
    fn remove_pods(&mut self, view: &View) -> Result<bool, Failure> {
        let beyond: Vec<&Object> = view.pods.range(view.wanted()..).map(|(_, pod)| pod).rev().collect();
        for pod in &beyond {
            if !object::is_terminating(&pod.value) {
                self.delete_pod(pod)?;
            }
            if !view.is_parallel {
                return Ok(true);
            }
        }
        Ok(!beyond.is_empty())
    }

    /// Takes away one pod of an earlier template, the highest number first; the one made in its place must serve
    /// before the next goes.
    fn replace_outdated(&mut self, view: &View) -> Result<(), Failure> {
        if object::text(&view.set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
            return Ok(());
        }
        let first = object::count(&view.set, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
        for pod in view.pods.range(first..).map(|(_, pod)| pod).rev() {
            if object::is_terminating(&pod.value) {
                return Ok(());
            }
            if object::label(&pod.value, REVISION) != Some(view.revision.as_str()) {
                return self.delete_pod(pod);
            }
            if !is_serving(&pod.value) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn delete_pod(&mut self, pod: &Object) -> Result<(), Failure> {
        self.pods.collection().delete(object::namespace(&pod.value), object::name(&pod.value), None)
    }

    fn report_stateful_set(&mut self, key: &Key, view: &View) -> Result<(), Failure> {
        let set = &view.set;
        let ready = view.count(|pod| conditions::is_true(pod, "Ready"));
        let updated = view.count(|pod| object::label(pod, REVISION) == Some(view.revision.as_str()));
        let there = view.count(|_| true);
        let known = object::text(set, &["status", "currentRevision"]);
        let is_rolled_out =
            known.is_empty() || (updated == there && ready == there && there == view.wanted());
        let current = if is_rolled_out { view.revision.as_str() } else { known };
        let mut status = json!({
            "observedGeneration": object::integer(set, &["metadata", "generation"]).unwrap_or(0),
            "replicas": there,
            "availableReplicas": ready,
            "collisionCount": 0,
            "currentRevision": current,
            "updateRevision": view.revision,
        });
        let of_current = view.count(|pod| object::label(pod, REVISION) == Some(current));
        for (field, count) in
            [("readyReplicas", ready), ("currentReplicas", of_current), ("updatedReplicas", updated)]
        {
            if count > 0 {
                object::set(&mut status, &[field], count);
            }
        }
        if set.get("status") == Some(&status) {
            return Ok(());
        }
        let mut changed = set.clone();
        object::set(&mut changed, &["status"], status);
        self.stateful_sets.collection().update_status(&key.0, changed)?;
        Ok(())
    }
}

impl View {
    fn of(set: &Value, owned: Vec<Object>) -> Self {
        let prefix = format!("{}-", object::name(set));
        let number = |pod: &Object| object::name(&pod.value).strip_prefix(&prefix)?.parse().ok();
        let template = object::at(set, &["spec", "template"]).cloned().unwrap_or_default();
        Self {
            pods: owned.into_iter().filter_map(|pod| Some((number(&pod)?, pod))).collect(),
            revision: format!("{prefix}{}", template_hash(&template)),
            is_parallel: object::text(set, &["spec", "podManagementPolicy"]) == "Parallel",
            set: set.clone(),
        }
    }

    fn wanted(&self) -> u32 {
        object::count(&self.set, &["spec", "replicas"])
    }

    fn count(&self, counts: impl Fn(&Value) -> bool) -> u32 {
        plimsoll::number::count_of(self.pods.values().filter(|pod| counts(&pod.value)).count())
    }
}

fn is_serving(pod: &Value) -> bool {
    conditions::is_true(pod, "Ready") && !object::is_terminating(pod)
}
