//! The next grants of every budget: who is given more, who is asked to give back.

use std::collections::BTreeMap;

use super::account::{Account, Grant};
use super::claim::{Claim, Workload};
use super::fill::fill;
use super::ledger::Ledger;
use crate::time::{Span, Time};

/// How a budget lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lending {
    /// A grant beyond the floor is kept for at least so long (rule 8).
    pub lease: Span,
    /// A workload that is asked to give back is cut down after so long.
    pub recall_deadline: Span,
    /// Connections of a pod that is gone count for so long (rule 3).
    pub linger: Span,
}

impl Default for Lending {
    fn default() -> Self {
        Self {
            lease: Span::from_seconds(120),
            recall_deadline: Span::from_seconds(300),
            linger: Span::from_seconds(10),
        }
    }
}

/// The next grants of one budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be persisted: everybody who holds or is granted anything.
    pub grants: BTreeMap<Workload, Grant>,
    /// It differs from what is persisted.
    pub changes: bool,
    /// Somebody is given more than is charged to them already, which must rest on proof (rule 5).
    pub raises: bool,
    /// Who waits for how many connections.
    pub waiting: BTreeMap<Workload, Shortage>,
    /// The floors do not fit.
    pub infeasible: bool,
    /// More is charged than the budget gives.
    pub overcommitted: u32,
    /// What the budget gives beyond all charges.
    pub free: u32,
}

/// What a workload lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// Replicas that it wants.
    pub wanted: u32,
    /// Connections that these would reach.
    pub connections: u32,
    /// It is below its floor.
    pub below_floor: bool,
}

impl Ledger {
    /// The next grants of every budget. Pure: what comes of it is told by [`Ledger::intend`] and what follows.
    pub fn plan(&self, now: Time) -> BTreeMap<String, Plan> {
        let claims: BTreeMap<Workload, Claim> = self
            .entries
            .iter()
            .filter_map(|(workload, entry)| Some((workload.clone(), entry.asks()?)))
            .collect();
        let claims: BTreeMap<Workload, &Claim> =
            claims.iter().map(|(workload, claim)| (workload.clone(), claim)).collect();
        let available = self
            .accounts
            .iter()
            .map(|(budget, account)| {
                let asks =
                    |party: &Workload| claims.get(party).is_some_and(|claim| claim.draw(budget).is_some());
                let others = self.parties(budget).into_iter().filter(|party| !asks(party));
                let fixed: u32 =
                    others.map(|party| self.kept(party, budget, now)).fold(0, u32::saturating_add);
                (budget.clone(), account.limit.for_recall.saturating_sub(fixed))
            })
            .collect();
        let filling = fill(&available, &claims);
        let plan = |(budget, account): (&String, &Account)| {
            let targets = claims
                .iter()
                .filter_map(|(workload, claim)| {
                    let draw = claim.draw(budget)?;
                    let replicas = filling.targets.get(workload).copied().unwrap_or(0);
                    let connections = if replicas == 0 { 0 } else { claim.reach(draw, replicas, 0) };
                    Some((workload.clone(), connections))
                })
                .collect();
            let infeasible = filling.infeasible.contains(budget);
            (budget.clone(), Plan { infeasible, ..self.plan_of(budget, account, &targets, now) })
        };
        self.accounts.iter().map(plan).collect()
    }

    fn plan_of(&self, budget: &str, account: &Account, targets: &BTreeMap<Workload, u32>, now: Time) -> Plan {
        let charges: BTreeMap<Workload, u32> = self
            .parties(budget)
            .into_iter()
            .map(|party| (party.clone(), self.charge(party, budget, now)))
            .collect();
        let in_all: u32 = charges.values().fold(0, |sum, charge| sum.saturating_add(*charge));
        let steady: u32 = charges.keys().map(|party| self.steady(party, budget)).fold(0, u32::saturating_add);
        let mut plan = Plan {
            overcommitted: steady.saturating_sub(account.limit.for_growth),
            free: account.limit.for_growth.saturating_sub(in_all),
            ..Plan::default()
        };
        for (party, charge) in &charges {
            let entry = self.entries.get(party);
            // It went, or its policy draws on the budget no more.
            let left = *charge == account.granted(party)
                && (self.forgotten.contains(party)
                    || entry
                        .is_some_and(|entry| !entry.draws_on(budget) && self.held(party, budget, now) == 0));
            if left && !targets.contains_key(party) {
                continue;
            }
            let grant = account.persisted.get(party).copied().unwrap_or_default().dated_by(now);
            if *charge > 0 || grant.connections > 0 || targets.contains_key(party) {
                plan.grants.insert(party.clone(), grant);
            }
        }
        if account.unclear.is_some() {
            // What was sent may have been carried out: first the status is read anew.
            return plan;
        }
        self.raise(budget, account, targets, &charges, &mut plan, now);
        self.take_back(budget, account, targets, &charges, steady, &mut plan, now);
        plan.changes = plan.grants != account.persisted;
        plan
    }

