//! Headroom that is learnt, and steady rises that are projected, through the operator's own decision in virtual time.

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

use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::{
    ConditionStatus, ConditionType, Decision, History, Lesson, Memory, Observation, PastCounts, Policy,
    Reason, StepName, decide,
};
use plimsoll::number::from_u64;
use plimsoll::signal::Moments;
use plimsoll::simulate::{
    Days, Load, PlantSettings, PolicyScaler, Run, Scaler, Settings, Trace, map, simulate,
};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

mod common;

use common::{fresh, observation, workload};

const CAPACITY: f64 = 100.0;

fn policy(more: &str) -> Policy {
    let spec: ScalingPolicySpec = serde_saphyr::from_str(&format!(
        "scaleTargetRef: {{name: service}}\nminReplicas: 1\nmaxReplicas: 200\nmetrics:\n- name: rps\n  zero: Data\n  \
         prometheus: {{query: rps}}\n  target: {{type: AverageValue, averageValue: {CAPACITY}}}\n{more}"
    ))
    .unwrap();
    Policy::compile(&spec).unwrap()
}

fn settings(start_up: u64, days: Days) -> Settings {
    let plant = PlantSettings {
        start_up: Span::from_seconds(start_up),
        drain: Span::ZERO,
        ..PlantSettings::default()
    };
    Settings { days, record: false, ..common::simulated(plant, CAPACITY, Span::from_seconds(5)) }
}

fn run(policy: &Policy, load: &Load, settings: &Settings) -> Run {
    let simulable = map(policy, &[], &settings.sensor).unwrap();
    simulate("", settings, load, &Scaler::Policy(Box::new(PolicyScaler::new(&simulable))))
}

fn trace(name: &str) -> Load {
    let load = Trace::named(name).unwrap().load().unwrap();
    let peak = load.peak();
    load.times(50.0 * CAPACITY / peak)
}

const OBSERVED: &str =
    "headroom: {calibrated: {enforcement: Observe}, leadCompensation: {enforcement: Observe}}\n";

#[test]
fn the_default_policy_serves_real_load_that_the_bare_target_loses() {
    for (name, start_up, days) in [("smooth", 180, 4), ("business", 60, 8)] {
        let load = trace(name).first(Span::from_seconds(days * 86_400));
        // The first days teach.
        let settings = settings(start_up, Days::Odd);
        let bare = run(&policy(OBSERVED), &load, &settings).figures;
        let default = run(&policy(""), &load, &settings).figures;
        println!(
            "{name}: {:.3} % of {:.0} h unserved, {:.3} % of {:.0} h with headroom",
            bare.unserved_percent, bare.replica_hours, default.unserved_percent, default.replica_hours
        );
        assert!(bare.unserved_percent > 0.2, "{bare:?}");
        assert!(default.unserved_percent <= 0.1, "{default:?}");
        assert!(default.replica_hours < 1.4 * bare.replica_hours, "{default:?}");
    }
}

/// Load that scatters by three percent around the same mean, minute by minute.
fn stationary(hours: u32) -> Load {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let minutes = (0..hours * 60).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        1900.0 * (1.0 + 0.06 * (from_u64(state >> 40) / from_u64(1 << 24) - 0.5))
    });
    Load::of(Span::from_seconds(60), minutes)
}

#[test]
fn load_that_only_scatters_gets_no_trend_and_as_much_headroom_as_it_scatters() {
    let load = stationary(72);
    let settings = settings(180, Days::All);
    let without = run(&policy(OBSERVED), &load, &settings).figures.replica_hours;
    let trend = "headroom: {calibrated: {enforcement: Observe}}\n";
    let with_trend = run(&policy(trend), &load, &settings).figures.replica_hours;
    assert!(with_trend <= 1.01 * without, "{with_trend} {without}");
    let default = run(&policy(""), &load, &settings).figures.replica_hours;
    assert!(default <= 1.1 * without, "{default} {without}");
}

