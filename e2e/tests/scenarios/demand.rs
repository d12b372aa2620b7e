//! The count follows demand.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, Stage, Workload};
use serde_json::json;

/// The scale-in window of these policies.
const WINDOW: Duration = Duration::from_secs(8);

/// After so long without an evaluation the window begins anew, so the newest high recommendation in it can be older
/// than the moment at which the load fell by so much.
const LONGEST_GAP: Duration = Duration::from_secs(3);

pub(crate) async fn ramp(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "ramp", Workload::of(2)).await.unwrap();
    stage.load(15.0).await.unwrap();
    let window = json!({"scaleDown": {"stabilizationWindowSeconds": WINDOW.as_secs()}});
    stage.declare(&json!({"spec": {"behavior": window}})).await.unwrap();
    let operator = stage.operator().await.unwrap();

    for (load, count) in [(41.0, 5), (80.0, 8), (121.0, 13)] {
        stage.load(load).await.unwrap();
        stage.until_wanted(count).await.unwrap();
    }
    stage.settled(13).await.unwrap();

    let fell = stage.course.elapsed();
    stage.load(34.0).await.unwrap();
    stage.settled(4).await.unwrap();
    operator.evaluations(3).await.unwrap();

    let record = stage.course.record();
    assert_eq!(record.counts(), [2, 5, 8, 13, 4], "{record}");
    let removed = record.moments().iter().find(|moment| moment.wanted == 4).unwrap().at;
    assert!(removed + LONGEST_GAP >= fell + WINDOW, "fell at {fell:?}, removed at {removed:?}\n{record}");

    let events = stage.events().await.unwrap();
    let rescales: Vec<_> =
        events.iter().filter_map(|event| event.strip_prefix("SuccessfulRescale: ")).collect();
    let sizes: Vec<_> = rescales.iter().filter_map(|note| note.split(';').next()).collect();
    assert_eq!(sizes, ["New size: 5", "New size: 8", "New size: 13", "New size: 4"], "{events:#?}");
}

pub(crate) async fn spike(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "spike", Workload::of(3)).await.unwrap();
    stage.load(30.0).await.unwrap();
    let window = json!({"scaleDown": {"stabilizationWindowSeconds": 10}});
    stage.declare(&json!({"spec": {"behavior": window}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    for _ in 0..3 {
        stage.load(60.0).await.unwrap();
        stage.until_wanted(6).await.unwrap();
        stage.load(30.0).await.unwrap();
        operator.evaluations(4).await.unwrap();
    }
    let record = stage.course.record();
    assert_eq!(record.counts(), [3, 6], "{record}");
    stage.until_wanted(3).await.unwrap();
    assert_eq!(stage.course.counts(), [3, 6, 3]);
}
