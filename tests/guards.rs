//! Guards: what holds the count while something behind the workload suffers, and what ends that.

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
    Activation, ConditionStatus, ConditionType, Decision, GuardState, Memory, Pod, PodId, Policy, Reason,
    Rollout, Target, decide,
};
use plimsoll::signal::{Age, Answer, Reading, SignalState};
use plimsoll::time::{Span, Time};

const START: Time = Time::from_seconds(1_000_000);

/// A guard on the database's CPU, with `more` fields.
fn guard(more: &str) -> String {
    format!(
        "guards: [{{name: db-cpu, prometheus: {{query: max(cpu)}}, threshold: \"0.85\", releaseThreshold: \"0.7\", {more}}}]\n"
    )
}

type Disturb = fn(&mut plimsoll::control::Workload);

/// The scale-in window is short, so that only guards hold anything.
const CALM: &str = "behavior: {scaleDown: {stabilizationWindowSeconds: 30}}\n";

/// A world in which pods are warm a minute after they were ordered.
struct Course {
    policy: Policy,
    memory: Memory,
    now: Time,
    replicas: u32,
    /// When each pod was ordered.
    pods: Vec<Time>,
}

impl Course {
    fn new(yaml: &str, replicas: u32) -> Self {
        Self::of(policy(yaml), replicas)
    }

    fn of(policy: Policy, replicas: u32) -> Self {
        let long_ago = START - Span::from_seconds(7200);
        let pods = (0..replicas).map(|_| long_ago).collect();
        Self { policy, memory: Memory::default(), now: START, replicas, pods }
    }

    /// Decides on a load, in pods, and a guard's reading, and writes what comes of it. The next evaluation is 15 seconds
    /// later.
    fn tick(&mut self, load: f64, guard: Reading) -> Decision {
        self.tick_with(load, guard, |_| {})
    }

    fn tick_with(
        &mut self,
        load: f64,
        guard: Reading,
        disturb: impl Fn(&mut plimsoll::control::Workload),
    ) -> Decision {
        let now = self.now;
        let mut seen = workload(0, now);
        seen.spec_replicas = self.replicas;
        seen.pods = (0_u64..)
            .zip(&self.pods)
            .map(|(id, ordered)| Pod {
                id: PodId(id),
                created: *ordered,
                ready_since: (now.since(*ordered) >= Span::from_seconds(20))
                    .then(|| *ordered + Span::from_seconds(20)),
                terminating_since: None,
            })
            .collect();
        disturb(&mut seen);
        let mut world = observation(seen, vec![fresh(load * 100.0)]);
        world.guards = vec![guard];
        let (decision, memory) = decide(&self.policy, &world, std::mem::take(&mut self.memory), now);
        self.memory = memory;
        if let Some(write) = decision.write {
            self.replicas = write;
            self.pods.resize(usize::try_from(write).unwrap(), now);
        }
        self.now = now + Span::from_seconds(15);
        decision
    }

    fn state(&mut self, load: f64, guard: Reading) -> GuardState {
        self.tick(load, guard).guards[0].state
    }

    fn seconds(&self) -> u64 {
        self.now.since(START).millis() / 1000
    }
}

fn stale() -> Reading {
    Reading { age: Age::Measured(Span::from_seconds(600)), ..fresh(0.1) }
}

fn missing() -> Reading {
    answered(Answer::NoSeries)
}

#[test]
fn each_action_holds_what_it_says() {
    // Action, load in pods, count after an hour's hold of 20 replicas, its reason.
    for (action, load, expected, reason) in [
        ("BlockScaleUp", 30.0, 20, Reason::GuardActive),
        ("BlockScaleUp", 10.0, 20, Reason::GuardActive),
        ("BlockScaleDown", 30.0, 30, Reason::WithinTolerance),
        ("BlockScaleDown", 10.0, 20, Reason::GuardActive),
        ("Freeze", 30.0, 20, Reason::GuardActive),
        ("Freeze", 10.0, 20, Reason::GuardActive),
        ("CapAtCurrent", 30.0, 20, Reason::GuardActive),
        ("CapAtCurrent", 10.0, 20, Reason::GuardActive),
    ] {
        let mut course =
            Course::new(&(guard(&format!("action: {action}, maxDurationSeconds: 86400")) + CALM), 20);
        let mut last = None;
        for _ in 0..240 {
            last = Some(course.tick(load, fresh(0.9)));
        }
        let last = last.unwrap();
        assert_eq!((course.replicas, last.reason), (expected, reason), "{action} {load}: {last:#?}");
    }
}

