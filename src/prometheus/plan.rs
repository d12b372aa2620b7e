//! What is asked for one signal, worked out once and remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::promql::{AgeQuery, ParseError, Query};
use super::servers::Evaluation;
use crate::time::{Span, Time};

/// A plan that nobody asked for in so long belongs to a policy that went or was edited.
const KEPT_FOR: Duration = Duration::from_hours(2);
/// With fewer plans it is not worth looking for those to forget.
const FEW: usize = 1024;

/// What is asked for one signal.
pub(super) struct Plan {
    pub(super) value: Arc<str>,
    pub(super) age: AgePlan,
    pub(super) coverage: Option<Arc<str>>,
    last_age: Mutex<Option<(Span, Time)>>,
}

pub(super) enum AgePlan {
    NotSampled,
    /// Made from the query's own selectors.
    Derived(Arc<str>),
    /// The policy's own freshness query.
    Declared(Arc<str>),
}

impl Plan {
    /// `matcher` is the label and value that every selector must carry.
    fn new(evaluation: &Evaluation, matcher: Option<(&str, &str)>) -> Result<Self, String> {
        let query_fault = |fault: ParseError| format!("the query is not usable: {fault}");
        let query = confined(&evaluation.query, matcher).map_err(query_fault)?;
        let age = match &evaluation.freshness_query {
            Some(declared) => confined(declared, matcher)
                .and_then(|query| text(&query, declared, matcher))
                .map(AgePlan::Declared)
                .map_err(|fault| format!("freshnessQuery is not usable: {fault}"))?,
            None => match query.age_query() {
                AgeQuery::NotSampled => AgePlan::NotSampled,
                AgeQuery::Ask(query) => AgePlan::Derived(query.into()),
            },
        };
        let coverage = evaluation.coverage.then(|| query.coverage_query(evaluation.max_age)).flatten();
        Ok(Self {
            value: text(&query, &evaluation.query, matcher).map_err(query_fault)?,
            age,
            coverage: coverage.map(Into::into),
            last_age: Mutex::new(None),
        })
    }

    /// The age measured last, and when.
    pub(super) fn last_age(&self) -> Option<(Span, Time)> {
        *self.last_age.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember_age(&self, measured: Option<(Span, Time)>) {
        *self.last_age.lock().unwrap_or_else(PoisonError::into_inner) = measured;
    }
}

fn confined(query: &str, matcher: Option<(&str, &str)>) -> Result<Query, ParseError> {
    let mut query = Query::parse(query)?;
    if let Some((label, value)) = matcher {
        query.inject_matcher(label, value)?;
    }
    Ok(query)
}

/// Unchanged queries go out as their author wrote them.
fn text(query: &Query, written: &str, matcher: Option<(&str, &str)>) -> Result<Arc<str>, ParseError> {
    match matcher {
        Some(_) => query.verified_text().map(Into::into),
        None => Ok(written.into()),
    }
}

/// Whether `query` can be asked with `matcher` on every selector.
pub(super) fn check(query: &str, matcher: Option<(&str, &str)>) -> Result<(), String> {
    confined(query, matcher)
        .and_then(|confined| text(&confined, query, matcher))
        .map(drop)
        .map_err(|fault| format!("the query is not usable: {fault}"))
}

type Planned = Result<Arc<Plan>, String>;

/// One server's plans.
#[derive(Default)]
pub(super) struct Plans(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    plans: HashMap<PlanKey, (Planned, Instant)>,
    /// Plans left after the last look for those to forget.
    left: usize,
}

/// What a plan depends on. The namespace counts only where it is put into the query.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PlanKey {
    namespace: Option<String>,
    query: String,
    freshness_query: Option<String>,
    covered_within: Option<Span>,
}

impl Plans {
    pub(super) fn plan(&self, evaluation: &Evaluation, matcher: Option<(&str, &str)>) -> Planned {
        let key = PlanKey {
            namespace: matcher.map(|(_, namespace)| namespace.to_owned()),
            query: evaluation.query.clone(),
            freshness_query: evaluation.freshness_query.clone(),
            covered_within: evaluation.coverage.then_some(evaluation.max_age),
        };
        let now = Instant::now();
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((planned, used)) = kept().plans.get_mut(&key) {
            *used = now;
            return planned.clone();
        }
        let planned = Plan::new(evaluation, matcher).map(Arc::new);
        let mut kept = kept();
        if kept.plans.len() >= FEW.max(kept.left.saturating_mul(2)) {
            kept.plans.retain(|_, (_, used)| now - *used < KEPT_FOR);
            kept.left = kept.plans.len();
        }
        kept.plans.insert(key, (planned.clone(), now));
        planned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(plans: &Plans, number: usize) -> Arc<Plan> {
        let query = format!("sum(load{{app=\"{number}\"}})");
        let evaluation = Evaluation {
            query,
            freshness_query: None,
            max_age: Span::from_seconds(60),
            coverage: false,
            ask_age: false,
            newer_than: None,
        };
        plans.plan(&evaluation, None).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn ages_of_twenty_thousand_queries_are_remembered_and_those_of_queries_that_went_are_not() {
        let plans = Plans::default();
        let age = Some((Span::from_seconds(4), Time::from_seconds(1_790_000_000)));
        (0..20_000).for_each(|number| ask(&plans, number).remember_age(age));
        assert!((0..20_000).all(|number| ask(&plans, number).last_age() == age));
        for edit in 1..10 {
            tokio::time::advance(KEPT_FOR).await;
            (0..20_000).for_each(|number| drop(ask(&plans, edit * 20_000 + number)));
            assert!(plans.0.lock().unwrap().plans.len() <= 60_000);
        }
    }
}
