//! Where objects live: by resource, namespace and name, with one revision counter and a bounded history of changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::sync::watch;

use super::object;

/// Namespace (empty for cluster-scoped objects) and name.
pub(crate) type Key = (String, String);

/// An object as stored, with its JSON text made at most once.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) value: Value,
    pub(crate) revision: u64,
    json: OnceLock<String>,
}

impl Stored {
    fn new(mut value: Value, revision: u64) -> Arc<Self> {
        object::set(&mut value, &["metadata", "resourceVersion"], revision.to_string());
        Arc::new(Self { value, revision, json: OnceLock::new() })
    }

    /// An object that is shown as if it had been stored.
    pub(crate) fn unsaved(value: Value) -> Arc<Self> {
        Arc::new(Self { value, revision: 0, json: OnceLock::new() })
    }

    pub(crate) fn json(&self) -> &str {
        self.json.get_or_init(|| self.value.to_string())
    }
}

pub(crate) type Object = Arc<Stored>;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl ChangeKind {
    pub(crate) fn is_deletion(self) -> bool {
        self == Self::Deleted
    }
}

/// One write, as watchers see it.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: ChangeKind,
    /// The object after the write; for a deletion, as it was last, with the deletion's revision.
    pub(crate) object: Object,
    /// The object before the write.
    pub(crate) previous: Option<Object>,
}

/// The history does not reach back to the revision that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// The newest revision of which changes have been forgotten.
    pub(crate) until: u64,
}

#[derive(Debug)]
struct Section {
    objects: BTreeMap<Key, Object>,
    history: VecDeque<Change>,
    forgotten: u64,
    news: watch::Sender<u64>,
}

/// All objects of a cluster.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    sections: BTreeMap<String, Section>,
    history_limit: usize,
}

impl Store {
    /// An empty store that remembers the last `history_limit` changes of each resource.
    pub(crate) fn new(history_limit: usize) -> Self {
        Self { revision: 1, sections: BTreeMap::new(), history_limit }
    }

    /// The revision of the last write.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Object> {
        let key = (namespace.to_owned(), name.to_owned());
        self.sections.get(resource)?.objects.get(&key)
    }

    /// The objects of a resource in one namespace, or in all if `namespace` is empty, by namespace and name.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &str,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Key, &'a Object)> + use<'a> {
        let start = (namespace.to_owned(), String::new());
        let namespace = namespace.to_owned();
        self.sections
            .get(resource)
            .into_iter()
            .flat_map(move |section| {
                section.objects.range((Bound::Included(start.clone()), Bound::Unbounded))
            })
            .take_while(move |((found, _), _)| namespace.is_empty() || *found == namespace)
    }

    /// The objects of a resource as they were at `revision`, in one namespace or in all.
    pub(crate) fn list_at(
        &self,
        resource: &str,
        namespace: &str,
        revision: u64,
    ) -> Result<BTreeMap<Key, Object>, Forgotten> {
        let mut objects: BTreeMap<Key, Object> =
            self.list(resource, namespace).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        let later: Vec<&Change> = self.changes_since(resource, revision)?.collect();
        for change in later.into_iter().rev() {
            let key = key_of(&change.object.value);
            if !namespace.is_empty() && key.0 != namespace {
                continue;
            }
            match &change.previous {
                Some(previous) => objects.insert(key, Arc::clone(previous)),
                None => objects.remove(&key),
            };
        }
        Ok(objects)
    }

    /// Writes `value` under its namespace and name, and returns it as stored.
    pub(crate) fn put(&mut self, resource: &str, value: Value) -> Object {
        let revision = self.next_revision();
        let section = self.section(resource);
        let key = key_of(&value);
        let object = Stored::new(value, revision);
        let previous = section.objects.insert(key, Arc::clone(&object));
        let kind = if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.record(resource, Change { revision, kind, object: Arc::clone(&object), previous });
        object
    }

    /// Takes the object away; returns its last state, which carries the deletion's revision.
    pub(crate) fn delete(&mut self, resource: &str, namespace: &str, name: &str) -> Option<Object> {
        let key = (namespace.to_owned(), name.to_owned());
        let previous = self.sections.get_mut(resource)?.objects.remove(&key)?;
        let revision = self.next_revision();
        let object = Stored::new(previous.value.clone(), revision);
        let change = Change {
            revision,
            kind: ChangeKind::Deleted,
            object: Arc::clone(&object),
            previous: Some(previous),
        };
        self.record(resource, change);
        Some(object)
    }

    /// The changes of a resource after `revision`, oldest first.
    pub(crate) fn changes_since<'a>(
        &'a self,
        resource: &str,
        revision: u64,
    ) -> Result<impl Iterator<Item = &'a Change> + use<'a>, Forgotten> {
        let section = self.sections.get(resource);
        match section {
            Some(section) if revision < section.forgotten => Err(Forgotten { until: section.forgotten }),
            _ => Ok(section.into_iter().flat_map(move |section| {
                let first = section.history.partition_point(|change| change.revision <= revision);
                section.history.range(first..)
            })),
        }
    }

    /// Hears of every change of a resource, as the revision it made.
    pub(crate) fn subscribe(&mut self, resource: &str) -> watch::Receiver<u64> {
        self.section(resource).news.subscribe()
    }

    /// Forgets all history, as a compaction of etcd does: watches from before now are answered with 410.
    pub(crate) fn compact(&mut self) {
        let revision = self.revision;
        for section in self.sections.values_mut() {
            section.history.clear();
            section.forgotten = revision;
        }
    }

    fn next_revision(&mut self) -> u64 {
        self.revision = self.revision.saturating_add(1);
        self.revision
    }

    fn section(&mut self, resource: &str) -> &mut Section {
        self.sections.entry(resource.to_owned()).or_insert_with(|| Section {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            forgotten: 0,
            news: watch::Sender::new(0),
        })
    }

    fn record(&mut self, resource: &str, change: Change) {
        let limit = self.history_limit;
        let section = self.section(resource);
        section.news.send_replace(change.revision);
        section.history.push_back(change);
        while section.history.len() > limit {
            if let Some(old) = section.history.pop_front() {
                section.forgotten = old.revision;
            }
        }
    }
}

