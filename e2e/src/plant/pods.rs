//! Pods: they are put on nodes, start, become ready or crash, and drain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::mirror::Mirror;
use super::{CRASH_LOOP, DRAIN_SECONDS, PlantSettings, STARTUP_SECONDS, conditions};
use crate::apiserver::{ApiServer, Collection, Failure, Key, Object, object};
use crate::clock::{Clock, whole_seconds};
use crate::random::Random;

/// What happens to a pod next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Schedule,
    Start,
    BecomeReady,
    Crash,
    End,
}

/// The acts that are due to pods, and when.
pub(super) struct Timetable {
    kubelet: Collection,
    courses: BTreeMap<Key, Course>,
    due: BTreeSet<Due>,
}

/// An act on the pod of that name and uid; of a pod that is gone or ending, it lapses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    key: Key,
    uid: String,
    act: Act,
}

/// One pod's life as it was drawn when the pod appeared.
#[derive(Clone, Debug)]
struct Course {
    uid: String,
    node: u32,
    ready_at: Instant,
    drain: Duration,
    is_ending: bool,
}

/// How long a container takes from being scheduled to running, at most.
const CONTAINER_START: Duration = Duration::from_secs(1);

/// How long after a crash a container is started again, at most.
const MAX_BACKOFF_SECONDS: u64 = 300;

impl Timetable {
    pub(super) fn new(kubelet: Collection) -> Self {
        Self { kubelet, courses: BTreeMap::new(), due: BTreeSet::new() }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|due| due.at)
    }

    /// Takes notice of a pod that changed; none if it is gone.
    pub(super) fn note(
        &mut self,
        key: &Key,
        pod: Option<&Object>,
        settings: &PlantSettings,
        clock: &Clock,
        random: &mut Random,
    ) {
        let Some(pod) = pod.map(|pod| &pod.value) else {
            self.courses.remove(key);
            return;
        };
        let uid = object::uid(pod);
        if self.courses.get(key).is_none_or(|course| course.uid != uid) {
            self.plan(key, pod, settings, clock, random);
        }
        if object::is_terminating(pod) {
            self.plan_end(key, pod);
        }
    }

    fn plan(&mut self, key: &Key, pod: &Value, settings: &PlantSettings, clock: &Clock, random: &mut Random) {
        let created = object::text(pod, &["metadata", "creationTimestamp"]).parse::<Timestamp>();
        let now = Instant::now();
        // Timestamps carry whole seconds; a pod seen in the second it was made was made now.
        let created = created.map_or(now, |created| clock.instant(created));
        let born =
            if now.saturating_duration_since(created) < Duration::from_secs(1) { now } else { created };
        let own = |annotation: &str| {
            let seconds = object::annotation(pod, annotation)?.parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let drawn = settings.startup.draw(random);
        let startup = own(STARTUP_SECONDS).unwrap_or(drawn);
        let drain = settings.drain.draw(random);
        let course = Course {
            uid: object::uid(pod).to_owned(),
            node: u32::try_from(random.below(u64::from(settings.nodes.max(1)))).unwrap_or(0),
            ready_at: born + startup,
            drain: own(DRAIN_SECONDS).unwrap_or(drain),
            is_ending: false,
        };
        let start = born + CONTAINER_START.min(startup.div_f64(2.0));
        let goal =
            if object::annotation(pod, CRASH_LOOP) == Some("true") { Act::Crash } else { Act::BecomeReady };
        if !conditions::is_true(pod, "Ready") {
            for (at, act) in [(born, Act::Schedule), (start, Act::Start), (course.ready_at, goal)] {
                self.due.insert(Due { at, key: key.clone(), uid: course.uid.clone(), act });
            }
        }
        self.courses.insert(key.clone(), course);
    }

    fn plan_end(&mut self, key: &Key, pod: &Value) {
        let Some(course) = self.courses.get_mut(key) else { return };
        let grace = object::integer(pod, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        if std::mem::replace(&mut course.is_ending, true) {
            return;
        }
        let at = Instant::now() + course.drain.min(grace);
        self.due.insert(Due { at, key: key.clone(), uid: course.uid.clone(), act: Act::End });
    }

    /// Does what is due by now.
    pub(super) fn step(&mut self, pods: &Mirror, clock: &Clock) {
        let now = Instant::now();
        while self.due.first().is_some_and(|due| due.at <= now) {
            let Some(due) = self.due.pop_first() else { return };
            let is_current = self
                .courses
                .get(&due.key)
                .is_some_and(|course| course.uid == due.uid && course.is_ending == (due.act == Act::End));
            let Some(pod) = pods.get(&due.key).filter(|_| is_current) else { continue };
            if let Err(failure) = self.act(&due.key, &pod.value, due.act, clock)
                && failure.code == 409
            {
                // Somebody else wrote between our reading and our writing; the next pass tries again.
                self.due.insert(due);
                return;
            }
        }
    }

    fn act(&mut self, key: &Key, pod: &Value, act: Act, clock: &Clock) -> Result<(), Failure> {
        let now = whole_seconds(clock.now());
        let Some(course) = self.courses.get(key).cloned() else { return Ok(()) };
        let (namespace, name) = key;
        // Each act reads the newest state, since one write moves the resourceVersion under the next.
        let mut pod = self.kubelet.get(namespace, name).unwrap_or_else(|| pod.clone());
        match act {
            Act::Schedule => {
                object::set(&mut pod, &["spec", "nodeName"], node_name(course.node));
                let mut bound = self.kubelet.update(namespace, pod)?;
                object::set(&mut bound, &["status", "startTime"], now.as_str());
                object::set(
                    &mut bound,
                    &["status", "hostIP"],
                    format!("192.0.2.{}", course.node.saturating_add(1)),
                );
                report(&mut bound, "Pending", &Containers::Creating, &now);
                self.kubelet.update_status(namespace, bound)?;
            }
            Act::Start => {
                let ip = pod_ip(&course.uid);
                object::set(&mut pod, &["status", "podIP"], ip.as_str());
                object::set(&mut pod, &["status", "podIPs"], json!([{"ip": ip}]));
                report(&mut pod, "Running", &Containers::Running { ready: false }, &now);
                self.kubelet.update_status(namespace, pod)?;
            }
            Act::BecomeReady => {
                report(&mut pod, "Running", &Containers::Running { ready: true }, &now);
                self.kubelet.update_status(namespace, pod)?;
            }
            Act::Crash => {
                let restarts = restarts(&pod).saturating_add(1);
                report(&mut pod, "Running", &Containers::Crashed { restarts }, &now);
                self.kubelet.update_status(namespace, pod)?;
                let shift = u32::try_from(restarts.min(6)).unwrap_or(6);
                let backoff = 5_u64.saturating_mul(1_u64.wrapping_shl(shift)).min(MAX_BACKOFF_SECONDS);
                let at = Instant::now() + Duration::from_secs(backoff);
                self.due.insert(Due { at, key: key.clone(), uid: course.uid, act: Act::Crash });
            }
            Act::End => self.kubelet.delete(namespace, name, Some(0))?,
        }
        Ok(())
    }
}

enum Containers {
    Creating,
    Running { ready: bool },
    Crashed { restarts: i64 },
}

/// Writes phase, conditions and container statuses.
fn report(pod: &mut Value, phase: &str, containers: &Containers, now: &str) {
    let ready = matches!(containers, Containers::Running { ready: true });
    let names: Vec<String> = object::list(pod, &["spec", "containers"])
        .iter()
        .map(|container| object::text(container, &["name"]).to_owned())
        .collect();
    let unready = format!("containers with unready status: [{}]", names.join(" "));
    let (reason, message) = if ready { ("", "") } else { ("ContainersNotReady", unready.as_str()) };
    let mut conditions = object::list(pod, &["status", "conditions"]).to_vec();
    conditions::set(&mut conditions, "PodScheduled", true, "", "", now);
    conditions::set(&mut conditions, "Initialized", true, "", "", now);
    conditions::set(&mut conditions, "ContainersReady", ready, reason, message, now);
    conditions::set(&mut conditions, "Ready", ready, reason, message, now);
    let statuses: Vec<Value> = object::list(pod, &["spec", "containers"])
        .iter()
        .map(|container| container_status(pod, container, containers, now))
        .collect();
    object::set(pod, &["status", "phase"], phase);
    object::set(pod, &["status", "conditions"], conditions);
    object::set(pod, &["status", "containerStatuses"], statuses);
    let generation = object::at(pod, &["metadata", "generation"]).cloned();
    if let Some(generation) = generation {
        object::set(pod, &["status", "observedGeneration"], generation);
    }
}

fn container_status(pod: &Value, container: &Value, containers: &Containers, now: &str) -> Value {
    let name = object::text(container, &["name"]);
    let known = object::entry(pod, &["status", "containerStatuses"], "name", name);
    let started = known.map_or("", |known| object::text(known, &["state", "running", "startedAt"]));
    let started = if started.is_empty() { now } else { started };
    let (state, restarts, ready) = match containers {
        Containers::Creating => (json!({"waiting": {"reason": "ContainerCreating"}}), 0, false),
        Containers::Running { ready } => (json!({"running": {"startedAt": started}}), 0, *ready),
        Containers::Crashed { restarts } => {
            let message = format!("back-off restarting failed container={name}");
            (json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}), *restarts, false)
        }
    };
    json!({
        "name": name,
        "image": object::text(container, &["image"]),
        "imageID": "",
        "ready": ready,
        "started": matches!(containers, Containers::Running { .. }),
        "restartCount": restarts,
        "state": state,
        "lastState": {},
    })
}

