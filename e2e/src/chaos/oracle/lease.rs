//! Of two operators one writes, and never both.

use std::time::Duration;

use crate::apiserver::object;
use crate::chaos::people;
use crate::chaos::scenario::BASE;
use crate::chaos::wire::Wire;

/// Namespace and name of the lease.
pub const NAMESPACE: &str = "plimsoll-system";
/// Its name.
pub const NAME: &str = "plimsoll";

/// A write that took longer on its way may land after the lease has passed on: that is why counts are written with the
/// version that was seen. The lease itself keeps quicker ones apart.
const LONG: Duration = Duration::from_secs(5);

/// What a process is called in the lease.
pub fn identity(operator: u32) -> String {
    format!("process-{operator}")
}

/// Notes who holds the lease after a write of it.
pub fn note(wire: &Wire) {
    let lease = wire
        .server
        .collection("coordination.k8s.io", "v1", "leases")
        .ok()
        .and_then(|leases| leases.get(NAMESPACE, NAME));
    let holder = lease
        .as_ref()
        .map(|lease| object::text(lease, &["spec", "holderIdentity"]).to_owned())
        .unwrap_or_default();
    let now = wire.ledger.now();
    let mut state = wire.ledger.state();
    if state.holders.last().is_none_or(|(_, last)| *last != holder) {
        state.lines.push((now, format!("the lease is held by {holder:?}")));
        let is_new = holder == identity(wire.operator);
        state.holders.push((now, holder));
        drop(state);
        if is_new {
            note_what_status_tells(wire);
        }
    }
}

/// Notes which changes a process can know of that starts, or begins to lead, now.
pub(in crate::chaos) fn note_what_status_tells(wire: &Wire) {
    let Ok(policies) = wire.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies") else { return };
    for (index, workload) in wire.scenario.workloads.iter().enumerate() {
        let policy = policies.get(people::NAMESPACE, &workload.name).unwrap_or_default();
        let told = object::list(&policy, &["status", "lastChanges"]).iter().map(|change| {
            let at = object::text(change, &["time"]).parse::<jiff::Timestamp>().unwrap_or_default();
            let count = |field: &str| object::count(change, &[field]);
            (wire.operator, at.as_millisecond().saturating_sub(BASE), count("from"), count("to"))
        });
        if let Some(known) = wire.ledger.state().recalled.get_mut(index) {
            known.retain(|(operator, ..)| *operator != wire.operator);
            known.extend(told);
        }
    }
}

/// No write of a process that led is accepted after the first of the one that leads, until it leads again.
pub(in crate::chaos) fn judge(wire: &Wire, sent: Duration) {
    let now = wire.ledger.now();
    let was_long = now.saturating_sub(sent) >= LONG;
    let why = {
        let mut state = wire.ledger.state();
        let own = identity(wire.operator);
        let acquired = state.holders.iter().rfind(|(_, holder)| *holder == own).map(|(since, _)| *since);
        let other = state.fenced.iter().rfind(|(at, operator, was_long)| {
            *operator != wire.operator && !*was_long && acquired.is_none_or(|acquired| *at > acquired)
        });
        let other = other.copied().filter(|_| wire.scenario.pair && !was_long);
        state.fenced.push((now, wire.operator, was_long));
        match (other, acquired) {
            (Some((at, other, _)), _) => {
                Some(format!("process {other} had written at {}", crate::chaos::ledger::clock(at)))
            }
            (None, None) if wire.scenario.pair => Some("it never held the lease".to_owned()),
            _ => None,
        }
    };
    if let Some(why) = why {
        wire.ledger.violation(format!("process {} wrote although it does not lead: {why}", wire.operator));
    }
}
