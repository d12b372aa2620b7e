//! How fast an error budget burns, asked at each evaluation for the shortest window and seldom for the long ones, which
//! change slowly and cost the server most.

use futures::future::join_all;

use super::signals::Signals;
use super::spans;
use crate::api::{Slo, WINDOW};
use crate::control::BURN_WINDOWS;
use crate::prometheus::Evaluation;
use crate::signal::{Age, Answer, Reading};
use crate::time::{Span, Time};

/// A window is asked about again when so much of it has passed.
const REFRESH_SHARE: u64 = 60;
/// And after a failure at the latest after this time: a question about days that a server cannot answer must not be put to
/// it at each evaluation.
const RETRY: Span = Span::from_seconds(60);

/// What was read of an objective.
#[derive(Debug, Default)]
pub(super) struct BurnRates {
    slo: Option<Slo>,
    /// For each of [`BURN_WINDOWS`], when it was asked, and the answer.
    // No array of that length: builds of rustc 1.95 that are not incremental, such as releases, see a cycle in its constant.
    read: Vec<Option<(Time, Reading)>>,
}

impl BurnRates {
    /// The share of bad events in each of [`BURN_WINDOWS`]; nothing where no objective is declared.
    pub(super) async fn read(
        &mut self,
        signals: &dyn Signals,
        namespace: &str,
        slo: Option<&Slo>,
        ask_age: bool,
        now: Time,
    ) -> Vec<Reading> {
        if self.slo.as_ref() != slo {
            *self = Self { slo: slo.cloned(), ..Self::default() };
        }
        let Some(slo) = slo else { return Vec::new() };
        self.read.resize_with(BURN_WINDOWS.len(), || None);
        let asked = BURN_WINDOWS.iter().zip(&mut self.read).enumerate().map(
            async |(number, ((window, length), kept))| {
                let stands =
                    |(at, reading): &(Time, Reading)| now >= *at && now.since(*at) < lasts(*length, reading);
                let due = !kept.as_ref().is_some_and(stands);
                if due {
                    // The age of what is newest is the same in all of them.
                    let question = question(slo, window, number == 0 && ask_age);
                    let server = &slo.prometheus.server;
                    let answer = signals.evaluate(server, namespace, &question, now);
                    let reading = spans::query("slo", window, server, answer).await;
                    *kept = Some((now, reading));
                }
                kept.as_ref().map(|(at, reading)| as_of(reading, *at))
            },
        );
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// How long an answer about a window stands.
fn lasts(length: Span, reading: &Reading) -> Span {
    let refresh = Span::from_millis(length.millis().div_euclid(REFRESH_SHARE));
    if matches!(reading.answer, Answer::Failed(_)) { refresh.min(RETRY) } else { refresh }
}

fn question(slo: &Slo, window: &str, ask_age: bool) -> Evaluation {
    Evaluation {
        query: slo.prometheus.query.replace(WINDOW, window),
        freshness_query: slo.freshness.query.as_ref().map(|query| query.replace(WINDOW, window)),
        max_age: Span::from_seconds(slo.freshness.max_age_seconds.into()),
        coverage: false,
        ask_age,
        newer_than: None,
    }
}

/// A reading that was taken at an earlier evaluation grows old.
fn as_of(reading: &Reading, at: Time) -> Reading {
    let age = match &reading.age {
        Age::Measured(age) => Age::Earlier { age: *age, at },
        age => age.clone(),
    };
    Reading { age, ..reading.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::future::BoxFuture;

    use super::*;
    use crate::signal::Moments;

    /// Remembers what it was asked.
    #[derive(Default)]
    struct Asked {
        queries: Mutex<Vec<String>>,
        away: Mutex<bool>,
    }

    impl Signals for Asked {
        fn evaluate<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            asked: &'a Evaluation,
            _: Time,
        ) -> BoxFuture<'a, Reading> {
            self.queries.lock().unwrap().push(asked.query.clone());
            let answer = if *self.away.lock().unwrap() {
                Answer::Failed("away".to_owned())
            } else {
                Answer::Value(0.001)
            };
            let reading =
                Reading { answer, warnings: Vec::new(), age: Age::Measured(Span::ZERO), covered_pods: None };
            Box::pin(async move { reading })
        }

        fn history<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: &'a Evaluation,
            _: Moments,
        ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
            Box::pin(async { Err("nothing is kept".to_owned()) })
        }
    }

    fn slo() -> Slo {
        serde_json::from_value(serde_json::json!({
            "objectivePercent": "99.9", "prometheus": {"query": "sum(rate(bad[$window])) / sum(rate(all[$window]))"}
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn long_windows_are_asked_about_seldom_and_within_a_minute_again_after_a_failure() {
        let (server, slo) = (Asked::default(), slo());
        let mut burn_rates = BurnRates::default();
        let at = |evaluation: i64| Time::from_seconds(1_790_000_000 + 15 * evaluation);
        for evaluation in 0..240 {
            let readings = burn_rates.read(&server, "shop", Some(&slo), true, at(evaluation)).await;
            assert_eq!(readings.len(), BURN_WINDOWS.len());
        }
        let asked = |window: &str| {
            let query = format!("sum(rate(bad[{window}])) / sum(rate(all[{window}]))");
            server.queries.lock().unwrap().iter().filter(|asked| **asked == query).count()
        };
        assert_eq!(["5m", "30m", "1h", "6h", "3d"].map(asked), [240, 120, 60, 10, 1], "in an hour");

        *server.away.lock().unwrap() = true;
        for evaluation in 240..720 {
            burn_rates.read(&server, "shop", Some(&slo), true, at(evaluation)).await;
        }
        server.queries.lock().unwrap().clear();
        for evaluation in 720..760 {
            burn_rates.read(&server, "shop", Some(&slo), true, at(evaluation)).await;
        }
        assert_eq!(
            ["5m", "30m", "1h", "6h", "3d"].map(asked),
            [40, 20, 10, 10, 10],
            "in ten minutes of failures"
        );
        *server.away.lock().unwrap() = false;
        let mut readings = Vec::new();
        for evaluation in 760..764 {
            readings = burn_rates.read(&server, "shop", Some(&slo), true, at(evaluation)).await;
        }
        assert!(readings.iter().all(|reading| reading.answer == Answer::Value(0.001)), "{readings:?}");

        let other = Slo {
            prometheus: crate::api::PrometheusQuery {
                query: "other[$window]".to_owned(),
                ..slo.prometheus.clone()
            },
            ..slo
        };
        server.queries.lock().unwrap().clear();
        burn_rates.read(&server, "shop", Some(&other), true, at(764)).await;
        assert_eq!(server.queries.lock().unwrap().len(), 5, "another query has other answers");
        assert!(burn_rates.read(&server, "shop", None, true, at(765)).await.is_empty());
    }
}
