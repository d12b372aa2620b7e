//! Worlds in which several workloads draw on one database, or on two: what the databases give and when that changes, and
//! what is done to budgets besides what is done to every world.

use std::time::Duration;

use serde_json::{Value, json};

use super::dice::{Dice, Draw};
use super::fault::{MetricClass, On, WriteKind};
use super::scenario::{Deed, Scenario, Workload};
use super::storm::Storm;
use crate::random::Random;

/// This share of all seeds are such worlds.
const SHARE: f64 = 0.25;
/// Where grants rest on it, a write lands within what leader election allows for: 5 seconds for its answer, and a little
/// more on its way.
pub const LONGEST_DELAY: f64 = 9.0;

/// A ConnectionBudget and its database.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// The budget as it begins.
    pub manifest: Value,
    /// The limit is asked of the metrics, and not declared.
    pub asked: bool,
    /// What the database gives, from when on.
    pub levels: Vec<(Duration, u32)>,
    /// How long the last known limit holds when it cannot be asked.
    pub last_known: Duration,
    /// Stretches in which the question is answered wrongly, how, and what share of the answers.
    pub faults: Vec<(Duration, Duration, MetricClass, f64)>,
}

impl Budget {
    /// What the database gives at a moment.
    pub fn level(&self, at: Duration) -> u32 {
        self.levels.iter().rev().find(|(since, _)| *since <= at).map_or(0, |(_, level)| *level)
    }

    /// Its place in its name.
    pub fn index(name: &str) -> Option<usize> {
        name.strip_prefix('b')?.parse().ok()
    }
}

/// The query of a budget's limit.
pub fn query(name: &str) -> String {
    format!("max(max_connections{{budget=\"{name}\"}})")
}

/// Whether a seed's world has budgets.
pub fn has_budgets(dice: Dice) -> bool {
    dice.of("budgets").falls(SHARE)
}

/// How many workloads such a world has at least.
pub fn least_workloads(dice: Dice) -> u64 {
    dice.of("parties").random().one(&[2, 2, 3, 4], 2)
}

/// Lets the workloads of `scenario` draw on budgets, and draws what happens to these.
pub fn share_out(scenario: &mut Scenario, storm: &Storm) {
    let mut random = storm.dice.of("budgets at work").random();
    let count = random.one(&[1, 1, 2], 1);
    let names: Vec<String> = (0..count).map(|index| format!("b{index}")).collect();
    let mut floors = vec![0; names.len()];
    for (index, workload) in scenario.workloads.iter_mut().enumerate() {
        let draws = draws(&mut random, &names, workload);
        for draw in &draws {
            let budget = draw.get("name").and_then(Value::as_str).and_then(Budget::index);
            if let Some(floor) = budget.and_then(|budget| floors.get_mut(budget)) {
                *floor += floor_of(workload, draw);
            }
        }
        if let Some(spec) = workload.policy.get_mut("spec") {
            json_patch::merge(spec, &json!({"ceilings": {"connections": draws}}));
        }
        if random.chance(0.4) {
            let (from, _) = storm.stretch(&mut random, 10);
            let again = redrawn(&mut random, &draws);
            let edit = Deed::Edit(json!({"ceilings": {"connections": again}}));
            scenario.deeds.push((from, index, edit));
        }
    }
    for (index, (name, floor)) in names.iter().zip(floors).enumerate() {
        let budget = budget(&mut random, storm, name, floor);
        scenario.deeds.extend(deeds(&mut random, storm, index, &budget));
        scenario.budgets.push(budget);
    }
    scenario.deeds.sort_by_key(|(at, index, _)| (*at, *index));
    for _ in 0..random.between(0, 3) {
        let on = random
            .one(&[On::Grant, On::Grant, On::Grant, On::Watch("pods"), On::Lists, On::Scale], On::Grant);
        scenario.api.push(storm.fault(&mut random, on, 120));
    }
    if random.chance(0.5) {
        scenario.crashes.push(storm.crash_at(&mut random, WriteKind::Grant, 12));
    }
}

/// What a workload's pods take of each budget.
fn draws(random: &mut Random, names: &[String], workload: &Workload) -> Vec<Value> {
    let least = workload.policy.pointer("/spec/minReplicas").and_then(Value::as_u64).unwrap_or(1);
    let guaranteed = least + u64::from(random.between(0, 3));
    let one = usize::from(random.chance(0.5));
    let mut draws = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if names.len() > 1 && index != one && random.chance(0.4) {
            continue;
        }
        let mut draw = json!({
            "name": name, "budgetRef": {"name": name}, "perPod": random.one(&[5, 10, 10, 20], 10),
            "rolloutOverlap": random.one(&[json!(0), json!(1), json!("OneRevision"), json!("Observed")], json!(0)),
            "weight": random.between(1, 4),
        });
        if random.chance(0.5) {
            json_patch::merge(&mut draw, &json!({"guaranteedReplicas": guaranteed}));
        }
        draws.push(draw);
    }
    draws
}

