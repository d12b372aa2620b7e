//! Grants: reads the budgets, asks for their figures, plans, proves, persists, and tells the policies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::task::Context;
use super::figures::{Figures, Found};
use super::status::{grants, invalid, status};
use super::{NO_LEAVE, Note, target, words};
use crate::api::{ConnectionBudgetSpec, ConnectionBudgetStatus};
use crate::budget::{Lending, LimitSeen, Plan};
use crate::cluster::{ApiErrorKind, BudgetRecord, list_budgets, selected_namespaces, write_budget_status};
use crate::time::{Span, Time};

/// Time between two looks at the budgets: an edit is in force after so long at most.
const LOOK: Duration = Duration::from_secs(5);
/// What a predecessor sent has landed or failed after so long: twice the longest write.
pub(super) const SETTLE: Span = Span::from_seconds(10);
/// Time between two readings of a budget's figures.
const FIGURES: Span = Span::from_seconds(15);
/// Claims that come together are answered together.
const MOMENT: Duration = Duration::from_millis(50);
/// Numbers that only drift are written once in so long.
const DRIFT: Span = Span::from_seconds(60);

/// Grants connections. Lives for one term.
pub(in crate::operator) struct Arbiter {
    pub(super) context: Arc<Context>,
    /// Since when this process leads.
    pub(super) began: Time,
    known: BTreeMap<String, Known>,
}

/// What is known of one budget.
struct Known {
    record: BudgetRecord,
    figures: Figures,
    found: Option<Found>,
    asked: Option<Time>,
    written: Option<Time>,
}

impl Arbiter {
    pub(in crate::operator) fn new(context: Arc<Context>) -> Self {
        let began = context.clock.now();
        Self { context, began, known: BTreeMap::new() }
    }

    /// Grants for ever.
    pub(in crate::operator) async fn work(mut self, namespaces: &[String]) {
        // A standby has been there for long: what counts is since when it leads.
        self.began = self.context.budgets.now();
        if !namespaces.is_empty() {
            let closed = "ConnectionBudgets are the cluster's, and this operator is installed for single namespaces: write \
                          the workload's part as numbers, inline: {maxConnections: …}, or install the operator cluster-wide";
            self.context.budgets.books().closed = Some(closed.to_owned());
            return std::future::pending().await;
        }
        let mut look = Instant::now();
        loop {
            if Instant::now() >= look {
                look = Instant::now() + LOOK;
                self.look().await;
            }
            if !self.turn().await {
                look = Instant::now() + Duration::from_secs(1);
            }
            tokio::select! {
                () = sleep_until(look) => {}
                () = self.context.budgets.claimed.notified() => sleep(MOMENT).await,
            }
        }
    }

    /// Reads every budget with its grants.
    async fn look(&mut self) {
        let records = match list_budgets(&self.context.client).await {
            Ok(Some(records)) => records,
            Ok(None) => {
                let missing = "the custom resource definition connectionbudgets.plimsoll.dev is not installed: plimsoll \
                               crd | kubectl apply --server-side -f -";
                self.context.budgets.books().closed = Some(missing.to_owned());
                return;
            }
            Err(error) => {
                self.context.metrics.api_failed("list budgets", error.kind);
                if error.kind == ApiErrorKind::Forbidden && self.known.is_empty() {
                    self.context.budgets.books().closed = Some(error.message.clone());
                }
                tracing::warn!(%error, "the connection budgets could not be read; grants stay as they are");
                return;
            }
        };
        let names: BTreeSet<&String> = records.iter().map(|record| &record.name).collect();
        let gone: Vec<String> = self.known.keys().filter(|name| !names.contains(name)).cloned().collect();
        {
            let mut books = self.context.budgets.books();
            books.closed = None;
            for name in &gone {
                books.ledger.close(name);
                books.notes.remove(name);
            }
            for record in &records {
                // Of a book that is not open yet nothing is taken note of.
                books.ledger.read(&record.name, grants(&record.status));
            }
        }
        for name in gone {
            self.context.metrics.forget_budget(&name);
            self.known.remove(&name);
        }
        for record in records {
            let open = self.context.budgets.books().ledger.is_open(&record.name);
            if !open && !self.open(&record).await {
                continue;
            }
            if let Some(known) = self.known.get_mut(&record.name) {
                if known.record.generation != record.generation {
                    known.asked = None;
                    if figures_differ(&known.record, &record) {
                        known.figures = Figures::default();
                    }
                }
                known.record = record;
            } else {
                let name = record.name.clone();
                let figures = Figures::recalled(&record);
                let known = Known { record, figures, found: None, asked: None, written: None };
                self.known.insert(name, known);
            }
        }
    }

