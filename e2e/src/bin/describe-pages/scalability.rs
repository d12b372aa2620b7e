//! The pages about a fitted scalability ceiling. Their workloads have a past of two days, in Prometheus and in status.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use e2e::bed::{Bed, Stage, Workload};
use e2e::real::ServicePast;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use plimsoll::api::ScalingPolicy;
use plimsoll::ceiling::usl::Law;
use serde_json::{Value, json};

use crate::{Failure, Load, Page, checkout, operator_of_the_cluster, rests};

/// Throughput peaks at 40.7 replicas.
const LAW: Law = Law { lambda: 130.0, alpha: 0.005, beta: 0.0006 };
const LASTING: Duration = Duration::from_secs(2 * 86_400);
/// Requests a second for 42 replicas, two of them headroom.
const BUSY: f64 = 3580.0;

const YOUNG: &str = "shop-law-unknown";
const OBSERVED: &str = "shop-law-observed";
const ENFORCED: &str = "shop-law-enforced";

/// What Prometheus knows of the workloads.
pub fn past() -> Vec<ServicePast> {
    let grown = |namespace: &str| ServicePast {
        namespace: namespace.to_owned(),
        law: LAW,
        target: 90.0,
        sizes: (6, 48),
        load: (400.0, 4300.0),
        lasting: LASTING,
    };
    let young = ServicePast { load: (400.0, 1000.0), lasting: Duration::from_secs(4 * 3600), ..grown(YOUNG) };
    vec![young, grown(OBSERVED), grown(ENFORCED)]
}

/// Policies whose status tells that their workloads have run as they are for two days.
pub struct Grown(Vec<(Stage, Load)>);

/// Sets up the workloads with an operator that has ended when this returns.
pub async fn grown(bed: &Arc<Bed>) -> Result<Grown, Failure> {
    let operator = operator_of_the_cluster(bed).await?;
    let mut stages = Vec::new();
    for (namespace, enforcement) in [(YOUNG, "Enforce"), (OBSERVED, "Observe"), (ENFORCED, "Enforce")] {
        let (stage, load) = checkout(bed, namespace, &fitted(enforcement), Workload::of(9)).await?;
        stage.until_condition("ScalabilityFitted", "False", "TooFewWindows").await?;
        stages.push((stage, load));
    }
    operator.stop().await??;
    let since = Timestamp::try_from(SystemTime::now() - LASTING)?.to_string();
    let status = json!({"status": {"scalability": {"since": since}}});
    for (stage, _) in &stages {
        let policies = stage.policies();
        policies.patch_status("checkout", &PatchParams::default(), &Patch::Merge(&status)).await?;
    }
    Ok(Grown(stages))
}

fn fitted(enforcement: &str) -> Value {
    json!({"spec": {"ceilings": {
        "connections": null,
        "scalability": {
            "alpha": null,
            "beta": null,
            "fit": {
                "throughputQuery": "sum(served_per_second)",
                "readyReplicasQuery": "sum(ready_replicas)",
                "utilizationQuery": "avg(busy_share)",
                "objective": {"query": "max(latency_p99_seconds)", "atMost": "300m"},
            },
            "enforcement": enforcement,
        },
    }}})
}

/// The pages, once each shows what it is to show.
pub async fn pages(Grown(stages): Grown) -> Result<Vec<Page>, Failure> {
    let names = ["scalability-not-ready", "scalability-observed", "scalability-enforced"];
    let mut pages = Vec::new();
    for (name, (stage, load)) in names.into_iter().zip(stages) {
        if name == "scalability-not-ready" {
            stage.until("no longer about too few windows", windows).await?;
        } else {
            stage.until_condition("ScalabilityFitted", "True", "CeilingEarned").await?;
        }
        if name == "scalability-enforced" {
            load.set(BUSY);
            stage.until_condition("ScalingLimited", "True", "ScalabilityCeiling").await?;
            let held = |policy: &ScalingPolicy| {
                let ready = e2e::bed::condition(policy, "Ready").map(|ready| ready.message.as_str());
                ready.is_some_and(|ready| ready.starts_with("needs 42, held at ")) && rests(policy)
            };
            if stage.until("held and at rest", held).await.is_err() {
                stage.until("held and at rest", held).await?;
            }
        }
        pages.push(Page { name, stage, budget: None, _loads: vec![load] });
    }
    Ok(pages)
}

fn windows(policy: &ScalingPolicy) -> bool {
    let known = policy.status.as_ref().and_then(|status| status.scalability.as_ref());
    known.is_some_and(|known| known.windows > 30)
}
