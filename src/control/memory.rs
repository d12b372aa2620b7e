//! What `decide` remembers from one evaluation to the next.

use super::decision::{Drain, StartUp};
use super::diagnosis::Bottleneck;
use super::guard::GuardMemory;
use super::headroom::{Calibration, LeadTime};
use super::moment;
use super::observation::{Lesson, Workload};
use super::overwritten::Overwritten;
use super::policy::{Compat, Policy};
use super::rate::Changes;
use super::scalability::{RecalledScalability, ScalabilityMemory};
use super::slo::SloMemory;
use super::stabilization::MISSED_EVALUATIONS;
use super::trend::Trend;
use super::window::{Extreme, Window};
use super::zones::ZoneMemory;
use crate::api::Role;
use crate::capacity::Durations;
use crate::signal::{MovingAverage, Quality, Reading, is_sound};
use crate::time::{Span, Time};

/// Fewest measured durations that are believed.
const ENOUGH: u32 = 5;
/// How long after an evaluation a pod's start may still come to light.
const LATE_NEWS: Span = Span::from_seconds(60);

/// What `decide` remembers from one evaluation to the next. Empty at first: then nothing is scaled in for a whole
/// scale-down window.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// When this memory began.
    pub(super) born: Option<Time>,
    /// The evaluation before this one.
    pub(super) last_evaluation: Option<Time>,
    /// The last evaluation that left a recommendation for scale-in.
    pub(super) last_recommendation: Option<Time>,
    /// The last evaluation at which a leading signal was fit to use.
    pub(super) last_fresh: Option<Time>,
    /// One entry a signal.
    pub(super) signals: Vec<SignalMemory>,
    /// One entry a guard.
    pub(super) guards: Vec<GuardMemory>,
    /// Where the bottleneck is.
    pub(super) bottleneck: Bottleneck,
    /// What the leading signals needed when they were last fit to use, or the count when they never were: what safety nets
    /// add is measured by it.
    pub(super) leading_need: Option<u32>,
    /// Recommendations, for growth.
    pub(super) scale_up: Window<u32>,
    /// Recommendations, for shrinking.
    pub(super) scale_down: Window<u32>,
    /// Changes that we made and saw land.
    pub(super) changes: Changes,
    /// The last change that we asked for, until it is seen to have landed.
    pub(super) asked: Option<Asked>,
    /// Since when pods that were asked for have been missing.
    pub(super) missing_since: Option<Time>,
    /// The revision that is being rolled out, and when it was last seen to move.
    pub(super) rollout_progress: Option<(u64, Time)>,
    /// The count as it was seen last, or asked for.
    pub(super) expected: Option<u32>,
    /// Counts set by others.
    pub(super) overwritten: Overwritten,
    /// Time from creation to Ready.
    pub(super) start_up: Durations,
    /// Pods that were Ready by then are in the start-up times that were recalled.
    pub(super) start_up_until: Option<Time>,
    /// Time from the request to shut down until a pod was gone.
    pub(super) drain: Durations,
    /// Where an error budget has moved the targets.
    pub(super) slo: SloMemory,
    /// The workload's scalability law, as far as it is known.
    pub(super) scalability: ScalabilityMemory,
    /// The zones that its pods are in.
    pub(super) zones: ZoneMemory,
    /// What is known of the time before.
    pub(super) past: Past,
}

/// What is known of the time before a memory began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Past {
    /// There is none to know of.
    #[default]
    None,
    /// It was asked for.
    Awaited,
    /// It was decided on once more.
    Known {
        /// Since when every recommendation is known.
        since: Time,
        /// When the memory began by itself.
        began: Time,
    },
    /// It stays unknown, for this reason.
    Refused(String),
}

/// What is remembered of one signal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SignalMemory {
    /// Name of the metric that this is about.
    pub(super) name: String,
    /// For judging.
    pub(super) quality: Quality,
    /// Need, smoothed for growth.
    pub(super) fast: MovingAverage,
    /// Need, smoothed for shrinking.
    pub(super) slow: MovingAverage,
    /// Need as growth sees it.
    pub(super) need: Window<f64>,
    /// The last step that this safety net asked for.
    pub(super) net_step: Option<NetStep>,
    /// That step did not help.
    pub(super) net_ineffective: bool,
    /// Headroom, as far as it was learnt.
    pub(super) calibration: Calibration,
    /// Where the need is going.
    pub(super) trend: Trend,
}

/// A step that a safety net asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NetStep {
    pub(super) at: Time,
    pub(super) value: f64,
    pub(super) replicas: u32,
}

