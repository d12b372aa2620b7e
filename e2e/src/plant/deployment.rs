//! The Deployment controller: which ReplicaSets there should be, and what the Deployment's status says of them.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::replica_set::owner_reference;
use super::rollout::Sets;
use super::{Controllers, Workload, conditions};
use crate::apiserver::{Failure, Key, Object, object};
use crate::clock::whole_seconds;

/// The revision of a ReplicaSet, and of the Deployment that it makes current.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The count that a ReplicaSet was sized for.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";

/// The condition that tells how a rollout goes.
const PROGRESSING: &str = "Progressing";

/// The label that tells one template's pods from another's.
const HASH: &str = "pod-template-hash";

impl Controllers {
    pub(super) fn sync_deployment(&mut self, key: &Key) -> Result<(), Failure> {
        let Some(deployment) = self.deployments.get(key).cloned() else { return Ok(()) };
        let deployment = &deployment.value;
        let owned = self.replica_sets.owned_by(object::uid(deployment));
        if object::is_terminating(deployment) {
            return self.finish_owner(&Workload::Deployment(key.clone()), deployment, &owned);
        }
        let sets = Sets::sort(deployment, owned);
        let is_paused = is_paused(deployment);
        if self.note_pause(deployment, is_paused)? {
            return Ok(());
        }
        let is_recreate = object::text(deployment, &["spec", "strategy", "type"]) == "Recreate";
        let acted = if is_paused || sets.is_resized(deployment) {
            self.resize(deployment, &sets)?
        } else if is_recreate {
            self.recreate(deployment, &sets)?
        } else {
            self.roll(deployment, &sets)?
        };
        if !acted {
            self.clean_up(deployment, &sets)?;
        }
        // The status tells of the ReplicaSets as they were; their news will bring us back.
        self.report_deployment(key, deployment, &sets)
    }

    /// Says in the conditions that the rollout stands still, or goes on; true if that was news.
    fn note_pause(&mut self, deployment: &Value, is_paused: bool) -> Result<bool, Failure> {
        let known = object::entry(deployment, &["status", "conditions"], "type", PROGRESSING);
        let was_paused = known.is_some_and(|known| object::text(known, &["reason"]) == "DeploymentPaused");
        let (reason, message) = match (was_paused, is_paused) {
            (false, true) => ("DeploymentPaused", "Deployment is paused"),
            (true, false) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(false),
        };
        self.report_condition(deployment.clone(), conditions::Verdict::Unknown, reason, message)?;
        Ok(true)
    }

    /// Writes the progress condition alone.
    fn report_condition(
        &mut self,
        mut deployment: Value,
        verdict: conditions::Verdict,
        reason: &str,
        message: &str,
    ) -> Result<(), Failure> {
        let now = whole_seconds(self.clock.now());
        let mut list = object::list(&deployment, &["status", "conditions"]).to_vec();
        conditions::set(&mut list, PROGRESSING, verdict, reason, message, &now);
        stamp(&mut list, PROGRESSING, &now);
        object::set(&mut deployment, &["status", "conditions"], list);
        let namespace = object::namespace(&deployment).to_owned();
        self.deployments.collection().update_status(&namespace, deployment)?;
        Ok(())
    }

    /// All old pods go before the first new one comes.
    fn recreate(&mut self, deployment: &Value, sets: &Sets) -> Result<bool, Failure> {
        let mut acted = false;
        for old in sets.old.iter().filter(|old| replicas(old) > 0) {
            self.scale_set(deployment, old, 0)?;
            acted = true;
        }
        let is_empty = |set: &Object| self.pods.owned_by(object::uid(&set.value)).is_empty();
        if acted || !sets.old.iter().all(is_empty) {
            return Ok(acted);
        }
        match &sets.new {
            None => self.create_set(deployment, sets, desired(deployment)).map(|()| true),
            Some(new) if replicas(new) != desired(deployment) => {
                self.scale_set(deployment, new, desired(deployment)).map(|()| true)
            }
            Some(new) => self.adopt_revision(deployment, sets, new),
        }
    }

