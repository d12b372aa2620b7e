//! Writes `docs/describe`: what `kubectl describe` prints of a policy, from a run on real servers.

mod guards;
mod scalability;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use e2e::bed::{
    Bed, BedError, Floor, OPERATOR, Operator, OperatorOptions, POLICY, Stage, Workload, condition,
};
use e2e::real::StartError;
use e2e::real::kubectl::print;
use e2e::real::program::Program;
use kube::Api;
use kube::api::PostParams;
use plimsoll::api::{ConnectionBudget, ScalingPolicy};
use plimsoll::prometheus::{Config, ServerConfig};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// The policy that all pages are about.
const EXAMPLE: &str = include_str!("../../../../examples/checkout.yaml");

/// How often requests are counted.
const TICK: Duration = Duration::from_millis(200);

/// Requests a second that fit nine replicas, two of them headroom.
const QUIET: f64 = 580.0;

/// Writes what `kubectl describe` prints of a policy, from a run on real servers
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the pages go
    #[arg(default_value = "docs/describe")]
    directory: PathBuf,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { directory } = Arguments::parse();
    let kubectl = match Program::Kubectl.find() {
        Ok(kubectl) => kubectl,
        Err(missing) => return skipped(&missing),
    };
    let bed = match Bed::start_with_past(Floor::Real, &[], scalability::past()).await {
        Ok(bed) => bed,
        Err(BedError::Start(StartError::Missing(missing))) => return skipped(&missing),
        Err(error) => return Err(error.into()),
    };
    let grown = scalability::grown(&bed).await?;
    let _operator = operator_of_the_cluster(&bed).await?;
    let mut pages = JoinSet::new();
    pages.spawn(healthy(Arc::clone(&bed)));
    pages.spawn(at_its_ceiling(Arc::clone(&bed)));
    pages.spawn(metric_gone(Arc::clone(&bed)));
    pages.spawn(rollout_under_way(Arc::clone(&bed)));
    pages.spawn(sharing(Arc::clone(&bed)));
    pages.spawn(guards::active(Arc::clone(&bed)));
    pages.spawn(guards::bottleneck_moved(Arc::clone(&bed)));
    let grown = scalability::pages(grown);
    let mut ready = Vec::new();
    while let Some(page) = pages.join_next().await {
        ready.push(page??);
    }
    ready.extend(grown.await?);
    for Page { name, stage, budget, _loads } in ready {
        let text = describe(&kubectl, &stage, budget).await?;
        let path = directory.join(name).with_extension("txt");
        write(&path, &text)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Nothing is written where the servers are not installed; what is there stays.
fn skipped(missing: &dyn Error) -> Result<(), Failure> {
    Err(format!("the pages stay as they are: {missing}").into())
}

/// A policy in the state that a page is to show, while its load goes on.
struct Page {
    name: &'static str,
    stage: Stage,
    /// The budget that the page is about as well.
    budget: Option<&'static str>,
    _loads: Vec<Load>,
}

async fn healthy(bed: Arc<Bed>) -> Result<Page, Failure> {
    let (stage, load) = checkout(&bed, "shop", &json!({}), Workload::of(6)).await?;
    settled_at(&stage, 9).await?;
    Ok(Page { name: "healthy", stage, budget: None, _loads: vec![load] })
}

async fn at_its_ceiling(bed: Arc<Bed>) -> Result<Page, Failure> {
    let thirsty = json!({"spec": {"ceilings": {"connections": [{
        "name": "orders-db", "inline": {"maxConnections": 500, "reserved": 15}, "perPod": 20,
    }]}}});
    // Five starts and five drains are seen before the load rises.
    let (stage, load) = checkout(&bed, "shop-at-its-ceiling", &thirsty, Workload::of(15)).await?;
    settled_at(&stage, 9).await?;
    load.set(3580.0);
    stage.until_condition("ScalingLimited", "True", "ConnectionBudget").await?;
    // The rate takes a while to show the whole load, and status a minute to show what has only grown.
    let held = |policy: &ScalingPolicy| {
        let ready = condition(policy, "Ready").map(|ready| ready.message.as_str()).unwrap_or_default();
        ready.starts_with("needs 42, held at ") && rests(policy)
    };
    if stage.until("held and at rest", held).await.is_err() {
        stage.until("held and at rest", held).await?;
    }
    Ok(Page { name: "at-its-ceiling", stage, budget: None, _loads: vec![load] })
}

async fn metric_gone(bed: Arc<Bed>) -> Result<Page, Failure> {
    let (stage, load) = checkout(&bed, "shop-metric-gone", &json!({}), Workload::of(6)).await?;
    settled_at(&stage, 9).await?;
    load.end(&bed);
    stage.until_condition("ScalingActive", "False", "FailedGetExternalMetric").await?;
    Ok(Page { name: "metric-gone", stage, budget: None, _loads: vec![load] })
}

async fn rollout_under_way(bed: Arc<Bed>) -> Result<Page, Failure> {
    let slow = Workload { start_up: Duration::from_secs(15), ..Workload::of(9) };
    let (stage, load) = checkout(&bed, "shop-rollout", &json!({}), slow).await?;
    settled_at(&stage, 9).await?;
    stage.roll_out(json!({"spec": {"containers": [{"name": "checkout", "image": "checkout:2"}]}})).await?;
    load.set(QUIET / 2.0);
    let waits = |policy: &ScalingPolicy| {
        let decision = policy.status.as_ref().and_then(|status| status.decision.as_ref());
        decision.is_some_and(|decision| decision.reason == "RolloutInProgress")
    };
    stage.until("waiting for the rollout", waits).await?;
    Ok(Page { name: "rollout-under-way", stage, budget: None, _loads: vec![load] })
}

/// Two services on one database: one has grown into what the other does not need.
async fn sharing(bed: Arc<Bed>) -> Result<Page, Failure> {
    let budget = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "orders-db"},
        "spec": {"limit": {"maxConnections": 500}, "reserved": 15},
    });
    let budgets: Api<ConnectionBudget> = Api::all(bed.client().await?);
    budgets.create(&PostParams::default(), &serde_json::from_value(budget)?).await?;
    let shares = json!({"spec": {"ceilings": {"connections": [{
        "name": "orders-db", "inline": null, "budgetRef": {"name": "orders-db"}, "perPod": 10,
    }]}}});
    // Five starts and five drains of each are seen before the load rises.
    let (other, quiet) = checkout(&bed, "shop-beside", &shares, Workload::of(15)).await?;
    let (stage, load) = checkout(&bed, "shop-sharing", &shares, Workload::of(15)).await?;
    settled_at(&other, 9).await?;
    settled_at(&stage, 9).await?;
    load.set(3580.0);
    let held = |policy: &ScalingPolicy| {
        let ready = condition(policy, "Ready").map(|ready| ready.message.as_str()).unwrap_or_default();
        ready.starts_with("needs 42, held at ") && rests(policy)
    };
    if stage.until("held and at rest", held).await.is_err() {
        stage.until("held and at rest", held).await?;
    }
    Ok(Page { name: "sharing-a-database", stage, budget: Some("orders-db"), _loads: vec![quiet, load] })
}

