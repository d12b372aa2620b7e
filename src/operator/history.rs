//! What the metrics servers still know of the time before a task began, asked once, beside the evaluations.

use futures::future::try_join_all;
use tokio::sync::oneshot;

use super::evaluation::questions;
use super::task::{PolicyTask, State};
use crate::api::{ChangeStatus, ScalingPolicyStatus};
use crate::cluster::{PolicyRecord, moment};
use crate::control::{
    Change, History, Observation, PastCounts, Policy, Reason, Recollection, ScalabilityView, Workload,
};
use crate::signal::{Moments, Reading};
use crate::time::Time;

/// Evaluations remembered while an answer is awaited; after so many the window has mostly passed by itself.
const MOST_LIVED: usize = 128;

/// A question about the time before a task began.
pub(super) struct Recall {
    /// The generation of the spec that was asked for.
    generation: i64,
    moments: Moments,
    counts: PastCounts,
    stage: Stage,
    /// What was seen since, and when.
    lived: Vec<(Time, Observation)>,
    /// A scale-in waits for nothing but the answer.
    pub waited_for: bool,
}

type Answer = Result<Vec<Vec<Reading>>, String>;

enum Stage {
    Asked(oneshot::Receiver<Answer>),
    Answered(Answer),
}

impl Recall {
    /// Waits for the answer; for ever if it is there already.
    pub(super) async fn arrives(&mut self) {
        let Stage::Asked(receiver) = &mut self.stage else { return std::future::pending().await };
        let broken_off = |_| Err("the question was broken off".to_owned());
        self.stage = Stage::Answered(receiver.await.unwrap_or_else(broken_off));
    }

    fn arrived(&mut self) -> Option<Answer> {
        if let Stage::Asked(receiver) = &mut self.stage {
            let answer = match receiver.try_recv() {
                Ok(answer) => answer,
                Err(oneshot::error::TryRecvError::Empty) => return None,
                Err(oneshot::error::TryRecvError::Closed) => Err("the question was broken off".to_owned()),
            };
            self.stage = Stage::Answered(answer);
        }
        match &mut self.stage {
            Stage::Asked(_) => None,
            Stage::Answered(answer) => Some(std::mem::replace(answer, Ok(Vec::new()))),
        }
    }
}

impl PolicyTask {
    /// Asks for what the scale-in window and the smoothing would remember had the operator never stopped. A policy is
    /// only asked about for the time in which it stood as it stands.
    pub(super) fn ask_history(&mut self, record: &PolicyRecord) {
        let (Ok(spec), Ok(policy)) = (&record.spec, self.compiled(record)) else { return };
        let now = self.context.clock.now();
        let needed = policy.history_needed(&self.state.memory, now);
        let from = (now - needed).max(record.edited);
        let moments = Moments::within(from, now, policy.polling_interval);
        if moments.count == 0 {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        let (context, gone) = (self.context.clone(), self.gone.clone());
        let (spec, namespace) = (spec.clone(), record.key.namespace.clone());
        tokio::spawn(async move {
            let questions = questions(&spec, true, None);
            let asked = spec.metrics.iter().zip(&questions).map(|(metric, question)| {
                context.signals.history(&metric.prometheus.server, &namespace, question, moments)
            });
            tokio::select! {
                () = gone.cancelled() => {}
                // Whoever asked may have gone.
                answer = try_join_all(asked) => drop(sender.send(answer)),
            }
        });
        self.state.memory.await_history();
        self.state.recollection = Some(Recollection::Awaited);
        self.state.recall = Some(Recall {
            generation: record.generation,
            moments,
            counts: past_counts(self.state.written.last(), &self.state.changes),
            stage: Stage::Asked(receiver),
            lived: Vec::new(),
            waited_for: false,
        });
    }

    /// Puts what has arrived into memory. `workload` is the workload as it is now.
    pub(super) fn recollect(
        &mut self,
        record: &PolicyRecord,
        policy: &Policy,
        workload: &Workload,
        now: Time,
    ) {
        let Some(recall) = &mut self.state.recall else { return };
        let recollection = if recall.generation != record.generation {
            Recollection::Refused("the policy was edited meanwhile".to_owned())
        } else if recall.lived.len() >= MOST_LIVED {
            Recollection::Refused("it took too long".to_owned())
        } else {
            match recall.arrived() {
                None => return,
                Some(Err(sentence)) => Recollection::Refused(sentence),
                Some(Ok(readings)) => Recollection::Known(Box::new(History {
                    moments: recall.moments,
                    readings,
                    counts: recall.counts.clone(),
                })),
            }
        };
        let lived = std::mem::take(&mut recall.lived);
        self.state.recall = None;
        match &recollection {
            Recollection::Known(history) => {
                let memory = std::mem::take(&mut self.state.memory);
                self.state.memory = memory.with_history(policy, history, &lived, workload, now);
                tracing::debug!(policy = %record.key, moments = history.moments.count, "history read");
            }
            Recollection::Refused(sentence) => {
                self.state.memory.without_history(sentence);
                tracing::info!(policy = %record.key, reason = sentence, "history not read: nothing is removed for one scale-down window");
            }
            Recollection::Awaited => {}
        }
        self.state.recollection = Some(recollection);
    }
}

impl State {
    /// Keeps what was seen, as long as the history is awaited.
    pub(super) fn live_through(
        &mut self,
        observation: &Observation,
        now: Time,
        steps: &[crate::control::Step],
    ) {
        let Some(recall) = &mut self.recall else { return };
        let seen = Observation { scalability: ScalabilityView::default(), ..observation.clone() };
        recall.lived.push((now, seen));
        recall.waited_for = steps.iter().any(|step| step.reason == Reason::HistoryPending);
    }
}

/// The counts that a status tells of.
fn past_counts<'a>(
    status: Option<&ScalingPolicyStatus>,
    changes: impl IntoIterator<Item = &'a ChangeStatus, IntoIter: DoubleEndedIterator>,
) -> PastCounts {
    let change =
        |change: &ChangeStatus| Change { time: moment(change.time.0), from: change.from, to: change.to };
    let stood = status.and_then(|status| Some((moment(status.as_of.as_ref()?.0), status.current_replicas?)));
    PastCounts { changes: changes.into_iter().rev().map(change).collect(), stood }
}
