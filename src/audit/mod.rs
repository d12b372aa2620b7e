//! What is wrong with a workload that an autoscaler moves: one set of rules for the command line and for the operator.

mod flaw;
mod rules;

use std::fmt;

use serde::Serialize;

pub use flaw::Flaw;
pub use rules::{carries, deployment, stateful_set};

use crate::api::TargetKind;
use crate::ceiling::connections::RolloutShape;
use crate::control::{Condition, ConditionStatus, ConditionType, Drain, Policy, Reason, UpdateStrategy};
use crate::number::count_of;
use crate::time::Span;

/// With fewer of them the time that pods take to go is not judged.
const ENOUGH_DRAINS: u32 = 10;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// It will hurt under load, in a rollout, or when a node is lost.
    Warning,
    /// It does not work, or loses requests each time.
    Error,
}

impl Level {
    /// All of them, the gravest first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A running workload, as far as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// What its manifest was found to be, as [`deployment`] and [`stateful_set`] tell.
    pub manifest: &'a [Flaw],
    /// How it replaces its pods.
    pub update: UpdateStrategy,
    /// `terminationGracePeriodSeconds`.
    pub termination_grace: Span,
    /// How long its pods take to go, once measured.
    pub drain: Option<Drain>,
}

/// What is found in a running workload that a policy scales, the gravest first.
pub fn audit(policy: &Policy, workload: Running<'_>) -> Vec<Flaw> {
    let aims_at_requests = policy.signals.iter().any(|signal| signal.kind == TargetKind::Utilization);
    let concerns = |flaw: &&Flaw| aims_at_requests || **flaw != Flaw::NoRequests;
    let mut flaws: Vec<_> = workload.manifest.iter().filter(concerns).cloned().collect();
    let grace = workload.termination_grace;
    flaws.extend(workload.drain.filter(|drain| drain.samples >= ENOUGH_DRAINS && drain.p90 >= grace).map(
        |drain| Flaw::DrainTakesAllGrace {
            drain: drain.p90.rounded_seconds(),
            grace: grace.rounded_seconds(),
        },
    ));
    let shape =
        RolloutShape { update: workload.update, termination_grace: grace, drain: None, start_up: None };
    let carried = policy.connections.iter().filter_map(|connections| carries(connections, policy, &shape));
    // That a database cannot carry minReplicas has a condition of its own.
    flaws.extend(carried.filter(|flaw| matches!(flaw, Flaw::MaxNotReachable { .. })));
    flaws.sort_by_key(|flaw| std::cmp::Reverse(flaw.level()));
    flaws
}

/// Whether something grave was found.
pub fn condition(flaws: &[Flaw]) -> Condition {
    let grave: Vec<_> = flaws.iter().filter(|flaw| flaw.level() > Level::Note).collect();
    let kind = ConditionType::WorkloadAudited;
    if grave.is_empty() {
        let message = match flaws.len() {
            0 => "nothing was found that loses requests when pods come and go".to_owned(),
            _ => format!("nothing grave was found; {} in status.findings", counted(flaws)),
        };
        return Condition { kind, status: ConditionStatus::True, reason: Reason::AuditPassed, message };
    }
    let sentences: Vec<_> = grave.iter().map(|flaw| flaw.why()).collect();
    let message = format!("{}: {}", counted(flaws), sentences.join("; "));
    Condition { kind, status: ConditionStatus::False, reason: Reason::AuditFindings, message }
}

/// How many flaws of a level there are.
pub fn count(flaws: &[Flaw], level: Level) -> u32 {
    count_of(flaws.iter().filter(|flaw| flaw.level() == level).count())
}

/// `1 error, 2 notes`.
fn counted(flaws: &[Flaw]) -> String {
    let counts = Level::ALL.map(|level| (level, count(flaws, level)));
    let there = counts.into_iter().filter(|(_, count)| *count > 0);
    let words = there.map(|(level, count)| format!("{count} {level}{}", if count == 1 { "" } else { "s" }));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
