//! A budget as its status shows it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time as MetaTime};

use super::figures::Found;
use crate::api::{ConnectionBudgetStatus, HolderStatus};
use crate::budget::{Grant, Ledger, Plan, Workload};
use crate::cluster::{moment, timestamp};
use crate::time::Time;

/// Holders named in the column of `kubectl get`.
const SUMMARIZED: usize = 4;

/// The grants that a status holds.
pub(super) fn grants(status: &ConnectionBudgetStatus) -> BTreeMap<Workload, Grant> {
    let grant = |holder: &HolderStatus| {
        let workload = holder_of(holder);
        let grant = Grant {
            connections: holder.granted,
            since: moment(holder.since.0),
            recalled: holder.recalled_since.as_ref().map(|since| moment(since.0)),
        };
        (workload, grant)
    };
    status.holders.iter().map(grant).collect()
}

/// The workload that an entry of a status is about.
pub(super) fn holder_of(holder: &HolderStatus) -> Workload {
    Workload {
        namespace: holder.namespace.clone(),
        group: holder.group.clone(),
        kind: holder.kind.clone(),
        name: holder.name.clone(),
    }
}

/// A budget's status as it would be written now.
pub(super) fn status(
    ledger: &Ledger,
    budget: &str,
    plan: &Plan,
    found: &Found,
    generation: i64,
    before: &ConnectionBudgetStatus,
    now: Time,
) -> ConnectionBudgetStatus {
    let limit = &found.limit;
    let per_pod = |workload: &Workload| {
        let known = before.holders.iter().find(|holder| {
            holder.name == workload.name
                && holder.namespace == workload.namespace
                && holder.kind == workload.kind
        });
        let claimed = ledger.claim(workload).and_then(|claim| Some(claim.draw(budget)?.per_pod));
        claimed.or_else(|| known.and_then(|holder| holder.per_pod))
    };
    let floor_of = |workload: &Workload| {
        let claim = ledger.claim(workload)?;
        Some(claim.floor(claim.draw(budget)?))
    };
    let granted = plan.grants.values().map(|grant| grant.connections).fold(0, u32::saturating_add);
    let lent = plan
        .grants
        .iter()
        .filter_map(|(workload, grant)| Some(grant.connections.saturating_sub(floor_of(workload)?)))
        .fold(0, u32::saturating_add);
    let holders = plan.grants.iter().map(|(workload, grant)| HolderStatus {
        namespace: workload.namespace.clone(),
        group: workload.group.clone(),
        kind: workload.kind.clone(),
        name: workload.name.clone(),
        granted: grant.connections,
        per_pod: per_pod(workload),
        reachable: Some(ledger.held(workload, budget, now)).filter(|held| *held > 0),
        floor: floor_of(workload),
        waits_for: plan.waiting.get(workload).map(|shortage| {
            let more = shortage.connections.saturating_sub(grant.connections);
            format!("{more} connections more, for {} replicas", shortage.wanted)
        }),
        since: MetaTime(timestamp(grant.since)),
        recalled_since: grant.recalled.map(|since| MetaTime(timestamp(since))),
        fixed: fixed(ledger, workload),
    });
    ConnectionBudgetStatus {
        observed_generation: Some(generation),
        conditions: conditions(plan, found, generation, &before.conditions, now),
        limit: limit.limit,
        reserved: Some(limit.reserved),
        others: limit.others,
        granted: Some(granted),
        lent: Some(lent),
        free: Some(plan.free),
        overcommitted: Some(plan.overcommitted).filter(|overcommitted| *overcommitted > 0),
        summary: summary(plan),
        as_of: Some(MetaTime(timestamp(now))),
        holders: holders.collect(),
    }
}

/// The status of a budget that cannot be read.
pub(super) fn invalid(
    status: &ConnectionBudgetStatus,
    fault: &str,
    generation: i64,
    now: Time,
) -> ConnectionBudgetStatus {
    let conditions =
        vec![condition("Ready", false, "InvalidBudget", fault, generation, &status.conditions, now)];
    ConnectionBudgetStatus {
        observed_generation: Some(generation),
        conditions,
        as_of: Some(MetaTime(timestamp(now))),
        ..status.clone()
    }
}

