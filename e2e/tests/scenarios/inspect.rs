//! What a person is told who asks.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, POLICY, Stage, Workload};
use plimsoll::cluster::{PolicyKey, moment};
use plimsoll::inspect::{Assumption, Order, Paint, explain, overview, what_if};
use serde_json::json;
use tokio::time::{Instant, sleep};

pub(crate) async fn told(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "inspect", Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    stage.declare(&json!({"spec": {"maxReplicas": 8}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.load(60.0).await.unwrap();
    stage.until_wanted(6).await.unwrap();
    stage.settled(6).await.unwrap();
    operator.evaluations(3).await.unwrap();

    let client = bed.client().await.unwrap();
    let key = PolicyKey { namespace: stage.namespace.clone(), name: POLICY.to_owned() };
    let now = || moment(jiff::Timestamp::now());
    // Events are published beside the decisions.
    let deadline = Instant::now() + Duration::from_secs(20);
    let explanation = loop {
        let explanation = explain(&client, &key).await.unwrap();
        let told = explanation.events.iter().any(|event| event.reason == "SuccessfulRescale");
        if told || Instant::now() >= deadline {
            break explanation;
        }
        sleep(Duration::from_millis(200)).await;
    };
    let text = explanation.text(now(), Paint::plain());
    for words in ["Step by step", "Last changes", "4 → 6", "SuccessfulRescale", "ScalingActive"] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }

    let assumed: Vec<Assumption> = vec!["metrics.rps=100".parse().unwrap()];
    let answer = what_if(&client, &key, &assumed, now()).await.unwrap();
    let decision = answer.status.decision.as_ref().unwrap();
    let text = answer.text(Paint::plain());
    assert_eq!((decision.from, decision.to), (6, 8), "{text}");
    assert_eq!(answer.status.limited_by.as_deref(), Some("maxReplicas"), "{text}");
    let pods = answer.status.pods.unwrap();
    assert_eq!((pods.serving, pods.terminating), (6, 0), "the pods are those of the cluster: {text}");

    let found = overview(&client, Some(&stage.namespace), Order::Name).await.unwrap();
    assert_eq!(found.policies.len(), 1);
    assert_eq!(found.policies[0].replicas, Some(6));
    assert_eq!(stage.course.counts(), [4, 6], "asking changes nothing: {}", stage.course.record());
}
