//! Guards: what stands behind the workload, watched. While it suffers the count is held, for a time.

use serde::{Deserialize, Serialize};

use super::decision::Limit;
use super::limits::Bound;
use super::memory::Memory;
use super::policy::{Guard, Policy};
use super::reason::Reason;
use super::trail::spelled;
use super::{moment, policy::Compat};
use crate::api::{Comparison, GuardAction, OnMissing};
use crate::capacity::Counts;
use crate::number::percent_rounded_up;
use crate::signal::{Age, Answer, Judged, Quality, Reading, SignalState, Surroundings};
use crate::time::{Span, Time};

/// A step of a guard is this share of the count, and at least one pod.
const STEP_PERCENT: u32 = 10;
/// Guards of different policies expire apart, by at most this share of their longest time …
const SPREAD_SHARE: u64 = 10;
/// … and at most this much.
const LONGEST_SPREAD: Span = Span::from_seconds(300);

/// What a guard does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardState {
    /// Nothing.
    #[default]
    Inactive,
    /// It holds the count.
    Active,
    /// It holds the count, though its value is good again: the hold has not passed.
    Releasing,
    /// It has held the count for as long as it may, and lets it move step by step.
    Expired,
}

/// Since when a guard has been active, and what has happened since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// When it became active.
    pub since: Time,
    /// The count then.
    pub replicas: u32,
    /// Since when its value has been good again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_since: Option<Time>,
    /// When the count last moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_step: Option<Time>,
}

/// A guard as judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardReport {
    /// Name of the guard.
    pub name: String,
    /// What the count may not do while it is active.
    pub action: GuardAction,
    /// What it does.
    pub state: GuardState,
    /// Whether its value is fit to use.
    pub signal: SignalState,
    /// The value seen, in the query's own unit.
    pub value: Option<f64>,
    /// The threshold, in the query's own unit.
    pub threshold: f64,
    /// The value is fit to use and beyond the threshold.
    pub beyond: bool,
    /// Since when it has been active, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Until when it holds the count at the latest, if it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What is wrong with its value and what to do; empty if nothing is.
    pub fault: String,
    /// One sentence: what it reads and does.
    pub message: String,
}

/// What is remembered of one guard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GuardMemory {
    name: String,
    quality: Quality,
    activation: Option<Activation>,
}

impl GuardMemory {
    /// Moments from a clock that was ahead must not hold anything until that clock's time has come.
    pub(super) fn not_after(&mut self, now: Time) {
        if let Some(activation) = &mut self.activation {
            activation.since = activation.since.min(now);
            activation.good_since = activation.good_since.map(|at| at.min(now));
            activation.last_step = activation.last_step.map(|at| at.min(now));
        }
    }

    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl Memory {
    /// A memory that knows that a guard was active before it began, for example from status after a restart.
    pub fn recall_guard(&mut self, name: &str, activation: Activation) {
        self.guards.retain(|guard| guard.name != name);
        self.guards.push(GuardMemory { activation: Some(activation), ..GuardMemory::of(name) });
    }

    /// One entry a guard of the policy, in its order.
    fn follow_guards(&mut self, policy: &Policy, now: Time) {
        let in_step = self.guards.len() == policy.guards.len()
            && self.guards.iter().zip(&policy.guards).all(|(memory, guard)| memory.name == guard.signal.name);
        if !in_step {
            let mut before = std::mem::take(&mut self.guards);
            let mut take = |name: &str| {
                let found = before.iter_mut().find(|memory| memory.name == name);
                found.map_or_else(|| GuardMemory::of(name), std::mem::take)
            };
            self.guards = policy.guards.iter().map(|guard| take(&guard.signal.name)).collect();
        }
        self.guards.iter_mut().for_each(|guard| guard.not_after(now));
    }

    /// Takes note that the count moves: under a guard the next step waits.
    pub(super) fn note_step(&mut self, now: Time) {
        for activation in self.guards.iter_mut().filter_map(|guard| guard.activation.as_mut()) {
            activation.last_step = Some(now);
        }
    }
}

/// All guards of a policy at one moment.
#[derive(Debug)]
pub(super) struct Guards<'a> {
    watched: Vec<Watched<'a>>,
    /// Replicas asked for.
    spec: u32,
    now: Time,
}

