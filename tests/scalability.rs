//! The scalability ceiling, learnt in closed loop: the count follows demand, throughput follows the count by a law that
//! the policy is not told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly"
)]

mod common;

use common::{fresh, observation, policy, workload};
use plimsoll::ceiling::usl::Law;
use plimsoll::control::{
    ConditionStatus, ConditionType, Decision, Limit, Memory, Policy, Reason, RecalledScalability, Rollout,
    ScalabilitySample, ScalabilityView, decide,
};
use plimsoll::time::Time;

const LAW: Law = Law { lambda: 100.0, alpha: 0.03, beta: 0.0008 };
const DAY: i64 = 86_400;
/// Midnight, on the grid of windows.
const START: i64 = 1_700_006_400;
const TICK: i64 = 15;
const WINDOW: i64 = 120;

const FIT: &str = "
ceilings:
  scalability:
    fit:
      throughputQuery: sum(rate(served_total[1m]))
      readyReplicasQuery: count(up == 1)
      utilizationQuery: sum(busy) / sum(workers)
      objective: {query: p99, atMost: 300m}
    enforcement: Enforce
";

fn fitted(more: &str) -> Policy {
    policy(&format!(
        "maxReplicas: 60\nmetrics:\n- name: rps\n  prometheus: {{query: 'sum(rate(arrivals_total[1m]))'}}\n  target: {{type: AverageValue, averageValue: 45}}\n{more}"
    ))
}

struct World {
    policy: Policy,
    memory: Memory,
    /// Seconds since the epoch.
    now: i64,
    replicas: u32,
    revision: u64,
    rollout: Rollout,
    /// The load at its peak, in requests a second.
    busiest: f64,
    seed: u64,
    /// What Prometheus holds: one sample a tick.
    samples: Vec<ScalabilitySample>,
    read: usize,
    fault: Option<String>,
    complete: bool,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            memory: Memory::default(),
            now: START,
            replicas: 8,
            revision: 7,
            rollout: Rollout::Settled,
            busiest: 2_000.0,
            seed: 1,
            samples: Vec::new(),
            read: 0,
            fault: None,
            complete: true,
        }
    }

    /// Between −1 and 1.
    fn noise(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from(u32::try_from(self.seed >> 33).unwrap()) / f64::from(1_u32 << 30) - 1.0
    }

    fn load(&self) -> f64 {
        let share = (self.now - START) as f64 / DAY as f64;
        self.busiest * (0.55 - 0.45 * (share * std::f64::consts::TAU).cos())
    }

    fn tick(&mut self) -> Decision {
        self.now += TICK;
        let (load, capacity) = (self.load(), LAW.throughput(f64::from(self.replicas)));
        let utilization = (load / capacity).min(1.0);
        let (one, other) = (self.noise(), self.noise());
        self.samples.push(ScalabilitySample {
            at: Time::from_seconds(self.now),
            throughput: Some(load.min(capacity) * (1.0 + 0.02 * one)),
            ready_replicas: Some(f64::from(self.replicas)),
            utilization: Some((utilization * (1.0 + 0.02 * other)).min(1.0)),
            saturation: None,
            objective: Some(0.04 / (1.0 - utilization).max(0.001)),
        });
        let settled = (self.now - 30).div_euclid(WINDOW) * WINDOW;
        let ready = self.samples.iter().filter(|sample| sample.at <= Time::from_seconds(settled)).count();
        let now = Time::from_seconds(self.now);
        let mut seen = observation(workload(self.replicas, now), vec![fresh(load)]);
        if let plimsoll::control::Target::Seen(workload) = &mut seen.target {
            workload.revision = self.revision;
            workload.rollout = self.rollout;
        }
        seen.scalability = match &self.fault {
            Some(fault) => ScalabilityView { fault: Some(fault.clone()), ..ScalabilityView::default() },
            None => ScalabilityView {
                samples: self.samples[self.read.min(ready)..ready].to_vec(),
                complete: self.complete,
                fault: None,
            },
        };
        if self.fault.is_none() {
            self.read = ready;
        }
        let (decision, memory) = decide(&self.policy, &seen, self.memory.clone(), now);
        self.memory = memory;
        self.replicas = decision.write.unwrap_or(self.replicas);
        decision
    }

    fn run(&mut self, seconds: i64) -> Decision {
        let mut last = self.tick();
        for _ in 1..seconds / TICK {
            last = self.tick();
        }
        last
    }

    /// The largest count of the next `seconds`.
    fn largest(&mut self, seconds: i64) -> u32 {
        (0..seconds / TICK)
            .map(|_| {
                self.tick();
                self.replicas
            })
            .max()
            .unwrap()
    }
}

