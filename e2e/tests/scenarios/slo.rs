//! What an objective's windows burnt is told by Prometheus.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, Stage, Workload};
use e2e::real::{Prometheus, PrometheusOptions, ServicePast, StartError};
use plimsoll::api::ScalingPolicy;
use plimsoll::ceiling::usl::Law;
use plimsoll::prometheus::ServerConfig;
use serde_json::json;

/// Pods of ten and more do little beyond what nine do, so that they are busy all the time at each peak.
const LAW: Law = Law { lambda: 14.0, alpha: 0.05, beta: 0.01 };
/// Bad is a minute in which pods were this busy.
const BAD: &str = "avg_over_time((busy_share > bool 0.95)[$window:1m])";

/// A service whose pods were too busy again and again for two days: each window is asked about with its own length.
pub(crate) async fn burnt_in_each_window(bed: Arc<Bed>) {
    let namespace = "slo-burning";
    let past = ServicePast {
        namespace: namespace.to_owned(),
        law: LAW,
        target: 10.0,
        sizes: (2, 14),
        load: (15.0, 160.0),
        lasting: Duration::from_hours(48),
    };
    let options = PrometheusOptions { past: vec![past], ..PrometheusOptions::default() };
    let history = match Prometheus::start_with(options).await {
        Err(StartError::Missing(missing)) => return println!("skipped: {missing}"),
        history => history.unwrap(),
    };
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