fn restarts(pod: &Value) -> i64 {
    let statuses = object::list(pod, &["status", "containerStatuses"]).iter();
    statuses.filter_map(|status| object::integer(status, &["restartCount"])).max().unwrap_or(0)
}

/// An address in the documentation range's neighbour 10.244/16, told apart by uid.
fn pod_ip(uid: &str) -> String {
    let bits = uid.bytes().fold(0_u32, |bits, byte| bits.wrapping_mul(31).wrapping_add(u32::from(byte)));
    format!("10.244.{}.{}", (bits >> 8) & 0xff, (bits & 0xff).max(1))
}

fn node_name(index: u32) -> String {
    format!("node-{}", index.saturating_add(1))
}

/// Makes the nodes, ready and empty.
pub(super) fn add_nodes(server: &ApiServer, count: u32) -> Result<(), Failure> {
    let nodes = server.collection("", "v1", "nodes")?.written_by("kubelet");
    let now = whole_seconds(server.clock().now());
    for index in 0..count {
        let name = node_name(index);
        if nodes.get("", &name).is_some() {
            continue;
        }
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status", "lastTransitionTime": now, "lastHeartbeatTime": now,
        });
        let node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"conditions": [condition], "nodeInfo": {"kubeletVersion": "v1.36.0"}},
        });
        nodes.create("", node)?;
    }
    Ok(())
}