fn fixed(ledger: &Ledger, workload: &Workload) -> Option<String> {
    match ledger.claim(workload) {
        Some(claim) if claim.movable => None,
        Some(claim) => Some(claim.fixed.to_owned()),
        None => Some(super::NO_POLICY.to_owned()),
    }
}

/// `shop/checkout 200, shop/payments 150 (waits), 2 more`.
fn summary(plan: &Plan) -> Option<String> {
    let mut holders: Vec<_> = plan.grants.iter().collect();
    holders.sort_by(|left, right| {
        right.1.connections.cmp(&left.1.connections).then_with(|| left.0.cmp(right.0))
    });
    let mut parts: Vec<String> = holders
        .iter()
        .take(SUMMARIZED)
        .map(|(workload, grant)| {
            let mark = if grant.recalled.is_some() {
                " (gives back)"
            } else if plan.waiting.contains_key(*workload) {
                " (waits)"
            } else {
                ""
            };
            format!("{}/{} {}{mark}", workload.namespace, workload.name, grant.connections)
        })
        .collect();
    if let Some(more) = holders.len().checked_sub(SUMMARIZED).filter(|more| *more > 0) {
        parts.push(format!("{more} more"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn conditions(
    plan: &Plan,
    found: &Found,
    generation: i64,
    before: &[Condition],
    now: Time,
) -> Vec<Condition> {
    let condition =
        |kind, good, reason, message: &str| condition(kind, good, reason, message, generation, before, now);
    let limit = &found.limit;
    let known = limit.faults.is_empty() && found.in_use_fault.is_none();
    let faults: Vec<String> = limit
        .faults
        .iter()
        .cloned()
        .chain(found.in_use_fault.iter().map(|why| format!("inUse is not known: {why}")))
        .collect();
    let faults = faults.join("; ");
    let attributed = match found.unattributed {
        None => condition(
            "Attributed",
            true,
            "AllAccountedFor",
            "pods and declared others account for all connections",
        ),
        Some(more) => condition(
            "Attributed",
            false,
            "UnknownConnections",
            &format!(
                "{more} connections are in use for which neither pods nor declared others account: a pod opens more than \
                 perPod, or a client is not declared; they count as taken by others"
            ),
        ),
    };
    let infeasible = if plan.infeasible {
        condition(
            "Feasible",
            false,
            "FloorsExceedLimit",
            "the guaranteed replicas of all workloads, with their rollouts, reach more than the budget gives: raise the \
             limit, lower perPod or guaranteedReplicas, or put a pooler in between; what there is, is shared by weight",
        )
    } else {
        condition("Feasible", true, "FloorsFit", "the guaranteed replicas of all workloads fit")
    };
    let overcommitted = if plan.overcommitted > 0 {
        condition(
            "Committed",
            false,
            "Overcommitted",
            &format!(
                "what is granted or running reaches {} connections more than the budget gives: nothing grows, and what is \
                 beyond the shares is asked back",
                plan.overcommitted
            ),
        )
    } else {
        condition("Committed", true, "WithinLimit", "what is granted and running fits the limit")
    };
    let ready = if limit.limit.is_none() {
        condition("Ready", false, "LimitUnknown", &faults)
    } else if plan.overcommitted > 0 {
        condition("Ready", false, "Overcommitted", "see condition Committed")
    } else {
        condition("Ready", true, "Ready", "grants are given")
    };
    let known = if known {
        condition("FiguresKnown", true, "Known", "every figure is known")
    } else {
        condition("FiguresKnown", false, "Assumed", &faults)
    };
    let mut all = vec![attributed, overcommitted, infeasible, known, ready];
    all.sort_by(|left, right| left.type_.cmp(&right.type_));
    all
}

fn condition(
    kind: &str,
    good: bool,
    reason: &str,
    message: &str,
    generation: i64,
    before: &[Condition],
    now: Time,
) -> Condition {
    let status = if good { "True" } else { "False" };
    let same = before.iter().find(|before| before.type_ == kind && before.status == status);
    Condition {
        last_transition_time: same
            .map_or_else(|| MetaTime(timestamp(now)), |before| before.last_transition_time.clone()),
        message: message.to_owned(),
        observed_generation: Some(generation),
        reason: reason.to_owned(),
        status: status.to_owned(),
        type_: kind.to_owned(),
    }
}
