//! Every ceiling of a policy at one moment, and what they come to together.

use std::fmt::Write as _;

use super::decision::{CeilingReport, Limit};
use super::memory::Memory;
use super::observation::{BudgetShare, Recall, Workload};
use super::policy::{ConnectionSource, Connections, Policy, Scalability, ScalabilityLaw};
use crate::api::Enforcement;
use crate::capacity::Durations;
use crate::ceiling::connections::{
    Assume, RolloutShape, carried_pods, fitting_pool, largest_count, pods_beside,
};
use crate::ceiling::scalability::{self, Coefficients};

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
    /// Growth would end here if every budget had enough.
    pub(super) beside_budgets: u32,
    /// The budget that stops growth because none can be drawn on, and why.
    pub(super) sharing_off: Option<(String, String)>,
}

/// A count and what sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) replicas: u32,
    pub(super) limit: Limit,
}

impl Bound {
    pub(super) fn lower(&mut self, replicas: u32, limit: &Limit) {
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
pub(super) fn limits(
    policy: &Policy,
    workload: &Workload,
    shares: &[BudgetShare],
    memory: &Memory,
) -> Limits {
    let all = Bound { replicas: policy.max, limit: Limit::MaxReplicas };
    let mut limits = Limits {
        reports: Vec::new(),
        growth: all.clone(),
        soft: all,
        hard: None,
        beside_budgets: policy.max,
        sharing_off: None,
    };
    let shape = rollout_shape(workload, memory);
    let beside = pods_beside(&workload.pods, workload.spec_replicas, &shape);
    let mut shares = shares.iter();
    for connections in &policy.connections {
        let ground = Ground { connections, shape: &shape, beside, most: policy.max };
        let report = match &connections.limit {
            ConnectionSource::Inline { max_connections, reserved, others } => {
                ground.inline(*max_connections, *reserved, *others)
            }
            ConnectionSource::Budget { name, .. } => {
                let granted = shares.next();
                if connections.enforcement != Enforcement::Observe
                    && let Some(off) = granted.filter(|share| share.sharing_off)
                {
                    limits.sharing_off = Some((name.clone(), off.message.clone()));
                }
                ground.shared(name, granted, workload.spec_replicas)
            }
        };
        limits.take(report);
    }
    if let Some(scalability) = &policy.scalability {
        let report = match &scalability.law {
            ScalabilityLaw::Declared(law) => declared(scalability, law),
            ScalabilityLaw::Fitted(_) => memory.scalability.ceiling(scalability),
        };
        if let Some(replicas) = report.replicas.filter(|_| report.enforcement != Enforcement::Observe) {
            limits.beside_budgets = limits.beside_budgets.min(replicas);
        }
        limits.take(report);
    }
    limits
}

/// What a connection ceiling is worked out from.
struct Ground<'a> {
    connections: &'a Connections,
    shape: &'a RolloutShape,
    /// Pods that no rollout arithmetic knows of.
    beside: u32,
    /// `maxReplicas`.
    most: u32,
}

impl Ground<'_> {
    /// A fixed part of a database.
    fn inline(&self, max_connections: u32, reserved: u32, others: u32) -> CeilingReport {
        let left = max_connections.saturating_sub(reserved).saturating_sub(others);
        let pods = carried_pods(left, self.connections.per_pod);
        let replicas = self.largest(pods, Assume::Best, 0);
        let from = format!("{max_connections} connections − {reserved} reserved − {others} others");
        let mut message = self.carries(&from, pods, replicas, Assume::Best);
        self.add(&mut message, left, replicas, pods);
        self.report(Some(replicas), pods, self.connections.enforcement, message)
    }

