//! A policy as `decide` reads it: numbers parsed, defaults filled in, contradictions refused.

use std::borrow::Cow;

use super::forecasts::Forecasting;
use super::headroom::CalibratedHeadroom;
use super::slo::Slo;

use crate::api::{
    Absent, AveragedOver, Comparison, Coverage, Enforcement, FallbackBehavior, GuardAction, Mode, OnMissing,
    PolicyKind, Ramp, Role, RolloutOverlap, ScalabilityFit, SelectPolicy, TargetKind, WarmUpSource, Warnings,
    Zero,
};
use crate::capacity::Zones;
use crate::ceiling::scalability::Coefficients;
use crate::number::percent_rounded_up;
use crate::schedule::Schedule;
use crate::signal::{Answer, Reading};
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
    /// Removing pods is gradual: the user wrote no rate, and HPA's would let all of them go at once.
    pub gradual: bool,
    /// What tells this policy from others, so that not all remove pods in the same second; 0 for no delay.
    pub seed: u64,
    /// Half-life of the smoothing for growth.
    pub scale_up_half_life: Span,
    /// Half-life of the smoothing for shrinking.
    pub scale_down_half_life: Span,
    /// Warm-up.
    pub warm_up: WarmUp,
    /// Need is multiplied by this; 1 or more.
    pub headroom_factor: f64,
    /// What of that factor is a declared percentage; 1 or more.
    pub declared_headroom: f64,
    /// Replicas on top of what demand takes.
    pub headroom_replicas: u32,
    /// Zones whose loss is provided for; 0 for none.
    pub survive_zones: u32,
    /// The same, once it is known of how many; part of `headroom_factor`.
    pub zones: Option<Zones>,
    /// Headroom learnt from the load.
    pub calibrated: CalibratedHeadroom,
    /// What a trend may add.
    pub lead_compensation: LeadCompensation,
    /// A service level objective.
    pub slo: Option<Slo>,
    /// Connection ceilings.
    pub connections: Vec<Connections>,
    /// Scalability ceiling.
    pub scalability: Option<Scalability>,
    /// Guards.
    pub guards: Vec<Guard>,
    /// Fallback.
    pub fallback: Option<Fallback>,
    /// Schedules.
    pub schedules: Vec<Schedule>,
    /// Forecasts.
    pub forecast: Option<Forecasting>,
}

/// A gradual scale-in removes at most the larger of these in their period.
const GRADUAL: [Rate; 2] = [
    Rate { kind: PolicyKind::Percent, value: 25, period: Span::from_seconds(60) },
    Rate { kind: PolicyKind::Pods, value: 10, period: Span::from_seconds(60) },
];
/// A scale-in comes at most this share of its window later than the window alone would have it …
const DELAY_SHARE: u64 = 10;
/// … and at most this much.
const LONGEST_DELAY: Span = Span::from_seconds(30);

impl Policy {
    /// With the zones that were seen, where none are declared. Of too few no loss can be survived.
    pub(super) fn seeing(&self, zones: u32) -> Cow<'_, Self> {
        let lost = self.survive_zones;
        if lost == 0 || self.zones.is_some() || zones <= lost {
            return Cow::Borrowed(self);
        }
        let zones = Zones { all: zones, lost };
        let headroom_factor = zones.factor().max(self.declared_headroom);
        Cow::Owned(Self { zones: Some(zones), headroom_factor, ..self.clone() })
    }

    /// The rules for removing pods that are in force.
    pub(super) fn removal(&self) -> Cow<'_, Rules> {
        if self.gradual && self.compat == Compat::None {
            Cow::Owned(Rules { policies: GRADUAL.to_vec(), ..self.scale_down.clone() })
        } else {
            Cow::Borrowed(&self.scale_down)
        }
    }

    /// How much later than its window alone would have it a scale-in comes, in whole seconds: workloads that lost their
    /// load in the same moment drop their connections one after the other.
    pub(super) fn scale_down_delay(&self) -> Span {
        if self.compat == Compat::Hpa || self.seed == 0 {
            return Span::ZERO;
        }
        let most =
            Span::from_millis(self.scale_down.window.millis().div_euclid(DELAY_SHARE)).min(LONGEST_DELAY);
        self.spread(most)
    }

    /// A span from zero to `most`, in whole seconds, that differs from policy to policy; zero where nothing tells them apart.
    pub fn spread_over(&self, most: Span) -> Span {
        if self.seed == 0 { Span::ZERO } else { self.spread(most) }
    }

    /// A span from zero to `most`, in whole seconds, that differs from policy to policy.
    pub(super) fn spread(&self, most: Span) -> Span {
        let choices = most.millis().div_euclid(1000).saturating_add(1);
        // Seeds of policies made one after the other differ in few bits.
        let spread = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        Span::from_seconds(spread.checked_rem(choices).unwrap_or(0))
    }
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

