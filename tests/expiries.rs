//! Nothing is waited for without end: pods, rollouts and corrections expire, and each expiry is a condition.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod common;

use common::{answered, fresh, observation, policy, workload};
use plimsoll::control::{
    ConditionStatus, Decision, Departed, Memory, Observation, PodId, Policy, Reason, Rollout, Target,
    TargetFault, TargetFaultKind, Workload, decide,
};
use plimsoll::signal::Answer;
use plimsoll::time::{Span, Time};

const STEP: Span = Span::from_seconds(15);
const BEGIN: Time = Time::from_seconds(1_000_005);

/// Decides every fifteen seconds on what `world` shows, and returns each decision with the time since the beginning.
fn course(policy: &Policy, ticks: u64, world: impl Fn(u64, Time) -> Observation) -> Vec<(u64, Decision)> {
    let mut memory = Memory::default();
    let mut decisions = Vec::new();
    for tick in 0..ticks {
        let now = BEGIN + STEP.times(tick);
        let (decision, after) = decide(policy, &world(tick, now), memory, now);
        memory = after;
        decisions.push((tick * 15, decision));
    }
    decisions
}

fn condition(decision: &Decision, kind: &str) -> Option<(ConditionStatus, Reason, String)> {
    let found = decision.conditions.iter().find(|condition| condition.kind.to_string() == kind)?;
    Some((found.status, found.reason, found.message.clone()))
}

/// Since when a condition has been shown for a reason.
fn shown_since(course: &[(u64, Decision)], kind: &str, reason: Reason) -> Option<u64> {
    let is_shown =
        |decision: &Decision| condition(decision, kind).is_some_and(|(_, shown, _)| shown == reason);
    course.iter().find(|(_, decision)| is_shown(decision)).map(|(seconds, _)| *seconds)
}

/// 20 pods of which the last is what `change` makes of it, with load for 10.
fn idle(now: Time, change: impl Fn(&mut Workload)) -> Observation {
    let mut workload = workload(20, now);
    change(&mut workload);
    observation(workload, vec![fresh(1000.0)])
}

#[test]
fn what_never_comes_is_waited_for_until_its_deadline_and_then_named() {
    type Change = fn(&mut Workload);
    // Its siblings start in 20 seconds: five times that is what a pod may take. A rollout may take its own deadline.
    let cases: [(&str, Change, &str, Reason, &str, u64); 3] = [
        (
            "a pod that is never Ready",
            |workload| {
                workload.pods[19].created = BEGIN;
                workload.pods[19].ready_since = None;
            },
            "PodsFailing",
            Reason::PodsNotReady,
            "1 pod not Ready after",
            105,
        ),
        (
            "a pod that never appears",
            |workload| workload.pods.truncate(19),
            "PodsFailing",
            Reason::PodsMissing,
            "1 pod asked for more than",
            105,
        ),
        (
            "a rollout that makes no progress",
            |workload| workload.rollout = Rollout::Progressing,
            "RolloutStalled",
            Reason::RolloutStalled,
            "makes no progress",
            630,
        ),
    ];
    for (name, change, kind, reason, words, deadline) in cases {
        let at_once = policy(
            "behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\nsmoothing: {scaleDownHalfLifeSeconds: 0}\n",
        );
        let course = course(&at_once, 60, |_, now| idle(now, change));
        let since = shown_since(&course, kind, reason);
        assert_eq!(since, Some(deadline), "{name}");
        for (seconds, decision) in &course {
            if *seconds < deadline {
                assert_eq!(decision.write, None, "{name} at {seconds}: {decision:#?}");
                assert_eq!(condition(decision, kind), None, "{name} at {seconds}");
            }
        }
        let (_, after) = course.iter().find(|(seconds, _)| *seconds >= deadline).unwrap();
        assert!(after.write.is_some_and(|count| count < 20), "{name}: {after:#?}");
        assert!(condition(after, kind).unwrap().2.contains(words), "{name}: {after:#?}");
    }
}