    /// A share of a budget. Only what is asked back may remove pods.
    fn shared(&self, budget: &str, share: Option<&BudgetShare>, spec: u32) -> CeilingReport {
        let Some((share, granted)) = share.and_then(|share| Some((share, share.granted?))) else {
            let why = share
                .map_or_else(|| "it has not been looked at yet".to_owned(), |share| share.message.clone());
            let message =
                format!("nothing can be drawn on budget {budget}, so the count does not grow: {why}");
            let enforcement = self.connections.enforcement;
            let limit = Limit::Connections(self.connections.name.clone());
            return CeilingReport { limit, replicas: None, growth_limit: Some(spec), enforcement, message };
        };
        let pods = carried_pods(granted, self.connections.per_pod);
        // At the deadline what is not measured no longer keeps what others wait for.
        let assume = if share.recall == Some(Recall::Hard) { Assume::Worst } else { Assume::Best };
        let replicas = self.largest(pods, assume, 0);
        let mut message = self.carries(&format!("{granted} granted connections"), pods, replicas, assume);
        self.add(&mut message, granted, replicas, pods);
        if !share.message.is_empty() {
            let _ = write!(message, "; {}", share.message);
        }
        let enforcement = match (self.connections.enforcement, share.recall) {
            (Enforcement::Enforce, Some(Recall::Hard)) => Enforcement::Hard,
            (declared, _) => declared,
        };
        let report = self.report(share.recall.map(|_| replicas), pods, enforcement, message);
        if share.excess == 0 {
            return report;
        }
        let message = format!(
            "{}; {} connections more are held than budget {budget} gives: nothing grows before they are gone",
            report.message, share.excess
        );
        CeilingReport { growth_limit: report.growth_limit.map(|limit| limit.min(spec)), message, ..report }
    }

    fn report(
        &self,
        replicas: Option<u32>,
        pods: u32,
        enforcement: Enforcement,
        message: String,
    ) -> CeilingReport {
        CeilingReport {
            limit: Limit::Connections(self.connections.name.clone()),
            replicas,
            growth_limit: Some(self.largest(pods, Assume::Worst, self.beside)),
            enforcement,
            message,
        }
    }

    fn largest(&self, pods: u32, assume: Assume, beside: u32) -> u32 {
        largest_count(pods, self.shape, self.connections.overlap, assume, beside)
    }

    fn carries(&self, from: &str, pods: u32, replicas: u32, assume: Assume) -> String {
        format!(
            "{from} at {} per pod carry {pods} pods: {replicas} replicas + {} surge + {} draining in a rollout",
            self.connections.per_pod,
            self.shape.surge(replicas),
            self.shape.overlap(replicas, self.connections.overlap, assume),
        )
    }

    /// What else there is to know of it. Writing to a String cannot fail.
    fn add(&self, message: &mut String, left: u32, replicas: u32, pods: u32) {
        let cautious = self.largest(pods, Assume::Worst, 0);
        if cautious < replicas {
            let _ =
                write!(message, "; growth ends at {cautious} until five starts and five drains are measured");
        }
        if self.beside > 0 {
            let _ = write!(message, "; {} pods more still hold connections", self.beside);
        }
        let pool = fitting_pool(left, self.connections.overlap, self.shape, self.most);
        let _ = match pool {
            0 => write!(message, "; even one connection per pod would not carry maxReplicas {}", self.most),
            _ => write!(message, "; a pool of {pool} per pod would carry maxReplicas {}", self.most),
        };
    }
}

impl Limits {
    /// A person's emergency cap: it binds like `maxReplicas`.
    pub(super) fn cap(&mut self, replicas: u32) {
        self.soft.lower(replicas, &Limit::EmergencyMax);
        self.growth.lower(replicas, &Limit::EmergencyMax);
        self.beside_budgets = self.beside_budgets.min(replicas);
    }

    fn take(&mut self, report: CeilingReport) {
        if report.enforcement != Enforcement::Observe {
            let growth = report.growth_limit.into_iter().chain(report.replicas).min();
            if let Some(growth) = growth {
                self.growth.lower(growth, &report.limit);
            }
            if let Some(replicas) = report.replicas {
                self.soft.lower(replicas, &report.limit);
                if report.enforcement == Enforcement::Hard {
                    self.hard
                        .get_or_insert_with(|| Bound { replicas: u32::MAX, limit: report.limit.clone() })
                        .lower(replicas, &report.limit);
                }
            }
        }
        self.reports.push(report);
    }
}

/// The ceiling of a law whose coefficients somebody measured.
fn declared(scalability: &Scalability, law: &Coefficients) -> CeilingReport {
    let replicas = scalability::ceiling(law, scalability.safety, scalability.marginal_gain);
    CeilingReport {
        limit: Limit::Scalability,
        replicas,
        growth_limit: replicas,
        enforcement: scalability.enforcement,
        message: declared_in_words(scalability, law),
    }
}

fn declared_in_words(ceiling: &Scalability, law: &Coefficients) -> String {
    let knee = ceiling
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
            (ceiling.safety * 100.0).round(),
        ),
        None => format!("declared α {} and β 0: throughput has no peak{knee}", law.alpha),
    }
}
