//! A controller's view of one resource: its objects, and which belongs to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::apiserver::{Change, Collection, Key, Object, object};

/// The objects of one resource, kept up to date by [`Mirror::refresh`].
pub(super) struct Mirror {
    collection: Collection,
    seen: u64,
    objects: BTreeMap<Key, Object>,
    by_owner: BTreeMap<String, BTreeSet<Key>>,
    by_uid: BTreeMap<String, Key>,
    is_fresh: bool,
}

/// An object that changed, and the uids of those that own or owned it.
pub(super) struct Changed {
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) owners: BTreeSet<String>,
    pub(super) is_gone: bool,
}

impl Mirror {
    pub(super) fn of(collection: Collection) -> Self {
        Self {
            collection,
            seen: 0,
            objects: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            is_fresh: false,
        }
    }

    pub(super) fn collection(&self) -> &Collection {
        &self.collection
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.collection.subscribe()
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    pub(super) fn by_uid(&self, uid: &str) -> Option<Key> {
        self.by_uid.get(uid).cloned()
    }

    /// The objects of one namespace, by name.
    pub(super) fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Object> {
        let first = (namespace.to_owned(), String::new());
        self.objects.range(first..).take_while(move |(key, _)| key.0 == namespace).map(|(_, object)| object)
    }

    /// The objects that `uid` controls, by name.
    pub(super) fn owned_by(&self, uid: &str) -> Vec<Object> {
        let keys = self.by_owner.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.objects.get(key)).map(Arc::clone).collect()
    }

    /// Takes in what happened since the last time.
    pub(super) fn refresh(&mut self) -> Vec<Changed> {
        if self.is_fresh
            && let Ok((changes, seen)) = self.collection.changes_since(self.seen)
        {
            self.seen = seen;
            return changes.iter().map(|change| self.take(change)).collect();
        }
        self.relist()
    }

    fn take(&mut self, change: &Change) -> Changed {
        let is_gone = change.kind.is_deletion();
        self.put(&change.object, is_gone)
    }

    fn put(&mut self, new: &Object, is_gone: bool) -> Changed {
        let value = &new.value;
        let key = (object::namespace(value).to_owned(), object::name(value).to_owned());
        let uid = object::uid(value).to_owned();
        let previous = if is_gone {
            self.objects.remove(&key)
        } else {
            self.objects.insert(key.clone(), Arc::clone(new))
        };
        let mut owners = BTreeSet::new();
        if let Some(owner) = previous.as_deref().and_then(|previous| owner_of(&previous.value)) {
            if let Some(keys) = self.by_owner.get_mut(&owner) {
                keys.remove(&key);
            }
            owners.insert(owner);
        }
        if let Some(owner) = owner_of(value) {
            if !is_gone {
                self.by_owner.entry(owner.clone()).or_default().insert(key.clone());
            }
            owners.insert(owner);
        }
        if is_gone {
            self.by_uid.remove(&uid);
        } else {
            self.by_uid.insert(uid.clone(), key.clone());
        }
        Changed { key, uid, owners, is_gone }
    }

    fn relist(&mut self) -> Vec<Changed> {
        let (objects, seen) = self.collection.snapshot();
        let uids: BTreeSet<&str> = objects.iter().map(|object| object::uid(&object.value)).collect();
        let gone: Vec<Object> = self
            .objects
            .values()
            .filter(|known| !uids.contains(object::uid(&known.value)))
            .cloned()
            .collect();
        let mut changed: Vec<Changed> = gone.iter().map(|object| self.put(object, true)).collect();
        for object in &objects {
            changed.push(self.put(object, false));
        }
        (self.seen, self.is_fresh) = (seen, true);
        changed
    }
}

/// The uid of the controller of `value`.
fn owner_of(value: &Value) -> Option<String> {
    object::controller(value).map(|owner| object::text(owner, &["uid"]).to_owned())
}