fn key_of(value: &Value) -> Key {
    (object::namespace(value).to_owned(), object::name(value).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, node: u32) -> Value {
        json!({"metadata": {"name": name, "namespace": "default"}, "node": node})
    }

    fn names(objects: &BTreeMap<Key, Object>) -> Vec<String> {
        objects.values().map(|o| format!("{}@{}", object::name(&o.value), o.value["node"])).collect()
    }

    #[test]
    fn past_states_can_be_read_back_as_far_as_history_reaches() {
        let mut store = Store::new(3);
        store.put("pods.", pod("a", 1));
        let early = store.revision();
        store.put("pods.", pod("b", 1));
        store.put("pods.", pod("a", 2));
        store.delete("pods.", "default", "b");
        assert_eq!(names(&store.list_at("pods.", "", store.revision()).unwrap()), ["a@2"]);
        assert_eq!(names(&store.list_at("pods.", "", early).unwrap()), ["a@1"]);
        store.put("pods.", pod("c", 1));
        assert_eq!(store.list_at("pods.", "", early - 1).unwrap_err(), Forgotten { until: early + 1 });
        assert_eq!(names(&store.list_at("pods.", "", early + 2).unwrap()), ["a@2", "b@1"]);
    }

    #[test]
    fn a_compaction_leaves_only_what_comes_after_it() {
        let mut store = Store::new(10);
        let news = store.subscribe("pods.");
        store.put("pods.", pod("a", 1));
        let compacted = store.revision();
        store.compact();
        assert!(store.changes_since("pods.", compacted - 1).is_err());
        store.put("pods.", pod("a", 2));
        let kinds: Vec<_> = store.changes_since("pods.", compacted).unwrap().map(|c| c.kind).collect();
        assert_eq!(kinds, [ChangeKind::Modified]);
        assert_eq!(*news.borrow(), store.revision());
    }

    #[test]
    fn a_namespace_lists_only_its_own() {
        let mut store = Store::new(10);
        for namespace in ["a", "b", "c"] {
            store.put("pods.", json!({"metadata": {"name": "x", "namespace": namespace}}));
        }
        assert_eq!(store.list("pods.", "b").count(), 1);
        assert_eq!(store.list("pods.", "").count(), 3);
    }
}
