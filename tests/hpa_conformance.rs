//! Under `compat: Hpa` the decision is HPA v2's, tick by tick: replicas and reasons.

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

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use plimsoll::api::{Behavior, ScalingPolicySpec, ScalingRules};
use plimsoll::control::{
    Compat, ConditionType, CountOrPercent, Decision, Memory, Observation, Overrides, Policy, Rollout,
    ScalabilityView, Target, UpdateStrategy, Workload, decide,
};
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::{Span, Time};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sequence {
    id: u32,
    min_replicas: u32,
    max_replicas: u32,
    initial_replicas: u32,
    average_value_targets: BTreeMap<String, serde_json::Number>,
    scale_up: Option<ScalingRules>,
    scale_down: Option<ScalingRules>,
    ticks: Vec<Tick>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tick {
    t: i64,
    metrics: BTreeMap<String, Option<f64>>,
    replicas: u32,
    able_to_scale_reason: Option<String>,
    scaling_limited_reason: Option<String>,
}

#[test]
fn every_hpa_vector_is_reproduced_tick_by_tick() {
    let path = std::env::var_os("PLIMSOLL_HPA_VECTORS")
        .map_or_else(|| PathBuf::from("tests/data/hpa/behavior-vectors.jsonl.gz"), PathBuf::from);
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut ticks = 0;
    let mut sequences = 0;
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let sequence: Sequence = serde_json::from_str(&line.unwrap()).unwrap();
        ticks += replay(&sequence);
        sequences += 1;
    }
    assert!(sequences > 0, "{} holds no sequence", path.display());
    println!("{sequences} sequences, {ticks} ticks reproduced");
}

fn replay(sequence: &Sequence) -> usize {
    let policy = policy(sequence);
    let mut memory = Memory::default();
    let mut replicas = sequence.initial_replicas;
    for tick in &sequence.ticks {
        let observation = observation(&policy, tick, replicas);
        let (decision, after) = decide(&policy, &observation, memory, Time::from_seconds(tick.t));
        memory = after;
        replicas = decision.write.unwrap_or(replicas);
        let place = || format!("sequence {} at t={}: {decision:#?}", sequence.id, tick.t);
        assert_eq!(replicas, tick.replicas, "replicas, {}", place());
        if let Some(expected) = &tick.able_to_scale_reason {
            assert_eq!(&reason(&decision, ConditionType::AbleToScale), expected, "AbleToScale, {}", place());
        }
        if let Some(expected) = &tick.scaling_limited_reason {
            assert_eq!(
                &reason(&decision, ConditionType::ScalingLimited),
                expected,
                "ScalingLimited, {}",
                place()
            );
        }
    }
    sequence.ticks.len()
}

fn reason(decision: &Decision, kind: ConditionType) -> String {
    decision.conditions.iter().find(|condition| condition.kind == kind).unwrap().reason.to_string()
}

fn policy(sequence: &Sequence) -> Policy {
    let metrics: Vec<_> = sequence
        .average_value_targets
        .iter()
        .map(|(name, target)| {
            serde_json::json!({
                "name": name,
                "prometheus": {"query": name},
                "target": {"type": "AverageValue", "averageValue": target},
            })
        })
        .collect();
    let mut spec: ScalingPolicySpec = serde_json::from_value(serde_json::json!({
        "scaleTargetRef": {"name": "workload"},
        "minReplicas": sequence.min_replicas,
        "maxReplicas": sequence.max_replicas,
        "metrics": metrics,
    }))
    .unwrap();
    spec.behavior =
        Some(Behavior { scale_up: sequence.scale_up.clone(), scale_down: sequence.scale_down.clone() });
    Policy { compat: Compat::Hpa, ..Policy::compile(&spec).unwrap() }
}

fn observation(policy: &Policy, tick: &Tick, replicas: u32) -> Observation {
    let readings = policy.signals.iter().map(|signal| Reading {
        answer: tick.metrics[&signal.name]
            .map_or_else(|| Answer::Failed("failed read".to_owned()), Answer::Value),
        warnings: Vec::new(),
        age: Age::NotSampled,
        covered_pods: None,
    });
    Observation {
        readings: readings.collect(),
        target: Target::Seen(Workload {
            spec_replicas: replicas,
            pods: Vec::new(),
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
