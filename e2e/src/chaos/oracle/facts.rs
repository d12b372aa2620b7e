//! What a policy asks for, in numbers, read by the oracles' own arithmetic.

use plimsoll::api::{Mode, PolicyKind, Quantity, ScalingPolicySpec, ScalingRules, SelectPolicy};
use plimsoll::control::Override;

use crate::chaos::ledger::PolicyFacts;

/// A share or number of a policy.
fn number(quantity: Option<&Quantity>, otherwise: f64) -> f64 {
    quantity.and_then(|quantity| quantity.value().ok()).unwrap_or(otherwise)
}

/// Changes that a rate allows in a period.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Percent of the count at the period's start; else pods.
    pub percent: bool,
    /// How many.
    pub value: u32,
    /// In so many seconds.
    pub seconds: u32,
}

/// Rules for one direction.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Seconds.
    pub window: u32,
    /// Share of the count.
    pub tolerance: f64,
    /// Rates, and which of them counts.
    pub rates: Vec<Rate>,
    /// Which of them counts.
    pub select: SelectPolicy,
}

impl Rules {
    fn new(rules: Option<&ScalingRules>, window: u32, default: &[Rate]) -> Self {
        let rules = rules.cloned().unwrap_or_default();
        let rates = rules.policies.map_or_else(
            || default.to_vec(),
            |policies| {
                let rate = |policy: &plimsoll::api::ScalingPolicyRule| Rate {
                    percent: policy.kind == PolicyKind::Percent,
                    value: policy.value,
                    seconds: policy.period_seconds,
                };
                policies.iter().map(rate).collect()
            },
        );
        Self {
            window: rules.stabilization_window_seconds.unwrap_or(window),
            tolerance: number(rules.tolerance.as_ref(), 0.1),
            rates,
            select: rules.select_policy.unwrap_or(SelectPolicy::Max),
        }
    }
}

/// Rules for growth.
pub fn scale_up(spec: &ScalingPolicySpec) -> Rules {
    let default =
        [Rate { percent: false, value: 4, seconds: 15 }, Rate { percent: true, value: 100, seconds: 15 }];
    Rules::new(spec.behavior.as_ref().and_then(|behavior| behavior.scale_up.as_ref()), 0, &default)
}

/// Rules for shrinking.
pub fn scale_down(spec: &ScalingPolicySpec) -> Rules {
    let default = [Rate { percent: true, value: 100, seconds: 15 }];
    Rules::new(spec.behavior.as_ref().and_then(|behavior| behavior.scale_down.as_ref()), 300, &default)
}

/// How much of the signal one replica carries.
pub fn target(spec: &ScalingPolicySpec) -> f64 {
    number(spec.metrics.first().and_then(|metric| metric.target.average_value.as_ref()), 1.0)
}

/// Replicas, headroom in percent included, that a value asks for.
pub fn need(spec: &ScalingPolicySpec, value: f64) -> f64 {
    value / target(spec) * (1.0 + f64::from(spec.headroom.percent) / 100.0)
}

/// The oldest sample that counts, in seconds.
pub fn max_age(spec: &ScalingPolicySpec) -> f64 {
    f64::from(spec.metrics.first().map_or(60, |metric| metric.freshness.max_age_seconds))
}

/// No computed limit writes below this.
pub fn least(spec: &ScalingPolicySpec) -> u32 {
    spec.min_replicas.max(1)
}

/// A count that a person asked for, and until when in milliseconds of the run's clock since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The count.
    pub replicas: u32,
    /// The end.
    pub until: Option<i64>,
}

impl Order {
    /// Whether it may be in force at some moment between two.
    pub fn may_hold(&self, from: i64) -> bool {
        self.until.is_none_or(|until| from < until)
    }

    /// Whether it is in force at every moment up to this one.
    pub fn holds(&self, to: i64) -> bool {
        self.until.is_none_or(|until| to < until)
    }
}

fn order(over: &Override) -> Order {
    Order { replicas: over.replicas.max(1), until: over.until.map(plimsoll::time::Time::millis) }
}

/// Emergency caps.
pub fn caps(policy: &PolicyFacts) -> Vec<Order> {
    let field = policy.spec.emergency_max.iter().map(|cap| Order {
        replicas: cap.replicas.max(1),
        until: cap.until.as_ref().map(|until| until.0.as_millisecond()),
    });
    field.chain(policy.overrides.emergency_max.iter().map(order)).collect()
}

/// The counts at which a policy may be frozen: the annotation's, and the mode's.
pub fn freezes(policy: &PolicyFacts) -> Vec<Order> {
    let mode = policy.spec.frozen.iter().filter(|_| policy.spec.mode == Mode::Frozen).map(|frozen| Order {
        replicas: frozen.replicas,
        until: frozen.until.as_ref().map(|until| until.0.as_millisecond()),
    });
    policy.overrides.freeze.iter().map(order).chain(mode).collect()
}

/// The smallest whole count that is not less; a hair above a whole number is that number.
pub fn ceil(value: f64) -> u32 {
    let near = value.round();
    if (value - near).abs() < 1e-6 {
        plimsoll::number::floor_count(near)
    } else {
        plimsoll::number::ceil_count(value)
    }
}