/// A change that we asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) at: Time,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            born: None,
            last_evaluation: None,
            last_recommendation: None,
            last_fresh: None,
            signals: Vec::new(),
            guards: Vec::new(),
            bottleneck: Bottleneck::default(),
            leading_need: None,
            scale_up: Window::new(Extreme::Smallest),
            scale_down: Window::new(Extreme::Largest),
            changes: Changes::default(),
            asked: None,
            missing_since: None,
            rollout_progress: None,
            expected: None,
            overwritten: Overwritten::default(),
            start_up: Durations::default(),
            start_up_until: None,
            drain: Durations::default(),
            slo: SloMemory::default(),
            scalability: ScalabilityMemory::default(),
            zones: ZoneMemory::default(),
            past: Past::None,
        }
    }
}

impl Default for SignalMemory {
    fn default() -> Self {
        Self {
            name: String::new(),
            quality: Quality::default(),
            fast: MovingAverage::default(),
            slow: MovingAverage::default(),
            need: Window::new(Extreme::Largest),
            net_step: None,
            net_ineffective: false,
            calibration: Calibration::default(),
            trend: Trend::default(),
        }
    }
}

impl Memory {
    /// A memory that knows of a change made before it began, for example from status after a restart. Call it in
    /// order of time.
    pub fn recall_change(&mut self, from: u32, to: u32, time: Time) {
        self.changes.record(from, to, time);
    }

    /// A memory that knows of changes, before those it recalls, after which the direction changed.
    pub fn recall_reversals(&mut self, turns: &[Time]) {
        self.changes.recall_turns(turns);
    }

    /// A memory that knows how long pods took to go before it began, for example from status after a restart.
    pub fn recall_drain(&mut self, drain: Drain) {
        self.drain = Durations::recalled(drain.p50, drain.p90, drain.longest, drain.samples);
    }

    /// A memory that knows the zones that pods were in, for example from status after a restart.
    pub fn recall_zones(&mut self, zones: u32) {
        self.zones = ZoneMemory::recalled(zones);
    }

    /// A memory that knows how long pods took to start that were Ready by a moment before it began, for example from
    /// status after a restart. They are not counted once more.
    pub fn recall_start_up(&mut self, start_up: StartUp, until: Time) {
        self.start_up = Durations::recalled(start_up.p50, start_up.p90, start_up.p90, start_up.samples);
        self.start_up_until = Some(until);
    }

    /// A memory that knows where an error budget had moved the targets before it began, in whole percent of themselves.
    pub fn recall_slo(&mut self, percent: u32) {
        self.slo = SloMemory::recalled(percent);
    }

    /// A memory that knows of a scalability ceiling from before it began, for example from status after a restart.
    pub fn recall_scalability(&mut self, known: RecalledScalability) {
        self.scalability.recall(known);
    }

    /// From when on the workload's throughput is of use for its scalability law; none before the workload was seen.
    pub fn scalability_since(&self) -> Option<Time> {
        self.scalability.since()
    }

    /// Why a scale-in still waits for the time before this memory to pass out of the scale-in `window`, if it does.
    pub(super) fn unknown_past(&self, window: Span, now: Time) -> Option<String> {
        let open = |since: &Time| now.since(*since) < window;
        match &self.past {
            Past::None | Past::Awaited => None,
            Past::Known { since, .. } => Some(*since).filter(open).map(|since| {
                let (since, until) = (moment(since), moment(since + window));
                format!("history is known from {since} on only, so nothing is removed before {until}")
            }),
            Past::Refused(why) => self.born.filter(open).map(|born| {
                let until = moment(born + window);
                format!("history could not be read, so nothing is removed before {until}: {why}")
            }),
        }
    }

    /// How far history was read back, while the scale-in `window` needs it.
    pub(super) fn known_past(&self, window: Span, now: Time) -> Option<String> {
        match &self.past {
            Past::Known { since, began } if now.since(*began) < window => {
                Some(format!("history before the operator's start was read back to {}", moment(*since)))
            }
            _ => None,
        }
    }

    /// Takes note that the count asked for last was accepted; another one seen next was set by somebody else.
    pub fn note_written(&mut self) {
        self.expected = self.asked.map(|asked| asked.to).or(self.expected);
    }

    /// Takes note that a leading signal could be read at an evaluation at which the workload could not: the fallback
    /// counts the time without a signal.
    pub(super) fn note_sound(&mut self, policy: &Policy, readings: &[Reading], now: Time) {
        let mut signals = policy.signals.iter().zip(readings);
        if self.born.is_some()
            && signals.any(|(signal, reading)| signal.role == Role::Leading && is_sound(signal, reading))
        {
            self.last_fresh = Some(now);
        }
    }

