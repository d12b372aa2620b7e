//! A policy's course: evaluated now and then, served all the time.

use super::foresight::Foresight;
use super::learning::Learning;
use super::load::Cursor;
use super::plant::Plant;
use super::run::{Run, START, Sample, Settings, Stage};
use super::scaler::{Around, PolicyScaler};
use super::sensor::Sensor;
use super::service::Service;
use crate::api::Enforcement;
use crate::control::{BudgetShare, Decision, Memory};
use crate::number::{ceil_count, from_count};
use crate::time::Time;

/// A policy and its plant, on the way.
pub(super) struct Player<'a> {
    stage: Stage<'a>,
    scaler: &'a PolicyScaler,
    pub(super) plant: Plant,
    sensor: Sensor,
    learning: Option<Learning>,
    foresight: Option<Foresight>,
    memory: Memory,
    cursor: Cursor<'a>,
    next_evaluation: Time,
    limited_by: Option<String>,
    /// Decided in this step, for charts.
    taken: Option<Decision>,
}

impl<'a> Player<'a> {
    pub(super) fn new(mut stage: Stage<'a>, scaler: &'a PolicyScaler) -> Self {
        let (settings, policy): (&Settings, _) = (stage.settings, scaler.policy());
        let first = stage.load.points().next().map_or(0.0, |(_, rate)| rate);
        let usual = ceil_count(from_count(stage.service.demand(first)) / 0.8)
            .clamp(policy.min.max(1), policy.max.max(1));
        let plant = Plant::new(settings.plant, settings.initial_replicas.unwrap_or(usual), START);
        let before = Service::new(settings.service).step(first, plant.capacity(), settings.step.seconds());
        let sensor = Sensor::new(settings.sensor, &before, settings.step, START);
        stage.run.signal = scaler.leading().map(|signal| signal.name.clone());
        let cursor = stage.load.cursor();
        Self {
            stage,
            scaler,
            plant,
            sensor,
            learning: Learning::of(policy, START),
            foresight: Foresight::of(policy, START),
            memory: Memory::default(),
            cursor,
            next_evaluation: START,
            limited_by: None,
            taken: None,
        }
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        now >= self.next_evaluation
    }

    /// The next evaluation comes at once.
    pub(super) fn wake(&mut self, now: Time) {
        self.next_evaluation = self.next_evaluation.min(now);
    }

    /// Decides, and writes unless `may_write`, which is told of every decision, says no; what is refused is decided anew next
    /// time, as if this evaluation had not been.
    pub(super) fn evaluate(
        &mut self,
        shares: &[BudgetShare],
        now: Time,
        may_write: impl FnOnce(&Plant, &Decision) -> bool,
    ) {
        let settings = self.stage.settings;
        let from = self.plant.replicas();
        let memory = std::mem::take(&mut self.memory);
        let before = if shares.is_empty() { None } else { Some(memory.clone()) };
        let seen = Around {
            shares: shares.to_vec(),
            scalability: self.learning.as_mut().map(Learning::take).unwrap_or_default(),
            foresight: self.foresight.as_mut(),
        };
        let (decision, after) =
            self.scaler.evaluate(&mut self.plant, &self.sensor, &settings.sensor, seen, memory, now);
        self.memory = after;
        let may_write = may_write(&self.plant, &decision);
        if let Some(replicas) = decision.write {
            if may_write {
                self.plant.scale(replicas);
                self.memory.note_written();
            } else if let Some(before) = before {
                self.memory = before;
            }
        }
        self.stage.run.evaluations += 1;
        self.stage.meter.decided(from, self.plant.replicas(), decision.limited_by.is_some(), now);
        if settings.record {
            self.stage.note(&decision, &mut self.limited_by, now);
        }
        self.taken = Some(decision);
        self.next_evaluation = now.max(self.next_evaluation) + self.scaler.policy().polling_interval;
    }

    /// One step of load, with this share of the pods that exist connected to what they need.
    pub(super) fn serve(&mut self, connected: f64, now: Time) {
        let (settings, step) = (self.stage.settings, self.stage.settings.step);
        let rate = self.cursor.at(now.since(START));
        let capacity = self.plant.capacity() * connected;
        let served = self.stage.step(now, rate, (capacity, self.plant.serving(), self.plant.existing()));
        let taken = self.taken.take();
        if settings.record
            && let Some(decision) = taken
        {
            let (value, target) = self.scaler.leading_value(&decision);
            let sample = self.stage.sample(now, rate, capacity, self.plant.existing());
            self.stage.run.samples.push(Sample {
                replicas: self.plant.replicas(),
                ready: self.plant.serving(),
                ceiling: Some(ceiling(&decision, self.plant.replicas())),
                limited: decision.limited_by.is_some(),
                lost: served.lost / step.seconds(),
                p99_latency: served.p99_latency,
                value,
                target,
                ..sample
            });
        }
        let (next, ready) = (now + step, self.plant.serving());
        if let Some(learning) = &mut self.learning {
            learning.observe(&served, ready, step, next);
        }
        self.plant.advance(next);
        self.sensor.observe(&served, step, next);
    }

    pub(super) fn finish(self) -> Run {
        self.stage.finish()
    }
}

/// The most that the count could have been made: a limit of growth leaves what is there, `replicas`, as it is.
fn ceiling(decision: &Decision, replicas: u32) -> u32 {
    let limits = decision.ceilings.iter().filter(|report| report.enforcement != Enforcement::Observe);
    let growth = limits.filter_map(|report| report.growth_limit).min().unwrap_or(u32::MAX);
    growth.max(replicas).min(decision.effective_max)
}
