//! The decision stepped through time on a small virtual plant: ramps, steps, spikes, flapping, cold pods, faults.

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

use common::{answered, fresh, policy};
use plimsoll::control::{ConditionType, Memory, Policy, Reason, Rollout, Workload, decide};
use plimsoll::signal::{Age, Answer, Reading, SignalState};
use plimsoll::simulate::{Course, Plant, PlantSettings, Tick};
use plimsoll::time::{Span, Time};

const START: Time = Time::from_seconds(1_000_000);

fn minutes(minutes: u64) -> Span {
    Span::from_seconds(60 * minutes)
}

/// A course on which `rps` is read exactly.
fn course<'a>(policy: Policy, replicas: u32, load: impl Fn(u64) -> f64 + 'a) -> Course<'a> {
    let plant = Plant::new(PlantSettings::default(), replicas, START);
    Course::new(policy, plant, START, move |now, _| {
        let load = load(now.since(START).rounded_seconds());
        (load, vec![fresh(load)])
    })
}

fn counts(ticks: &[Tick]) -> Vec<u32> {
    let mut counts: Vec<u32> = ticks.iter().map(|tick| tick.replicas).collect();
    counts.dedup();
    counts
}

#[track_caller]
fn reason_at(ticks: &[Tick], reason: Reason) -> bool {
    ticks.iter().any(|tick| {
        tick.decision.reason == reason || tick.decision.steps.iter().any(|step| step.reason == reason)
    })
}

#[test]
fn a_ramp_is_followed_up_at_once_and_down_after_the_window() {
    let ramp = |t: u64| match t {
        0..600 => 400.0 + f64::from(u32::try_from(t).unwrap()) * 2.0,
        600..1200 => 1600.0,
        _ => 400.0,
    };
    let ticks = course(policy(""), 4, ramp).run(minutes(40));
    for tick in &ticks {
        let t = tick.time.since(START).rounded_seconds();
        let need = (tick.load / 100.0).ceil();
        if t < 1200 {
            assert!(
                f64::from(tick.replicas) * 1.1 >= tick.load / 100.0,
                "at {t} s {} replicas for {need}",
                tick.replicas
            );
        }
        if (1200..1200 + 300 - 15).contains(&t) {
            let kept = (16..=17).contains(&tick.replicas);
            assert!(kept, "nothing is removed within the window, and a pod came ahead of the ramp, at {t} s");
        }
    }
    assert_eq!(ticks.last().unwrap().replicas, 4);
    let down: Vec<_> = ticks.windows(2).filter(|pair| pair[1].replicas < pair[0].replicas).collect();
    assert!(!down.is_empty());
}

#[test]
fn a_step_is_ordered_once_although_its_pods_are_slow() {
    let ticks = course(policy(""), 5, |t| if t < 60 { 450.0 } else { 900.0 }).run(minutes(10));
    assert_eq!(counts(&ticks), [5, 9], "cold pods are not ordered twice");
}

#[test]
fn a_level_per_pod_does_not_order_pods_twice_while_they_start() {
    let policy = policy(
        "metrics:\n- name: cpu\n  prometheus: {query: avg(cpu)}\n  target: {type: Utilization, averageUtilization: 80}\n",
    );
    let plant = Plant::new(PlantSettings { start_up: minutes(2), ..PlantSettings::default() }, 5, START);
    let mut course = Course::new(policy, plant, START, |now, plant| {
        let load = if now < START + minutes(1) { 400.0 } else { 480.0 };
        (load, vec![fresh(100.0 * plant.utilization(load))])
    });
    assert_eq!(counts(&course.run(minutes(30))), [5, 6], "480 of load at 80 % of 100 need 6 pods");
}

#[test]
fn a_spike_shorter_than_the_window_is_carried_and_not_forgotten_at_once() {
    let ticks =
        course(policy(""), 4, |t| if (300..345).contains(&t) { 1200.0 } else { 400.0 }).run(minutes(20));
    // The default scale-up rate is the larger of 4 pods and 100 % in 15 s: 4, 8, 12.
    // On the way down the smoothed need is followed, five minutes late.
    assert_eq!(counts(&ticks), [4, 8, 12, 7, 6, 5, 4]);
}

