//! What a scale-in by demand waits for: each condition alone holds it, and is named.

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
use plimsoll::control::{
    Decision, Memory, Observation, Pod, PodId, Reason, Rollout, Target, Workload, decide,
};
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::{Span, Time};

const METRICS: &str = "metrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, averageValue: 100}}\n- {name: busy, \
                       prometheus: {query: busy}, target: {type: Value, value: 300}}\n- {name: p99, role: SafetyNet, prometheus: {query: \
                       p99}, target: {type: Value, value: 300m}, maxDrop: 1}\n";
const NOW: Time = Time::from_seconds(1_000_000);

/// Ten minutes of calm in which 20 replicas want to be 10, then one evaluation of the world as `disturb` leaves it.
fn after_calm(more: &str, disturb: impl Fn(&mut Observation)) -> Decision {
    let policy = policy(&format!("{METRICS}paused: [ScaleDown]\n"));
    let mut memory = Memory::default();
    let calm = |now| observation(workload(20, now), vec![fresh(1000.0), fresh(150.0), fresh(0.1)]);
    for tick in (1..=40).rev() {
        let now = NOW - Span::from_seconds(15 * tick);
        let (decision, after) = decide(&policy, &calm(now), memory, now);
        assert_eq!(decision.write, None);
        memory = after;
    }
    let mut world = calm(NOW);
    disturb(&mut world);
    decide(&common::policy(&format!("{METRICS}{more}")), &world, memory, NOW).0
}

fn seen(world: &mut Observation) -> &mut Workload {
    match &mut world.target {
        Target::Seen(workload) => workload,
        Target::Unseen(_) => unreachable!(),
    }
}

#[test]
fn a_calm_world_lets_it_happen() {
    assert_eq!(after_calm("", |_| {}).write, Some(10));
}

#[test]
fn each_condition_alone_holds_it() {
    type Disturb = fn(&mut Observation);
    let cases: [(&str, Disturb, Reason); 16] = [
        (
            "a leading signal is missing",
            |world| world.readings[0] = answered(Answer::NoSeries),
            Reason::SignalsUnfit,
        ),
        (
            "the other one is stale",
            |world| world.readings[1].age = Age::Measured(Span::from_seconds(61)),
            Reason::SignalsUnfit,
        ),
        ("a net is missing", |world| world.readings[2] = answered(Answer::NoSeries), Reason::SignalsUnfit),
        ("a net is suspect", |world| world.readings[2] = fresh(f64::NAN), Reason::SignalsUnfit),
        ("a reading is lost", |world| world.readings.truncate(2), Reason::SignalsUnfit),
        ("a net is above its target", |world| world.readings[2] = fresh(0.4), Reason::NetExhausted),
        (
            "the serving pods are above a target",
            |world| seen(world).pods.iter_mut().skip(9).for_each(|pod| pod.terminating_since = Some(NOW)),
            Reason::ServingAboveTarget,
        ),
        ("a pod is still starting", |world| starting(world, 19, 20), Reason::PodsStarting),
        ("a pod is still warming up", |world| warming(world, 19), Reason::PodsStarting),
        ("a pod has not appeared", |world| seen(world).pods.truncate(19), Reason::PodsStarting),
        (
            "a rollout is under way",
            |world| seen(world).rollout = Rollout::Progressing,
            Reason::RolloutInProgress,
        ),
        (
            "an age was only measured earlier",
            |world| {
                world.readings[1].age =
                    Age::Earlier { age: Span::from_seconds(30), at: NOW - Span::from_seconds(45) };
            },
            Reason::AgeUnconfirmed,
        ),
        (
            "the age is not known",
            |world| world.readings[0].age = Age::Unknown("timed out".into()),
            Reason::SignalsUnfit,
        ),
        ("the server warns", |world| world.readings[0].warnings.push("partial".into()), Reason::SignalsUnfit),
        ("no pod serves", |world| starting(world, 0, 20), Reason::ServingAboveTarget),
        (
            "a level is just over its edge at the count below",
            |world| world.readings[2] = fresh(0.32),
            Reason::AnticipatedFlapping,
        ),
    ];
    for (name, disturb, reason) in cases {
        let decision = after_calm("", disturb);
        assert_eq!(decision.write, None, "{name}: {decision:#?}");
        let found = decision.steps.iter().any(|step| step.reason == reason);
        assert!(found, "{name} is to be explained by {reason}: {decision:#?}");
        assert_eq!(decision.wants_age, reason == Reason::AgeUnconfirmed, "{name}");
    }
    let paused = after_calm("paused: [ScaleDown]\n", |_| {});
    assert_eq!((paused.write, paused.reason), (None, Reason::Paused));
    let disabled = after_calm("behavior: {scaleDown: {selectPolicy: Disabled}}\n", |_| {});
    assert_eq!((disabled.write, disabled.reason), (None, Reason::ScaleDownLimit));
}

