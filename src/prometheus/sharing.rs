//! One question for all who ask the same in the same stretch of time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

use crate::time::{Span, Time};

/// The most questions remembered; beyond it each is asked for itself.
const CAPACITY: usize = 4096;

/// Callers' clocks differ a little, so stretches this near to the present one are remembered.
const NEAR: Span = Span::from_seconds(5);

/// A stretch of time, of which all of the same length begin where another ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stretch {
    begins: Time,
    length: Span,
}

impl Stretch {
    /// The stretch of `length` that `at` lies in; of no length, it is that moment alone.
    pub(super) fn around(at: Time, length: Span) -> Self {
        let milliseconds = i64::try_from(length.millis()).unwrap_or(i64::MAX).max(1);
        let into = at.millis().rem_euclid(milliseconds);
        Self { begins: Time::from_millis(at.millis().saturating_sub(into)), length }
    }
}

/// Answers under way and given, by question and stretch of time.
pub(super) struct Sharing<Q, A: Clone> {
    flights: Mutex<Flights<Q, A>>,
}

struct Flights<Q, A: Clone> {
    latest: Option<Stretch>,
    by_question: HashMap<(Stretch, Q), Shared<BoxFuture<'static, A>>>,
}

impl<Q: Hash + Eq, A: Clone + Send + Sync + 'static> Sharing<Q, A> {
    pub(super) fn new() -> Self {
        Self { flights: Mutex::new(Flights { latest: None, by_question: HashMap::new() }) }
    }

    /// The answer to `question` in `stretch`, and whether somebody else had asked before. `ask` must go on by itself:
    /// whoever waits may stop waiting without harm to the others.
    pub(super) async fn ask(
        &self,
        stretch: Stretch,
        question: Q,
        ask: impl FnOnce() -> BoxFuture<'static, A>,
    ) -> (A, bool) {
        let (flight, shared) = self.join(stretch, question, ask);
        (flight.await, shared)
    }

    fn join(
        &self,
        stretch: Stretch,
        question: Q,
        ask: impl FnOnce() -> BoxFuture<'static, A>,
    ) -> (Shared<BoxFuture<'static, A>>, bool) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.forget_all_but_near(stretch);
        let key = (stretch, question);
        if let Some(flight) = flights.by_question.get(&key) {
            return (flight.clone(), true);
        }
        let flight = ask().shared();
        if flights.by_question.len() < CAPACITY {
            flights.by_question.insert(key, flight.clone());
        }
        (flight, false)
    }
}

impl<Q: Hash + Eq, A: Clone> Flights<Q, A> {
    fn forget_all_but_near(&mut self, stretch: Stretch) {
        if self.latest.replace(stretch) != Some(stretch) {
            let near = |other: &Stretch| {
                stretch.begins.since(other.begins) <= NEAR && other.begins.since(stretch.begins) <= NEAR
            };
            self.by_question.retain(|(other, _), _| near(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn asked(count: &AtomicU32) -> BoxFuture<'static, u32> {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { number }.boxed()
    }

    /// Five seconds, the `number`th.
    fn stretch(number: i64) -> Stretch {
        Stretch::around(Time::from_seconds(number * 5), Span::from_seconds(5))
    }

    #[test]
    fn moments_share_a_stretch_only_within_its_length() {
        let around = |seconds, length| Stretch::around(Time::from_seconds(seconds), length);
        let five = Span::from_seconds(5);
        assert_eq!(around(100, five), around(104, five));
        assert_ne!(around(104, five), around(105, five));
        assert_ne!(
            around(100, five),
            around(100, Span::from_seconds(1)),
            "who asks often is not told old news"
        );
        assert_ne!(around(-1, five), around(0, five));
        assert_ne!(around(100, Span::ZERO), around(101, Span::ZERO));
    }

    #[tokio::test]
    async fn who_asks_often_does_not_make_the_others_ask_again() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        for second in 0..5 {
            let often = Stretch::around(Time::from_seconds(second), Span::from_millis(500));
            sharing.ask(often, "up", || asked(&count)).await;
            sharing.ask(stretch(0), "up", || asked(&count)).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn a_question_is_asked_once_in_a_stretch() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        assert_eq!(sharing.ask(stretch(7), "up", || asked(&count)).await, (0, false));
        assert_eq!(sharing.ask(stretch(7), "up", || asked(&count)).await, (0, true));
        assert_eq!(sharing.ask(stretch(7), "down", || asked(&count)).await, (1, false));
        assert_eq!(sharing.ask(stretch(8), "up", || asked(&count)).await, (2, false));
        assert_eq!(
            sharing.ask(stretch(7), "up", || asked(&count)).await,
            (0, true),
            "a caller's clock may lag"
        );
    }

    #[tokio::test]
    async fn what_is_remembered_does_not_grow_with_time_nor_with_questions() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        let remembered = || sharing.flights.lock().unwrap().by_question.len();
        for number in 0..1000 {
            for question in 0..10 {
                sharing.ask(stretch(number), question, || asked(&count)).await;
            }
            assert!(remembered() <= 20, "{} in stretch {number}", remembered());
        }
        for question in 0..20_000 {
            sharing.ask(stretch(5), question, || asked(&count)).await;
        }
        assert_eq!(remembered(), CAPACITY, "after the clock was set back, and with too many questions");
    }

    #[tokio::test]
    async fn a_caller_who_leaves_does_not_take_the_answer_away() {
        let (sharing, count) = (Sharing::new(), AtomicU32::new(0));
        let (send, receive) = tokio::sync::oneshot::channel::<u32>();
        let leaving = sharing.ask(stretch(1), "up", || async move { receive.await.unwrap() }.boxed());
        assert!(leaving.now_or_never().is_none());
        let staying = sharing.ask(stretch(1), "up", || asked(&count));
        send.send(42).unwrap();
        assert_eq!(staying.await, (42, true));
    }
}
