//! Several services whose policies draw on the same budgets, in one simulation: the operator's own ledger grants.

use std::collections::BTreeMap;

use serde::Serialize;

use super::load::{Load, steps};
use super::plant::Plant;
use super::play::Player;
use super::run::{Run, START, Settings, Stage};
use super::scaler::PolicyScaler;
use crate::budget::{Claim, Ledger, Lending, LimitSeen, Outcome, Standing, Workload};
use crate::control::{BudgetShare, ConnectionSource, Decision, Footprint, Policy, Recall};
use crate::number::from_count;
use crate::time::{Span, Time};

/// Grants are planned anew at least this often, as by the operator.
const LOOK: Span = Span::from_seconds(5);

/// One of the services.
#[derive(Clone, Debug)]
pub struct Member {
    /// Name of its policy.
    pub name: String,
    /// What it runs on. Its database is what it shares with the others.
    pub settings: Settings,
    /// Its load.
    pub load: Load,
    /// What scales it.
    pub scaler: PolicyScaler,
    /// What each of its pods opens of each budget, whether or not what scales it knows of that.
    pub draws: Vec<(String, u32)>,
}

impl Member {
    /// What each pod of a policy's workload opens of each budget.
    pub fn draws_of(policy: &Policy) -> Vec<(String, u32)> {
        let draw = |ceiling: &crate::control::Connections| match &ceiling.limit {
            ConnectionSource::Budget { name, .. } => Some((name.clone(), ceiling.per_pod)),
            ConnectionSource::Inline { .. } => None,
        };
        policy.connections.iter().filter_map(draw).collect()
    }
}

/// What became of a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetFigures {
    /// Name of the budget.
    pub budget: String,
    /// Connections that it gives.
    pub limit: u32,
    /// The most connections that all pods together wanted at one moment.
    pub peak_connections: u32,
    /// The largest sum of all grants.
    pub peak_granted: u32,
    /// Seconds for which pods wanted more than it gives.
    pub over_limit_seconds: f64,
    /// Times that something was asked back.
    pub recalls: u32,
    /// How it went, one entry a change, where courses are kept.
    #[serde(skip)]
    pub course: Vec<Held>,
}

/// Connections of one budget from one moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Seconds from the start.
    pub seconds: f64,
    /// What each service's pods want, in the services' order.
    pub wanted: Vec<u32>,
    /// The sum of all grants.
    pub granted: u32,
}

/// Runs all of them side by side, for as long as the shortest load lasts. `budgets` names each budget with the connections
/// that it gives.
pub fn simulate_fleet(members: &[Member], budgets: &[(String, u32)]) -> (Vec<Run>, Vec<BudgetFigures>) {
    let span = members.iter().map(|member| member.load.span()).min().unwrap_or(Span::ZERO);
    let Some(step) = members.first().map(|member| member.settings.step) else {
        return (Vec::new(), Vec::new());
    };
    let mut books = Books::open(budgets, members.iter().any(|member| member.settings.record));
    let mut players: Vec<_> = members
        .iter()
        .map(|member| {
            let player =
                Player::new(Stage::new(&member.name, &member.settings, &member.load), &member.scaler);
            (member, workload(&member.name), player)
        })
        .collect();
    let mut now = START;
    let mut next_look = START;
    for _ in 0..steps(span, step) {
        let mut claimed = false;
        for at in 0..players.len() {
            let due = players.get(at).is_some_and(|(_, _, player)| player.is_due(now));
            if !due {
                continue;
            }
            // What others hold counts as it is by now.
            for (_, workload, player) in &players {
                books.see(workload, &player.plant.seen(), now);
            }
            let Some((member, workload, player)) = players.get_mut(at) else { continue };
            let shares = books.shares(member.scaler.policy(), workload, now);
            let policy = member.scaler.policy();
            let before = player.plant.replicas();
            player.evaluate(&shares, now, |plant, decision| {
                books.may_write(policy, workload, plant, decision, now)
            });
            claimed |= !shares.is_empty();
            if player.plant.replicas() != before {
                books.see(workload, &player.plant.seen(), now);
            }
        }
        if claimed || now >= next_look {
            next_look = now + LOOK;
            for changed in books.grant(now) {
                for (_, _, player) in players.iter_mut().filter(|(_, workload, _)| *workload == changed) {
                    player.wake(now + step);
                }
            }
        }
        let connected = books.count(&players, step, now);
        for (_, _, player) in &mut players {
            player.serve(connected, now);
        }
        now = now + step;
    }
    (players.into_iter().map(|(_, _, player)| player.finish()).collect(), books.figures)
}

fn workload(name: &str) -> Workload {
    Workload {
        namespace: "default".to_owned(),
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
    }
}

/// The ledger, and what is counted beside it.
struct Books {
    ledger: Ledger,
    figures: Vec<BudgetFigures>,
    /// The sum of all grants of each budget, by its name.
    granted: BTreeMap<String, u32>,
    /// Whether courses are kept.
    record: bool,
}