#[test]
fn where_the_count_stays_anyway_no_age_is_waited_for() {
    for (more, reason) in [
        ("minReplicas: 20\n", Reason::TooFewReplicas),
        ("behavior: {scaleDown: {selectPolicy: Disabled}}\n", Reason::ScaleDownLimit),
    ] {
        let decision = after_calm(more, |world| {
            world.readings[1].age =
                Age::Earlier { age: Span::from_seconds(30), at: NOW - Span::from_seconds(45) };
        });
        assert_eq!((decision.write, decision.reason, decision.wants_age), (None, reason, false), "{more}");
    }
}

#[test]
fn a_dry_run_waits_for_no_age_so_that_its_status_stays_as_it_is() {
    let decision = after_calm("mode: DryRun\n", |world| {
        world.readings[1].age =
            Age::Earlier { age: Span::from_seconds(30), at: NOW - Span::from_seconds(45) };
    });
    assert_eq!((decision.write, decision.desired, decision.wants_age), (None, Some(10), false));
}

#[test]
fn after_somebody_held_0_a_whole_window_must_pass() {
    let policy = policy(METRICS);
    let (mut memory, mut writes) = (Memory::default(), Vec::new());
    for tick in 0..120 {
        let now = NOW + Span::from_seconds(15 * tick);
        // Half an hour at 0 with metrics that fail now and then; then somebody asks for 20.
        let replicas = if tick < 60 { 0 } else { 20 };
        let readings = if (40..59).contains(&tick) {
            vec![answered(Answer::NoSeries), answered(Answer::NoSeries), fresh(0.1)]
        } else {
            vec![fresh(1000.0), fresh(150.0), fresh(0.1)]
        };
        let (decision, after) = decide(&policy, &observation(workload(replicas, now), readings), memory, now);
        writes.extend(decision.write.map(|write| (tick, write)));
        memory = after;
    }
    let first = writes.first().copied();
    assert!(first.is_some_and(|(tick, _)| tick >= 60 + 20), "300 s are 20 evaluations: {first:?}");
}

#[test]
fn what_has_expired_no_longer_holds_it() {
    type Disturb = fn(&mut Observation);
    let cases: [(&str, Disturb); 4] = [
        ("a pod that has failed to start", |world| starting(world, 19, 3600)),
        ("a rollout that has stalled", |world| seen(world).rollout = Rollout::Stalled),
        ("a pod that terminates", |world| {
            let pod = Pod { terminating_since: Some(NOW), ..seen(world).pods[0] };
            seen(world).pods.push(Pod { id: PodId(99), ..pod });
        }),
        ("an age that cannot have passed its bound", |world| {
            world.readings[1].age =
                Age::Earlier { age: Span::from_seconds(10), at: NOW - Span::from_seconds(45) };
        }),
    ];
    for (name, disturb) in cases {
        assert_eq!(after_calm("", disturb).write, Some(10), "{name}");
    }
}

#[test]
fn a_step_ends_where_a_net_would_be_back_over_its_edge() {
    // 0.2 on 20 pods would be 0.4 on 10; 0.33 is the edge, at 12.1 pods.
    assert_eq!(after_calm("", |world| world.readings[2] = fresh(0.2)).write, Some(13));
}

#[test]
fn shrinking_follows_the_larger_of_raw_and_smoothed() {
    // Raw need just rose to 15 while the average still lies near 10.
    assert_eq!(after_calm("", |world| world.readings[0] = fresh(1500.0)).write, Some(15));
}

#[test]
fn a_floor_is_subject_to_no_dead_band() {
    for (min, expected) in [(20, None), (21, Some(21))] {
        let policy = policy(&format!("minReplicas: {min}\n"));
        let world = observation(workload(20, NOW), vec![fresh(2000.0)]);
        assert_eq!(decide(&policy, &world, Memory::default(), NOW).0.write, expected, "minReplicas {min}");
    }
}

