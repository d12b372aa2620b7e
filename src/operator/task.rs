//! One policy's task: evaluate, wait, evaluate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::budgets::Budgets;
use super::burn_rates::BurnRates;
use super::clock::Clock;
use super::forecasts::Forecasts;
use super::history::Recall;
use super::lessons::Lessons;
use super::notices::Budget as EventBudget;
use super::recalled::Recalled;
use super::record::Recorder;
use super::samples::Samples;
use super::schedule::Schedule;
use super::signals::Signals;
use crate::api::ChangeStatus;
use crate::cluster::{Authority, Events, Index, PolicyKey, PolicyRecord, Scales, Uid, Viewer, Written};
use crate::control::{BudgetShare, Decision, Memory, Observation, Policy, Recollection};
use crate::telemetry::Metrics;
use crate::time::Time;

/// The interval of a policy whose own cannot be read.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// What comes together in one `kubectl apply` is seen within this time.
const MOMENT: Duration = Duration::from_millis(300);

/// What decides.
pub(super) type Decide = fn(&Policy, &Observation, Memory, Time) -> (Decision, Memory);

/// What every task uses.
pub(super) struct Context {
    pub client: Client,
    pub authority: Authority,
    pub index: Arc<Index>,
    pub viewer: Viewer,
    pub scales: Scales,
    pub signals: Arc<dyn Signals>,
    pub budgets: Budgets,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub events: Events,
    pub recorder: Option<Recorder>,
    pub instance: String,
    /// Held while speaking to the API server, never while a metrics server is asked.
    pub writers: Semaphore,
    /// Held while a forecast is fitted.
    pub fits: Semaphore,
    pub origin: Instant,
    pub decide: Decide,
    pub stop: CancellationToken,
}

/// When a task evaluates first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// In a moment: the policy is new, and its workload perhaps as well.
    Soon,
    /// At the policy's own point in the interval: the operator is new.
    OnGrid,
}

/// One policy's task.
pub(super) struct PolicyTask {
    pub context: Arc<Context>,
    key: PolicyKey,
    uid: Uid,
    edited: Arc<Notify>,
    pub gone: CancellationToken,
    schedule: Schedule,
    pub state: State,
}

/// What is remembered from one evaluation to the next.
pub(super) struct State {
    pub memory: Memory,
    /// What was asked about the time before, until it is answered.
    pub recall: Option<Recall>,
    /// What became of that since the last evaluation.
    pub recollection: Option<Recollection>,
    /// What is read for the fit of the scalability law.
    pub samples: Samples,
    /// What is read to learn headroom from.
    pub lessons: Lessons,
    /// What is read of the error budget.
    pub slo: BurnRates,
    /// What the metrics will do.
    pub forecasts: Forecasts,
    /// The shares of budgets at the last evaluation.
    pub recalls: Option<Vec<BudgetShare>>,
    /// What was known from before.
    pub recalled: Recalled,
    /// Nothing has been decided yet.
    pub first: bool,
    /// The policy of a generation, as compiled.
    pub compiled: Option<(i64, Result<Arc<Policy>, String>)>,
    pub evaluations: u64,
    /// The moment for which signals were asked last.
    pub asked: Option<Time>,
    /// The last decision waits for an age.
    pub wants_age: bool,
    /// A write was tried, so the watch may be behind.
    pub wrote: bool,
    /// Departures told so far.
    pub departures: u64,
    /// Changes made, newest first.
    pub changes: VecDeque<ChangeStatus>,
    pub written: Written,
    pub budget: EventBudget,
}

impl PolicyTask {
    pub(super) fn new(
        context: Arc<Context>,
        record: &PolicyRecord,
        edited: Arc<Notify>,
        gone: CancellationToken,
    ) -> Self {
        let status = context.index.take_status(&record.key).map(|status| *status);
        let changes: VecDeque<_> =
            status.iter().flat_map(|status| status.last_changes.iter().cloned()).collect();
        let recalled = status.as_ref().map(Recalled::of).unwrap_or_default();
        let state = State {
            memory: recalled.memory(),
            recalled,
            recall: None,
            recollection: None,
            samples: Samples::default(),
            lessons: Lessons::default(),
            slo: BurnRates::default(),
            forecasts: Forecasts::default(),
            recalls: None,
            first: true,
            compiled: None,
            evaluations: 0,
            asked: None,
            wants_age: false,
            wrote: false,
            departures: 0,
            changes,
            written: Written::found(status),
            budget: EventBudget::default(),
        };
        let schedule = Schedule::new(context.origin, record.uid);
        Self { context, key: record.key.clone(), uid: record.uid, edited, gone, schedule, state }
    }

    /// Evaluates at the policy's interval until the policy goes or the operator stops.
    pub(super) async fn run(mut self, begin: Begin) {
        let now = Instant::now();
        let mut due = match (begin, self.record()) {
            (Begin::OnGrid, Some(record)) => self.schedule.first(interval(&record), now),
            _ => now + MOMENT,
        };
        if let Some(record) = self.record() {
            self.ask_history(&record);
        }
        loop {
            tokio::select! {
                () = self.gone.cancelled() => return,
                () = sleep_until(due) => {}
                () = self.edited.notified() => due = Instant::now(),
                waited_for = history(&mut self.state.recall) => {
                    if !waited_for {
                        continue;
                    }
                    due = Instant::now();
                }
            }
            let Some(record) = self.record() else { return };
            let started = Instant::now();
            // On the heap, and only while it lasts: thousands of tasks do nothing but wait.
            let again = Box::pin(self.evaluate(&record)).await;
            if self.gone.is_cancelled() {
                return;
            }
            self.context.metrics.evaluated(started.elapsed(), started - due);
            due = self.schedule.next(interval(&record), Instant::now(), again);
        }
    }

    /// The policy as it is now; none if it went.
    fn record(&self) -> Option<Arc<PolicyRecord>> {
        self.context.index.policy(&self.key).filter(|record| record.uid == self.uid)
    }
}

/// Waits until the history is there, and tells whether a scale-in waits for it.
async fn history(recall: &mut Option<Recall>) -> bool {
    match recall {
        Some(recall) => {
            recall.arrives().await;
            recall.waited_for
        }
        None => std::future::pending().await,
    }
}

fn interval(record: &PolicyRecord) -> Duration {
    record
        .spec
        .as_ref()
        .map_or(DEFAULT_INTERVAL, |spec| Duration::from_secs(spec.polling_interval.max(1).into()))
}
