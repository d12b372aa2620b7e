//! Where the bottleneck is, what would help, and how much load is beyond what the pods carry.

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
    BudgetShare, Condition, ConditionStatus, ConditionType, Decision, Memory, Observation, Policy, Reason,
    decide,
};
use plimsoll::signal::{Answer, Reading};
use plimsoll::time::{Span, Time};

const START: Time = Time::from_seconds(1_000_000);

const SIGNALS: &str = "metrics:\n- {name: cpu, prometheus: {query: cpu}, target: {type: Utilization, averageUtilization: 70}}\n- {name: \
                       p99, role: SafetyNet, prometheus: {query: p99}, target: {type: Value, value: 300m}}\nguards:\n- {name: db-cpu, \
                       prometheus: {query: db}, threshold: \"0.85\", action: BlockScaleUp, holdSeconds: 0}\n";

struct Course {
    policy: Policy,
    memory: Memory,
    now: Time,
}

impl Course {
    fn new(yaml: &str) -> Self {
        Self { policy: policy(yaml), memory: Memory::default(), now: START }
    }

    /// One evaluation of 10 pods; the next is 15 seconds later.
    fn tick(&mut self, cpu: Reading, p99: Reading, guard: Reading) -> Decision {
        let mut world = observation(workload(10, self.now), vec![cpu, p99]);
        world.guards = vec![guard];
        let (decision, memory) = decide(&self.policy, &world, std::mem::take(&mut self.memory), self.now);
        self.memory = memory;
        self.now = self.now + Span::from_seconds(15);
        decision
    }

    /// The condition after so many evaluations of the same.
    fn after(&mut self, ticks: u32, cpu: &Reading, p99: &Reading, guard: &Reading) -> Condition {
        let mut last = None;
        for _ in 0..ticks {
            last = moved(&self.tick(cpu.clone(), p99.clone(), guard.clone())).cloned();
        }
        last.unwrap()
    }
}

fn moved(decision: &Decision) -> Option<&Condition> {
    decision.conditions.iter().find(|condition| condition.kind == ConditionType::BottleneckMoved)
}

fn gone() -> Reading {
    answered(Answer::NoSeries)
}

#[test]
fn the_bottleneck_has_moved_when_the_pods_have_room_and_what_is_behind_them_has_not() {
    use ConditionStatus::{False, True, Unknown};
    // CPU against 70 %, p99 against 300 ms, the database's CPU against 85 %; after five minutes.
    for (name, cpu, p99, guard, status, reason) in [
        ("all is well", fresh(50.0), fresh(0.2), fresh(0.5), False, Reason::NoBottleneckBehind),
        ("the pods are full", fresh(80.0), fresh(0.5), fresh(0.5), False, Reason::NoBottleneckBehind),
        (
            "slow, idle pods, a full database",
            fresh(40.0),
            fresh(0.5),
            fresh(0.9),
            True,
            Reason::BottleneckBehind,
        ),
        (
            "slow, full pods, a full database",
            fresh(90.0),
            fresh(0.5),
            fresh(0.9),
            True,
            Reason::BottleneckBehind,
        ),
        (
            "a full database that nobody feels",
            fresh(40.0),
            fresh(0.2),
            fresh(0.9),
            False,
            Reason::NoBottleneckBehind,
        ),
        ("no load is known", gone(), fresh(0.2), fresh(0.5), Unknown, Reason::BottleneckUnknown),
        ("no latency is known", fresh(50.0), gone(), fresh(0.5), Unknown, Reason::BottleneckUnknown),
        ("the database is not seen", fresh(50.0), fresh(0.2), gone(), Unknown, Reason::BottleneckUnknown),
    ] {
        let condition = Course::new(SIGNALS).after(20, &cpu, &p99, &guard);
        assert_eq!((condition.status, condition.reason), (status, reason), "{name}: {condition:#?}");
    }
}

#[test]
fn a_net_that_did_not_help_tells_without_any_guard() {
    let yaml =
        SIGNALS.split("guards:").next().unwrap().to_owned() + "warmUp: {source: Declared, seconds: 15}\n";
    let mut course = Course { policy: policy(&yaml), memory: Memory::default(), now: START };
    let mut replicas = 10;
    let mut last = None;
    for _ in 0..40 {
        let world = observation(workload(replicas, course.now), vec![fresh(65.0), fresh(0.6)]);
        let (decision, memory) =
            decide(&course.policy, &world, std::mem::take(&mut course.memory), course.now);
        course.memory = memory;
        course.now = course.now + Span::from_seconds(15);
        replicas = decision.write.unwrap_or(replicas);
        last = Some(decision);
    }
    let last = last.unwrap();
    let condition = moved(&last).unwrap();
    assert_eq!(condition.status, ConditionStatus::True);
    assert_eq!(
        condition.message,
        "the bottleneck lies behind this workload: cpu is at 93 % of what 11 serving pods carry; p99 is 600m, above 300m; the pods \
         that were added for it did not help"
    );
    assert_eq!(
        last.advice,
        [
            "look at the tier behind this workload (its database, cache or queue): adding pods here did not help, and costs that tier \
          more"
        ]
    );
}