#[test]
fn a_rollout_that_moves_on_is_waited_for_however_long_it_takes() {
    let course = course(&policy(""), 200, |tick, now| {
        idle(now, |workload| {
            workload.rollout = Rollout::Progressing;
            // Another pod turns Ready every five minutes.
            workload.pods[19].ready_since = Some(BEGIN + STEP.times(tick - tick % 20));
        })
    });
    assert_eq!(shown_since(&course, "RolloutStalled", Reason::RolloutStalled), None);
    assert!(course.iter().all(|(_, decision)| decision.write.is_none()));
}

#[test]
fn a_rollout_moves_on_while_old_pods_go_also_where_no_new_pod_is_seen() {
    type Change = fn(&mut Workload, u64, Time);
    let cases: [(&str, Change); 2] = [
        ("a pod that ends in view", |workload, tick, now| {
            let first = workload.pods.first_mut().unwrap();
            first.terminating_since = (tick % 20 == 0).then_some(now);
        }),
        ("a pod that is gone before anybody looks again", |workload, tick, _| {
            let gone = Departed { id: PodId(1000 + tick), drain: STEP.times(1) };
            workload.departed.extend((tick % 20 == 0).then_some(gone));
        }),
    ];
    for (name, change) in cases {
        // An old pod goes every five minutes; the watch that would tell whose the new ones are is silent.
        let course = course(&policy(""), 200, |tick, now| {
            idle(now, |workload| {
                workload.rollout = Rollout::Progressing;
                change(workload, tick, now);
            })
        });
        assert_eq!(shown_since(&course, "RolloutStalled", Reason::RolloutStalled), None, "{name}");
        assert!(course.iter().all(|(_, decision)| decision.write.is_none()), "{name}");
    }
}

#[test]
fn another_revision_is_another_rollout_with_a_deadline_of_its_own() {
    // A quota lets no pod come; after eight minutes somebody rolls out the next revision.
    let course = course(&policy(""), 80, |tick, now| {
        idle(now, |workload| {
            workload.rollout = Rollout::Progressing;
            workload.revision = if tick < 32 { 1 } else { 2 };
        })
    });
    let since = shown_since(&course, "RolloutStalled", Reason::RolloutStalled);
    assert_eq!(since, Some(480 + 630));
}

#[test]
fn a_workload_that_cannot_be_read_makes_no_metric_unfit() {
    let policy = policy("fallback: {afterSeconds: 60, replicas: 15}\n");
    let course = course(&policy, 8, |tick, now| {
        let mut world = observation(workload(10, now), vec![fresh(1000.0)]);
        if tick == 1 || tick == 2 {
            let message = "the API server does not answer".to_owned();
            world.target = Target::Unseen(TargetFault { kind: TargetFaultKind::Unavailable, message });
        }
        if tick > 2 {
            world.readings = vec![answered(Answer::NoSeries)];
        }
        world
    });
    let writes = course.iter().filter(|(_, decision)| decision.write == Some(15));
    assert_eq!(writes.map(|(seconds, _)| *seconds).next(), Some(90), "the metric was fit until 30");
}

#[test]
fn a_rollout_that_its_controller_gave_up_is_named_and_not_waited_for() {
    let course = course(&policy(""), 30, |_, now| idle(now, |workload| workload.rollout = Rollout::Stalled));
    assert_eq!(shown_since(&course, "RolloutStalled", Reason::RolloutStalled), Some(0));
    assert!(course.iter().any(|(_, decision)| decision.write.is_some()));
}

#[test]
fn pods_that_never_appear_take_no_room_of_those_that_warm_up() {
    let policy = policy("warmUp: {maxConcurrent: 4, source: Declared, seconds: 30}\n");
    // Of 20 that were asked for a quota lets 16 exist; load for 30.
    let course = course(&policy, 60, |_, now| {
        let mut workload = workload(20, now);
        workload.pods.truncate(16);
        observation(workload, vec![fresh(3000.0)])
    });
    for (seconds, decision) in &course {
        let expected = if *seconds < 105 { None } else { Some(24) };
        assert_eq!(decision.write, expected, "at {seconds}: {decision:#?}");
    }
}

