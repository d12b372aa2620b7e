//! The real operator at work in the demo, watched through its own recording; and, beside it, what an HPA would do.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll::control::{
    Compat, CountOrPercent, Decision, Memory, Observation, Overrides, Policy, Rollout, ScalabilityView,
    Target, UpdateStrategy, Workload, decide,
};
use plimsoll::operator::{Options, Record, RunError, run};
use plimsoll::prometheus::Servers;
use plimsoll::time::Span;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::cluster::{Cluster, NAME, NAMESPACE};

/// How long the operator may take to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The operator at work; it is stopped, without grace, when this is dropped.
#[derive(Debug)]
pub struct Operator {
    running: JoinHandle<Result<(), RunError>>,
    stop: CancellationToken,
    recording: Recording,
}

impl Operator {
    /// Starts the operator on the cluster.
    pub async fn start(
        cluster: &Cluster,
        servers: Arc<Servers>,
        directory: &Path,
    ) -> Result<Self, DemoError> {
        let record = directory.join("decisions");
        let options = Options {
            listener: Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
            record: Some(record.clone()),
            ..Options::new(servers)
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(cluster.client().await?, options, stop.clone()));
        let recording = Recording::new(record.join(format!("{NAMESPACE}_{NAME}.jsonl")));
        Ok(Self { running, stop, recording })
    }

    /// The evaluations since this was last asked, oldest first. An error if the operator has ended.
    pub fn news(&mut self) -> Result<Vec<Record>, DemoError> {
        if self.running.is_finished() {
            return Err(DemoError::Own("the operator has ended; its log tells why".to_owned()));
        }
        self.recording.news()
    }

    /// Stops the operator in good order.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Whatever it still had to say no longer matters.
        let _ = timeout(GRACE, &mut self.running).await;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.cancel();
        self.running.abort();
    }
}

/// The operator's recording, read as it grows.
#[derive(Debug)]
struct Recording {
    path: PathBuf,
    file: Option<BufReader<File>>,
    line: Vec<u8>,
}

impl Recording {
    const fn new(path: PathBuf) -> Self {
        Self { path, file: None, line: Vec::new() }
    }

    fn news(&mut self) -> Result<Vec<Record>, DemoError> {
        let mut records = Vec::new();
        if self.file.is_none() {
            // There is none before the first evaluation.
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return Ok(records) };
        // The last line may be only begun.
        while file.read_until(b'\n', &mut self.line)? > 0 && self.line.ends_with(b"\n") {
            let record =
                serde_json::from_slice(&self.line).map_err(|error| DemoError::Own(error.to_string()))?;
            records.push(record);
            self.line.clear();
        }
        Ok(records)
    }
}

/// A HorizontalPodAutoscaler in thought: it is told what the operator is told, decides by the same rules, target and
/// behavior, and its pods come at once. It knows of no database.
#[derive(Debug)]
pub struct Shadow {
    policy: Policy,
    memory: Memory,
    replicas: u32,
}

impl Shadow {
    /// An HPA with the bounds, targets and behavior of `policy`, at `replicas` now.
    pub fn new(policy: &Policy, replicas: u32) -> Self {
        let policy = Policy { compat: Compat::Hpa, ..policy.clone() };
        Self { policy, memory: Memory::default(), replicas }
    }

    /// Lets it evaluate what the operator evaluated.
    pub fn follow(&mut self, record: &Record) {
        let observation = Observation {
            readings: record.observation.readings.clone(),
            target: Target::Seen(Workload {
                spec_replicas: self.replicas,
                pods: Vec::new(),
                departed: Vec::new(),
                rollout: Rollout::Settled,
                revision: 0,
                update: UpdateStrategy::RollingUpdate {
                    max_surge: CountOrPercent::Percent(25),
                    max_unavailable: CountOrPercent::Percent(25),
                },
                termination_grace: Span::from_seconds(30),
                progress_deadline: Span::from_seconds(600),
                zones: 0,
            }),
            overrides: Overrides::default(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: Vec::new(),
        };
        let memory = std::mem::take(&mut self.memory);
        let (decision, memory) = decide(&self.policy, &observation, memory, record.now);
        self.memory = memory;
        self.replicas = decision.write.unwrap_or(self.replicas);
    }

    /// The replicas that it has asked for.
    pub const fn replicas(&self) -> u32 {
        self.replicas
    }
}

/// Whether every signal of a decision was fit to use.
pub fn is_sighted(decision: &Decision) -> bool {
    decision.signals.iter().all(|signal| signal.state == plimsoll::signal::SignalState::Fresh)
}