#[test]
fn a_signal_that_swings_around_the_target_moves_nothing() {
    let ticks =
        course(policy(""), 10, |t| if (t / 15).is_multiple_of(2) { 920.0 } else { 1080.0 }).run(minutes(60));
    assert_eq!(counts(&ticks), [10]);
}

#[test]
fn a_load_that_swings_wildly_is_detected_and_calmed() {
    let quick = "behavior: {scaleDown: {stabilizationWindowSeconds: 30}}\nsmoothing: {scaleDownHalfLifeSeconds: 0}\nwarmUp: {source: Declared, seconds: 0}\n";
    let swing = |t: u64| if (t / 90).is_multiple_of(2) { 500.0 } else { 2000.0 };
    let ticks = course(policy(quick), 5, swing).run(minutes(120));
    let mut directions: Vec<bool> = counts(&ticks).windows(2).map(|pair| pair[1] > pair[0]).collect();
    directions.dedup();
    // Forty swings in two hours are eighty reversals where nothing damps them.
    assert!(directions.len() < 40, "{} reversals", directions.len());
    let flapping =
        |tick: &Tick| tick.decision.conditions.iter().any(|c| c.reason == Reason::TooManyReversals);
    assert!(ticks.iter().any(flapping));
}

#[test]
fn a_window_of_nothing_is_widened_from_the_time_between_evaluations() {
    let none = "behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\nsmoothing: {scaleDownHalfLifeSeconds: 0}\nwarmUp: {source: Declared, seconds: 0}\n";
    let swing = |t: u64| if (t / 90).is_multiple_of(2) { 500.0 } else { 2000.0 };
    let ticks = course(policy(none), 5, swing).run(minutes(60));
    let of_calm = |tick: &Tick| {
        let flapping = tick.decision.conditions.iter().find(|c| c.reason == Reason::TooManyReversals)?;
        flapping.message.rsplit_once("before ").map(|(_, calm)| calm.to_owned())
    };
    let mut told: Vec<String> = ticks.iter().filter_map(of_calm).collect();
    told.sort();
    told.dedup();
    assert_eq!(told, ["30 s of calm", "60 s of calm"]);
}

#[test]
fn a_restart_removes_nothing_for_a_window() {
    let mut course = course(policy(""), 10, |_| 300.0);
    course.plant = Plant::new(PlantSettings::default(), 10, START);
    let before = course.run(minutes(4));
    assert_eq!(counts(&before), [10]);
    course.memory = Memory::default();
    let after = course.run(minutes(4));
    assert_eq!(counts(&after), [10], "the old window is forgotten, a new one begins");
    assert_eq!(course.run(minutes(4)).last().unwrap().replicas, 3);
}

#[test]
fn constant_load_keeps_the_count_through_rollouts_crash_loops_and_evictions() {
    type Disturbance = fn(&mut Plant);
    let disturbances: [(&str, Disturbance); 4] = [
        ("rollout", |plant| plant.roll_out(false)),
        ("crash-looping revision", |plant| plant.roll_out(true)),
        ("eviction of three", |plant| plant.evict(3)),
        ("eviction of all", |plant| plant.evict(10)),
    ];
    let level =
        "metrics:\n- name: busy\n  prometheus: {query: avg(busy)}\n  target: {type: Value, value: 80}\n";
    for (name, disturb) in disturbances {
        for (kind, yaml) in [("total", ""), ("level", level)] {
            let plant = Plant::new(PlantSettings::default(), 10, START);
            let mut course = Course::new(policy(yaml), plant, START, move |_, plant| {
                let load = if kind == "total" { 1000.0 } else { 800.0 };
                let value = if kind == "total" { load } else { 100.0 * plant.utilization(load) };
                let reading = if value.is_finite() { fresh(value) } else { answered(Answer::NoSeries) };
                (load, vec![reading])
            });
            course.run(minutes(8));
            disturb(&mut course.plant);
            let ticks = course.run(minutes(30));
            assert_eq!(counts(&ticks), [10], "{kind} under {name}");
        }
    }
}

