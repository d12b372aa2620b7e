//! What one decision costs: time with three signals, full 600 s windows and its explanation; memory per policy.

#![allow(clippy::expect_used, reason = "a bench may fail loudly")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::{
    CountOrPercent, Decision, Memory, Observation, Overrides, Pod, PodId, Policy, Rollout, ScalabilityView,
    Target, UpdateStrategy, Workload, decide,
};
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::{Span, Time};

const POLICY: &str = "
scaleTargetRef: {name: checkout}
minReplicas: 6
maxReplicas: 60
metrics:
- {name: rps, prometheus: {query: 'sum(rate(requests_total[1m]))'}, target: {type: AverageValue, averageValue: 90}}
- {name: busy, prometheus: {query: 'avg(busy_workers)'}, target: {type: Value, value: 12}}
- {name: p99, role: SafetyNet, prometheus: {query: 'p99'}, target: {type: Value, value: 300m}}
behavior:
  scaleUp: {stabilizationWindowSeconds: 600}
  scaleDown: {stabilizationWindowSeconds: 600}
headroom: {percent: 10, replicas: 2}
ceilings:
  connections: [{name: orders-db, inline: {maxConnections: 1500, reserved: 15}, perPod: 20}]
  scalability: {alpha: '0.03', beta: '0.0008', enforcement: Observe}
fallback: {replicas: 12}
";
const REPLICAS: u32 = 40;

struct World {
    policy: Policy,
    memory: Memory,
    now: Time,
}

impl World {
    /// A policy whose windows are full: two hours of evaluations with a load that never repeats.
    fn filled() -> Self {
        let spec: ScalingPolicySpec = serde_saphyr::from_str(POLICY).expect("the policy is valid");
        let policy = Policy::compile(&spec).expect("the policy is valid");
        let mut world = Self { policy, memory: Memory::default(), now: Time::from_seconds(1_000_000) };
        for tick in 0..480 {
            let observation = world.observation(tick);
            let memory = std::mem::take(&mut world.memory);
            world.memory = decide(&world.policy, &observation, memory, world.now).1;
            world.now = world.now + Span::from_seconds(15);
        }
        world
    }

    fn observation(&self, tick: u32) -> Observation {
        // Falling for half an hour, then rising: a falling signal keeps the most entries in a window of maxima, a
        // rising one in a window of minima.
        let phase = f64::from(tick % 240);
        let load = 3_300.0 + 2.0 * if phase < 120.0 { 120.0 - phase } else { phase - 120.0 };
        let reading = |value| Reading {
            answer: Answer::Value(value),
            warnings: Vec::new(),
            age: Age::Measured(Span::from_seconds(7)),
            covered_pods: None,
        };
        let long_ago = self.now - Span::from_seconds(7200);
        let pod = |id| Pod {
            id: PodId(u64::from(id)),
            created: long_ago,
            ready_since: Some(long_ago + Span::from_seconds(20)),
            terminating_since: None,
        };
        Observation {
            readings: vec![reading(load), reading(load / 290.0), reading(0.212)],
            target: Target::Seen(Workload {
                spec_replicas: REPLICAS,
                pods: (0..REPLICAS).map(pod).collect(),
                departed: Vec::new(),
                rollout: Rollout::Settled,
                revision: 0,
                update: UpdateStrategy::RollingUpdate {
                    max_surge: CountOrPercent::Percent(25),
                    max_unavailable: CountOrPercent::Percent(25),
                },
                termination_grace: Span::from_seconds(30),
                progress_deadline: Span::from_seconds(600),
                zones: 0,
            }),
            overrides: Overrides::default(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: Vec::new(),
        }
    }
}

fn main() {
    let world = World::filled();
    let observation = world.observation(480);
    let (decision, _) = decide(&world.policy, &observation, world.memory.clone(), world.now);
    println!("decision: {}; {} steps", decision.message, decision.steps.len());
    // Before anything else has grown the heap.
    memory_per_policy(&world, &decision);

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("decide/3 signals, 600 s windows, 40 pods, explanation included", |bencher| {
        bencher.iter_batched(
            || world.memory.clone(),
            |memory| decide(black_box(&world.policy), black_box(&observation), memory, world.now),
            BatchSize::SmallInput,
        );
    });
    criterion.final_summary();
}

/// Policy, memory with full windows and last decision of 10,000 policies, by what the process takes from the system.
fn memory_per_policy(world: &World, decision: &Decision) {
    const POLICIES: usize = 10_000;
    let Some(before) = resident_kib() else {
        println!("memory per policy: not measured, this system has no /proc/self/status");
        return;
    };
    let held: Vec<(Policy, Memory, Decision)> =
        (0..POLICIES).map(|_| (world.policy.clone(), world.memory.clone(), decision.clone())).collect();
    let after = resident_kib().unwrap_or(before);
    println!(
        "memory per policy: {:.1} KiB (policy, memory with full windows, last decision; {} held)",
        f64::from(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX)) / 10_000.0,
        held.len()
    );
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}
