//! An operator that begins asks what was needed before, so it removes pods when it would have, had it never stopped.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, Stage, Workload};
use serde_json::json;

/// The scale-in window of this policy.
const WINDOW: Duration = Duration::from_secs(8);
/// Between two evaluations.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn stopped(bed: Arc<Bed>) {
    restarted(bed, "restarted", false).await;
}

pub(crate) async fn killed(bed: Arc<Bed>) {
    restarted(bed, "killed", true).await;
}

async fn restarted(bed: Arc<Bed>, name: &str, kill: bool) {
    let stage = Stage::set(&bed, name, Workload::of(8)).await.unwrap();
    stage.load(80.0).await.unwrap();
    let window = json!({"scaleDown": {"stabilizationWindowSeconds": WINDOW.as_secs()}});
    stage.declare(&json!({"spec": {"behavior": window}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();
    let fell = stage.course.elapsed();
    stage.load(40.0).await.unwrap();
    operator.evaluations(5).await.unwrap();
    if kill {
        operator.kill().await;
    } else {
        operator.stop().await.unwrap().unwrap();
    }
    assert_eq!(stage.course.counts(), [8], "{}", stage.course.record());

    let began = stage.course.elapsed();
    let _operator = stage.operator().await.unwrap();
    stage.settled(4).await.unwrap();
    let record = stage.course.record();
    assert_eq!(record.counts(), [8, 4], "{record}");
    let removed = record.moments().iter().find(|moment| moment.wanted == 4).unwrap().at;
    // At the evaluation before the fall all pods were needed.
    assert!(removed + INTERVAL >= fell + WINDOW, "fell at {fell:?}, removed at {removed:?}\n{record}");
    assert!(
        removed < began + WINDOW,
        "began at {began:?}, removed at {removed:?}, a whole window later\n{record}"
    );
}