    /// Gives what is free to those below their target, the one below its floor first, then by name.
    fn raise(
        &self,
        budget: &str,
        account: &Account,
        targets: &BTreeMap<Workload, u32>,
        charges: &BTreeMap<Workload, u32>,
        plan: &mut Plan,
        now: Time,
    ) {
        let mut needy: Vec<_> = targets
            .iter()
            .filter_map(|(party, target)| {
                let claim = self.entries.get(party)?.claim.as_ref()?;
                let draw = claim.draw(budget)?;
                let granted = plan.grants.get(party).map_or(0, |grant| grant.connections);
                let wanted = claim.reach(draw, claim.wanted.max(claim.guaranteed), 0);
                let below_floor = granted < claim.floor(draw).min(*target);
                (granted < wanted).then_some((!below_floor, party, *target, claim, draw, wanted))
            })
            .collect();
        needy.sort_by_key(|(above_floor, party, ..)| (*above_floor, (*party).clone()));
        for (_, party, target, claim, draw, wanted) in needy {
            let Some(grant) = plan.grants.get_mut(party) else { continue };
            let charge = charges.get(party).copied().unwrap_or(0);
            let beyond = if now < account.settled || account.unproven { 0 } else { plan.free };
            let room = charge.saturating_add(beyond);
            let most = claim.wanted.max(claim.guaranteed);
            let affordable = if target <= room { target } else { claim.useful(draw, room, most).max(charge) };
            let granted = affordable.min(target).max(grant.connections);
            if granted > grant.connections {
                let more = granted.saturating_sub(charge);
                plan.free = plan.free.saturating_sub(more);
                plan.raises |= more > 0;
                *grant = Grant { connections: granted, since: now, recalled: grant.recalled };
            }
            if granted < wanted {
                let below_floor = granted < claim.floor(draw).min(target);
                let shortage = Shortage { wanted: most, connections: wanted, below_floor };
                plan.waiting.insert(party.clone(), shortage);
            }
        }
    }

    /// Asks back what is beyond the targets, if somebody needs it (rule 8) or the limit fell.
    #[allow(clippy::too_many_arguments, reason = "what the first half of the plan found out")]
    fn take_back(
        &self,
        budget: &str,
        account: &Account,
        targets: &BTreeMap<Workload, u32>,
        charges: &BTreeMap<Workload, u32>,
        steady: u32,
        plan: &mut Plan,
        now: Time,
    ) {
        let too_much = steady > account.limit.for_recall;
        // Those who could get more by right, and are not given it for want of room.
        let owed = |(party, shortage): (&Workload, &Shortage)| {
            let target = targets.get(party).copied().unwrap_or(0);
            let granted = plan.grants.get(party).map_or(0, |grant| grant.connections);
            (granted < target).then_some(shortage.below_floor)
        };
        let owed: Vec<bool> = plan.waiting.iter().filter_map(owed).collect();
        let urgent = too_much || owed.contains(&true);
        for party in charges.keys() {
            let kept = self.kept(party, budget, now);
            let fixed = self.entries.get(party).and_then(|entry| entry.claim.as_ref());
            let fixed = fixed.is_some_and(|claim| !claim.movable);
            let target =
                targets.get(party).map_or(kept, |target| if fixed { kept.max(*target) } else { *target });
            let held = self.held(party, budget, now);
            let charge = charges.get(party).copied().unwrap_or(0);
            let Some(grant) = plan.grants.get_mut(party) else { continue };
            let leased = now.since(grant.since) < account.lending.lease;
            if charge > target && (urgent || (!owed.is_empty() && !leased)) {
                // A successor knows of a growth under way by nothing but the grant (rule 2).
                let least = self.growing(party, budget).max(target);
                grant.connections = grant.connections.min(least);
                grant.recalled = Some(grant.recalled.unwrap_or(now)).filter(|_| held > grant.connections);
            } else if held <= grant.connections || (owed.is_empty() && !too_much) {
                grant.recalled = None;
            }
        }
    }
}
