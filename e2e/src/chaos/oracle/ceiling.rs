//! Kubernetes' own rules for how many pods a count can come to, and how many connections they open.

use plimsoll::api::{ConnectionCeiling, Enforcement, RolloutOverlap, ScalingPolicySpec};
use plimsoll::number::{percent_rounded_down, percent_rounded_up};
use serde_json::Value;

use crate::apiserver::object;

/// How a workload replaces its pods.
#[derive(Clone, Copy, Debug)]
pub struct Strategy {
    surge: Share,
    unavailable: Share,
    rolls: bool,
}

#[derive(Clone, Copy, Debug)]
enum Share {
    Pods(u32),
    Percent(u32),
}

fn share(value: Option<&Value>) -> Share {
    match value {
        Some(Value::String(text)) => Share::Percent(text.trim_end_matches('%').parse().unwrap_or(25)),
        Some(number) => {
            Share::Pods(number.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0))
        }
        None => Share::Percent(25),
    }
}

impl Strategy {
    /// The strategy of a Deployment or StatefulSet.
    pub fn of(target: &Value) -> Self {
        let rolls = object::text(target, &["kind"]) == "Deployment"
            && object::text(target, &["spec", "strategy", "type"]) != "Recreate";
        let field = |name: &str| share(object::at(target, &["spec", "strategy", "rollingUpdate", name]));
        Self { surge: field("maxSurge"), unavailable: field("maxUnavailable"), rolls }
    }

    /// Pods that a rollout adds.
    pub fn surge(&self, replicas: u32) -> u32 {
        match self.surge {
            _ if !self.rolls => 0,
            Share::Pods(pods) => pods,
            Share::Percent(percent) => percent_rounded_up(replicas, percent),
        }
    }

    /// Old pods that still end while new ones serve: the fewest and the most that the operator may take them for.
    pub fn overlap(&self, replicas: u32, declared: RolloutOverlap) -> (u32, u32) {
        let unavailable = match self.unavailable {
            Share::Pods(pods) => pods,
            Share::Percent(percent) => percent_rounded_down(replicas, percent),
        };
        match declared {
            _ if !self.rolls => (0, 0),
            RolloutOverlap::Pods(pods) => (pods, pods),
            RolloutOverlap::OneRevision => (replicas, replicas),
            RolloutOverlap::Observed => {
                (replicas.min(self.surge(replicas).saturating_add(unavailable).max(1)), replicas)
            }
        }
    }
}

/// Ceilings on connections that are enforced, with limits as numbers.
pub fn enforced(spec: &ScalingPolicySpec) -> impl Iterator<Item = &ConnectionCeiling> {
    let ceilings = spec.ceilings.iter().flat_map(|ceilings| &ceilings.connections);
    ceilings.filter(|ceiling| ceiling.enforcement != Enforcement::Observe && ceiling.inline.is_some())
}

/// Pods that a ceiling's connections carry.
pub fn carried(ceiling: &ConnectionCeiling) -> u32 {
    let limit = &ceiling.inline;
    let left = limit
        .map_or(0, |limit| limit.max_connections.saturating_sub(limit.reserved).saturating_sub(limit.others));
    left.checked_div(ceiling.per_pod).unwrap_or(0)
}

/// The lowest and the highest count that a ceiling may come to, with so many pods beside.
pub fn range(ceiling: &ConnectionCeiling, strategy: Strategy) -> (u32, u32) {
    let pods = carried(ceiling);
    let largest = |pick: fn((u32, u32)) -> u32| {
        let fits = |count: &u32| {
            count + strategy.surge(*count) + pick(strategy.overlap(*count, ceiling.rollout_overlap)) <= pods
        };
        (0..=pods).rev().find(fits).unwrap_or(0)
    };
    (largest(|(_, most)| most), largest(|(fewest, _)| fewest))
}