/// The example's policy on a Deployment in a namespace of its own, at [`QUIET`] requests a second; it is evaluated
/// more often and looks back less far, so that a page does not take ten minutes.
async fn checkout(
    bed: &Arc<Bed>,
    namespace: &str,
    changes: &Value,
    workload: Workload,
) -> Result<(Stage, Load), Failure> {
    let stage = Stage::set(bed, namespace, workload).await?;
    let load = Load::start(Arc::clone(bed), namespace, QUIET);
    let mut policy: Value = serde_saphyr::from_str(&EXAMPLE.replace("[1m]", "[15s]"))?;
    json_patch::merge(
        &mut policy,
        &json!({
            "metadata": {"namespace": namespace},
            "spec": {
                "pollingInterval": 2,
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": 10,
                        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}],
                    },
                },
                "smoothing": {"scaleDownHalfLifeSeconds": 5},
            },
        }),
    );
    json_patch::merge(&mut policy, changes);
    let rate = format!("sum(rate(ingress_requests_total{{namespace=\"{namespace}\"}}[15s]))");
    let whole = |rate: &String| rate.parse::<f64>().is_ok_and(|rate| (rate - QUIET).abs() < 0.05 * QUIET);
    bed.prometheus().wait_for(&rate, |rates| rates.iter().all(whole) && !rates.is_empty()).await?;
    stage.create(policy).await?;
    Ok((stage, load))
}

