//! An operator's life: look, wait until all is there, work, stop.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::budgets::{Arbiter, Budgets};
use super::clock::Clock;
use super::leader::Elector;
use super::options::Options;
use super::record::Recorder;
use super::signals::Signals;
use super::supervisor::{Supervisor, TICK};
use super::task::Context;
use crate::cluster::{
    ApiError, Authority, Events, Index, Preflight, Publisher, Scales, Viewer, WatchHealth, Watches,
    preflight, read_statuses,
};
use crate::control::decide;
use crate::telemetry::{Health, Metrics, serve};

/// Evaluations that may speak to the API server at once.
const CONCURRENT_WRITERS: usize = 32;
/// How long writes under way may take once the operator stops.
const GRACE: Duration = Duration::from_secs(15);
/// The longest wait between two looks for the custom resource definition.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why an operator cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The API server refuses what the operator needs.
    #[error("{0}")]
    Refused(ApiError),
    /// Decisions cannot be recorded.
    #[error("decisions cannot be recorded: {0}")]
    Record(io::Error),
    /// A watch ended, which is a defect.
    #[error("a watch ended unexpectedly: this is a defect of the operator; its log tells more")]
    WatchEnded,
}

/// Runs an operator until `stop` is cancelled; then writes under way may end, within a bound.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<(), RunError> {
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new()));
    let signals = options.signals.clone();
    metrics.publish_queries(move || signals.statistics());
    let mut beside = JoinSet::new();
    let last = CancellationToken::new();
    let _last = last.clone().drop_guard();
    if let Some(listener) = options.listener {
        beside.spawn(serve(listener, health.clone(), metrics.clone(), last));
    }
    let recording = options.record.as_deref().map(Recorder::start).transpose().map_err(RunError::Record)?;
    let (recorder, writer) = recording.unzip();
    let autoscalers = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        ready = alive(&health, ready(&client, &options.namespaces, &health)) => ready?,
    };

    let (elector, authority) = options
        .election
        .map(|election| Elector::new(election, client.clone(), options.clock.clone()))
        .unzip();
    let authority = authority.unwrap_or_default();
    let (events, publisher) = Events::new(client.clone(), authority.clone());
    let publishing = tokio::spawn(publish(publisher, metrics.clone()));
    let operator = Operator {
        client,
        authority,
        namespaces: options.namespaces,
        autoscalers,
        signals: options.signals,
        clock: options.clock,
        health,
        metrics,
        events,
        recorder,
        instance: options.instance,
    };
    let result = operator.serve(elector, &stop).await;
    // With the operator the last way to hand in events goes, and the publisher ends.
    drop(operator);
    let _ = timeout(GRACE, publishing).await;
    if let Some(writer) = writer {
        // The same goes for recordings; a disk that hangs is not waited for.
        let _ = timeout(GRACE, tokio::task::spawn_blocking(|| writer.join())).await;
    }
    result
}

/// What lasts for an operator's whole life.
struct Operator {
    client: Client,
    authority: Authority,
    namespaces: Vec<String>,
    autoscalers: bool,
    signals: Arc<dyn Signals>,
    clock: Clock,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    events: Events,
    recorder: Option<Recorder>,
    instance: String,
}

impl Operator {
    /// Looks, waits for its turn, works; and begins anew when it leads no more.
    async fn serve(&self, mut elector: Option<Elector>, stop: &CancellationToken) -> Result<(), RunError> {
        loop {
            // What one term learnt is not carried into the next: another may have led in between.
            let term = stop.child_token();
            let ended = Box::pin(self.term(elector.as_mut(), &term)).await;
            self.metrics.leading(false);
            match ended {
                Ok(()) if stop.is_cancelled() => return Ok(()),
                Ok(()) => {}
                Err(error) => {
                    stop.cancel();
                    return Err(error);
                }
            }
        }
    }

    /// One term: until `term` is cancelled, or another leads.
    async fn term(&self, elector: Option<&mut Elector>, term: &CancellationToken) -> Result<(), RunError> {
        let (changes, news) = unbounded_channel();
        let index = Arc::new(Index::new(changes.clone()));
        let mut watches = Watches::start(
            &self.client,
            &self.namespaces,
            self.autoscalers,
            &index,
            &self.clock,
            &self.metrics,
        );
        let watching = watches.health();
        self.health.watching(watching.clone());
        let context = Arc::new(Context {
            viewer: Viewer::new(index.clone(), watches.health()),
            scales: Scales::new(self.client.clone(), self.authority.clone()),
            client: self.client.clone(),
            authority: self.authority.clone(),
            index: index.clone(),
            signals: self.signals.clone(),
            budgets: Budgets::new(self.clock.clone()),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            events: self.events.clone(),
            recorder: self.recorder.clone(),
            instance: self.instance.clone(),
            writers: Semaphore::new(CONCURRENT_WRITERS),
            fits: Semaphore::new(1),
            origin: Instant::now(),
            decide,
            stop: term.clone(),
        });
        let arbiter = Arbiter::new(context.clone());
        let mut supervisor = Supervisor::new(context, self.health.clone(), changes, news);
        let mut elector = elector;
        let work = async {
            alive(&self.health, synced(&watching)).await;
            if let Some(elector) = elector.as_deref_mut() {
                alive(&self.health, elector.lead()).await;
                let work = async {
                    alive(&self.health, self.catch_up(&index)).await;
                    self.metrics.leading(true);
                    tokio::join!(supervisor.work(), arbiter.work(&self.namespaces));
                };
                tokio::select! {
                    () = elector.stay() => {}
                    () = work => {}
                }
            } else {
                self.metrics.leading(true);
                tokio::join!(supervisor.work(), arbiter.work(&self.namespaces));
            }
        };
        let result = tokio::select! {
            () = term.cancelled() => Ok(()),
            () = watches.ended() => Err(RunError::WatchEnded),
            () = work => Ok(()),
        };
        if term.is_cancelled() || result.is_err() {
            self.health.stopping();
            tracing::info!("stopping: writes under way may end");
        }
        term.cancel();
        let finished = timeout(GRACE, supervisor.finish()).await.is_ok();
        if !finished {
            tracing::warn!("stopped before every write had ended");
        } else if let Some(elector) = elector {
            elector.resign().await;
        }
        result
    }

