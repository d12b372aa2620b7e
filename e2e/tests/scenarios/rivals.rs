//! Others who write the count.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, POLICY, Stage, WORKLOAD, Workload};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

pub(crate) async fn person(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "person", Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let _operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();
    stage.scale(9).await.unwrap();
    stage.until_wanted(9).await.unwrap();
    stage.settled(4).await.unwrap();
    stage.scale(2).await.unwrap();
    stage.until_wanted(2).await.unwrap();
    stage.settled(4).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 9, 4, 2, 4], "{}", stage.course.record());
}

pub(crate) async fn zero(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "switched-off", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    stage.scale(0).await.unwrap();
    stage.settled(0).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    let message = stage.until_condition("ScalingActive", "False", "ScalingDisabled").await.unwrap();
    assert_eq!(message, "replicas is 0: scaling is off until somebody sets it to 1 or more");
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 0], "{}", stage.course.record());
    stage.scale(1).await.unwrap();
    stage.settled(8).await.unwrap();
}

/// Somebody changes the Deployment without pause, so that some write of the count comes with an old version.
pub(crate) async fn conflict(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "conflict", Workload::of(2)).await.unwrap();
    stage.load(20.0).await.unwrap();
    let soon = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    stage.declare(&json!({"spec": {"behavior": soon}})).await.unwrap();
    let _operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();

    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let busy = tokio::spawn(async move {
        for touch in 0_u64.. {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"touched": touch.to_string()}}}));
            deployments.patch(WORKLOAD, &PatchParams::default(), &patch).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let conflicts = || {
        let writes = bed.requests().unwrap().into_iter().filter(|request| {
            request.namespace == "conflict" && request.resource == "deployments/scale" && request.writes()
        });
        writes.filter(|request| request.code == 409).count()
    };
    let mut counts = vec![2];
    while conflicts() == 0 {
        assert!(counts.len() < 40, "no write met a conflict");
        let next = if counts.last() == Some(&2) { 9 } else { 2 };
        stage.load(f64::from(next) * 10.0).await.unwrap();
        stage.until_wanted(next).await.unwrap();
        counts.push(next);
    }
    busy.abort();
    assert_eq!(stage.course.counts(), counts, "{}", stage.course.record());
}

pub(crate) async fn autoscaler(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "autoscaler", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let hpa = json!({
        "metadata": {"name": "web-cpu"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKLOAD},
            "maxReplicas": 10,
            "metrics": [{
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
            }],
        },
    });
    autoscalers.create(&PostParams::default(), &serde_json::from_value(hpa).unwrap()).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    let message = stage.until_condition("AbleToScale", "False", "RivalAutoscaler").await.unwrap();
    assert_eq!(
        message,
        "HorizontalPodAutoscaler web-cpu scales this workload too: nothing is written while it does; remove one of the \
         two, or write mode: DryRun"
    );
    operator.evaluations(4).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
    let desired = stage.seen().await.unwrap().status.unwrap().desired_replicas;
    assert_eq!(desired, Some(8), "what it would do is published");

    autoscalers.delete("web-cpu", &DeleteParams::default()).await.unwrap();
    stage.settled(8).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8], "{}", stage.course.record());
}

pub(crate) async fn second_policy(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "second-policy", Workload::of(4)).await.unwrap();
    stage.load(60.0).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_wanted(6).await.unwrap();
    // The newer one would have it otherwise.
    let eager = json!([{
        "name": "rps",
        "prometheus": {"query": stage.query()},
        "target": {"type": "AverageValue", "averageValue": "5"},
    }]);
    stage.declare(&json!({"metadata": {"name": "web-too"}, "spec": {"metrics": eager}})).await.unwrap();
    let policy = stage
        .until_of("web-too", "stands back", |policy| {
            e2e::bed::condition(policy, "AbleToScale").is_some_and(|able| able.reason == "RivalAutoscaler")
        })
        .await
        .unwrap();
    let message = &e2e::bed::condition(&policy, "Ready").unwrap().message;
    assert!(
        message.starts_with("ScalingPolicy checkout scales this workload too: nothing is written"),
        "{message}"
    );
    operator.evaluations(8).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 6], "{}", stage.course.record());
    stage.until_condition("Ready", "True", "Ready").await.unwrap();

    stage.policies().delete(POLICY, &DeleteParams::default()).await.unwrap();
    stage.settled(12).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 6, 12], "{}", stage.course.record());
}
