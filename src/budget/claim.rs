//! What a workload asks of budgets, and what its pods can reach.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{Enforcement, RolloutOverlap};
use crate::ceiling::connections::{Assume, RolloutShape, pods_beside};
use crate::control::{ConnectionSource, Footprint, Policy, Workload as Seen};
use crate::number::count_of;

/// A workload as budgets know it. Holdings are the workload's, whatever policy speaks for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What a policy asks for its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// How the workload replaces its pods.
    pub shape: RolloutShape,
    /// Replicas that must always be possible, 1 or more.
    pub guaranteed: u32,
    /// Replicas below which no budget takes it: `minReplicas`, no more than `guaranteed`.
    pub least: u32,
    /// Replicas asked for now; floors included, no limit of a budget applied.
    pub wanted: u32,
    /// The policy sets the count by demand, so what the workload holds can be asked back. Else it is asked for nothing, and
    /// given what it wants all the same, as where the policy is frozen at a count.
    pub movable: bool,
    /// What is told where it is not: `its policy is frozen`.
    pub fixed: &'static str,
    /// The budgets that the pods draw on, in name order.
    pub draws: Vec<Draw>,
}

/// What each pod takes of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Name of the budget.
    pub budget: String,
    /// The most connections that one pod opens, 1 or more.
    pub per_pod: u32,
    /// Old pods that still hold connections in a rollout.
    pub overlap: RolloutOverlap,
    /// Weight when shares are worked out, 1 or more.
    pub weight: u32,
    /// Growth ends at the grant; else the budget is only watched, and what the pods reach is counted.
    pub enforced: bool,
}

/// A workload as seen at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Tells this workload from one of the same name before or after it.
    pub uid: u64,
    /// Replicas asked for.
    pub spec: u32,
    /// Pods beyond that and its surge: ending, lingering, replaced.
    pub beside: u32,
    /// Pods that exist, those that end included.
    pub pods: u32,
}

impl Claim {
    /// What a policy asks for, on this footprint of its workload.
    pub fn of(policy: &Policy, footprint: &Footprint) -> Self {
        let mut guaranteed = 1;
        let mut draws: Vec<Draw> = policy
            .connections
            .iter()
            .filter_map(|connections| match &connections.limit {
                ConnectionSource::Budget { name, weight, guaranteed: replicas } => {
                    guaranteed = guaranteed.max(*replicas);
                    Some(Draw {
                        budget: name.clone(),
                        per_pod: connections.per_pod,
                        overlap: connections.overlap,
                        weight: *weight,
                        enforced: connections.enforcement != Enforcement::Observe,
                    })
                }
                ConnectionSource::Inline { .. } => None,
            })
            .collect();
        draws.sort_by(|left, right| left.budget.cmp(&right.budget));
        let fixed = if footprint.movable { "" } else { "its policy does not set the count now" };
        Self {
            shape: footprint.shape,
            guaranteed,
            least: policy.min.max(1),
            wanted: footprint.wanted,
            movable: footprint.movable,
            fixed,
            draws,
        }
    }

    /// This claim, and what `other` tells of budgets that this one does not name.
    #[must_use]
    pub fn and_draws_of(mut self, other: Self) -> Self {
        let more =
            other.draws.into_iter().filter(|draw| self.draw(&draw.budget).is_none()).collect::<Vec<_>>();
        self.draws.extend(more);
        self.draws.sort_by(|left, right| left.budget.cmp(&right.budget));
        self
    }

    /// The most connections that `replicas`, and `beside` more pods, can open at one moment.
    pub fn reach(&self, draw: &Draw, replicas: u32, beside: u32) -> u32 {
        let pods = self.shape.reachable(replicas, draw.overlap, Assume::Worst).saturating_add(beside);
        draw.per_pod.saturating_mul(pods)
    }

    /// The most connections that the workload as seen can open at one moment.
    pub fn reach_of(&self, draw: &Draw, sight: Sight) -> u32 {
        if sight.spec == 0 {
            return draw.per_pod.saturating_mul(sight.beside);
        }
        self.reach(draw, sight.spec, sight.beside)
    }

    /// The largest reach of a whole number of replicas, at most `most` of them, that `connections` carry.
    pub fn useful(&self, draw: &Draw, connections: u32, most: u32) -> u32 {
        let (mut fits, mut exceeds) = (0, most.saturating_add(1));
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits).wrapping_div(2);
            if self.reach(draw, middle, 0) <= connections {
                fits = middle;
            } else {
                exceeds = middle;
            }
        }
        if fits == 0 { 0 } else { self.reach(draw, fits, 0) }
    }

    /// A workload as seen, with what counts beside its replicas.
    pub fn sight(&self, uid: u64, seen: &Seen) -> Sight {
        let beside = pods_beside(&seen.pods, seen.spec_replicas, &self.shape);
        Sight { uid, spec: seen.spec_replicas, beside, pods: count_of(seen.pods.len()) }
    }

    /// What is drawn on a budget.
    pub fn draw(&self, budget: &str) -> Option<&Draw> {
        self.draws.iter().find(|draw| draw.budget == budget)
    }

    /// The draw's floor: the reach of what is guaranteed.
    pub fn floor(&self, draw: &Draw) -> u32 {
        self.reach(draw, self.guaranteed, 0)
    }
}
