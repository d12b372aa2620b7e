//! A scalability ceiling is learnt from what Prometheus knows, and holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use e2e::bed::{Bed, Stage, Workload};
use e2e::real::{Prometheus, PrometheusOptions, ServicePast, StartError};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use plimsoll::api::ScalingPolicy;
use plimsoll::ceiling::usl::Law;
use plimsoll::prometheus::ServerConfig;
use serde_json::json;

/// Throughput peaks at 9.7 replicas.
const LAW: Law = Law { lambda: 14.0, alpha: 0.05, beta: 0.01 };
const DAYS: u64 = 2;

/// A Prometheus that knows of two days of a service under the law, busy at every peak; none where it is not installed.
pub(crate) async fn two_days_of(namespace: &str) -> Option<Prometheus> {
    let past = ServicePast {
        namespace: namespace.to_owned(),
        law: LAW,
        target: 10.0,
        sizes: (2, 14),
        load: (15.0, 160.0),
        lasting: Duration::from_secs(DAYS * 86_400),
    };
    let options = PrometheusOptions { past: vec![past], ..PrometheusOptions::default() };
    match Prometheus::start_with(options).await {
        Err(StartError::Missing(missing)) => {
            println!("skipped: {missing}");
            None
        }
        history => Some(history.unwrap()),
    }
}

/// The workload has run for two days, and the operator is started anew: it reads what it was, and holds what that shows.
pub(crate) async fn learnt_from_the_past(bed: Arc<Bed>) {
    let namespace = "scalability-learnt";
    let Some(history) = two_days_of(namespace).await else { return };
    let stage = Stage::set(&bed, namespace, Workload::of(3)).await.unwrap();
    stage.load(30.0).await.unwrap();
    let fit = json!({
        "server": "history",
        "throughputQuery": "sum(served_per_second)",
        "readyReplicasQuery": "sum(ready_replicas)",
        "utilizationQuery": "avg(busy_share)",
        "objective": {"query": "max(latency_p99_seconds)", "atMost": "500m"},
    });
    let ceilings = json!({"scalability": {"fit": fit, "enforcement": "Enforce"}});
    stage.declare(&json!({"spec": {"ceilings": ceilings}})).await.unwrap();
    let mut options = stage.options();
    options.servers.prometheus.push(ServerConfig::new("history", &history.url()));

    let operator = stage.operator_with(options.clone()).await.unwrap();
    stage.until_condition("ScalabilityFitted", "False", "TooFewWindows").await.unwrap();
    operator.stop().await.unwrap().unwrap();
    // The pods are seconds old; a status tells that their revision has run alone all that time.
    let days_ago = SystemTime::now() - Duration::from_secs(DAYS * 86_400);
    let since = Timestamp::try_from(days_ago).unwrap().to_string();
    let status = json!({"status": {"scalability": {"since": since}}});
    let policies = stage.policies();
    policies.patch_status("checkout", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();

    let operator = stage.operator_with(options).await.unwrap();
    let told = stage.until_condition("ScalabilityFitted", "True", "CeilingEarned").await.unwrap();
    assert!(told.contains("throughput peaks at 9") || told.contains("throughput peaks at 10"), "{told}");
    let ceiling = |policy: &ScalingPolicy| policy.status.as_ref()?.scalability.as_ref()?.ceiling;
    let earned = ceiling(&stage.seen().await.unwrap()).unwrap();
    assert!((8..=11).contains(&earned), "the peak is at 9.7: {told}");
    stage.load(150.0).await.unwrap();
    let limited = stage.until_condition("ScalingLimited", "True", "ScalabilityCeiling").await.unwrap();
    assert!(limited.contains("needs 15") && limited.contains("the scalability ceiling (USL)"), "{limited}");
    operator.evaluations(5).await.unwrap();
    let record = stage.course.record();
    let most = record.counts().into_iter().max().unwrap();
    assert!(u32::try_from(most).unwrap() <= earned, "{record}");
}
