//! Watches that fill the index, and whether they can be relied on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client};
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::call::{ApiError, ApiErrorKind, Call};
use super::identity::Uid;
use super::index::Index;
use super::pace::paced;
use super::watched::Watched;
use crate::api::ScalingPolicy;
use crate::operator::Clock;
use crate::telemetry::Metrics;

/// Seconds after which the server ends a watch and it is begun anew; also how long a dead connection stays unnoticed.
const WATCH_SECONDS: u32 = 60;
/// A watch that has failed for this long is not relied on any more.
const PATIENCE: Duration = Duration::from_mins(1);
/// After this long without another failure a watch works again: more than one back-off and one watch together.
const RECOVERED: Duration = Duration::from_secs(100);

/// The running watches.
pub struct Watches {
    states: Vec<Arc<WatchState>>,
    tasks: JoinSet<()>,
}

/// What is known of one watch.
struct WatchState {
    resource: String,
    group: String,
    namespace: Option<String>,
    /// Without an optional one the operator works, with less.
    optional: bool,
    synced: Receiver<bool>,
    trouble: Mutex<Option<Trouble>>,
}

struct Trouble {
    first: Instant,
    last: Instant,
    error: ApiError,
}

impl Watches {
    /// Begins to watch all kinds in `namespaces`, or in the whole cluster if there are none; HorizontalPodAutoscalers
    /// only where `autoscalers` says that they can be seen.
    pub fn start(
        client: &Client,
        namespaces: &[String],
        autoscalers: bool,
        index: &Arc<Index>,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let mut watches = Self { states: Vec::new(), tasks: JoinSet::new() };
        let client = &paced(client);
        let everywhere = [None];
        let scopes: Vec<_> = namespaces.iter().map(|namespace| Some(namespace.clone())).collect();
        for scope in if scopes.is_empty() { everywhere.as_slice() } else { scopes.as_slice() } {
            let mut start =
                Start { watches: &mut watches, client, scope: scope.as_deref(), index, clock, metrics };
            // Owners before what they own, so that a pod's workload is known when the pod goes.
            start.watch::<Deployment>(false);
            start.watch::<StatefulSet>(false);
            start.watch::<PartialObjectMeta<ReplicaSet>>(false);
            start.watch::<Pod>(false);
            if autoscalers {
                start.watch::<HorizontalPodAutoscaler>(true);
            }
            start.watch::<DeserializeGuard<ScalingPolicy>>(false);
        }
        watches
    }

    /// Whether the watches can be relied on.
    pub fn health(&self) -> WatchHealth {
        WatchHealth(self.states.clone())
    }

    /// Waits until a watch ends, which it does not do by itself.
    pub async fn ended(&mut self) {
        let _ = self.tasks.join_next().await;
    }
}

/// A view on the watches' health that can be handed around.
#[derive(Clone, Default)]
pub struct WatchHealth(Vec<Arc<WatchState>>);

impl WatchHealth {
    /// Waits until every list that is needed has been read to its end.
    pub async fn synced(&self) {
        for state in self.0.iter().filter(|state| !state.optional) {
            // The sender goes only with its task, and then there is nothing to wait for.
            let _ = state.synced.clone().wait_for(|synced| *synced).await;
        }
    }

    /// The lists that are needed and not yet read.
    pub fn unsynced(&self) -> Vec<String> {
        let missing = self.0.iter().filter(|state| !state.optional && !*state.synced.borrow());
        missing.map(|state| state.call("list").to_string()).collect()
    }

    /// Why what is known of the cluster may be too old to act on.
    pub fn blind(&self) -> Option<String> {
        let now = Instant::now();
        self.0.iter().filter(|state| !state.optional).find_map(|state| {
            let trouble = state.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            let trouble = trouble.as_ref().filter(|trouble| now - trouble.last < RECOVERED)?;
            let lasts = now - trouble.first;
            (lasts >= PATIENCE).then(|| {
                format!(
                    "{} have not been watched for {} s, so the cluster may have changed unseen: {}",
                    state.resource,
                    lasts.as_secs(),
                    trouble.error
                )
            })
        })
    }
}

