//! What stands behind the workload suffers: the count is held, for a time.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, Stage, Workload, condition};
use plimsoll::api::{GuardStatus, ScalingPolicy};
use serde_json::{Value, json};

/// A guard on the database's CPU, with `more` fields.
fn guard(stage: &Stage, more: &Value) -> Value {
    let mut guard = json!({
        "name": "db-cpu",
        "prometheus": {"query": query(stage)},
        "threshold": "0.85",
        "releaseThreshold": "0.7",
        "action": "BlockScaleUp",
    });
    json_patch::merge(&mut guard, more);
    guard
}

fn query(stage: &Stage) -> String {
    format!("max(db_cpu{{namespace=\"{}\"}})", stage.namespace)
}

async fn database_cpu(stage: &Stage, share: &'static str) {
    let labels = [("namespace", stage.namespace.as_str())];
    stage.bed.exporter().gauge("db_cpu", &labels, share.parse().unwrap());
    stage.bed.prometheus().wait_for(&query(stage), |values| values == [share]).await.unwrap();
}

fn status(policy: &ScalingPolicy) -> GuardStatus {
    policy.status.as_ref().and_then(|status| status.guards.first()).unwrap().clone()
}

/// Four replicas at exactly their load, under a guard that is active.
async fn four_under_a_guard(bed: &Arc<Bed>, name: &str, more: Value) -> Stage {
    let stage = Stage::set(bed, name, Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    database_cpu(&stage, "0.9").await;
    let guards = json!([guard(&stage, &more)]);
    stage.declare(&json!({"spec": {"guards": guards}})).await.unwrap();
    stage
}

pub(crate) async fn held(bed: Arc<Bed>) {
    let more = json!({"holdSeconds": 3, "maxDurationSeconds": 3600});
    let stage = four_under_a_guard(&bed, "guard-held", more).await;
    let operator = stage.operator().await.unwrap();
    stage.until_condition("Guarded", "True", "GuardActive").await.unwrap();
    stage.load(100.0).await.unwrap();
    let named = "needs 10, held at 4 by guard db-cpu";
    let says_so =
        |policy: &ScalingPolicy| condition(policy, "Ready").is_some_and(|ready| ready.message == named);
    let seen = stage.until(named, says_so).await.unwrap();
    let limits = seen.status.as_ref().unwrap();
    assert_eq!((limits.limited_by.as_deref(), limits.unmet_replicas), (Some("guard/db-cpu"), Some(6)));
    let active = status(&seen);
    assert_eq!(
        (active.state.as_str(), active.value.as_deref(), active.replicas),
        ("Active", Some("900m"), Some(4))
    );
    operator.evaluations(2).await.unwrap();
    operator.kill().await;

    let operator = stage.operator().await.unwrap();
    operator.evaluations(5).await.unwrap();
    let again = status(&stage.seen().await.unwrap());
    assert_eq!((again.state.as_str(), again.since, again.replicas), ("Active", active.since, Some(4)));
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());

    database_cpu(&stage, "0.5").await;
    stage.settled(10).await.unwrap();
    stage.until_condition("Guarded", "False", "NoGuardActive").await.unwrap();
    assert_eq!(stage.course.counts(), [4, 10], "{}", stage.course.record());
}

pub(crate) async fn expired(bed: Arc<Bed>) {
    let more = json!({"holdSeconds": 2, "maxDurationSeconds": 8});
    let stage = four_under_a_guard(&bed, "guard-expired", more).await;
    stage.load(70.0).await.unwrap();
    let _operator = stage.operator().await.unwrap();
    stage.until_condition("Guarded", "True", "GuardActive").await.unwrap();
    stage.until_condition("Guarded", "True", "GuardExpired").await.unwrap();
    stage.settled(7).await.unwrap();
    let record = stage.course.record();
    assert_eq!(record.counts(), [4, 5, 6, 7], "{record}");
    let at = |count| record.moments().iter().find(|moment| moment.wanted == count).unwrap().at;
    for (before, after) in [(5, 6), (6, 7)] {
        // What is seen may be late by a little.
        assert!(at(after).saturating_sub(at(before)) >= Duration::from_millis(1500), "{record}");
    }
}
