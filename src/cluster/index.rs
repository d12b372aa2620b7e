//! What the watches have seen, trimmed and indexed: the one place where the cluster is looked up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::Deployment;
use tokio::sync::mpsc::UnboundedSender;

use super::deleted::DeletedPolicies;
use super::departed::Departures;
use super::identity::{PolicyKey, TargetKey, Uid};
use super::pod::{PodRecord, zones};
use super::policy::PolicyRecord;
use super::selector::Selector;
use super::workload::WorkloadRecord;
use crate::api::{Mode, ScalingPolicyStatus};
use crate::audit::Flaw;
use crate::control::{Departed, PodId, Rival, Workload};
use crate::time::Time;

/// What the watches have seen. Every look-up costs what it finds, not what there is.
pub struct Index {
    state: Mutex<State>,
    changes: UnboundedSender<PolicyKey>,
}

#[derive(Default)]
struct State {
    policies: HashMap<PolicyKey, PolicyEntry>,
    policies_of: HashMap<TargetKey, BTreeSet<(Time, PolicyKey)>>,
    deleted: DeletedPolicies,
    workloads: HashMap<TargetKey, WorkloadRecord>,
    replica_sets: HashMap<Uid, Owned>,
    replica_sets_of: HashMap<Uid, BTreeSet<Uid>>,
    pods: HashMap<PodId, (Arc<str>, PodRecord)>,
    pods_of: HashMap<Uid, BTreeSet<PodId>>,
    pods_in: HashMap<Arc<str>, BTreeSet<PodId>>,
    autoscalers: HashMap<Uid, (TargetKey, String)>,
    autoscalers_of: HashMap<TargetKey, BTreeSet<String>>,
    departures: Departures,
    /// This process writes the statuses itself.
    acting: bool,
}

struct PolicyEntry {
    record: Arc<PolicyRecord>,
    /// The newest status seen before this process acted, until the policy's task takes it. Later ones are our own.
    status: Option<Box<ScalingPolicyStatus>>,
}

struct Owned {
    namespace: String,
    owner: Uid,
}

/// A workload as found, with what a write to it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// As `decide` sees it.
    pub workload: Workload,
    /// The version that a write must name.
    pub resource_version: String,
    /// The departures told so far; those after it are new next time.
    pub departures: u64,
    /// Identity of the workload.
    pub uid: Uid,
    /// What its manifest is found to be; none if that cannot be seen.
    pub flaws: Option<Arc<[Flaw]>>,
}

