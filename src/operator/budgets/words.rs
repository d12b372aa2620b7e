//! What a workload is told of its budget: what it waits for, and who holds what.

use crate::budget::{Ledger, Plan, Workload};
use crate::control::moment;
use crate::time::Time;

/// So many other holders are named.
const NAMED: usize = 3;

/// One sentence for a workload; empty if there is nothing to say.
pub(super) fn words(ledger: &Ledger, plan: &Plan, budget: &str, workload: &Workload, now: Time) -> String {
    let mut parts = Vec::new();
    if let Some(shortage) = plan.waiting.get(workload) {
        let granted = plan.grants.get(workload).map_or(0, |grant| grant.connections);
        parts.push(format!(
            "{} replicas would reach {} connections, {} more than granted: {}",
            shortage.wanted,
            shortage.connections,
            shortage.connections.saturating_sub(granted),
            holders(ledger, plan, budget, workload, now),
        ));
    }
    if let Some(since) = plan.grants.get(workload).and_then(|grant| grant.recalled) {
        let held = ledger.held(workload, budget, now);
        let who = plan.waiting.keys().next().map_or_else(
            || "the limit fell".to_owned(),
            |waiting| format!("{}/{} waits for it", waiting.namespace, waiting.name),
        );
        parts.push(format!(
            "its pods reach {held} connections, and what is beyond the grant has been asked back since {}: {who}",
            moment(since)
        ));
    }
    parts.join("; ")
}

/// Who holds the budget besides a workload, the largest first.
fn holders(ledger: &Ledger, plan: &Plan, budget: &str, workload: &Workload, now: Time) -> String {
    let mut others: Vec<_> = plan
        .grants
        .keys()
        .filter(|other| *other != workload)
        .map(|other| (ledger.charge(other, budget, now), other))
        .filter(|(charge, _)| *charge > 0)
        .collect();
    others.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(right.1)));
    let rest: u32 = others.iter().skip(NAMED).map(|(charge, _)| *charge).fold(0, u32::saturating_add);
    let mut parts: Vec<String> = others
        .iter()
        .take(NAMED)
        .map(|(charge, other)| format!("{}/{} holds {charge}", other.namespace, other.name))
        .collect();
    if rest > 0 {
        parts.push(format!("others hold {rest}"));
    }
    parts.push(format!("{} of budget {budget} are free", plan.free));
    parts.join(", ")
}
