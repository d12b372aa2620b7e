//! What can be seen from outside, and what of it is new.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Sign, scrape};
use crate::bed::{NAMESPACE, SimulatedBed};

/// A workload's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Replicas asked for.
    pub(super) asked: u32,
    /// Pods that are ready.
    pub(super) ready: u32,
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct Watch {
    counts: BTreeMap<String, Counts>,
    /// By policy and type.
    conditions: BTreeMap<(String, String), (String, String)>,
    /// The messages of `Ready`, by policy.
    says: BTreeMap<String, String>,
    events: BTreeSet<String>,
    reasons: BTreeSet<String>,
}

impl Watch {
    pub(super) fn counts(&self, workload: &str) -> Counts {
        self.counts.get(workload).copied().unwrap_or_default()
    }

    /// Looks again; what is new, in words.
    pub(super) fn look(&mut self, bed: &SimulatedBed) -> Vec<String> {
        let mut lines = Vec::new();
        for workload in listed(bed, "apps", "deployments") {
            let name = text(&workload, "/metadata/name");
            let counts = Counts {
                asked: count(&workload, "/spec/replicas"),
                ready: count(&workload, "/status/readyReplicas"),
            };
            let before = self.counts.insert(name.clone(), counts);
            match before {
                None => lines.push(format!("{name}: {} replicas", counts.asked)),
                Some(before) if before.asked != counts.asked => lines.push(format!(
                    "{name}: {} → {} replicas, {} ready",
                    before.asked, counts.asked, counts.ready
                )),
                Some(_) => {}
            }
        }
        for policy in listed(bed, "plimsoll.dev", "scalingpolicies") {
            let name = text(&policy, "/metadata/name");
            let conditions = policy.pointer("/status/conditions").and_then(Value::as_array);
            for condition in conditions.into_iter().flatten() {
                lines.extend(self.condition(&name, condition));
            }
        }
        for event in listed(bed, "events.k8s.io", "events") {
            // The double keeps events in their older form, which names the same things otherwise.
            let of_policy = text(&event, "/involvedObject/kind") == "ScalingPolicy";
            if of_policy && self.events.insert(text(&event, "/metadata/name")) {
                let (kind, reason) = (text(&event, "/type"), text(&event, "/reason"));
                lines.push(format!(
                    "{}: event {kind} {reason}: {}",
                    text(&event, "/involvedObject/name"),
                    text(&event, "/message")
                ));
                self.reasons.insert(reason);
            }
        }
        lines
    }

    fn condition(&mut self, policy: &str, condition: &Value) -> Option<String> {
        let (kind, message) = (text(condition, "/type"), text(condition, "/message"));
        let is = (text(condition, "/status"), text(condition, "/reason"));
        if kind == "Ready" {
            self.says.insert(policy.to_owned(), message.clone());
        }
        let before = self.conditions.insert((policy.to_owned(), kind.clone()), is.clone());
        let (status, reason) = &is;
        (before.as_ref() != Some(&is)).then(|| format!("{policy}: {kind}={status} {reason}: {message}"))
    }

    /// Whether a sign is to be seen now.
    pub(super) fn shows(&self, sign: &Sign, metrics: &str) -> bool {
        match sign {
            Sign::Condition(kind, status, reason) => {
                let is = (status.to_string(), reason.to_string());
                self.conditions.iter().any(|((_, other), seen)| other == kind && *seen == is)
            }
            Sign::Event(reason) => self.reasons.contains(*reason),
            Sign::Metric(name, label, least, most) => scrape::has(metrics, name, label, *least, *most),
            Sign::Says(words) => self.says.values().any(|said| said.contains(words)),
        }
    }
}

/// Pods that exist.
pub(super) fn pods(bed: &SimulatedBed) -> u32 {
    u32::try_from(listed(bed, "", "pods").len()).unwrap_or(u32::MAX)
}

fn listed(bed: &SimulatedBed, group: &str, plural: &str) -> Vec<Value> {
    let version = if group == "plimsoll.dev" { "v1alpha1" } else { "v1" };
    bed.server.collection(group, version, plural).map(|found| found.list(NAMESPACE)).unwrap_or_default()
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn count(object: &Value, pointer: &str) -> u32 {
    let count = object.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    u32::try_from(count).unwrap_or(u32::MAX)
}
