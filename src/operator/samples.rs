//! What the metrics servers know of a workload's throughput, read behind the evaluations for the fit of its scalability
//! law.

use futures::future::try_join_all;
use tokio::sync::oneshot;

use super::signals::Signals;
use super::task::PolicyTask;
use crate::api::ScalabilityFit;
use crate::cluster::PolicyRecord;
use crate::control::{FitRules, Policy, ScalabilityLaw, ScalabilitySample, ScalabilityView};
use crate::number::count_of;
use crate::prometheus::Evaluation;
use crate::signal::{Answer, Moments, Reading};
use crate::time::{Span, Time};

/// A moment is asked for when what was measured up to it has been scraped and stored.
const SETTLED: Span = Span::from_seconds(30);
/// The most samples read at once; more follow with the next evaluations.
const MOST_SAMPLES: u32 = 4_000;

/// With so few windows still to read, all is known that matters: the next ones are always just due.
const CAUGHT_UP: u32 = 10;

/// What has been read, and what is under way.
#[derive(Default)]
pub(super) struct Samples {
    /// The queries that were asked.
    queries: Option<ScalabilityFit>,
    /// Up to where samples were read.
    read_to: Option<Time>,
    under_way: Option<(Time, oneshot::Receiver<Answered>)>,
    /// After a failure nothing is asked before.
    not_before: Option<Time>,
    /// Read, and not yet decided on.
    view: ScalabilityView,
}

type Answered = Result<Vec<ScalabilitySample>, String>;

impl PolicyTask {
    /// What was read since the evaluation before. Asks for what is there to read by now, without waiting for it.
    pub(super) fn samples(&mut self, record: &PolicyRecord, policy: &Policy, now: Time) -> ScalabilityView {
        let fitted = policy.scalability.as_ref().map(|scalability| &scalability.law);
        let Some(ScalabilityLaw::Fitted(rules)) = fitted else {
            self.state.samples = Samples::default();
            return ScalabilityView::default();
        };
        if self.state.samples.queries.as_ref() != Some(&rules.queries) {
            self.state.samples = Samples { queries: Some(rules.queries.clone()), ..Samples::default() };
        }
        self.state.samples.receive(rules, now);
        let since = self.state.memory.scalability_since();
        if let Some(moments) = since.and_then(|since| self.state.samples.wanted(rules, since, now)) {
            self.ask_for_samples(record, rules, moments);
        }
        self.state.samples.view.clone()
    }

    fn ask_for_samples(&mut self, record: &PolicyRecord, rules: &FitRules, moments: Moments) {
        let (sender, receiver) = oneshot::channel();
        let (context, gone) = (self.context.clone(), self.gone.clone());
        let (queries, namespace) = (rules.queries.clone(), record.key.namespace.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = gone.cancelled() => {}
                // Whoever asked may have gone.
                answer = read(context.signals.as_ref(), &namespace, &queries, moments) => drop(sender.send(answer)),
            }
        });
        let last = moments.at(moments.count.saturating_sub(1));
        self.state.samples.under_way = Some((last, receiver));
    }
}

impl Samples {
    /// What was handed out was decided on.
    pub(super) fn taken(&mut self) {
        self.view.samples.clear();
    }

    fn receive(&mut self, rules: &FitRules, now: Time) {
        let Some((to, receiver)) = &mut self.under_way else { return };
        let answer = match receiver.try_recv() {
            Ok(answer) => answer,
            Err(oneshot::error::TryRecvError::Empty) => return,
            Err(oneshot::error::TryRecvError::Closed) => Err("the question was broken off".to_owned()),
        };
        match answer {
            Ok(samples) => {
                self.read_to = Some(*to);
                self.view.samples.extend(samples);
                self.view.fault = None;
            }
            Err(sentence) => {
                self.not_before = Some(now + rules.window());
                self.view.fault = Some(sentence);
            }
        }
        self.under_way = None;
    }

