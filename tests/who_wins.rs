//! Who wins: every pair of rows of the order of precedence, in a situation where the two disagree.
//!
//! 1 replicas 0 set by somebody else · 2 a person's emergency cap · 3 a hard ceiling · 4 frozen · 5 a soft ceiling
//! below the count · 6 a guard · 7 floors · 8 demand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod common;

use common::{answered, fresh, observation, policy, workload};
use plimsoll::control::{ConditionType, Decision, Memory, Reason, decide};
use plimsoll::signal::Answer;
use plimsoll::time::Time;

/// The decision after ten minutes in which nothing changed, so that windows have passed and fallbacks act.
fn settled(yaml: &str, spec: u32, load: Option<f64>) -> Decision {
    let policy = policy(yaml);
    let mut memory = Memory::default();
    let mut last = None;
    for tick in 0..=40 {
        let now = Time::from_seconds(1_000_000 + 15 * tick);
        let reading = load.map_or_else(|| answered(Answer::NoSeries), fresh);
        let mut observation = observation(workload(spec, now), vec![reading]);
        observation.guards = vec![fresh(0.9)];
        let (decision, after) = decide(&policy, &observation, memory, now);
        memory = after;
        last = Some(decision);
    }
    last.unwrap()
}

fn ceiling(replicas: u32, enforcement: &str) -> String {
    format!(
        "ceilings: {{connections: [{{name: db, inline: {{maxConnections: {}}}, perPod: 4, rolloutOverlap: 0, enforcement: \
         {enforcement}}}]}}\n",
        4 * (replicas + replicas.div_ceil(4))
    )
}

const SLOW: &str = "behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}\n";
const FALLBACK_15: &str = "fallback: {afterSeconds: 60, replicas: 15}\n";

fn emergency(replicas: u32) -> String {
    format!("emergencyMax: {{replicas: {replicas}, reason: INC-1}}\n")
}

fn frozen(replicas: u32) -> String {
    format!("mode: Frozen\nfrozen: {{replicas: {replicas}}}\n")
}

/// A guard that is active all the time.
fn guard(action: &str) -> String {
    format!(
        "guards: [{{name: db-cpu, prometheus: {{query: q}}, threshold: \"0.85\", holdSeconds: 0, action: {action}}}]\n"
    )
}

fn frozen_by_guard() -> String {
    guard("Freeze")
}

fn steps_down() -> String {
    guard("StepDown")
}

#[test]
fn what_is_there_already_is_not_unmet() {
    // Growth ends below the count, since nothing is measured yet; the ceiling that removes pods lies above it.
    let cautious = "ceilings: {connections: [{name: db, inline: {maxConnections: 120}, perPod: 4}]}\n";
    for (load, unmet, limited_by, message) in [
        (1500.0, 0, None, "15 replicas are kept: rps needs 15, within the tolerance around 15"),
        (1700.0, 2, Some("connections/db"), "needs 17, held at 15 by database connections of db"),
    ] {
        let decision = settled(cautious, 15, Some(load));
        assert!(decision.ceilings[0].growth_limit < Some(15), "{:?}", decision.ceilings);
        let named = decision.limited_by.map(|limit| limit.to_string());
        assert_eq!(
            (decision.unmet, named.as_deref(), decision.message.as_str()),
            (unmet, limited_by, message)
        );
    }
}

#[test]
fn a_count_above_its_ceiling_says_what_the_ceiling_allows() {
    let decision = settled(&(ceiling(15, "Enforce") + SLOW), 20, Some(2400.0));
    let limited =
        decision.conditions.iter().find(|condition| condition.kind == ConditionType::ScalingLimited);
    assert_eq!((decision.write, decision.unmet), (Some(19), 9));
    assert_eq!(
        limited.unwrap().message,
        "needs 24, database connections of db allows 15 of the 19 that there are: 9 replicas are unmet"
    );
}