#[test]
fn a_guard_names_itself_with_its_numbers() {
    let mut course = Course::new(&guard("action: BlockScaleUp"), 25);
    let decision = course.tick(42.0, fresh(0.91));
    assert_eq!(decision.write, None);
    assert_eq!(decision.message, "needs 42, held at 25 by guard db-cpu");
    assert_eq!(decision.limited_by.as_ref().unwrap().to_string(), "guard/db-cpu");
    assert_eq!((decision.unmet, decision.need), (17, Some(42)));
    let sentence = "guard db-cpu reads 910m, above 850m: nothing is added or removed by demand since 1970-01-12T13:46:40Z, \
                    until 1970-01-12T14:16:40Z at the latest";
    let step = decision.steps.iter().find(|step| step.reason == Reason::GuardActive).unwrap();
    assert_eq!((step.before, step.after, step.message.as_str()), (42, 25, sentence));
    let guarded =
        decision.conditions.iter().find(|condition| condition.kind == ConditionType::Guarded).unwrap();
    assert_eq!(
        (guarded.status, guarded.reason, guarded.message.as_str()),
        (ConditionStatus::True, Reason::GuardActive, sentence)
    );
    let limited =
        decision.conditions.iter().find(|condition| condition.kind == ConditionType::ScalingLimited);
    assert_eq!(limited.unwrap().message, "needs 42, held at 25 by guard db-cpu: 17 replicas are unmet");
    assert_eq!(
        decision.advice[0],
        "relieve what guard db-cpu watches (it reads 910m, its threshold is 850m): 42 replicas would put 17 more to work on it"
    );
}

#[test]
fn it_begins_beyond_the_threshold_and_ends_after_a_hold_at_the_release() {
    use GuardState::{Active, Inactive, Releasing};
    let above = guard("action: BlockScaleUp, holdSeconds: 45");
    let below = "guards: [{name: cache, prometheus: {query: hits}, comparison: LessThan, threshold: \"0.8\", \
                 releaseThreshold: \"0.9\", action: BlockScaleDown, holdSeconds: 45}]\n";
    let without_release =
        "guards: [{name: lag, prometheus: {query: lag}, threshold: 5, action: Freeze, holdSeconds: 0}]\n";
    for (yaml, values) in [
        (
            above.as_str(),
            vec![
                (0.85, Inactive),
                (0.86, Active),
                (0.8, Active),
                (0.7, Releasing),
                (0.69, Releasing),
                (0.71, Active),
                (0.6, Releasing),
                (0.6, Releasing),
                (0.6, Releasing),
                (0.6, Inactive),
                (0.8, Inactive),
            ],
        ),
        (
            below,
            vec![
                (0.8, Inactive),
                (0.79, Active),
                (0.85, Active),
                (0.9, Releasing),
                (0.9, Releasing),
                (0.9, Releasing),
                (0.9, Inactive),
            ],
        ),
        (without_release, vec![(5.0, Inactive), (5.1, Active), (5.0, Inactive), (0.0, Inactive)]),
    ] {
        let mut course = Course::new(yaml, 5);
        let states: Vec<_> =
            values.iter().map(|(value, _)| (*value, course.state(5.0, fresh(*value)))).collect();
        assert_eq!(states, values, "{yaml}");
    }
}

#[test]
fn what_is_not_fit_to_use_counts_as_the_policy_says() {
    use GuardState::{Active, Inactive, Releasing};
    for (on_missing, from_calm, from_active) in
        [("Hold", Inactive, Active), ("Ignore", Inactive, Releasing), ("Activate", Active, Active)]
    {
        let yaml = guard(&format!("action: BlockScaleUp, onMissing: {on_missing}"));
        for unfit in [stale(), missing(), fresh(f64::NAN), answered(Answer::ManySeries(2))] {
            let mut course = Course::new(&yaml, 5);
            course.tick(5.0, fresh(0.1));
            assert_eq!(course.state(5.0, unfit.clone()), from_calm, "{on_missing} {unfit:?}");
            let mut course = Course::new(&yaml, 5);
            course.tick(5.0, fresh(0.9));
            assert_eq!(course.state(5.0, unfit.clone()), from_active, "{on_missing} {unfit:?}");
        }
    }
}

