//! Safety nets: each bound on what they add.

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
use plimsoll::control::{Decision, Memory, Policy, Reason, decide};
use plimsoll::signal::{Answer, Reading};
use plimsoll::time::{Span, Time};

const START: Time = Time::from_seconds(1_000_000);
/// A pod's start and warm-up, declared, and the age that the metric may have.
const LEAD_TIME: u64 = 30 + 30 + 60;

fn yaml(more: &str) -> String {
    format!(
        "metrics:\n- {{name: rps, prometheus: {{query: rps}}, target: {{type: AverageValue, averageValue: 100}}}}\n- {{name: p99, \
         role: SafetyNet, prometheus: {{query: p99}}, target: {{type: Value, value: 300m}}, maxStepPercent: 20, maxAddPercent: \
         50}}\nwarmUp: {{source: Declared, seconds: 30}}\n{more}"
    )
}

/// A workload whose pods are warm at once, evaluated every 15 seconds.
struct Course {
    policy: Policy,
    memory: Memory,
    now: Time,
    replicas: u32,
}

impl Course {
    fn new(replicas: u32) -> Self {
        Self { policy: policy(&yaml("")), memory: Memory::default(), now: START, replicas }
    }

    fn tick(&mut self, rps: Reading, p99: f64) -> Decision {
        let world = observation(workload(self.replicas, self.now), vec![rps, fresh(p99)]);
        let (decision, memory) = decide(&self.policy, &world, std::mem::take(&mut self.memory), self.now);
        self.memory = memory;
        self.replicas = decision.write.unwrap_or(self.replicas);
        self.now = self.now + Span::from_seconds(15);
        decision
    }

    /// The counts, with the seconds at which each was written. Each pod more takes its share off the latency.
    fn run(&mut self, ticks: u32, rps: &Reading) -> Vec<(u64, u32)> {
        let mut moves = Vec::new();
        for _ in 0..ticks {
            let (at, before) = (self.now.since(START).millis() / 1000, self.replicas);
            self.tick(rps.clone(), 6.0 / f64::from(before));
            if self.replicas != before {
                moves.push((at, self.replicas));
            }
        }
        moves
    }
}

fn found(decision: &Decision, reason: Reason) -> bool {
    decision.steps.iter().any(|step| step.reason == reason)
}

#[test]
fn one_step_in_a_lead_time_until_all_that_may_be_is_added() {
    let mut course = Course::new(10);
    // A fifth of the present count each, and half of the 10 that the load needs in all.
    assert_eq!(course.run(60, &fresh(1000.0)), [(0, 12), (LEAD_TIME, 15)]);
    assert!(found(&course.tick(fresh(1000.0), 0.4), Reason::NetExhausted));
}

#[test]
fn while_the_load_is_not_known_what_was_known_last_bounds_what_is_added() {
    let blind = answered(Answer::NoSeries);
    let mut course = Course::new(10);
    course.tick(fresh(1000.0), 0.1);
    course.run(200, &blind);
    assert_eq!(course.replicas, 15, "half of the 10 that were needed last");

    // Nothing was ever known: the count that was found stands for it.
    let mut course = Course::new(8);
    course.run(200, &blind);
    assert_eq!(course.replicas, 12);
}

#[test]
fn a_step_waits_for_pods_that_are_ordered() {
    let policy = policy(&yaml(""));
    let mut seen = workload(10, START);
    seen.pods[9].ready_since = Some(START - Span::from_seconds(10));
    seen.pods[9].created = START - Span::from_seconds(20);
    let (decision, _) =
        decide(&policy, &observation(seen, vec![fresh(1000.0), fresh(0.6)]), Memory::default(), START);
    assert_eq!(decision.write, None);
    assert!(found(&decision, Reason::NetWaiting), "{decision:#?}");
}

#[test]
fn a_step_that_did_not_help_is_the_last_until_the_value_was_good() {
    let mut course = Course::new(10);
    let mut counts = Vec::new();
    for _ in 0..100 {
        let decision = course.tick(fresh(1000.0), 0.6);
        counts.push(course.replicas);
        if course.now.since(START) > Span::from_seconds(LEAD_TIME + 15) {
            assert!(found(&decision, Reason::NetIneffective), "{decision:#?}");
        }
    }
    counts.dedup();
    assert_eq!(counts, [12], "latency that comes from elsewhere must not be fed");
    course.tick(fresh(1000.0), 0.2);
    course.tick(fresh(1000.0), 0.6);
    assert_eq!(course.replicas, 15, "it may try again");
}

#[test]
fn a_step_that_never_landed_tells_nothing() {
    let mut course = Course::new(10);
    course.tick(fresh(1000.0), 0.6);
    course.replicas = 10;
    for _ in 0..20 {
        let decision = course.tick(fresh(1000.0), 0.6);
        course.replicas = 10;
        assert!(!found(&decision, Reason::NetIneffective));
    }
}