/// Pair, policy, count asked for, load (none: no series), count after, reason.
type Case = (&'static str, String, u32, Option<f64>, u32, Reason);

#[test]
fn every_pair_of_rows_is_settled_by_the_upper_one() {
    let hard = |replicas| ceiling(replicas, "Hard");
    let soft = |replicas| ceiling(replicas, "Enforce");
    let cases: Vec<Case> = vec![
        ("1 over 2", emergency(5), 0, Some(900.0), 0, Reason::ScalingDisabled),
        ("1 over 3", hard(5), 0, Some(900.0), 0, Reason::ScalingDisabled),
        ("1 over 4", frozen(7), 0, Some(900.0), 0, Reason::ScalingDisabled),
        ("1 over 5", soft(5), 0, Some(900.0), 0, Reason::ScalingDisabled),
        ("1 over 7", "minReplicas: 6\n".to_owned() + FALLBACK_15, 0, None, 0, Reason::ScalingDisabled),
        ("1 over 8", String::new(), 0, Some(900.0), 0, Reason::ScalingDisabled),
        ("2 over 3", emergency(5) + &hard(10), 30, Some(3000.0), 5, Reason::EmergencyMax),
        ("2 with a lower 3", emergency(10) + &hard(5), 30, Some(3000.0), 5, Reason::EmergencyMax),
        ("2 over 4", emergency(5) + &frozen(20), 20, Some(900.0), 5, Reason::EmergencyMax),
        ("2 over a raise by 4", emergency(5) + &frozen(20), 5, Some(900.0), 5, Reason::Frozen),
        ("2 over 5", emergency(5) + &soft(12) + SLOW, 30, Some(3000.0), 5, Reason::EmergencyMax),
        ("2 over 7", "minReplicas: 6\n".to_owned() + &emergency(3), 8, Some(600.0), 3, Reason::EmergencyMax),
        (
            "2 over a raise by 7",
            "minReplicas: 6\n".to_owned() + &emergency(3),
            3,
            Some(600.0),
            3,
            Reason::EmergencyMax,
        ),
        ("2 over 8", emergency(5), 5, Some(2000.0), 5, Reason::EmergencyMax),
        ("3 over 4", hard(10) + &frozen(20), 20, Some(2000.0), 10, Reason::HardCeiling),
        ("3 over a raise by 4", hard(10) + &frozen(20), 10, Some(2000.0), 10, Reason::Frozen),
        ("3 over 5", hard(10) + SLOW, 20, Some(2000.0), 10, Reason::HardCeiling),
        ("3 over 7", hard(10) + FALLBACK_15, 12, None, 10, Reason::HardCeiling),
        (
            "7 bounds 3: never below minReplicas",
            "minReplicas: 12\n".to_owned() + &hard(10),
            20,
            Some(100.0),
            12,
            Reason::HardCeiling,
        ),
        ("3 over 8", hard(10), 15, Some(2000.0), 10, Reason::HardCeiling),
        ("4 over 5", frozen(20) + &soft(10), 20, Some(2000.0), 20, Reason::Frozen),
        ("no raise by 4 past 5", frozen(20) + &soft(10), 10, Some(2000.0), 10, Reason::Frozen),
        ("4 over 7", frozen(5) + FALLBACK_15, 20, None, 5, Reason::Frozen),
        ("4 over 8", frozen(5), 20, Some(2000.0), 5, Reason::Frozen),
        ("5 over 7", soft(10) + FALLBACK_15 + SLOW, 15, None, 14, Reason::CeilingFell),
        (
            "7 bounds 5: never below minReplicas",
            "minReplicas: 12\n".to_owned() + &soft(10),
            20,
            Some(2000.0),
            12,
            Reason::CeilingFell,
        ),
        (
            "no raise by 7 past 5",
            "minReplicas: 12\n".to_owned() + &soft(10),
            8,
            Some(100.0),
            10,
            Reason::AboveTarget,
        ),
        ("5 over 8", soft(10) + SLOW, 15, Some(2000.0), 14, Reason::CeilingFell),
        ("8 below 5", soft(10), 15, Some(300.0), 5, Reason::CeilingFell),
        ("7 over 8", "minReplicas: 8\n".to_owned(), 8, Some(300.0), 8, Reason::TooFewReplicas),
        ("7 over 8, at once", "minReplicas: 8\n".to_owned(), 3, Some(300.0), 8, Reason::AboveTarget),
        ("7 over an unfit 8", FALLBACK_15.to_owned(), 8, None, 15, Reason::Fallback),
        ("8", String::new(), 8, Some(900.0), 9, Reason::AboveTarget),
        ("1 over 6", steps_down(), 0, Some(900.0), 0, Reason::ScalingDisabled),
        ("2 over 6", emergency(5) + &frozen_by_guard(), 20, Some(900.0), 5, Reason::EmergencyMax),
        ("3 over 6", hard(10) + &frozen_by_guard(), 20, Some(2000.0), 10, Reason::HardCeiling),
        ("4 over 6", frozen(5) + &frozen_by_guard(), 20, Some(2000.0), 5, Reason::Frozen),
        ("4 over a raise by 6", frozen(20) + &guard("BlockScaleUp"), 10, Some(2000.0), 20, Reason::Frozen),
        ("5 over 6", soft(10) + &frozen_by_guard() + SLOW, 15, Some(2000.0), 14, Reason::CeilingFell),
        (
            "5 names itself beside 6",
            soft(10) + &guard("BlockScaleUp"),
            10,
            Some(2000.0),
            10,
            Reason::ConnectionBudget,
        ),
        ("6 over a raise by 7", frozen_by_guard() + FALLBACK_15, 8, None, 8, Reason::GuardActive),
        (
            "6 over a lowering by 7",
            frozen_by_guard() + "fallback: {afterSeconds: 60, behavior: EvenIfLower, replicas: 5}\n",
            20,
            None,
            20,
            Reason::GuardActive,
        ),
        (
            "7 bounds 6: never held below minReplicas",
            "minReplicas: 8\n".to_owned() + &frozen_by_guard(),
            3,
            Some(300.0),
            8,
            Reason::AboveTarget,
        ),
        (
            "7 bounds 6: never stepped below minReplicas",
            "minReplicas: 19\n".to_owned() + &steps_down(),
            20,
            Some(300.0),
            19,
            Reason::GuardStepDown,
        ),
        (
            "7 bounds 6: never stepped below the fallback",
            steps_down() + FALLBACK_15,
            16,
            None,
            15,
            Reason::GuardStepDown,
        ),
        ("6 over 8, up", guard("BlockScaleUp"), 8, Some(900.0), 8, Reason::GuardActive),
        ("6 over 8, down", guard("BlockScaleUp"), 20, Some(300.0), 20, Reason::GuardActive),
        ("6 over 8, against it", steps_down(), 20, Some(2000.0), 18, Reason::GuardStepDown),
    ];
    for (pair, yaml, spec, load, expected, reason) in cases {
        let decision = settled(&yaml, spec, load);
        assert_eq!(
            (decision.write.unwrap_or(spec), decision.reason),
            (expected, reason),
            "{pair}: {decision:#?}"
        );
        assert!(!decision.message.is_empty(), "{pair} is explained");
    }
}

#[test]
fn orders_end_by_themselves() {
    let ended = "until: \"2001-01-01T00:00:00Z\"";
    let now = Time::from_seconds(1_000_000_000 - 1_000_000_000 % 15);
    for yaml in [
        format!("emergencyMax: {{replicas: 5, {ended}}}\n"),
        format!("mode: Frozen\nfrozen: {{replicas: 5, {ended}}}\n"),
    ] {
        let policy = policy(&yaml);
        let before = observation(workload(8, now), vec![fresh(900.0)]);
        let (held, _) = decide(&policy, &before, Memory::default(), Time::from_seconds(978_307_199));
        assert_eq!(held.write, Some(5), "in force a second before");
        let (free, _) = decide(&policy, &before, Memory::default(), Time::from_seconds(978_307_200));
        assert_eq!(free.write, Some(9), "over");
    }
}

#[test]
fn a_dry_run_and_a_rival_publish_and_write_nothing() {
    let now = Time::from_seconds(1_000_000);
    let mut world = observation(workload(8, now), vec![fresh(900.0)]);
    let (dry, _) = decide(&policy("mode: DryRun\n"), &world, Memory::default(), now);
    assert_eq!((dry.write, dry.desired), (None, Some(9)));
    world
        .rivals
        .push(plimsoll::control::Rival { kind: "HorizontalPodAutoscaler".into(), name: "checkout".into() });
    let (held, _) = decide(&policy(""), &world, Memory::default(), now);
    assert_eq!((held.write, held.desired), (None, Some(9)));
    let able = held.conditions.iter().find(|condition| condition.reason == Reason::RivalAutoscaler).unwrap();
    assert!(able.message.contains("HorizontalPodAutoscaler checkout"), "{}", able.message);
}

#[test]
fn pausing_a_direction_stops_demand_and_not_bounds() {
    for (yaml, spec, load, expected) in [
        ("paused: [ScaleUp]\n", 8, 900.0, None),
        ("paused: [ScaleUp]\nminReplicas: 10\n", 8, 900.0, Some(10)),
        ("paused: [ScaleUp]\n", 8, 300.0, Some(3)),
        ("paused: [ScaleDown]\n", 8, 300.0, None),
        ("paused: [ScaleDown]\nmaxReplicas: 6\n", 8, 300.0, Some(6)),
        ("paused: [ScaleDown]\n", 8, 900.0, Some(9)),
    ] {
        assert_eq!(settled(yaml, spec, Some(load)).write, expected, "{yaml} {spec} {load}");
    }
}

#[test]
fn a_walk_down_waits_for_a_rollout_that_moves_on() {
    let policy = policy(&ceiling(10, "Enforce"));
    let now = Time::from_seconds(1_000_000);
    for (rollout, expected) in [
        (plimsoll::control::Rollout::Progressing, None),
        (plimsoll::control::Rollout::Stalled, Some(10)),
        (plimsoll::control::Rollout::Settled, Some(10)),
    ] {
        let mut workload = workload(15, now);
        workload.rollout = rollout;
        let (decision, _) =
            decide(&policy, &observation(workload, vec![fresh(1500.0)]), Memory::default(), now);
        assert_eq!(decision.write, expected, "{rollout:?}");
    }
}
