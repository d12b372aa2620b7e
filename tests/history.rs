//! A restart changes no decision: with the history read back, memory is as if the operator had never stopped.

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

use common::{answered, fresh, observation, policy, workload};
use plimsoll::control::{Change, Decision, History, Memory, Observation, PastCounts, Policy, Reason, decide};
use plimsoll::signal::{Answer, Moments, Reading};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

const STEP: Span = Span::from_seconds(15);
const TOTAL: &str =
    "metrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, averageValue: 100}}\n";
const LEVEL: &str = "metrics:\n- {name: busy, prometheus: {query: busy}, target: {type: Utilization, averageUtilization: 70}}\n";

const NO_TREND: &str = "headroom: {leadCompensation: {enforcement: Observe}}\n";

fn at(tick: usize) -> Time {
    Time::from_seconds(1_000_050) + STEP.times(u64::try_from(tick).unwrap())
}

/// An operator without end: what it read, the counts it met, and what it decided.
struct Course {
    policy: Policy,
    readings: Vec<Reading>,
    /// The count before each evaluation.
    counts: Vec<u32>,
    decisions: Vec<Decision>,
}

impl Course {
    /// `value` is what is read at a tick with a count.
    fn run(policy: Policy, ticks: usize, value: impl Fn(usize, u32) -> f64) -> Self {
        let mut course = Self { policy, readings: vec![], counts: vec![], decisions: vec![] };
        let (mut memory, mut count) = (Memory::default(), 10);
        for tick in 0..ticks {
            course.readings.push(fresh(value(tick, count)));
            course.counts.push(count);
            let (decision, after) = decide(&course.policy, &course.world(tick), memory, at(tick));
            count = decision.write.unwrap_or(count);
            memory = after;
            course.decisions.push(decision);
        }
        course
    }

    fn world(&self, tick: usize) -> Observation {
        observation(workload(self.counts[tick], at(tick)), vec![self.readings[tick].clone()])
    }

    /// The last ten changes made before a tick, oldest first.
    fn changes(&self, tick: usize) -> Vec<Change> {
        let change = |tick: usize| {
            let decision = &self.decisions[tick];
            Some(Change { time: at(tick), from: decision.from?, to: decision.write? })
        };
        let all: Vec<_> = (0..tick).filter_map(change).collect();
        all[all.len().saturating_sub(10)..].to_vec()
    }

    /// What a status written at the last change, or at the beginning, tells of the counts.
    fn past_counts(&self, tick: usize) -> PastCounts {
        let changes = self.changes(tick);
        let stood = changes.last().map_or_else(|| (at(0), self.counts[0]), |last| (last.time, last.to));
        PastCounts { changes, stood: Some(stood) }
    }

    /// A memory that began at a tick and knows the changes.
    fn restarted(&self, tick: usize) -> Memory {
        let mut memory = Memory::default();
        for change in self.changes(tick) {
            memory.recall_change(change.from, change.to, change.time);
        }
        memory.recall_reversals(&self.decisions[tick - 1].reversals);
        if let Some(start_up) = self.decisions[tick - 1].start_up {
            memory.recall_start_up(start_up, at(tick - 1));
        }
        memory
    }

    /// What a server tells of the time before a tick; `told` spoils it.
    fn history(&self, tick: usize, told: impl Fn(Time, Reading) -> Reading) -> History {
        let needed = self.policy.history_needed(&self.restarted(tick), at(tick));
        let from = (at(tick) - needed).max(at(0));
        let moments = Moments::within(from, at(tick) - Span::from_millis(1), STEP);
        let reading = |then: Time| {
            let tick = usize::try_from(then.since(at(0)).millis() / STEP.millis()).unwrap();
            told(then, self.readings[tick].clone())
        };
        History {
            moments,
            readings: vec![moments.iter().map(reading).collect()],
            counts: self.past_counts(tick),
        }
    }

    /// The memory of an operator that began at `tick` and read the history after `delay` evaluations, just before the
    /// evaluation at `tick + delay`.
    fn recollected(&self, tick: usize, delay: usize, told: impl Fn(Time, Reading) -> Reading) -> Memory {
        let mut memory = self.restarted(tick);
        memory.await_history();
        let mut lived = Vec::new();
        for now in tick..tick + delay {
            memory = self.shadow(memory, now).1;
            lived.push((at(now), self.world(now)));
        }
        let now = tick + delay;
        let workload = workload(self.counts[now], at(now));
        memory.with_history(&self.policy, &self.history(tick, told), &lived, &workload, at(now))
    }

