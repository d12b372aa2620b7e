//! The kinds that are watched, and what is kept of each.

use std::collections::HashSet;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use serde::de::DeserializeOwned;

use super::identity::{TargetKey, Uid};
use super::index::Index;
use super::pod;
use super::policy::PolicyRecord;
use super::workload::WorkloadRecord;
use crate::api::ScalingPolicy;
use crate::time::Time;

/// A kind that is watched.
pub(super) trait Watched:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
    /// Keeps what is needed of an object that came or changed.
    fn put(self, index: &Index, now: Time);

    /// Forgets an object that is gone; `self` is how it was last.
    fn remove(self, index: &Index, now: Time);

    /// Forgets every object in the scope (a namespace, or all) that a complete list did not hold.
    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>);

    /// Identity of the object; none if it lacks a uid, which no API server leaves out.
    fn identity(&self) -> Option<Uid> {
        self.meta().uid.as_deref().map(Uid::of)
    }

    /// Namespace of the object.
    fn home(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }

    /// Name of the object.
    fn title(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }
}

impl Watched for DeserializeGuard<ScalingPolicy> {
    fn put(self, index: &Index, now: Time) {
        if self.meta().deletion_timestamp.is_some() {
            return self.remove(index, now);
        }
        if let Some((record, status)) = PolicyRecord::trim(self) {
            index.put_policy(record, status);
        }
    }

    fn remove(self, index: &Index, _: Time) {
        if let Some((record, _)) = PolicyRecord::trim(self) {
            index.remove_policy(&record.key, record.uid);
        }
    }

    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>) {
        index.retain_policies(scope, seen);
    }
}

impl Watched for Deployment {
    fn put(self, index: &Index, _: Time) {
        index.put_deployment(target("Deployment", &self), &self);
    }

    fn remove(self, index: &Index, _: Time) {
        if let Some(uid) = self.identity() {
            index.remove_workload(&target("Deployment", &self), uid);
        }
    }

    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>) {
        index.retain_workloads("Deployment", scope, seen);
    }
}

impl Watched for StatefulSet {
    fn put(self, index: &Index, _: Time) {
        index
            .put_workload(target("StatefulSet", &self), |before| WorkloadRecord::stateful_set(&self, before));
    }

    fn remove(self, index: &Index, _: Time) {
        if let Some(uid) = self.identity() {
            index.remove_workload(&target("StatefulSet", &self), uid);
        }
    }

    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>) {
        index.retain_workloads("StatefulSet", scope, seen);
    }
}

/// Only their owners matter, so only their metadata is asked for.
impl Watched for PartialObjectMeta<ReplicaSet> {
    fn put(self, index: &Index, _: Time) {
        if let (Some(uid), Some(owner)) =
            (self.identity(), pod::controller(self.metadata.owner_references.as_deref()))
        {
            index.put_replica_set(uid, self.home(), owner);
        }
    }

    fn remove(self, index: &Index, _: Time) {
        if let Some(uid) = self.identity() {
            index.remove_replica_set(uid);
        }
    }

    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>) {
        index.retain_replica_sets(scope, seen);
    }
}

impl Watched for Pod {
    fn put(self, index: &Index, now: Time) {
        if let Some(record) = pod::trim(&self) {
            index.put_pod(self.home(), record, now);
        }
    }

    fn remove(self, index: &Index, now: Time) {
        if let Some(record) = pod::trim(&self) {
            index.remove_pod(&record, now);
        }
    }

    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>) {
        index.retain_pods(scope, seen);
    }
}

impl Watched for HorizontalPodAutoscaler {
    fn put(self, index: &Index, _: Time) {
        let reference = &self.spec.scale_target_ref;
        if let Some(uid) = self.identity() {
            let api_version = reference.api_version.as_deref().unwrap_or_default();
            let target = TargetKey::new(api_version, &reference.kind, self.home(), &reference.name);
            index.put_autoscaler(uid, self.title(), target);
        }
    }

    fn remove(self, index: &Index, _: Time) {
        if let Some(uid) = self.identity() {
            index.remove_autoscaler(uid);
        }
    }

    fn retain(index: &Index, scope: Option<&str>, seen: &HashSet<Uid>) {
        index.retain_autoscalers(scope, seen);
    }
}

fn target<K: Watched>(kind: &str, object: &K) -> TargetKey {
    TargetKey::new("apps/v1", kind, object.home(), object.title())
}