impl Index {
    /// An empty index. The key of every policy that came, changed or went is sent to `changes`.
    pub fn new(changes: UnboundedSender<PolicyKey>) -> Self {
        Self { state: Mutex::default(), changes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy of this name.
    pub fn policy(&self, key: &PolicyKey) -> Option<Arc<PolicyRecord>> {
        self.state().policies.get(key).map(|entry| entry.record.clone())
    }

    /// Every policy's key.
    pub fn policies(&self) -> Vec<PolicyKey> {
        self.state().policies.keys().cloned().collect()
    }

    /// From now on this process acts on the policies: changes are announced, and statuses that come are its own.
    pub fn act(&self) {
        self.state().acting = true;
    }

    /// The status that the policy had when this process began to act, or when the policy came; taken once.
    pub fn take_status(&self, key: &PolicyKey) -> Option<Box<ScalingPolicyStatus>> {
        self.state().policies.get_mut(key)?.status.take()
    }

    /// Others that act on the policy's workload: HorizontalPodAutoscalers, and older policies that write.
    pub fn rivals(&self, policy: &PolicyRecord) -> Vec<Rival> {
        let Some(target) = &policy.target else { return Vec::new() };
        let state = self.state();
        let autoscalers = state.autoscalers_of.get(target).into_iter().flatten();
        let mut rivals: Vec<_> = autoscalers
            .map(|name| Rival { kind: "HorizontalPodAutoscaler".to_owned(), name: name.clone() })
            .collect();
        let own = (policy.created, policy.key.clone());
        for (_, key) in state.policies_of.get(target).into_iter().flatten().take_while(|other| **other < own)
        {
            let writes =
                state.policies.get(key).is_some_and(|entry| entry.record.mode() != Some(Mode::DryRun));
            if writes {
                rivals.push(Rival { kind: "ScalingPolicy".to_owned(), name: key.name.clone() });
            }
        }
        rivals
    }

    /// The policies on a workload.
    pub fn policies_of(&self, target: &TargetKey) -> Vec<PolicyKey> {
        let state = self.state();
        state.policies_of.get(target).into_iter().flatten().map(|(_, key)| key.clone()).collect()
    }

    /// The workloads of every policy that draws on a budget, and of those that did until they went.
    pub fn drawing_on(&self, budget: &str) -> BTreeSet<TargetKey> {
        let state = self.state();
        let records = state.policies.values().map(|entry| &entry.record).chain(state.deleted.records());
        let drawing = records.filter(|record| record.budgets().any(|name| name == budget));
        drawing.filter_map(|record| record.target.clone()).collect()
    }

    /// The policy that a workload without one had, if it drew on a budget: as it was last.
    pub fn deleted_policy(&self, target: &TargetKey) -> Option<Arc<PolicyRecord>> {
        self.state().deleted.of(target)
    }

    /// Nothing is left of a workload whose policy was deleted.
    pub fn forget_deleted_policy(&self, target: &TargetKey) {
        self.state().deleted.forget(target);
    }

    /// Has a policy evaluated at once.
    pub fn wake(&self, policy: PolicyKey) {
        self.announce(policy);
    }

    /// A Deployment or StatefulSet with its pods.
    pub fn workload(&self, target: &TargetKey, departures_told: u64) -> Option<Found> {
        let state = self.state();
        let record = state.workloads.get(target)?;
        let sets = state.replica_sets_of.get(&record.uid).into_iter().flatten();
        let owned = sets.chain([&record.uid]).filter_map(|owner| state.pods_of.get(owner));
        let pods = owned.flatten().filter_map(|id| state.pods.get(id)).map(|(_, record)| record);
        Some(state.found(record, pods, departures_told))
    }

    /// A workload as it was just read, with pods that were just read and that its selector selects. Pods of other
    /// owners are left out; those of a ReplicaSet not heard of yet count, since it may be the workload's newest, and so do
    /// those that end with an owner that is gone: a workload of the same name was deleted.
    pub(super) fn found(
        &self,
        target: &TargetKey,
        record: &WorkloadRecord,
        pods: &[PodRecord],
        departures_told: u64,
    ) -> Found {
        let state = self.state();
        // What the index holds under this name may itself be the one that was deleted.
        let is_gone = |owner: Uid| {
            let mut others = state.workloads.iter().filter(|(other, _)| *other != target);
            others.all(|(_, other)| other.uid != owner)
        };
        let ours = |pod: &&PodRecord| {
            pod.owner.is_some_and(|owner| {
                let set = state.replica_sets.get(&owner);
                let top = set.map_or(owner, |set| set.owner);
                top == record.uid
                    || (set.is_none() && pod.in_replica_set)
                    || (pod.pod.terminating_since.is_some() && is_gone(top))
            })
        };
        state.found(record, pods.iter().filter(ours), departures_told)
    }

    /// What `trim` makes of a workload that was just read, and of what is kept of it.
    pub(super) fn trim_workload(
        &self,
        target: &TargetKey,
        trim: impl FnOnce(Option<&WorkloadRecord>) -> Option<WorkloadRecord>,
    ) -> Option<WorkloadRecord> {
        trim(self.state().workloads.get(target))
    }

    /// The pods in a namespace that a selector selects.
    pub(super) fn selected(&self, namespace: &str, selector: &Selector) -> Vec<PodRecord> {
        let state = self.state();
        let ids = state.pods_in.get(namespace).into_iter().flatten();
        let records = ids.filter_map(|id| state.pods.get(id)).map(|(_, record)| record);
        records.filter(|record| selector.matches(&record.labels)).cloned().collect()
    }

    /// The departures of a workload's pods after those told, and the newest.
    pub(super) fn departed(&self, workload: Uid, told: u64) -> (Vec<Departed>, u64) {
        self.state().departures.after(workload, told)
    }

    pub(crate) fn put_policy(&self, record: PolicyRecord, status: Option<Box<ScalingPolicyStatus>>) {
        self.put_policy_into(self.state(), record, status);
    }

    fn put_policy_into(
        &self,
        mut state: MutexGuard<'_, State>,
        record: PolicyRecord,
        status: Option<Box<ScalingPolicyStatus>>,
    ) {
        let key = record.key.clone();
        let before = state.policies.get(&key).map(|entry| entry.record.clone());
        let known = before.as_ref().is_some_and(|before| before.uid == record.uid);
        // Of a policy that is acted on already the status is what we wrote ourselves.
        let ours = known && state.acting;
        let status = if ours { state.policies.remove(&key).and_then(|entry| entry.status) } else { status };
        if before.as_deref() == Some(&record) {
            let record = before.unwrap_or_else(|| Arc::new(record));
            state.policies.insert(key, PolicyEntry { record, status });
            return;
        }
        if let Some(before) = before {
            state.forget_target(before);
        }
        if let Some(target) = &record.target {
            state.deleted.forget(target);
            state.policies_of.entry(target.clone()).or_default().insert((record.created, key.clone()));
        }
        state.policies.insert(key.clone(), PolicyEntry { record: Arc::new(record), status });
        drop(state);
        self.announce(key);
    }

    /// Takes over what a list tells of a policy that is known. The list may be older than what its watch has told
    /// since: it brings no policy back, and undoes no edit.
    pub(super) fn refresh_policy(&self, record: PolicyRecord, status: Option<Box<ScalingPolicyStatus>>) {
        let mut state = self.state();
        let Some(entry) = state.policies.get_mut(&record.key).filter(|entry| entry.record.uid == record.uid)
        else {
            return;
        };
        if (record.generation, record.edited) > (entry.record.generation, entry.record.edited) {
            // Under the same lock: the watch may tell of its end at any moment.
            self.put_policy_into(state, record, status);
        } else {
            entry.status = status;
        }
    }

    pub(crate) fn remove_policy(&self, key: &PolicyKey, uid: Uid) {
        let mut state = self.state();
        if state.policies.get(key).is_some_and(|entry| entry.record.uid == uid)
            && let Some(entry) = state.policies.remove(key)
        {
            state.forget_target(entry.record);
            drop(state);
            self.announce(key.clone());
        }
    }

    pub(super) fn retain_policies(&self, scope: Option<&str>, seen: &HashSet<Uid>) {
        let state = self.state();
        let gone = state.policies.values().filter(|entry| !seen.contains(&entry.record.uid));
        let gone: Vec<_> = gone
            .filter(|entry| within(scope, &entry.record.key.namespace))
            .map(|entry| (entry.record.key.clone(), entry.record.uid))
            .collect();
        drop(state);
        for (key, uid) in gone {
            self.remove_policy(&key, uid);
        }
    }

    /// A process that stands by listens to nothing, and what is not heard would pile up. Nobody listens while the operator
    /// stops; then there is nothing to tell.
    fn announce(&self, key: PolicyKey) {
        if self.state().acting {
            let _ = self.changes.send(key);
        }
    }

    pub(crate) fn put_deployment(&self, key: TargetKey, deployment: &Deployment) {
        self.put_workload(key, |before| WorkloadRecord::deployment(deployment, before));
    }

    /// Keeps a workload that `trim` makes of what was kept until now.
    pub(super) fn put_workload(
        &self,
        target: TargetKey,
        trim: impl FnOnce(Option<&WorkloadRecord>) -> Option<WorkloadRecord>,
    ) {
        let mut state = self.state();
        if let Some(record) = trim(state.workloads.get(&target)) {
            state.workloads.insert(target, record);
        }
    }

    pub(super) fn remove_workload(&self, target: &TargetKey, uid: Uid) {
        let mut state = self.state();
        if state.workloads.get(target).is_some_and(|record| record.uid == uid) {
            state.workloads.remove(target);
            state.departures.forget(uid);
            state.deleted.forget(target);
        }
    }

    pub(super) fn retain_workloads(&self, kind: &str, scope: Option<&str>, seen: &HashSet<Uid>) {
        let mut guard = self.state();
        let State { workloads, deleted, .. } = &mut *guard;
        workloads.retain(|target, record| {
            target.kind != kind || !within(scope, &target.namespace) || seen.contains(&record.uid)
        });
        deleted.retain(|target| {
            target.kind != kind || !within(scope, &target.namespace) || workloads.contains_key(target)
        });
    }

    pub(super) fn put_replica_set(&self, uid: Uid, namespace: &str, owner: Uid) {
        let mut state = self.state();
        state.replica_sets.insert(uid, Owned { namespace: namespace.to_owned(), owner });
        state.replica_sets_of.entry(owner).or_default().insert(uid);
    }

    pub(super) fn remove_replica_set(&self, uid: Uid) {
        let mut state = self.state();
        if let Some(Owned { owner, .. }) = state.replica_sets.remove(&uid) {
            remove_from(&mut state.replica_sets_of, &owner, &uid);
        }
    }

    pub(super) fn retain_replica_sets(&self, scope: Option<&str>, seen: &HashSet<Uid>) {
        let state = self.state();
        let gone = state
            .replica_sets
            .iter()
            .filter(|(uid, owned)| within(scope, &owned.namespace) && !seen.contains(uid));
        let gone: Vec<_> = gone.map(|(uid, _)| *uid).collect();
        drop(state);
        for uid in gone {
            self.remove_replica_set(uid);
        }
    }

    pub(super) fn put_pod(&self, namespace: &str, mut record: PodRecord, now: Time) {
        let mut state = self.state();
        let id = record.pod.id;
        let known = state.remove_pod(id);
        record.terminates_no_later_than(known.as_ref());
        if record.finished {
            // Its containers have ended: what is left is an entry in a list.
            if let Some(known) = known {
                state.depart(&record, known.owner, now);
            }
            return;
        }
        let namespace: Arc<str> = state
            .pods_in
            .get_key_value(namespace)
            .map_or_else(|| namespace.into(), |(known, _)| known.clone());
        state.pods_in.entry(namespace.clone()).or_default().insert(id);
        if let Some(owner) = record.owner {
            state.pods_of.entry(owner).or_default().insert(id);
        }
        state.pods.insert(id, (namespace, record));
    }

    /// Forgets a pod that is gone; `last` is how it was last seen.
    pub(super) fn remove_pod(&self, last: &PodRecord, now: Time) {
        let mut state = self.state();
        let known = state.remove_pod(last.pod.id);
        let mut last = last.clone();
        last.terminates_no_later_than(known.as_ref());
        if let Some(owner) = known.map(|known| known.owner) {
            state.depart(&last, owner, now);
        }
    }

    /// Forgets pods that went while nobody looked; how long they took is not known.
    pub(super) fn retain_pods(&self, scope: Option<&str>, seen: &HashSet<Uid>) {
        let mut state = self.state();
        let gone = state
            .pods
            .iter()
            .filter(|(id, (namespace, _))| within(scope, namespace) && !seen.contains(&Uid(id.0)));
        let gone: Vec<_> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            state.remove_pod(id);
        }
    }

    pub(super) fn put_autoscaler(&self, uid: Uid, name: &str, target: TargetKey) {
        self.remove_autoscaler(uid);
        let mut state = self.state();
        state.autoscalers_of.entry(target.clone()).or_default().insert(name.to_owned());
        state.autoscalers.insert(uid, (target, name.to_owned()));
    }

    pub(super) fn remove_autoscaler(&self, uid: Uid) {
        let mut state = self.state();
        if let Some((target, name)) = state.autoscalers.remove(&uid) {
            remove_from(&mut state.autoscalers_of, &target, &name);
        }
    }

    pub(super) fn retain_autoscalers(&self, scope: Option<&str>, seen: &HashSet<Uid>) {
        let state = self.state();
        let gone = state
            .autoscalers
            .iter()
            .filter(|(uid, (target, _))| within(scope, &target.namespace) && !seen.contains(uid));
        let gone: Vec<_> = gone.map(|(uid, _)| *uid).collect();
        drop(state);
        for uid in gone {
            self.remove_autoscaler(uid);
        }
    }
}

impl State {
    fn found<'a>(
        &self,
        record: &WorkloadRecord,
        pods: impl Iterator<Item = &'a PodRecord>,
        departures_told: u64,
    ) -> Found {
        let pods: BTreeMap<_, _> = pods.map(|pod| (pod.pod.id, pod)).collect();
        let living = pods.values().filter(|pod| pod.pod.terminating_since.is_none());
        let alive: BTreeSet<_> = living.filter_map(|pod| pod.owner).collect();
        let (departed, departures) = self.departures.after(record.uid, departures_told);
        Found {
            workload: Workload {
                spec_replicas: record.spec_replicas,
                pods: pods.values().map(|pod| pod.pod).collect(),
                departed,
                rollout: record.rollout(alive.len()),
                revision: record.revision(),
                update: record.update,
                termination_grace: record.termination_grace,
                progress_deadline: record.progress_deadline,
                zones: record.zones.max(zones(pods.into_values())),
            },
            resource_version: record.resource_version.clone(),
            departures,
            uid: record.uid,
            flaws: Some(record.flaws.clone()),
        }
    }

