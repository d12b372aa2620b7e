//! What would help, in plain sentences with worked numbers. Told to people; it never drives the count.

use super::decision::{Footprint, Limit};
use super::guard::GuardReport;
use super::observation::BudgetShare;
use super::policy::{ConnectionSource, Connections, Policy};
use super::settle::Outcome;
use super::trail::spelled;
use crate::ceiling::connections::{Assume, fitting_pool};

/// What the advice is worked out from.
pub(super) struct Case<'a> {
    pub(super) policy: &'a Policy,
    pub(super) outcome: &'a Outcome,
    pub(super) guards: &'a [GuardReport],
    pub(super) footprint: &'a Footprint,
    /// The shares of budgets.
    pub(super) shares: &'a [BudgetShare],
    /// The count at which throughput peaks, where it is known.
    pub(super) peak: Option<f64>,
    /// The bottleneck lies behind the workload.
    pub(super) moved: bool,
}

impl Case<'_> {
    /// What would help; nothing while nothing is unmet and the bottleneck is here.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = match (&self.outcome.limited_by, self.outcome.need) {
            (Some(limit), Some(need)) if self.outcome.unmet > 0 => self.about(limit, need),
            _ => Vec::new(),
        };
        if self.moved {
            sentences.extend(self.behind());
        }
        sentences
    }

    fn about(&self, limit: &Limit, need: u32) -> Vec<String> {
        match limit {
            Limit::MaxReplicas => vec![format!(
                "raise maxReplicas from {} to {need}, if what stands behind the workload carries as many",
                self.policy.max
            )],
            Limit::Connections(name) => {
                let found = self.policy.connections.iter().find(|connections| connections.name == *name);
                found.map(|connections| self.connections(connections, need)).unwrap_or_default()
            }
            Limit::Scalability => self.scalability(need),
            Limit::EmergencyMax => {
                vec![format!("end the emergency cap once its cause is gone: {need} replicas are needed")]
            }
            Limit::Guard(name) => {
                let found = self.guards.iter().find(|guard| guard.name == *name);
                let reads = found.and_then(|guard| Some((guard.value?, guard.threshold)));
                let reads = reads.map_or_else(String::new, |(value, threshold)| {
                    format!(" (it reads {}, its threshold is {})", spelled(value), spelled(threshold))
                });
                vec![format!(
                    "relieve what guard {name} watches{reads}: {need} replicas would put {} more to work on it",
                    self.outcome.unmet
                )]
            }
        }
    }

    fn connections(&self, connections: &Connections, need: u32) -> Vec<String> {
        let (shape, overlap, per_pod) = (&self.footprint.shape, connections.overlap, connections.per_pod);
        let (surge, draining) = (shape.surge(need), shape.overlap(need, overlap, Assume::Worst));
        let beside = self.footprint.beside;
        let pods = need.saturating_add(surge).saturating_add(draining).saturating_add(beside);
        let connections_needed = pods.saturating_mul(per_pod);
        let name = &connections.name;
        let sum = format!("{need} replicas + {surge} surge + {draining} draining");
        let sum = if beside > 0 { format!("{sum} + {beside} that still go") } else { sum };
        let take = format!("{sum} at {per_pod} each take {connections_needed} connections");
        let (raise, left) = match &connections.limit {
            ConnectionSource::Inline { max_connections, reserved, others } => {
                let left = max_connections.saturating_sub(*reserved).saturating_sub(*others);
                let limit = connections_needed.saturating_add(*reserved).saturating_add(*others);
                let raise = format!(
                    "raise maxConnections of {name} from {max_connections} to {limit}: {take}, {reserved} are reserved and {others} \
                     taken by others"
                );
                (raise, left)
            }
            ConnectionSource::Budget { name: budget, .. } => {
                let granted = self.granted_of(budget).unwrap_or(0);
                let raise = format!(
                    "let budget {budget} give {} connections more: {take}, {granted} are granted",
                    connections_needed.saturating_sub(granted)
                );
                (raise, granted)
            }
        };
        let mut sentences = vec![raise];
        let pool = fitting_pool(left, overlap, shape, need);
        if pool >= 1 && pool < per_pod {
            sentences.push(format!(
                "or lower the pool from {per_pod} to {pool} per pod: {} pods at {pool} each take {} of {left} connections",
                need.saturating_add(surge).saturating_add(draining),
                need.saturating_add(surge).saturating_add(draining).saturating_mul(pool)
            ));
        }
        sentences.push(format!(
            "or put a transaction pooler in front of {name} and count its server connections: they follow the statements under \
             way, not the {need} replicas"
        ));
        sentences
    }

    fn granted_of(&self, budget: &str) -> Option<u32> {
        self.shares.iter().find(|share| share.budget == budget)?.granted
    }

    fn scalability(&self, need: u32) -> Vec<String> {
        let peak = self.peak.map_or_else(
            || format!("{need} replicas would add little throughput"),
            |peak| {
                format!(
                    "throughput peaks at {peak:.1} replicas and falls beyond, so {need} would not carry more"
                )
            },
        );
        vec![format!("shard the workload, or lessen what its replicas wait for together: {peak}")]
    }

    fn behind(&self) -> Vec<String> {
        let beyond: Vec<&str> =
            self.guards.iter().filter(|guard| guard.beyond).map(|guard| guard.name.as_str()).collect();
        let mut sentences = Vec::new();
        if beyond.is_empty() {
            sentences.push(
                "look at the tier behind this workload (its database, cache or queue): adding pods here did not help, and costs \
                 that tier more"
                    .to_owned(),
            );
        } else {
            sentences.push(format!(
                "look at what {} tell{} of: adding pods here costs that tier more",
                beyond.join(" and "),
                if beyond.len() == 1 { "s" } else { "" }
            ));
        }
        sentences
    }
}
