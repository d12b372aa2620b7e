//! Workloads that live on the API server double: Deployments make ReplicaSets, ReplicaSets and StatefulSets make pods,
//! pods start, serve and drain in their own time.
//!
//! The controllers are one task on tokio's time, so that under a paused clock an hour of rollouts takes milliseconds,
//! and the same seed gives the same course.

mod conditions;
mod deployment;
mod disruption;
mod events;
mod garbage;
mod mirror;
mod pods;
mod replica_set;
mod rollout;
mod span;
mod stateful_set;

use std::collections::BTreeSet;

use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use crate::apiserver::{ApiServer, Collection, Failure, Key, Object, object};
use crate::clock::Clock;
use crate::random::Random;
use mirror::Mirror;
use pods::Timetable;
pub use span::Lasting;

/// On a pod template: `"true"` makes its pods crash and never become ready.
pub const CRASH_LOOP: &str = "plant.test/crash-loop";

/// On a pod template: the seconds that its pods take to become ready, in place of the plant's.
pub const STARTUP_SECONDS: &str = "plant.test/startup-seconds";

/// On a pod template: the seconds that its pods take to end, in place of the plant's; their grace period bounds them.
pub const DRAIN_SECONDS: &str = "plant.test/drain-seconds";

/// On a namespace: the most pods that ReplicaSets may have in it, as a quota bounds them.
pub const QUOTA: &str = "plant.test/quota";

/// How workloads behave.
#[derive(Clone, Copy, Debug)]
pub struct PlantSettings {
    /// Of start-up and drain times and of pod names.
    pub seed: u64,
    /// From a pod's creation to its readiness.
    pub startup: Lasting,
    /// From a pod's deletion to its end; its grace period bounds it.
    pub drain: Lasting,
    /// How many nodes there are.
    pub nodes: u32,
    /// Whether pods are put on nodes, start and drain. Without, they stay as others make them, and end at once.
    pub kubelet: bool,
}

impl Default for PlantSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            startup: Lasting::Always(Duration::from_secs(10)),
            drain: Lasting::Always(Duration::from_secs(5)),
            nodes: 3,
            kubelet: true,
        }
    }
}

/// The controllers at work; they stop when this is dropped.
#[derive(Debug)]
pub struct Plant {
    task: JoinHandle<()>,
}

impl Plant {
    /// Starts the controllers on `server`. Must be called within a tokio runtime.
    pub fn start(server: &ApiServer, settings: PlantSettings) -> Result<Self, Failure> {
        let controllers = Controllers::new(server, settings)?;
        Ok(Self { task: tokio::spawn(controllers.run()) })
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state of all controllers.
struct Controllers {
    server: ApiServer,
    clock: Clock,
    settings: PlantSettings,
    random: Random,
    deployments: Mirror,
    replica_sets: Mirror,
    stateful_sets: Mirror,
    pods: Mirror,
    budgets: Mirror,
    namespaces: Mirror,
    events: Collection,
    timetable: Timetable,
    /// Workloads to look at again at a moment.
    appointments: BTreeSet<(Instant, Workload)>,
    due: BTreeSet<Workload>,
}

/// A workload that a controller looks after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Workload {
    ReplicaSet(Key),
    Deployment(Key),
    StatefulSet(Key),
    Budget(Key),
    Namespace(Key),
}

/// How often in a row a write may meet somebody else's before the plant gives the workload up for a while.
const MAX_CONFLICTS: u32 = 100;

/// After how long a workload is looked at again that could not be looked after.
const RETRY: Duration = Duration::from_secs(1);

impl Controllers {
    fn new(server: &ApiServer, settings: PlantSettings) -> Result<Self, Failure> {
        let collection =
            |group: &str, plural: &str| Ok(server.collection(group, "v1", plural)?.written_by(MANAGER));
        let kubelet = server.collection("", "v1", "pods")?.written_by("kubelet");
        pods::add_nodes(server, settings.nodes)?;
        Ok(Self {
            server: server.clone(),
            clock: server.clock(),
            settings,
            random: Random::seeded(settings.seed),
            deployments: Mirror::of(collection("apps", "deployments")?),
            replica_sets: Mirror::of(collection("apps", "replicasets")?),
            stateful_sets: Mirror::of(collection("apps", "statefulsets")?),
            pods: Mirror::of(collection("", "pods")?),
            budgets: Mirror::of(collection("policy", "poddisruptionbudgets")?),
            namespaces: Mirror::of(collection("", "namespaces")?),
            events: collection("", "events")?,
            timetable: Timetable::new(kubelet),
            appointments: BTreeSet::new(),
            due: BTreeSet::new(),
        })
    }

