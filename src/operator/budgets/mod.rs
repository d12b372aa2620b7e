//! Connection budgets in the operator: the ledger that all policies share, and the arbiter that grants.

mod arbiter;
mod figures;
mod observe;
mod status;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use arbiter::Arbiter;

use super::clock::{Clock, span};
use super::report::Acted;
use crate::api::RolloutOverlap;
use crate::budget::{Claim, Draw, Ledger, Outcome, Refused, Sight, Standing, Workload};
use crate::cluster::{Found as Seen, Index, TargetKey, Uid};
use crate::control::{BudgetShare, ConnectionSource, Footprint, Policy, Recall};
use crate::time::{Span, Time};

/// A write that was given up can land for so long.
const LANDS: Span = Span::from_seconds(10);

/// Why nothing is asked back of a workload, and nothing granted to it.
const NO_LEAVE: &str = "its policy may not draw on every budget that it names";
/// Why nothing is asked back of a workload for which nobody speaks.
const NO_POLICY: &str = "it has no policy";
/// Departures are told to policies only.
const NONE_TOLD: u64 = u64::MAX;

/// The ledger, and what is told of it. One a term: what another leader did in between is read anew.
pub(super) struct Budgets {
    clock: Clock,
    /// The moment at which the time was asked first, by the wall clock and by one that never jumps.
    origin: OnceLock<(Time, Instant)>,
    books: Mutex<Books>,
    /// A claim changed, so that a grant may have to.
    claimed: Notify,
}

#[derive(Default)]
struct Books {
    ledger: Ledger,
    /// What is known of each budget besides its ledger.
    notes: BTreeMap<String, Note>,
    /// Why no budget at all can be drawn on.
    closed: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Note {
    /// Why the budget cannot be drawn on.
    fault: Option<String>,
    /// The namespaces that may draw; none if all may.
    allowed: Option<BTreeSet<String>>,
    /// One sentence for each workload: what it waits for, who holds what.
    words: BTreeMap<Workload, String>,
}

impl Note {
    fn refuses(&self, budget: &str, namespace: &str) -> Option<String> {
        if let Some(fault) = &self.fault {
            return Some(fault.clone());
        }
        let allowed = self.allowed.as_ref()?;
        (!allowed.contains(namespace)).then(|| {
            format!("namespace {namespace} has none of the labels that allowedNamespaces of ConnectionBudget {budget} asks for")
        })
    }
}

impl Budgets {
    /// Empty books; none of them is open before the budgets are read.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, origin: OnceLock::new(), books: Mutex::default(), claimed: Notify::new() }
    }