#[test]
fn a_guard_that_cannot_see_is_told() {
    let mut course = Course::new(&guard("action: BlockScaleUp"), 5);
    let decision = course.tick(5.0, missing());
    let found = |kind| decision.conditions.iter().find(|condition| condition.kind == kind).unwrap();
    let guarded = found(ConditionType::Guarded);
    assert_eq!((guarded.status, guarded.reason), (ConditionStatus::Unknown, Reason::GuardUnfit));
    assert!(guarded.message.contains("guard db-cpu is Missing (it stays as it is)"), "{}", guarded.message);
    let ready = found(ConditionType::Ready);
    assert_eq!((ready.status, ready.reason), (ConditionStatus::False, Reason::GuardUnfit));
    assert_eq!(decision.guards[0].signal, SignalState::Missing);
}

#[test]
fn a_value_that_flaps_within_the_hold_moves_nothing() {
    let mut course =
        Course::new(&(guard("action: Freeze, holdSeconds: 120, maxDurationSeconds: 7200") + CALM), 20);
    for tick in 0..400 {
        let value = if tick % 7 == 0 { 0.9 } else { 0.5 };
        let load = if tick % 2 == 0 { 30.0 } else { 10.0 };
        course.tick(load, fresh(value));
        assert_eq!(course.replicas, 20, "at {} s", course.seconds());
    }
}

#[test]
fn after_the_longest_time_the_count_moves_a_step_at_a_time() {
    let yaml = guard("action: BlockScaleUp, holdSeconds: 30, maxDurationSeconds: 600")
        + "warmUp: {source: Declared, seconds: 40}\n";
    let mut course = Course::new(&yaml, 20);
    let mut moves = Vec::new();
    for _ in 0..120 {
        let before = course.replicas;
        let at = course.seconds();
        let decision = course.tick(40.0, fresh(0.9));
        if course.replicas != before {
            moves.push((at, course.replicas));
            assert_eq!(decision.steps.iter().filter(|step| step.reason == Reason::GuardExpired).count(), 1);
            let guarded = decision
                .conditions
                .iter()
                .find(|condition| condition.kind == ConditionType::Guarded)
                .unwrap();
            assert_eq!((guarded.status, guarded.reason), (ConditionStatus::True, Reason::GuardExpired));
        }
    }
    // A tenth of the count each, until the rest is within the tolerance; the pods of a step are warm 60 seconds after they were ordered.
    let expected: Vec<_> = [22, 25, 28, 31, 35, 39]
        .into_iter()
        .zip((600..).step_by(60))
        .map(|(count, at)| (at, count))
        .collect();
    assert_eq!(moves, expected);
}

#[test]
fn an_expired_guard_lets_demand_remove_a_step_at_a_time() {
    let yaml = guard("action: BlockScaleDown, holdSeconds: 60, maxDurationSeconds: 300") + CALM;
    let mut course = Course::new(&yaml, 20);
    let mut moves = Vec::new();
    for _ in 0..60 {
        let before = course.replicas;
        let at = course.seconds();
        course.tick(10.0, fresh(0.9));
        if course.replicas != before {
            moves.push((at, course.replicas));
        }
    }
    assert_eq!(moves, [(300, 18), (360, 16), (420, 14), (480, 12), (540, 10)]);
}

#[test]
fn guards_of_several_policies_end_apart_and_none_later_than_it_may() {
    let compiled = policy(&guard("action: BlockScaleUp, maxDurationSeconds: 1800"));
    let mut ends = std::collections::BTreeMap::<u64, u32>::new();
    for seed in 1..=200 {
        let mut course = Course::of(Policy { seed, ..compiled.clone() }, 10);
        while course.replicas == 10 {
            course.tick(20.0, fresh(0.9));
            assert!(course.seconds() <= 1815, "policy {seed} is still held");
        }
        *ends.entry(course.seconds() - 15).or_default() += 1;
    }
    assert!(ends.keys().all(|end| (1620..=1800).contains(end)), "{ends:?}");
    assert!(ends.len() > 8 && ends.values().all(|policies| *policies < 60), "{ends:?}");
}

#[test]
fn a_step_down_comes_once_a_hold_and_stops_at_floors() {
    let yaml = "minReplicas: 14\n".to_owned()
        + &guard("action: StepDown, holdSeconds: 60, maxDurationSeconds: 86400");
    let mut course = Course::new(&yaml, 20);
    let mut moves = Vec::new();
    for _ in 0..60 {
        let before = course.replicas;
        let at = course.seconds();
        let decision = course.tick(30.0, fresh(0.9));
        if course.replicas != before {
            moves.push((at, course.replicas));
            assert_eq!(decision.reason, Reason::GuardStepDown, "{decision:#?}");
            assert_eq!(
                decision.message,
                format!(
                    "{before} → {}: guard db-cpu steps down while its value is beyond its threshold",
                    course.replicas
                )
            );
        }
    }
    assert_eq!(moves, [(60, 18), (120, 16), (180, 14)]);
}