    /// Reads what the predecessor wrote last: a watch may be behind.
    async fn catch_up(&self, index: &Index) {
        let mut wait = Duration::from_secs(1);
        while let Err(error) = read_statuses(&self.client, &self.namespaces, index).await {
            tracing::warn!(%error, "the policies' statuses could not be read; it is tried again");
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// Waiting is no death.
async fn alive<T>(health: &Health, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        health.tick();
        if let Ok(done) = timeout(TICK, &mut work).await {
            return done;
        }
    }
}

async fn synced(watches: &WatchHealth) {
    let started = Instant::now();
    let synced = watches.synced();
    let mut synced = std::pin::pin!(synced);
    while timeout(Duration::from_secs(10), &mut synced).await.is_err() {
        let missing = watches.unsynced().join(", ");
        tracing::info!(missing, waited = started.elapsed().as_secs(), "waiting for the first lists");
    }
    tracing::info!("all lists are read");
}

/// Waits until the API server answers and has everything that is needed. Tells whether HorizontalPodAutoscalers can be seen.
///
/// To end for want of an answer would hand the waiting to the kubelet, which restarts ever more seldom.
async fn ready(client: &Client, namespaces: &[String], health: &Health) -> Result<bool, RunError> {
    let mut wait = Duration::from_secs(1);
    loop {
        match preflight(client, namespaces).await {
            Ok(Preflight::Ready(None)) => return Ok(true),
            Ok(Preflight::Ready(Some(error))) => {
                tracing::warn!(
                    %error,
                    "HorizontalPodAutoscalers cannot be seen, so a policy does not notice one on the same workload; \
                     after a change of the role restart the operator"
                );
                return Ok(false);
            }
            Ok(Preflight::NotInstalled) => {
                let remedy = "install it with: plimsoll crd | kubectl apply --server-side -f -";
                tracing::warn!(
                    remedy,
                    "the custom resource definition scalingpolicies.plimsoll.dev is not installed"
                );
                health.wait_for(format!("the custom resource definition: {remedy}"));
            }
            Err(error) if error.kind.passes() => {
                tracing::warn!(%error, "the API server cannot be asked yet; it is tried again");
                health.wait_for(format!("the API server: {error}"));
            }
            Err(error) => return Err(RunError::Refused(error)),
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Publishes events. What cannot be published is only logged: nothing depends on it.
async fn publish(publisher: Publisher, metrics: Arc<Metrics>) {
    let told = |published: Result<(), ApiError>| {
        if let Err(error) = &published {
            tracing::warn!(%error, "an event was not published");
        }
        metrics.event_published(published.map_err(|error| error.kind));
    };
    publisher.run(told).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use serde_json::json;

    use super::*;
    use crate::cluster::testing::{Answer, refusal, server};

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_cannot_answer_yet_is_waited_for() {
        let answers = AtomicU32::new(0);
        let (client, log) = server(move |asked| {
            match (asked.path.contains("watch=true"), answers.fetch_add(1, SeqCst)) {
                (_, 0) => refusal(503, "ServiceUnavailable", "starting"),
                // What a real server says of a kind that was defined a moment ago.
                (true, 1..=4) => refusal(429, "TooManyRequests", "storage is (re)initializing"),
                (true, _) => Answer::Silence(Duration::from_secs(1)),
                (false, _) => Answer::Json(
                    200,
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}),
                ),
            }
        });
        let health = Health::default();
        assert!(ready(&client, &[], &health).await.unwrap());
        assert!(log.about("scalingpolicies").len() >= 5, "{:?}", log.all());
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_refuses_is_not_waited_for() {
        let (client, log) = server(|_| refusal(403, "Forbidden", "no"));
        let refused = ready(&client, &[], &Health::default()).await.unwrap_err();
        assert!(matches!(refused, RunError::Refused(_)), "{refused}");
        assert_eq!(log.all().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_waits_for_long_is_alive() {
        let health = Arc::new(Health::default());
        let watched = health.clone();
        let waiting = tokio::spawn(async move { alive(&watched, sleep(Duration::from_hours(1))).await });
        for _ in 0..100 {
            sleep(Duration::from_secs(33)).await;
            assert_eq!(health.dead(), None);
        }
        waiting.await.unwrap();
    }
}
