//! Every ceiling of a policy at one moment, and what they come to together.

use std::fmt::Write as _;

use super::decision::{CeilingReport, Limit};
use super::memory::Memory;
use super::observation::Workload;
use super::policy::{Policy, Scalability};
use crate::api::Enforcement;
use crate::capacity::{Counts, Durations};
use crate::ceiling::connections::{
    Assume, RolloutShape, carried_pods, fitting_pool, largest_count, pods_beside,
};
use crate::ceiling::scalability;

/// What all limits come to together.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Each ceiling, in the policy's order.
    pub(super) reports: Vec<CeilingReport>,
    /// Growth ends here.
    pub(super) growth: Bound,
    /// A count above is walked down.
    pub(super) soft: Bound,
    /// A count above is cut at once.
    pub(super) hard: Option<Bound>,
}

/// A count and what sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) replicas: u32,
    pub(super) limit: Limit,
}

impl Bound {
    fn lower(&mut self, replicas: u32, limit: &Limit) {
        if replicas < self.replicas {
            *self = Self { replicas, limit: limit.clone() };
        }
    }
}

/// The shape of the workload's rollouts, as far as it is declared and measured.
pub(super) fn rollout_shape(workload: &Workload, memory: &Memory) -> RolloutShape {
    RolloutShape {
        update: workload.update,
        termination_grace: workload.termination_grace,
        drain: memory.known_drain().and_then(Durations::longest),
        start_up: memory.known_start_up().and_then(Durations::shortest),
    }
}

/// Computes every ceiling. `maxReplicas` is one among them.
pub(super) fn limits(policy: &Policy, workload: &Workload, counts: &Counts, memory: &Memory) -> Limits {
    let all = Bound { replicas: policy.max, limit: Limit::MaxReplicas };
    let mut limits = Limits { reports: Vec::new(), growth: all.clone(), soft: all, hard: None };
    let shape = rollout_shape(workload, memory);
    let beside = pods_beside(workload.pods.len(), counts.terminating, workload.spec_replicas, &shape);
    for connections in &policy.connections {
        let pods = carried_pods(connections);
        let overlap = connections.overlap;
        let replicas = largest_count(pods, &shape, overlap, Assume::Best, 0);
        let cautious = largest_count(pods, &shape, overlap, Assume::Worst, 0);
        let growth_limit = largest_count(pods, &shape, overlap, Assume::Worst, beside);
        let mut message = format!(
            "{} connections − {} reserved − {} others at {} per pod carry {pods} pods: {replicas} replicas + {} surge + {} \
             draining in a rollout",
            connections.max_connections,
            connections.reserved,
            connections.others,
            connections.per_pod,
            shape.surge(replicas),
            shape.overlap(replicas, overlap, Assume::Best),
        );
        // Writing to a String cannot fail.
        if cautious < replicas {
            let _ =
                write!(message, "; growth ends at {cautious} until five starts and five drains are measured");
        }
        if beside > 0 {
            let _ = write!(message, "; {beside} pods more still hold connections");
        }
        let pool = fitting_pool(connections, &shape, policy.max);
        let _ = write!(message, "; a pool of {pool} per pod would carry maxReplicas {}", policy.max);
        limits.take(CeilingReport {
            limit: Limit::Connections(connections.name.clone()),
            replicas: Some(replicas),
            growth_limit: Some(growth_limit),
            enforcement: connections.enforcement,
            message,
        });
    }
    if let Some(law) = &policy.scalability {
        let replicas = scalability::ceiling(law);
        limits.take(CeilingReport {
            limit: Limit::Scalability,
            replicas,
            growth_limit: replicas,
            enforcement: law.enforcement,
            message: scalability_message(law),
        });
    }
    limits
}

impl Limits {
    /// A person's emergency cap: it binds like `maxReplicas`.
    pub(super) fn cap(&mut self, replicas: u32) {
        self.soft.lower(replicas, &Limit::EmergencyMax);
        self.growth.lower(replicas, &Limit::EmergencyMax);
    }

    fn take(&mut self, report: CeilingReport) {
        if report.enforcement != Enforcement::Observe
            && let Some(replicas) = report.replicas
        {
            self.soft.lower(replicas, &report.limit);
            self.growth.lower(replicas.min(report.growth_limit.unwrap_or(replicas)), &report.limit);
            if report.enforcement == Enforcement::Hard {
                self.hard
                    .get_or_insert_with(|| Bound { replicas: u32::MAX, limit: report.limit.clone() })
                    .lower(replicas, &report.limit);
            }
        }
        self.reports.push(report);
    }
}

fn scalability_message(law: &Scalability) -> String {
    let knee = law
        .marginal_gain
        .map(|gain| {
            format!(
                "; each replica up to {} adds at least {} %",
                scalability::knee(law, gain),
                (gain * 100.0).round()
            )
        })
        .unwrap_or_default();
    match scalability::peak(law) {
        Some(peak) => format!(
            "declared α {} and β {}: throughput peaks at {peak:.1} replicas, {} % of that is allowed{knee}",
            law.alpha,
            law.beta,
            (law.safety * 100.0).round(),
        ),
        None => format!("declared α {} and β 0: throughput has no peak{knee}", law.alpha),
    }
}