#[test]
fn a_step_down_needs_a_value_that_is_fit_bad_and_proven_and_keeps_to_the_rules_of_removal() {
    let earlier = Age::Earlier { age: Span::from_seconds(50), at: START };
    let step_down = guard("action: StepDown, holdSeconds: 0, onMissing: Activate");
    let calm: Disturb = |_| {};
    let cases: Vec<(&str, String, Reading, Disturb, Option<u32>)> = vec![
        ("all well", String::new(), fresh(0.9), calm, Some(18)),
        ("between the thresholds", String::new(), fresh(0.8), calm, None),
        (
            "stale",
            String::new(),
            Reading { age: Age::Measured(Span::from_seconds(61)), ..fresh(0.9) },
            calm,
            None,
        ),
        ("missing, taken as bad", String::new(), missing(), calm, None),
        ("several", String::new(), answered(Answer::ManySeries(3)), calm, None),
        (
            "partial",
            String::new(),
            Reading { warnings: vec!["partial".to_owned()], ..fresh(0.9) },
            calm,
            None,
        ),
        ("of an age known from before", String::new(), Reading { age: earlier, ..fresh(0.9) }, calm, None),
        ("in a rollout", String::new(), fresh(0.9), |seen| seen.rollout = Rollout::Progressing, None),
        (
            "in a rollout that stalls",
            String::new(),
            fresh(0.9),
            |seen| seen.rollout = Rollout::Stalled,
            Some(18),
        ),
        ("while no pod serves", String::new(), fresh(0.9), |seen| seen.pods.clear(), None),
        ("paused", "paused: [ScaleDown]\n".to_owned(), fresh(0.9), calm, None),
        ("disabled", "behavior: {scaleDown: {selectPolicy: Disabled}}\n".to_owned(), fresh(0.9), calm, None),
        (
            "at a rate",
            "behavior: {scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}\n".to_owned(),
            fresh(0.9),
            calm,
            Some(19),
        ),
        ("in a dry run", "mode: DryRun\n".to_owned(), fresh(0.9), calm, None),
    ];
    for (name, more, reading, disturb, expected) in cases {
        let mut course = Course::new(&(step_down.clone() + &more), 20);
        course.tick(20.0, fresh(0.8));
        course.tick(20.0, fresh(0.86));
        course.replicas = 20;
        course.pods = vec![START - Span::from_seconds(7200); 20];
        course.memory = Memory::default();
        course.memory.recall_guard(
            "db-cpu",
            Activation { since: START, replicas: 20, good_since: None, last_step: None },
        );
        let decision = course.tick_with(20.0, reading, disturb);
        assert_eq!(decision.write, expected, "{name}: {decision:#?}");
        assert_eq!(decision.wants_age, name == "of an age known from before", "{name}");
    }
}

#[test]
fn a_cap_lets_the_count_grow_back_to_where_the_guard_began() {
    let mut course = Course::new(&guard("action: CapAtCurrent, maxDurationSeconds: 86400"), 20);
    course.tick(20.0, fresh(0.9));
    course.replicas = 12;
    course.pods.truncate(12);
    for _ in 0..40 {
        course.tick(30.0, fresh(0.9));
    }
    assert_eq!(course.replicas, 20);
    let decision = course.tick(30.0, fresh(0.9));
    assert_eq!(decision.message, "needs 30, held at 20 by guard db-cpu");
}

#[test]
fn a_guard_never_holds_the_count_below_the_minimum() {
    for action in ["BlockScaleUp", "Freeze", "CapAtCurrent", "StepDown"] {
        let yaml = "minReplicas: 8\n".to_owned() + &guard(&format!("action: {action}"));
        let mut course = Course::new(&yaml, 3);
        course.tick(20.0, fresh(0.9));
        assert_eq!(course.replicas, 8, "{action}");
    }
}

#[test]
fn nets_are_silent_under_a_guard() {
    let yaml = "metrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, averageValue: 100}}\n- {name: p99, \
                role: SafetyNet, prometheus: {query: p99}, target: {type: Value, value: 300m}}\n"
        .to_owned();
    for (value, expected, reason) in [(0.5, Some(22), Reason::NetAboveTarget), (0.9, None, Reason::NetSilent)]
    {
        let policy = policy(&(yaml.clone() + &guard("action: BlockScaleDown")));
        let mut world = observation(workload(20, START), vec![fresh(2000.0), fresh(0.5)]);
        world.guards = vec![fresh(value)];
        let (decision, _) = decide(&policy, &world, Memory::default(), START);
        assert_eq!(decision.write, expected, "{decision:#?}");
        assert!(decision.steps.iter().any(|step| step.reason == reason), "{decision:#?}");
    }
}