    /// The next moments to read; none while there is nothing new. Whole windows are read, and the one before the first.
    fn wanted(&mut self, rules: &FitRules, since: Time, now: Time) -> Option<Moments> {
        let (window, step) = (rules.window(), rules.step());
        // What nobody takes, because the workload cannot be seen, does not pile up.
        let full = count_of(self.view.samples.len()) >= MOST_SAMPLES;
        if full
            || self.under_way.is_some()
            || self.not_before.is_some_and(|then| now < then && now + window >= then)
        {
            return None;
        }
        let settled = now - SETTLED;
        // A clock that was set back must not stop the reading.
        let read_to = self.read_to.filter(|read_to| *read_to <= settled + window);
        let oldest = now - rules.expires_after();
        let from = read_to.unwrap_or_else(|| (since - window).max(oldest));
        let last = Moments::within(from, settled, window);
        let end = last.at(last.count.checked_sub(1)?);
        let moments = Moments::within(from + Span::from_millis(1), end, step);
        self.view.complete = read_to.is_some() && moments.count <= CAUGHT_UP * FitRules::SAMPLES;
        let moments = Moments { count: moments.count.min(MOST_SAMPLES), ..moments };
        (moments.count > 0).then_some(moments)
    }
}

/// Asks for each of the queries over the same moments.
async fn read(
    signals: &dyn Signals,
    namespace: &str,
    queries: &ScalabilityFit,
    moments: Moments,
) -> Answered {
    let asked = [
        ("throughputQuery", Some(&queries.throughput_query)),
        ("readyReplicasQuery", Some(&queries.ready_replicas_query)),
        ("utilizationQuery", queries.utilization_query.as_ref()),
        ("saturation.query", queries.saturation.as_ref().map(|saturation| &saturation.query)),
        ("objective.query", queries.objective.as_ref().map(|objective| &objective.query)),
    ];
    let questions = asked.map(|(name, query)| (name, query.map(|query| question(query))));
    let answers = questions.iter().map(|(name, question)| async move {
        let Some(question) = question else { return Ok(Vec::new()) };
        let readings = signals.history(&queries.server, namespace, question, moments).await;
        readings.map(|readings| numbers(&readings)).map_err(|sentence| format!("{name}: {sentence}"))
    });
    let answers = try_join_all(answers).await?;
    let number = |query: usize, at: usize| *answers.get(query)?.get(at)?;
    let samples = moments.iter().enumerate().map(|(at, moment)| ScalabilitySample {
        at: moment,
        throughput: number(0, at),
        ready_replicas: number(1, at),
        utilization: number(2, at),
        saturation: number(3, at),
        objective: number(4, at),
    });
    Ok(samples.collect())
}

fn question(query: &str) -> Evaluation {
    Evaluation {
        query: query.to_owned(),
        freshness_query: None,
        max_age: Span::from_seconds(300),
        coverage: false,
        ask_age: false,
        newer_than: None,
    }
}

