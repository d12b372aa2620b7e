//! The pages about what stands behind the workload: a guard that holds growth, and a bottleneck that moved.

use std::sync::Arc;

use e2e::bed::{Bed, Workload, condition};
use plimsoll::api::ScalingPolicy;
use serde_json::{Value, json};

use crate::{Failure, Page, checkout, rests, settled_at};

/// The busy share of the database's CPU.
const DATABASE: &str = "database_cpu_ratio";

fn guarded() -> Value {
    json!({"spec": {
        "ceilings": {"connections": null},
        "guards": [{
            "name": "db-cpu",
            "prometheus": {"query": format!("max({DATABASE})")},
            "threshold": "0.85",
            "releaseThreshold": "0.7",
            "action": "BlockScaleUp",
            "holdSeconds": 60,
            "maxDurationSeconds": 1800,
        }],
    }})
}

/// The load grows, and the database has no room for more.
pub async fn active(bed: Arc<Bed>) -> Result<Page, Failure> {
    let namespace = "shop-guarded";
    let database = |share| bed.exporter().gauge(DATABASE, &[("namespace", namespace)], share);
    database(0.4);
    let (stage, load) = checkout(&bed, namespace, &guarded(), Workload::of(9)).await?;
    settled_at(&stage, 9).await?;
    database(0.91);
    stage.until_condition("Guarded", "True", "GuardActive").await?;
    load.set(1600.0);
    stage.until_condition("ScalingLimited", "True", "GuardActive").await?;
    // The rate takes a while to show the whole load, and status a minute to show what has only grown.
    let held = |policy: &ScalingPolicy| {
        let ready = condition(policy, "Ready").map(|ready| ready.message.as_str()).unwrap_or_default();
        ready.starts_with("needs 20, held at 9 by guard db-cpu") && rests(policy)
    };
    if stage.until("held by the guard", held).await.is_err() {
        stage.until("held by the guard", held).await?;
    }
    Ok(Page { name: "guard-active", stage, budget: None, _loads: vec![load] })
}

/// Requests are slow although the pods have room: what is full stands behind them.
pub async fn bottleneck_moved(bed: Arc<Bed>) -> Result<Page, Failure> {
    let namespace = "shop-bottleneck";
    let database = |share| bed.exporter().gauge(DATABASE, &[("namespace", namespace)], share);
    database(0.4);
    let (stage, load) = checkout(&bed, namespace, &guarded(), Workload::of(9)).await?;
    settled_at(&stage, 9).await?;
    database(0.97);
    load.slow_down();
    let moved = stage.until_condition("BottleneckMoved", "True", "BottleneckBehind");
    if moved.await.is_err() {
        // It has to last for a minute, which is as long as anything here is waited for.
        stage.until_condition("BottleneckMoved", "True", "BottleneckBehind").await?;
    }
    Ok(Page { name: "bottleneck-moved", stage, budget: None, _loads: vec![load] })
}
