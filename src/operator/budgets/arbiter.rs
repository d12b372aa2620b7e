//! Grants: reads the budgets, asks for their figures, plans, proves, persists, and tells the policies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::task::Context;
use super::figures::{Figures, Found};
use super::status::{grants, holder_of, invalid, status};
use super::{NONE_TOLD, Note, claim, orphan_claim, see_found, target, words, workload};
use crate::api::{ConnectionBudgetSpec, ConnectionBudgetStatus};
use crate::budget::{Claim, Lending, LimitSeen, Plan, Sight, Workload};
use crate::cluster::{
    ApiErrorKind, BudgetRecord, Found as Seen, TargetKey, list_budgets, selected_namespaces,
    write_budget_status,
};
use crate::control::{Footprint, Policy, Target};
use crate::time::{Span, Time};

/// Time between two looks at the budgets: an edit is in force after so long at most.
const LOOK: Duration = Duration::from_secs(5);
/// What a predecessor sent has landed or failed after so long: twice the longest write.
const SETTLE: Span = Span::from_seconds(10);
/// A grant of a workload that nobody has seen since this process leads is given up after so long.
const FORGET: Span = Span::from_seconds(600);
/// Time between two readings of a budget's figures.
const FIGURES: Span = Span::from_seconds(15);
/// Claims that come together are answered together.
const MOMENT: Duration = Duration::from_millis(50);
/// Numbers that only drift are written once in so long.
const DRIFT: Span = Span::from_seconds(60);