fn ceiling(decision: &Decision) -> Option<u32> {
    let report = decision.ceilings.iter().find(|report| report.limit == Limit::Scalability).unwrap();
    report.replicas
}

fn message(decision: &Decision) -> &str {
    &decision.ceilings.iter().find(|report| report.limit == Limit::Scalability).unwrap().message
}

fn condition(decision: &Decision) -> (ConditionStatus, Reason) {
    let kind = ConditionType::ScalabilityFitted;
    let found = decision.conditions.iter().find(|condition| condition.kind == kind).unwrap();
    (found.status, found.reason)
}

/// A world that has earned its ceiling, at midnight.
fn learnt(more: &str) -> (World, Decision) {
    let mut world = World::new(fitted(&format!("{FIT}{more}")));
    let last = world.run(2 * DAY);
    (world, last)
}

#[test]
fn the_peak_is_found_on_the_way_up_and_never_passed() {
    let mut world = World::new(fitted(FIT));
    let first = world.largest(DAY);
    assert!(first <= 36, "demand alone asks for 2000/45 replicas, and {first} were written");
    let last = world.tick();
    let ceiling = ceiling(&last).unwrap_or_else(|| panic!("{}", message(&last)));
    assert!((27..=36).contains(&ceiling), "the peak is at 34.8, 80 % of it is 27.9: {}", message(&last));
    assert_eq!(condition(&last), (ConditionStatus::True, Reason::CeilingEarned));
    assert!(message(&last).contains("throughput peaks at 3"), "{}", message(&last));
    let held = world.largest(DAY);
    assert!(held <= 36, "held at {ceiling}, and {held} were written");
    let known = world.tick().scalability.unwrap();
    assert!((known.peak.unwrap() - 34.8).abs() < 3.5, "{known:?}");
    assert!((known.alpha.unwrap() - 0.03).abs() < 0.015, "{known:?}");
}

#[test]
fn the_limit_is_named_with_what_is_unmet() {
    let (mut world, _) = learnt("");
    world.run(DAY / 2 - 600);
    let busy = world.tick();
    assert_eq!(busy.limited_by, Some(Limit::Scalability));
    assert!(busy.unmet >= 8, "{busy:?}");
    assert!(ceiling(&busy).is_some_and(|ceiling| busy.from == Some(ceiling)));
}

#[test]
fn observed_it_is_told_and_limits_nothing() {
    let observed = FIT.replace("Enforce", "Observe");
    let mut world = World::new(fitted(&observed));
    world.run(DAY);
    let largest = world.largest(DAY);
    assert!(largest > 40, "{largest}");
    assert!(ceiling(&world.tick()).is_some());
}

#[test]
fn a_workload_that_never_came_near_its_peak_has_no_ceiling_and_says_why() {
    let mut world = World::new(fitted(FIT));
    let young = world.run(600);
    assert_eq!(condition(&young), (ConditionStatus::False, Reason::TooFewWindows));
    assert!(message(&young).starts_with("no ceiling yet: too few windows"), "{}", message(&young));
    world.busiest = 600.0;
    let last = world.run(3 * DAY);
    assert_eq!(ceiling(&last), None);
    let (status, reason) = condition(&last);
    assert_eq!(status, ConditionStatus::False);
    let near = [Reason::NeverNearPeak, Reason::NoPeakYet, Reason::IntervalTooWide, Reason::RangeTooNarrow];
    assert!(near.contains(&reason), "{reason}: {}", message(&last));
    assert_eq!(world.policy.max, last.effective_max);
}

