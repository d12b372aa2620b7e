//! An error budget, by the whole operator on the API server double, under the paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use e2e::bed::{NAMESPACE, SimulatedBed};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

async fn minutes(minutes: u64) {
    sleep(Duration::from_mins(minutes)).await;
}

fn replicas(bed: &SimulatedBed) -> u64 {
    bed.get("apps", "v1", "deployments", NAMESPACE, "checkout")["spec"]["replicas"].as_u64().unwrap()
}

fn status(bed: &SimulatedBed) -> Value {
    bed.get("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, "checkout")["status"].clone()
}

fn condition(bed: &SimulatedBed) -> (Value, Value) {
    let conditions = status(bed)["conditions"].as_array().cloned().unwrap_or_default();
    let kept =
        conditions.into_iter().find(|condition| condition["type"] == "ErrorBudgetKept").unwrap_or_default();
    (kept["status"].clone(), kept["reason"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_burning_budget_buys_headroom_which_outlives_a_restart_and_a_metrics_server_that_is_away() {
    let bed = SimulatedBed::new().unwrap();
    let times = json!({"plant.test/startup-seconds": "3", "plant.test/drain-seconds": "2"});
    bed.put_workload("checkout", 8, &times).unwrap();
    let slo = json!({
        "objectivePercent": "99.9", "prometheus": {"server": "errors", "query": "sum(rate(bad[$window])) / sum(rate(all[$window]))"},
        "targetPercent": {"min": 50},
    });
    bed.put_policy("checkout", &json!({ "slo": slo })).unwrap();
    bed.signals.set("checkout", 79.0);
    bed.signals.set("errors", 0.0002);
    let stop = CancellationToken::new();
    let running = bed.operator(None, &stop);
    minutes(10).await;
    assert_eq!(
        (replicas(&bed), condition(&bed)),
        (8, (json!("True"), json!("BudgetHealthy"))),
        "{}",
        status(&bed)
    );

    // Two percent of what may be a tenth of a percent: twenty times too fast.
    bed.signals.set("errors", 0.02);
    minutes(12).await;
    let burning = status(&bed);
    assert_eq!(condition(&bed), (json!("False"), json!("BudgetBurning")), "{burning}");
    assert_eq!(
        (&burning["slo"]["state"], &burning["slo"]["burnRates"]["1h"]),
        (&json!("Burning"), &json!("20")),
        "{burning}"
    );
    minutes(8).await;
    let bought = status(&bed);
    assert_eq!((replicas(&bed), &bought["slo"]["targetPercent"]), (16, &json!(50)), "{bought}");

    // The operator starts anew, and nobody can tell the burn rate: what was bought is kept.
    stop.cancel();
    running.await.unwrap().unwrap();
    bed.signals.silence("errors");
    let stop = CancellationToken::new();
    let running = bed.operator(None, &stop);
    minutes(60).await;
    assert_eq!(
        (replicas(&bed), condition(&bed)),
        (16, (json!("Unknown"), json!("BurnRateUnfit"))),
        "{}",
        status(&bed)
    );

    // It burns no more: a day gives it back.
    bed.signals.set("errors", 0.0002);
    minutes(12 * 60).await;
    let half = replicas(&bed);
    assert!((9..=13).contains(&half), "{half}");
    minutes(14 * 60).await;
    assert_eq!(replicas(&bed), 8, "{}", status(&bed));
    stop.cancel();
    running.await.unwrap().unwrap();
}
