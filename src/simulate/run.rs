//! A load, a plant and what scales it, stepped through time.

use serde::Serialize;

use super::figures::{Database, Days, Figures, Meter, StepFacts};
use super::load::{Load, steps};
use super::oracle::Oracle;
use super::plant::{Plant, PlantSettings};
use super::scaler::{PolicyScaler, Scaler};
use super::sensor::{Sensor, SensorSettings};
use super::service::{Served, Service, ServiceSettings, connected};
use crate::control::{BudgetShare, Decision, Memory};
use crate::number::{ceil_count, count_of, from_count, saturate};
use crate::time::{Span, Time};

/// Where virtual time begins: a midnight, so that days are days.
pub const START: Time = Time::from_seconds(1_767_225_600);

/// What is simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How pods come and go.
    pub plant: PlantSettings,
    /// What Ready pods do with load.
    pub service: ServiceSettings,
    /// How metrics come about.
    pub sensor: SensorSettings,
    /// The database behind it.
    pub database: Option<Database>,
    /// What the policy's budgets grant.
    pub shares: Vec<BudgetShare>,
    /// Seconds within which 99 of 100 requests shall be answered.
    pub latency_objective: Option<f64>,
    /// Which days count in the figures.
    pub days: Days,
    /// Pods at the beginning; without, as many as the load then takes at 80 %.
    pub initial_replicas: Option<u32>,
    /// Length of a step.
    pub step: Span,
    /// Whether samples and events are kept.
    pub record: bool,
}

/// One evaluation, for charts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds from the start.
    pub seconds: f64,
    /// Requests per second that come.
    pub load: f64,
    /// Requests per second that the Ready pods carry at most.
    pub capacity: f64,
    /// Requests per second that are lost.
    pub lost: f64,
    /// Fewest pods that carry the load.
    pub demand: u32,
    /// Replicas asked for.
    pub replicas: u32,
    /// Ready pods.
    pub ready: u32,
    /// Pods that exist.
    pub existing: u32,
    /// The most replicas that all limits allow.
    pub ceiling: Option<u32>,
    /// A limit holds the count below the need.
    pub limited: bool,
    /// The first leading metric, as read.
    pub value: Option<f64>,
    /// Its target.
    pub target: f64,
    /// 99th percentile of the latency, in seconds.
    pub p99_latency: f64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Seconds from the start.
    pub seconds: f64,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// Reason code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// What holds the count, in words.
    pub limited_by: Option<String>,
    /// How the count came about, one sentence a step.
    pub steps: Vec<String>,
}

/// A simulated course.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// What it comes to.
    pub figures: Figures,
    /// One entry an evaluation, where they are kept.
    pub samples: Vec<Sample>,
    /// Changes and limits that began or ended to bind, where they are kept.
    pub events: Vec<Event>,
    /// Evaluations.
    pub evaluations: u32,
    /// What the first leading metric is called.
    pub signal: Option<String>,
}

/// Runs a load through a plant that is scaled.
pub fn simulate(name: &str, settings: &Settings, load: &Load, scaler: &Scaler) -> Run {
    match scaler {
        Scaler::Policy(scaler) => Stage::new(name, settings, load).play(scaler),
        Scaler::Oracle { min, max } => {
            let demand = demand(settings, load, *min, *max);
            let start_up = saturate(settings.plant.start_up.millis().div_ceil(settings.step.millis().max(1)));
            let oracle = Oracle::new(&demand, start_up);
            let supply = oracle.supply(count_of(demand.len()));
            Stage::new(name, settings, load).follow(supply)
        }
        Scaler::Static(replicas) => {
            let supply = std::iter::repeat_n((*replicas, *replicas), stage_steps(settings, load));
            Stage::new(name, settings, load).follow(supply)
        }
    }
}

/// The fewest pods that carry the load at full utilization, step by step, within bounds.
pub fn demand(settings: &Settings, load: &Load, min: u32, max: u32) -> Vec<u32> {
    let service = Service::new(settings.service);
    let mut cursor = load.cursor();
    let mut last = (f64::NAN, min);
    (0..steps(load.span(), settings.step))
        .map(|step| {
            let rate = cursor.at(settings.step.times(step.into()));
            if rate.to_bits() != last.0.to_bits() {
                last = (rate, service.demand(rate).clamp(min.min(max), max));
            }
            last.1
        })
        .collect()
}

fn stage_steps(settings: &Settings, load: &Load) -> usize {
    usize::try_from(steps(load.span(), settings.step)).unwrap_or(0)
}

/// What all courses have in common.
struct Stage<'a> {
    run: Run,
    settings: &'a Settings,
    load: &'a Load,
    service: Service,
    meter: Meter,
    last_demand: (f64, u32),
}

impl<'a> Stage<'a> {
    fn new(name: &str, settings: &'a Settings, load: &'a Load) -> Self {
        Self {
            run: Run {
                name: name.to_owned(),
                figures: Figures::default(),
                samples: Vec::new(),
                events: Vec::new(),
                evaluations: 0,
                signal: None,
            },
            settings,
            load,
            service: Service::new(settings.service),
            meter: Meter::new(START, settings.days, settings.latency_objective, settings.database),
            last_demand: (f64::NAN, 1),
        }
    }

    /// One step with so many pods: what of their capacity is there, Ready, existing.
    fn step(&mut self, at: Time, rate: f64, (capacity, ready, existing): (f64, u32, u32)) -> Served {
        if rate.to_bits() != self.last_demand.0.to_bits() {
            self.last_demand = (rate, self.service.demand(rate));
        }
        let served = self.service.step(rate, self.working(capacity, existing), self.settings.step.seconds());
        let demand = self.last_demand.1;
        self.meter.step(&StepFacts { at, step: self.settings.step, served, demand, ready, existing });
        served
    }

