//! What every workload holds of every budget, and the two questions that the operator asks: may this growth begin, and
//! what is granted next.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{Account, Grant, Standing};
use super::claim::{Claim, Sight, Workload};
use super::held::Held;
use super::limit::LimitSeen;
use super::plan::{Lending, Plan};
use crate::ceiling::connections::Assume;
use crate::time::{Span, Time};

/// The books of every budget, in one process. Whoever changes it does so alone; that is what makes the look at a grant and
/// the entry of a growth one step (rule 4).
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) entries: BTreeMap<Workload, Entry>,
    /// Workloads that are gone, whose grants go with the next plan.
    pub(super) forgotten: BTreeSet<Workload>,
}

/// What is known of one workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) claim: Option<Claim>,
    pub(super) sight: Sight,
    held: BTreeMap<String, Held>,
    growth: Option<Growth>,
    /// Pods of a workload of the same name that was deleted.
    ghosts: Vec<Ghosts>,
}

/// Pods that outlive their workload until they have shut down.
#[derive(Clone, Copy, Debug)]
struct Ghosts {
    pods: u32,
    until: Time,
}

/// A growth whose outcome is not known.
#[derive(Clone, Copy, Debug)]
struct Growth {
    to: Sight,
    /// From then on it can no longer land; none while it is under way.
    over: Option<Time>,
}

/// What became of a growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out, or refused for certain; what is true now is seen next.
    Carried,
    /// Refused for certain.
    Refused,
    /// Nobody knows; it can land until this moment.
    Unknown(Time),
}

/// A workload's share of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Connections that growth may reach.
    pub granted: u32,
    /// By how much more is charged than the budget gives; nothing grows before that is gone.
    pub excess: u32,
    /// How the workload stands.
    pub standing: Standing,
}

/// Why a growth may not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The budget that does not carry it.
    pub budget: String,
    /// What it would reach.
    pub reach: u32,
    /// What is granted.
    pub granted: u32,
    /// By how much more is charged than the budget gives.
    pub excess: u32,
}

impl Entry {
    /// What the workload asks for of the budgets that bind it; none if it wants no more than it has, and nothing can be asked
    /// back of it.
    pub(super) fn asks(&self) -> Option<Claim> {
        let spec = self.sight.spec;
        let claim = self.claim.as_ref().filter(|claim| claim.movable || (spec > 0 && claim.wanted > spec))?;
        let draws: Vec<_> = claim.draws.iter().filter(|draw| draw.enforced).cloned().collect();
        // What cannot be asked back is as good as a floor.
        let (guaranteed, least) = if claim.movable {
            (claim.guaranteed, claim.least.min(spec))
        } else {
            (claim.guaranteed.min(claim.wanted).max(spec), spec)
        };
        (!draws.is_empty()).then(|| Claim { guaranteed, least, draws, ..claim.clone() })
    }

    pub(super) fn draws_on(&self, budget: &str) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.draw(budget).is_some())
    }

    /// The workload seen until now is deleted: its pods shut down.
    fn bury(&mut self, now: Time) {
        let Some(claim) = &self.claim else { return };
        // A rollout may have been under way.
        let overlap = claim.draws.iter().map(|draw| {
            claim
                .shape
                .reachable(self.sight.spec, draw.overlap, Assume::Worst)
                .saturating_add(self.sight.beside)
        });
        let pods = overlap.max().unwrap_or(0);
        self.ghosts.push(Ghosts { pods, until: now + claim.shape.termination_grace });
    }
}

impl Sight {
    const fn with(self, ghosts: u32) -> Self {
        Self { beside: self.beside.saturating_add(ghosts), ..self }
    }
}

impl Ledger {
    /// Opens a budget's book with the grants that its status holds, or takes up its newer settings. Until `settled` nothing
    /// beyond present charges is granted (rule 6).
    pub fn open(&mut self, budget: &str, grants: BTreeMap<Workload, Grant>, lending: Lending, settled: Time) {
        let account = Account {
            limit: LimitSeen::default(),
            lending,
            persisted: grants,
            unclear: None,
            settled,
            unproven: false,
        };
        self.accounts.insert(budget.to_owned(), account);
    }

    /// Whether the budget's book is open.
    pub fn is_open(&self, budget: &str) -> bool {
        self.accounts.contains_key(budget)
    }

    /// Closes the book of a budget that is gone.
    pub fn close(&mut self, budget: &str) {
        self.accounts.remove(budget);
    }

