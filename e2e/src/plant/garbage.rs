//! What remains when owners go: dependents are deleted, or set free.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::mirror::Mirror;
use super::{Controllers, Workload};
use crate::apiserver::{Failure, Key, Object, object};

impl Controllers {
    /// Empties a namespace that is on its way out; what drains is looked at again in a second.
    pub(super) fn sync_namespace(&mut self, key: &Key) {
        let is_terminating =
            self.namespaces.get(key).is_some_and(|namespace| object::is_terminating(&namespace.value));
        if is_terminating && !self.server.empty_namespace(&key.1) {
            self.appoint(Instant::now() + Duration::from_secs(1), Workload::Namespace(key.clone()));
        }
    }

    /// Deletes what the owner `uid`, who is gone, has left.
    pub(super) fn orphaned(&mut self, uid: &str) {
        for mirror in [&self.replica_sets, &self.pods] {
            for dependent in mirror.owned_by(uid) {
                // The mirror may lag behind: whoever was set free meanwhile stays.
                let (namespace, name) = (object::namespace(&dependent.value), object::name(&dependent.value));
                let newest = mirror.collection().get(namespace, name).unwrap_or_default();
                if object::controller(&newest).is_some_and(|owner| object::text(owner, &["uid"]) == uid) {
                    delete(mirror, &dependent);
                }
            }
        }
    }

    /// Does for a terminating owner what its finalizers ask for, and takes them off when it is done.
    pub(super) fn finish_owner(
        &mut self,
        owner: &Workload,
        value: &Value,
        dependents: &[Object],
    ) -> Result<(), Failure> {
        let (mirror, below) = match owner {
            Workload::Deployment(_) => (&self.deployments, &self.replica_sets),
            Workload::ReplicaSet(_) => (&self.replica_sets, &self.pods),
            Workload::StatefulSet(_) => (&self.stateful_sets, &self.pods),
            Workload::Budget(_) | Workload::Namespace(_) => return Ok(()),
        };
        let has =
            |finalizer: &str| object::list(value, &["metadata", "finalizers"]).iter().any(|f| f == finalizer);
        if has("orphan") {
            for dependent in dependents {
                let mut free = dependent.value.clone();
                object::remove(&mut free, &["metadata", "ownerReferences"]);
                below.collection().update(object::namespace(&dependent.value), free)?;
            }
            return release(mirror, value, "orphan");
        }
        if has("foregroundDeletion") {
            if dependents.is_empty() {
                return release(mirror, value, "foregroundDeletion");
            }
            dependents.iter().filter(|d| !object::is_terminating(&d.value)).for_each(|d| delete(below, d));
        }
        Ok(())
    }
}

fn release(mirror: &Mirror, value: &Value, finalizer: &str) -> Result<(), Failure> {
    let mut free = value.clone();
    let left: Vec<Value> = object::list(value, &["metadata", "finalizers"])
        .iter()
        .filter(|f| *f != finalizer)
        .cloned()
        .collect();
    object::set(&mut free, &["metadata", "finalizers"], json!(left));
    mirror.collection().update(object::namespace(value), free)?;
    Ok(())
}

fn delete(mirror: &Mirror, dependent: &Object) {
    let (namespace, name) = (object::namespace(&dependent.value), object::name(&dependent.value));
    // Somebody may have deleted it already.
    if let Err(failure) = mirror.collection().delete(namespace, name, None) {
        tracing::debug!(%failure, name, "a dependent was not deleted");
    }
}
