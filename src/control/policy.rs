//! A policy as `decide` reads it: numbers parsed, defaults filled in, contradictions refused.

use crate::api::{
    Absent, AveragedOver, Coverage, Enforcement, FallbackBehavior, Mode, PolicyKind, Ramp, Role,
    RolloutOverlap, SelectPolicy, TargetKind, WarmUpSource, Warnings, Zero,
};
use crate::number::percent_rounded_up;
use crate::time::{Span, Time};

/// Whose habits `decide` follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// All of Plimsoll.
    #[default]
    None,
    /// HPA v2, to the tick: bounds first, then need, band, windows, rates; nothing else.
    Hpa,
}

/// A policy as `decide` reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whose habits to follow.
    pub compat: Compat,
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// Time between evaluations.
    pub polling_interval: Span,
    /// What is done with decisions.
    pub mode: Mode,
    /// The count to hold with mode Frozen.
    pub frozen: Option<Held>,
    /// A person's emergency cap.
    pub emergency_max: Option<Held>,
    /// Demand may not add pods.
    pub scale_up_paused: bool,
    /// Demand may not remove pods.
    pub scale_down_paused: bool,
    /// The signals.
    pub signals: Vec<Signal>,
    /// Rules for adding pods.
    pub scale_up: Rules,
    /// Rules for removing pods.
    pub scale_down: Rules,
    /// Half-life of the smoothing for growth.
    pub scale_up_half_life: Span,
    /// Half-life of the smoothing for shrinking.
    pub scale_down_half_life: Span,
    /// Warm-up.
    pub warm_up: WarmUp,
    /// Need is multiplied by this; 1 or more.
    pub headroom_factor: f64,
    /// Replicas on top of what demand takes.
    pub headroom_replicas: u32,
    /// Connection ceilings.
    pub connections: Vec<Connections>,
    /// Scalability ceiling.
    pub scalability: Option<Scalability>,
    /// Fallback.
    pub fallback: Option<Fallback>,
}

/// A count held by a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The count.
    pub replicas: u32,
    /// When it ends by itself.
    pub until: Option<Time>,
    /// Why.
    pub reason: Option<String>,
}

/// One signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Name of the metric.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How the value relates to the count.
    pub kind: TargetKind,
    /// The target; above 0.
    pub target: f64,
    /// Oldest acceptable newest sample.
    pub max_age: Span,
    /// Whether the value is built from one series per pod.
    pub coverage: Coverage,
    /// What an exact zero means.
    pub zero: Zero,
    /// What a negative value means.
    pub negative: Zero,
    /// What warnings mean.
    pub warnings: Warnings,
    /// The pods that a level is an average over.
    pub averaged_over: AveragedOver,
    /// Largest believable growth, as a factor above 1.
    pub max_rise: f64,
    /// Largest believable fall, as a share of the value.
    pub max_drop: f64,
    /// Dead band for growth.
    pub scale_up_tolerance: f64,
    /// Dead band for shrinking.
    pub scale_down_tolerance: f64,
    /// Safety net: percent of the count added in one step.
    pub max_step_percent: u32,
    /// Safety net: percent of the leading need added in all.
    pub max_add_percent: u32,
    /// Safety net: what no series means.
    pub absent: Absent,
}

/// Rules for one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Stabilization window.
    pub window: Span,
    /// Which policy counts.
    pub select: SelectPolicy,
    /// Rate policies; at least one.
    pub policies: Vec<Rate>,
    /// Dead band.
    pub tolerance: f64,
}

/// A rate policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What `value` counts.
    pub kind: PolicyKind,
    /// Pods or percent.
    pub value: u32,
    /// Period.
    pub period: Span,
}

/// Warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// Where the time comes from.
    pub source: WarmUpSource,
    /// Declared time.
    pub declared: Span,
    /// How capacity grows meanwhile.
    pub ramp: Ramp,
    /// The most pods that may be warming up at once.
    pub max_concurrent: Option<MaxConcurrent>,
}

/// The most pods that may be warming up at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxConcurrent {
    /// So many.
    Count(u32),
    /// So many percent of the count, rounded up.
    Percent(u32),
}

impl MaxConcurrent {
    /// The limit at a count; at least 1, or nothing would ever start.
    pub fn at(self, replicas: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::Percent(percent) => percent_rounded_up(replicas, percent).max(1),
        }
    }
}

/// A connection ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Name of the database.
    pub name: String,
    /// Connections the server gives in all.
    pub max_connections: u32,
    /// Held back.
    pub reserved: u32,
    /// Used by other clients.
    pub others: u32,
    /// The most connections one pod opens; 1 or more.
    pub per_pod: u32,
    /// Old pods beside new ones in a rollout.
    pub overlap: RolloutOverlap,
    /// What the ceiling does.
    pub enforcement: Enforcement,
}

/// A scalability ceiling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalability {
    /// Contention.
    pub alpha: f64,
    /// Coherency.
    pub beta: f64,
    /// The ceiling as a share of the peak.
    pub safety: f64,
    /// Stop where one more replica adds less than this share of the first.
    pub marginal_gain: Option<f64>,
    /// What the ceiling does.
    pub enforcement: Enforcement,
}

/// What to run with when no leading signal is fit to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// How long without one.
    pub after: Span,
    /// What it may do.
    pub behavior: FallbackBehavior,
    /// The count.
    pub replicas: u32,
}

/// What is wrong with a policy: each entry names the field, what is wrong and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct PolicyError(pub Vec<String>);