    /// Makes the ReplicaSet for the Deployment's present template.
    pub(super) fn create_set(&mut self, deployment: &Value, sets: &Sets, count: u32) -> Result<(), Failure> {
        let mut template = object::at(deployment, &["spec", "template"]).cloned().unwrap_or_default();
        let hash = template_hash(&template);
        object::set(&mut template, &["metadata", "labels", HASH], hash.as_str());
        let mut selector = object::at(deployment, &["spec", "selector"]).cloned().unwrap_or_default();
        object::set(&mut selector, &["matchLabels", HASH], hash.as_str());
        let name = format!("{}-{hash}", object::name(deployment));
        let mut set = json!({
            "metadata": {
                "name": name,
                "labels": object::at(&template, &["metadata", "labels"]),
                "ownerReferences": [owner_reference(deployment)],
                "annotations": {
                    REVISION: sets.next_revision().to_string(),
                    DESIRED: desired(deployment).to_string(),
                    MAXIMUM: desired(deployment).saturating_add(max_surge(deployment)).to_string(),
                },
            },
            "spec": {"replicas": count, "selector": selector, "template": template},
        });
        object::copy(&mut set, deployment, &["spec", "minReadySeconds"]);
        self.replica_sets.collection().create(object::namespace(deployment), set)?;
        let message = format!("Scaled up replica set {name} from 0 to {count}");
        self.record(deployment, "ScalingReplicaSet", &message, "deployment-controller");
        self.report_new_set(deployment, &name)
    }

    /// A rollout begins: its deadline counts from now, and none of the pods that there are is of the new revision.
    fn report_new_set(&mut self, deployment: &Value, name: &str) -> Result<(), Failure> {
        let mut changed = deployment.clone();
        object::remove(&mut changed, &["status", "updatedReplicas"]);
        let message = format!("Created new replica set {name:?}");
        self.report_condition(changed, conditions::Verdict::True, "NewReplicaSetCreated", &message)
    }

    /// Resizes a ReplicaSet and notes what it was sized for.
    pub(super) fn scale_set(&mut self, deployment: &Value, set: &Object, count: u32) -> Result<(), Failure> {
        let before = replicas(set);
        let mut changed = set.value.clone();
        object::set(&mut changed, &["spec", "replicas"], count);
        object::set(&mut changed, &["metadata", "annotations", DESIRED], desired(deployment).to_string());
        let maximum = desired(deployment).saturating_add(max_surge(deployment));
        object::set(&mut changed, &["metadata", "annotations", MAXIMUM], maximum.to_string());
        if changed == set.value {
            return Ok(());
        }
        self.replica_sets.collection().update(object::namespace(deployment), changed)?;
        if before != count {
            let way = if before < count { "up" } else { "down" };
            let name = object::name(&set.value);
            let message = format!("Scaled {way} replica set {name} from {before} to {count}");
            self.record(deployment, "ScalingReplicaSet", &message, "deployment-controller");
        }
        Ok(())
    }