    /// What a budget gives and how it lends, as seen now.
    pub fn set_limit(&mut self, budget: &str, limit: LimitSeen, lending: Lending) {
        if let Some(account) = self.accounts.get_mut(budget) {
            account.limit = limit;
            account.lending = lending;
        }
    }

    /// A workload as seen `now`, and what its policy asks for.
    pub fn see(&mut self, workload: &Workload, claim: Claim, sight: Sight, now: Time) {
        self.forgotten.remove(workload);
        let entry = self.entries.entry(workload.clone()).or_default();
        if entry.sight.uid != 0 && entry.sight.uid != sight.uid {
            entry.bury(now);
        }
        entry.sight = sight;
        entry.claim = Some(claim);
        if entry.growth.is_some_and(|growth| growth.over.is_some_and(|over| over <= now)) {
            entry.growth = None;
        }
        self.account_for(workload, now);
    }

    /// The policy that spoke for the workload acts no more, or went: nothing can be asked back.
    pub fn freeze(&mut self, workload: &Workload, why: &'static str) {
        if let Some(claim) = self.entries.get_mut(workload).and_then(|entry| entry.claim.as_mut()) {
            claim.movable = false;
            claim.wanted = 0;
            claim.fixed = why;
        }
    }

    /// The workload does not exist. Its pods may still be shutting down, for as long as their grace lasts; once they are
    /// gone it is forgotten.
    pub fn vanish(&mut self, workload: &Workload, now: Time) {
        let Some(entry) = self.entries.get_mut(workload) else { return };
        if let Some(claim) = &mut entry.claim {
            claim.movable = false;
        }
        if entry.sight.uid != 0 {
            entry.bury(now);
        }
        entry.sight = Sight::default();
        self.account_for(workload, now);
        let gone = self.entries.get(workload).is_some_and(|entry| entry.ghosts.is_empty())
            && self.accounts.keys().all(|budget| self.held(workload, budget, now) == 0);
        if gone {
            self.forget(workload);
        }
    }

    /// Nothing is left of the workload; its grants end.
    pub fn forget(&mut self, workload: &Workload) {
        self.entries.remove(workload);
        self.forgotten.insert(workload.clone());
    }

    /// What its policy asked for last.
    pub fn claim(&self, workload: &Workload) -> Option<&Claim> {
        self.entries.get(workload)?.claim.as_ref()
    }

    /// Pods that exist of all workloads that draw on a budget, in connections.
    pub fn attributed(&self, budget: &str) -> u32 {
        let of = |entry: &Entry| {
            let draw = entry.claim.as_ref()?.draw(budget)?;
            let ghosts = entry.ghosts.iter().fold(0, |sum: u32, ghosts| sum.saturating_add(ghosts.pods));
            Some(draw.per_pod.saturating_mul(entry.sight.pods.saturating_add(ghosts)))
        };
        self.entries.values().filter_map(of).fold(0, u32::saturating_add)
    }

    /// The grants of a budget as persisted.
    pub fn grants(&self, budget: &str) -> BTreeMap<Workload, Grant> {
        self.accounts.get(budget).map(|account| account.persisted.clone()).unwrap_or_default()
    }

    /// What a budget gives, as last seen.
    pub fn limit(&self, budget: &str) -> Option<&LimitSeen> {
        self.accounts.get(budget).map(|account| &account.limit)
    }

    /// Everybody with a part in a budget.
    pub fn holders(&self, budget: &str) -> Vec<Workload> {
        self.parties(budget).into_iter().cloned().collect()
    }

    /// Other workloads that draw on a budget that this one draws on.
    pub fn companions(&self, workload: &Workload) -> BTreeSet<Workload> {
        let Some(claim) = self.claim(workload) else { return BTreeSet::new() };
        let parties = claim.draws.iter().flat_map(|draw| self.parties(&draw.budget));
        parties.filter(|party| *party != workload).cloned().collect()
    }

