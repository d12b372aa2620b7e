//! What sets the count in a simulation: the operator's decision, HPA's, an oracle, nobody.

use super::foresight::Foresight;
use super::hpa::{Groups, value_proposal};
use super::load::Load;
use super::plant::Plant;
use super::run::START;
use super::sensor::{Means, Sensor, SensorSettings};
use super::signals::{Simulable, Source};
use crate::api::{Role, TargetKind};
use crate::control::{
    BudgetShare, Compat, ConnectionSource, Decision, Memory, Observation, Policy, ScalabilityView, Signal,
    Target, decide,
};
use crate::number::from_count;
use crate::signal::{Age, Answer, Reading};
use crate::time::{Span, Time};

/// What sets the count.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaler {
    /// A policy, by the operator's own decision.
    Policy(Box<PolicyScaler>),
    /// Who knows the future and never falls short, between these bounds.
    Oracle {
        /// Fewest pods.
        min: u32,
        /// Most pods.
        max: u32,
    },
    /// Always the same count.
    Static(u32),
}

/// A policy with what its metrics read.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyScaler {
    policy: Policy,
    readers: Vec<Reader>,
    /// What each guard reads, by the time since the start.
    guards: Vec<Load>,
}

/// What an evaluation is told beside the signals and the workload.
#[derive(Debug, Default)]
pub(super) struct Around<'a> {
    /// What budgets grant.
    pub(super) shares: Vec<BudgetShare>,
    /// What was read of the throughput since the evaluation before.
    pub(super) scalability: ScalabilityView,
    /// What forecasts are made of, where the policy asks for them.
    pub(super) foresight: Option<&'a mut Foresight>,
}

/// How a metric comes to its value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    /// As the service shows it.
    Plain(Source),
    /// As HPA's proposal, worked out of the busy share of the pods that it counts.
    HpaUtilization { source: Source, target: f64, tolerance: (f64, f64) },
    /// As HPA's proposal, worked out of a level.
    HpaValue { source: Source, target: f64, tolerance: (f64, f64) },
}

impl PolicyScaler {
    /// Scales as the operator would.
    pub fn new(simulable: &Simulable) -> Self {
        let readers = simulable.sources.iter().map(|source| Reader::Plain(*source)).collect();
        let policy = Policy { mode: acting(simulable.policy.mode), ..simulable.policy.clone() };
        Self { policy, readers, guards: simulable.guards.clone() }
    }

    /// Scales as an HPA v2 with the same bounds, behavior and leading metrics would: no headroom, no ceilings, no
    /// safety nets, and HPA's own rules for pods that are not Ready or have no sample.
    pub fn hpa(simulable: &Simulable) -> Self {
        let mut policy = Policy {
            compat: Compat::Hpa,
            mode: crate::api::Mode::Active,
            headroom_factor: 1.0,
            declared_headroom: 1.0,
            headroom_replicas: 0,
            survive_zones: 0,
            zones: None,
            connections: Vec::new(),
            scalability: None,
            guards: Vec::new(),
            fallback: None,
            schedules: Vec::new(),
            forecast: None,
            ..simulable.policy.clone()
        };
        let leading =
            policy.signals.iter().zip(&simulable.sources).filter(|(signal, _)| signal.role == Role::Leading);
        let (signals, readers) = leading.map(|(signal, source)| as_hpa_reads(signal, *source)).unzip();
        policy.signals = signals;
        Self { policy, readers, guards: Vec::new() }
    }

