//! Error budgets: burning buys headroom, fast; what is healthy gives it back, slowly; what cannot be told moves nothing down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod common;

use common::{answered, fresh, observation, policy, workload};
use plimsoll::control::{
    Condition, ConditionStatus, ConditionType, Decision, Memory, Observation, Policy, Reason, SloState,
    decide,
};
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

const STEP: Span = Span::from_seconds(15);
/// One in a thousand may be bad.
const SLO: &str = "maxReplicas: 40\nslo: {objectivePercent: '99.9', prometheus: {query: 'bad[$window]'}, targetPercent: {min: 70, max: 120}}\n";

fn start() -> Time {
    Time::from_seconds(1_790_000_000)
}

/// Shares of bad events that make these burn rates, the shortest window first.
fn burns(rates: [f64; 5]) -> Vec<Reading> {
    rates.iter().map(|rate| fresh(rate * 0.001)).collect()
}

fn seen(replicas: u32, load: f64, slo: Vec<Reading>, now: Time) -> Observation {
    Observation { slo, ..observation(workload(replicas, now), vec![fresh(load)]) }
}

/// The same for so long; the last decision.
fn during(
    policy: &Policy,
    slo: &[Reading],
    memory: Memory,
    from: Time,
    lasting: Span,
) -> (Decision, Memory, Time) {
    let (mut now, mut memory) = (from, memory);
    loop {
        let (decision, after) = decide(policy, &seen(10, 950.0, slo.to_vec(), now), memory, now);
        memory = after;
        if now.since(from) >= lasting {
            return (decision, memory, now);
        }
        now = now + STEP;
    }
}

fn percent(decision: &Decision) -> u32 {
    decision.slo.as_ref().unwrap().percent
}

fn condition(decision: &Decision) -> &Condition {
    decision.conditions.iter().find(|condition| condition.kind == ConditionType::ErrorBudgetKept).unwrap()
}

#[test]
fn the_faster_it_burns_the_sooner_the_targets_are_down_and_one_window_alone_moves_nothing() {
    let minutes = |minutes: u64| Span::from_seconds(60 * minutes);
    for (what, rates, lasting, wanted, state) in [
        ("page: an hour and five minutes", [20.0, 16.0, 15.0, 3.0, 0.5], minutes(10), 70, SloState::Burning),
        ("half of that", [20.0, 16.0, 15.0, 3.0, 0.5], minutes(5), 85, SloState::Burning),
        ("six hours and half an hour", [7.0, 7.0, 7.0, 6.5, 0.5], minutes(30), 85, SloState::Burning),
        ("three days and six hours", [1.2, 1.2, 1.2, 1.2, 1.1], minutes(180), 85, SloState::Burning),
        ("never below the bound", [99.0, 99.0, 99.0, 99.0, 99.0], minutes(120), 70, SloState::Burning),
        ("it was an hour ago", [0.0, 9.0, 15.0, 3.0, 0.5], minutes(60), 100, SloState::Spending),
        ("it has just begun", [90.0, 9.0, 4.0, 3.0, 0.5], minutes(60), 100, SloState::Spending),
        (
            "healthy, by the three days not yet",
            [0.2, 0.2, 0.2, 0.2, 1.5],
            minutes(600),
            100,
            SloState::Healthy,
        ),
    ] {
        let (decision, ..) = during(&policy(SLO), &burns(rates), Memory::default(), start(), lasting);
        assert_eq!((percent(&decision), decision.slo.as_ref().unwrap().state), (wanted, state), "{what}");
    }
}

#[test]
fn headroom_comes_back_in_a_day_and_a_healthy_budget_tightens_in_a_week() {
    let policy = policy(SLO);
    let page = burns([20.0, 16.0, 15.0, 3.0, 0.5]);
    let calm = burns([0.1; 5]);
    let hours = |hours: u64| Span::from_seconds(3600 * hours);
    let (down, memory, now) = during(&policy, &page, Memory::default(), start(), hours(1));
    assert_eq!((percent(&down), down.desired), (70, Some(14)), "{}", down.message);
    let (half, memory, now) = during(&policy, &calm, memory, now, hours(12));
    assert_eq!(percent(&half), 85);
    let (back, memory, now) = during(&policy, &calm, memory, now, hours(13));
    assert!((100..=101).contains(&percent(&back)), "{}", percent(&back));
    let (tight, ..) = during(&policy, &calm, memory, now, hours(7 * 24));
    assert_eq!(percent(&tight), 120);
    assert_eq!(
        tight.slo.as_ref().unwrap().message,
        "the error budget is spent more slowly than it may be; targets stand at 120 %"
    );
}