    /// Gives the current ReplicaSet the newest revision, as after a roll-back, and tells the Deployment.
    pub(super) fn adopt_revision(
        &mut self,
        deployment: &Value,
        sets: &Sets,
        new: &Object,
    ) -> Result<bool, Failure> {
        let revision = sets.current_revision().to_string();
        if object::annotation(&new.value, REVISION) != Some(revision.as_str()) {
            let mut changed = new.value.clone();
            object::set(&mut changed, &["metadata", "annotations", REVISION], revision);
            self.replica_sets.collection().update(object::namespace(deployment), changed)?;
            return Ok(true);
        }
        if object::annotation(deployment, REVISION) != Some(revision.as_str()) {
            let mut changed = deployment.clone();
            object::set(&mut changed, &["metadata", "annotations", REVISION], revision);
            self.deployments.collection().update(object::namespace(deployment), changed)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Deletes empty ReplicaSets beyond the history that is kept, once the rollout is complete.
    fn clean_up(&mut self, deployment: &Value, sets: &Sets) -> Result<(), Failure> {
        let limit = object::count(deployment, &["spec", "revisionHistoryLimit"]);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut empty: Vec<&Object> =
            sets.old.iter().filter(|old| replicas(old) == 0 && status_count(old, "replicas") == 0).collect();
        empty.sort_by_key(|set| revision(set));
        let excess = empty.len().saturating_sub(limit);
        for set in empty.into_iter().take(excess) {
            self.replica_sets.collection().delete(
                object::namespace(&set.value),
                object::name(&set.value),
                None,
            )?;
        }
        Ok(())
    }

    fn report_deployment(&mut self, key: &Key, deployment: &Value, sets: &Sets) -> Result<(), Failure> {
        let now = whole_seconds(self.clock.now());
        let mut status = counts(deployment, sets);
        let mut list = object::list(deployment, &["status", "conditions"]).to_vec();
        let least = desired(deployment).saturating_sub(max_unavailable(deployment));
        if sets.available() >= least {
            let message = "Deployment has minimum availability.";
            conditions::set(&mut list, "Available", true, "MinimumReplicasAvailable", message, &now);
        } else {
            let message = "Deployment does not have minimum availability.";
            conditions::set(&mut list, "Available", false, "MinimumReplicasUnavailable", message, &now);
        }
        self.report_progress(key, deployment, &status, sets, &mut list);
        stamp_updates(object::list(deployment, &["status", "conditions"]), &mut list, &now);
        object::set(&mut status, &["conditions"], list);
        if deployment.get("status") == Some(&status) {
            return Ok(());
        }
        let mut changed = deployment.clone();
        object::set(&mut changed, &["status"], status);
        self.deployments.collection().update_status(&key.0, changed)?;
        Ok(())
    }

    fn report_progress(
        &mut self,
        key: &Key,
        deployment: &Value,
        status: &Value,
        sets: &Sets,
        list: &mut Vec<Value>,
    ) {
        let now = whole_seconds(self.clock.now());
        let known = list.iter().find(|condition| object::text(condition, &["type"]) == PROGRESSING).cloned();
        let reason = known.as_ref().map_or("", |known| object::text(known, &["reason"]));
        let name = sets.new.as_ref().map_or("", |new| object::name(&new.value));
        let wanted = i64::from(desired(deployment));
        let count = |status: &Value, field: &str| object::integer(status, &[field]).unwrap_or(0);
        let is_complete = ["updatedReplicas", "replicas", "availableReplicas"]
            .iter()
            .all(|field| count(status, field) == wanted);
        let was_complete = reason == "NewReplicaSetAvailable"
            && count(status, "replicas") == count(status, "updatedReplicas");
        let before = deployment.get("status").cloned().unwrap_or_default();
        let old_pods =
            |status: &Value| count(status, "replicas").saturating_sub(count(status, "updatedReplicas"));
        let has_moved = ["updatedReplicas", "readyReplicas", "availableReplicas"]
            .iter()
            .any(|field| count(status, field) > count(&before, field))
            || old_pods(status) < old_pods(&before);
        if is_paused(deployment) {
            return;
        }
        if is_complete {
            let message = format!("ReplicaSet {name:?} has successfully progressed.");
            conditions::set(list, PROGRESSING, true, "NewReplicaSetAvailable", &message, &now);
        } else if was_complete {
            // Pods that come and go after a rollout are not a rollout.
        } else if known.is_none() || has_moved {
            let message = format!("ReplicaSet {name:?} is progressing.");
            conditions::set(list, PROGRESSING, true, "ReplicaSetUpdated", &message, &now);
            stamp(list, PROGRESSING, &now);
        }
        if !is_complete && !was_complete {
            self.watch_deadline(key, deployment, name, list);
        }
    }

    /// A rollout that has not moved for its deadline has failed.
    fn watch_deadline(&mut self, key: &Key, deployment: &Value, name: &str, list: &mut Vec<Value>) {
        let deadline =
            Duration::from_secs(u64::from(object::count(deployment, &["spec", "progressDeadlineSeconds"])));
        let Some(condition) = list.iter().find(|c| object::text(c, &["type"]) == PROGRESSING) else {
            return;
        };
        let updated = object::text(condition, &["lastUpdateTime"]).parse();
        let end = self.clock.instant(updated.unwrap_or_else(|_| self.clock.now())) + deadline;
        if object::text(condition, &["reason"]) == "NewReplicaSetAvailable" {
            return;
        }
        if end > Instant::now() {
            self.appoint(end, Workload::Deployment(key.clone()));
        } else if object::text(condition, &["reason"]) != "ProgressDeadlineExceeded" {
            let message = format!("ReplicaSet {name:?} has timed out progressing.");
            let now = whole_seconds(self.clock.now());
            conditions::set(list, PROGRESSING, false, "ProgressDeadlineExceeded", &message, &now);
        }
    }
}

fn is_paused(deployment: &Value) -> bool {
    object::at(deployment, &["spec", "paused"]).and_then(Value::as_bool) == Some(true)
}

fn counts(deployment: &Value, sets: &Sets) -> Value {
    let total: u32 = sets.all().map(replicas).sum();
    let mut status =
        json!({"observedGeneration": object::integer(deployment, &["metadata", "generation"]).unwrap_or(0)});
    let updated = sets.new.as_ref().map_or(0, |new| status_count(new, "replicas"));
    let sum = |field: &str| -> u32 { sets.all().map(|set| status_count(set, field)).sum() };
    for (field, count) in [
        ("replicas", sum("replicas")),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", sets.available()),
        ("unavailableReplicas", total.saturating_sub(sets.available())),
        ("terminatingReplicas", sum("terminatingReplicas")),
    ] {
        if count > 0 {
            object::set(&mut status, &[field], count);
        }
    }
    status
}

/// Notes that a condition was looked at and found moving.
fn stamp(list: &mut [Value], kind: &str, now: &str) {
    if let Some(condition) = list.iter_mut().find(|condition| object::text(condition, &["type"]) == kind) {
        object::set(condition, &["lastUpdateTime"], now);
    }
}

/// Every condition that is new or changed was updated now.
fn stamp_updates(before: &[Value], after: &mut [Value], now: &str) {
    for condition in after {
        let kind = object::text(condition, &["type"]);
        let known = before.iter().find(|known| object::text(known, &["type"]) == kind);
        if known != Some(&*condition) && known.is_none_or(|known| !differs_only_in_message(known, condition))
        {
            object::set(condition, &["lastUpdateTime"], now);
        }
    }
}

fn differs_only_in_message(known: &Value, condition: &Value) -> bool {
    ["status", "reason"].iter().all(|field| known.get(field) == condition.get(field))
        && object::text(condition, &["type"]) == "Available"
}

/// The count that the user asks for.
pub(super) fn desired(deployment: &Value) -> u32 {
    object::count(deployment, &["spec", "replicas"])
}

pub(super) fn replicas(set: &Object) -> u32 {
    object::count(&set.value, &["spec", "replicas"])
}

pub(super) fn status_count(set: &Object, field: &str) -> u32 {
    object::count(&set.value, &["status", field])
}

pub(super) fn revision(set: &Object) -> u64 {
    object::annotation(&set.value, REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
}

/// How many pods more than asked for a rollout may have.
pub(super) fn max_surge(deployment: &Value) -> u32 {
    bounds(deployment).0
}

/// How many pods fewer than asked for may be available.
pub(super) fn max_unavailable(deployment: &Value) -> u32 {
    bounds(deployment).1
}

/// Surge is rounded up and unavailability down; both nothing would leave no way forward.
fn bounds(deployment: &Value) -> (u32, u32) {
    if object::text(deployment, &["spec", "strategy", "type"]) == "Recreate" {
        return (0, 0);
    }
    let value = |field: &str| object::at(deployment, &["spec", "strategy", "rollingUpdate", field]);
    let total = desired(deployment);
    let surge = fraction(value("maxSurge"), total, plimsoll::number::percent_rounded_up);
    let unavailable = fraction(value("maxUnavailable"), total, plimsoll::number::percent_rounded_down);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(total)) }
}

fn fraction(value: Option<&Value>, total: u32, percent_of: fn(u32, u32) -> u32) -> u32 {
    match value {
        Some(Value::String(text)) => {
            let percent = text.trim_end_matches('%').parse().unwrap_or(0);
            percent_of(total, percent)
        }
        Some(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
        None => 0,
    }
}

/// A short name for a template, the same for the same template.
pub(super) fn template_hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let hash = template
        .to_string()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let digits = hash.to_string();
    let letter = |digit: u8| ALPHABET.get(usize::from(digit) % ALPHABET.len()).copied().unwrap_or(b'x');
    digits.bytes().map(|digit| char::from(letter(digit))).collect()
}

/// Whether two templates ask for the same pods.
pub(super) fn same_template(set: &Value, deployment: &Value) -> bool {
    let mut mine = object::at(set, &["spec", "template"]).cloned().unwrap_or_default();
    object::remove(&mut mine, &["metadata", "labels", HASH]);
    Some(&mine) == object::at(deployment, &["spec", "template"])
}