#[test]
fn a_ramp_is_met_before_anything_was_learnt() {
    // From 500 to 4500 in an hour: one pod more in a minute and a half, and pods take three minutes.
    let ramp =
        (0..120_u32).map(|minute| 500.0 + 4000.0 * f64::from(minute.saturating_sub(30).min(60)) / 60.0);
    let load = Load::of(Span::from_seconds(60), ramp);
    let settings = settings(180, Days::All);
    let bare = run(&policy(OBSERVED), &load, &settings).figures;
    let led = run(&policy(""), &load, &settings).figures;
    println!("{:.3} % unserved, {:.3} % with lead compensation", bare.unserved_percent, led.unserved_percent);
    assert!(led.unserved_percent < 0.5 * bare.unserved_percent, "{led:?}\n{bare:?}");
    assert!(led.replica_hours < 1.15 * bare.replica_hours, "{led:?}\n{bare:?}");
    let capped = run(&policy("headroom: {leadCompensation: {maxPercent: 0}}\n"), &load, &settings).figures;
    assert!((capped.unserved_percent - bare.unserved_percent).abs() < 1e-9, "{capped:?}\n{bare:?}");
}

/// A day of values every 30 s: `usual`, and half more in ten minutes of each hour.
fn day(until: Time, usual: f64) -> Lesson {
    let moments = Moments::within(until - Span::from_seconds(86_400), until, Span::from_seconds(30));
    let value = |at: Time| if at.millis().rem_euclid(3_600_000) < 600_000 { 1.5 * usual } else { usual };
    Lesson { metric: "rps".to_owned(), moments, values: moments.iter().map(|at| Some(value(at))).collect() }
}

#[test]
fn a_day_of_the_past_teaches_at_once_and_is_said() {
    let now = Time::from_seconds(1_800_001_200);
    let seen = |lessons| Observation { lessons, ..observation(workload(10, now), vec![fresh(1000.0)]) };
    let of = |more: &str, lessons| {
        let policy = common::policy(more);
        let (_, memory) = decide(&policy, &seen(lessons), Memory::default(), now);
        // Told once, it is not told again.
        decide(&policy, &seen(Vec::new()), memory, now + Span::from_seconds(15)).0
    };
    let need = |decision: &Decision| {
        decision.steps.iter().find(|step| step.step == StepName::Need).unwrap().message.clone()
    };
    let condition = |decision: &Decision| {
        decision
            .conditions
            .iter()
            .find(|condition| condition.kind == ConditionType::HeadroomSufficient)
            .cloned()
    };
    let ignorant = of("", Vec::new());
    assert_eq!(need(&ignorant), "rps: 1000 ÷ 100 per replica = 10");
    assert_eq!((ignorant.write, condition(&ignorant)), (None, None));

    let taught = of("", vec![day(now, 1000.0)]);
    let headroom = taught.signals[0].headroom.unwrap();
    assert!((4.0..6.5).contains(&headroom.replicas), "{headroom:?}");
    let words = need(&taught);
    assert!(
        words.starts_with("rps: 1000 ÷ 100 per replica + ") && words.contains(" learnt headroom = 1"),
        "{words}"
    );
    assert!(taught.desired >= Some(14), "{taught:?}");
    let said = condition(&taught).unwrap();
    assert_eq!(
        (said.status, said.reason),
        (ConditionStatus::True, Reason::HeadroomCovers),
        "{}",
        said.message
    );
    assert!(said.message.contains("learnt over 24 h of rps"), "{}", said.message);

    let observed = of("headroom: {calibrated: {enforcement: Observe}}\n", vec![day(now, 1000.0)]);
    assert_eq!((observed.write, need(&observed).as_str()), (None, "rps: 1000 ÷ 100 per replica = 10"));
    let said = condition(&observed).unwrap();
    assert_eq!(
        (said.status, said.reason),
        (ConditionStatus::False, Reason::HeadroomTooSmall),
        "{}",
        said.message
    );
    assert!(said.message.contains("or lower the target by 3"), "{}", said.message);

    let declared = of("headroom: {percent: 80}\n", vec![day(now, 1000.0)]);
    assert_eq!(need(&declared), "rps: 1000 ÷ 100 per replica × 1.8 headroom = 18");

    let other = Lesson { metric: "other".to_owned(), ..day(now, 1000.0) };
    assert_eq!(of("", vec![other]).signals[0].headroom, None);
}