    fn forget_target(&mut self, record: Arc<PolicyRecord>) {
        let Some(target) = &record.target else { return };
        remove_from(&mut self.policies_of, target, &(record.created, record.key.clone()));
        if !self.policies_of.contains_key(target) {
            self.deleted.note(record);
        }
    }

    fn remove_pod(&mut self, id: PodId) -> Option<PodRecord> {
        let (namespace, record) = self.pods.remove(&id)?;
        remove_from(&mut self.pods_in, &namespace, &id);
        if let Some(owner) = &record.owner {
            remove_from(&mut self.pods_of, owner, &id);
        }
        Some(record)
    }

    /// Notes how long a pod took to shut down, under the workload at the top of its owners.
    fn depart(&mut self, last: &PodRecord, owner: Option<Uid>, now: Time) {
        if let (Some(since), Some(owner)) = (last.pod.terminating_since, owner) {
            let workload = self.replica_sets.get(&owner).map_or(owner, |set| set.owner);
            self.departures.note(workload, Departed { id: last.pod.id, drain: now.since(since) }, now);
        }
    }
}

fn within(scope: Option<&str>, namespace: &str) -> bool {
    scope.is_none_or(|scope| scope == namespace)
}

/// Removes a member, and the set with its last member.
fn remove_from<K: std::hash::Hash + Eq, V: Ord>(sets: &mut HashMap<K, BTreeSet<V>>, key: &K, member: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(member);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
