//! The pods' processes, and the work that they are given: what a kubelet and a service do, for real.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::services::Service;
use super::tally::Tally;
use crate::real::StartError;
use crate::real::kubelet::Containers;
use crate::real::process::{Sandbox, ServerProcess};

/// The label by which a pod's service is known.
pub const SERVICE_LABEL: &str = "app";

/// How the pods of all namespaces run.
#[derive(Clone, Debug)]
pub struct PodTimes {
    /// From its start until a pod is ready.
    pub start_up: Duration,
    /// How long it holds its connections after it was told to end.
    pub drain: Duration,
    /// How long a query takes.
    pub query: Duration,
}

/// The processes of all pods; they end with it.
pub struct Fleet {
    program: PathBuf,
    socket: PathBuf,
    times: PodTimes,
    services: Vec<Service>,
    databases: BTreeMap<String, String>,
    state: Mutex<State>,
    sandbox: Sandbox,
}

#[derive(Default)]
struct State {
    /// By the uid of their pod.
    processes: BTreeMap<String, Process>,
    /// The pods that were told to end or are gone; none of theirs is started again.
    ending: BTreeSet<String>,
    /// By namespace and service.
    tallies: BTreeMap<(String, String), Tally>,
    queries: u64,
    ended: bool,
}

struct Process {
    namespace: String,
    service: String,
    server: ServerProcess,
    stage: watch::Sender<Stage>,
    work: Option<mpsc::UnboundedSender<String>>,
    /// Since when the queries wait that it was given.
    given: BTreeMap<String, Instant>,
}

impl Process {
    /// Whether it is ready and of this service.
    fn serves(&self, namespace: &str, service: &str) -> bool {
        let here = self.namespace == namespace && self.service == service;
        here && *self.stage.borrow() == Stage::Ready
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    Ended,
}

/// Accepts the processes' connections until it is dropped, and ends the processes then.
pub struct Listening {
    fleet: Arc<Fleet>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        self.fleet.end();
    }
}

impl Fleet {
    /// No pods yet. `program` is what runs in them; `databases` has a connection string for each namespace.
    pub fn start(
        program: PathBuf,
        times: PodTimes,
        services: Vec<Service>,
        databases: BTreeMap<String, String>,
    ) -> Result<(Arc<Self>, Listening), StartError> {
        let sandbox = Sandbox::new("orders")?;
        let socket = sandbox.path().join("pods.sock");
        let listener = UnixListener::bind(&socket).map_err(StartError::io("cannot listen for pods"))?;
        let state = Mutex::default();
        let fleet = Arc::new(Self { program, socket, times, services, databases, state, sandbox });
        let task = tokio::spawn(Arc::clone(&fleet).listen(listener));
        let listening = Listening { fleet: Arc::clone(&fleet), task };
        Ok((fleet, listening))
    }

    /// A query has arrived for a service in a namespace: its ready pods make queries in turn, however many connections
    /// each of them has, as behind a Kubernetes Service.
    pub fn ask(&self, namespace: &str, service: &str) {
        let mut state = self.lock();
        state.queries += 1;
        let query = state.queries.to_string();
        let tally = state.tally(namespace, service);
        tally.asked += 1;
        let turn = tally.asked;
        let State { processes, ending, .. } = &mut *state;
        let mut serving: Vec<&mut Process> = processes
            .iter_mut()
            .filter(|(uid, process)| process.serves(namespace, service) && !ending.contains(*uid))
            .map(|(_, process)| process)
            .collect();
        // Without a pod it is asked and never done.
        let pods = u64::try_from(serving.len()).unwrap_or(u64::MAX);
        let Some(next) = turn.checked_rem(pods).and_then(|next| usize::try_from(next).ok()) else { return };
        if let Some(process) = serving.get_mut(next)
            && let Some(work) = &process.work
            && work.send(format!("{query}\n")).is_ok()
        {
            process.given.insert(query, Instant::now());
        }
    }

    /// What has happened so far in a namespace, by service.
    pub fn tallies(&self, namespace: &str) -> Vec<(String, Tally)> {
        let mut state = self.lock();
        let names = self.services.iter().map(|service| service.name.to_owned());
        names.map(|name| (name.clone(), state.tally(namespace, &name).clone())).collect()
    }

    /// Connections asked for, refused, and queries asked and done so far in a namespace.
    pub fn counts(&self, namespace: &str) -> [u64; 4] {
        let state = self.lock();
        let here = state.tallies.iter().filter(|((place, _), _)| place == namespace);
        here.fold([0; 4], |[attempts, refused, asked, done], (_, tally)| {
            [attempts + tally.attempts, refused + tally.refused, asked + tally.asked, done + tally.done]
        })
    }

    /// How many processes of pods run in a namespace.
    pub fn running(&self, namespace: &str) -> usize {
        self.lock().processes.values().filter(|process| process.namespace == namespace).count()
    }

    /// Kills the process of one ready pod of a service, as a crash does; `false` if there is none.
    pub fn crash(&self, namespace: &str, service: &str) -> bool {
        let mut state = self.lock();
        let State { processes, ending, .. } = &mut *state;
        let found = processes
            .iter_mut()
            .find(|(uid, process)| process.serves(namespace, service) && !ending.contains(*uid));
        found.map(|(_, process)| process.server.kill()).is_some()
    }