#[test]
fn a_misspelt_annotation_is_told_and_the_others_act() {
    let mut world = idle(BEGIN, |_| {});
    world.overrides.unreadable = Some("annotation plimsoll.dev/freeze: \"ten\" is not understood".to_owned());
    world.overrides.emergency_max =
        Some(plimsoll::control::Override { replicas: 5, until: None, reason: None });
    let (decision, _) = decide(&policy(""), &world, Memory::default(), BEGIN);
    assert_eq!(decision.write, Some(5));
    let (status, reason, message) = condition(&decision, "Ready").unwrap();
    assert_eq!((status, reason), (ConditionStatus::False, Reason::UnreadableAnnotation));
    assert!(message.contains("plimsoll.dev/freeze"), "{message}");
}

/// A world in which somebody sets the count to `theirs` `lag` evaluations after each of our writes, `times` times.
fn contested(theirs: u32, load: f64, times: u32) -> Vec<(u64, u32, Decision)> {
    let policy = policy(
        "behavior: {scaleDown: {stabilizationWindowSeconds: 60}}\nsmoothing: {scaleDownHalfLifeSeconds: 0}\n",
    );
    let (mut memory, mut count, mut left) = (Memory::default(), 10, times);
    let mut decisions = Vec::new();
    let mut theirs_next = Some(8);
    for tick in 0..400_u64 {
        if theirs_next == Some(tick) && left > 0 {
            (count, left) = (theirs, left - 1);
        }
        let now = BEGIN + STEP.times(tick);
        let world = observation(workload(count, now), vec![fresh(load)]);
        let (decision, mut after) = decide(&policy, &world, memory, now);
        decisions.push((tick * 15, count, decision.clone()));
        if let Some(to) = decision.write {
            count = to;
            after.note_written();
            theirs_next = Some(tick + 1);
        }
        memory = after;
    }
    decisions
}

#[test]
fn a_count_set_by_somebody_else_is_corrected_once_and_then_kept_for_longer_and_longer() {
    let once = contested(16, 1000.0, 1);
    assert_eq!(once.iter().filter(|(_, _, decision)| decision.write.is_some()).count(), 1);
    assert!(once.iter().all(|(_, _, decision)| condition(decision, "ReplicasOverwritten").is_none()));

    let again = contested(16, 1000.0, u32::MAX);
    let writes: Vec<_> =
        again.iter().filter(|(_, _, decision)| decision.write.is_some()).map(|(at, ..)| *at).collect();
    let waits: Vec<_> = writes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(writes[0], 120, "corrected at once");
    assert_eq!(&waits[..3], [315, 615, 1215], "and then once a back-off: {writes:?}");
    let held = &again.iter().find(|(at, ..)| *at == 150).unwrap().2;
    assert_eq!((held.write, held.reason), (None, Reason::ReplicasOverwritten), "{held:#?}");
    let (status, _, message) = condition(held, "ReplicasOverwritten").unwrap();
    assert_eq!(status, ConditionStatus::True);
    assert!(message.contains("set replicas to 16"), "{message}");
}

#[test]
fn of_two_counts_the_larger_is_held() {
    // Somebody sets 4, and 10 are needed: each time more are added, and the condition tells why.
    let again = contested(4, 1000.0, u32::MAX);
    let below: Vec<_> = again.iter().filter(|(_, count, _)| *count < 10).collect();
    assert!(below.len() > 100);
    assert!(below.iter().all(|(_, count, decision)| decision.write.is_some_and(|to| to > *count)));
    assert!(below.iter().skip(2).any(|(.., decision)| condition(decision, "ReplicasOverwritten").is_some()));
}

#[test]
fn zero_set_by_somebody_else_is_left_alone() {
    for (at, count, decision) in contested(0, 1000.0, 1) {
        if count == 0 {
            assert_eq!((decision.write, decision.reason), (None, Reason::ScalingDisabled), "{at}");
        }
    }
    assert!(contested(0, 1000.0, 1).iter().any(|(_, count, _)| *count == 0));
}