#[test]
fn absence_is_health_only_where_a_net_says_so() {
    let healthy = METRICS.replace("maxDrop: 1", "maxDrop: 1, absent: Healthy");
    let policy = policy(&healthy);
    let mut memory = Memory::default();
    let mut write = None;
    for tick in 0..=40 {
        let now = NOW + Span::from_seconds(15 * tick);
        let absent: Reading = Reading { age: Age::NoSample, ..answered(Answer::NoSeries) };
        let world = observation(workload(20, now), vec![fresh(1000.0), fresh(150.0), absent]);
        let (decision, after) = decide(&policy, &world, memory, now);
        memory = after;
        write = decision.write;
    }
    assert_eq!(write, Some(10));
}

/// Pods from `first` on were created `age` seconds ago and are not Ready.
fn starting(world: &mut Observation, first: usize, age: u64) {
    for pod in seen(world).pods.iter_mut().skip(first) {
        pod.ready_since = None;
        pod.created = NOW - Span::from_seconds(age);
    }
}

/// Pods from `first` on have been Ready for a second.
fn warming(world: &mut Observation, first: usize) {
    for pod in seen(world).pods.iter_mut().skip(first) {
        pod.created = NOW - Span::from_seconds(20);
        pod.ready_since = Some(NOW - Span::from_seconds(1));
    }
}

/// Seconds from a fall of the load to each removal that follows, and the count after it; `spec` is added to the policy.
fn removals(replicas: u32, load: f64, spec: &str, seed: u64) -> Vec<(u64, u32)> {
    let compiled = policy(&format!("maxReplicas: 400\nsmoothing: {{scaleDownHalfLifeSeconds: 0}}\n{spec}"));
    let policy = plimsoll::control::Policy { seed, ..compiled };
    let (mut memory, mut count, mut removals) = (Memory::default(), replicas, Vec::new());
    for second in 0..2400 {
        let now = NOW + Span::from_seconds(second);
        let value = if second < 600 { 100.0 * f64::from(replicas) } else { load };
        let (decision, mut after) =
            decide(&policy, &observation(workload(count, now), vec![fresh(value)]), memory, now);
        if let Some(to) = decision.write {
            count = to;
            after.note_written();
            removals.push((second - 600, to));
        }
        memory = after;
    }
    removals
}

#[test]
fn where_no_rate_is_written_pods_are_removed_gradually() {
    let counts = |removals: Vec<(u64, u32)>| removals.into_iter().map(|(_, to)| to).collect::<Vec<_>>();
    let written = "behavior: {scaleDown: {policies: [{type: Percent, value: 100, periodSeconds: 15}]}}\n";
    for (replicas, load, spec, expected) in [
        (200, 2000.0, "", vec![150, 112, 84, 63, 47, 35, 25, 20]),
        (30, 500.0, "", vec![20, 10, 5]),
        (12, 300.0, "", vec![3]),
        (200, 2000.0, written, vec![20]),
    ] {
        let removals = removals(replicas, load, spec, 0);
        let waits: Vec<_> = removals.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(waits.iter().all(|wait| (60..62).contains(wait)), "a minute apart: {removals:?}");
        assert_eq!(counts(removals), expected, "{replicas} {load} {spec}");
    }
}

#[test]
fn policies_that_lose_their_load_together_remove_their_pods_one_after_the_other() {
    let first = |seed, spec: &str| removals(12, 300.0, spec, seed)[0].0;
    let without = first(0, "");
    let mut moments: Vec<_> = (1..200).map(|seed| first(seed, "")).collect();
    assert!(moments.iter().all(|at| (without..=without + 30).contains(at)), "{without}: {moments:?}");
    assert_eq!(first(7, ""), first(7, ""), "the same policy always at the same offset");
    moments.sort_unstable();
    let most_at_once = moments.chunk_by(|one, other| one == other).map(<[_]>::len).max();
    assert!(most_at_once < Some(20), "spread over half a minute: {moments:?}");
    let short = "behavior: {scaleDown: {stabilizationWindowSeconds: 60}}\n";
    assert!((1..50).all(|seed| first(seed, short) - first(0, short) <= 6), "a tenth of a short window");
    let none = "behavior: {scaleDown: {stabilizationWindowSeconds: 0}}\n";
    assert!((1..50).all(|seed| first(seed, none) == first(0, none)), "and of no window nothing");
}