    async fn listen(self: Arc<Self>, listener: UnixListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&self).attend(stream));
        }
    }

    /// Hears one process until it ends.
    async fn attend(self: Arc<Self>, stream: UnixStream) {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let Ok(Some(greeting)) = lines.next_line().await else { return };
        let uid = greeting.strip_prefix("hello ").unwrap_or_default().to_owned();
        let (work, mut queries) = mpsc::unbounded_channel::<String>();
        if !self.with(&uid, |process, _| process.work = Some(work)) {
            return;
        }
        let writing = tokio::spawn(async move {
            while let Some(line) = queries.recv().await {
                if write.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        while let Ok(Some(line)) = lines.next_line().await {
            self.with(&uid, |process, tally| hear(process, tally, &line));
        }
        writing.abort();
        self.bury(&uid);
    }

    /// Ends every process; none is started any more.
    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        // Killed as they are dropped, and their connections with them.
        state.processes.clear();
    }

    /// A process has closed its connection, which is the last that it does.
    fn bury(&self, uid: &str) {
        let process = self.lock().processes.remove(uid);
        if let Some(mut process) = process {
            process.server.kill();
            process.stage.send_replace(Stage::Ended);
        }
    }

    fn with(&self, uid: &str, change: impl FnOnce(&mut Process, &mut Tally)) -> bool {
        let mut state = self.lock();
        let State { processes, tallies, .. } = &mut *state;
        let Some(process) = processes.get_mut(uid) else { return false };
        let tally = tallies.entry((process.namespace.clone(), process.service.clone())).or_default();
        change(process, tally);
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process of a pod, unless it is to end already; what is watched is how far it is.
    fn begin(&self, pod: &Pod) -> Result<Option<watch::Receiver<Stage>>, StartError> {
        let uid = pod.uid().unwrap_or_default();
        let namespace = pod.namespace().unwrap_or_default();
        let label = pod.labels().get(SERVICE_LABEL).map(String::as_str).unwrap_or_default();
        let unknown = |what: &str| StartError::io(format!("pod {}", pod.name_any()))(io::Error::other(what));
        let found = self.services.iter().find(|service| service.name == label);
        let service = found.ok_or_else(|| unknown("it is of no known service"))?;
        let database =
            self.databases.get(&namespace).ok_or_else(|| unknown("its namespace has no database"))?;
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let arguments = [
            ("id", uid.clone()),
            ("socket", self.socket.display().to_string()),
            ("database", format!("{database} application_name={}", pod.name_any())),
            ("service", label.to_owned()),
            ("pool", service.per_pod.to_string()),
            ("start-up", milliseconds(self.times.start_up)),
            ("drain", milliseconds(self.times.drain)),
            ("query", milliseconds(self.times.query)),
        ];
        let arguments: Vec<String> =
            arguments.iter().map(|(argument, value)| format!("--{argument}={value}")).collect();
        let mut state = self.lock();
        if state.ended || state.ending.contains(&uid) {
            return Ok(None);
        }
        let server = self.sandbox.start(&self.program, &arguments)?;
        let (reached, watched) = watch::channel(Stage::Starting);
        let process = Process {
            namespace,
            service: label.to_owned(),
            server,
            stage: reached,
            work: None,
            given: BTreeMap::new(),
        };
        state.processes.insert(uid, process);
        Ok(Some(watched))
    }

    fn watch(&self, uid: &str) -> Option<watch::Receiver<Stage>> {
        self.lock().processes.get(uid).map(|process| process.stage.subscribe())
    }
}

impl State {
    fn tally(&mut self, namespace: &str, service: &str) -> &mut Tally {
        self.tallies.entry((namespace.to_owned(), service.to_owned())).or_default()
    }
}

/// What a process said.
fn hear(process: &mut Process, tally: &mut Tally, line: &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "attempt" => tally.attempts += 1,
        "refused" => {
            tally.refused += 1;
            *tally.refusals.entry(rest.to_owned()).or_insert(0) += 1;
        }
        "unreachable" => tally.unreachable += 1,
        "ready" => {
            process.stage.send_replace(Stage::Ready);
        }
        "done" => {
            if let Some(since) = process.given.remove(rest) {
                tally.done += 1;
                tally.latencies.push(since.elapsed());
            }
        }
        "expired" | "failed" => {
            process.given.remove(rest);
        }
        _ => {}
    }
}

impl Containers for Fleet {
    fn start<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.begin(pod) {
                Ok(Some(mut stage)) => {
                    let stage = stage.wait_for(|stage| *stage != Stage::Starting).await;
                    stage.is_ok_and(|stage| *stage == Stage::Ready)
                }
                // Whoever tells it to end ends this wait as well.
                Ok(None) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!(%error, "a pod's process could not be started");
                    false
                }
            }
        })
    }

    fn ended<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(mut stage) = self.watch(&pod.uid().unwrap_or_default()) {
                let _ = stage.wait_for(|stage| *stage == Stage::Ended).await;
            }
        })
    }

    fn stop<'a>(&'a self, pod: &'a Pod, grace: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let uid = pod.uid().unwrap_or_default();
            let stage = {
                let mut state = self.lock();
                state.ending.insert(uid.clone());
                let process = state.processes.get(&uid);
                process
                    .inspect(|process| process.server.ask_to_end())
                    .map(|process| process.stage.subscribe())
            };
            if let Some(mut stage) = stage {
                let _ = timeout(grace, stage.wait_for(|stage| *stage == Stage::Ended)).await;
            }
            self.bury(&uid);
        })
    }

    fn remove(&self, uid: &str) {
        self.lock().ending.insert(uid.to_owned());
        self.bury(uid);
    }
}
