//! A fake kubelet: binds pods to a node that does not exist and lets them start, become ready and drain in the time
//! that the test chooses.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use crate::plant::DRAIN_SECONDS;
use crate::plant::{CRASH_LOOP, STARTUP_SECONDS};

/// The node that all pods run on.
pub const NODE: &str = "fake-node";

/// On a pod template: `"true"` makes its pods run and never become ready.
pub const NEVER_READY: &str = "plant.test/never-ready";

/// How long one request to the API server may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait before a failed request is sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How long a container that has ended stays so before it is started again.
const RESTART_INTERVAL: Duration = Duration::from_secs(1);
/// How many requests may be under way at once.
const REQUESTS_AT_ONCE: usize = 16;

/// How long pods take to come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodTiming {
    /// From running to ready.
    pub start_up: Duration,
    /// From the wish to delete to the end, if the pod's own grace period is not shorter.
    pub drain: Duration,
}

impl Default for PodTiming {
    fn default() -> Self {
        Self { start_up: Duration::from_secs(2), drain: Duration::from_millis(500) }
    }
}

/// What really runs in the pods. Without it they are only said to run.
pub trait Containers: Send + Sync {
    /// Starts what a pod runs and returns once it is ready; `false` if it has ended before.
    fn start<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, bool>;
    /// Returns when what a pod runs has ended without having been asked to.
    fn ended<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, ()>;
    /// Asks what a pod runs to end, makes it when `grace` is over, and returns when it has.
    fn stop<'a>(&'a self, pod: &'a Pod, grace: Duration) -> BoxFuture<'a, ()>;
    /// Ends at once what the pod of this uid still runs: it is gone.
    fn remove(&self, uid: &str);
}

/// A running fake kubelet; it stops on drop and leaves its pods as they are.
#[derive(Debug)]
pub struct Kubelet {
    worker: Arc<Worker>,
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Starts to care for the pods of all namespaces. `client` must be allowed everything.
    pub async fn start(client: Client) -> kube::Result<Self> {
        Self::begin(client, None).await
    }

    /// As [`start`](Self::start), with pods that really run: they are ready when their containers are, and gone when
    /// those have ended.
    pub async fn start_with(client: Client, containers: Arc<dyn Containers>) -> kube::Result<Self> {
        Self::begin(client, Some(containers)).await
    }

    async fn begin(client: Client, containers: Option<Arc<dyn Containers>>) -> kube::Result<Self> {
        register_node(client.clone()).await?;
        let worker = Arc::new(Worker {
            client: client.clone(),
            containers,
            timings: Mutex::default(),
            requests: Semaphore::new(REQUESTS_AT_ONCE),
            addresses: AtomicU16::new(1),
        });
        let task = tokio::spawn(care_for_pods(Api::all(client), Arc::clone(&worker)));
        Ok(Self { worker, task })
    }

    /// Sets how long pods of `namespace` take from now on; a pod that is starting or draining keeps its time. The
    /// annotations of a pod template are stronger.
    pub fn set_timing(&self, namespace: &str, timing: PodTiming) {
        self.worker.lock_timings().insert(namespace.to_owned(), timing);
    }

    /// Makes a running pod ready, or not ready as if its probe failed.
    pub async fn set_ready(&self, namespace: &str, pod: &str, ready: bool) -> kube::Result<()> {
        self.patch_status(namespace, pod, &json!({"conditions": readiness(ready)})).await
    }

    /// Ends a pod as a node does that runs out of memory: `Failed`, with the reason `Evicted`.
    pub async fn evict(&self, namespace: &str, pod: &str) -> kube::Result<()> {
        let message = "The node was low on resource: memory.";
        self.patch_status(
            namespace,
            pod,
            &json!({"phase": "Failed", "reason": "Evicted", "message": message}),
        )
        .await
    }

    async fn patch_status(&self, namespace: &str, pod: &str, status: &Value) -> kube::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.worker.client.clone(), namespace);
        patch_status(&pods, pod, status).await
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn register_node(client: Client) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}});
    nodes.patch(NODE, &PatchParams::apply("fake-kubelet").force(), &Patch::Apply(&node)).await?;
    let capacity = json!({"cpu": "1000", "memory": "1000Gi", "pods": "10000"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fake",
        "lastTransitionTime": Time(Timestamp::now())});
    let status = json!({"status": {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&status)).await.map(drop)
}

/// What is being done for a pod.
enum Care {
    /// It starts, or has started.
    Start(AbortHandle),
    /// It drains.
    Drain(AbortHandle),
}

/// The pods that are cared for, by their uid.
struct Pods {
    cared: HashMap<String, Care>,
    /// The uids that a new list has shown so far; whoever is cared for and not listed is gone.
    listed: HashSet<String>,
    tasks: JoinSet<()>,
    worker: Arc<Worker>,
}