    /// Plans and persists every budget once. Tells whether all is clear.
    async fn turn(&mut self) -> bool {
        self.measure().await;
        self.look_at_the_unclaimed();
        let now = self.context.budgets.now();
        let plans = {
            let mut books = self.context.budgets.books();
            // Whoever could not be looked at is looked at again: what is not planned is never proven.
            for name in self.known.keys() {
                books.ledger.trust(name, true);
            }
            books.ledger.plan(now)
        };
        let mut looked_at = BTreeSet::new();
        for (budget, _) in plans.iter().filter(|(_, plan)| plan.raises) {
            let all_seen = self.prove(budget).await;
            self.context.budgets.books().ledger.trust(budget, all_seen);
            looked_at.insert(budget.clone());
        }
        let mut clear = true;
        let names: Vec<String> = self.known.keys().cloned().collect();
        for name in names {
            clear &= self.settle(&name, looked_at.contains(&name)).await;
        }
        clear
    }

    /// Asks for the figures of every budget that are due.
    async fn measure(&mut self) {
        let context = self.context.clone();
        let now = context.budgets.now();
        for (name, known) in &mut self.known {
            if known.asked.is_some_and(|asked| now.since(asked) < FIGURES) {
                continue;
            }
            known.asked = Some(now);
            let (note, limit, lending) = match &known.record.spec {
                Ok(spec) => {
                    let allowed = match allowed(&context, spec).await {
                        Ok(allowed) => allowed,
                        Err(error) => {
                            tracing::warn!(budget = %name, %error, "who may draw could not be read; it stays as it was");
                            context.budgets.books().notes.get(name).and_then(|note| note.allowed.clone())
                        }
                    };
                    let attributed = context.budgets.books().ledger.attributed(name);
                    let found = known
                        .figures
                        .read(context.signals.as_ref(), spec, attributed, context.clock.now())
                        .await;
                    let limit = found.limit.clone();
                    known.found = Some(found);
                    (Note { allowed, ..Note::default() }, limit, lending(spec))
                }
                Err(fault) => {
                    known.found = None;
                    let note = Note { fault: Some(fault.clone()), ..Note::default() };
                    // Nothing grows, and nothing is asked back, on a budget that cannot be read.
                    let limit = LimitSeen { for_recall: u32::MAX, ..LimitSeen::default() };
                    (note, limit, Lending::default())
                }
            };
            let mut books = context.budgets.books();
            books.ledger.set_limit(name, limit, lending);
            let kept = books.notes.remove(name).map(|note| note.words).unwrap_or_default();
            // Claims that came before this was known.
            for workload in books.ledger.holders(name) {
                if note.refuses(name, &workload.namespace).is_some() {
                    books.ledger.freeze(&workload, NO_LEAVE);
                }
            }
            books.notes.insert(name.clone(), Note { words: kept, ..note });
        }
    }

    /// Persists the next grants of a budget and what is shown of it. Tells whether the outcome is clear.
    async fn settle(&mut self, name: &str, proven: bool) -> bool {
        let context = self.context.clone();
        let now = context.budgets.now();
        let Some(known) = self.known.get_mut(name) else { return true };
        let (plan, next) = {
            let mut books = context.budgets.books();
            if books.ledger.is_unclear(name) {
                return false;
            }
            let Some(plan) = books.ledger.plan(now).remove(name) else { return true };
            let record = &known.record;
            let next = match &known.found {
                Some(found) => {
                    status(&books.ledger, name, &plan, found, record.generation, &record.status, now)
                }
                None => match &record.spec {
                    Err(fault) => invalid(&record.status, fault, record.generation, now),
                    Ok(_) => return true,
                },
            };
            let words = plan
                .grants
                .keys()
                .map(|workload| (workload.clone(), words::words(&books.ledger, &plan, name, workload, now)))
                .filter(|(_, words)| !words.is_empty())
                .collect();
            if let Some(note) = books.notes.get_mut(name) {
                note.words = words;
            }
            context.metrics.show_budget(
                name,
                &[
                    ("limit", next.limit.unwrap_or(0)),
                    ("reserved", next.reserved.unwrap_or(0)),
                    ("others", next.others.unwrap_or(0)),
                    ("granted", next.granted.unwrap_or(0)),
                    ("free", next.free.unwrap_or(0)),
                    ("overcommitted", next.overcommitted.unwrap_or(0)),
                ],
            );
            let changes = plan.changes && known.found.is_some();
            if changes && plan.raises && !proven {
                // A claim came in the meantime; it is proven in the next turn.
                context.budgets.claimed.notify_one();
                return true;
            }
            if !changes && !worth_writing(&record.status, &next, known.written, now) {
                return true;
            }
            if changes {
                books.ledger.intend(name, &plan);
            }
            (plan, next)
        };
        self.write(name, &plan, next, now).await
    }