/// The number read at each moment; none where there was none, or more than one.
fn numbers(readings: &[Reading]) -> Vec<Option<f64>> {
    let number = |reading: &Reading| match reading.answer {
        Answer::Value(value) if value.is_finite() => Some(value),
        _ => None,
    };
    readings.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::signal::Age;

    fn rules() -> FitRules {
        FitRules {
            queries: ScalabilityFit {
                server: "main".to_owned(),
                throughput_query: "t".to_owned(),
                ready_replicas_query: "r".to_owned(),
                utilization_query: Some("u".to_owned()),
                saturation: None,
                objective: None,
                window_seconds: 120,
                expires_after_seconds: 86_400,
            },
            saturated_above: 0.0,
            objective_at_most: 0.0,
        }
    }

    fn at(seconds: i64) -> Time {
        Time::from_seconds(seconds)
    }

    #[test]
    fn whole_windows_are_read_once_they_are_settled() {
        let mut samples = Samples::default();
        let now = at(1_200_149);
        assert_eq!(samples.wanted(&rules(), at(1_200_000), now).map(|moments| moments.count), Some(8));
        let moments = samples.wanted(&rules(), at(1_200_000), at(1_200_150)).unwrap();
        assert_eq!((moments.first, moments.at(moments.count - 1)), (at(1_199_895), at(1_200_120)));
        assert!(!samples.view.complete);
        samples.read_to = Some(at(1_200_120));
        assert_eq!(samples.wanted(&rules(), at(1_200_000), at(1_200_200)), None);
        assert!(samples.view.complete);
        assert!(samples.wanted(&rules(), at(1_200_000), at(1_200_120 + 120 * 11 + 30)).is_some());
        assert!(!samples.view.complete, "what was missed meanwhile is still to be read");
        let next = samples.wanted(&rules(), at(1_200_000), at(1_200_270)).unwrap();
        assert_eq!((next.first, next.count), (at(1_200_135), 8));
        assert!(samples.view.complete, "a window that has just ended is no gap");
        let sample = |number| ScalabilitySample {
            at: at(number),
            throughput: None,
            ready_replicas: None,
            utilization: None,
            saturation: None,
            objective: None,
        };
        samples.view.samples = (0..i64::from(MOST_SAMPLES)).map(sample).collect();
        assert_eq!(samples.wanted(&rules(), at(1_200_000), at(1_200_270)), None, "nobody takes them");
    }

    #[test]
    fn the_past_is_read_in_pieces_and_only_as_far_as_it_counts() {
        let mut samples = Samples::default();
        let now = at(10_000_000);
        let first = samples.wanted(&rules(), at(0), now).unwrap();
        assert_eq!(first.count, MOST_SAMPLES);
        assert!(first.first > now - rules().expires_after());
        samples.read_to = Some(first.at(first.count - 1));
        let second = samples.wanted(&rules(), at(0), now).unwrap();
        assert_eq!(second.first, first.at(first.count - 1) + rules().step());
        assert!(second.count < MOST_SAMPLES);
    }

    #[test]
    fn after_a_failure_a_window_passes_before_it_is_asked_again() {
        let mut samples = Samples::default();
        let (sender, receiver) = oneshot::channel();
        samples.under_way = Some((at(100), receiver));
        drop(sender);
        samples.receive(&rules(), at(1_000));
        assert!(samples.view.fault.is_some());
        assert_eq!(samples.wanted(&rules(), at(0), at(1_100)), None);
        assert!(samples.wanted(&rules(), at(0), at(1_120)).is_some());
        samples.not_before = Some(at(9_000));
        assert!(
            samples.wanted(&rules(), at(0), at(1_200)).is_some(),
            "a clock that was set back does not stop it"
        );
    }

    /// Answers every query but one.
    struct AllButOne(&'static str);

    impl Signals for AllButOne {
        fn evaluate<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: &'a Evaluation,
            _: Time,
        ) -> BoxFuture<'a, Reading> {
            panic!("the present is not asked for")
        }

        fn history<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            evaluation: &'a Evaluation,
            moments: Moments,
        ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
            let known = evaluation.query != self.0;
            let value = |at: Time| Reading {
                answer: Answer::Value(at.since(Time::from_seconds(0)).seconds()),
                warnings: Vec::new(),
                age: Age::NotSampled,
                covered_pods: None,
            };
            let answer = if known {
                Ok(moments.iter().map(value).collect())
            } else {
                Err("no such server".to_owned())
            };
            Box::pin(async move { answer })
        }
    }

    #[tokio::test]
    async fn samples_hold_what_each_query_said_and_what_cannot_be_read_is_named() {
        let moments = Moments { first: at(30), step: Span::from_seconds(15), count: 2 };
        let read = async |signals: AllButOne| read(&signals, "shop", &rules().queries, moments).await;
        let samples = read(AllButOne("none")).await.unwrap();
        assert_eq!(samples.iter().map(|sample| sample.at).collect::<Vec<_>>(), [at(30), at(45)]);
        assert_eq!(samples[1].throughput, Some(45.0));
        assert_eq!((samples[1].utilization, samples[1].objective), (Some(45.0), None));
        assert_eq!(read(AllButOne("u")).await, Err("utilizationQuery: no such server".to_owned()));
    }
}
