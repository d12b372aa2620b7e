//! A clock that was ahead and is set right must not hold anything for as long as it was ahead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod common;

use common::{fresh, observation, policy, workload};
use plimsoll::control::{Memory, Policy, decide};
use plimsoll::time::{Span, Time};

const RIGHT: Time = Time::from_seconds(1_000_000);
const TICK: Span = Span::from_seconds(15);

/// A workload that obeys at once, and the operator's memory of it.
struct Course {
    policy: Policy,
    memory: Memory,
    replicas: u32,
}

impl Course {
    fn new() -> Self {
        let policy = policy(
            "minReplicas: 2\nmaxReplicas: 40\nmetrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, \
             averageValue: 100}}\nbehavior: {scaleUp: {policies: [{type: Percent, value: 100, periodSeconds: 60}]}}\n",
        );
        Self { policy, memory: Memory::default(), replicas: 4 }
    }

    /// Evaluates as often as it goes in `lasts`, beginning at `now`; returns the moment after it.
    fn run(&mut self, demand: f64, now: Time, lasts: Span) -> Time {
        let ticks = lasts.millis().div_euclid(TICK.millis());
        for tick in 0..ticks {
            let now = now + TICK.times(tick);
            let seen = observation(workload(self.replicas, now), vec![fresh(demand * 100.0)]);
            let (decision, memory) = decide(&self.policy, &seen, std::mem::take(&mut self.memory), now);
            self.replicas = decision.write.unwrap_or(self.replicas);
            self.memory = memory;
        }
        now + TICK.times(ticks)
    }
}

#[test]
fn a_clock_that_is_set_back_by_a_day_holds_growth_for_no_longer_than_the_rates_do() {
    let mut course = Course::new();
    let tomorrow = RIGHT + Span::from_seconds(86_400);
    course.run(16.0, tomorrow, Span::from_seconds(120));
    assert_eq!(course.replicas, 16);
    course.run(32.0, RIGHT, Span::from_seconds(90));
    assert_eq!(course.replicas, 32);
}

#[test]
fn a_clock_that_is_set_back_by_a_day_holds_a_scale_in_for_no_longer_than_a_window() {
    let mut course = Course::new();
    let tomorrow = RIGHT + Span::from_seconds(86_400);
    course.run(16.0, tomorrow, Span::from_seconds(600));
    let later = course.run(5.0, RIGHT, Span::from_seconds(285));
    assert_eq!(course.replicas, 16, "a whole window must pass");
    course.run(5.0, later, Span::from_seconds(600));
    assert_eq!(course.replicas, 5);
}

#[test]
fn changes_that_status_dates_in_the_future_count_as_made_just_now() {
    let mut course = Course::new();
    let tomorrow = RIGHT + Span::from_seconds(86_400);
    course.memory.recall_change(4, 16, tomorrow);
    course.replicas = 16;
    let later = course.run(32.0, RIGHT, Span::from_seconds(45));
    assert_eq!(course.replicas, 16, "12 were added within the last minute, as far as anybody knows");
    course.run(32.0, later, Span::from_seconds(60));
    assert_eq!(course.replicas, 32);
}

#[test]
fn a_clock_that_leaps_ahead_does_not_make_a_moment_without_data_a_day_without_data() {
    let mut course = Course::new();
    course.policy = policy(
        "minReplicas: 2\nmaxReplicas: 40\nmetrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, averageValue: \
         100}}\nfallback: {afterSeconds: 300, behavior: EvenIfLower, replicas: 3}\n",
    );
    course.run(16.0, RIGHT, Span::from_seconds(300));
    assert_eq!(course.replicas, 16);
    let tomorrow = RIGHT + Span::from_seconds(86_400);
    let later = course.run(f64::NAN, tomorrow, Span::from_seconds(120));
    assert_eq!(course.replicas, 16);
    course.run(f64::NAN, later, Span::from_seconds(600));
    assert_eq!(course.replicas, 3);
}
