//! A load, a plant and what scales it, stepped through time.

use serde::Serialize;

use super::figures::{Database, Days, Figures, Meter, StepFacts};
use super::load::{Load, steps};
use super::oracle::Oracle;
use super::plant::PlantSettings;
use super::play::Player;
use super::scaler::{PolicyScaler, Scaler};
use super::sensor::SensorSettings;
use super::service::{Served, Service, ServiceSettings, connected};
use crate::control::{BudgetShare, Decision};
use crate::number::{count_of, from_count, saturate};
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
pub(super) struct Stage<'a> {
    pub(super) run: Run,
    pub(super) settings: &'a Settings,
    pub(super) load: &'a Load,
    pub(super) service: Service,
    pub(super) meter: Meter,
    last_demand: (f64, u32),
}

impl<'a> Stage<'a> {
    pub(super) fn new(name: &str, settings: &'a Settings, load: &'a Load) -> Self {
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
    pub(super) fn step(
        &mut self,
        at: Time,
        rate: f64,
        (capacity, ready, existing): (f64, u32, u32),
    ) -> Served {
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

    pub(super) fn sample(&self, at: Time, rate: f64, capacity: f64, existing: u32) -> Sample {
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

    pub(super) fn finish(mut self) -> Run {
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
    fn play(self, scaler: &'a PolicyScaler) -> Run {
        let (step, many) = (self.settings.step, steps(self.load.span(), self.settings.step));
        let shares = &self.settings.shares;
        let mut player = Player::new(self, scaler);
        let mut now = START;
        for _ in 0..many {
            if player.is_due(now) {
                player.evaluate(shares, now, |_, _| true);
            }
            player.serve(1.0, now);
            now = now + step;
        }
        player.finish()
    }

    /// Keeps a change, and a limit that began to bind.
    pub(super) fn note(&mut self, decision: &Decision, limited_by: &mut Option<String>, now: Time) {
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
