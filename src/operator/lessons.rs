//! The last day of the metrics that tell of load, read once behind the evaluations: headroom is learnt from it, so that a
//! restart forgets nothing and a new policy knows its load from the beginning.

use futures::future::join_all;
use tokio::sync::oneshot;

use super::evaluation::questions;
use super::task::PolicyTask;
use crate::cluster::PolicyRecord;
use crate::control::{Lesson, Policy, Signal};
use crate::signal::{Moments, Reading};
use crate::time::{Span, Time};

/// How much of the past is read.
const ONE_DAY: Span = Span::from_seconds(86_400);
/// From one value to the next.
const STEP: Span = Span::from_seconds(30);
/// After a start, policies ask one after the other within this time.
const SPREAD: Span = Span::from_seconds(120);

/// What has been read, and what is under way.
#[derive(Default)]
pub(super) struct Lessons {
    /// The generation that was asked for last.
    generation: Option<i64>,
    not_before: Option<Time>,
    under_way: Option<oneshot::Receiver<Vec<Lesson>>>,
    read: Vec<Lesson>,
}

impl Lessons {
    /// What was read has been learnt.
    pub(super) fn taken(&mut self) {
        self.read.clear();
    }
}

impl PolicyTask {
    /// What there is to learn from since the last evaluation. Nothing waits for it.
    pub(super) fn lessons(&mut self, record: &PolicyRecord, policy: &Policy, now: Time) -> Vec<Lesson> {
        let lessons = &mut self.state.lessons;
        if let Some(read) = lessons.under_way.as_mut().and_then(|receiver| receiver.try_recv().ok()) {
            lessons.under_way = None;
            lessons.read = read;
        }
        let due = *lessons.not_before.get_or_insert_with(|| now + policy.spread_over(SPREAD));
        // Another query has another past.
        if lessons.generation != Some(record.generation) && now >= due {
            lessons.generation = Some(record.generation);
            self.ask_for_lessons(record, policy, now);
        }
        self.state.lessons.read.clone()
    }

    fn ask_for_lessons(&mut self, record: &PolicyRecord, policy: &Policy, now: Time) {
        let Ok(spec) = &record.spec else { return };
        let moments = Moments::within(now - ONE_DAY, now, STEP);
        let (sender, receiver) = oneshot::channel();
        let (context, gone) = (self.context.clone(), self.gone.clone());
        let (spec, namespace) = (spec.clone(), record.key.namespace.clone());
        let signals: Vec<Signal> = policy.signals.clone();
        tokio::spawn(async move {
            let questions = questions(&spec, false, None);
            let asked =
                spec.metrics.iter().zip(&questions).zip(&signals).filter(|(_, signal)| signal.tells_load());
            let asked = asked.map(async |((metric, question), signal)| {
                let server = &metric.prometheus.server;
                let readings = context.signals.history(server, &namespace, question, moments).await;
                readings.map(|readings| lesson(signal, moments, &readings))
            });
            tokio::select! {
                () = gone.cancelled() => {}
                read = join_all(asked) => {
                    for fault in read.iter().filter_map(|read| read.as_ref().err()) {
                        tracing::info!(namespace, reason = fault, "the last day was not read: headroom is learnt from now on");
                    }
                    // Whoever asked may have gone.
                    drop(sender.send(read.into_iter().flatten().collect()));
                }
            }
        });
        self.state.lessons.under_way = Some(receiver);
    }
}

fn lesson(signal: &Signal, moments: Moments, readings: &[Reading]) -> Lesson {
    let values = readings.iter().map(|reading| signal.load(reading)).collect();
    Lesson { metric: signal.name.clone(), moments, values }
}