#[test]
fn pods_that_nobody_asked_for_are_no_demand_and_no_reason_to_remove_others() {
    let level = "metrics:\n- name: busy\n  prometheus: {query: avg(busy)}\n  target: {type: Value, value: 80}\nsmoothing: \
                 {scaleDownHalfLifeSeconds: 0}\nbehavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n";
    // Four are asked for, and seven are Ready: the surge of a rollout, or what a scale-in has yet to take.
    let cases = [
        ("a level that has not fallen yet", 80.0, None),
        ("twice the target on all seven", 160.0, Some(8)),
        ("the load of four, shared by seven", 80.0 * 4.0 / 7.0, None),
    ];
    for rollout in [Rollout::Progressing, Rollout::Settled] {
        for (name, value, expected) in cases {
            let mut memory = Memory::default();
            for tick in 0..8 {
                let now = START + Span::from_seconds(15 * tick);
                let surged = Workload { spec_replicas: 4, rollout, ..common::workload(7, now) };
                let world = common::observation(surged, vec![fresh(value)]);
                let (decision, next) = decide(&policy(level), &world, memory, now);
                memory = next;
                assert_eq!(decision.write, expected, "{name}, {rollout:?}: {decision:#?}");
                if expected.is_some() {
                    let says = |text: &str| decision.steps.iter().any(|step| step.message.contains(text));
                    assert!(
                        says("busy: 4 pods, without 3 that nobody asked for, × 160 ÷ 80 = 8"),
                        "{decision:#?}"
                    );
                    break;
                }
            }
        }
    }
}

#[test]
fn a_lull_during_a_rollout_waits_for_its_end() {
    let mut course = course(policy(""), 20, |_| 300.0);
    course.plant = Plant::new(PlantSettings { start_up: minutes(4), ..PlantSettings::default() }, 20, START);
    course.run(minutes(3));
    course.plant.roll_out(false);
    let ticks = course.run(minutes(6));
    assert_eq!(counts(&ticks), [20]);
    assert!(reason_at(&ticks, Reason::RolloutInProgress) || reason_at(&ticks, Reason::PodsStarting));
    assert_eq!(course.run(minutes(60)).last().unwrap().replicas, 3);
}

#[test]
fn no_bad_answer_moves_the_count() {
    let stale = Reading { age: Age::Measured(minutes(5)), ..fresh(100.0) };
    let made_up = Reading { age: Age::NoSample, ..fresh(0.0) };
    let partial = Reading { warnings: vec!["one store did not answer".to_owned()], ..fresh(100.0) };
    let ageless = Reading { age: Age::Unknown("timed out".to_owned()), ..fresh(100.0) };
    let cases = [
        ("refused", answered(Answer::Failed("connection refused".to_owned())), SignalState::Missing),
        ("empty", answered(Answer::NoSeries), SignalState::Missing),
        ("several series", answered(Answer::ManySeries(3)), SignalState::Suspect),
        ("NaN", fresh(f64::NAN), SignalState::Suspect),
        ("+Inf", fresh(f64::INFINITY), SignalState::Suspect),
        ("-Inf", fresh(f64::NEG_INFINITY), SignalState::Suspect),
        ("-500", fresh(-500.0), SignalState::Suspect),
        ("1e18", fresh(1e18), SignalState::Suspect),
        ("sudden zero", fresh(0.0), SignalState::Suspect),
        ("stale", stale, SignalState::Stale),
        ("made up", made_up, SignalState::Stale),
        ("partial", partial, SignalState::Suspect),
        ("ageless", ageless, SignalState::Suspect),
    ];
    for (name, bad, state) in cases {
        let plant = Plant::new(PlantSettings::default(), 10, START);
        let answer = bad.clone();
        let mut course = Course::new(policy(""), plant, START, move |now, _| {
            let good = now < START + minutes(10);
            (1000.0, vec![if good { fresh(1000.0) } else { answer.clone() }])
        });
        let ticks = course.run(minutes(180));
        assert_eq!(counts(&ticks), [10], "{name}");
        let last = &ticks.last().unwrap().decision;
        assert_eq!(last.signals[0].state, state, "{name}");
        assert!(!last.signals[0].message.is_empty(), "{name} is explained");
    }
}