/// Grants connections. Lives for one term.
pub(in crate::operator) struct Arbiter {
    context: Arc<Context>,
    began: Time,
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
        let began = context.budgets.now();
        Self { context, began, known: BTreeMap::new() }
    }

    /// Grants for ever.
    pub(in crate::operator) async fn work(mut self, namespaces: &[String]) {
        if !namespaces.is_empty() {
            let closed = "budgets are shared across the cluster, and this operator is installed for single namespaces: \
                          write the workload's part as inline numbers, or install the operator cluster-wide";
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
                }
                known.record = record;
            } else {
                let name = record.name.clone();
                let known =
                    Known { record, figures: Figures::default(), found: None, asked: None, written: None };
                self.known.insert(name, known);
            }
        }
    }

    /// Opens a budget's book with what was granted before. Whoever takes over looks at every holder by the API server
    /// itself first: what was asked back may not have gone yet. Tells whether that was possible.
    async fn open(&self, record: &BudgetRecord) -> bool {
        let mut seen = Vec::new();
        let mut everybody: BTreeMap<Workload, Option<u32>> =
            record.status.holders.iter().map(|holder| (holder_of(holder), holder.per_pod)).collect();
        for target in self.context.index.drawing_on(&record.name) {
            everybody.entry(workload(&target)).or_default();
        }
        for (workload, per_pod) in everybody {
            match self.first_look(&workload, &record.name, per_pod).await {
                Ok(Some((claim, sight))) => seen.push((workload, claim, sight)),
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!(budget = record.name, %workload, %why, "a workload could not be seen, so nothing is granted yet");
                    return false;
                }
            }
        }
        let now = self.context.budgets.now();
        let mut books = self.context.budgets.books();
        books.ledger.open(&record.name, grants(&record.status), Lending::default(), self.began + SETTLE);
        for (workload, claim, sight) in seen {
            // Where its policy has spoken meanwhile, that is newer.
            let claim = books.ledger.claim(&workload).cloned().unwrap_or(claim);
            books.ledger.see(&workload, claim, sight, now);
        }
        true
    }

    /// A holder as it is, with what can be told of its claim before its policy speaks; none if it holds nothing that could
    /// be told.
    async fn first_look(
        &self,
        workload: &Workload,
        budget: &str,
        per_pod: Option<u32>,
    ) -> Result<Option<(Claim, Sight)>, String> {
        let context = &self.context;
        let target = target(workload);
        let policies = context.index.policies_of(&target);
        let record = policies.first().and_then(|key| context.index.policy(key));
        let spec = record.as_ref().and_then(|record| record.spec.as_ref().ok());
        let policy = spec.and_then(|spec| Policy::compile(spec).ok());
        let found = if is_watched(&target) {
            context.viewer.prove(&context.scales, &target).await?
        } else if policies.is_empty() {
            None
        } else {
            self.prove_by_policy(&target).await?
        };
        let Some(found) = found else { return Ok(None) };
        let footprint = Footprint::unmeasured(&found.workload);
        let claim = match (policy, per_pod) {
            (Some(policy), _) => claim(&policy, &footprint),
            (None, Some(per_pod)) => orphan_claim(budget, per_pod, &footprint),
            (None, None) => return Ok(None),
        };
        let sight = claim.sight(found.uid.0, &found.workload);
        Ok(Some((claim, sight)))
    }

    /// Plans and persists every budget once. Tells whether all is clear.
    async fn turn(&mut self) -> bool {
        self.measure().await;
        self.look_at_the_unclaimed();
        let now = self.context.budgets.now();
        let plans = self.context.budgets.books().ledger.plan(now);
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
            books.notes.insert(name.clone(), Note { words: kept, ..note });
        }
    }

    /// Workloads for which no policy speaks, and those that are gone.
    fn look_at_the_unclaimed(&self) {
        let (index, now) = (&self.context.index, self.context.budgets.now());
        let mut books = self.context.budgets.books();
        for workload in books.ledger.workloads() {
            let target = target(&workload);
            let orphaned = index.policies_of(&target).is_empty();
            if orphaned {
                books.ledger.freeze(&workload);
            }
            if !is_watched(&target) {
                if orphaned && now.since(self.began) > FORGET && !books.ledger.knows(&workload) {
                    books.ledger.forget(&workload);
                }
                continue;
            }
            match index.workload(&target, NONE_TOLD) {
                None if books.ledger.knows(&workload) => books.ledger.vanish(&workload, now),
                None if now.since(self.began) > SETTLE.times(6) => books.ledger.forget(&workload),
                Some(found) if orphaned => see_found(&mut books.ledger, &workload, &found, now),
                _ => {}
            }
        }
    }

    /// Looks at every workload of a budget by the API server itself. Tells whether all could be seen.
    async fn prove(&self, budget: &str) -> bool {
        let context = &self.context;
        let mut holders: BTreeSet<Workload> =
            context.budgets.books().ledger.holders(budget).into_iter().collect();
        holders.extend(context.index.drawing_on(budget).iter().map(workload));
        let mut proved = true;
        for workload in holders {
            let target = target(&workload);
            if !context.budgets.books().ledger.knows(&workload) {
                // Its policy has not spoken yet; what its pods reach counts all the same.
                match self.first_look(&workload, budget, None).await {
                    Ok(Some((claim, sight))) => {
                        let now = context.budgets.now();
                        let mut books = context.budgets.books();
                        if !books.ledger.knows(&workload) {
                            books.ledger.see(&workload, claim, sight, now);
                        }
                    }
                    Ok(None) => {}
                    Err(why) => {
                        tracing::warn!(budget, %workload, %why, "a workload could not be seen, so nothing more is granted");
                        proved = false;
                    }
                }
                continue;
            }
            let _speaking = context.writers.acquire().await;
            let seen = if is_watched(&target) {
                context.viewer.prove(&context.scales, &target).await
            } else {
                self.prove_by_policy(&target).await
            };
            let now = context.budgets.now();
            let mut books = context.budgets.books();
            match seen {
                Ok(Some(found)) => see_found(&mut books.ledger, &workload, &found, now),
                Ok(None) => books.ledger.vanish(&workload, now),
                Err(why) => {
                    tracing::warn!(budget, %workload, %why, "a workload could not be seen, so nothing more is granted");
                    proved = false;
                }
            }
        }
        proved
    }

    /// A workload of a kind that is not watched, as the policy on it points at it.
    async fn prove_by_policy(&self, target: &TargetKey) -> Result<Option<Seen>, String> {
        let context = &self.context;
        let policies = context.index.policies_of(target);
        let Some(record) = policies.first().and_then(|key| context.index.policy(key)) else {
            return Err("no policy points at it".to_owned());
        };
        let Ok(spec) = &record.spec else { return Err("its policy cannot be read".to_owned()) };
        let view = context
            .viewer
            .view(&context.scales, &record, &spec.scale_target_ref, crate::cluster::Look::Proven, NONE_TOLD)
            .await;
        match (view.target, view.uid) {
            (Target::Seen(workload), Some(uid)) => Ok(Some(Seen {
                workload,
                resource_version: view.resource_version.unwrap_or_default(),
                departures: view.departures,
                uid,
            })),
            (Target::Unseen(fault), _) => Err(fault.message),
            (Target::Seen(_), None) => Err("it has no uid".to_owned()),
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

fn is_watched(target: &TargetKey) -> bool {
    target.group == "apps" && matches!(target.kind.as_str(), "Deployment" | "StatefulSet")
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
