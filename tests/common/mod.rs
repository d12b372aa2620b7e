//! What several tests need: policies from a few lines of YAML, and worlds to decide on.

#![allow(dead_code, reason = "each test binary uses its part")]

use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::{
    CountOrPercent, Observation, Overrides, Pod, PodId, Policy, Rollout, ScalabilityView, Target,
    UpdateStrategy, Workload,
};
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::simulate::{Days, Overload, PlantSettings, SensorSettings, ServiceSettings, Settings};
use plimsoll::time::{Span, Time};

/// A policy that tracks `rps` at 100 a replica, with `more` YAML of the spec.
pub fn policy(more: &str) -> Policy {
    Policy::compile(&spec(more)).unwrap()
}

pub fn spec(more: &str) -> ScalingPolicySpec {
    let yaml = format!(
        "scaleTargetRef: {{name: checkout}}\n{}{}{}{more}",
        if more.contains("minReplicas") { "" } else { "minReplicas: 2\n" },
        if more.contains("maxReplicas") { "" } else { "maxReplicas: 50\n" },
        if more.contains("metrics:") {
            ""
        } else {
            "metrics:\n- name: rps\n  prometheus: {query: 'sum(rate(requests_total[1m]))'}\n  target: {type: AverageValue, averageValue: 100}\n"
        },
    );
    serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// A value that is fit to use.
pub fn fresh(value: f64) -> Reading {
    answered(Answer::Value(value))
}

pub fn answered(answer: Answer) -> Reading {
    Reading { answer, warnings: Vec::new(), age: Age::Measured(Span::from_seconds(5)), covered_pods: None }
}

/// A settled Deployment whose pods have all been warm for long.
pub fn workload(replicas: u32, now: Time) -> Workload {
    let long_ago = now - Span::from_seconds(7200);
    let pod = |id| Pod {
        id: PodId(u64::from(id)),
        created: long_ago,
        ready_since: Some(long_ago + Span::from_seconds(20)),
        terminating_since: None,
    };
    Workload {
        spec_replicas: replicas,
        pods: (0..replicas.min(2000)).map(pod).collect(),
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
    }
}

pub fn observation(workload: Workload, readings: Vec<Reading>) -> Observation {
    Observation {
        readings,
        target: Target::Seen(workload),
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

/// A service whose pods carry `capacity` requests a second each and drop what is beyond, recorded step by step.
pub fn simulated(plant: PlantSettings, capacity: f64, step: Span) -> Settings {
    Settings {
        plant: PlantSettings { capacity_per_pod: capacity, ..plant },
        service: ServiceSettings {
            capacity_per_pod: capacity,
            scalability: None,
            service_time: 0.05,
            overload: Overload::Dropped,
            late_after: 1.0,
        },
        sensor: SensorSettings::default(),
        database: None,
        shares: Vec::new(),
        latency_objective: None,
        days: Days::All,
        initial_replicas: None,
        step,
        record: true,
    }
}
