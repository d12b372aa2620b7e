//! What a person orders goes before what signals ask for.

use std::sync::Arc;

use e2e::bed::{Bed, Stage, Workload};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

pub(crate) async fn frozen(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "frozen", Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    let frozen = json!({"replicas": 5, "reason": "INC-1234"});
    stage.declare(&json!({"spec": {"mode": "Frozen", "frozen": frozen}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.settled(5).await.unwrap();
    let message = stage.until_condition("ScalingActive", "False", "Frozen").await.unwrap();
    assert_eq!(message, "frozen at 5 until the freeze is removed: INC-1234");
    for load in [150.0, 20.0] {
        stage.load(load).await.unwrap();
        operator.evaluations(8).await.unwrap();
    }
    assert_eq!(stage.course.counts(), [4, 5], "{}", stage.course.record());

    stage.load(70.0).await.unwrap();
    stage.edit(json!({"mode": "Active"})).await.unwrap();
    stage.until_wanted(7).await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();

    stage.annotate("plimsoll.dev/freeze", "9 because of the sale".into()).await.unwrap();
    stage.until_wanted(9).await.unwrap();
    stage.load(100.0).await.unwrap();
    operator.evaluations(4).await.unwrap();
    stage.annotate("plimsoll.dev/freeze", Value::Null).await.unwrap();
    stage.settled(10).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 5, 7, 9, 10], "{}", stage.course.record());
}

pub(crate) async fn dry_run(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "dry-run", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    stage.declare(&json!({"spec": {"mode": "DryRun"}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    let wants = |count| {
        move |policy: &plimsoll::api::ScalingPolicy| {
            policy.status.as_ref().is_some_and(|status| status.desired_replicas == Some(count))
        }
    };
    stage.until("wanting 8", wants(8)).await.unwrap();
    let message = stage.until_condition("AbleToScale", "False", "DryRun").await.unwrap();
    assert_eq!(message, "mode DryRun: decisions are published, nothing is written");
    operator.evaluations(8).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
    let writes = bed.requests().unwrap().into_iter().filter(|request| {
        request.namespace == stage.namespace && request.resource == "deployments/scale" && request.writes()
    });
    assert_eq!(writes.count(), 0);

    stage.edit(json!({"mode": "Active"})).await.unwrap();
    stage.settled(8).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8], "{}", stage.course.record());
}

pub(crate) async fn paused(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "paused", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    stage.declare(&json!({"spec": {"paused": ["ScaleUp"]}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    operator.evaluations(4).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());

    stage.edit(json!({"paused": ["ScaleDown"]})).await.unwrap();
    stage.settled(8).await.unwrap();
    stage.load(40.0).await.unwrap();
    operator.evaluations(10).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8], "{}", stage.course.record());

    stage.edit(json!({"paused": []})).await.unwrap();
    stage.settled(4).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8, 4], "{}", stage.course.record());
}

pub(crate) async fn emergency(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "emergency", Workload::of(8)).await.unwrap();
    stage.load(80.0).await.unwrap();
    stage.declare(&json!({"spec": {"minReplicas": 5}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();

    stage.edit(json!({"emergencyMax": {"replicas": 3, "reason": "INC-7"}})).await.unwrap();
    stage.until_wanted(3).await.unwrap();
    let message = stage.until_condition("ScalingLimited", "True", "EmergencyMax").await.unwrap();
    assert_eq!(message, "needs 8, held at 3 by the emergency cap: 5 replicas are unmet");
    stage.load(150.0).await.unwrap();
    operator.evaluations(4).await.unwrap();
    assert_eq!(stage.course.counts(), [8, 3], "{}", stage.course.record());
    stage.edit(json!({"emergencyMax": null})).await.unwrap();
    stage.until_wanted(15).await.unwrap();

    let until = Timestamp::now() + 10.seconds();
    stage
        .annotate("plimsoll.dev/emergency-max", format!("4 until {until} because INC-8").into())
        .await
        .unwrap();
    stage.until_wanted(4).await.unwrap();
    // It ends by itself.
    stage.settled(15).await.unwrap();
    assert!(Timestamp::now() >= until);
    assert_eq!(stage.course.counts(), [8, 3, 15, 4, 15], "{}", stage.course.record());

    stage.annotate("plimsoll.dev/emergency-max", "four".into()).await.unwrap();
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [8, 3, 15, 4, 15], "{}", stage.course.record());
}