#[test]
fn what_cannot_be_told_gives_nothing_back_and_tightens_nothing() {
    let now = start();
    let stale = Reading { age: Age::Measured(Span::from_seconds(600)), ..fresh(0.0) };
    let partial = Reading { warnings: vec!["partial response".to_owned()], ..fresh(0.0) };
    for (first, words) in [
        (answered(Answer::NoSeries), "it matched nothing"),
        (answered(Answer::ManySeries(3)), "it yields 3 series"),
        (answered(Answer::Failed("Prometheus is away".to_owned())), "Prometheus is away"),
        (fresh(f64::NAN), "lies between 0 and 1"),
        (fresh(-0.1), "lies between 0 and 1"),
        (fresh(5.0), "lies between 0 and 1"),
        (stale, "its newest sample is 10 min old, 60 s may be"),
        (partial, "partial response"),
    ] {
        let mut readings = burns([0.0; 5]);
        readings[0] = first;
        for (before, wanted) in [(80, 80), (100, 100), (110, 100)] {
            let mut memory = Memory::default();
            memory.recall_slo(before);
            let (decision, ..) = during(&policy(SLO), &readings, memory, now, Span::from_seconds(86_400));
            assert_eq!(percent(&decision), wanted, "{words}");
            let said = condition(&decision);
            assert_eq!((said.status, said.reason), (ConditionStatus::Unknown, Reason::BurnRateUnfit));
            assert!(said.message.contains(words), "{}", said.message);
        }
    }
}

#[test]
fn while_a_guard_is_active_a_burn_buys_nothing() {
    let guarded = policy(&format!(
        "{SLO}guards:\n- {{name: db-cpu, prometheus: {{query: cpu}}, threshold: '0.85', action: BlockScaleUp}}\n"
    ));
    let now = start();
    let page = burns([20.0, 16.0, 15.0, 3.0, 0.5]);
    let mut memory = Memory::default();
    for tick in 0..80 {
        let now = now + STEP.times(tick);
        let world = Observation { guards: vec![fresh(0.95)], ..seen(10, 950.0, page.clone(), now) };
        let (decision, after) = decide(&guarded, &world, memory, now);
        memory = after;
        assert_eq!((percent(&decision), decision.slo.as_ref().unwrap().state), (100, SloState::Guarded));
        assert_eq!(condition(&decision).reason, Reason::BudgetBurning);
        assert!(condition(&decision).message.ends_with("more pods would feed what guard db-cpu watches"));
    }
}

#[test]
fn where_it_is_only_observed_the_count_is_as_without_it() {
    let page = burns([20.0, 16.0, 15.0, 3.0, 0.5]);
    let observed = policy(&SLO.replace("slo: {", "slo: {enforcement: Observe, "));
    let (decision, ..) = during(&observed, &page, Memory::default(), start(), Span::from_seconds(1200));
    assert_eq!((percent(&decision), decision.desired), (70, Some(10)));
    assert!(
        condition(&decision).message.contains("targets would stand at 70 %"),
        "{}",
        condition(&decision).message
    );
}

