//! The recent past of a signal: what its questions would have been answered at each moment of a range.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::answer::{Answered, AnsweredRange};
use super::failure::{Failure, FailureKind};
use super::plan::AgePlan;
use super::server::Server;
use super::servers::{Evaluation, Servers, age_fault, age_of, matcher};
use crate::number::floor_count;
use crate::signal::{Age, Answer, Moments, Reading};

/// The most moments asked for at once: less than the 11,000 that Prometheus gives, and few enough for the largest body
/// that is read.
const LONGEST_PIECE: u32 = 5_000;
/// Questions under way that are remembered before those that ended are forgotten.
const FORGET_FROM: usize = 64;

impl Servers {
    /// What [`Self::evaluate`] would have read at each of the `moments`, in their order, as far as the server still
    /// knows. It is asked after everything about the present, in pieces that the server's limits and ours allow;
    /// identical questions under way are asked once. The error is a sentence for the person on call.
    pub async fn history(
        &self,
        server: &str,
        namespace: &str,
        request: &Evaluation,
        moments: Moments,
    ) -> Result<Vec<Reading>, String> {
        let server = self.usable_server(server, namespace)?;
        let plan = server.plans.plan(request, matcher(&server.config, namespace))?;
        let age_query = match &plan.age {
            _ if !request.ask_age => None,
            AgePlan::NotSampled => None,
            AgePlan::Derived(query) | AgePlan::Declared(query) => Some(query),
        };
        let (value, age, coverage) = futures::join!(
            server.past(&plan.value, moments),
            optional(age_query.map(|query| server.past(query, moments))),
            optional(plan.coverage.as_ref().map(|query| server.past(query, moments)))
        );
        let value = value.map_err(|failure| failure.sentence)?;
        let ages = age.transpose().map_err(|failure| age_fault(&plan, &failure))?;
        let coverage = coverage.transpose().map_err(|failure| failure.sentence)?;
        let ages = ages
            .map(|past| past.answers.into_iter().map(|answer| age_of(&plainly(answer))).collect::<Vec<_>>());
        let readings = value.answers.into_iter().enumerate().map(|(at, answer)| Reading {
            answer,
            warnings: value.warnings.clone(),
            age: match &ages {
                None => Age::NotSampled,
                Some(ages) => ages.get(at).cloned().unwrap_or(Age::NoSample),
            },
            covered_pods: coverage.as_ref().and_then(|past| covered(past.answers.get(at)?)),
        });
        Ok(readings.collect())
    }
}

async fn optional<T>(asked: Option<impl Future<Output = T>>) -> Option<T> {
    match asked {
        Some(asked) => Some(asked.await),
        None => None,
    }
}

fn plainly(answer: Answer) -> Answered {
    Answered { answer, warnings: Vec::new(), infos: Vec::new() }
}

fn covered(answer: &Answer) -> Option<u32> {
    match answer {
        Answer::Value(pods) => Some(floor_count(*pods)),
        Answer::NoSeries => Some(0),
        Answer::ManySeries(_) | Answer::Failed(_) => None,
    }
}

/// What one query was answered at each moment.
struct Past {
    answers: Vec<Answer>,
    warnings: Vec<String>,
}

impl Server {
    async fn past(&self, query: &Arc<str>, moments: Moments) -> Result<Past, Failure> {
        let mut past = Past { answers: Vec::new(), warnings: Vec::new() };
        for piece in moments.pieces(LONGEST_PIECE) {
            let answered = self.ask_over(query, piece).await;
            let answered = answered.as_ref().as_ref().map_err(Clone::clone)?;
            past.answers.extend(answered.answers(piece));
            for warning in &answered.warnings {
                if !past.warnings.contains(warning) {
                    past.warnings.push(warning.clone());
                }
            }
        }
        Ok(past)
    }

    async fn ask_over(&self, query: &Arc<str>, moments: Moments) -> Arc<RangeReply> {
        let (wire, question) = (Arc::clone(&self.wire), Arc::clone(query));
        let ask = || {
            let asking = tokio::spawn(async move { wire.ask_over(&question, moments).await });
            async move {
                Arc::new(asking.await.unwrap_or_else(|_| {
                    let words = "the query was broken off: the operator is stopping";
                    Err(Failure::new(FailureKind::Unavailable, words))
                }))
            }
            .boxed()
        };
        let (reply, shared) = self.ranges.join((Arc::clone(query), moments), ask);
        if shared {
            self.wire.counters.coalesce();
        }
        reply.await
    }
}

type RangeReply = Result<AnsweredRange, Failure>;
type Question = (Arc<str>, Moments);
type Asking = BoxFuture<'static, Arc<RangeReply>>;

/// Questions about the past that are under way. An answer is kept by those who wait for it, and by nobody else.
#[derive(Default)]
pub(super) struct RangeSharing(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    questions: HashMap<Question, WeakShared<Asking>>,
    /// From so many on, those that ended are forgotten.
    forget_from: usize,
}

impl RangeSharing {
    /// The answer to `question`, and whether somebody has asked and waits already; else it is asked now.
    fn join(&self, question: Question, ask: impl FnOnce() -> Asking) -> (Shared<Asking>, bool) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asking) = under_way.questions.get(&question).and_then(WeakShared::upgrade) {
            return (asking, true);
        }
        if under_way.questions.len() >= under_way.forget_from.max(FORGET_FROM) {
            under_way.questions.retain(|_, asking| asking.upgrade().is_some());
            under_way.forget_from = under_way.questions.len().saturating_mul(2);
        }
        let asking = ask().shared();
        if let Some(weak) = asking.downgrade() {
            under_way.questions.insert(question, weak);
        }
        (asking, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Span, Time};

    fn question(number: u32) -> Question {
        let moments = Moments { first: Time::from_seconds(0), step: Span::from_seconds(15), count: number };
        (Arc::from("up"), moments)
    }

    fn refused() -> Asking {
        async { Arc::new(Err(Failure::new(FailureKind::Unavailable, "no"))) }.boxed()
    }

    #[tokio::test]
    async fn a_question_under_way_is_joined_and_an_answered_one_is_not_kept() {
        let sharing = RangeSharing::default();
        let (first, shared) = sharing.join(question(1), refused);
        assert!(!shared);
        let (second, shared) = sharing.join(question(1), || panic!("it is under way"));
        assert!(shared);
        assert!(!sharing.join(question(2), refused).1, "another stretch is another question");
        assert!(Arc::ptr_eq(&first.await, &second.await));
        assert!(!sharing.join(question(1), refused).1, "nobody holds the answer any more");
        for number in 0..10_000 {
            let _ = sharing.join(question(number), refused);
        }
        assert!(sharing.0.lock().unwrap().questions.len() <= FORGET_FROM);
    }
}