    /// Scales as an HPA v2 on CPU at a target, in percent, with a policy's bounds and behavior.
    pub fn hpa_on_cpu(simulable: &Simulable, percent: u32) -> Self {
        let template = simulable.policy.signals.iter().find(|signal| signal.role == Role::Leading);
        let cpu = template.map(|signal| Signal {
            name: "cpu".to_owned(),
            kind: TargetKind::Utilization,
            target: from_count(percent),
            scale_up_tolerance: simulable.policy.scale_up.tolerance,
            scale_down_tolerance: simulable.policy.scale_down.tolerance,
            ..signal.clone()
        });
        Self::hpa(&Simulable {
            policy: Policy { signals: cpu.into_iter().collect(), ..simulable.policy.clone() },
            sources: vec![Source::plain(super::signals::Quantity::Utilization)],
            notes: Vec::new(),
            guards: Vec::new(),
        })
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// One evaluation.
    pub(super) fn evaluate(
        &self,
        plant: &mut Plant,
        sensor: &Sensor,
        settings: &SensorSettings,
        around: Around<'_>,
        memory: Memory,
        now: Time,
    ) -> (Decision, Memory) {
        let (means, age) = sensor.read(now);
        let readings: Vec<Reading> =
            self.readers.iter().map(|reader| reader.read(plant, &means, age, settings, now)).collect();
        let foreseen = around.foresight.map(|foresight| foresight.observe(&self.policy, &readings, now));
        let observation = Observation {
            readings,
            target: Target::Seen(plant.workload()),
            overrides: crate::control::Overrides::default(),
            guards: self.guards.iter().map(|script| told(script.at(now.since(START)))).collect(),
            shares: around.shares,
            scalability: around.scalability,
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: foreseen.unwrap_or_default(),
            rivals: Vec::new(),
        };
        decide(&self.policy, &observation, memory, now)
    }

    /// The first leading metric's name, target and value as `means` have it, for charts.
    pub(super) fn leading_value(&self, decision: &Decision) -> (Option<f64>, f64) {
        let leading = self.policy.signals.iter().position(|signal| signal.role == Role::Leading).unwrap_or(0);
        decision.signals.get(leading).map_or((None, 0.0), |report| (report.value, report.target))
    }

    /// What a chart says of the first leading metric.
    pub fn leading(&self) -> Option<&Signal> {
        self.policy.signals.iter().find(|signal| signal.role == Role::Leading)
    }
}

/// A dry run is simulated as if it acted: what it would have done is what one wants to see.
fn acting(mode: crate::api::Mode) -> crate::api::Mode {
    match mode {
        crate::api::Mode::DryRun => crate::api::Mode::Active,
        mode => mode,
    }
}

/// What a script says now.
fn told(value: f64) -> Reading {
    Reading {
        answer: Answer::Value(value),
        warnings: Vec::new(),
        age: Age::Measured(Span::ZERO),
        covered_pods: None,
    }
}

fn as_hpa_reads(signal: &Signal, source: Source) -> (Signal, Reader) {
    let tolerance = (signal.scale_down_tolerance, signal.scale_up_tolerance);
    let target = signal.target;
    // A proposal is a total of which one replica carries one: the decision takes it as it is.
    let proposal = Signal {
        kind: TargetKind::AverageValue,
        target: 1.0,
        scale_up_tolerance: 0.0,
        scale_down_tolerance: 0.0,
        ..signal.clone()
    };
    match signal.kind {
        TargetKind::AverageValue => (signal.clone(), Reader::Plain(source)),
        TargetKind::Utilization => (proposal, Reader::HpaUtilization { source, target, tolerance }),
        TargetKind::Value => (proposal, Reader::HpaValue { source, target, tolerance }),
    }
}

impl Reader {
    fn read(self, plant: &Plant, means: &Means, age: Span, settings: &SensorSettings, now: Time) -> Reading {
        let answer = match self {
            Self::Plain(source) => Answer::Value(source.value(means)),
            Self::HpaUtilization { source, target, tolerance } => {
                let late = (settings.window, settings.delay);
                let groups = Groups::of(plant.alive_since(), source.value(means), late, now);
                groups.proposal(plant.replicas(), crate::number::floor_count(target), tolerance).map_or_else(
                    || Answer::Failed("no pod has a sample that counts".to_owned()),
                    |proposal| Answer::Value(from_count(proposal)),
                )
            }
            Self::HpaValue { source, target, tolerance } => Answer::Value(from_count(value_proposal(
                source.value(means),
                target,
                plant.replicas(),
                plant.serving(),
                tolerance,
            ))),
        };
        Reading { answer, warnings: Vec::new(), age: Age::Measured(age), covered_pods: Some(plant.serving()) }
    }
}

/// What budgets grant in the simulation, each alone: `granted` names each budget with its connections.
pub fn shares(policy: &Policy, granted: &[(String, u32)]) -> Result<Vec<BudgetShare>, String> {
    let budgets = policy.connections.iter().filter_map(|connections| match &connections.limit {
        ConnectionSource::Budget { name, .. } => Some(name),
        ConnectionSource::Inline { .. } => None,
    });
    budgets
        .map(|name| {
            let (_, connections) = granted.iter().find(|(budget, _)| budget == name).ok_or_else(|| {
                format!("the policy draws on the ConnectionBudget {name}: say what it gives, with --budget {name}=CONNECTIONS")
            })?;
            Ok(BudgetShare {
                budget: name.clone(),
                granted: Some(*connections),
                excess: 0,
                recall: None,
                message: format!("{connections} connections are granted in this simulation"),
                sharing_off: false,
            })
        })
        .collect()
}