impl Books {
    fn open(budgets: &[(String, u32)], record: bool) -> Self {
        let mut ledger = Ledger::default();
        for (name, connections) in budgets {
            ledger.open(name, BTreeMap::new(), Lending::default(), START);
            let limit = LimitSeen {
                limit: Some(*connections),
                for_growth: *connections,
                for_recall: *connections,
                ..LimitSeen::default()
            };
            ledger.set_limit(name, limit, Lending::default());
        }
        let figures = budgets.iter().map(|(name, connections)| BudgetFigures {
            budget: name.clone(),
            limit: *connections,
            peak_connections: 0,
            peak_granted: 0,
            over_limit_seconds: 0.0,
            recalls: 0,
            course: Vec::new(),
        });
        Self { ledger, figures: figures.collect(), granted: BTreeMap::new(), record }
    }

    /// A workload as it is now, under the claim that was made for it last.
    fn see(&mut self, workload: &Workload, seen: &crate::control::Workload, now: Time) {
        let Some(claim) = self.ledger.claim(workload).cloned() else { return };
        let sight = claim.sight(1, seen);
        self.ledger.see(workload, claim, sight, now);
    }

    fn shares(&self, policy: &Policy, workload: &Workload, now: Time) -> Vec<BudgetShare> {
        let names = Member::draws_of(policy).into_iter().map(|(name, _)| name);
        names
            .map(|budget| {
                let Some(share) = self.ledger.share(workload, &budget, now) else {
                    let message = format!("there is no budget {budget}");
                    return BudgetShare {
                        budget,
                        granted: None,
                        excess: 0,
                        recall: None,
                        message,
                        sharing_off: false,
                    };
                };
                let recall = match share.standing {
                    Standing::Held | Standing::Short => None,
                    Standing::Recalled { deadline } if now < deadline => Some(Recall::Soft),
                    Standing::Recalled { .. } => Some(Recall::Hard),
                };
                let message = format!("{} connections are granted", share.granted);
                BudgetShare {
                    budget,
                    granted: Some(share.granted),
                    excess: share.excess,
                    recall,
                    message,
                    sharing_off: false,
                }
            })
            .collect()
    }

    /// Takes note of what a policy asks for, and enters a growth; false if a budget does not carry it.
    fn may_write(
        &mut self,
        policy: &Policy,
        workload: &Workload,
        plant: &Plant,
        decision: &Decision,
        now: Time,
    ) -> bool {
        if let Some(footprint) = &decision.footprint {
            self.claim(policy, workload, plant, footprint, now);
        }
        let Some(to) = decision.write else { return true };
        if decision.from >= Some(to) {
            return true;
        }
        let Some(claim) = self.ledger.claim(workload) else { return true };
        let sight = claim.sight(1, &plant.seen());
        let carried = self.ledger.begin(workload, crate::budget::Sight { spec: to, ..sight }, now).is_ok();
        if carried {
            self.ledger.end(workload, Outcome::Carried, now);
        }
        carried
    }

    fn claim(
        &mut self,
        policy: &Policy,
        workload: &Workload,
        plant: &Plant,
        footprint: &Footprint,
        now: Time,
    ) {
        let claim = Claim::of(policy, footprint);
        if claim.draws.is_empty() {
            return;
        }
        let sight = claim.sight(1, &plant.seen());
        self.ledger.see(workload, claim, sight, now);
    }

    /// Grants what is planned, at once. Returns whose grants changed.
    fn grant(&mut self, now: Time) -> Vec<Workload> {
        let mut changed = Vec::new();
        for (budget, plan) in self.ledger.plan(now) {
            if !plan.changes {
                continue;
            }
            let before = self.ledger.grants(&budget);
            self.ledger.intend(&budget, &plan);
            self.ledger.acknowledge(&budget);
            let mut recalls = 0;
            for (workload, grant) in &plan.grants {
                let was = before.get(workload);
                if was != Some(grant) {
                    changed.push(workload.clone());
                }
                let asked_back = grant.recalled.is_some() && was.is_none_or(|was| was.recalled.is_none());
                recalls += u32::from(asked_back);
            }
            let granted =
                plan.grants.values().fold(0_u32, |sum, grant| sum.saturating_add(grant.connections));
            if let Some(figures) = self.figures.iter_mut().find(|figures| figures.budget == budget) {
                self.granted.insert(budget, granted);
                figures.recalls += recalls;
                figures.peak_granted = figures.peak_granted.max(granted);
            }
        }
        changed
    }

    /// Counts what all pods want; returns the share of them that get it.
    fn count(&mut self, players: &[(&Member, Workload, Player<'_>)], step: Span, now: Time) -> f64 {
        let mut connected = 1.0_f64;
        for figures in &mut self.figures {
            let of = |(member, _, player): &(&Member, Workload, Player<'_>)| {
                let draws = member.draws.iter().filter(|(budget, _)| *budget == figures.budget);
                draws.fold(0_u32, |sum, (_, per_pod)| {
                    sum.saturating_add(per_pod.saturating_mul(player.plant.existing()))
                })
            };
            let all = players.iter().map(of).fold(0_u32, u32::saturating_add);
            if self.record {
                let wanted: Vec<u32> = players.iter().map(of).collect();
                let granted = self.granted.get(&figures.budget).copied().unwrap_or(0);
                let last = figures.course.last();
                if last.is_none_or(|last| last.wanted != wanted || last.granted != granted) {
                    figures.course.push(Held { seconds: now.since(START).seconds(), wanted, granted });
                }
            }
            figures.peak_connections = figures.peak_connections.max(all);
            if all > figures.limit {
                figures.over_limit_seconds += step.seconds();
                connected = connected.min(from_count(figures.limit) / from_count(all));
            }
        }
        connected
    }
}
