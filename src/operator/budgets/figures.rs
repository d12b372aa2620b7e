//! A budget's figures, as declared or as a metrics server tells them.

use super::super::signals::Signals;
use crate::api::{ConnectionBudgetSpec, PrometheusQuery};
use crate::budget::{Figure, LimitSeen, LimitTracker, OnMissing};
use crate::cluster::BudgetRecord;
use crate::number::{ceil_count, floor_count};
use crate::prometheus::Evaluation;
use crate::signal::{Age, Answer};
use crate::time::{Span, Time};

/// The newest sample behind a figure may be this old.
const MAX_AGE: Span = Span::from_seconds(120);
/// What pods cannot account for is told once it has lasted for so long: a scrape is late, and pods come and go.
const UNATTRIBUTED_FOR: Span = Span::from_seconds(60);

/// Follows the figures of one budget.
#[derive(Default)]
pub(super) struct Figures {
    tracker: LimitTracker,
    unattributed_since: Option<Time>,
}

/// What a budget gives now, and how it fits what is seen.
pub(super) struct Found {
    pub(super) limit: LimitSeen,
    /// Connections that neither pods nor declared others account for, once it has lasted.
    pub(super) unattributed: Option<u32>,
    /// The query for connections in use failed, for this reason.
    pub(super) in_use_fault: Option<String>,
}

impl Figures {
    /// Begins with what a status told of the same declaration, where a predecessor wrote it.
    pub(super) fn recalled(record: &BudgetRecord) -> Self {
        let status = &record.status;
        if status.observed_generation != Some(record.generation) {
            return Self::default();
        }
        Self { tracker: LimitTracker::recalled(status.limit, status.others), unattributed_since: None }
    }

    /// Reads everything; `attributed` is what the pods may have opened.
    pub(super) async fn read(
        &mut self,
        signals: &dyn Signals,
        spec: &ConnectionBudgetSpec,
        attributed: u32,
        now: Time,
    ) -> Found {
        let others_of = spec.others.as_ref();
        let (limit, others, in_use) = tokio::join!(
            figure(signals, spec.limit.max_connections, spec.limit.prometheus.as_ref(), floor_count, now),
            figure(
                signals,
                others_of.map_or(Some(0), |others| others.connections),
                others_of.and_then(|others| others.prometheus.as_ref()),
                ceil_count,
                now
            ),
            figure(signals, None, spec.in_use.as_ref().map(|in_use| &in_use.prometheus), ceil_count, now),
        );
        let beyond = match in_use {
            Figure::Found(in_use, _) => in_use.saturating_sub(attributed),
            Figure::Declared(_) | Figure::Missing(_) => 0,
        };
        let declared = match &others {
            Figure::Declared(others) | Figure::Found(others, _) => *others,
            Figure::Missing(_) => 0,
        };
        let unattributed = self.lasting(beyond.saturating_sub(declared), now);
        let limit_missing = OnMissing {
            last_known: Span::from_seconds(spec.limit.last_known_seconds.into()),
            assumed: spec.limit.assumed,
        };
        let others_missing = OnMissing {
            last_known: Span::from_seconds(others_of.map_or(0, |others| others.last_known_seconds.into())),
            assumed: others_of.and_then(|others| others.assumed),
        };
        let limit =
            self.tracker.read(&limit, limit_missing, spec.reserved, &others, others_missing, beyond, now);
        let in_use_fault = match in_use {
            Figure::Missing(why) if spec.in_use.is_some() => Some(why),
            _ => None,
        };
        Found { limit, unattributed, in_use_fault }
    }

    fn lasting(&mut self, unattributed: u32, now: Time) -> Option<u32> {
        if unattributed == 0 {
            self.unattributed_since = None;
            return None;
        }
        let since = *self.unattributed_since.get_or_insert(now);
        (now.since(since) >= UNATTRIBUTED_FOR).then_some(unattributed)
    }
}

async fn figure(
    signals: &dyn Signals,
    declared: Option<u32>,
    query: Option<&PrometheusQuery>,
    count: fn(f64) -> u32,
    now: Time,
) -> Figure {
    if let Some(declared) = declared {
        return Figure::Declared(declared);
    }
    let Some(query) = query else { return Figure::Missing("nothing is declared".to_owned()) };
    let question = Evaluation {
        query: query.query.clone(),
        freshness_query: None,
        max_age: MAX_AGE,
        coverage: false,
        ask_age: true,
        newer_than: None,
    };
    // Budgets are the cluster's: a server that is confined to namespaces refuses.
    let reading = signals.evaluate(&query.server, "", &question, now).await;
    if let Some(why) = too_old(&reading.age) {
        return Figure::Missing(why);
    }
    // Half of the others' connections would look like room.
    if let Some(warning) = reading.warnings.first() {
        return Figure::Missing(format!("the server warns that its answer may be incomplete: {warning}"));
    }
    match reading.answer {
        Answer::Value(value) if value.is_finite() && value >= 0.0 => Figure::Found(count(value), now),
        Answer::Value(value) => {
            Figure::Missing(format!("the query answers {value}, which is no number of connections"))
        }
        Answer::NoSeries => Figure::Missing("the query finds no series".to_owned()),
        Answer::ManySeries(series) => Figure::Missing(format!(
            "the query finds {series} series: aggregate them to one, for example with sum()"
        )),
        Answer::Failed(why) => Figure::Missing(why),
    }
}

fn too_old(age: &Age) -> Option<String> {
    match age {
        Age::Measured(age) if *age > MAX_AGE => {
            Some(format!("the newest sample is {age} old, and {MAX_AGE} are allowed"))
        }
        Age::NoSample => Some("no sample stands behind the query".to_owned()),
        Age::Unknown(why) => Some(format!("the age of the data is not known: {why}")),
        Age::Measured(_) | Age::Earlier { .. } | Age::NotSampled => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::signal::{Moments, Reading};

    /// Tells 40, with a warning.
    struct Partial;

    impl Signals for Partial {
        fn evaluate<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: &'a Evaluation,
            _: Time,
        ) -> BoxFuture<'a, Reading> {
            let warnings = vec!["a store did not answer".to_owned()];
            let (answer, age) = (Answer::Value(40.0), Age::Measured(Span::ZERO));
            Box::pin(async { Reading { answer, warnings, age, covered_pods: None } })
        }

        fn history<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: &'a Evaluation,
            _: Moments,
        ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
            Box::pin(async { Err("only the present is told".to_owned()) })
        }
    }

    #[tokio::test]
    async fn an_answer_that_may_be_incomplete_is_no_figure() {
        let query = PrometheusQuery { server: "pg".to_owned(), query: "sum(others)".to_owned() };
        let found = figure(&Partial, None, Some(&query), ceil_count, Time::from_seconds(1_790_000_000)).await;
        assert!(
            matches!(&found, Figure::Missing(why) if why.contains("a store did not answer")),
            "{found:?}"
        );
    }
}