    /// The budgets whose books are open.
    pub fn budgets(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// Whether a workload is known to exist, or to have existed a moment ago.
    pub fn knows(&self, workload: &Workload) -> bool {
        self.entries.contains_key(workload)
    }

    /// Workloads that a budget's book or somebody's claim knows.
    pub fn workloads(&self) -> BTreeSet<Workload> {
        let holders = self.accounts.values().flat_map(Account::holders);
        self.entries.keys().chain(holders).cloned().collect()
    }

    /// A workload's share of a budget; none if there is no such budget.
    pub fn share(&self, workload: &Workload, budget: &str, now: Time) -> Option<Share> {
        let account = self.accounts.get(budget)?;
        let granted = account.usable(workload);
        let recalled = account.persisted.get(workload).and_then(|grant| grant.recalled);
        let standing = match recalled {
            Some(since) => Standing::Recalled { deadline: since + account.lending.recall_deadline },
            None if self.held(workload, budget, now) <= granted => Standing::Held,
            None => Standing::Short,
        };
        Some(Share { granted, excess: self.excess(budget, now), standing })
    }

    /// Enters a growth to what is seen in `to`, if every budget carries it; it counts from now on (rule 4).
    pub fn begin(&mut self, workload: &Workload, to: Sight, now: Time) -> Result<(), Refused> {
        let Some(entry) = self.entries.get(workload) else { return Ok(()) };
        let Some(claim) = entry.claim.clone() else { return Ok(()) };
        for draw in claim.draws.iter().filter(|draw| draw.enforced) {
            let reach = claim.reach_of(draw, to);
            let granted = self.accounts.get(&draw.budget).map_or(0, |account| account.usable(workload));
            let excess = self.excess(&draw.budget, now);
            if reach > granted || excess > 0 {
                return Err(Refused { budget: draw.budget.clone(), reach, granted, excess });
            }
        }
        if let Some(entry) = self.entries.get_mut(workload) {
            entry.growth = Some(Growth { to, over: None });
        }
        self.account_for(workload, now);
        Ok(())
    }

    /// What became of the growth that was begun last.
    pub fn end(&mut self, workload: &Workload, outcome: Outcome, now: Time) {
        self.account_for(workload, now);
        let Some(entry) = self.entries.get_mut(workload) else { return };
        let Some(growth) = entry.growth else { return };
        entry.growth = match outcome {
            Outcome::Carried => {
                entry.sight = growth.to;
                None
            }
            Outcome::Refused => None,
            Outcome::Unknown(over) => Some(Growth { over: Some(over), ..growth }),
        };
    }

    /// From now on nothing may begin on a grant that the plan lowers (rule 2); what it raises counts as charged.
    pub fn intend(&mut self, budget: &str, plan: &Plan) {
        if let Some(account) = self.accounts.get_mut(budget) {
            account.unclear = Some(plan.grants.clone());
        }
    }

    /// The API server has acknowledged what was intended.
    pub fn acknowledge(&mut self, budget: &str) {
        if let Some(account) = self.accounts.get_mut(budget)
            && let Some(grants) = account.unclear.take()
        {
            account.persisted = grants;
        }
    }

    /// The API server has refused what was intended: nothing of it is true.
    pub fn refuse(&mut self, budget: &str) {
        if let Some(account) = self.accounts.get_mut(budget) {
            account.unclear = None;
        }
    }

    /// The grants as just read, after an answer that was not clear.
    pub fn read(&mut self, budget: &str, grants: BTreeMap<Workload, Grant>) {
        if let Some(account) = self.accounts.get_mut(budget) {
            account.persisted = grants;
            account.unclear = None;
        }
    }

    /// Whether every workload of a budget could be looked at; until it can, nothing more is granted (rule 5).
    pub fn trust(&mut self, budget: &str, proven: bool) {
        if let Some(account) = self.accounts.get_mut(budget) {
            account.unproven = !proven;
        }
    }

    /// Whether the last answer about a budget's status was not clear.
    pub fn is_unclear(&self, budget: &str) -> bool {
        self.accounts.get(budget).is_some_and(|account| account.unclear.is_some())
    }

    /// The most connections that a workload's pods may hold of a budget.
    pub fn held(&self, workload: &Workload, budget: &str, now: Time) -> u32 {
        let held = self.entries.get(workload).and_then(|entry| entry.held.get(budget));
        held.map_or(0, |held| held.most(now, self.linger(budget)))
    }

    /// What counts against the budget: the larger of what is granted and what is held (rule 3).
    pub fn charge(&self, workload: &Workload, budget: &str, now: Time) -> u32 {
        let granted = self.accounts.get(budget).map_or(0, |account| account.granted(workload));
        granted.max(self.held(workload, budget, now))
    }

    /// What is left to a workload of which nothing can be asked back: what its pods hold; of one that has not been seen yet
    /// all that it was granted.
    pub(super) fn kept(&self, workload: &Workload, budget: &str, now: Time) -> u32 {
        if self.entries.get(workload).is_some_and(|entry| entry.claim.is_some()) {
            self.held(workload, budget, now)
        } else {
            self.charge(workload, budget, now)
        }
    }

    /// By how much the charges exceed what the budget gives. Even under a grant nothing grows then: the limit may have
    /// fallen, or pods that nobody reckoned with still end (rule 4).
    pub fn excess(&self, budget: &str, now: Time) -> u32 {
        let Some(account) = self.accounts.get(budget) else { return 0 };
        let parties = self.parties(budget).into_iter();
        let charged: u32 = parties.map(|party| self.charge(party, budget, now)).fold(0, u32::saturating_add);
        charged.saturating_sub(account.limit.for_growth)
    }

    /// What a growth under way would reach; 0 if there is none.
    pub(super) fn growing(&self, workload: &Workload, budget: &str) -> u32 {
        let reach = |entry: &Entry| {
            let claim = entry.claim.as_ref()?;
            Some(claim.reach_of(claim.draw(budget)?, entry.growth?.to))
        };
        self.entries.get(workload).and_then(reach).unwrap_or(0)
    }

    /// The charge without what is only on its way out: what stays if nothing else happens.
    pub(super) fn steady(&self, workload: &Workload, budget: &str) -> u32 {
        let granted = self.accounts.get(budget).map_or(0, |account| account.granted(workload));
        let reach = self.entries.get(workload).and_then(|entry| {
            let claim = entry.claim.as_ref()?;
            let draw = claim.draw(budget)?;
            (entry.sight.spec > 0).then(|| claim.reach(draw, entry.sight.spec, 0))
        });
        granted.max(reach.unwrap_or(0))
    }

    /// Everybody with a part in a budget.
    pub(super) fn parties(&self, budget: &str) -> BTreeSet<&Workload> {
        let draws = self.entries.iter().filter(|(_, entry)| {
            entry.held.contains_key(budget)
                || entry.claim.as_ref().is_some_and(|claim| claim.draw(budget).is_some())
        });
        let granted = self.accounts.get(budget).into_iter().flat_map(Account::holders);
        draws.map(|(workload, _)| workload).chain(granted).collect()
    }

    fn linger(&self, budget: &str) -> Span {
        self.accounts.get(budget).map_or_else(|| Lending::default().linger, |account| account.lending.linger)
    }

    /// Brings what is held up to what is seen and under way.
    fn account_for(&mut self, workload: &Workload, now: Time) {
        let Some(entry) = self.entries.get(workload) else { return };
        let Some(claim) = entry.claim.clone() else { return };
        if let Some(entry) = self.entries.get_mut(workload) {
            entry.ghosts.retain(|ghosts| now < ghosts.until);
        }
        let Some(entry) = self.entries.get(workload) else { return };
        let ghosts = entry.ghosts.iter().fold(0, |sum: u32, ghosts| sum.saturating_add(ghosts.pods));
        // Pods that end were seen since the growth was sent, or were there before: whichever are more.
        let growing = |to: Sight| Sight { beside: to.beside.max(entry.sight.beside), ..to };
        let growth = entry.growth.map(|growth| growing(growth.to).with(ghosts));
        let sight = entry.sight.with(ghosts);
        for draw in &claim.draws {
            let seen = claim.reach_of(draw, sight);
            let growing = growth.map_or(0, |to| claim.reach_of(draw, to));
            let account = self.accounts.get(&draw.budget);
            // What a predecessor sent may yet grow the workload to its grant, beside pods that end (rule 6).
            let inherited = account.filter(|account| now < account.settled).map_or(0, |account| {
                account.granted(workload).saturating_add(draw.per_pod.saturating_mul(sight.beside))
            });
            let linger = self.linger(&draw.budget);
            if let Some(entry) = self.entries.get_mut(workload) {
                let held = entry.held.entry(draw.budget.clone()).or_default();
                held.see(seen.max(growing).max(inherited), now, linger);
            }
        }
        // What is no longer drawn on lingers, and is then forgotten.
        let dropped: Vec<(String, Span)> = self
            .entries
            .get(workload)
            .into_iter()
            .flat_map(|entry| entry.held.keys())
            .filter(|budget| claim.draw(budget).is_none())
            .map(|budget| (budget.clone(), self.linger(budget)))
            .collect();
        if let Some(entry) = self.entries.get_mut(workload) {
            for (budget, linger) in dropped {
                if let Some(held) = entry.held.get_mut(&budget) {
                    held.see(0, now, linger);
                    if held.most(now, linger) == 0 {
                        entry.held.remove(&budget);
                    }
                }
            }
        }
    }
}
