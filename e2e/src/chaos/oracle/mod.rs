//! What must be true, worked out from the world alone: none of the operator's own arithmetic is asked.

pub mod budget;
pub mod ceiling;
pub mod end;
pub mod facts;
pub mod lease;
pub mod write;

use serde_json::Value;

use super::ledger::Ledger;
use super::metrics::Metrics;
use super::people::NAMESPACE;
use super::scenario::Scenario;
use crate::apiserver::{ApiServer, Object, object};

/// Everything that is judged by.
pub struct World<'a> {
    /// The cluster.
    pub server: &'a ApiServer,
    /// What was to happen.
    pub scenario: &'a Scenario,
    /// What happened.
    pub ledger: &'a Ledger,
    /// What metrics there are.
    pub metrics: &'a Metrics,
}

impl World<'_> {
    /// A workload's Deployment or StatefulSet.
    pub(crate) fn target(&self, index: usize) -> Option<Object> {
        let workload = self.scenario.workloads.get(index)?;
        let plural = if workload.stateful { "statefulsets" } else { "deployments" };
        self.server.collection("apps", "v1", plural).ok()?.stored(NAMESPACE, &workload.name)
    }

    /// The count asked of a workload; none if there is no such workload.
    pub fn asked(&self, index: usize) -> Option<u32> {
        self.target(index).map(|target| object::count(&target.value, &["spec", "replicas"]))
    }

    /// The count asked of a workload.
    pub fn replicas(&self, index: usize) -> u32 {
        self.asked(index).unwrap_or(0)
    }

    /// Whether any pod of a workload is Ready.
    pub fn serves(&self, index: usize) -> bool {
        let Some(workload) = self.scenario.workloads.get(index) else { return false };
        pods(self.server).iter().any(|pod| {
            object::label(&pod.value, "app") == Some(workload.name.as_str()) && is_ready(&pod.value)
        })
    }

    /// Whether all pods of a workload are of one revision, and none still ends.
    pub fn is_rolled_out(&self, index: usize) -> bool {
        let Some(workload) = self.scenario.workloads.get(index) else { return true };
        let pods = pods(self.server);
        let ours = pods
            .iter()
            .map(|pod| &pod.value)
            .filter(|pod| object::label(pod, "app") == Some(workload.name.as_str()));
        let revision = |pod| {
            object::label(pod, "pod-template-hash").or_else(|| object::label(pod, "controller-revision-hash"))
        };
        let mut revisions = ours.clone().map(revision);
        let first = revisions.next();
        revisions.all(|revision| Some(revision) == first) && !ours.clone().any(object::is_terminating)
    }

    /// A workload's policy.
    pub fn policy(&self, index: usize) -> Option<Value> {
        let workload = self.scenario.workloads.get(index)?;
        let policies = self.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").ok()?;
        policies.get(NAMESPACE, &workload.name)
    }
}

/// All pods.
fn pods(server: &ApiServer) -> Vec<Object> {
    server.collection("", "v1", "pods").map(|pods| pods.all_stored(NAMESPACE)).unwrap_or_default()
}

/// Whether a pod is Ready and stays.
pub fn is_ready(pod: &Value) -> bool {
    let condition = object::entry(pod, &["status", "conditions"], "type", "Ready");
    !object::is_terminating(pod)
        && condition.is_some_and(|condition| object::text(condition, &["status"]) == "True")
}