#[test]
fn evidence_must_last_and_so_must_its_absence() {
    use ConditionStatus::{False, True};
    let (well, ill) = ((fresh(40.0), fresh(0.2), fresh(0.5)), (fresh(40.0), fresh(0.5), fresh(0.9)));
    let mut course = Course::new(SIGNALS);
    let mut seen = Vec::new();
    // Four evaluations of evidence are a minute; 20 without are five.
    for (ticks, (cpu, p99, guard)) in
        [(4, &ill), (1, &well), (5, &ill), (20, &well), (1, &ill), (20, &well), (1, &well)]
    {
        seen.push(course.after(ticks, cpu, p99, guard).status);
    }
    assert_eq!(seen, [False, False, True, True, True, True, False]);
}

#[test]
fn what_a_restart_recalls_is_not_news() {
    let mut course = Course::new(SIGNALS);
    course.memory.recall_bottleneck_moved();
    assert_eq!(course.after(1, &fresh(40.0), &fresh(0.5), &fresh(0.9)).status, ConditionStatus::True);
}

#[test]
fn where_nothing_could_tell_nothing_is_said() {
    let policy = policy("");
    let world = observation(workload(10, START), vec![fresh(1000.0)]);
    let (decision, _) = decide(&policy, &world, Memory::default(), START);
    assert!(moved(&decision).is_none());
}

/// The advice of a policy for `need` pods beside 20.
fn advice(yaml: &str, need: f64, disturb: impl Fn(&mut Observation)) -> Vec<String> {
    let policy = policy(yaml);
    let mut world = observation(workload(20, START), vec![fresh(need * 100.0)]);
    disturb(&mut world);
    decide(&policy, &world, Memory::default(), START).0.advice
}

#[test]
fn where_sharing_is_off_an_enforced_budget_is_in_trouble_and_an_observed_one_is_not() {
    for (enforcement, reason) in [("Enforce", Reason::SharingOff), ("Observe", Reason::BudgetFeasible)] {
        let policy = policy(&format!(
            "ceilings: {{connections: [{{name: db, budgetRef: {{name: orders}}, perPod: 20, enforcement: {enforcement}}}]}}\n"
        ));
        let mut world = observation(workload(20, START), vec![fresh(4200.0)]);
        world.shares = vec![BudgetShare {
            budget: "orders".to_owned(),
            granted: None,
            excess: 0,
            recall: None,
            message: "write numbers".to_owned(),
            sharing_off: true,
        }];
        let decision = decide(&policy, &world, Memory::default(), START).0;
        let found = |kind| decision.conditions.iter().find(|condition| condition.kind == kind).unwrap();
        assert_eq!(found(ConditionType::BudgetInfeasible).reason, reason);
        let ready = found(ConditionType::Ready);
        assert_eq!(ready.status == ConditionStatus::False, reason == Reason::SharingOff, "{ready:?}");
        assert_eq!(decision.write.is_some(), reason == Reason::BudgetFeasible, "{}", decision.message);
    }
}

#[test]
fn a_ceiling_names_the_pool_that_would_carry_all_replicas_or_that_none_would() {
    // 50 replicas and a quarter of them for a rollout, rounded up, are 63 pods.
    for (connections, told) in [
        (1, "; even one connection per pod would not carry maxReplicas 50"),
        (62, "; even one connection per pod would not carry maxReplicas 50"),
        (63, "; a pool of 1 per pod would carry maxReplicas 50"),
        (1000, "; a pool of 15 per pod would carry maxReplicas 50"),
    ] {
        for limit in
            [format!("inline: {{maxConnections: {connections}}}"), "budgetRef: {name: orders}".to_owned()]
        {
            let policy = policy(&format!(
                "ceilings: {{connections: [{{name: orders-db, {limit}, perPod: 20, rolloutOverlap: 0}}]}}\n"
            ));
            let mut world = observation(workload(10, START), vec![fresh(1000.0)]);
            if limit.starts_with("budgetRef") {
                world.shares = vec![BudgetShare {
                    budget: "orders".to_owned(),
                    granted: Some(connections),
                    excess: 0,
                    recall: None,
                    message: String::new(),
                    sharing_off: false,
                }];
            }
            let decision = decide(&policy, &world, Memory::default(), START).0;
            let message = &decision.ceilings[0].message;
            assert!(message.ends_with(told), "{limit}: {message}");
        }
    }
}

