//! What must be so once the faults have ended: the count that demand and limits ask for, a status that says what is so,
//! and then nothing more.

use std::time::Duration;

use plimsoll::api::{Direction, Mode};
use serde_json::Value;

use super::budget;
use super::ceiling::{Strategy, enforced, range};
use super::facts::{self, ceil};
use super::{World, is_ready};
use crate::apiserver::object;
use crate::chaos::ledger::{PolicyFacts, clock};
use crate::chaos::metrics::milliseconds;
use crate::chaos::scenario::{BASE, wall_at};

/// Judges a world that has had the time to settle.
pub fn judge_settled(world: &World<'_>) {
    for (index, workload) in world.scenario.workloads.iter().enumerate() {
        if let Err(why) = settled(world, index) {
            world.ledger.violation(format!("{} is not settled: {why}", workload.name));
        }
    }
    budget::judge_end(world);
}

/// Judges a world in which nothing has happened for a while.
pub fn judge_quiet(world: &World<'_>) {
    judge_settled(world);
    let settled = world.ledger.state().settled;
    let accepted = world.ledger.state().accepted.clone();
    for (at, what) in accepted.iter().filter(|(at, what)| *at > settled && !relaxes(world, *at, what)) {
        world.ledger.violation(format!("in the quiet, at {}, the operator wrote {what}", clock(*at)));
    }
}

/// Whether a status tells that the count does not flap any more, which it may half an hour later, or something else of
/// headroom: what was lost of a day's load weighs less with each quiet hour.
fn relaxes(world: &World<'_>, at: Duration, what: &str) -> bool {
    let Some(index) = what.strip_prefix("scalingpolicies/status/w").and_then(|index| index.parse().ok())
    else {
        // Events tell the same.
        return what == "events"
            && (0..world.scenario.workloads.len()).any(|index| relaxed(world, index, at));
    };
    relaxed(world, index, at)
}

fn relaxed(world: &World<'_>, index: usize, at: Duration) -> bool {
    let policy = world.policy(index).unwrap_or_default();
    let headroom = object::entry(&policy, &["status", "conditions"], "type", "HeadroomSufficient");
    if headroom.is_some_and(|condition| object::text(condition, &["lastTransitionTime"]) == wall_at(at)) {
        return true;
    }
    let relaxed =
        object::entry(&policy, &["status", "conditions"], "type", "Flapping").is_some_and(|condition| {
            object::text(condition, &["lastTransitionTime"]) == wall_at(at)
                && object::text(condition, &["status"]) == "False"
        });
    // Where nothing flaps there is no such condition at all.
    let gone = object::entry(&policy, &["status", "conditions"], "type", "Flapping").is_none();
    let flapped = world.ledger.state().writes.get(index).map_or(0, Vec::len) >= 5;
    relaxed || (gone && flapped)
}

fn settled(world: &World<'_>, index: usize) -> Result<(), String> {
    let Some(target) = world.target(index) else { return Err("it is not there".to_owned()) };
    let facts = world.ledger.state().policies.get(index).and_then(|versions| versions.last()?.1.clone());
    let Some(facts) = facts else { return Err("its policy is not there".to_owned()) };
    let replicas = object::count(&target.value, &["spec", "replicas"]);
    let (fewest, most) = expected(world, index, &facts, &target.value)?;
    let fewest = budget::fewest(world, index, &facts.spec, fewest);
    if replicas < fewest || replicas > most {
        return Err(format!("it has {replicas} replicas, and must have {fewest} to {most}"));
    }
    let Some(policy) = world.policy(index) else { return Err("its policy is not there".to_owned()) };
    honest(world, index, &facts, &policy, replicas)
}

/// The fewest and the most replicas that demand asks for in the end; none if that cannot be told.
pub fn asked_for(world: &World<'_>, index: usize) -> Option<(u32, u32)> {
    let target = world.target(index)?;
    let facts = world.ledger.state().policies.get(index).and_then(|versions| versions.last()?.1.clone())?;
    expected(world, index, &facts, &target.value).ok()
}

