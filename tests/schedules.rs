//! Schedules: floors, and nothing but floors.

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

use common::{answered, fresh, observation, workload};
use jiff::Timestamp;
use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::{Decision, Limit, Memory, Policy, Reason, StepName, decide};
use plimsoll::schedule::Phase;
use plimsoll::signal::Answer;
use plimsoll::simulate::{Plant, PlantSettings};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

const LUNCH: &str = "schedules: [{name: lunch, start: \"30 11 * * 1-5\", end: \"0 14 * * 1-5\", timeZone: Europe/Berlin, minReplicas: 20, rampSeconds: 600}]\n";

/// A policy with 2 to 50 replicas.
fn policy(more: &str) -> Policy {
    common::policy(&format!("minReplicas: 2\n{more}"))
}

fn spec(more: &str) -> ScalingPolicySpec {
    common::spec(&format!("minReplicas: 2\n{more}"))
}

/// A Monday in winter: Berlin is an hour ahead.
fn monday(time: &str) -> Time {
    let at: Timestamp = format!("2026-11-23T{time}:00Z").parse().unwrap();
    Time::from_millis(at.as_millisecond())
}

/// The first decision on a workload of so many replicas with a load that needs `load` / 100.
fn decided(policy: &Policy, replicas: u32, load: Option<f64>, now: Time) -> Decision {
    let reading = load.map_or_else(|| answered(Answer::NoSeries), fresh);
    let mut observation = observation(workload(replicas, now), vec![reading]);
    observation.guards = vec![fresh(0.9)];
    decide(policy, &observation, Memory::default(), now).0
}

#[test]
fn a_schedule_raises_the_count_at_its_hour_and_says_so() {
    let policy = policy(LUNCH);
    for (time, phase, floor, replicas) in [
        ("09:00", Phase::Waiting, None, 8),
        ("10:19", Phase::Waiting, None, 8),
        ("10:20", Phase::Waiting, None, 8),
        ("10:25", Phase::RampingUp, Some(11), 11),
        ("10:29", Phase::RampingUp, Some(19), 19),
        ("10:30", Phase::Active, Some(20), 20),
        ("12:59", Phase::Active, Some(20), 20),
        ("13:00", Phase::RampingDown, Some(20), 20),
        ("13:05", Phase::RampingDown, Some(11), 11),
        ("13:10", Phase::Waiting, None, 8),
    ] {
        let decision = decided(&policy, 8, Some(800.0), monday(time));
        let report = &decision.schedules[0];
        assert_eq!((report.phase, report.floor), (phase, floor), "{time}");
        assert_eq!(decision.desired, Some(replicas), "{time}: {:#?}", decision.steps);
    }
    let decision = decided(&policy, 8, Some(800.0), monday("10:30"));
    assert_eq!(decision.message, "8 → 20: schedule lunch keeps at least 20, until 2026-11-23T13:00:00Z");
    let floor = decision.steps.iter().find(|step| step.step == StepName::Floor).unwrap();
    assert_eq!((floor.before, floor.after, floor.reason), (8, 20, Reason::Schedule));
    let next = decision.schedules[0].next.unwrap();
    assert_eq!((next.start, next.end), (monday("10:30") + DAY, monday("13:00") + DAY));
}

const DAY: Span = Span::from_seconds(86_400);

#[test]
fn where_schedules_overlap_the_largest_counts() {
    let policy = policy(
        "schedules:\n- {name: day, start: 0 8 * * *, end: 0 18 * * *, timeZone: UTC, minReplicas: 10}\n- {name: sale, \
         startTime: 2026-11-23T09:00:00Z, durationSeconds: 3600, minReplicas: 30}\n- {name: night, start: 0 20 * * *, \
         durationSeconds: 46800, timeZone: UTC, minReplicas: 5}\n",
    );
    for (time, replicas, by) in [
        ("07:00", 5, "night"),
        ("08:30", 10, "day"),
        ("09:00", 30, "sale"),
        ("10:00", 10, "day"),
        ("21:00", 5, "night"),
    ] {
        let decision = decided(&policy, 2, Some(200.0), monday(time));
        assert_eq!(decision.desired, Some(replicas), "{time}");
        assert!(decision.message.contains(by), "{time}: {}", decision.message);
    }
    let decision = decided(&policy, 2, Some(200.0), monday("19:00"));
    assert_eq!((decision.desired, decision.schedules[1].phase), (Some(2), Phase::Over));
}

