//! A rollout is no change of demand, and nothing is removed while one is under way.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, Stage, Workload, condition};
use e2e::real::{DEADLINE, Record};
use plimsoll::api::ScalingPolicy;
use serde_json::{Value, json};

fn next_revision() -> Value {
    json!({"metadata": {"annotations": {"revision": "2"}}})
}

fn is_under_way(record: &Record) -> bool {
    record.last().is_some_and(|last| last.updated > 0 && last.updated < last.pods)
}

pub(crate) async fn surge(bed: Arc<Bed>) {
    let workload = Workload { max_surge: 3, ..Workload::of(4) };
    let stage = Stage::set(&bed, "surge", workload).await.unwrap();
    stage.load(40.0).await.unwrap();
    // A level per pod invites to multiply it with whatever pods there are.
    let level = json!({
        "name": "load-per-pod",
        "prometheus": {"query": format!("max(level{{namespace=\"{}\"}})", stage.namespace)},
        "target": {"type": "Value", "value": "10"},
    });
    bed.exporter().gauge("level", &[("namespace", &stage.namespace)], 10.0);
    let mut policy =
        stage.policy(&json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}}}}));
    policy["spec"]["metrics"].as_array_mut().unwrap().push(level);
    stage.create(policy).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();

    stage.roll_out(next_revision()).await.unwrap();
    stage.course.wait_for(is_under_way, DEADLINE).await.unwrap();
    stage.settled(4).await.unwrap();
    operator.evaluations(4).await.unwrap();
    let record = stage.course.record();
    assert_eq!(record.counts(), [4], "{record}");
    assert!(record.moments().iter().any(|moment| moment.pods == 7), "the surge was seen\n{record}");
}

pub(crate) async fn lull(bed: Arc<Bed>) {
    let workload = Workload { start_up: Duration::from_secs(5), ..Workload::of(4) };
    let stage = Stage::set(&bed, "lull", workload).await.unwrap();
    stage.load(40.0).await.unwrap();
    stage
        .declare(&json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 2}}}}))
        .await
        .unwrap();
    let _operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();

    stage.roll_out(next_revision()).await.unwrap();
    stage.course.wait_for(is_under_way, DEADLINE).await.unwrap();
    stage.load(20.0).await.unwrap();
    assert!(is_under_way(&stage.course.record()), "the lull begins in mid-rollout");
    let sentence = "4 replicas are kept: nothing is removed while a rollout is under way";
    let says_so =
        |policy: &ScalingPolicy| condition(policy, "Ready").is_some_and(|ready| ready.message == sentence);
    stage.until(sentence, says_so).await.unwrap();
    stage.settled(2).await.unwrap();
    let record = stage.course.record();
    assert_eq!(record.counts(), [4, 2], "{record}");
    let before = record.moments().iter().take_while(|moment| moment.wanted == 4).last().unwrap();
    let done = before.updated == 4 && before.pods == 4 && before.ready == 4;
    assert!(done, "removed at a moment like {before:?}\n{record}");
}