impl Signal {
    /// It tells of load that comes from outside, which a level per pod does not: that follows the count.
    pub fn tells_load(&self) -> bool {
        self.role == Role::Leading && self.kind == TargetKind::AverageValue
    }

    /// The load that a reading of the past tells of; none where it is no load, an exact zero that is suspect among them.
    pub fn load(&self, reading: &Reading) -> Option<f64> {
        match reading.answer {
            Answer::Value(value)
                if value.is_finite() && (value > 0.0 || value == 0.0 && self.zero == Zero::Data) =>
            {
                Some(value)
            }
            _ => None,
        }
    }
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

/// What a trend may add to need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeadCompensation {
    /// Whether it is added; if not it is only shown.
    pub enforced: bool,
    /// The most that it adds, as a share of need plus one replica.
    pub most: f64,
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
    /// What it gives.
    pub limit: ConnectionSource,
    /// The most connections one pod opens; 1 or more.
    pub per_pod: u32,
    /// Old pods beside new ones in a rollout.
    pub overlap: RolloutOverlap,
    /// What the ceiling does.
    pub enforcement: Enforcement,
}

/// What a connection ceiling gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionSource {
    /// Numbers.
    Inline {
        /// Connections the server gives in all.
        max_connections: u32,
        /// Held back.
        reserved: u32,
        /// Used by other clients.
        others: u32,
    },
    /// A share of a budget.
    Budget {
        /// Name of the budget.
        name: String,
        /// Weight when shares are worked out, 1 or more.
        weight: u32,
        /// Replicas that must always be possible; at least `minReplicas`.
        guaranteed: u32,
    },
}

/// A scalability ceiling.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalability {
    /// The law.
    pub law: ScalabilityLaw,
    /// The ceiling as a share of the peak.
    pub safety: f64,
    /// Stop where one more replica adds less than this share of the first.
    pub marginal_gain: Option<f64>,
    /// What the ceiling does.
    pub enforcement: Enforcement,
}

/// Where the law's coefficients come from.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalabilityLaw {
    /// Somebody measured them.
    Declared(Coefficients),
    /// They are worked out while the workload runs.
    Fitted(Box<FitRules>),
}

/// How the law is worked out.
#[derive(Clone, Debug, PartialEq)]
pub struct FitRules {
    /// The queries, and how long their windows are and count.
    pub queries: ScalabilityFit,
    /// The workload is full while the saturation query yields more.
    pub saturated_above: f64,
    /// The objective is met while its query yields no more.
    pub objective_at_most: f64,
}

impl FitRules {
    /// Samples of one window.
    pub const SAMPLES: u32 = 8;

    /// Length of a window.
    pub fn window(&self) -> Span {
        Span::from_seconds(self.queries.window_seconds.max(1).into())
    }

    /// From one sample to the next.
    pub fn step(&self) -> Span {
        Span::from_millis(self.window().millis().div_euclid(Self::SAMPLES.into()))
    }

    /// The age at which a window counts no more.
    pub fn expires_after(&self) -> Span {
        Span::from_seconds(self.queries.expires_after_seconds.into())
    }
}

/// A guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// What is read, and what makes it fit to use. Its target is the threshold.
    pub signal: Signal,
    /// Which side of the threshold is bad.
    pub comparison: Comparison,
    /// At this value or better the guard may end.
    pub release: f64,
    /// What the count may not do while it is active.
    pub action: GuardAction,
    /// How long the value must have been good before it ends, and the time between two steps.
    pub hold: Span,
    /// The longest it may hold the count.
    pub longest: Span,
    /// What a value means that is not fit to use.
    pub on_missing: OnMissing,
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
