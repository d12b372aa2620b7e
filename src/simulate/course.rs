//! A policy and a plant, stepped through time together.

use super::plant::Plant;
use crate::control::{Decision, Memory, Observation, Overrides, Policy, ScalabilityView, Target, decide};
use crate::signal::Reading;
use crate::time::{Span, Time};

/// One evaluation of a course.
#[derive(Clone, Debug)]
pub struct Tick {
    /// When.
    pub time: Time,
    /// Load offered.
    pub load: f64,
    /// Ready pods at the evaluation.
    pub serving: u32,
    /// Pods that exist at the evaluation, draining ones included.
    pub existing: u32,
    /// What was decided.
    pub decision: Decision,
    /// Replicas asked for after the evaluation.
    pub replicas: u32,
}

/// Steps `decide` through time on a plant: at every polling interval `read` yields the readings, the decision is
/// written at once. Deterministic.
pub struct Course<'a> {
    /// The policy in force; may be changed between steps.
    pub policy: Policy,
    /// The workload.
    pub plant: Plant,
    /// What the decision remembers; replaced by an empty one, it is a restart.
    pub memory: Memory,
    now: Time,
    #[allow(clippy::type_complexity, reason = "a load curve and how it is measured")]
    read: Box<dyn Fn(Time, &Plant) -> (f64, Vec<Reading>) + 'a>,
}

impl<'a> Course<'a> {
    /// A course that begins `now`. `read` yields the load offered, and a reading for each metric of the policy.
    pub fn new(
        policy: Policy,
        plant: Plant,
        now: Time,
        read: impl Fn(Time, &Plant) -> (f64, Vec<Reading>) + 'a,
    ) -> Self {
        Self { policy, plant, memory: Memory::default(), now, read: Box::new(read) }
    }

    /// The moment of the next evaluation.
    pub fn now(&self) -> Time {
        self.now
    }

    /// One evaluation, and the time until the next.
    pub fn step(&mut self) -> Tick {
        let (load, readings) = (self.read)(self.now, &self.plant);
        let (serving, existing) = (self.plant.serving(), self.plant.existing());
        let observation = Observation {
            readings,
            target: Target::Seen(self.plant.workload()),
            overrides: Overrides::default(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: Vec::new(),
        };
        let memory = std::mem::take(&mut self.memory);
        let (decision, memory) = decide(&self.policy, &observation, memory, self.now);
        self.memory = memory;
        if let Some(replicas) = decision.write {
            self.plant.scale(replicas);
        }
        let tick =
            Tick { time: self.now, load, serving, existing, decision, replicas: self.plant.replicas() };
        self.now = self.now + self.policy.polling_interval;
        self.plant.advance(self.now);
        tick
    }

    /// As many evaluations as fit into `span`.
    pub fn run(&mut self, span: Span) -> Vec<Tick> {
        let end = self.now + span;
        let mut ticks = Vec::new();
        while self.now < end {
            ticks.push(self.step());
        }
        ticks
    }
}