#[test]
fn a_collapse_must_be_confirmed_and_a_confirmed_one_waits_for_the_window() {
    let ticks = course(policy(""), 10, |t| if t < 600 { 1000.0 } else { 20.0 }).run(minutes(20));
    assert!(reason_at(&ticks, Reason::DemandCollapsed));
    assert_eq!(ticks.last().unwrap().replicas, 2);
}

#[test]
fn the_fallback_raises_and_only_lowers_where_that_is_said() {
    for (behavior, replicas, paused, expected) in [
        ("AtLeast", 12, "", 12),
        ("AtLeast", 6, "", 10),
        ("EvenIfLower", 12, "", 12),
        ("EvenIfLower", 6, "", 6),
        ("AtLeast", 12, "ScaleUp", 10),
        ("EvenIfLower", 12, "ScaleUp", 10),
        ("EvenIfLower", 6, "ScaleUp", 6),
    ] {
        let yaml = format!(
            "paused: [{paused}]\nfallback: {{afterSeconds: 300, behavior: {behavior}, replicas: {replicas}}}\n"
        );
        let plant = Plant::new(PlantSettings::default(), 10, START);
        let mut course = Course::new(policy(&yaml), plant, START, |now, _| {
            let good = now < START + minutes(10);
            (1000.0, vec![if good { fresh(1000.0) } else { answered(Answer::NoSeries) }])
        });
        course.run(minutes(10));
        assert_eq!(
            counts(&course.run(Span::from_seconds(285))),
            [10],
            "{behavior} {replicas} acts only after its time"
        );
        let after = course.run(minutes(10)).last().unwrap().replicas;
        assert_eq!(after, expected, "{behavior} {replicas} {paused}");
    }
}

#[test]
fn headroom_replicas_come_on_top_and_do_not_blur_the_dead_band() {
    let swing = |t: u64| if (t / 15).is_multiple_of(2) { 920.0 } else { 1080.0 };
    let ticks = course(policy("headroom: {replicas: 2}\n"), 12, swing).run(minutes(30));
    assert_eq!(counts(&ticks), [12], "10 for demand, inside its dead band, and 2 spare");
    let ticks = course(policy("headroom: {percent: 50, replicas: 1}\n"), 3, |_| 1000.0).run(minutes(30));
    assert_eq!(ticks.last().unwrap().replicas, 16, "10 × 1.5 + 1");
}

#[test]
fn growth_stops_at_the_connection_ceiling_and_says_what_is_unmet() {
    let yaml = "ceilings:\n  connections:\n  - name: orders-db\n    inline: {maxConnections: 380}\n    perPod: 20\n    rolloutOverlap: 0\n";
    let mut course = course(policy(yaml), 4, |t| if t < 300 { 400.0 } else { 4200.0 });
    let ticks = course.run(minutes(20));
    let last = &ticks.last().unwrap().decision;
    assert_eq!(ticks.last().unwrap().replicas, 15);
    assert_eq!(last.message, "needs 42, held at 15 by database connections of orders-db");
    assert_eq!(
        (last.unmet, last.limited_by.as_ref().map(ToString::to_string)),
        (27, Some("connections/orders-db".to_owned()))
    );
    assert!(ticks.iter().all(|tick| tick.existing * 20 <= 380), "connections stay within the budget");
    course.plant.roll_out(false);
    let rolling = course.run(minutes(20));
    assert!(rolling.iter().all(|tick| tick.replicas == 15));
    assert!(rolling.iter().all(|tick| tick.decision.unmet == 27), "draining pods need no replicas");
    assert!(rolling.iter().map(|tick| tick.existing).max().unwrap() > 15, "the rollout surges");
}

