//! The rules themselves are tried by the tests of `plimsoll lint`; here is what only a running workload shows.

use serde_json::{Value, json};

use super::*;
use crate::control::CountOrPercent;

const ROLLING: UpdateStrategy = UpdateStrategy::RollingUpdate {
    max_surge: CountOrPercent::Percent(100),
    max_unavailable: CountOrPercent::Percent(0),
};

fn policy(more: &Value) -> Policy {
    let mut spec = json!({
        "scaleTargetRef": {"name": "web"}, "maxReplicas": 20,
        "metrics": [{"name": "rps", "prometheus": {"query": "q"},
                     "target": {"type": "AverageValue", "averageValue": "9"}}]
    });
    for (key, more) in more.as_object().unwrap() {
        spec[key] = more.clone();
    }
    Policy::compile(&serde_json::from_value(spec).unwrap()).unwrap()
}

fn found(policy: &Policy, manifest: &[Flaw], drain: Option<(u64, u32)>) -> Vec<&'static str> {
    let drain = drain.map(|(p90, samples)| {
        let p90 = Span::from_seconds(p90);
        Drain { p50: p90, p90, longest: p90, samples }
    });
    let workload = Running { manifest, update: ROLLING, termination_grace: Span::from_seconds(30), drain };
    audit(policy, workload).iter().map(Flaw::rule).collect()
}

#[test]
fn requests_matter_where_a_policy_aims_at_a_share_of_them() {
    let cpu = json!({"metrics": [{"name": "cpu", "prometheus": {"query": "q"},
                                  "target": {"type": "Utilization", "averageUtilization": 70}}]});
    assert_eq!(found(&policy(&json!({})), &[Flaw::NoRequests], None), [""; 0]);
    assert_eq!(found(&policy(&cpu), &[Flaw::NoRequests], None), ["no-requests"]);
}

#[test]
fn pods_that_take_all_of_their_grace_are_told_once_enough_have_gone() {
    let policy = policy(&json!({}));
    for (drain, expected) in
        [(None, false), (Some((30, 9)), false), (Some((29, 50)), false), (Some((30, 10)), true)]
    {
        assert_eq!(found(&policy, &[], drain).contains(&"grace-shorter-than-drain"), expected, "{drain:?}");
    }
}

#[test]
fn a_pool_is_too_large_by_the_surge_that_the_workload_has() {
    let ceilings = |connections: u32| {
        let inline = json!({"name": "db", "inline": {"maxConnections": connections}, "perPod": 10});
        policy(&json!({"ceilings": {"connections": [inline]}}))
    };
    // 20 replicas, as many of the surge, and one batch that drains: 60 pods.
    assert_eq!(found(&ceilings(600), &[], None), [""; 0]);
    assert_eq!(found(&ceilings(599), &[], None), ["max-not-reachable"]);
    assert_eq!(found(&ceilings(5), &[], None), [""; 0], "BudgetInfeasible says it");
}

#[test]
fn what_is_grave_comes_first_and_a_note_alone_is_no_trouble() {
    let flaws = [
        Flaw::NotSpread,
        Flaw::NoPreStop { container: "web".into() },
        Flaw::NoReadinessProbe { container: "web".into() },
    ];
    let policy = policy(&json!({}));
    assert_eq!(found(&policy, &flaws, None), ["no-readiness-probe", "no-pre-stop", "not-spread"]);
    let shown = condition(&flaws);
    assert_eq!((shown.status, shown.reason), (ConditionStatus::False, Reason::AuditFindings));
    assert!(
        shown.message.starts_with("1 error, 1 warning, 1 note: web stops the moment"),
        "{}",
        shown.message
    );
    assert!(!shown.message.contains("nothing keeps the pods apart"), "{}", shown.message);
    let shown = condition(&flaws[..1]);
    assert_eq!((shown.status, shown.reason), (ConditionStatus::True, Reason::AuditPassed));
    assert_eq!(shown.message, "nothing grave was found; 1 note in status.findings");
}