    /// What another memory decides in the world of this course at a tick. A change that only the course made is told.
    fn shadow(&self, memory: Memory, tick: usize) -> (Decision, Memory) {
        let (decision, mut memory) = decide(&self.policy, &self.world(tick), memory, at(tick));
        let course = &self.decisions[tick];
        if let (Some(from), Some(to)) = (course.from, course.write)
            && decision.write != Some(to)
        {
            memory.recall_change(from, to, at(tick));
        }
        (decision, memory)
    }
}

fn truth(_: Time, reading: Reading) -> Reading {
    reading
}

/// Load that jumps now and then and is noisy in between.
fn load() -> impl Strategy<Value = Vec<f64>> {
    let stretch = (1_usize..50, 200.0..4000.0_f64, 0.0..0.08_f64);
    (prop::collection::vec(stretch, 3..9), any::<u32>()).prop_map(|(stretches, seed)| {
        let mut noise = seed;
        let mut values = Vec::new();
        for (ticks, level, width) in stretches {
            for _ in 0..ticks {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                values.push((level * (1.0 + width * (f64::from(noise >> 8) / 8_388_608.0 - 1.0))).round());
            }
        }
        values
    })
}

fn behavior() -> impl Strategy<Value = String> {
    let windows = prop_oneof![Just((0, 300)), Just((0, 60)), Just((60, 120)), Just((0, 0)), Just((30, 600))];
    (windows, prop_oneof![Just(0_u32), Just(60), Just(90)]).prop_map(|((up, down), half_life)| {
        format!(
            "behavior: {{scaleUp: {{stabilizationWindowSeconds: {up}}}, scaleDown: {{stabilizationWindowSeconds: {down}}}}}\n\
             smoothing: {{scaleDownHalfLifeSeconds: {half_life}}}\n"
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn with_totals_a_restart_at_any_moment_changes_no_decision(
        load in load(), behavior in behavior(), when in any::<prop::sample::Index>(), delay in 0_usize..4,
    ) {
        let course = Course::run(policy(&format!("{TOTAL}{behavior}")), load.len(), |tick, _| load[tick]);
        let tick = 1 + when.index(load.len() - 1);
        let delay = delay.min(load.len() - tick);
        if tick + delay >= load.len() {
            return Ok(());
        }
        let mut memory = course.recollected(tick, delay, truth);
        for now in tick + delay..load.len() {
            let (decision, after) = course.shadow(memory, now);
            let without = &course.decisions[now];
            prop_assert_eq!(decision.desired, without.desired, "at {} after {}: {:#?}\n{:#?}", now, tick, decision, without);
            memory = after;
        }
    }

    #[test]
    fn with_levels_and_with_gaps_nothing_is_removed_earlier_nor_further(
        load in load(), behavior in behavior(), when in any::<prop::sample::Index>(), delay in 0_usize..4,
        level in any::<bool>(), gap in prop_oneof![Just((0, 0)), (0_u64..90, 1_u64..40)],
    ) {
        // What smoothing and a trend would remember of a gap is lost; a window of calm is all that is waited for.
        let behavior = if gap.1 > 0 { format!("{}{NO_TREND}", behavior.replace("HalfLifeSeconds: 60", "HalfLifeSeconds: 0").replace("HalfLifeSeconds: 90", "HalfLifeSeconds: 0")) } else { behavior };
        let spec = if level { LEVEL } else { TOTAL };
        let value = |tick: usize, count: u32| {
            if level { load[tick] * 0.7 / f64::from(count) } else { load[tick] }
        };
        let course = Course::run(policy(&format!("{spec}{behavior}")), load.len(), value);
        let tick = 1 + when.index(load.len() - 1);
        if tick + delay >= load.len() {
            return Ok(());
        }
        let (gap_begins, gap_lasts) = (STEP.times(gap.0), STEP.times(gap.1));
        let told = |then: Time, reading: Reading| {
            let ago = at(tick).since(then);
            if ago > gap_begins && ago <= gap_begins + gap_lasts { answered(Answer::NoSeries) } else { reading }
        };
        let mut memory = course.recollected(tick, delay, told);
        for now in tick + delay..load.len() {
            let (decision, after) = course.shadow(memory, now);
            let (wanted, without) = (decision.desired.unwrap(), course.decisions[now].desired.unwrap());
            let count = course.counts[now];
            prop_assert!(
                wanted >= without.min(count),
                "at {now} after {tick}: {wanted} of {count}, {without} without a restart: {decision:#?}"
            );
            memory = after;
        }
    }
}

/// Load for 20 replicas, and from a tick on for 10.
fn falling(falls: usize) -> impl Fn(usize, u32) -> f64 {
    move |tick, _| if tick < falls { 2000.0 } else { 1000.0 }
}

fn first_scale_in(course: &Course, mut memory: Memory, from: usize) -> (usize, Decision) {
    for now in from.. {
        let (decision, after) = course.shadow(memory, now);
        if decision.write.is_some() {
            return (now, decision);
        }
        memory = after;
    }
    panic!("the course ends first")
}

#[test]
fn a_scale_in_comes_when_it_would_have_come_and_without_history_one_window_later() {
    const FALLS: usize = 100;
    const RESTART: usize = 110;
    let spec = format!("{TOTAL}smoothing: {{scaleDownHalfLifeSeconds: 0}}\n");
    let course = Course::run(policy(&spec), 400, falling(FALLS));
    let due = course.decisions.iter().rposition(|decision| decision.write == Some(10)).unwrap();
    assert!((FALLS + 19..FALLS + 40).contains(&due), "{due}");

    let (when, decision) = first_scale_in(&course, course.recollected(RESTART, 0, truth), RESTART);
    assert_eq!((when, decision.write), (due, Some(10)));
    let steps: Vec<_> = decision.steps.iter().map(|step| step.message.as_str()).collect();
    assert!(
        steps.iter().any(|step| step.contains("history before the operator's start was read back")),
        "{steps:?}"
    );

    // The window begins anew: until it is over the course stays at 20 as well.
    let stays = Course::run(policy(&format!("{spec}paused: [ScaleDown]\n")), 400, falling(FALLS));
    let mut refused = stays.restarted(RESTART);
    refused.without_history("Prometheus server \"main\": it is not there");
    let course = Course { policy: policy(&spec), ..stays };
    let (held, _) = decide(&course.policy, &course.world(RESTART), refused.clone(), at(RESTART));
    assert_eq!(held.reason, Reason::HistoryUnknown);
    for words in ["history could not be read, so nothing is removed before", "it is not there"] {
        let said = held.conditions.iter().any(|condition| condition.message.contains(words));
        assert!(held.message.contains(words) && said, "{held:#?}");
    }
    let (when, _) = first_scale_in(&course, refused, RESTART);
    assert_eq!(when, RESTART + 20, "a window of 300 s later");
}

#[test]
fn growth_does_not_wait_for_the_history_and_shrinking_does() {
    let policy = policy(&format!("{TOTAL}behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}\n"));
    for (value, write, reason) in
        [(3000.0, Some(30), Reason::AboveTarget), (1000.0, None, Reason::HistoryPending)]
    {
        let mut memory = Memory::default();
        memory.await_history();
        let world = observation(workload(20, at(0)), vec![fresh(value)]);
        let (decision, _) = decide(&policy, &world, memory, at(0));
        assert_eq!((decision.write, decision.reason), (write, reason), "{decision:#?}");
    }
}

#[test]
fn of_an_unknown_count_the_largest_is_taken() {
    // A level: 20 pods at their target now. Before the oldest change that is remembered they may have been 50.
    let policy = policy(LEVEL);
    let present = workload(20, at(100));
    let moments = Moments { first: at(40), step: STEP, count: 60 };
    let history = |counts| History { moments, readings: vec![vec![fresh(42.0); 60]], counts };
    let change = |tick, from, to| Change { time: at(tick), from, to };
    for (name, counts, expected) in [
        ("stood all the time", PastCounts { changes: vec![], stood: Some((at(0), 20)) }, 12),
        ("nothing is known", PastCounts::default(), 20),
        (
            "somebody else changed it in between",
            PastCounts { changes: vec![change(50, 40, 20), change(95, 34, 20)], stood: Some((at(95), 20)) },
            20,
        ),
        (
            "a change long ago",
            PastCounts { changes: vec![change(50, 40, 20)], stood: Some((at(50), 20)) },
            12,
        ),
    ] {
        let memory = Memory::default().with_history(&policy, &history(counts), &[], &present, at(100));
        let world = observation(present.clone(), vec![fresh(42.0)]);
        let (decision, _) = decide(&policy, &world, memory, at(100));
        assert_eq!(decision.desired, Some(expected), "{name}: {decision:#?}");
    }
}
