//! Forecasts, made behind the evaluations: the past is read range by range, the model fitted on a thread of its own, and what
//! comes of it is kept until the next fit.

use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::evaluation::questions;
use super::task::{Context, PolicyTask};
use crate::api::ScalingPolicySpec;
use crate::cluster::PolicyRecord;
use crate::control::{Forecasting, Foreseen, Policy, Signal};
use crate::forecast::{ForecastRules, ForecastState, REFIT, Unforeseen, UnforeseenKind};
use crate::prometheus::Evaluation;
use crate::signal::{Moments, Reading};
use crate::time::{Span, Time};

/// After a fault.
const AGAIN: Span = Span::from_seconds(600);
/// After a start, policies ask one after the other within this time.
const SPREAD: Span = Span::from_seconds(300);

/// What is known of what the metrics of a policy will do.
#[derive(Default)]
pub(super) struct Forecasts {
    /// The generation that was fitted last.
    generation: Option<i64>,
    due: Option<Time>,
    under_way: Option<oneshot::Receiver<Vec<Known>>>,
    known: Vec<Known>,
}

/// What is known of one metric.
#[derive(Default)]
struct Known {
    subject: Subject,
    state: ForecastState,
    foreseen: Option<Foreseen>,
}

/// What a past is of: another query, or another target, has another.
#[derive(Clone, Debug, Default, PartialEq)]
struct Subject {
    metric: String,
    server: String,
    query: String,
    target: f64,
}

impl Known {
    /// Fits what has been read, or keeps what there is and says why it is not newer.
    fn fit(
        mut self,
        rules: &ForecastRules,
        read: Result<(Moments, Vec<Option<f64>>), String>,
        now: Time,
    ) -> Self {
        let fitted = match read {
            Ok((moments, needs)) => {
                self.state.learn(rules, moments, needs);
                self.state.fit(rules, now)
            }
            Err(fault) => Err(Unforeseen::new(
                UnforeseenKind::Unreadable,
                format!("its past could not be read: {fault}"),
            )),
        };
        self.foreseen = Some(Foreseen::after(self.foreseen.take(), &self.subject.metric, fitted));
        self
    }

    fn failed(&self) -> bool {
        let fault = self.foreseen.as_ref().and_then(|foreseen| foreseen.fault.as_ref());
        fault.is_some_and(|fault| fault.kind == UnforeseenKind::Unreadable)
    }
}

impl PolicyTask {
    /// What is known of what the metrics will do, as of the newest fits. Nothing waits for it.
    pub(super) fn forecasts(&mut self, record: &PolicyRecord, policy: &Policy, now: Time) -> Vec<Foreseen> {
        let Some(rules) = &policy.forecast else {
            self.state.forecasts = Forecasts::default();
            return Vec::new();
        };
        let forecasts = &mut self.state.forecasts;
        match forecasts.under_way.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(known)) => {
                forecasts.under_way = None;
                let next = if known.iter().any(Known::failed) { AGAIN } else { REFIT };
                forecasts.due = Some(now + next);
                forecasts.known = known;
            }
            Some(Err(oneshot::error::TryRecvError::Closed)) => {
                forecasts.under_way = None;
                forecasts.due = Some(now + AGAIN);
            }
            Some(Err(oneshot::error::TryRecvError::Empty)) | None => {}
        }
        let due = *forecasts.due.get_or_insert_with(|| now + policy.spread_over(SPREAD));
        let edited = forecasts.generation.is_some_and(|generation| generation != record.generation);
        if forecasts.under_way.is_none()
            && (now >= due || edited)
            && let Ok(spec) = &record.spec
        {
            forecasts.generation = Some(record.generation);
            let known = known_of(std::mem::take(&mut forecasts.known), spec, policy, rules);
            // What was foreseen is told until something newer is there.
            forecasts.known = told(&known);
            self.foresee(record, spec, policy, rules, known, now);
        }
        self.state.forecasts.known.iter().filter_map(|known| known.foreseen.clone()).collect()
    }

    fn foresee(
        &mut self,
        record: &PolicyRecord,
        spec: &ScalingPolicySpec,
        policy: &Policy,
        rules: &Forecasting,
        known: Vec<Known>,
        now: Time,
    ) {
        let (sender, receiver) = oneshot::channel();
        let (context, gone) = (self.context.clone(), self.gone.clone());
        let (namespace, rules) = (record.key.namespace.clone(), rules.rules);
        let questions = questions(spec, false, None);
        let asked: Vec<_> = known
            .into_iter()
            .filter_map(|known| {
                let at = policy.signals.iter().position(|signal| signal.name == known.subject.metric)?;
                Some((known, policy.signals.get(at)?.clone(), questions.get(at)?.clone()))
            })
            .collect();
        tokio::spawn(async move {
            let each = asked.into_iter().map(|(known, signal, question)| {
                read_and_fit(&context, &namespace, &rules, known, signal, question, now)
            });
            tokio::select! {
                () = gone.cancelled() => {}
                // Whoever asked may have gone.
                known = join_all(each) => drop(sender.send(known.into_iter().flatten().collect())),
            }
        });
        self.state.forecasts.under_way = Some(receiver);
    }
}

/// Reads what is not known yet of a metric's past, and fits it. None if the model broke: then everything begins anew.
async fn read_and_fit(
    context: &Context,
    namespace: &str,
    rules: &ForecastRules,
    known: Known,
    signal: Signal,
    question: Evaluation,
    now: Time,
) -> Option<Known> {
    let moments = known.state.missing(rules, now);
    let server = known.subject.server.clone();
    let readings = if moments.count == 0 {
        Ok(Vec::new())
    } else {
        context.signals.history(&server, namespace, &question, moments).await
    };
    let need = |reading: &Reading| Some(signal.load(reading)? / signal.target);
    let read = readings.map(|readings| (moments, readings.iter().map(need).collect()));
    if let Err(fault) = &read {
        tracing::info!(
            namespace,
            metric = signal.name,
            reason = fault,
            "the past was not read: no newer forecast"
        );
    }
    // One fit at a time: a fleet's forecasts take what is left of the processor, never all of it. The semaphore is never
    // closed.
    let _fitting = context.fits.acquire().await;
    let rules = *rules;
    let fitted = spawn_blocking(move || known.fit(&rules, read, now)).await;
    fitted.inspect_err(|fault| tracing::error!(namespace, %fault, "a forecast broke")).ok()
}

/// What is known of each metric that a forecast is made of, in the policy's order.
fn known_of(
    mut before: Vec<Known>,
    spec: &ScalingPolicySpec,
    policy: &Policy,
    rules: &Forecasting,
) -> Vec<Known> {
    let metrics = spec.metrics.iter().zip(&policy.signals).filter(|(_, signal)| rules.is_about(signal));
    metrics
        .map(|(metric, signal)| {
            let subject = Subject {
                metric: signal.name.clone(),
                server: metric.prometheus.server.clone(),
                query: metric.prometheus.query.clone(),
                target: signal.target,
            };
            let at = before.iter().position(|known| known.subject == subject);
            at.map_or_else(|| Known { subject, ..Known::default() }, |at| before.swap_remove(at))
        })
        .collect()
}

/// What to tell while it is made anew.
fn told(known: &[Known]) -> Vec<Known> {
    let kept = |known: &Known| Known {
        subject: known.subject.clone(),
        state: ForecastState::default(),
        foreseen: known.foreseen.clone(),
    };
    known.iter().map(kept).collect()
}