#[test]
fn what_would_help_is_told_with_numbers() {
    let ceiling = |limit: &str| {
        format!("ceilings: {{connections: [{{name: orders-db, {limit}, perPod: 20, rolloutOverlap: 0}}]}}\n")
    };
    let inline = ceiling("inline: {maxConnections: 500, reserved: 15, others: 5}");
    let wide = ceiling("inline: {maxConnections: 1000}");
    let budget = ceiling("budgetRef: {name: orders}");
    let granted = |world: &mut Observation| {
        world.shares = vec![BudgetShare {
            budget: "orders".to_owned(),
            granted: Some(480),
            excess: 0,
            recall: None,
            message: String::new(),
            sharing_off: false,
        }];
    };
    let pooler = "or put a transaction pooler in front of orders-db and count its server connections: they follow the statements under \
                  way, not the 42 replicas";
    // 42 and a quarter of them for a rollout, rounded up, are 53.
    assert_eq!(
        advice(&inline, 42.0, |_| {}),
        [
            "raise maxConnections of orders-db from 500 to 1080: 42 replicas + 11 surge + 0 draining at 20 each take 1060 \
             connections, 15 are reserved and 5 taken by others",
            "or lower the pool from 20 to 9 per pod: 53 pods at 9 each take 477 of 480 connections",
            pooler,
        ]
    );
    assert_eq!(
        advice(&budget, 42.0, granted),
        [
            "let budget orders give 580 connections more: 42 replicas + 11 surge + 0 draining at 20 each take 1060 connections, 480 \
             are granted",
            "or lower the pool from 20 to 9 per pod: 53 pods at 9 each take 477 of 480 connections",
            pooler,
        ]
    );
    assert_eq!(
        advice("maxReplicas: 30\n", 42.0, |_| {}),
        ["raise maxReplicas from 30 to 42, if what stands behind the workload carries as many"]
    );
    assert_eq!(
        advice(
            "ceilings: {scalability: {alpha: \"0.03\", beta: \"0.0008\", enforcement: Enforce}}\n",
            42.0,
            |_| {}
        ),
        [
            "shard the workload, or lessen what its replicas wait for together: throughput peaks at 34.8 replicas and falls beyond, \
             so 42 would not carry more"
        ]
    );
    assert_eq!(
        advice("emergencyMax: {replicas: 20}\n", 42.0, |_| {}),
        ["end the emergency cap once its cause is gone: 42 replicas are needed"]
    );
    for (yaml, need) in [(wide.as_str(), 20.0), ("maxReplicas: 42\n", 42.0), ("", 10.0)] {
        assert_eq!(advice(yaml, need, |_| {}), Vec::<String>::new(), "{yaml}");
    }
}

#[test]
fn the_deficit_is_the_load_beyond_what_the_pods_carry() {
    let both = "metrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, averageValue: 100}}\n- {name: cpu, \
                prometheus: {query: cpu}, target: {type: Utilization, averageUtilization: 50}}\n";
    // Ten pods; load, capacity, excess and share by the signal that is furthest above its target.
    for (rps, cpu, expected) in [
        (fresh(800.0), fresh(40.0), Some(("cpu", 40.0, 50.0, 0.0, 0.0))),
        (fresh(1250.0), fresh(40.0), Some(("rps", 1250.0, 1000.0, 250.0, 0.2))),
        (fresh(1250.0), fresh(100.0), Some(("cpu", 100.0, 50.0, 50.0, 0.5))),
        (fresh(1250.0), gone(), Some(("rps", 1250.0, 1000.0, 250.0, 0.2))),
        (gone(), gone(), None),
    ] {
        let world = observation(workload(10, START), vec![rps, cpu]);
        let (decision, _) = decide(&policy(both), &world, Memory::default(), START);
        let deficit = decision.deficit;
        let found = deficit
            .as_ref()
            .map(|found| (found.signal.as_str(), found.load, found.capacity, found.excess, found.share));
        assert_eq!(found, expected);
    }
}

#[test]
fn pods_that_warm_up_carry_what_their_ramp_says_and_none_carry_nothing() {
    for (ramp, capacity) in [("None", 900.0), ("Linear", 950.0)] {
        let policy = policy(&format!("warmUp: {{source: Declared, seconds: 60, ramp: {ramp}}}\n"));
        let mut seen = workload(10, START);
        seen.pods[9].ready_since = Some(START - Span::from_seconds(30));
        let (decision, _) =
            decide(&policy, &observation(seen, vec![fresh(1900.0)]), Memory::default(), START);
        assert_eq!(decision.deficit.map(|deficit| deficit.capacity), Some(capacity), "{ramp}");
    }
    let mut seen = workload(10, START);
    seen.pods.clear();
    let (decision, _) =
        decide(&policy(""), &observation(seen, vec![fresh(1900.0)]), Memory::default(), START);
    let deficit = decision.deficit.unwrap();
    assert_eq!((deficit.capacity, deficit.share), (0.0, 1.0));
}