/// The fewest and the most replicas that the workload may have in the end, where it shares nothing.
fn expected(
    world: &World<'_>,
    index: usize,
    facts: &PolicyFacts,
    target: &Value,
) -> Result<(u32, u32), String> {
    let spec = &facts.spec;
    let now = milliseconds(world.ledger.now());
    let value = world.metrics.value(index, now).ok_or("its metric has no value")?;
    let need = facts::need(spec, value);
    let headroom = spec.headroom.replicas;
    let (up, down) = (facts::scale_up(spec), facts::scale_down(spec));
    let least = facts::least(spec);
    let strategy = Strategy::of(target);
    let ceilings: Vec<(u32, u32)> = enforced(spec).map(|ceiling| range(ceiling, strategy)).collect();
    let cap = facts::caps(facts).iter().filter(|cap| cap.may_hold(BASE + now)).map(|cap| cap.replicas).min();
    let max = spec.max_replicas.max(least);
    // Growth ends at the lowest that a ceiling may come to; a count above the highest is walked down to it.
    let growth = ceilings.iter().map(|(lowest, _)| *lowest).chain(cap).chain([max]).min().unwrap_or(max);
    let held = ceilings.iter().map(|(_, highest)| (*highest).max(least)).chain([max]).min().unwrap_or(max);
    let held = cap.map_or(held, |cap| held.min(cap));
    if spec.mode == Mode::DryRun {
        return Ok((1, u32::MAX));
    }
    if let Some(freeze) = facts::freezes(facts).iter().find(|freeze| freeze.may_hold(BASE + now)) {
        let frozen = freeze.replicas.clamp(least, max);
        // Frozen is not walked down to a soft ceiling.
        return Ok((frozen.min(growth), cap.map_or(frozen, |cap| frozen.min(cap))));
    }
    let fewest = ceil(need / (1.0 + up.tolerance)).max(1).saturating_add(headroom);
    let most = (plimsoll::number::floor_count(need / (1.0 - down.tolerance) + 1e-6))
        .max(ceil(need))
        .max(1)
        .saturating_add(headroom);
    let fewest = if spec.paused.contains(&Direction::ScaleUp) { least } else { fewest.max(least) };
    let most = if spec.paused.contains(&Direction::ScaleDown) { u32::MAX } else { most.max(least) };
    Ok((fewest.min(growth), most.min(held)))
}

/// Whether status says what is so.
fn honest(
    world: &World<'_>,
    index: usize,
    facts: &PolicyFacts,
    policy: &Value,
    replicas: u32,
) -> Result<(), String> {
    let name = object::name(policy);
    let number = |path: &[&str]| object::integer(policy, &[&["status"], path].concat());
    let same = |what: &str, path: &[&str], truth: u32| match number(path) {
        Some(told) if told == i64::from(truth) => Ok(()),
        told => Err(format!("status says {what} {told:?}, and it is {truth}")),
    };
    same("currentReplicas", &["currentReplicas"], replicas)?;
    let generation = object::integer(policy, &["metadata", "generation"]);
    if number(&["observedGeneration"]) != generation {
        return Err(format!(
            "status is of generation {:?}, and it is {generation:?}",
            number(&["observedGeneration"])
        ));
    }
    let pods = super::pods(world.server);
    let ours: Vec<&Value> =
        pods.iter().map(|pod| &pod.value).filter(|pod| object::label(pod, "app") == Some(name)).collect();
    let count =
        |is: &dyn Fn(&Value) -> bool| plimsoll::number::count_of(ours.iter().filter(|pod| is(pod)).count());
    same("pods.serving", &["pods", "serving"], count(&is_ready))?;
    same("pods.warm", &["pods", "warm"], count(&is_ready))?;
    same("pods.terminating", &["pods", "terminating"], count(&|pod| object::is_terminating(pod)))?;
    if count(&is_ready) != replicas {
        return Err(format!("{} of its {replicas} pods are ready", count(&is_ready)));
    }
    conditions(facts, policy, index)
}

/// Conditions that are bad must be so by what the policy asks for.
fn conditions(facts: &PolicyFacts, policy: &Value, _: usize) -> Result<(), String> {
    let spec = &facts.spec;
    let conditions = object::list(policy, &["status", "conditions"]);
    let find = |kind: &str| conditions.iter().find(|condition| object::text(condition, &["type"]) == kind);
    for kind in ["AbleToScale", "Ready", "ScalingActive", "ScalingLimited"] {
        let Some(condition) = find(kind) else { return Err(format!("there is no condition {kind}")) };
        let (verdict, reason) = (object::text(condition, &["status"]), object::text(condition, &["reason"]));
        let is_meant = match reason {
            "DryRun" => spec.mode == Mode::DryRun,
            "Frozen" => !facts::freezes(facts).is_empty(),
            "BudgetInfeasible" => enforced(spec).next().is_some() || budget::drawn(spec).next().is_some(),
            _ => facts.overrides.unreadable.is_some(),
        };
        if kind != "ScalingLimited" && verdict != "True" && !is_meant {
            let message = object::text(condition, &["message"]);
            return Err(format!("{kind} is {verdict} for {reason}: {message}"));
        }
    }
    Ok(())
}