    /// The time by which the ledger goes: like the wall clock when this process began to lead, and without its jumps. What
    /// the clock did while it stood by says nothing of what its predecessor wrote.
    pub(super) fn now(&self) -> Time {
        let (wall, origin) = self.origin.get_or_init(|| (self.clock.now(), Instant::now()));
        *wall + span(origin.elapsed())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A workload's shares of the budgets that its policy draws on, in the policy's order.
    pub(super) fn shares(&self, policy: &Policy, target: &TargetKey) -> Vec<BudgetShare> {
        let names: Vec<&String> = budgets_of(policy).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let (workload, now) = (workload(target), self.now());
        let books = self.books();
        names.into_iter().map(|name| books.share(&workload, name, now)).collect()
    }

    /// Takes note of what a policy asks for, and of its workload as seen.
    pub(super) fn see(&self, policy: &Policy, target: &TargetKey, footprint: &Footprint, sight: Sight) {
        let now = self.now();
        let workload = workload(target);
        let mut books = self.books();
        let mut claim = Claim::of(policy, footprint);
        let refused = |draw: &Draw| {
            let note = books.notes.get(&draw.budget);
            note.is_some_and(|note| note.refuses(&draw.budget, &workload.namespace).is_some())
        };
        // What its pods reach counts all the same.
        if claim.draws.iter().any(refused) {
            claim.movable = false;
            claim.wanted = 0;
            claim.fixed = NO_LEAVE;
        }
        if claim.draws.is_empty() && !books.ledger.knows(&workload) {
            return;
        }
        let changed = books.ledger.claim(&workload) != Some(&claim);
        books.ledger.see(&workload, claim, sight, now);
        drop(books);
        if changed {
            self.claimed.notify_one();
        }
    }

    /// Enters a growth, if every budget carries it. All others count as `index` has seen them by now.
    pub(super) fn begin(&self, index: &Index, target: &TargetKey, to: Sight) -> Result<(), Refused> {
        let (own, now) = (workload(target), self.now());
        // Before the loop: its head would keep the books locked for the whole of it.
        let companions = self.books().ledger.companions(&own);
        for other in companions {
            if let Some(found) = index.workload(&self::target(&other), NONE_TOLD) {
                see_found(&mut self.books().ledger, &other, &found, now);
            }
        }
        self.books().ledger.begin(&workload(target), to, self.now())
    }

    /// What became of the growth that was entered last.
    pub(super) fn end(&self, target: &TargetKey, outcome: &Acted) {
        let now = self.now();
        let outcome = match outcome {
            Acted::Rescaled { .. } => Outcome::Carried,
            Acted::Failed(error) if error.kind.may_have_been_carried_out() => Outcome::Unknown(now + LANDS),
            Acted::Failed(_) | Acted::Nothing => Outcome::Refused,
        };
        self.books().ledger.end(&workload(target), outcome, now);
    }
}

impl Books {
    fn share(&self, workload: &Workload, budget: &str, now: Time) -> BudgetShare {
        let refused = |message: String| BudgetShare {
            budget: budget.to_owned(),
            granted: None,
            excess: 0,
            recall: None,
            message,
            sharing_off: self.closed.is_some(),
        };
        if let Some(closed) = &self.closed {
            return refused(closed.clone());
        }
        let Some((note, share)) =
            self.notes.get(budget).and_then(|note| Some((note, self.ledger.share(workload, budget, now)?)))
        else {
            return refused(format!(
                "ConnectionBudget {budget} does not exist, or has not been read yet: create it, or correct budgetRef"
            ));
        };
        if let Some(why) = note.refuses(budget, &workload.namespace) {
            return refused(why);
        }
        let recall = match share.standing {
            Standing::Held | Standing::Short => None,
            Standing::Recalled { deadline } if now < deadline => Some(Recall::Soft),
            Standing::Recalled { .. } => Some(Recall::Hard),
        };
        let message = note.words.get(workload).cloned().unwrap_or_default();
        BudgetShare {
            budget: budget.to_owned(),
            granted: Some(share.granted),
            excess: share.excess,
            recall,
            message,
            sharing_off: false,
        }
    }
}

/// Whether any connection ceiling of the policy is a share of a budget.
pub(super) fn draws(policy: &Policy) -> bool {
    budgets_of(policy).next().is_some()
}

fn budgets_of(policy: &Policy) -> impl Iterator<Item = &String> {
    policy.connections.iter().filter_map(|connections| match &connections.limit {
        ConnectionSource::Budget { name, .. } => Some(name),
        ConnectionSource::Inline { .. } => None,
    })
}

/// A workload as seen, with what counts beside its replicas.
pub(super) fn sight(uid: Uid, spec: u32, beside: u32, pods: usize) -> Sight {
    Sight { uid: uid.0, spec, beside, pods: crate::number::count_of(pods) }
}

pub(super) fn workload(target: &TargetKey) -> Workload {
    Workload {
        namespace: target.namespace.clone(),
        group: target.group.clone(),
        kind: target.kind.clone(),
        name: target.name.clone(),
    }
}

pub(super) fn target(workload: &Workload) -> TargetKey {
    TargetKey {
        group: workload.group.clone(),
        kind: workload.kind.clone(),
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
    }
}

/// Takes note of a workload as seen, under the claim that was made for it last.
fn see_found(ledger: &mut Ledger, workload: &Workload, found: &Seen, now: Time) {
    let Some(claim) = ledger.claim(workload).cloned() else { return };
    let sight = claim.sight(found.uid.0, &found.workload);
    ledger.see(workload, claim, sight, now);
}

/// What can be told of a workload whose policy is gone.
fn orphan_claim(budget: &str, per_pod: u32, footprint: &Footprint) -> Claim {
    Claim {
        shape: footprint.shape,
        guaranteed: 1,
        least: 1,
        wanted: footprint.wanted,
        movable: false,
        fixed: NO_POLICY,
        draws: vec![Draw {
            budget: budget.to_owned(),
            per_pod: per_pod.max(1),
            overlap: RolloutOverlap::Observed,
            weight: 1,
            enforced: true,
        }],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use serde_json::json;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::budget::{Grant, Lending, LimitSeen};
    use crate::control::Footprint;
    use crate::operator::clock::ClockError;

    fn web(name: &str) -> TargetKey {
        TargetKey::new("apps/v1", "Deployment", "shop", name)
    }

    /// An index that knows two workloads of 3 replicas.
    fn index() -> Index {
        let index = Index::new(unbounded_channel().0);
        for name in ["checkout", "reports"] {
            let deployment = serde_json::from_value(json!({
                "metadata": {"uid": name, "resourceVersion": "5", "generation": 1},
                "spec": {"replicas": 3, "selector": {}, "template": {}, "strategy": {"type": "Recreate"}},
                "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3}
            }));
            index.put_deployment(web(name), &deployment.unwrap());
        }
        index
    }

    /// Books in which both hold 50 of 100 connections, at 10 a pod.
    fn books(index: &Index) -> Budgets {
        let budgets = Budgets::new(Clock::simulated(Time::from_seconds(1_790_000_000)));
        let now = budgets.now();
        let mut books = budgets.books();
        let grant = |name| {
            let grant = Grant { connections: 50, since: now, recalled: None };
            (workload(&web(name)), grant)
        };
        let grants = BTreeMap::from([grant("checkout"), grant("reports")]);
        books.ledger.open("db", grants, Lending::default(), now);
        let limit = LimitSeen { limit: Some(100), for_growth: 100, for_recall: 100, ..LimitSeen::default() };
        books.ledger.set_limit("db", limit, Lending::default());
        for name in ["checkout", "reports"] {
            let found = index.workload(&web(name), NONE_TOLD).unwrap();
            let claim = orphan_claim("db", 10, &Footprint::unmeasured(&found.workload));
            let sight = claim.sight(found.uid.0, &found.workload);
            books.ledger.see(&workload(&web(name)), claim, sight, now);
        }
        drop(books);
        budgets
    }

    #[tokio::test(start_paused = true)]
    async fn the_ledgers_time_is_the_clocks_when_it_begins_and_does_not_jump_after() {
        let start = Time::from_seconds(1_790_000_000);
        let error = ClockError::default();
        let budgets = Budgets::new(Clock::faulty(start, error.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        error.set(-25_000);
        assert_eq!(
            budgets.now(),
            start + Span::from_seconds(35),
            "what the clock shows when it is asked first"
        );
        error.set(3_600_000);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(budgets.now(), start + Span::from_seconds(45));
    }

    #[test]
    fn growth_beside_another_holder_begins_and_does_not_wait_for_itself() {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let index = index();
            let budgets = books(&index);
            let uid = index.workload(&web("checkout"), NONE_TOLD).unwrap().uid;
            let begun =
                [5, 6].map(|to| budgets.begin(&index, &web("checkout"), sight(uid, to, 0, 3)).is_ok());
            tell.send(begun)
        });
        let begun = told.recv_timeout(Duration::from_secs(20));
        assert_eq!(begun, Ok([true, false]), "5 pods fit the grant, 6 do not; and both are answered");
    }
}