async fn care_for_pods(api: Api<Pod>, worker: Arc<Worker>) {
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut pods = Pods { cared: HashMap::new(), listed: HashSet::new(), tasks: JoinSet::new(), worker };
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => pods.see(event),
                Some(Err(error)) => tracing::warn!(%error, "the fake kubelet does not see its pods"),
                None => return,
            },
            // Ended tasks are collected as they end.
            Some(_) = pods.tasks.join_next() => (),
        }
    }
}

impl Pods {
    fn see(&mut self, event: Event<Pod>) {
        match event {
            Event::Apply(pod) => self.care_for(pod),
            Event::InitApply(pod) => {
                self.listed.insert(pod.uid().unwrap_or_default());
                self.care_for(pod);
            }
            Event::Delete(pod) => self.forget(&pod.uid().unwrap_or_default()),
            Event::Init => self.listed.clear(),
            Event::InitDone => {
                let gone: Vec<String> =
                    self.cared.keys().filter(|uid| !self.listed.contains(*uid)).cloned().collect();
                for uid in gone {
                    self.forget(&uid);
                }
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        if let Some(Care::Start(task) | Care::Drain(task)) = self.cared.remove(uid) {
            task.abort();
        }
        if let Some(containers) = &self.worker.containers {
            containers.remove(uid);
        }
    }

    fn care_for(&mut self, pod: Pod) {
        let spec = pod.spec.as_ref();
        let node = spec.and_then(|spec| spec.node_name.as_deref());
        let scheduler = spec.and_then(|spec| spec.scheduler_name.as_deref());
        // Pods of another node, and those that another scheduler is to bind, are not ours.
        let awaits_another = node.is_none() && scheduler.is_some_and(|name| name != "default-scheduler");
        if awaits_another || node.is_some_and(|node| node != NODE) {
            return;
        }
        let uid = pod.uid().unwrap_or_default();
        let worker = Arc::clone(&self.worker);
        let ends = pod.metadata.deletion_timestamp.is_some();
        match self.cared.get(&uid) {
            Some(Care::Start(start)) if ends => start.abort(),
            Some(_) => return,
            None => (),
        }
        let care = if ends {
            Care::Drain(self.tasks.spawn(async move { worker.drain(&pod).await }))
        } else {
            Care::Start(self.tasks.spawn(async move { worker.start(&pod).await }))
        };
        self.cared.insert(uid, care);
    }
}

/// Sends what is done for pods to the API server.
struct Worker {
    client: Client,
    containers: Option<Arc<dyn Containers>>,
    timings: Mutex<HashMap<String, PodTiming>>,
    requests: Semaphore,
    addresses: AtomicU16,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("timings", &self.lock_timings()).finish_non_exhaustive()
    }
}

impl Worker {
    fn lock_timings(&self) -> std::sync::MutexGuard<'_, HashMap<String, PodTiming>> {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timing_of(&self, pod: &Pod) -> PodTiming {
        let namespace = pod.namespace().unwrap_or_default();
        let timing = self.lock_timings().get(&namespace).copied().unwrap_or_default();
        let annotated = |name: &str| pod.annotations().get(name).and_then(|text| parse_seconds(text));
        PodTiming {
            start_up: annotated(STARTUP_SECONDS).unwrap_or(timing.start_up),
            drain: annotated(DRAIN_SECONDS).unwrap_or(timing.drain),
        }
    }

    fn pods_beside(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }

    /// Binds a new pod, runs it, and makes it ready when its start-up time is over. One that another kubelet has
    /// bound or started goes on from there.
    async fn start(&self, pod: &Pod) {
        let (pods, name) = (self.pods_beside(pod), pod.name_any());
        let status = pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        if !matches!(phase, "Pending" | "Running") {
            return;
        }
        if pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_none()) {
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}});
            let params = PostParams::default();
            self.persist("bind", &name, || {
                pods.create_subresource::<_, Value>("binding", &name, &params, &binding)
            })
            .await;
        }
        let crashes = is_annotated(pod, CRASH_LOOP);
        if phase == "Pending" {
            let running = self.running_status(pod, crashes);
            self.persist("run", &name, || patch_status(&pods, &name, &running)).await;
        }
        if crashes || is_annotated(pod, NEVER_READY) {
            return;
        }
        if let Some(containers) = &self.containers {
            return self.run(containers.as_ref(), pod).await;
        }
        let since =
            status.and_then(|status| status.start_time.as_ref()).map_or_else(Timestamp::now, |time| time.0);
        let running_for = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
        sleep(self.timing_of(pod).start_up.saturating_sub(running_for)).await;
        let ready =
            json!({"conditions": readiness(true), "containerStatuses": containers(pod, Container::Ready, 0)});
        self.persist("make ready", &name, || patch_status(&pods, &name, &ready)).await;
    }

    /// Runs a pod's containers, and runs them again whenever they end.
    async fn run(&self, running: &dyn Containers, pod: &Pod) {
        let (pods, name) = (self.pods_beside(pod), pod.name_any());
        for restarts in 0_u32.. {
            if running.start(pod).await {
                let statuses = containers(pod, Container::Ready, restarts);
                let ready = json!({"conditions": readiness(true), "containerStatuses": statuses});
                self.persist("make ready", &name, || patch_status(&pods, &name, &ready)).await;
                running.ended(pod).await;
            }
            let statuses = containers(pod, Container::Ended, restarts.saturating_add(1));
            let ended = json!({"conditions": readiness(false), "containerStatuses": statuses});
            self.persist("say that it ended", &name, || patch_status(&pods, &name, &ended)).await;
            sleep(RESTART_INTERVAL).await;
        }
    }

    /// Removes a pod when its drain time is over.
    async fn drain(&self, pod: &Pod) {
        let (pods, name) = (self.pods_beside(pod), pod.name_any());
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        match &self.containers {
            Some(containers) => containers.stop(pod, grace).await,
            None => sleep(self.timing_of(pod).drain.min(grace)).await,
        }
        let preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
        let params = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        self.persist("remove", &name, || pods.delete(&name, &params)).await;
    }

    fn running_status(&self, pod: &Pod, crashes: bool) -> Value {
        let now = Time(Timestamp::now());
        let [high, low] = self.addresses.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let address = format!("10.244.{high}.{low}");
        let mut conditions = readiness(false);
        conditions.push(json!({"type": "Initialized", "status": "True", "lastTransitionTime": now}));
        let (state, restarts) = if crashes { (Container::Crashing, 5) } else { (Container::Starting, 0) };
        json!({
            "phase": "Running", "startTime": now, "hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}],
            "podIP": address, "podIPs": [{"ip": address}],
            "conditions": conditions, "containerStatuses": containers(pod, state, restarts),
        })
    }

    /// Sends a request until the API server has taken it or answers that the pod is not there or not as it was.
    async fn persist<Request, T>(&self, what: &str, pod: &str, mut request: impl FnMut() -> Request)
    where
        Request: Future<Output = kube::Result<T>>,
    {
        loop {
            let permit = self.requests.acquire().await;
            let answer = timeout(REQUEST_DEADLINE, request()).await;
            drop(permit);
            match answer {
                Ok(Ok(_)) => return,
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => return,
                Ok(Err(error)) => tracing::warn!(%error, pod, "the fake kubelet could not {what} the pod"),
                Err(_) => tracing::warn!(pod, "the API server did not answer when asked to {what} the pod"),
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
}

async fn patch_status(pods: &Api<Pod>, name: &str, status: &Value) -> kube::Result<()> {
    let patch = Patch::Strategic(json!({"status": status}));
    pods.patch_status(name, &PatchParams::default(), &patch).await.map(drop)
}

fn readiness(ready: bool) -> Vec<Value> {
    let now = Time(Timestamp::now());
    ["ContainersReady", "Ready"]
        .map(|kind| {
            if ready {
                json!({"type": kind, "status": "True", "reason": null, "lastTransitionTime": now})
            } else {
                json!({"type": kind, "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": now})
            }
        })
        .to_vec()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Starting,
    Ready,
    Crashing,
    Ended,
}

fn containers(pod: &Pod, state: Container, restarts: u32) -> Vec<Value> {
    let now = Time(Timestamp::now());
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let running = match state {
        Container::Starting | Container::Ready => json!({"running": {"startedAt": now}}),
        Container::Crashing => json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        Container::Ended => json!({"terminated": {"exitCode": 137, "reason": "Error"}}),
    };
    containers
        .iter()
        .map(|container| {
            json!({"name": container.name, "image": container.image, "imageID": "", "restartCount": restarts,
                "ready": state == Container::Ready, "started": matches!(state, Container::Starting | Container::Ready), "state": running})
        })
        .collect()
}

fn is_annotated(pod: &Pod, annotation: &str) -> bool {
    pod.annotations().get(annotation).is_some_and(|value| value == "true")
}

fn parse_seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotated_times_are_seconds_and_nonsense_is_passed_over() {
        for (text, duration) in [
            ("1.5", Some(Duration::from_millis(1500))),
            ("0", Some(Duration::ZERO)),
            ("-1", None),
            ("NaN", None),
            ("1e300", None),
            ("20s", None),
        ] {
            assert_eq!(parse_seconds(text), duration, "{text}");
        }
    }
}