#[test]
fn a_schedule_bows_to_what_stands_above_floors_and_to_nothing_below() {
    const ALL_DAY: &str = "schedules: [{name: day, start: 0 0 * * *, durationSeconds: 90000, timeZone: UTC, minReplicas: 20}]\n";
    let ceiling = |replicas: u32| {
        format!(
            "ceilings: {{connections: [{{name: db, inline: {{maxConnections: {}}}, perPod: 4, rolloutOverlap: 0}}]}}\n",
            4 * (replicas + replicas.div_ceil(4))
        )
    };
    let guard = "guards: [{name: db-cpu, prometheus: {query: q}, threshold: \"0.85\", holdSeconds: 0, action: BlockScaleUp}]\n";
    let slow = "behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}\n";
    for (what, more, from, load, to, reason) in [
        ("demand below", String::new(), 8, Some(800.0), 20, Reason::AboveTarget),
        ("demand above", String::new(), 24, Some(2400.0), 24, Reason::WithinTolerance),
        ("no signal", String::new(), 8, None, 20, Reason::AboveTarget),
        ("a rate of demand's", slow.to_owned(), 8, Some(800.0), 20, Reason::AboveTarget),
        (
            "room for pods that warm up",
            "warmUp: {maxConcurrent: 1}\n".to_owned(),
            8,
            Some(800.0),
            20,
            Reason::AboveTarget,
        ),
        ("a ceiling", ceiling(12), 8, Some(800.0), 12, Reason::AboveTarget),
        ("a ceiling without a signal", ceiling(12), 12, None, 12, Reason::ConnectionBudget),
        ("a guard", guard.to_owned(), 8, Some(800.0), 8, Reason::GuardActive),
        (
            "a person's cap",
            "emergencyMax: {replicas: 10}\n".to_owned(),
            8,
            Some(800.0),
            10,
            Reason::AboveTarget,
        ),
        (
            "a frozen count",
            "mode: Frozen\nfrozen: {replicas: 9}\n".to_owned(),
            8,
            Some(800.0),
            9,
            Reason::Frozen,
        ),
        ("paused growth", "paused: [ScaleUp]\n".to_owned(), 8, Some(800.0), 8, Reason::Unchanged),
        ("replicas 0 by somebody", String::new(), 0, Some(800.0), 0, Reason::ScalingDisabled),
    ] {
        let decision = decided(&policy(&format!("{ALL_DAY}{more}")), from, load, monday("12:00"));
        assert_eq!(decision.desired, Some(to), "{what}: {}", decision.message);
        if reason != Reason::Unchanged {
            assert_eq!(decision.reason, reason, "{what}: {}", decision.message);
        }
    }
    let decision = decided(&policy(&format!("{ALL_DAY}{}", ceiling(12))), 12, None, monday("12:00"));
    assert_eq!((decision.need, decision.unmet), (Some(20), 8));
    assert_eq!(decision.limited_by, Some(Limit::Connections("db".to_owned())));
    assert_eq!(decision.message, "needs 20, held at 12 by database connections of db");
}