#[derive(Debug)]
struct Watched<'a> {
    guard: &'a Guard,
    judged: Judged,
    verdict: Verdict,
    activation: Option<Activation>,
    state: GuardState,
    /// When it has held the count for as long as it may.
    expires: Option<Time>,
    /// It has expired, and the step before has passed.
    may_step: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Beyond the threshold, or unfit and taken as such.
    Bad,
    /// Between the two thresholds, or unfit and not taken as anything.
    Between,
    /// At the release threshold or better, or unfit and taken as such.
    Good,
}

/// What a guard that steps down wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepDown<'a> {
    /// Nothing.
    None,
    /// A step, once the age of its value is measured at the evaluation itself.
    AwaitsAge,
    /// This count, on account of this guard.
    To(u32, &'a str),
}

/// Judges every guard, and moves it on. Where the workload could not be seen (`spec` is none), nothing begins or ends.
pub(super) fn watch<'a>(
    policy: &'a Policy,
    readings: &[Reading],
    memory: &mut Memory,
    counts: &Counts,
    spec: Option<u32>,
    now: Time,
) -> Guards<'a> {
    let mut watched = Vec::new();
    if policy.compat == Compat::None {
        memory.follow_guards(policy, now);
        let unread = Reading {
            answer: Answer::Failed("the guard was not read at this evaluation".to_owned()),
            warnings: Vec::new(),
            age: Age::Unknown("not read".to_owned()),
            covered_pods: None,
        };
        let readings = readings.iter().chain(std::iter::repeat(&unread));
        let spread = |guard: &Guard| {
            let most = Span::from_millis(guard.longest.millis().div_euclid(SPREAD_SHARE));
            policy.spread(most.min(LONGEST_SPREAD))
        };
        for ((guard, reading), memory) in policy.guards.iter().zip(readings).zip(&mut memory.guards) {
            let surroundings = Surroundings { serving: counts.serving, largest_value: f64::INFINITY, now };
            let judged = memory.quality.judge(&guard.signal, reading, &surroundings);
            let verdict = verdict(guard, &judged);
            if let Some(spec) = spec {
                memory.activation = next(guard, verdict, memory.activation, spec, now);
            }
            let activation = memory.activation;
            let lasts = guard.longest.minus(if policy.seed == 0 { Span::ZERO } else { spread(guard) });
            let expires = activation.map(|activation| activation.since + lasts);
            let state = state(activation, expires, now);
            let rested = activation
                .is_some_and(|held| held.last_step.is_none_or(|last| now.since(last) >= guard.hold));
            let may_step = state == GuardState::Expired && rested && counts.ordered == 0;
            watched.push(Watched { guard, judged, verdict, activation, state, expires, may_step });
        }
    }
    Guards { watched, spec: spec.unwrap_or(0), now }
}

fn verdict(guard: &Guard, judged: &Judged) -> Verdict {
    let (threshold, release) = (guard.signal.target, guard.release);
    match judged.value.filter(|_| judged.is_fresh()) {
        Some(value) => {
            let (bad, good) = match guard.comparison {
                Comparison::GreaterThan => (value > threshold, value <= release),
                Comparison::LessThan => (value < threshold, value >= release),
            };
            match (bad, good) {
                (true, _) => Verdict::Bad,
                (_, true) => Verdict::Good,
                _ => Verdict::Between,
            }
        }
        None => match guard.on_missing {
            OnMissing::Hold => Verdict::Between,
            OnMissing::Ignore => Verdict::Good,
            OnMissing::Activate => Verdict::Bad,
        },
    }
}

