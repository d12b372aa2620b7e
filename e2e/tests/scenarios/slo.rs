//! What an objective's windows burnt is told by Prometheus.

use std::sync::Arc;

use e2e::bed::{Bed, Stage, Workload};
use plimsoll::api::ScalingPolicy;
use plimsoll::prometheus::ServerConfig;
use serde_json::json;

use crate::scalability::two_days_of;

/// Bad is a minute in which pods were this busy.
const BAD: &str = "avg_over_time((busy_share > bool 0.95)[$window:1m])";

/// A service whose pods were too busy again and again for two days: each window is asked about with its own length.
pub(crate) async fn burnt_in_each_window(bed: Arc<Bed>) {
    let namespace = "slo-burning";
    let Some(history) = two_days_of(namespace).await else { return };
    let stage = Stage::set(&bed, namespace, Workload::of(3)).await.unwrap();
    stage.load(30.0).await.unwrap();
    let slo = json!({
        "objectivePercent": "99",
        "prometheus": {"server": "history", "query": BAD},
        "freshness": {"maxAgeSeconds": 600},
        "enforcement": "Observe",
    });
    stage.declare(&json!({"spec": {"slo": slo}})).await.unwrap();
    let mut options = stage.options();
    options.servers.prometheus.push(ServerConfig::new("history", &history.url()));
    let operator = stage.operator_with(options).await.unwrap();
    let rates =
        |policy: &ScalingPolicy| policy.status.as_ref()?.slo.as_ref().map(|slo| slo.burn_rates.clone());
    let all = |policy: &ScalingPolicy| rates(policy).is_some_and(|rates| rates.len() == 5);
    let told = rates(&stage.until("the burn rate of each window", all).await.unwrap()).unwrap();
    for (window, rate) in &told {
        let answer = history.query(&BAD.replace("$window", window)).await.unwrap();
        let expected = answer[0].parse::<f64>().unwrap() / 0.01;
        let rate: f64 = rate.parse().unwrap();
        // The operator asked some moments earlier.
        assert!(
            (rate - expected).abs() <= 1.0 + 0.1 * expected,
            "{window}: {rate}, and {expected} by Prometheus"
        );
    }
    let long: f64 = told["3d"].parse().unwrap();
    assert!((5.0..95.0).contains(&long), "some of the time, and not all of it: {told:?}");
    operator.stop().await.unwrap().unwrap();
}