#[test]
fn a_new_revision_earns_its_ceiling_anew() {
    let (mut world, last) = learnt("");
    assert!(ceiling(&last).is_some());
    world.revision = 8;
    world.rollout = Rollout::Progressing;
    let rolling = world.run(300);
    assert_eq!(ceiling(&rolling), None, "{}", message(&rolling));
    world.rollout = Rollout::Settled;
    let young = world.run(3600);
    assert_eq!(condition(&young), (ConditionStatus::False, Reason::NewRevision));
    let since = young.scalability.unwrap().since;
    assert!(since > Time::from_seconds(START + 2 * DAY), "windows of the old revision are not read again");
    world.run(DAY);
    assert!(ceiling(&world.tick()).is_some());
}

#[test]
fn a_rollout_within_the_revision_spoils_its_windows_and_keeps_the_ceiling() {
    let (mut world, last) = learnt("");
    world.rollout = Rollout::Progressing;
    let rolling = world.run(1800);
    assert_eq!(ceiling(&rolling), ceiling(&last));
    let windows = rolling.scalability.unwrap().windows;
    assert!(windows <= last.scalability.unwrap().windows, "no window counts in a rollout");
}

#[test]
fn a_restart_keeps_the_ceiling_and_reads_its_windows_again() {
    let (mut world, last) = learnt("");
    let known = last.scalability.unwrap();
    let mut memory = Memory::default();
    let (revision, since, ceiling_before) = (known.revision, known.since, known.ceiling);
    memory.recall_scalability(RecalledScalability { revision, since, ceiling: ceiling_before });
    world.memory = memory;
    world.fault = Some("connection refused".to_owned());
    let blind = world.run(3600);
    assert_eq!(ceiling(&blind), ceiling_before, "{}", message(&blind));
    assert!(message(&blind).contains("as known from before"), "{}", message(&blind));
    assert!(message(&blind).contains("connection refused"), "{}", message(&blind));
    world.fault = None;
    world.read = 0;
    let again = world.tick();
    assert_eq!(condition(&again), (ConditionStatus::True, Reason::CeilingEarned));
    assert!(again.scalability.unwrap().windows > 30, "{again:?}");
    // An operator that starts without a status knows nothing, and says so.
    world.memory = Memory::default();
    world.fault = Some("connection refused".to_owned());
    assert_eq!(condition(&world.tick()), (ConditionStatus::Unknown, Reason::WindowsUnreadable));
}

#[test]
fn a_restart_into_another_revision_does_not_trust_what_was_known() {
    let (mut world, last) = learnt("");
    let known = last.scalability.unwrap();
    world.memory = Memory::default();
    let recalled = RecalledScalability { revision: 99, since: known.since, ceiling: Some(9) };
    world.memory.recall_scalability(recalled);
    let next = world.tick();
    assert_eq!(ceiling(&next), None);
    assert_eq!(next.scalability.unwrap().revision, 7);
}

#[test]
fn other_queries_start_anew_and_ask_for_all_the_time() {
    let (mut world, last) = learnt("");
    world.policy = fitted(&FIT.replace("served_total", "done_total"));
    let edited = world.tick();
    assert_eq!(ceiling(&edited), None);
    assert_eq!(edited.scalability.unwrap().since, last.scalability.unwrap().since);
    world.read = 0;
    assert!(ceiling(&world.tick()).is_some());
}