    async fn run(mut self) {
        let mut deployments = self.deployments.subscribe();
        let mut replica_sets = self.replica_sets.subscribe();
        let mut stateful_sets = self.stateful_sets.subscribe();
        let mut pods = self.pods.subscribe();
        let mut budgets = self.budgets.subscribe();
        let mut namespaces = self.namespaces.subscribe();
        loop {
            self.settle();
            let wake = self.next_appointment();
            let news = async {
                tokio::select! {
                    changed = deployments.changed() => changed,
                    changed = replica_sets.changed() => changed,
                    changed = stateful_sets.changed() => changed,
                    changed = pods.changed() => changed,
                    changed = budgets.changed() => changed,
                    changed = namespaces.changed() => changed,
                }
            };
            tokio::select! {
                changed = news => if changed.is_err() { return },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn next_appointment(&self) -> Instant {
        let appointment = self.appointments.first().map(|(instant, _)| *instant);
        let far = Instant::now() + Duration::from_hours(1);
        appointment.into_iter().chain(self.timetable.next()).fold(far, Instant::min)
    }

    /// Lets every controller act until none has anything to do at this instant.
    fn settle(&mut self) {
        let mut conflicts = 0;
        loop {
            self.take_news();
            self.take_appointments();
            self.step_pods();
            let Some(workload) = self.due.pop_first() else {
                if self.has_news() {
                    continue;
                }
                return;
            };
            let done = match &workload {
                Workload::ReplicaSet(key) => self.sync_replica_set(key),
                Workload::Deployment(key) => self.sync_deployment(key),
                Workload::StatefulSet(key) => self.sync_stateful_set(key),
                Workload::Budget(key) => self.sync_budget(key),
                Workload::Namespace(key) => {
                    self.sync_namespace(key);
                    Ok(())
                }
            };
            match done {
                Ok(()) => conflicts = 0,
                // Somebody else wrote meanwhile; the news will bring the newer state.
                Err(failure) if matches!(failure.code, 404 | 409) && conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    self.due.insert(workload);
                }
                // Such as the name of a pod that still drains: no news tells of everything that stands in the way.
                Err(failure) => {
                    tracing::debug!(?workload, %failure, "the plant could not act");
                    conflicts = 0;
                    self.appoint(Instant::now() + RETRY, workload);
                }
            }
        }
    }

    fn has_news(&self) -> bool {
        let mirrors = [
            &self.deployments,
            &self.replica_sets,
            &self.stateful_sets,
            &self.pods,
            &self.budgets,
            &self.namespaces,
        ];
        let revision = self.server.revision();
        mirrors.iter().any(|mirror| mirror.seen() < revision)
    }

    /// Learns what changed, and whom it concerns.
    fn take_news(&mut self) {
        self.due.extend(self.budgets.refresh().into_iter().map(|changed| Workload::Budget(changed.key)));
        self.due
            .extend(self.namespaces.refresh().into_iter().map(|changed| Workload::Namespace(changed.key)));
        for changed in self.deployments.refresh() {
            if changed.is_gone {
                self.orphaned(&changed.uid);
            }
            self.due.insert(Workload::Deployment(changed.key));
        }
        for changed in self.replica_sets.refresh() {
            if changed.is_gone {
                self.orphaned(&changed.uid);
            }
            self.due.extend(
                changed
                    .owners
                    .iter()
                    .filter_map(|uid| self.deployments.by_uid(uid))
                    .map(Workload::Deployment),
            );
            self.due.insert(Workload::ReplicaSet(changed.key));
        }
        for changed in self.stateful_sets.refresh() {
            if changed.is_gone {
                self.orphaned(&changed.uid);
            }
            self.due.insert(Workload::StatefulSet(changed.key));
        }
        for changed in self.pods.refresh() {
            for uid in &changed.owners {
                self.due.extend(self.replica_sets.by_uid(uid).map(Workload::ReplicaSet));
                self.due.extend(self.stateful_sets.by_uid(uid).map(Workload::StatefulSet));
            }
            self.due.extend(
                self.budgets.in_namespace(&changed.key.0).map(|budget| Workload::Budget(key_of(budget))),
            );
            if !self.settings.kubelet {
                continue;
            }
            let pod = self.pods.get(&changed.key).cloned();
            self.timetable.note(&changed.key, pod.as_ref(), &self.settings, &self.clock, &mut self.random);
        }
    }

    fn take_appointments(&mut self) {
        let now = Instant::now();
        while self.appointments.first().is_some_and(|(instant, _)| *instant <= now) {
            self.due.extend(self.appointments.pop_first().map(|(_, workload)| workload));
        }
    }

    fn step_pods(&mut self) {
        self.timetable.step(&self.pods, &self.clock);
    }

    /// Looks at the workload again at `instant`.
    fn appoint(&mut self, instant: Instant, workload: Workload) {
        self.appointments.insert((instant, workload));
    }
}

fn key_of(object: &Object) -> Key {
    (object::namespace(&object.value).to_owned(), object::name(&object.value).to_owned())
}

/// The name under which the controllers write.
const MANAGER: &str = "kube-controller-manager";