/// The same with another weight, another floor, or more or fewer connections per pod.
fn redrawn(random: &mut Random, draws: &[Value]) -> Vec<Value> {
    let patch = match random.below(3) {
        0 => json!({"weight": random.between(1, 8)}),
        1 => json!({"guaranteedReplicas": random.between(1, 8)}),
        _ => json!({"perPod": random.one(&[5, 10, 15, 20], 10)}),
    };
    let mut again = draws.to_vec();
    for draw in &mut again {
        json_patch::merge(draw, &patch);
    }
    again
}

/// More connections than the floor of a draw can come to.
fn floor_of(workload: &Workload, draw: &Value) -> u32 {
    let number = |value: Option<&Value>| {
        value.and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
    };
    let least = number(workload.policy.pointer("/spec/minReplicas"));
    let replicas = number(draw.get("guaranteedReplicas")).max(least).max(1);
    let rollout = if workload.stateful { 0 } else { replicas };
    number(draw.get("perPod")) * (replicas + 2 * rollout)
}

fn budget(random: &mut Random, storm: &Storm, name: &str, floor: u32) -> Budget {
    let (reserved, others) = (random.one(&[0, 3, 10], 0), random.one(&[0, 0, 5], 0));
    let of = |share: f64| {
        plimsoll::number::floor_count(f64::from(floor) * share).saturating_add(reserved + others)
    };
    // A budget that nobody draws on has a floor of nothing.
    let first = of(random.level(0.7, 2.0)).max(reserved + 1);
    let mut levels = vec![(Duration::ZERO, first)];
    if random.chance(0.6) {
        let (from, to) = storm.stretch(random, 200);
        let fallen = plimsoll::number::floor_count(f64::from(first) * random.level(0.2, 0.9));
        levels.push((from, fallen.max(reserved + 1)));
        levels.push((to, first));
    }
    // In the end the floors fit, for most.
    levels.push((storm.calm, if random.chance(0.9) { first.max(of(1.0)) } else { first }));
    let asked = random.chance(0.5);
    let last_known = random.one(&[30, 60, 3600], 3600);
    let mut limit = if asked {
        json!({"prometheus": {"server": "main", "query": query(name)}, "lastKnownSeconds": last_known})
    } else {
        json!({"maxConnections": first})
    };
    if asked && random.chance(0.5) {
        json_patch::merge(&mut limit, &json!({"assumed": first / 2}));
    }
    let mut faults = Vec::new();
    for _ in 0..if asked { random.between(0, 3) } else { 0 } {
        let (from, to) = storm.stretch(random, 150);
        let class = random.one(&FAULTS, MetricClass::Empty);
        faults.push((from, to, class, random.one(&[0.4, 1.0, 1.0], 1.0)));
    }
    let mut spec = json!({
        "limit": limit, "reserved": reserved,
        "lending": {
            "leaseSeconds": random.one(&[0, 20, 60, 120], 60),
            "recallDeadlineSeconds": random.one(&[30, 60, 120], 60),
            "lingerSeconds": random.one(&[1, 10, 20], 10),
        },
    });
    if others > 0 {
        json_patch::merge(&mut spec, &json!({"others": {"connections": others}}));
    }
    Budget {
        name: name.to_owned(),
        manifest: json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": name}, "spec": spec}),
        asked,
        levels,
        last_known: Duration::from_secs(last_known),
        faults,
    }
}

/// How a limit can be told wrongly. None of these is a number above the truth: that would be another limit.
const FAULTS: [MetricClass; 13] = [
    MetricClass::Refuse,
    MetricClass::Hang,
    MetricClass::Slow,
    MetricClass::Empty,
    MetricClass::Partial,
    MetricClass::NotANumber,
    MetricClass::Infinite,
    MetricClass::Negative,
    MetricClass::Zero,
    MetricClass::Several,
    MetricClass::WrongType,
    MetricClass::ErrorEnvelope,
    MetricClass::Html,
];

/// What happens to a budget: its limit as declared, and the budget itself.
fn deeds(random: &mut Random, storm: &Storm, index: usize, budget: &Budget) -> Vec<(Duration, usize, Deed)> {
    let mut deeds = Vec::new();
    if !budget.asked {
        for (at, level) in budget.levels.iter().skip(1).filter(|(at, _)| *at < storm.calm) {
            deeds.push((*at, 0, Deed::SetLimit(index, *level)));
        }
    }
    if random.chance(0.15) {
        let (from, to) = storm.stretch(random, 120);
        deeds.push((from, 0, Deed::DeleteBudget(index)));
        deeds.push((to, 0, Deed::CreateBudget(index)));
    }
    deeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_seeds_share_budgets_and_the_others_are_as_they_were() {
        let scenarios: Vec<Scenario> = (0..400).map(Scenario::draw).collect();
        let shared = scenarios.iter().filter(|scenario| !scenario.budgets.is_empty());
        assert!((70..130).contains(&shared.clone().count()));
        for scenario in shared {
            assert!(scenario.workloads.len() >= 2, "seed {}", scenario.seed);
            let draws = |workload: &Workload| {
                workload.policy.pointer("/spec/ceilings/connections/0/budgetRef").is_some()
            };
            assert!(scenario.workloads.iter().all(draws), "seed {}", scenario.seed);
        }
    }
}