/// Between the thresholds nothing begins and nothing ends; what is good must stay so for the whole hold.
fn next(
    guard: &Guard,
    verdict: Verdict,
    activation: Option<Activation>,
    spec: u32,
    now: Time,
) -> Option<Activation> {
    let Some(activation) = activation else {
        let begun = Activation { since: now, replicas: spec, good_since: None, last_step: None };
        return (verdict == Verdict::Bad).then_some(begun);
    };
    let good_since =
        (verdict == Verdict::Good).then(|| activation.good_since.map_or(now, |since| since.min(now)));
    let over = good_since.is_some_and(|since| now.since(since) >= guard.hold);
    (!over).then_some(Activation { good_since, ..activation })
}

fn state(activation: Option<Activation>, expires: Option<Time>, now: Time) -> GuardState {
    match activation {
        None => GuardState::Inactive,
        Some(_) if expires.is_some_and(|expires| now >= expires) => GuardState::Expired,
        Some(Activation { good_since: Some(_), .. }) => GuardState::Releasing,
        Some(_) => GuardState::Active,
    }
}

/// The pods that one step adds or removes.
fn step(count: u32) -> u32 {
    percent_rounded_up(count, STEP_PERCENT).max(1)
}

impl Watched<'_> {
    fn name(&self) -> &str {
        &self.guard.signal.name
    }

    fn acts(&self) -> bool {
        self.state != GuardState::Inactive
    }

    fn growth(&self, spec: u32) -> Option<u32> {
        let activation = self.activation?;
        let held = match self.guard.action {
            GuardAction::BlockScaleDown => return None,
            GuardAction::CapAtCurrent => activation.replicas.max(spec),
            GuardAction::BlockScaleUp | GuardAction::Freeze | GuardAction::StepDown => spec,
        };
        Some(if self.may_step { held.saturating_add(step(held)) } else { held })
    }

    fn floor(&self, spec: u32) -> u32 {
        match self.state {
            GuardState::Inactive => 0,
            GuardState::Expired if self.may_step => spec.saturating_sub(step(spec)),
            _ => spec,
        }
    }

    fn reason(&self) -> Reason {
        match self.state {
            GuardState::Expired => Reason::GuardExpired,
            _ => Reason::GuardActive,
        }
    }

    fn is_beyond(&self) -> bool {
        self.judged.is_fresh() && self.verdict == Verdict::Bad
    }

    /// What it reads, as a part of a sentence.
    fn reads(&self) -> String {
        let (name, guard) = (self.name(), self.guard);
        let Some(value) = self.judged.value.filter(|_| self.judged.is_fresh()) else {
            let taken = match guard.on_missing {
                OnMissing::Hold => "it stays as it is",
                OnMissing::Ignore => "that counts as good",
                OnMissing::Activate => "that counts as bad",
            };
            return format!("guard {name} is {:?} ({taken})", self.judged.state);
        };
        let (bad, good) = match guard.comparison {
            Comparison::GreaterThan => ("above", "not above"),
            Comparison::LessThan => ("below", "not below"),
        };
        let value = spelled(value);
        let threshold = spelled(guard.signal.target);
        match self.verdict {
            Verdict::Bad => format!("guard {name} reads {value}, {bad} {threshold}"),
            Verdict::Between => {
                format!("guard {name} reads {value}, still {bad} its release at {}", spelled(guard.release))
            }
            Verdict::Good => format!("guard {name} reads {value}, {good} {}", spelled(guard.release)),
        }
    }

    fn message(&self) -> String {
        let reads = self.reads();
        let Some((activation, expires)) = self.activation.zip(self.expires) else { return reads };
        let (since, until) = (moment(activation.since), moment(expires));
        let held = match self.guard.action {
            GuardAction::BlockScaleUp => "nothing is added or removed by demand".to_owned(),
            GuardAction::BlockScaleDown => "nothing is removed by demand".to_owned(),
            GuardAction::Freeze => "the count is frozen".to_owned(),
            GuardAction::CapAtCurrent => {
                format!("the count does not grow beyond {}", activation.replicas)
            }
            GuardAction::StepDown => {
                format!("nothing is added, and a tenth of the pods goes each {}", self.guard.hold)
            }
        };
        match (self.state, activation.good_since) {
            (GuardState::Releasing, Some(good)) => {
                let ends = moment((good + self.guard.hold).min(expires));
                format!("{reads}: {held} since {since}; it ends at {ends} if it stays so")
            }
            (GuardState::Expired, _) => format!(
                "{reads}: active since {since}, longer than its {}, so the count may move by a tenth each {}",
                self.guard.longest, self.guard.hold
            ),
            _ => format!("{reads}: {held} since {since}, until {until} at the latest"),
        }
    }

    fn report(&self) -> GuardReport {
        let expired = self.state == GuardState::Expired;
        GuardReport {
            name: self.name().to_owned(),
            action: self.guard.action,
            state: self.state,
            signal: self.judged.state,
            value: self.judged.value,
            threshold: self.guard.signal.target,
            beyond: self.is_beyond(),
            activation: self.activation,
            until: self.expires.filter(|_| !expired),
            fault: self.judged.message.clone(),
            message: self.message(),
        }
    }
}

