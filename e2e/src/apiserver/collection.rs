//! Reading and writing the objects of one resource directly, without HTTP: what controllers inside the test use.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::ApiServer;
use super::delete::DeleteOptions;
use super::incoming::FieldValidation;
use super::kinds::Kind;
use super::status::Failure;
use super::store::{Change, Forgotten, Object};
use super::write::{Door, WriteOptions, Written};

/// The objects of one resource.
#[derive(Clone, Debug)]
pub struct Collection {
    server: ApiServer,
    kind: Arc<Kind>,
    manager: String,
}

impl ApiServer {
    /// The objects of `plural` in an API group (empty for core) and version.
    pub fn collection(&self, group: &str, version: &str, plural: &str) -> Result<Collection, Failure> {
        let kind = self.lock().kind(group, version, plural)?;
        Ok(Collection { server: self.clone(), kind, manager: "double".to_owned() })
    }
}

impl Collection {
    /// The same collection, written to as `manager`.
    #[must_use]
    pub fn written_by(self, manager: &str) -> Self {
        Self { manager: manager.to_owned(), ..self }
    }

    /// The object; none if there is none. `namespace` is empty for cluster-scoped resources.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Value> {
        self.stored(namespace, name).map(|object| object.value.clone())
    }

    pub(crate) fn stored(&self, namespace: &str, name: &str) -> Option<Object> {
        self.server.lock().store.get(&self.kind.storage, namespace, name).cloned()
    }

    /// The objects of a namespace, or of all if it is empty, by namespace and name.
    pub fn list(&self, namespace: &str) -> Vec<Value> {
        self.all_stored(namespace).iter().map(|object| object.value.clone()).collect()
    }

    pub(crate) fn all_stored(&self, namespace: &str) -> Vec<Object> {
        let cluster = self.server.lock();
        cluster.store.list(&self.kind.storage, namespace).map(|(_, object)| Arc::clone(object)).collect()
    }

    /// Creates an object.
    pub fn create(&self, namespace: &str, object: Value) -> Result<Value, Failure> {
        let options = self.options();
        let written = self.server.lock().create(&self.kind, namespace, object, &options)?;
        Ok(written.object.value.clone())
    }

    /// Replaces an object; it must carry the resourceVersion that it replaces, or none to replace any.
    pub fn update(&self, namespace: &str, object: Value) -> Result<Value, Failure> {
        self.write(Door::Main, namespace, object)
    }

    /// Replaces an object's status.
    pub fn update_status(&self, namespace: &str, object: Value) -> Result<Value, Failure> {
        self.write(Door::Status, namespace, object)
    }

    fn write(&self, door: Door, namespace: &str, object: Value) -> Result<Value, Failure> {
        let options = self.options();
        let name = super::object::name(&object).to_owned();
        let mut cluster = self.server.lock();
        let Written { object, .. } =
            cluster.update(&self.kind, door, (namespace, &name), object, &options)?;
        Ok(object.value.clone())
    }

    /// Deletes an object, as fast as its kind and finalizers allow; `grace` overrides a pod's own grace period, in
    /// seconds.
    pub fn delete(&self, namespace: &str, name: &str, grace: Option<i64>) -> Result<(), Failure> {
        let now = self.server.clock().now();
        let options = DeleteOptions {
            grace_period_seconds: grace,
            ..DeleteOptions::read(&Value::Null, false, None, "", now)
        };
        self.server.lock().delete(&self.kind, namespace, name, &options)?;
        Ok(())
    }

    /// The changes after `revision`, oldest first, and the revision up to which they reach.
    pub(crate) fn changes_since(&self, revision: u64) -> Result<(Vec<Change>, u64), Forgotten> {
        let cluster = self.server.lock();
        let changes = cluster.store.changes_since(&self.kind.storage, revision)?.cloned().collect();
        Ok((changes, cluster.store.revision()))
    }

    /// All objects, and the revision at which they were so.
    pub(crate) fn snapshot(&self) -> (Vec<Object>, u64) {
        let cluster = self.server.lock();
        let objects =
            cluster.store.list(&self.kind.storage, "").map(|(_, object)| Arc::clone(object)).collect();
        (objects, cluster.store.revision())
    }

    /// Hears of every change, as the revision it made.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.server.lock().store.subscribe(&self.kind.storage)
    }

    fn options(&self) -> WriteOptions {
        WriteOptions {
            manager: self.manager.clone(),
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            force: false,
            now: self.server.clock().now(),
        }
    }
}
