//! Deleting: at once, gracefully, or as soon as every finalizer has let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::cluster::{CRDS, Cluster, served};
use super::kinds::Kind;
use super::object;
use super::status::Failure;
use super::store::Object;
use super::write::is_held;
use crate::clock::whole_seconds;

/// How an object is to be deleted (`DeleteOptions`).
#[derive(Clone, Debug)]
pub(crate) struct DeleteOptions {
    pub(crate) dry_run: bool,
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    /// `Background`, `Foreground`, `Orphan`; empty for the kind's default.
    pub(crate) propagation: String,
    pub(crate) now: Timestamp,
}

impl DeleteOptions {
    /// Reads the body of a DELETE and its query parameters.
    pub(crate) fn read(
        body: &Value,
        dry_run: bool,
        grace_period: Option<&str>,
        propagation: &str,
        now: Timestamp,
    ) -> Self {
        let text = |path: &[&str]| Some(object::text(body, path).to_owned()).filter(|text| !text.is_empty());
        let asked = object::integer(body, &["gracePeriodSeconds"]);
        Self {
            dry_run: dry_run || !object::list(body, &["dryRun"]).is_empty(),
            grace_period_seconds: asked.or_else(|| grace_period?.parse().ok()),
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            propagation: text(&["propagationPolicy"]).unwrap_or_else(|| propagation.to_owned()),
            now,
        }
    }
}

/// The answer to a DELETE.
pub(crate) enum Deleted {
    /// The object is gone.
    Gone { uid: String },
    /// The object is on its way out and looks like this meanwhile.
    Terminating(Value),
}

impl Cluster {
    /// DELETE.
    pub(crate) fn delete(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Failure> {
        let old = self.stored(kind, namespace, name)?;
        check_preconditions(kind, &old, options)?;
        let mut object = old.value.clone();
        add_finalizer(&mut object, &options.propagation);
        let grace = grace_period(kind, &object, options);
        mark_terminating(kind, &mut object, grace, options.now);
        if options.dry_run {
            return Ok(Deleted::Terminating(served(kind, &object)));
        }
        if is_held(kind, &object) {
            let stored = if object == old.value { old } else { self.store.put(&kind.storage, object) };
            return Ok(Deleted::Terminating(served(kind, &stored.value)));
        }
        let uid = object::uid(&old.value).to_owned();
        self.take_away(kind, &old.value);
        Ok(Deleted::Gone { uid })
    }

    /// Deletes what is in a namespace that is on its way out, and the namespace itself once nothing is left; true when
    /// it is gone. This is the work of a controller.
    pub(crate) fn empty_namespace(&mut self, name: &str, now: Timestamp) -> bool {
        let Some(namespace) = self.store.get("namespaces.", "", name) else { return true };
        if !object::is_terminating(&namespace.value) {
            return false;
        }
        let options = DeleteOptions::read(&Value::Null, false, None, "", now);
        let kinds: BTreeMap<String, Arc<Kind>> = self
            .kinds
            .all()
            .filter(|kind| kind.namespaced)
            .map(|kind| (kind.storage.clone(), Arc::clone(kind)))
            .collect();
        let mut left = 0_usize;
        for (storage, kind) in kinds {
            let names: Vec<String> =
                self.store.list(&storage, name).map(|((_, name), _)| name.clone()).collect();
            for object in names {
                let outcome = self.delete(&kind, name, &object, &options);
                left = left.saturating_add(usize::from(matches!(outcome, Ok(Deleted::Terminating(_)))));
            }
        }
        if left == 0 {
            self.store.delete("namespaces.", "", name);
        }
        left == 0
    }

    /// Removes an object that nothing holds any more, and what it stood for.
    pub(crate) fn take_away(&mut self, kind: &Kind, object: &Value) {
        self.store.delete(&kind.storage, object::namespace(object), object::name(object));
        if kind.storage == CRDS {
            self.uninstall_kinds(object);
        }
    }
}

fn check_preconditions(kind: &Kind, old: &Object, options: &DeleteOptions) -> Result<(), Failure> {
    let name = object::name(&old.value);
    let uid = object::uid(&old.value);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have \
             been deleted and then recreated"
        );
        return Err(Failure::conflict(kind.kind_subject(name), &why));
    }
    let version = object::resource_version(&old.value);
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        );
        return Err(Failure::conflict(kind.kind_subject(name), &why));
    }
    Ok(())
}

/// Foreground deletion and orphaning are work for the garbage collector, which a finalizer asks for.
fn add_finalizer(object: &mut Value, propagation: &str) {
    let finalizer = match propagation {
        "Foreground" => "foregroundDeletion",
        "Orphan" => "orphan",
        _ => return,
    };
    let mut finalizers = object::list(object, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push(json!(finalizer));
        object::set(object, &["metadata", "finalizers"], finalizers);
    }
}

/// Seconds that the object may take to end. Only pods that run somewhere take any.
fn grace_period(kind: &Kind, pod: &Value, options: &DeleteOptions) -> i64 {
    let runs = !object::text(pod, &["spec", "nodeName"]).is_empty()
        && !matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
    if kind.storage != "pods." || !runs {
        return 0;
    }
    let own = object::integer(pod, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    options.grace_period_seconds.unwrap_or(own).max(0)
}

fn mark_terminating(kind: &Kind, object: &mut Value, grace: i64, now: Timestamp) {
    let already = object::integer(object, &["metadata", "deletionGracePeriodSeconds"]);
    if object::is_terminating(object) && already.is_none_or(|already| already <= grace) {
        return;
    }
    let end = now.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    object::set(object, &["metadata", "deletionTimestamp"], whole_seconds(end));
    object::set(object, &["metadata", "deletionGracePeriodSeconds"], grace);
    if kind.storage == "namespaces." {
        object::set(object, &["status", "phase"], "Terminating");
    }
    if kind.generation {
        let generation = object::integer(object, &["metadata", "generation"]).unwrap_or(0).saturating_add(1);
        object::set(object, &["metadata", "generation"], generation);
    }
}