#[test]
fn what_is_wrong_with_a_schedule_is_refused_in_words() {
    for (schedule, words) in [
        (
            "start: 0 25 * * *, end: 0 9 * * *, timeZone: UTC",
            "schedules[0] (s).start: hour: \"25\" is none of 0 to 23",
        ),
        (
            "start: 0 8 * * *, end: 0 9 * *, timeZone: UTC",
            "schedules[0] (s).end: a cron expression has five fields",
        ),
        ("start: 0 8 * * *, end: 0 9 * * *, timeZone: Europe/Berlln", "there is no zone Europe/Berlln"),
        ("start: 0 8 * * *, end: 0 9 * * *, timeZone: CEST", "there is no zone CEST"),
        ("start: 0 8 * * *, end: 0 9 * * *", "timeZone is missing"),
        ("start: 0 8 * * *, end: 0 8 * * *, timeZone: UTC", "such a window never ends"),
        ("start: 0 8 * * *, timeZone: UTC", "write either end, a cron expression, or durationSeconds"),
        ("start: 0 8 * * *, end: 0 9 * * *, durationSeconds: 60, timeZone: UTC", "write either end"),
        (
            "startTime: 2026-01-02T00:00:00Z, endTime: 2026-01-01T00:00:00Z",
            "endTime must be later than startTime",
        ),
        ("startTime: 2026-01-02T00:00:00Z", "write either endTime, a moment, or durationSeconds"),
        (
            "startTime: 2026-01-02T00:00:00Z, durationSeconds: 60, timeZone: UTC",
            "a moment carries its own zone",
        ),
        ("durationSeconds: 60", "write either start, a cron expression, or startTime, a moment"),
    ] {
        let spec = spec(&format!("schedules: [{{name: s, minReplicas: 5, {schedule}}}]\n"));
        let fault = Policy::compile(&spec).unwrap_err().to_string();
        assert!(fault.contains(words), "{schedule}: {fault}");
    }
    let bounds = spec(
        "schedules: [{name: s, minReplicas: 51, startTime: 2026-01-02T00:00:00Z, durationSeconds: 60}]\n",
    );
    let fault = Policy::compile(&bounds).unwrap_err().to_string();
    assert_eq!(fault, "schedules[0] (s).minReplicas 51 must lie between 2 and 50");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_schedule_never_lowers_a_decision_and_never_passes_a_ceiling(
        loads in proptest::collection::vec(0.0..4_000.0_f64, 1..24),
        start in 0_u32..24,
        hours in 1_u32..20,
        floor in 2_u32..50,
        ramp in 0_u32..7_200,
        connections in 20_u32..260,
        blind in 0_usize..30,
    ) {
        let without = policy(&format!(
            "ceilings: {{connections: [{{name: db, inline: {{maxConnections: {connections}}}, perPod: 4, rolloutOverlap: 0}}]}}\n"
        ));
        let schedules = policy(&format!(
            "schedules: [{{name: s, start: 0 {start} * * *, durationSeconds: {}, timeZone: Europe/Berlin, minReplicas: \
             {floor}, rampSeconds: {ramp}}}]\n",
            hours * 3600
        ))
        .schedules;
        let with = Policy { schedules, ..without.clone() };
        let begin = monday("09:00");
        let mut plant = Plant::new(PlantSettings::default(), 6, begin);
        let mut memory = Memory::default();
        for tick in 0..1_440_usize {
            let now = begin + Span::from_seconds(15).times(tick.try_into().unwrap());
            plant.advance(now);
            let load = loads[tick / 60 % loads.len()];
            let reading = if tick / 60 == blind { answered(Answer::NoSeries) } else { fresh(load) };
            let observation = observation(plant.workload(), vec![reading]);
            let (plain, _) = decide(&without, &observation, memory.clone(), now);
            let (decision, after) = decide(&with, &observation, memory, now);
            memory = after;
            let (plain, desired, from) = (plain.desired.unwrap(), decision.desired.unwrap(), decision.from.unwrap());
            prop_assert!(desired >= plain, "{now:?}: {desired} with the schedule, {plain} without: {}", decision.message);
            let most = decision.effective_max.max(from).max(2);
            prop_assert!(desired <= most, "{now:?}: {desired} beyond {most}: {}", decision.message);
            let growth = decision.ceilings[0].growth_limit.unwrap().max(from);
            prop_assert!(desired <= growth, "{now:?}: {desired} beyond {growth}: {}", decision.message);
            if let Some(replicas) = decision.write {
                plant.scale(replicas);
                memory.note_written();
            }
        }
    }
}
