//! The pods' processes, and the work that they are given: what a kubelet and a service do, for real.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use plimsoll::number::count_of;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

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
    /// How long somebody waits for an answer.
    pub patience: Duration,
    /// Whether the database is told to give up what nobody waits for any more.
    pub cancel_late: bool,
}

/// What the pods of a service do.
#[derive(Clone, Debug)]
pub struct ServicePods {
    /// The service's name, and its pods' label.
    pub name: String,
    /// Connections that one pod holds, each of which makes one query at a time.
    pub pool: u32,
    /// A query, as SQL.
    pub statement: String,
}

/// Which pod gets the next query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The ready pods in turn, as behind a Kubernetes Service.
    InTurn,
    /// The one with the fewest queries, as a service mesh does it; none where each has this many for each connection.
    LeastLoaded {
        /// Queries for each connection, the one that is made included.
        most: u32,
    },
}

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// What runs in pods.
    pub program: PathBuf,
    /// How they run.
    pub times: PodTimes,
    /// What they do.
    pub services: Vec<ServicePods>,
    /// A connection string for each namespace.
    pub databases: BTreeMap<String, String>,
    /// Which of them gets the next query.
    pub dispatch: Dispatch,
}

/// The processes of all pods; they end with it.
pub struct Fleet {
    options: FleetOptions,
    socket: PathBuf,
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

/// What has become of a service's queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that arrived.
    pub asked: u64,
    /// Those that were made.
    pub done: u64,
    /// Those that a pod took and that were not made in time.
    pub given_up: u64,
    /// Those for which no pod had room.
    pub turned_away: u64,
}

/// How busy the ready pods of a service are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Ready pods.
    pub ready: u32,
    /// Their connections, each of which can make a query.
    pub workers: u32,
    /// Those that do.
    pub busy: u32,
    /// Queries that wait for one.
    pub waiting: u32,
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
    /// No pods yet.
    pub fn start(options: FleetOptions) -> Result<(Arc<Self>, Listening), StartError> {
        let sandbox = Sandbox::new("orders")?;
        let socket = sandbox.path().join("pods.sock");
        let listener = UnixListener::bind(&socket).map_err(StartError::io("cannot listen for pods"))?;
        let state = Mutex::default();
        let fleet = Arc::new(Self { options, socket, state, sandbox });
        let task = tokio::spawn(Arc::clone(&fleet).listen(listener));
        let listening = Listening { fleet: Arc::clone(&fleet), task };
        Ok((fleet, listening))
    }

    /// A query has arrived for a service in a namespace: one of its ready pods makes it.
    pub fn ask(&self, namespace: &str, service: &str) {
        let mut state = self.lock();
        state.queries += 1;
        let query = state.queries.to_string();
        let tally = state.tally(namespace, service);
        tally.asked += 1;
        let turn = tally.asked;
        let pool = self.pods_of(service).map_or(1, |pods| pods.pool);
        let State { processes, ending, tallies, .. } = &mut *state;
        let mut serving: Vec<&mut Process> = processes
            .iter_mut()
            .filter(|(uid, process)| process.serves(namespace, service) && !ending.contains(*uid))
            .map(|(_, process)| process)
            .collect();
        // Without a pod it is asked and never done.
        let pods = u64::try_from(serving.len()).unwrap_or(u64::MAX);
        let Some(next) = turn.checked_rem(pods).and_then(|next| usize::try_from(next).ok()) else { return };
        serving.rotate_left(next);
        let chosen = match self.options.dispatch {
            Dispatch::InTurn => serving.into_iter().next(),
            Dispatch::LeastLoaded { most } => serving
                .into_iter()
                .min_by_key(|process| process.given.len())
                .filter(|process| count_of(process.given.len()) < pool.saturating_mul(most)),
        };
        if let Some(process) = chosen {
            if let Some(work) = &process.work
                && work.send(format!("{query}\n")).is_ok()
            {
                process.given.insert(query, Instant::now());
            }
        } else if let Some(tally) = tallies.get_mut(&(namespace.to_owned(), service.to_owned())) {
            tally.turned_away += 1;
        }
    }

    /// How busy the ready pods of a service are at this moment.
    pub fn occupancy(&self, namespace: &str, service: &str) -> Occupancy {
        let pool = self.pods_of(service).map_or(1, |pods| pods.pool);
        let mut occupancy = Occupancy::default();
        for process in self.lock().processes.values().filter(|process| process.serves(namespace, service)) {
            let given = count_of(process.given.len());
            occupancy.ready += 1;
            occupancy.workers += pool;
            occupancy.busy += given.min(pool);
            occupancy.waiting += given.saturating_sub(pool);
        }
        occupancy
    }

    /// What has become of a service's queries so far, and how long those took that ended since `before` was counted,
    /// those that were given up included.
    pub fn ended_since(&self, namespace: &str, service: &str, before: &Counts) -> (Counts, Vec<Duration>) {
        let mut state = self.lock();
        let tally = state.tally(namespace, service);
        let after = |count: u64, all: &[Duration]| {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            all.get(count..).unwrap_or_default().to_vec()
        };
        let mut ended = after(before.done, &tally.latencies);
        ended.extend(after(before.given_up, &tally.given_up));
        let given_up = u64::try_from(tally.given_up.len()).unwrap_or(u64::MAX);
        let counts =
            Counts { asked: tally.asked, done: tally.done, given_up, turned_away: tally.turned_away };
        (counts, ended)
    }

    /// What has become of a service's queries so far.
    pub fn counts_of(&self, namespace: &str, service: &str) -> Counts {
        self.ended_since(
            namespace,
            service,
            &Counts { done: u64::MAX, given_up: u64::MAX, ..Counts::default() },
        )
        .0
    }

    fn pods_of(&self, service: &str) -> Option<&ServicePods> {
        self.options.services.iter().find(|pods| pods.name == service)
    }

    /// What has happened so far in a namespace, by service.
    pub fn tallies(&self, namespace: &str) -> Vec<(String, Tally)> {
        let mut state = self.lock();
        let names = self.options.services.iter().map(|service| service.name.clone());
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
        let service = self.pods_of(label).ok_or_else(|| unknown("it is of no known service"))?;
        let FleetOptions { program, times, databases, .. } = &self.options;
        let database = databases.get(&namespace).ok_or_else(|| unknown("its namespace has no database"))?;
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let arguments = [
            ("id", uid.clone()),
            ("socket", self.socket.display().to_string()),
            ("database", format!("{database} application_name={}", pod.name_any())),
            ("statement", service.statement.clone()),
            ("pool", service.pool.to_string()),
            ("start-up", milliseconds(times.start_up)),
            ("drain", milliseconds(times.drain)),
            ("patience", milliseconds(times.patience)),
        ];
        let arguments = arguments.iter().map(|(argument, value)| format!("--{argument}={value}"));
        let late = times.cancel_late.then(|| "--cancel-late".to_owned());
        let arguments: Vec<String> = arguments.chain(late).collect();
        let mut state = self.lock();
        if state.ended || state.ending.contains(&uid) {
            return Ok(None);
        }
        let server = self.sandbox.start(program, &arguments)?;
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
            if let Some(since) = process.given.remove(rest) {
                tally.given_up.push(since.elapsed());
            }
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
