//! The time before a memory began, decided once more: after a restart nothing is removed earlier, or further, than if
//! there had been none, and nothing need wait where the past is known.

use serde::{Deserialize, Serialize};

use super::decide::decide;
use super::limits::rollout_shape;
use super::memory::{Memory, Past, SignalMemory};
use super::observation::{Observation, Overrides, Pod, PodId, Rollout, ScalabilityView, Target, Workload};
use super::policy::{Policy, Signal};
use super::stabilization::{FLAPPING_SPAN, MISSED_EVALUATIONS, kept, widest};
use super::trend::LOOKS_BACK;
use crate::api::{Role, TargetKind};
use crate::ceiling::connections::RolloutShape;
use crate::signal::{Moments, Reading};
use crate::time::{Span, Time};

/// After so many half-lives a moving average has forgotten where it began, to one part in 65,536.
const HALF_LIVES: u64 = 16;
/// From so many reversals on, the scale-in window may widen before it has passed once.
const NEAR_FLAPPING: u32 = 2;
/// The most moments asked for.
const MOST_MOMENTS: u64 = 20_000;

/// What is known of the time before a memory began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The moments, oldest first.
    pub moments: Moments,
    /// For each metric, in the policy's order, what it would have been read as at each of the moments.
    pub readings: Vec<Vec<Reading>>,
    /// The counts then.
    pub counts: PastCounts,
}

/// What is known of past counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastCounts {
    /// Changes that were made, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// A count that is known to have stood from a moment on, until nobody looked any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<(Time, u32)>,
}

/// A change of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When it was written.
    pub time: Time,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
}

/// What became of the question about the time before a memory began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recollection {
    /// It was asked; until there is an answer, nothing is removed.
    Awaited,
    /// It was answered.
    Known(Box<History>),
    /// It was not, for this reason: nothing is removed for a whole scale-down window from the beginning on.
    Refused(String),
}

impl PastCounts {
    /// The count at a past moment, where it is known; else the largest that it may have been. `present` is the count
    /// now.
    fn at(&self, then: Time, present: u32, most: u32) -> u32 {
        if let Some((since, stood)) = self.stood
            && since < then
        {
            return stood.max(present);
        }
        let after = self.changes.iter().find(|change| change.time >= then).map(|change| change.from);
        let after = after.or_else(|| self.stood.map(|(_, stood)| stood)).unwrap_or(present);
        match self.changes.iter().rev().find(|change| change.time < then) {
            // Where the two differ somebody else changed it in between, nobody knows when.
            Some(before) => before.to.max(after),
            None => most.max(after),
        }
    }
}

impl Policy {
    /// How much of the past a memory needs to be as if it had never begun anew: the scale-in window, as wide as it may
    /// soon be, and what the smoothing remembers.
    pub fn history_needed(&self, memory: &Memory, now: Time) -> Span {
        let near_flapping = memory.changes.reversals(FLAPPING_SPAN, now) >= NEAR_FLAPPING;
        let window = if near_flapping { widest(self) } else { self.scale_down.window };
        let windows = (window + self.scale_down_delay()).max(self.scale_up.window);
        let smoothing = self.scale_up_half_life.max(self.scale_down_half_life).times(HALF_LIVES);
        // What lies exactly at the edge of a window is out of it.
        let edge = self.polling_interval.times(2);
        let trend = if self.signals.iter().any(Signal::tells_load) { LOOKS_BACK } else { Span::ZERO };
        (windows + smoothing + trend + edge).min(self.polling_interval.times(MOST_MOMENTS))
    }

    fn has_levels(&self) -> bool {
        let is_level = |kind| kind != TargetKind::AverageValue;
        self.signals.iter().any(|signal| signal.role == Role::Leading && is_level(signal.kind))
    }
}

/// Signals as they were replayed, with the headroom that was learnt meanwhile: of a day and more, not of one window.
fn keeping(own: &[SignalMemory], replayed: Vec<SignalMemory>) -> Vec<SignalMemory> {
    let with_own = |mut signal: SignalMemory| {
        if let Some(own) = own.iter().find(|own| own.name == signal.name) {
            signal.calibration.take_over(own.calibration.clone());
        }
        signal
    };
    replayed.into_iter().map(with_own).collect()
}

impl Memory {
    /// This memory as it would be had it begun with the `history`. `lived` are the evaluations since it began, oldest
    /// first, and `workload` is the workload as it is `now`, whose shape is assumed for the past as well.
    ///
    /// The readings are decided on once more, one moment after the other; nothing of these decisions is kept but what
    /// they leave in memory. Where the past is not known, a scale-in waits as it does in a new memory; where only a
    /// count is not known, the largest is taken that it may have been, which can only keep pods.
    #[must_use]
    pub fn with_history(
        self,
        policy: &Policy,
        history: &History,
        lived: &[(Time, Observation)],
        workload: &Workload,
        now: Time,
    ) -> Self {
        let began = lived.first().map_or(now, |(at, _)| *at);
        // A count that this memory has changed since it began says nothing of the time before.
        let present =
            lived.first().and_then(|(_, seen)| spec_replicas(seen)).unwrap_or(workload.spec_replicas);
        let scene = Scene::new(policy, history, workload, present, rollout_shape(workload, &self), began);
        let mut replay = Replay {
            policy,
            memory: Self {
                start_up: self.start_up.clone(),
                drain: self.drain.clone(),
                slo: self.slo.learnt(),
                // Pods that are made up teach nothing.
                last_evaluation: Some(history.moments.first.min(began)),
                ..Self::default()
            },
            largest: scene
                .largest
                .max(workload.spec_replicas)
                .max(lived.iter().filter_map(|(_, seen)| spec_replicas(seen)).max().unwrap_or(0)),
            since: None,
        };
        for at in 0..history.moments.count {
            let then = history.moments.at(at);
            if then < began && replay.decide(&scene.observation(at), then) {
                replay.resume(then);
            }
        }
        for (then, observation) in lived {
            let blank = replay.since.is_none();
            if replay.decide(observation, *then) && blank {
                replay.resume(*then);
            }
        }
        let Replay { memory: replayed, since, .. } = replay;
        Self {
            last_recommendation: replayed.last_recommendation,
            signals: keeping(&self.signals, replayed.signals),
            scale_up: replayed.scale_up,
            scale_down: replayed.scale_down,
            born: replayed.born.or(self.born),
            past: Past::Known { since: since.unwrap_or(began), began },
            ..self
        }
    }

