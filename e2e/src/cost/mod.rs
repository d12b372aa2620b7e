//! What the whole operator costs: a process of its own with thousands of policies, whose signals move by three percent
//! at every look and whose counts therefore never do.

mod double;
mod figures;
mod process;
mod queries;
mod real;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::real::loopback::ReservedPort;
use crate::real::process::{Sandbox, ServerProcess, StartError};

pub use double::DoubleFloor;
pub use figures::{Figures, Histogram};
pub use process::Usage;
pub use real::RealFloor;

/// The namespace of the Lease.
const OWN_NAMESPACE: &str = "plimsoll-system";
/// Between two looks at something that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The servers that an operator works with, counting what it asks of them.
pub trait Floor: Send + Sync {
    /// The floor in words.
    fn name(&self) -> String;
    /// A kubeconfig for the operator.
    fn kubeconfig(&self) -> &Path;
    /// Where queries go.
    fn prometheus(&self) -> String;
    /// Demand of every workload, as a multiple of what its pods carry.
    fn demand(&self, factor: f64) -> BoxFuture<'_, Result<(), Fault>>;
    /// What the operator has asked so far.
    fn asked(&self) -> BoxFuture<'_, Result<Asked, Fault>>;
    /// Makes every watch list anew; false where that cannot be asked for.
    fn relist(&self) -> bool;
}

/// What the operator has asked of its servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Requests to the API server, the lease's left out.
    pub requests: u64,
    /// Those of them that would write.
    pub writes: u64,
    /// Those of them that wrote a count.
    pub scales: u64,
    /// Requests about the lease.
    pub lease: u64,
    /// Queries for values.
    pub values: u64,
    /// Queries for ages.
    pub ages: u64,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A server could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Fault {
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

/// How much there is to look after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Policies, each with a workload of its own.
    pub policies: usize,
    /// Pods of each workload, all of them Ready.
    pub pods: usize,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many policies there are, and pods of each.
    pub size: Size,
    /// How long the steady state is looked at.
    pub window: Duration,
    /// How long anything may take.
    pub patience: Duration,
}

/// The operator under measurement.
struct Operator {
    process: ServerProcess,
    metrics: String,
    client: reqwest::Client,
    _sandbox: Sandbox,
    _port: ReservedPort,
}

impl Operator {
    fn start(program: &Path, floor: &dyn Floor) -> Result<Self, Fault> {
        let (sandbox, port) = (Sandbox::new("cost")?, ReservedPort::new()?);
        let address = port.address().to_string();
        let (kubeconfig, prometheus) = (floor.kubeconfig().display().to_string(), floor.prometheus());
        let arguments = ["run", "--kubeconfig", &kubeconfig, "--prometheus-url", &prometheus];
        let more = ["--lease-namespace", OWN_NAMESPACE, "--listen", &address];
        let arguments: Vec<_> =
            arguments.iter().chain(&more).map(|argument| (*argument).to_owned()).collect();
        Ok(Self {
            process: sandbox.start(program, &arguments)?,
            metrics: format!("http://{address}/metrics"),
            client: crate::real::loopback_client()?,
            _sandbox: sandbox,
            _port: port,
        })
    }

    async fn metrics(&self) -> Option<String> {
        let answer = async { self.client.get(&self.metrics).send().await?.text().await };
        timeout(Duration::from_secs(30), answer).await.ok()?.ok()
    }

    async fn lag(&self) -> Result<Histogram, Fault> {
        let text =
            self.metrics().await.ok_or_else(|| Fault::Other("the operator tells no metrics".to_owned()))?;
        Ok(Histogram::read(&text, "plimsoll_evaluation_lag_seconds"))
    }

