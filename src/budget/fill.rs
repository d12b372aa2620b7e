//! Weighted max-min shares of several budgets at once (rule 7).
//!
//! Progressive filling: the workload whose share per weight is least gets the next replica, as long as every budget that
//! it draws on carries the step. First up to what nobody can take from it, then up to the floors, then up to what is wanted.
//! A workload that draws on several budgets gets a replica in all of them or in none; but what it holds in one and cannot
//! give back is nobody else's, even where another budget carries less of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::claim::{Claim, Draw, Workload};

/// What a filling came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    /// Replicas whose reach fits, for each workload.
    pub targets: BTreeMap<Workload, u32>,
    /// Budgets in which the floors do not fit.
    pub infeasible: BTreeSet<String>,
}

/// Shares of `available` (connections by budget) among `claims`. A budget that is not listed gives nothing.
pub fn fill(available: &BTreeMap<String, u32>, claims: &BTreeMap<Workload, &Claim>) -> Filling {
    let mut glass = Glass {
        room: available.clone(),
        targets: claims.keys().map(|workload| (workload.clone(), 0)).collect(),
        full: BTreeSet::new(),
    };
    glass.pour(claims, |claim| claim.least);
    glass.keep(claims);
    glass.pour(claims, |claim| claim.guaranteed);
    let infeasible = glass.full.clone();
    // Where a floor lacks connections nobody gets more than its floor.
    let lacks = |claim: &Claim| claim.draws.iter().any(|draw| infeasible.contains(&draw.budget));
    glass.pour(claims, |claim| if lacks(claim) { 0 } else { claim.wanted.max(claim.guaranteed) });
    Filling { targets: glass.targets, infeasible }
}

struct Glass {
    room: BTreeMap<String, u32>,
    targets: BTreeMap<Workload, u32>,
    /// Budgets that a step did not fit into.
    full: BTreeSet<String>,
}

impl Glass {
    /// Adds replicas up to `goal` of each claim, the least level first; ties go by name, which the position keeps.
    fn pour(&mut self, claims: &BTreeMap<Workload, &Claim>, goal: impl Fn(&Claim) -> u32) {
        let bases: Vec<u32> = self.targets.values().copied().collect();
        let all: Vec<_> =
            claims.iter().zip(bases).map(|((name, claim), base)| (name, *claim, base)).collect();
        let step = |position: usize, replicas: u32| {
            let (_, claim, base) = all.get(position)?;
            let next = replicas.saturating_add(1);
            (replicas < goal(claim)).then(|| Reverse((level(claim, *base, next), position, next)))
        };
        let mut waiting: BinaryHeap<_> =
            all.iter().enumerate().filter_map(|(position, (_, _, base))| step(position, *base)).collect();
        while let Some(Reverse((_, position, replicas))) = waiting.pop() {
            let Some((workload, claim, _)) = all.get(position) else { continue };
            // What does not fit now never will, since room only shrinks; smaller steps of others may.
            if self.take(claim, replicas) {
                self.targets.insert((*workload).clone(), replicas);
                waiting.extend(step(position, replicas));
            }
        }
    }

    /// Takes out what is beyond the targets and cannot be given back.
    fn keep(&mut self, claims: &BTreeMap<Workload, &Claim>) {
        for (workload, claim) in claims {
            let target = self.targets.get(workload).copied().unwrap_or(0);
            for draw in &claim.draws {
                let beyond = reach(claim, draw, claim.least).saturating_sub(reach(
                    claim,
                    draw,
                    target.min(claim.least),
                ));
                if let Some(room) = self.room.get_mut(&draw.budget) {
                    *room = room.saturating_sub(beyond);
                }
            }
        }
    }

    /// Takes the step to `replicas` from every budget, or from none.
    fn take(&mut self, claim: &Claim, replicas: u32) -> bool {
        let step = |draw: &Draw| {
            reach(claim, draw, replicas).saturating_sub(reach(claim, draw, replicas.saturating_sub(1)))
        };
        let lacking: Vec<_> = claim
            .draws
            .iter()
            .filter(|draw| self.room.get(&draw.budget).is_none_or(|room| *room < step(draw)))
            .map(|draw| draw.budget.clone())
            .collect();
        if !lacking.is_empty() {
            self.full.extend(lacking);
            return false;
        }
        for draw in &claim.draws {
            if let Some(room) = self.room.get_mut(&draw.budget) {
                *room = room.saturating_sub(step(draw));
            }
        }
        true
    }
}

/// Connections per weight beyond the base, in thousandths, in the budget where that is most.
fn level(claim: &Claim, base: u32, replicas: u32) -> u64 {
    let level = |draw: &Draw| {
        let more = reach(claim, draw, replicas).saturating_sub(reach(claim, draw, base));
        u64::from(more).saturating_mul(1000).checked_div(u64::from(draw.weight)).unwrap_or(u64::MAX)
    };
    claim.draws.iter().map(level).max().unwrap_or(0)
}

/// No pod, no reach: the rollout of nothing opens nothing.
fn reach(claim: &Claim, draw: &Draw, replicas: u32) -> u32 {
    if replicas == 0 { 0 } else { claim.reach(draw, replicas, 0) }
}