    /// Takes note that the time before this memory began has been asked for: until there is an answer nothing is
    /// removed.
    pub fn await_history(&mut self) {
        self.past = Past::Awaited;
    }

    /// Takes note that the time before this memory began stays unknown, and why.
    pub fn without_history(&mut self, why: &str) {
        self.past = Past::Refused(why.to_owned());
    }
}

/// The decisions of the past, made once more.
struct Replay<'a> {
    policy: &'a Policy,
    memory: Memory,
    /// The largest count of all the time.
    largest: u32,
    /// Since when there has been a recommendation at every evaluation.
    since: Option<Time>,
}

impl Replay<'_> {
    /// Decides once more. Tells whether recommendations begin here, or go on after a gap.
    fn decide(&mut self, observation: &Observation, then: Time) -> bool {
        let before = self.memory.last_recommendation;
        let memory = std::mem::take(&mut self.memory);
        self.memory = decide(self.policy, observation, memory, then).1;
        let gap = self.policy.polling_interval.times(MISSED_EVALUATIONS);
        let recommends = self.memory.last_recommendation == Some(then);
        recommends && before.is_none_or(|before| then.since(before) > gap)
    }

    /// What was wanted before is not known: it may have been all there ever was.
    fn resume(&mut self, then: Time) {
        self.memory.scale_down.push(self.largest, then, kept(self.policy));
        self.since = Some(then);
    }
}

/// The past as `decide` is told of it.
struct Scene<'a> {
    history: &'a History,
    workload: &'a Workload,
    shape: RolloutShape,
    /// The counts at the moments.
    counts: Vec<u32>,
    largest: u32,
    /// The oldest pod there is: no rollout has replaced it.
    oldest_pod: Option<Time>,
}

impl<'a> Scene<'a> {
    fn new(
        policy: &Policy,
        history: &'a History,
        workload: &'a Workload,
        present: u32,
        shape: RolloutShape,
        began: Time,
    ) -> Self {
        // A total does not depend on the count; an average is the more the more pods it was taken over.
        let most = if policy.has_levels() { policy.max } else { 0 };
        // Counts are taken a moment too late rather than too early: pods may still serve just after they were removed.
        let count = |then: Time| {
            let before = then - policy.polling_interval;
            let at = |time| history.counts.at(time, present, most);
            if policy.has_levels() { at(then).max(at(before)) } else { at(then) }
        };
        let counts: Vec<_> = history.moments.iter().filter(|then| *then < began).map(count).collect();
        let largest = counts.iter().copied().max().unwrap_or(0).max(present);
        let oldest_pod = workload.pods.iter().map(|pod| pod.created).min();
        Self { history, workload, shape, counts, largest, oldest_pod }
    }

    fn observation(&self, at: u32) -> Observation {
        let position = usize::try_from(at).unwrap_or(usize::MAX);
        let then = self.history.moments.at(at);
        let replicas = self.counts.get(position).copied().unwrap_or(self.largest);
        let readings =
            self.history.readings.iter().map_while(|readings| readings.get(position).cloned()).collect();
        Observation {
            readings,
            target: Target::Seen(self.workload_at(then, replicas)),
            overrides: Overrides::default(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: Vec::new(),
        }
    }

    fn workload_at(&self, then: Time, replicas: u32) -> Workload {
        let replaced = self.oldest_pod.is_none_or(|oldest| oldest > then);
        let surge = if replaced || self.workload.rollout != Rollout::Settled {
            self.shape.surge(replicas)
        } else {
            0
        };
        let long_ago = Time::from_millis(0);
        let pod = |id| Pod {
            id: PodId(id),
            created: long_ago,
            ready_since: Some(long_ago),
            terminating_since: None,
        };
        Workload {
            spec_replicas: replicas,
            pods: (0..u64::from(replicas.saturating_add(surge))).map(pod).collect(),
            departed: Vec::new(),
            rollout: Rollout::Settled,
            revision: 0,
            update: self.workload.update,
            termination_grace: self.workload.termination_grace,
            progress_deadline: self.workload.progress_deadline,
            zones: self.workload.zones,
        }
    }
}

fn spec_replicas(observation: &Observation) -> Option<u32> {
    match &observation.target {
        Target::Seen(workload) => Some(workload.spec_replicas),
        Target::Unseen(_) => None,
    }
}