    async fn write(&mut self, name: &str, plan: &Plan, next: ConnectionBudgetStatus, now: Time) -> bool {
        let context = self.context.clone();
        let Some(known) = self.known.get_mut(name) else { return true };
        let version = known.record.resource_version.clone();
        let _speaking = context.writers.acquire().await;
        let written = write_budget_status(&context.client, &context.authority, name, &version, &next).await;
        let mut books = context.budgets.books();
        match written {
            Ok(version) => {
                let before = books.ledger.grants(name);
                books.ledger.acknowledge(name);
                drop(books);
                known.record.resource_version = version;
                known.record.status = next;
                known.written = Some(now);
                for (workload, grant) in &plan.grants {
                    if before.get(workload) != Some(grant) {
                        tracing::info!(
                            budget = name, %workload, before = before.get(workload).map_or(0, |grant| grant.connections),
                            granted = grant.connections, recalled = grant.recalled.is_some(), "the grant changed"
                        );
                        let target = target(workload);
                        context
                            .index
                            .policies_of(&target)
                            .into_iter()
                            .for_each(|key| context.index.wake(key));
                    }
                }
                true
            }
            Err(error) if error.kind.may_have_been_carried_out() => {
                tracing::warn!(budget = name, %error, "whether the grants were written is not known; they are read anew");
                context.metrics.api_failed("patch budget status", error.kind);
                if !plan.changes {
                    books.ledger.intend(name, plan);
                }
                false
            }
            Err(error) => {
                books.ledger.refuse(name);
                if !matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::NotLeading) {
                    context.metrics.api_failed("patch budget status", error.kind);
                    tracing::warn!(budget = name, %error, "the grants were not written; it is tried again");
                }
                false
            }
        }
    }
}

/// What was known of another limit says nothing of this one.
fn figures_differ(before: &BudgetRecord, now: &BudgetRecord) -> bool {
    let figures = |record: &BudgetRecord| {
        record.spec.as_ref().ok().map(|spec| (spec.limit.clone(), spec.others.clone()))
    };
    figures(before) != figures(now)
}

/// The namespaces that may draw; none if all may.
async fn allowed(
    context: &Context,
    spec: &ConnectionBudgetSpec,
) -> Result<Option<BTreeSet<String>>, crate::cluster::ApiError> {
    match &spec.allowed_namespaces {
        None => Ok(None),
        Some(selector) => selected_namespaces(&context.client, selector).await.map(Some),
    }
}

fn lending(spec: &ConnectionBudgetSpec) -> Lending {
    let rules = spec.lending;
    Lending {
        lease: Span::from_seconds(rules.lease_seconds.into()),
        recall_deadline: Span::from_seconds(rules.recall_deadline_seconds.into()),
        linger: Span::from_seconds(rules.linger_seconds.max(1).into()),
    }
}

/// Whether what is shown changed, or a number drifted for a while.
fn worth_writing(
    before: &ConnectionBudgetStatus,
    next: &ConnectionBudgetStatus,
    written: Option<Time>,
    now: Time,
) -> bool {
    let told = |status: &ConnectionBudgetStatus| {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|condition| (condition.type_.clone(), condition.status.clone(), condition.reason.clone()))
            .collect();
        let holders: Vec<_> = status
            .holders
            .iter()
            .map(|holder| {
                (holder.name.clone(), holder.waits_for.is_some(), holder.fixed.clone(), holder.floor)
            })
            .collect();
        (conditions, holders, status.limit, status.reserved, status.observed_generation)
    };
    if told(before) != told(next) {
        return true;
    }
    let drifted = |before: Option<u32>, next: Option<u32>| {
        let (before, next) = (before.unwrap_or(0), next.unwrap_or(0));
        u64::from(before.abs_diff(next)).saturating_mul(10) > u64::from(before.max(next))
    };
    let reach = |status: &ConnectionBudgetStatus| {
        status.holders.iter().filter_map(|holder| holder.reachable).fold(0, u32::saturating_add)
    };
    let moved = drifted(before.others, next.others)
        || drifted(before.free, next.free)
        || drifted(before.overcommitted, next.overcommitted)
        || drifted(Some(reach(before)), Some(reach(next)));
    moved && written.is_none_or(|written| now.since(written) >= DRIFT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::TargetKey;
    use crate::cluster::testing::refusal;
    use crate::control::Policy;
    use crate::operator::testing::World;

    #[tokio::test(start_paused = true)]
    async fn without_the_right_to_list_budgets_sharing_is_off_and_the_right_is_named() {
        let world = World::new(|asked| {
            asked.path.contains("/connectionbudgets").then(|| refusal(403, "Forbidden", "no"))
        })
        .await;
        Arbiter::new(world.context.clone()).look().await;
        let spec = json!({
            "scaleTargetRef": {"name": "web"}, "maxReplicas": 9,
            "metrics": [{"name": "rps", "prometheus": {"query": "q"},
                         "target": {"type": "AverageValue", "averageValue": "9"}}],
            "ceilings": {"connections": [{"name": "db", "budgetRef": {"name": "db"}, "perPod": 10}]}
        });
        let policy = Policy::compile(&serde_json::from_value(spec).unwrap()).unwrap();
        let target = TargetKey::new("apps/v1", "Deployment", "shop", "web");
        let share = world.context.budgets.shares(&policy, &target).remove(0);
        assert_eq!((share.granted, share.sharing_off), (None, true));
        assert!(share.message.contains("connectionbudgets in API group plimsoll.dev"), "{}", share.message);
    }
}
