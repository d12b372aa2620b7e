//! The synchronous core: what the server knows, and the ways to read it. It has no clock and no network.

use std::sync::Arc;

use kube::core::cel::Validator;
use serde_json::Value;

use super::custom;
use super::event;
use super::kinds::{Conversion, Kind, Kinds};
use super::object;
use super::status::{Cause, Failure};
use super::store::{Object, Store};
use crate::random::Random;

/// Everything that a cluster's API holds.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) kinds: Kinds,
    pub(crate) random: Random,
    pub(crate) validator: Validator,
}

/// The storage of CustomResourceDefinitions.
pub(crate) const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

impl Cluster {
    /// A cluster with nothing in it.
    pub(crate) fn new(seed: u64, history_limit: usize) -> Self {
        Self {
            store: Store::new(history_limit),
            kinds: Kinds::built_in(),
            random: Random::seeded(seed),
            validator: Validator::new(),
        }
    }

    /// The kind behind a URL, or 404 as the server says it of unknown resources.
    pub(crate) fn kind(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Kind>, Failure> {
        self.kinds.get(group, version, plural).cloned().ok_or_else(Failure::no_such_resource)
    }

    /// The stored object, or 404 with its name.
    pub(crate) fn stored(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Object, Failure> {
        let found = self.store.get(&kind.storage, namespace, name).cloned();
        found.ok_or_else(|| Failure::not_found(kind.resource_subject(name)))
    }

    /// Makes the kinds of `crd` those that are served.
    pub(crate) fn install_kinds(&mut self, crd: &Value) -> Result<(), Vec<Cause>> {
        let kinds = custom::kinds_of(crd)?;
        self.kinds.remove_custom(object::name(crd));
        for kind in kinds {
            self.kinds.add(kind);
        }
        Ok(())
    }

    /// Stops serving the kinds of `crd`; their objects go with them.
    pub(crate) fn uninstall_kinds(&mut self, crd: &Value) {
        let storage = object::name(crd).to_owned();
        self.kinds.remove_custom(&storage);
        let keys: Vec<_> = self.store.list(&storage, "").map(|(key, _)| key.clone()).collect();
        for (namespace, name) in keys {
            self.store.delete(&storage, &namespace, &name);
        }
    }
}

/// A stored object as `kind`'s API version shows it.
pub(crate) fn served(kind: &Kind, stored: &Value) -> Value {
    let mut object = match kind.conversion {
        Conversion::None => stored.clone(),
        Conversion::Events => event::to_new(stored),
    };
    object::set(&mut object, &["apiVersion"], kind.api_version());
    object::set(&mut object, &["kind"], kind.kind.as_str());
    object
}

/// Whether stored objects of this kind are shown as they are.
pub(crate) fn is_served_as_stored(kind: &Kind, stored: &Value) -> bool {
    kind.conversion == Conversion::None && object::text(stored, &["apiVersion"]) == kind.api_version()
}