impl Guards<'_> {
    pub(super) fn reports(&self) -> Vec<GuardReport> {
        self.watched.iter().map(Watched::report).collect()
    }

    /// The first guard that is not inactive.
    pub(super) fn first(&self) -> Option<&str> {
        self.watched.iter().find(|watched| watched.acts()).map(Watched::name)
    }

    /// Where growth ends, if a guard ends it; no guard holds the count below `least`.
    pub(super) fn growth(&self, least: u32) -> Option<Bound> {
        let limits = self.watched.iter().filter_map(|watched| {
            let replicas = watched.growth(self.spec)?.max(least);
            Some(Bound { replicas, limit: Limit::Guard(watched.name().to_owned()) })
        });
        limits.min_by_key(|bound| bound.replicas)
    }

    /// The lowest count that demand may go to, with the reason, if a guard keeps it.
    pub(super) fn floor(&self) -> Option<(u32, Reason, String)> {
        let acting = self.watched.iter().filter(|watched| watched.acts());
        // The first of those that keep the most.
        let mut floor: Option<(u32, &Watched<'_>)> = None;
        for watched in acting {
            let kept = watched.floor(self.spec);
            if floor.is_none_or(|(most, _)| kept > most) {
                floor = Some((kept, watched));
            }
        }
        floor.map(|(kept, watched)| (kept, watched.reason(), watched.message()))
    }

    /// What each guard that acts leaves of a count, one after the other, with its sentence.
    pub(super) fn each_leaves(&self, mut wanted: u32, least: u32) -> Vec<(u32, u32, Reason, String)> {
        let mut steps = Vec::new();
        for watched in self.watched.iter().filter(|watched| watched.acts()) {
            let before = wanted;
            if wanted > self.spec {
                let most = watched.growth(self.spec).map(|most| most.max(least).max(self.spec));
                wanted = most.map_or(wanted, |most| wanted.min(most));
            } else {
                wanted = wanted.max(watched.floor(self.spec).min(self.spec));
            }
            steps.push((before, wanted, watched.reason(), watched.message()));
        }
        steps
    }

    /// A step down that is due: only a value that is fit to use, and bad at this very moment, removes anything.
    pub(super) fn step_down(&self) -> StepDown<'_> {
        let due = |watched: &&Watched<'_>| {
            let rested = watched.activation.is_some_and(|activation| {
                let last = activation.last_step.unwrap_or(activation.since);
                self.now.since(last.max(activation.since)) >= watched.guard.hold
            });
            watched.guard.action == GuardAction::StepDown
                && watched.state == GuardState::Active
                && watched.is_beyond()
                && rested
        };
        let mut due = self.watched.iter().filter(due).peekable();
        if due.peek().is_none() {
            return StepDown::None;
        }
        match due.find(|watched| watched.judged.age_proven) {
            Some(watched) => StepDown::To(self.spec.saturating_sub(step(self.spec)), watched.name()),
            None => StepDown::AwaitsAge,
        }
    }
}