    /// Waits until so many evaluations have been made since the start.
    async fn evaluated(&mut self, enough: u64, patience: Duration) -> Result<(), Fault> {
        let deadline = Instant::now() + patience;
        loop {
            let made = self
                .metrics()
                .await
                .map(|text| Histogram::read(&text, "plimsoll_evaluation_lag_seconds").count);
            if made.is_some_and(|made| made >= enough) {
                return Ok(());
            }
            if self.process.ended().is_some() || Instant::now() > deadline {
                return Err(Fault::Other(format!(
                    "{made:?} of {enough} evaluations\n{}",
                    self.process.log_tail()
                )));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Starts the operator on a floor and measures it.
pub async fn measure(program: PathBuf, floor: &dyn Floor, plan: Plan) -> Result<Figures, Fault> {
    let policies = u64::try_from(plan.size.policies).unwrap_or(u64::MAX);
    let began = Instant::now();
    let mut operator = Operator::start(&program, floor)?;
    operator.evaluated(policies, plan.patience).await?;
    let cold_start = began.elapsed();
    // Every policy has written its first status; after three more rounds nothing is new.
    operator.evaluated(policies.saturating_mul(4), plan.patience).await?;
    let (asked, lag, used) = (floor.asked().await?, operator.lag().await?, operator.usage()?);
    sleep(plan.window).await;
    let steady_asked = floor.asked().await?.minus(asked);
    let steady_lag = operator.lag().await?.minus(&lag);
    let steady = operator.usage()?;
    let relisted = if floor.relist() {
        sleep(Duration::from_secs(100)).await;
        Some(operator.usage()?.peak_kib)
    } else {
        None
    };
    let scales = floor.asked().await?.scales;
    floor.demand(1.9).await?;
    let began = Instant::now();
    let mass_step = loop {
        let look = Instant::now();
        if floor.asked().await?.scales >= scales + policies {
            break Some(began.elapsed());
        }
        if began.elapsed() > plan.patience {
            break None;
        }
        // Reading what was asked takes as long as there is to read, on the processors of those that are measured.
        sleep(look.elapsed().max(LOOK_INTERVAL * 5)).await;
    };
    Ok(Figures {
        floor: floor.name(),
        size: plan.size,
        window: plan.window,
        cold_start,
        asked: steady_asked,
        lag: steady_lag,
        processor: steady.processor.saturating_sub(used.processor),
        resident_kib: steady.resident_kib,
        peak_kib: steady.peak_kib,
        peak_relisted_kib: relisted,
        mass_step,
    })
}

impl Operator {
    fn usage(&self) -> Result<Usage, Fault> {
        Ok(Usage::of(self.process.id())?)
    }
}

impl Asked {
    fn minus(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            writes: self.writes.saturating_sub(before.writes),
            scales: self.scales.saturating_sub(before.scales),
            lease: self.lease.saturating_sub(before.lease),
            values: self.values.saturating_sub(before.values),
            ages: self.ages.saturating_sub(before.ages),
        }
    }

    fn count(&mut self, verb: &str, resource: &str) {
        if resource == "leases" {
            self.lease += 1;
            return;
        }
        self.requests += 1;
        let writes = !matches!(verb, "get" | "list" | "watch");
        self.writes += u64::from(writes);
        self.scales += u64::from(writes && resource.ends_with("/scale"));
    }
}

fn name(number: usize) -> String {
    format!("web-{number:05}")
}

fn namespace(number: usize) -> String {
    format!("team-{}", number % 20)
}

fn namespaces() -> impl Iterator<Item = String> {
    (0..20).map(namespace).chain([OWN_NAMESPACE.to_owned()])
}

fn deployment(number: usize, pods: usize) -> Value {
    let name = name(number);
    let containers = json!([{"name": "web", "image": "web:1"}]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace(number)},
        "spec": {"replicas": pods, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}}})
}

/// Whatever the noise, [`carried`] stays in its dead band.
fn policy(number: usize) -> Value {
    let name = name(number);
    json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": namespace(number)},
        "spec": {"scaleTargetRef": {"name": name}, "minReplicas": 1, "maxReplicas": 60, "pollingInterval": 15,
            "warmUp": {"source": "Declared", "seconds": 0},
            "metrics": [{"name": "rps", "prometheus": {"server": "main", "query": format!("sum(load{{app=\"{name}\"}})")},
                "target": {"type": "AverageValue", "averageValue": "100"}}]}})
}

/// Demand for so many pods at the middle of the dead band.
fn carried(pods: usize) -> f64 {
    97.5 * f64::from(u32::try_from(pods).unwrap_or(u32::MAX))
}

/// A value that moves by up to three percent around `middle`, another for each workload and moment.
fn noisy(middle: f64, seed: u64) -> f64 {
    let mixed =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 48;
    let unit = f64::from(u16::try_from(mixed).unwrap_or(u16::MAX)) / f64::from(u16::MAX);
    middle * (0.97 + 0.06 * unit)
}