    /// Pods that get connections.
    fn working(&self, capacity: f64, existing: u32) -> f64 {
        self.settings.database.map_or(capacity, |database| {
            connected(capacity, existing, database.connections, database.per_pod)
        })
    }

    fn sample(&self, at: Time, rate: f64, capacity: f64, existing: u32) -> Sample {
        let service = Service::new(self.settings.service);
        Sample {
            seconds: at.since(START).seconds(),
            load: rate,
            capacity: service.capacity(self.working(capacity, existing)),
            demand: service.demand(rate),
            existing,
            ..Sample::default()
        }
    }

    fn finish(mut self) -> Run {
        self.run.figures = self.meter.finish(START + self.load.span());
        self.run
    }

    /// With a supply that is known in advance: pods provisioned and Ready, step by step.
    fn follow(mut self, supply: impl Iterator<Item = (u32, u32)>) -> Run {
        let step = self.settings.step;
        let each = Span::from_seconds(15).max(step);
        let mut cursor = self.load.cursor();
        let (mut now, mut next_sample, mut last) = (START, START, None);
        for (existing, ready) in supply {
            let rate = cursor.at(now.since(START));
            let served = self.step(now, rate, (from_count(ready), ready, existing));
            self.meter.decided(last.unwrap_or(existing), existing, false, now);
            last = Some(existing);
            if self.settings.record && now >= next_sample {
                let facts = self.sample(now, rate, from_count(ready), existing);
                let rejected = served.lost / step.seconds();
                self.run.samples.push(Sample {
                    replicas: existing,
                    ready,
                    lost: rejected,
                    p99_latency: served.p99_latency,
                    ..facts
                });
                next_sample = now + each;
            }
            now = now + step;
        }
        self.finish()
    }

    /// With a policy that is evaluated now and then.
    fn play(mut self, scaler: &PolicyScaler) -> Run {
        let (settings, policy, step) = (self.settings, scaler.policy(), self.settings.step);
        let mut cursor = self.load.cursor();
        let first = self.load.points().next().map_or(0.0, |(_, rate)| rate);
        let usual = ceil_count(from_count(self.service.demand(first)) / 0.8)
            .clamp(policy.min.max(1), policy.max.max(1));
        let mut plant = Plant::new(settings.plant, settings.initial_replicas.unwrap_or(usual), START);
        let before = Service::new(settings.service).step(first, plant.capacity(), step.seconds());
        let mut sensor = Sensor::new(settings.sensor, &before, step, START);
        let mut memory = Memory::default();
        let (mut now, mut next_evaluation) = (START, START);
        let mut limited_by = None;
        self.run.signal = scaler.leading().map(|signal| signal.name.clone());
        for _ in 0..steps(self.load.span(), step) {
            let rate = cursor.at(now.since(START));
            let mut taken = None;
            if now >= next_evaluation {
                let before = plant.replicas();
                let (decision, after) = scaler.evaluate(
                    &mut plant,
                    &sensor,
                    &settings.sensor,
                    &settings.shares,
                    std::mem::take(&mut memory),
                    now,
                );
                memory = after;
                if let Some(replicas) = decision.write {
                    plant.scale(replicas);
                    memory.note_written();
                }
                self.run.evaluations += 1;
                self.meter.decided(before, plant.replicas(), decision.limited_by.is_some(), now);
                if settings.record {
                    self.note(&decision, &mut limited_by, now);
                }
                taken = Some(decision);
                next_evaluation = next_evaluation + policy.polling_interval;
            }
            let capacity = plant.capacity();
            let served = self.step(now, rate, (capacity, plant.serving(), plant.existing()));
            if settings.record
                && let Some(decision) = taken
            {
                let (value, target) = scaler.leading_value(&decision);
                let sample = self.sample(now, rate, capacity, plant.existing());
                self.run.samples.push(Sample {
                    replicas: plant.replicas(),
                    ready: plant.serving(),
                    ceiling: Some(decision.effective_max),
                    limited: decision.limited_by.is_some(),
                    lost: served.lost / step.seconds(),
                    p99_latency: served.p99_latency,
                    value,
                    target,
                    ..sample
                });
            }
            now = now + step;
            plant.advance(now);
            sensor.observe(&served, step, now);
        }
        self.finish()
    }

    /// Keeps a change, and a limit that began to bind.
    fn note(&mut self, decision: &Decision, limited_by: &mut Option<String>, now: Time) {
        let limit = decision.limited_by.as_ref().map(crate::control::Limit::in_words);
        let began = limit.is_some() && *limited_by != limit;
        limited_by.clone_from(&limit);
        let from = decision.from.unwrap_or(0);
        let to = decision.write.unwrap_or(from);
        if from == to && !began {
            return;
        }
        let message =
            if decision.message.is_empty() { format!("{from} → {to}") } else { decision.message.clone() };
        let steps = decision.steps.iter().filter(|step| !step.message.is_empty());
        self.run.events.push(Event {
            seconds: now.since(START).seconds(),
            from,
            to,
            reason: decision.reason.to_string(),
            message,
            limited_by: limit,
            steps: steps
                .map(|step| format!("{}: {} → {}, {}", step.step, step.before, step.after, step.message))
                .collect(),
        });
    }
}

/// Runs several, and gives each its cost as a multiple of the oracle's, between a policy's bounds.
pub fn cost_over_oracle(runs: &mut [Run], oracle: &Run) {
    let least = oracle.figures.replica_hours;
    for run in runs {
        run.figures.cost_over_oracle = (least > 0.0).then(|| run.figures.replica_hours / least);
    }
}
