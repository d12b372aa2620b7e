//! Specs as a person may write them, past a server that did not check them.

use arbitrary::Unstructured;
use plimsoll::api::{Comparison, ScalingPolicySpec};
use plimsoll::control::{ConnectionSource, MaxConcurrent, Policy, ScalabilityLaw};

use crate::world::{self, World};

pub(crate) const WORDS: &[&str] = &[
    "scaleTargetRef: {name: a}\n",
    "minReplicas: 1\n",
    "maxReplicas: 100000\n",
    "pollingInterval: 3600\n",
    "metrics:\n- name: rps\n  prometheus: {query: up}\n  target: {type: AverageValue, averageValue: 90}\n",
    "  role: SafetyNet\n",
    "  target: {type: Value, value: 300m}\n",
    "  target: {type: Utilization, averageUtilization: 70}\n",
    "behavior: {scaleUp: {stabilizationWindowSeconds: 0, selectPolicy: Min, policies: [{type: Pods, value: 1, periodSeconds: 1}]}}\n",
    "behavior: {scaleDown: {tolerance: 0.5}}\n",
    "headroom: {percent: 1000, replicas: 1000}\n",
    "warmUp: {maxConcurrent: 25%}\n",
    "ceilings: {connections: [{name: db, inline: {maxConnections: 100, reserved: 3}, perPod: 10}]}\n",
    "ceilings: {scalability: {alpha: 0.03, beta: 0.0008}}\n",
    "ceilings: {scalability: {fit: {throughputQuery: a, readyReplicasQuery: b, utilizationQuery: c}}}\n",
    "fallback: {afterSeconds: 300, replicas: 12, behavior: EvenIfLower}\n",
    "guards: [{name: cpu, prometheus: {query: up}, threshold: 0.85, releaseThreshold: 0.7, action: StepDown}]\n",
    "guards: [{name: hits, prometheus: {query: up}, comparison: LessThan, threshold: 1, action: Freeze, holdSeconds: 0}]\n",
    "schedules: [{name: lunch, start: 30 2 * * 1-5, end: '*/7 2,3 29 FEB ?', timeZone: Europe/Berlin, minReplicas: 20, rampSeconds: 86400}]\n",
    "schedules: [{name: sale, startTime: '2026-11-27T08:00:00+01:00', durationSeconds: 2678400, minReplicas: 1, rampOutSeconds: 60}]\n",
    "schedules: [{name: s, start: 0 0 31 4 *, durationSeconds: 4294967295, timeZone: Pacific/Apia, minReplicas: 3}]\n",
    "headroom: {surviveZones: 2, zones: 3}\n",
    "forecast: {mode: ForecastAndScale, metric: rps, seasonSeconds: 86400, historyDays: 28, percentile: 99, schedulingBufferSeconds: 3600}\n",
    "forecast: {}\n",
    "mode: DryRun\n",
    "mode: Frozen\nfrozen: {replicas: 3, until: '2026-12-01T06:00:00Z'}\n",
    "paused: [ScaleDown]\n",
    "emergencyMax: {replicas: 1}\n",
    "4294967295",
    "1n",
    "9999999999E",
    "-1",
    "1e400",
    "0.0000000001",
    "NaN",
    ".inf",
    "~",
];

/// What is promised of a message must hold for what a server with the schema admits.
const LONGEST_NAME: usize = 253;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(spec) = serde_saphyr::from_str::<ScalingPolicySpec>(text) else { return };
    let policy = match Policy::compile(&spec) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.0.is_empty() && error.0.iter().all(|fault| !fault.is_empty()));
            return;
        }
    };
    is_sound(&policy);
    let names = policy.signals.iter().map(|signal| &signal.name);
    let mut names = names.chain(policy.connections.iter().map(|connections| &connections.name));
    let guarded = policy.guards.iter().any(|guard| guard.signal.name.len() > LONGEST_NAME);
    let scheduled = policy.schedules.iter().any(|schedule| schedule.name.len() > LONGEST_NAME);
    if policy.guards.len() > 8
        || policy.schedules.len() > 16
        || scheduled
        || guarded
        || policy.signals.len() > 8
        || policy.connections.len() > 8
        || names.any(|name| name.len() > LONGEST_NAME)
    {
        return;
    }
    // The text's own bytes are as good a source of worlds as any.
    if let Ok(worlds) =
        World::several(&mut Unstructured::new(bytes), policy.signals.len(), policy.guards.len())
    {
        world::live_through(&policy, &worlds);
    }
}

/// Numbers that the decision divides by, or multiplies with, are what they should be.
pub(crate) fn is_sound(policy: &Policy) {
    assert!(1 <= policy.min && policy.min <= policy.max, "{policy:?}");
    assert!(policy.polling_interval.millis() > 0);
    assert!(policy.headroom_factor >= 1.0 && policy.headroom_factor.is_finite());
    assert!(!policy.signals.is_empty());
    for signal in &policy.signals {
        assert!(signal.target > 0.0 && signal.target.is_finite(), "{signal:?}");
        assert!(signal.max_rise > 1.0 && signal.max_drop > 0.0 && signal.max_drop <= 1.0, "{signal:?}");
        assert!(signal.scale_up_tolerance >= 0.0 && (0.0..1.0).contains(&signal.scale_down_tolerance));
    }
    for schedule in &policy.schedules {
        assert!((policy.min..=policy.max).contains(&schedule.replicas), "{schedule:?}");
    }
    for guard in &policy.guards {
        assert!(guard.signal.target.is_finite() && guard.release.is_finite() && guard.longest > guard.hold);
        assert!(match guard.comparison {
            Comparison::GreaterThan => guard.release <= guard.signal.target,
            Comparison::LessThan => guard.release >= guard.signal.target,
        });
    }
    for connections in &policy.connections {
        assert!(connections.per_pod >= 1, "{connections:?}");
        match &connections.limit {
            ConnectionSource::Inline { max_connections, reserved, others } => {
                let taken = u64::from(*reserved) + u64::from(*others);
                assert!(taken < u64::from(*max_connections), "{connections:?}");
            }
            ConnectionSource::Budget { weight, guaranteed, .. } => {
                assert!(*weight >= 1 && *guaranteed >= policy.min.max(1), "{connections:?}");
            }
        }
    }
    if let Some(scalability) = &policy.scalability {
        match &scalability.law {
            ScalabilityLaw::Declared(law) => {
                assert!((0.0..1.0).contains(&law.alpha) && law.beta >= 0.0 && law.beta.is_finite());
            }
            ScalabilityLaw::Fitted(rules) => {
                assert!(rules.step().millis() > 0 && rules.expires_after() > rules.window());
                assert!(rules.saturated_above.is_finite() && rules.objective_at_most.is_finite());
            }
        }
        assert!(scalability.safety > 0.0 && scalability.safety <= 1.0);
    }
    let slots = [policy.warm_up.max_concurrent];
    assert!(
        !slots.iter().any(|slots| matches!(slots, Some(MaxConcurrent::Count(0) | MaxConcurrent::Percent(0))))
    );
}