#[test]
fn a_rate_that_ends_growth_below_the_ceiling_is_not_told_as_the_ceiling() {
    let yaml = "ceilings:\n  connections:\n  - name: orders-db\n    inline: {maxConnections: 380}\n    perPod: 20\n    rolloutOverlap: 0\n";
    let decision = course(policy(yaml), 4, |_| 4200.0).step().decision;
    assert_eq!(decision.write, Some(8));
    assert_eq!(
        decision.message,
        "4 → 8: rps needs 42, more than 4 and its tolerance of 10 %; database connections of orders-db will allow 15 of the 42 \
         needed"
    );
    let limited =
        decision.conditions.iter().find(|condition| condition.kind == ConditionType::ScalingLimited);
    assert_eq!(
        limited.unwrap().message,
        "needs 42, database connections of orders-db will allow 15: 27 replicas are unmet"
    );
}

#[test]
fn a_ceiling_that_falls_is_walked_down_to_or_cut_where_it_is_hard() {
    let lowered = |enforcement: &str| {
        format!(
            "behavior: {{scaleDown: {{selectPolicy: Disabled, policies: [{{type: Pods, value: 1, periodSeconds: 60}}]}}}}\n\
             ceilings:\n  connections:\n  - name: orders-db\n    inline: {{maxConnections: 200}}\n    perPod: 20\n    \
             rolloutOverlap: 0\n    enforcement: {enforcement}\n"
        )
    };
    for (enforcement, expected) in
        [("Observe", vec![12]), ("Enforce", vec![12, 11, 10, 9, 8]), ("Hard", vec![12, 8])]
    {
        let mut course = course(policy(""), 12, |_| 1200.0);
        course.run(minutes(5));
        course.policy = policy(&lowered(enforcement));
        let mut seen = vec![12];
        seen.extend(counts(&course.run(minutes(20))));
        seen.dedup();
        assert_eq!(seen, expected, "{enforcement}");
    }
}

#[test]
fn a_safety_net_adds_in_steps_and_stops_where_it_does_not_help() {
    let yaml = "metrics:\n- name: rps\n  prometheus: {query: rps}\n  target: {type: AverageValue, averageValue: 100}\n- name: p99\n  role: SafetyNet\n  prometheus: {query: p99}\n  target: {type: Value, value: 300m}\n  maxStepPercent: 20\n  maxAddPercent: 60\n";
    for (helps, least, most) in [(true, 13, 16), (false, 12, 12)] {
        let plant = Plant::new(PlantSettings::default(), 10, START);
        let mut course = Course::new(policy(yaml), plant, START, move |_, plant| {
            let p99 = if helps { 0.6 * 10.0 / f64::from(plant.serving()) } else { 0.6 };
            (1000.0, vec![fresh(1000.0), fresh(p99)])
        });
        let ticks = course.run(minutes(60));
        let last = ticks.last().unwrap();
        assert!((least..=most).contains(&last.replicas), "helps {helps}: {:?}", counts(&ticks));
        assert_eq!(reason_at(&ticks, Reason::NetIneffective), !helps);
    }
}

#[test]
fn a_scale_in_waits_for_an_age_measured_at_the_evaluation() {
    let plant = Plant::new(PlantSettings::default(), 10, START);
    let mut course = Course::new(policy(""), plant, START, |now, _| {
        let earlier = Age::Earlier { age: Span::from_seconds(50), at: now - Span::from_seconds(45) };
        (300.0, vec![Reading { age: earlier, ..fresh(300.0) }])
    });
    let ticks = course.run(minutes(20));
    assert_eq!(counts(&ticks), [10]);
    assert!(ticks.last().unwrap().decision.wants_age && reason_at(&ticks, Reason::AgeUnconfirmed));
    assert!(!ticks[0].decision.wants_age, "not asked for while something else holds as well");
}

#[test]
fn pods_that_never_appear_do_not_hold_a_scale_in_for_ever() {
    let mut course = course(policy(""), 10, |_| 300.0);
    course.plant = Plant::new(PlantSettings::default(), 10, START);
    course.plant.scale(20);
    course.plant.roll_out(true);
    let ticks = course.run(minutes(60));
    assert!(ticks.last().unwrap().replicas < 20, "{:?}", counts(&ticks));
}