impl WatchState {
    fn call(&self, verb: &'static str) -> Call<'_> {
        Call { verb, resource: &self.resource, group: &self.group, namespace: self.namespace.as_deref() }
    }

    fn failed(&self, error: ApiError) {
        let now = Instant::now();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let first = trouble
            .as_ref()
            .filter(|before| now - before.last < RECOVERED)
            .map_or(now, |before| before.first);
        *trouble = Some(Trouble { first, last: now, error });
    }

    fn works(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

struct Start<'a> {
    watches: &'a mut Watches,
    client: &'a Client,
    scope: Option<&'a str>,
    index: &'a Arc<Index>,
    clock: &'a Clock,
    metrics: &'a Arc<Metrics>,
}

impl Start<'_> {
    fn watch<K: Watched>(&mut self, optional: bool) {
        let (sender, synced) = channel(false);
        let state = Arc::new(WatchState {
            resource: K::plural(&()).into_owned(),
            group: K::group(&()).into_owned(),
            namespace: self.scope.map(str::to_owned),
            optional,
            synced,
            trouble: Mutex::default(),
        });
        self.watches.states.push(state.clone());
        let api = self.scope.map_or_else(
            || Api::<K>::all(self.client.clone()),
            |namespace| Api::namespaced(self.client.clone(), namespace),
        );
        let sink = Sink {
            state,
            synced: sender,
            index: self.index.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            listed: None,
        };
        self.watches.tasks.spawn(sink.run(api));
    }
}

/// Takes one watch's events into the index.
struct Sink {
    state: Arc<WatchState>,
    synced: Sender<bool>,
    index: Arc<Index>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// What the list under way has held so far.
    listed: Option<HashSet<Uid>>,
}

impl Sink {
    async fn run<K: Watched>(mut self, api: Api<K>) {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let mut events = std::pin::pin!(watch(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn take<K: Watched>(&mut self, event: Event<K>) {
        let now = self.clock.now();
        match event {
            // A list begins; that alone proves nothing.
            Event::Init => {
                self.listed = Some(HashSet::new());
                return;
            }
            Event::InitApply(object) => {
                if let (Some(listed), Some(uid)) = (&mut self.listed, object.identity()) {
                    listed.insert(uid);
                }
                object.put(&self.index, now);
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    K::retain(&self.index, self.state.namespace.as_deref(), &listed);
                }
                self.synced.send_replace(true);
            }
            Event::Apply(object) => object.put(&self.index, now),
            Event::Delete(object) => object.remove(&self.index, now),
        }
        self.state.works();
    }

    fn fail(&self, error: &watcher::Error) {
        let error = match error {
            watcher::Error::InitialListFailed(error) => self.state.call("list").explain(error),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                self.state.call("watch").explain(error)
            }
            watcher::Error::WatchError(status) => {
                self.state.call("watch").explain(&kube::Error::Api(status.clone()))
            }
            watcher::Error::NoResourceVersion => {
                let status =
                    kube::core::Status::failure("the answer has no metadata.resourceVersion", "Invalid");
                self.state.call("watch").explain(&kube::Error::Api(Box::new(status)))
            }
        };
        self.metrics.watch_failed(&self.state.resource, error.kind);
        // The history that a watch resumes from is cut off now and then; listing anew is the whole remedy.
        if error.kind == ApiErrorKind::Expired {
            tracing::debug!(resource = self.state.resource, %error, "the watch begins anew");
        } else {
            tracing::warn!(resource = self.state.resource, %error, "the watch failed; it is tried again");
        }
        self.state.failed(error);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use serde_json::json;
    use tokio::sync::mpsc::unbounded_channel;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::cluster::testing::{Answer, Asked, refusal, server};

    fn watches(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Watches {
        let (client, _) = server(answer);
        let (changes, _news) = unbounded_channel();
        let (index, metrics) = (Arc::new(Index::new(changes)), Arc::new(Metrics::new()));
        Watches::start(&client, &[], true, &index, &Clock::wall(), &metrics)
    }

    fn empty_list() -> Answer {
        let list =
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
        Answer::Json(200, list)
    }

    async fn seconds(seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn all_lists_but_the_optional_one_must_have_been_read() {
        let pods = Arc::new(AtomicBool::new(false));
        let ready = pods.clone();
        let watches = watches(move |asked| match asked.path.as_str() {
            path if path.contains("watch=true") => Answer::Silence(Duration::from_secs(60)),
            path if path.contains("/horizontalpodautoscalers") => refusal(403, "Forbidden", "no"),
            path if path.contains("/pods") && !ready.load(Ordering::SeqCst) => {
                refusal(503, "Unavailable", "later")
            }
            _ => empty_list(),
        });
        let health = watches.health();
        assert!(timeout(Duration::from_secs(100), health.synced()).await.is_err());
        assert_eq!(health.unsynced(), ["list pods"]);
        pods.store(true, Ordering::SeqCst);
        timeout(Duration::from_secs(60), health.synced()).await.unwrap();
        assert_eq!((health.unsynced().len(), health.blind()), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_at_once_is_begun_again_once_a_second() {
        let begun = Arc::new(AtomicU32::new(0));
        let count = begun.clone();
        let watches = watches(move |asked| match asked.path.as_str() {
            path if path.contains("/pods") && path.contains("watch=true") => {
                assert!(count.fetch_add(1, Ordering::SeqCst) < 1000, "without a pause no time passes at all");
                Answer::Silence(Duration::ZERO)
            }
            path if path.contains("watch=true") => Answer::Silence(Duration::from_secs(60)),
            _ => empty_list(),
        });
        watches.health().synced().await;
        seconds(60).await;
        assert!((58..=61).contains(&begun.load(Ordering::SeqCst)), "{begun:?}");
        assert_eq!(watches.health().blind(), None, "what happens is heard all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_for_a_minute_is_not_relied_on_until_it_works_again() {
        let broken = Arc::new(AtomicBool::new(false));
        let fails = broken.clone();
        let watches = watches(move |asked| match asked.path.as_str() {
            path if path.contains("/pods") && path.contains("watch=true") && fails.load(Ordering::SeqCst) => {
                refusal(500, "InternalError", "etcd is on fire")
            }
            path if path.contains("watch=true") => Answer::Silence(Duration::from_secs(60)),
            _ => empty_list(),
        });
        let health = watches.health();
        health.synced().await;
        seconds(600).await;
        assert_eq!(health.blind(), None, "nothing happens, and that is well");
        broken.store(true, Ordering::SeqCst);
        seconds(50).await;
        assert_eq!(health.blind(), None, "for a moment, what was seen last will do");
        seconds(100).await;
        let blind = health.blind().unwrap();
        assert!(
            blind.starts_with("pods have not been watched for") && blind.contains("etcd is on fire"),
            "{blind}"
        );
        broken.store(false, Ordering::SeqCst);
        seconds(200).await;
        assert_eq!(health.blind(), None);
    }
}