#[test]
fn a_ceiling_does_not_move_with_every_window() {
    let (mut world, last) = learnt("");
    let mut seen = vec![ceiling(&last)];
    for _ in 0..3 * DAY / TICK {
        let ceiling = ceiling(&world.tick());
        if seen.last() != Some(&ceiling) {
            seen.push(ceiling);
        }
    }
    assert!(seen.len() <= 4, "{seen:?}");
    assert!(seen.iter().all(Option::is_some), "{seen:?}");
}

#[test]
fn samples_that_are_missing_make_no_window() {
    let mut world = World::new(fitted(FIT));
    for _ in 0..DAY / TICK {
        world.tick();
        let number = world.samples.len();
        if number % 8 == 3 {
            world.samples[number - 1].throughput = None;
        }
    }
    assert_eq!(world.tick().scalability.unwrap().windows, 0);
}

#[test]
fn a_full_workload_tells_its_capacity_without_a_utilization() {
    let saturated = FIT
        .replace("utilizationQuery: sum(busy) / sum(workers)", "saturation: {query: queue, above: 0}")
        .replace("averageValue: 45", "averageValue: 150");
    let mut world = World::new(fitted(&saturated));
    world.policy.max = 20;
    for _ in 0..DAY / TICK {
        let full = world.load() > LAW.throughput(f64::from(world.replicas));
        world.tick();
        world.samples.last_mut().unwrap().saturation = Some(if full { 5.0 } else { 0.0 });
    }
    let known = world.tick().scalability.unwrap();
    assert!(known.windows > 0, "some windows were full");
}

#[test]
fn a_knee_asked_for_needs_no_peak() {
    let knee = FIT.replace("enforcement: Enforce", "enforcement: Enforce\n    marginalGainPercent: 20");
    let with_knee = World::new(fitted(&knee)).run(2 * DAY);
    let knee = LAW.knee(0.2);
    let ceiling = ceiling(&with_knee).unwrap();
    assert!(ceiling.abs_diff(knee) <= 3, "{ceiling} for a knee of {knee}: {}", message(&with_knee));
}

#[test]
fn a_ceiling_falls_at_once_and_rises_only_when_the_higher_one_lasts() {
    let (mut world, last) = learnt("");
    let known = last.scalability.unwrap();
    let recalled = |ceiling| RecalledScalability {
        revision: known.revision,
        since: known.since,
        ceiling: Some(ceiling),
    };
    world.memory = Memory::default();
    world.memory.recall_scalability(recalled(20));
    world.read = 0;
    let first = world.tick();
    assert_eq!(ceiling(&first), Some(20));
    assert!(message(&first).contains("20 stay in force"), "{}", message(&first));
    assert_eq!(ceiling(&world.run(3000)), Some(20));
    assert!(ceiling(&world.run(900)) >= Some(27));
    world.memory = Memory::default();
    world.memory.recall_scalability(recalled(55));
    world.read = 0;
    assert!(ceiling(&world.tick()) <= Some(36));
}

#[test]
fn half_of_the_past_moves_no_ceiling() {
    let (mut world, last) = learnt("");
    let known = last.scalability.unwrap();
    world.memory = Memory::default();
    let (revision, since) = (known.revision, known.since);
    world.memory.recall_scalability(RecalledScalability { revision, since, ceiling: Some(44) });
    world.read = 0;
    world.complete = false;
    assert_eq!(ceiling(&world.run(600)), Some(44));
    world.complete = true;
    assert!(ceiling(&world.run(600)) <= Some(36));
}

#[test]
fn a_clock_that_was_ahead_keeps_no_window_from_counting() {
    let (mut world, last) = learnt("");
    let known = last.scalability.unwrap();
    world.memory = Memory::default();
    let tomorrow = Time::from_seconds(world.now + DAY);
    let recalled = RecalledScalability { revision: known.revision, since: tomorrow, ceiling: None };
    world.memory.recall_scalability(recalled);
    assert!(world.run(DAY / 2).scalability.unwrap().windows > 30);
}