async fn settled_at(stage: &Stage, count: u32) -> Result<(), Failure> {
    let settled = |policy: &ScalingPolicy| {
        rests(policy) && policy.status.as_ref().is_some_and(|status| status.current_replicas == Some(count))
    };
    stage.until(&format!("at rest at {count}"), settled).await?;
    Ok(())
}

/// Whether the count is to stay and all its pods serve.
fn rests(policy: &ScalingPolicy) -> bool {
    let Some(status) = &policy.status else { return false };
    let (pods, replicas) = (status.pods.unwrap_or_default(), status.current_replicas);
    let stays = status.decision.as_ref().is_some_and(|decision| decision.from == decision.to);
    stays && Some(pods.warm) == replicas && pods.terminating == 0
}

async fn operator_of_the_cluster(bed: &Bed) -> Result<Operator, Failure> {
    // Every namespace sees its own series, as in a cluster that several teams share.
    let server = ServerConfig {
        namespace_label: Some("namespace".to_owned()),
        ..ServerConfig::new("main", &bed.prometheus().url())
    };
    let options = OperatorOptions {
        user: OPERATOR.to_owned(),
        namespaces: Vec::new(),
        servers: Config { prometheus: vec![server] },
    };
    let operator = Operator::start(bed, options).await?;
    operator.ready().await?;
    Ok(operator)
}

/// Requests that are counted as they come.
struct Load {
    namespace: String,
    rate: Arc<std::sync::Mutex<f64>>,
    slow: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(bed: Arc<Bed>, namespace: &str, rate: f64) -> Self {
        let rate = Arc::new(std::sync::Mutex::new(rate));
        let slow = Arc::new(AtomicBool::new(false));
        let (now, slowed, namespace_label) = (Arc::clone(&rate), Arc::clone(&slow), namespace.to_owned());
        let task = tokio::spawn(async move {
            let mut tick = interval(TICK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                tick.tick().await;
                let rate = *now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let slow = slowed.load(Ordering::Relaxed);
                count_requests(&bed, &namespace_label, rate * TICK.as_secs_f64(), slow);
            }
        });
        Self { namespace: namespace.to_owned(), rate, slow, task }
    }

    fn set(&self, rate: f64) {
        *self.rate.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = rate;
    }

    /// One request of twenty takes half a second from now on.
    fn slow_down(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    /// The ingress is scraped no more.
    fn end(&self, bed: &Bed) {
        self.task.abort();
        let labels = [("namespace", self.namespace.as_str()), ("svc", POLICY)];
        bed.exporter().remove("ingress_requests_total", &labels);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn count_requests(bed: &Bed, namespace: &str, requests: f64, slow: bool) {
    let exporter = bed.exporter();
    exporter.add("ingress_requests_total", &[("namespace", namespace), ("svc", POLICY)], requests);
    let shares = if slow { [0.5, 0.9, 0.95, 1.0] } else { [0.985, 0.999, 0.9995, 1.0] };
    for (bound, share) in ["0.1", "0.25", "0.5", "+Inf"].into_iter().zip(shares) {
        let labels = [("le", bound), ("namespace", namespace)];
        exporter.add("checkout_duration_seconds_bucket", &labels, requests * share);
    }
}

/// The commands and what they print.
async fn describe(kubectl: &Path, stage: &Stage, budget: Option<&str>) -> Result<String, Failure> {
    let cluster = stage.bed.cluster().ok_or("the pages come from real servers")?;
    let mut text = String::new();
    let namespace = stage.namespace.as_str();
    let mut commands = Vec::new();
    if let Some(budget) = budget {
        commands.extend([vec!["get", "cb"], vec!["describe", "cb", budget]]);
    }
    commands.extend([vec!["get", "sp", "-n", namespace], vec!["describe", "sp", POLICY, "-n", namespace]]);
    for arguments in commands {
        let printed = print(kubectl, cluster.kubeconfig_path("admin")?, &arguments).await?;
        text.push_str(&[printed.as_str(), "\n\n"].concat());
    }
    Ok(text.trim_end().to_owned() + "\n")
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}
