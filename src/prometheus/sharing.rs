//! One question for all who ask the same in the same bucket of time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

use crate::time::Time;

/// The most questions remembered; beyond it each is asked for itself.
const CAPACITY: usize = 4096;

/// Answers under way and given, by question and bucket of time.
pub(super) struct Sharing<Q, A: Clone> {
    flights: Mutex<Flights<Q, A>>,
}

struct Flights<Q, A: Clone> {
    bucket: i64,
    by_question: HashMap<(i64, Q), Flight<A>>,
}

#[derive(Clone)]
struct Flight<A: Clone> {
    at: Time,
    answer: Shared<BoxFuture<'static, A>>,
}

impl<Q: Hash + Eq, A: Clone + Send + Sync + 'static> Sharing<Q, A> {
    pub(super) fn new() -> Self {
        Self { flights: Mutex::new(Flights { bucket: i64::MIN, by_question: HashMap::new() }) }
    }

    /// The answer to `question` in `bucket`, and whether somebody else had asked before, but after `newer_than`. If
    /// nobody had, it is asked now, for the moment `at`. `ask` must go on by itself: whoever waits may stop waiting
    /// without harm to the others.
    pub(super) async fn ask(
        &self,
        bucket: i64,
        question: Q,
        at: Time,
        newer_than: Option<Time>,
        ask: impl FnOnce() -> BoxFuture<'static, A>,
    ) -> (A, bool) {
        let (flight, shared) = self.join((bucket, question), at, newer_than, ask);
        (flight.answer.await, shared)
    }

    fn join(
        &self,
        key: (i64, Q),
        at: Time,
        newer_than: Option<Time>,
        ask: impl FnOnce() -> BoxFuture<'static, A>,
    ) -> (Flight<A>, bool) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.forget_all_but_near(key.0);
        let is_new = |flight: &&Flight<A>| newer_than.is_none_or(|seen| flight.at > seen);
        if let Some(flight) = flights.by_question.get(&key).filter(is_new) {
            return (flight.clone(), true);
        }
        let flight = Flight { at, answer: ask().shared() };
        if flights.by_question.len() < CAPACITY || flights.by_question.contains_key(&key) {
            flights.by_question.insert(key, flight.clone());
        }
        (flight, false)
    }
}

impl<Q: Hash + Eq, A: Clone> Flights<Q, A> {
    /// Callers' clocks differ a little, so the buckets next to the present one stay.
    fn forget_all_but_near(&mut self, bucket: i64) {
        if self.bucket != bucket {
            self.bucket = bucket;
            self.by_question.retain(|(other, _), _| other.abs_diff(bucket) <= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::time::Span;

    const NOW: Time = Time::from_seconds(1_700_000_000);

    fn asked(count: &AtomicU32) -> BoxFuture<'static, u32> {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { number }.boxed()
    }

    #[tokio::test]
    async fn a_question_is_asked_once_in_a_bucket() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        assert_eq!(sharing.ask(7, "up", NOW, None, || asked(&count)).await, (0, false));
        assert_eq!(sharing.ask(7, "up", NOW, None, || asked(&count)).await, (0, true));
        assert_eq!(sharing.ask(7, "down", NOW, None, || asked(&count)).await, (1, false));
        assert_eq!(sharing.ask(8, "up", NOW, None, || asked(&count)).await, (2, false));
        assert_eq!(
            sharing.ask(7, "up", NOW, None, || asked(&count)).await,
            (0, true),
            "a caller's clock may lag"
        );
    }

    #[tokio::test]
    async fn who_has_had_an_answer_is_given_a_newer_one() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        let later = NOW + Span::from_seconds(1);
        assert_eq!(sharing.ask(7, "up", NOW, None, || asked(&count)).await, (0, false));
        assert_eq!(sharing.ask(7, "up", later, Some(NOW), || asked(&count)).await, (1, false));
        assert_eq!(
            sharing.ask(7, "up", later, None, || asked(&count)).await,
            (1, true),
            "all share the newest"
        );
        assert_eq!(sharing.ask(7, "up", later, Some(NOW), || asked(&count)).await, (1, true));
    }

    #[tokio::test]
    async fn what_is_remembered_does_not_grow_with_time_nor_with_questions() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        let remembered = || sharing.flights.lock().unwrap().by_question.len();
        for bucket in 0..1000 {
            for question in 0..10 {
                sharing.ask(bucket, question, NOW, None, || asked(&count)).await;
            }
            assert!(remembered() <= 20, "{} in bucket {bucket}", remembered());
        }
        for question in 0..20_000 {
            sharing.ask(5, question, NOW, None, || asked(&count)).await;
        }
        assert_eq!(remembered(), CAPACITY, "after the clock was set back, and with too many questions");
    }

    #[tokio::test]
    async fn a_caller_who_leaves_does_not_take_the_answer_away() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        let (send, receive) = tokio::sync::oneshot::channel::<u32>();
        let leaving = sharing.ask(1, "up", NOW, None, || async move { receive.await.unwrap() }.boxed());
        assert!(leaving.now_or_never().is_none());
        let staying = sharing.ask(1, "up", NOW, None, || asked(&count));
        send.send(42).unwrap();
        assert_eq!(staying.await, (42, true));
    }
}