#[test]
fn what_nobody_saw_moves_no_target_and_a_restart_keeps_where_they_stood() {
    let policy = policy(SLO);
    let page = burns([20.0, 16.0, 15.0, 3.0, 0.5]);
    let (_, memory, now) = during(&policy, &page, Memory::default(), start(), Span::from_seconds(60));
    let later = now + Span::from_seconds(3600);
    let (decision, _) = decide(&policy, &seen(10, 950.0, page.clone(), later), memory, later);
    assert_eq!(
        percent(&decision),
        95,
        "a minute of burning, and thirty seconds for the hour that nobody saw"
    );
    let mut memory = Memory::default();
    memory.recall_slo(82);
    let (decision, _) = decide(&policy, &seen(10, 950.0, page, later), memory, later);
    assert_eq!(percent(&decision), 82);
    let narrower = common::policy(&SLO.replace("min: 70", "min: 90"));
    let mut memory = Memory::default();
    memory.recall_slo(82);
    let (decision, _) = decide(&narrower, &seen(10, 950.0, burns([0.1; 5]), later), memory, later);
    assert_eq!(percent(&decision), 90, "bounds that were edited hold at once");
}

#[test]
fn a_person_reads_what_burns_and_what_it_adds() {
    let page = burns([20.0, 16.0, 15.0, 3.0, 0.5]);
    let (decision, ..) = during(&policy(SLO), &page, Memory::default(), start(), Span::from_seconds(300));
    let said = condition(&decision);
    assert_eq!((said.status, said.reason), (ConditionStatus::False, Reason::BudgetBurning));
    assert_eq!(
        said.message,
        "the error budget burns 15 times as fast as it may over 1h and 20 times over 5m; targets stand at 85 % and go down"
    );
    assert_eq!(
        decision.steps[0].message,
        "rps: 950 ÷ 100 per replica, at 85 % of the target for the error budget, = 11.2"
    );
    assert!((decision.slo.unwrap().replicas - 1.8).abs() < 1e-9);
    let (decision, ..) = during(&policy(SLO), &page, Memory::default(), start(), Span::from_seconds(900));
    assert!(
        condition(&decision)
            .message
            .ends_with("the lowest declared: if it goes on, the cause is not too few pods")
    );
}

fn any_reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        8 => (0.0..0.05_f64).prop_map(fresh),
        1 => Just(answered(Answer::NoSeries)),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(7.0)].prop_map(fresh),
    ]
}

proptest! {
    /// Whatever the windows say: within the bounds; with no tightening declared never fewer replicas than without an
    /// objective; and never past the ceiling.
    #[test]
    fn an_objective_only_adds_unless_tightening_is_declared(
        courses in prop::collection::vec((prop::collection::vec(any_reading(), 0..6), 400.0..3000.0_f64), 1..80),
    ) {
        let with = policy(&SLO.replace("max: 120", "max: 100"));
        let without = policy("maxReplicas: 40\n");
        let (mut memory, mut bare) = (Memory::default(), Memory::default());
        let (mut count, mut least) = (10, 10);
        for (tick, (slo, load)) in (0..).zip(courses) {
            let now = start() + STEP.times(tick);
            let (decision, after) = decide(&with, &seen(count, load, slo, now), memory, now);
            let (other, other_after) = decide(&without, &seen(least, load, Vec::new(), now), bare, now);
            prop_assert!((70..=100).contains(&percent(&decision)));
            let need = |decision: &Decision| decision.signals[0].need.unwrap();
            prop_assert!(need(&decision) >= need(&other), "{} < {}", need(&decision), need(&other));
            prop_assert!(decision.desired <= Some(40.max(count)));
            (memory, bare) = (after, other_after);
            count = decision.write.unwrap_or(count);
            least = other.write.unwrap_or(least);
        }
    }

    #[test]
    fn an_objective_that_cannot_be_read_changes_no_decision(
        loads in prop::collection::vec(400.0..3000.0_f64, 1..80),
    ) {
        let (with, without) = (policy(SLO), policy("maxReplicas: 40\n"));
        let (mut memory, mut bare, mut count) = (Memory::default(), Memory::default(), 10);
        for (tick, load) in (0..).zip(loads) {
            let now = start() + STEP.times(tick);
            let (decision, after) = decide(&with, &seen(count, load, Vec::new(), now), memory, now);
            let (other, other_after) = decide(&without, &seen(count, load, Vec::new(), now), bare, now);
            prop_assert_eq!((decision.desired, decision.write, &decision.message), (other.desired, other.write, &other.message));
            (memory, bare) = (after, other_after);
            count = decision.write.unwrap_or(count);
        }
    }
}