#[test]
fn the_strictest_of_several_guards_is_named() {
    let yaml = "guards:\n- {name: cpu, prometheus: {query: a}, threshold: 1, action: CapAtCurrent}\n- {name: locks, prometheus: \
                {query: b}, threshold: 1, action: BlockScaleUp}\n- {name: lag, prometheus: {query: c}, threshold: 1, action: \
                BlockScaleDown}\n";
    let policy = policy(yaml);
    let mut memory = Memory::default();
    let held = |replicas| Activation { since: START, replicas, good_since: None, last_step: None };
    memory.recall_guard("cpu", held(30));
    memory.recall_guard("locks", held(20));
    let mut world = observation(workload(20, START), vec![fresh(4000.0)]);
    world.guards = vec![fresh(2.0), fresh(2.0), fresh(0.0)];
    let (decision, _) = decide(&policy, &world, memory, START);
    assert_eq!(decision.message, "needs 40, held at 20 by guard locks");
    let states: Vec<_> = decision.guards.iter().map(|guard| guard.state).collect();
    assert_eq!(states, [GuardState::Active, GuardState::Active, GuardState::Inactive]);
    let steps: Vec<_> = decision
        .steps
        .iter()
        .filter(|step| step.reason == Reason::GuardActive)
        .map(|step| (step.before, step.after))
        .collect();
    assert_eq!(steps, [(40, 30), (30, 20)], "one step a guard");
}

/// What a status would carry over a restart.
fn restarted(course: &mut Course, last: &Decision) {
    course.memory = Memory::default();
    for guard in &last.guards {
        if let Some(activation) = guard.activation {
            course.memory.recall_guard(&guard.name, activation);
        }
    }
}

#[test]
fn a_restart_at_any_moment_keeps_the_hold_its_beginning_and_its_end() {
    let yaml = guard("action: BlockScaleUp, holdSeconds: 60, maxDurationSeconds: 600");
    let value = |tick: u32| if (30..36).contains(&tick) { 0.6 } else { 0.9 };
    let whole = |restart: Option<u32>| {
        let mut course = Course::new(&yaml, 20);
        let mut states = Vec::new();
        for tick in 0..100 {
            let decision = course.tick(40.0, fresh(value(tick)));
            states.push((decision.guards[0].state, course.replicas));
            if restart == Some(tick) {
                restarted(&mut course, &decision);
            }
        }
        states
    };
    let undisturbed = whole(None);
    for state in [GuardState::Active, GuardState::Releasing, GuardState::Expired] {
        assert!(undisturbed.iter().any(|(found, _)| *found == state), "{state:?}");
    }
    for restart in 0..100 {
        let states: Vec<_> = whole(Some(restart)).iter().map(|(state, _)| *state).collect();
        let expected: Vec<_> = undisturbed.iter().map(|(state, _)| *state).collect();
        assert_eq!(states, expected, "restarted after evaluation {restart}");
    }
}

#[test]
fn a_workload_that_cannot_be_seen_ends_no_guard() {
    let mut course = Course::new(&guard("action: BlockScaleUp, holdSeconds: 30"), 20);
    course.tick(40.0, fresh(0.9));
    for _ in 0..10 {
        let fault = plimsoll::control::TargetFault {
            kind: plimsoll::control::TargetFaultKind::Unavailable,
            message: "gone".to_owned(),
        };
        let mut world = observation(workload(20, course.now), vec![fresh(4000.0)]);
        world.target = Target::Unseen(fault);
        world.guards = vec![fresh(0.5)];
        let (decision, memory) =
            decide(&course.policy, &world, std::mem::take(&mut course.memory), course.now);
        course.memory = memory;
        course.now = course.now + Span::from_seconds(15);
        assert_eq!(decision.guards[0].activation.unwrap().since, START);
    }
    assert_eq!(course.state(40.0, fresh(0.9)), GuardState::Active);
}

#[test]
fn a_clock_that_was_ahead_holds_nothing_until_its_time_has_come() {
    let mut course = Course::new(&guard("action: BlockScaleUp, maxDurationSeconds: 600"), 20);
    let ahead = START + Span::from_seconds(86_400);
    let held = Activation { since: ahead, replicas: 20, good_since: None, last_step: Some(ahead) };
    course.memory.recall_guard("db-cpu", held);
    while course.replicas == 20 {
        course.tick(40.0, fresh(0.9));
        assert!(course.seconds() <= 615);
    }
}