#[test]
fn what_was_learnt_outlives_history_and_a_clock_that_jumps_back() {
    let now = Time::from_seconds(1_800_001_200);
    let policy = common::policy("");
    let taught = Observation {
        lessons: vec![day(now, 1000.0)],
        ..observation(workload(10, now), vec![fresh(1000.0)])
    };
    let (_, memory) = decide(&policy, &taught, Memory::default(), now);
    let moments = Moments::within(now - Span::from_seconds(600), now, Span::from_seconds(15));
    let history = History {
        moments,
        readings: vec![moments.iter().map(|_| fresh(1000.0)).collect()],
        counts: PastCounts::default(),
    };
    let later = now + Span::from_seconds(15);
    let seen = observation(workload(10, later), vec![fresh(1000.0)]);
    let lived = [(now, taught.clone())];
    let replayed = memory.clone().with_history(&policy, &history, &lived, &workload(10, later), later);
    assert!(decide(&policy, &seen, replayed, later).0.signals[0].headroom.is_some());
    let earlier = now - Span::from_seconds(7200);
    let seen = observation(workload(10, earlier), vec![fresh(1000.0)]);
    assert!(decide(&policy, &seen, memory, earlier).0.signals[0].headroom.is_some());
}

#[test]
fn an_edited_target_is_taught_anew() {
    let now = Time::from_seconds(1_800_001_200);
    let with = |lessons| Observation { lessons, ..observation(workload(10, now), vec![fresh(1000.0)]) };
    let memory = decide(&common::policy(""), &with(vec![day(now, 1000.0)]), Memory::default(), now).1;
    // A replica carries four times as much: the same load is a need of 2.5, and what comes on top is less too.
    let edited = common::policy(
        "metrics:\n- name: rps\n  prometheus: {query: 'sum(rate(requests_total[1m]))'}\n  target: {type: AverageValue, averageValue: 400}\n",
    );
    let later = now + Span::from_seconds(15);
    let known = decide(&edited, &with(vec![day(now, 1000.0)]), memory, later).0;
    let fresh_start = decide(&edited, &with(vec![day(now, 1000.0)]), Memory::default(), later).0;
    assert_eq!(known.signals[0].headroom, fresh_start.signals[0].headroom);
}

proptest! {
    /// Whatever was learnt: never below what the bare target asks for, never past a ceiling; and missing history changes
    /// nothing.
    #[test]
    fn headroom_only_adds_and_ceilings_hold(
        value in 1.0..4000.0_f64,
        usual in 1.0..4000.0_f64,
        replicas in 1..60_u32,
        most in 5..60_u32,
    ) {
        let now = Time::from_seconds(1_800_001_200);
        let more = format!("minReplicas: 1\nmaxReplicas: {most}\n");
        let policy = common::policy(&more);
        let bare = common::policy(&(more.clone() + OBSERVED));
        let decided = |policy: &Policy, lessons: Vec<Lesson>| {
            let seen = Observation { lessons, ..observation(workload(replicas, now), vec![fresh(value)]) };
            decide(policy, &seen, Memory::default(), now).0
        };
        let taught = decided(&policy, vec![day(now, usual)]);
        let untaught = decided(&policy, Vec::new());
        let reactive = decided(&bare, vec![day(now, usual)]);
        prop_assert_eq!(untaught.desired, reactive.desired);
        prop_assert!(taught.desired >= reactive.desired, "{:?} {:?}", taught.desired, reactive.desired);
        prop_assert!(taught.desired <= Some(most.max(replicas)));
    }
}