    /// Takes note of the time, and of a change that has landed.
    pub(super) fn begin(&mut self, policy: &Policy, spec_replicas: u32, now: Time) {
        self.follow_the_clock(policy.polling_interval, now);
        if self.born.is_none() {
            self.born = Some(now);
            self.last_fresh = Some(now);
        }
        self.signals.resize_with(policy.signals.len(), SignalMemory::default);
        for (memory, signal) in self.signals.iter_mut().zip(&policy.signals) {
            if memory.name != signal.name {
                *memory = SignalMemory { name: signal.name.clone(), ..SignalMemory::default() };
            }
        }
        let ours = self.asked.map(|asked| asked.to).into_iter().chain(self.expected);
        let others = self.expected.is_some_and(|expected| expected > 0) && spec_replicas > 0;
        if others && ours.into_iter().all(|ours| ours != spec_replicas) {
            self.overwritten.see(spec_replicas, now);
        }
        self.expected = Some(spec_replicas);
        if let Some(asked) = self.asked
            && asked.to == spec_replicas
        {
            match policy.compat {
                Compat::None => self.changes.record(asked.from, asked.to, asked.at),
                Compat::Hpa => {
                    self.changes.record_as_hpa(
                        asked.from,
                        asked.to,
                        asked.at,
                        &policy.scale_up,
                        &policy.scale_down,
                    );
                }
            }
            self.asked = None;
        }
    }

    /// A clock that jumped must not make what was noted before it look like what it is not.
    fn follow_the_clock(&mut self, polling_interval: Span, now: Time) {
        if let Some(last) = self.last_evaluation {
            if now + polling_interval < last {
                // Notes from the future would hold everything until the clock is there again. What was measured stays
                // true; the rest is forgotten, as in a restart.
                *self = Self {
                    changes: std::mem::take(&mut self.changes),
                    asked: self.asked.map(|asked| Asked { at: now, ..asked }),
                    start_up: std::mem::take(&mut self.start_up),
                    drain: std::mem::take(&mut self.drain),
                    slo: self.slo.learnt(),
                    scalability: std::mem::take(&mut self.scalability),
                    zones: ZoneMemory::recalled(self.zones.known()),
                    signals: Self::learnt(&self.signals),
                    guards: std::mem::take(&mut self.guards),
                    ..Self::default()
                };
            } else if now.since(last) > polling_interval.times(MISSED_EVALUATIONS) {
                // Nobody looked in between, so nobody knows that there was no data.
                let unseen = now.since(last).minus(polling_interval);
                self.last_fresh = self.last_fresh.map(|fresh| (fresh + unseen).min(now));
            }
        }
        self.changes.not_after(now);
    }

    /// Learns start-up and drain times from pods that became Ready, or went, since the last evaluation.
    pub(super) fn learn(&mut self, workload: &Workload, now: Time) {
        let news = self.last_evaluation.map(|last| last - LATE_NEWS);
        let recalled = |ready_since| self.start_up_until.is_some_and(|until| ready_since <= until);
        for pod in &workload.pods {
            if let Some(ready_since) = pod.ready_since
                && news.is_none_or(|news| ready_since >= news)
                && !recalled(ready_since)
            {
                let took = ready_since.since(pod.created);
                // A pod that turned Ready again, long after its start, tells nothing of starting.
                if took <= workload.progress_deadline {
                    self.start_up.learn(pod.id, took);
                }
            }
        }
        for departed in &workload.departed {
            self.drain.learn(departed.id, departed.drain);
        }
        self.last_evaluation = Some(now);
    }

    /// Learns headroom from the past of metrics.
    pub(super) fn learn_headroom(&mut self, policy: &Policy, lessons: &[Lesson], ahead: &LeadTime) {
        for lesson in lessons {
            let known = policy.signals.iter().zip(&mut self.signals);
            let Some((signal, memory)) =
                known.into_iter().find(|(signal, _)| signal.name == lesson.metric && signal.tells_load())
            else {
                continue;
            };
            let mut calibration = Calibration::default();
            for (at, value) in lesson.moments.iter().zip(&lesson.values) {
                match value {
                    Some(value) if value.is_finite() && *value >= 0.0 => {
                        let need = value / signal.target;
                        calibration.observe(need, need, policy.calibrated.most, ahead, at);
                    }
                    _ => calibration.interrupt(),
                }
            }
            calibration.interrupt();
            memory.calibration.be_taught(calibration);
        }
    }

    /// What was learnt of signals, without what belongs to the present.
    fn learnt(signals: &[SignalMemory]) -> Vec<SignalMemory> {
        let learnt = |signal: &SignalMemory| SignalMemory {
            name: signal.name.clone(),
            calibration: signal.calibration.clone(),
            ..SignalMemory::default()
        };
        signals.iter().map(learnt).collect()
    }

    /// Start-up times, once enough are known.
    pub(super) fn known_start_up(&self) -> Option<&Durations> {
        (self.start_up.len() >= ENOUGH).then_some(&self.start_up)
    }

    /// Drain times, once enough are known.
    pub(super) fn known_drain(&self) -> Option<&Durations> {
        (self.drain.len() >= ENOUGH).then_some(&self.drain)
    }
}
