//! Watches: what happens to the objects of a resource, from a revision on, as a stream of lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::cluster::{Cluster, is_served_as_stored, served};
use super::kinds::Kind;
use super::object;
use super::read::{namespace_of, parse_revision, selector_of};
use super::representation::Representation;
use super::request::ResourceRequest;
use super::selector::Selector;
use super::status::Failure;
use super::store::{Change, ChangeKind, Object};

/// What a watch wants to hear.
pub(crate) struct Watch {
    kind: Arc<Kind>,
    namespace: String,
    name: String,
    selector: Selector,
    representation: Representation,
    bookmarks: bool,
    /// Up to here everything has been told.
    seen: u64,
    /// The last revision the client has heard of.
    told: u64,
    news: tokio::sync::watch::Receiver<u64>,
    lines: VecDeque<String>,
    deadline: Instant,
    next_bookmark: Instant,
    closed: bool,
}

/// How often a quiet watch is told how far it is.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// How long a watch lives that names no time-out.
const DEFAULT_TIMEOUT: u64 = 45 * 60;

impl Watch {
    /// Begins a watch; what it has to hear at once is queued already.
    pub(crate) fn begin(
        cluster: &mut Cluster,
        kind: &Arc<Kind>,
        request: &ResourceRequest,
        representation: Representation,
    ) -> Result<Self, Failure> {
        let selector = selector_of(kind, request)?;
        let from =
            parse_revision(request.parameter("resourceVersion")).map_err(|why| Failure::new(500, "", why))?;
        let sends_initial = request.flag("sendInitialEvents");
        let timeout =
            request.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_TIMEOUT);
        let now = Instant::now();
        let mut watch = Self {
            kind: Arc::clone(kind),
            namespace: namespace_of(kind, request).to_owned(),
            name: request.name.clone(),
            selector,
            representation,
            bookmarks: request.flag("allowWatchBookmarks"),
            seen: from,
            told: from,
            news: cluster.store.subscribe(&kind.storage),
            lines: VecDeque::new(),
            deadline: now + Duration::from_secs(timeout),
            next_bookmark: now + BOOKMARK_INTERVAL,
            closed: false,
        };
        if from > cluster.store.revision() {
            return Err(Failure::revision_ahead(from, cluster.store.revision()));
        }
        if from == 0 || sends_initial {
            watch.tell_present(cluster, sends_initial);
        } else {
            watch.catch_up(cluster);
        }
        Ok(watch)
    }

    /// Everything that is there now, as if it had just been added.
    fn tell_present(&mut self, cluster: &Cluster, marks_end: bool) {
        let present: Vec<Object> = cluster
            .store
            .list(&self.kind.storage, &self.namespace)
            .filter(|(_, object)| self.wants(object))
            .map(|(_, object)| Arc::clone(object))
            .collect();
        for object in present {
            self.tell("ADDED", &object);
        }
        self.seen = cluster.store.revision();
        if marks_end && self.bookmarks {
            self.tell_bookmark(true);
        }
    }

    /// Queues what happened since the last time.
    fn catch_up(&mut self, cluster: &Cluster) {
        match cluster.store.changes_since(&self.kind.storage, self.seen) {
            Ok(changes) => {
                let changes: Vec<Change> = changes.cloned().collect();
                for change in &changes {
                    self.tell_change(change);
                }
                self.seen = cluster.store.revision();
            }
            Err(forgotten) => {
                let message = format!("too old resource version: {} ({})", self.seen, forgotten.until);
                self.fail(&Failure::expired(message));
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.lines.push_back(line("ERROR", &failure.to_status().to_string()));
        self.closed = true;
    }

    /// A change as this watch sees it: an object that starts to match has been added, one that ceases to is gone.
    fn tell_change(&mut self, change: &Change) {
        let was = change.previous.as_ref().is_some_and(|previous| self.wants(previous));
        let is = change.kind != ChangeKind::Deleted && self.wants(&change.object);
        match (was, is) {
            (false, true) => self.tell("ADDED", &change.object),
            (true, true) => self.tell("MODIFIED", &change.object),
            (true, false) => match &change.previous {
                Some(previous) if change.kind != ChangeKind::Deleted => {
                    let mut last = previous.value.clone();
                    object::set(&mut last, &["metadata", "resourceVersion"], change.revision.to_string());
                    self.tell_value("DELETED", &last, change.revision);
                }
                _ => self.tell("DELETED", &change.object),
            },
            (false, false) => {}
        }
    }

    fn wants(&self, object: &Object) -> bool {
        let value = &object.value;
        (self.namespace.is_empty() || object::namespace(value) == self.namespace)
            && (self.name.is_empty() || object::name(value) == self.name)
            && self.selector.matches(value)
    }

    fn tell(&mut self, event: &str, object: &Object) {
        if self.representation.is_whole() && is_served_as_stored(&self.kind, &object.value) {
            self.lines.push_back(line(event, object.json()));
            self.told = object.revision;
        } else {
            self.tell_value(event, &object.value, object.revision);
        }
    }

    fn tell_value(&mut self, event: &str, stored: &Value, revision: u64) {
        let shown = self.representation.of_one(&self.kind, served(&self.kind, stored));
        self.lines.push_back(line(event, &shown.to_string()));
        self.told = revision;
    }

    fn tell_bookmark(&mut self, ends_initial: bool) {
        let mut bookmark = json!({
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": self.seen.to_string()},
        });
        if ends_initial {
            object::set(&mut bookmark, &["metadata", "annotations", "k8s.io/initial-events-end"], "true");
        }
        let shown = self.representation.of_bookmark(bookmark);
        self.lines.push_back(line("BOOKMARK", &shown.to_string()));
        self.told = self.seen;
    }

    /// The lines of the watch, until its time is up or its history is lost.
    pub(crate) fn lines(self, cluster: Arc<Mutex<Cluster>>) -> impl Stream<Item = String> + Send {
        futures::stream::unfold((self, cluster), |(mut watch, cluster)| async move {
            loop {
                if let Some(line) = watch.lines.pop_front() {
                    return Some((line, (watch, cluster)));
                }
                if watch.closed {
                    return None;
                }
                watch.wait().await;
                if !watch.closed {
                    let guard = cluster.lock().unwrap_or_else(PoisonError::into_inner);
                    watch.catch_up(&guard);
                    watch.mark_progress();
                }
            }
        })
    }

    /// Until there is news, a bookmark is due, or the time is up.
    async fn wait(&mut self) {
        let wake = self.deadline.min(self.next_bookmark);
        tokio::select! {
            biased;
            changed = self.news.changed() => self.closed = changed.is_err(),
            () = tokio::time::sleep_until(wake) => self.closed = wake == self.deadline,
        }
        if self.closed && self.bookmarks && self.seen > self.told {
            self.tell_bookmark(false);
        }
    }

    fn mark_progress(&mut self) {
        if Instant::now() < self.next_bookmark {
            return;
        }
        self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
        if self.bookmarks && self.lines.is_empty() && self.seen > self.told {
            self.tell_bookmark(false);
        }
    }
}

fn line(event: &str, object: &str) -> String {
    format!("{{\"type\":\"{event}\",\"object\":{object}}}\n")
}
