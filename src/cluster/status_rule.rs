//! When status is worth a write: on change, seldom for drift, never for noise.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::identity::moment;
use crate::api::{CeilingStatus, Quantity, ScalingPolicyStatus};
use crate::number::from_count;
use crate::time::{Span, Time};

/// Time between writes for values that drift, and for states that come and go.
const DRIFT_INTERVAL: Span = Span::from_seconds(60);
/// Time between writes for what a restart would forget.
const CHECKPOINT_INTERVAL: Span = Span::from_seconds(300);
/// A shown value has drifted when it left this share of what was written.
const DRIFT: f64 = 0.1;

/// Why status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// None was ever written.
    First,
    /// The count was written, or somebody else changed it.
    Count,
    /// The spec changed, and with it perhaps the mode.
    Generation,
    /// Another limit binds, or none.
    Limit,
    /// A condition's status or reason changed.
    Condition,
    /// A shown value is far from what was written.
    Drift,
    /// A restart would forget something.
    Checkpoint,
}

impl Occasion {
    /// As a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Count => "count",
            Self::Generation => "generation",
            Self::Limit => "limit",
            Self::Condition => "condition",
            Self::Drift => "drift",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// What was written last, and what that replaced.
#[derive(Clone, Debug, Default)]
pub struct Written {
    last: Option<ScalingPolicyStatus>,
    /// Limit and conditions before the last write.
    before_last: Option<Standing>,
}

/// What a person acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    limited_by: Option<String>,
    conditions: Vec<(String, String, Option<String>)>,
}

impl Written {
    /// What was found in the cluster.
    pub fn found(status: Option<ScalingPolicyStatus>) -> Self {
        Self { last: status, before_last: None }
    }

    /// The status last written.
    pub const fn last(&self) -> Option<&ScalingPolicyStatus> {
        self.last.as_ref()
    }

    /// The conditions last written.
    pub fn conditions(&self) -> &[Condition] {
        self.last.as_ref().map_or(&[], |last| &last.conditions)
    }

    /// Notes that `status` was written. Its steps are not needed again.
    pub fn note(&mut self, mut status: ScalingPolicyStatus) {
        status.decision = None;
        self.before_last = self.last.replace(status).as_ref().map(Standing::of);
    }

    /// Why `next` should be written now, if it should. `rescaled` tells that the count was just written.
    pub fn occasion(&self, next: &ScalingPolicyStatus, rescaled: bool, now: Time) -> Option<Occasion> {
        let Some(last) = &self.last else { return Some(Occasion::First) };
        let since = last.as_of.as_ref().map_or(CHECKPOINT_INTERVAL, |written| now.since(moment(written.0)));
        if rescaled || last.current_replicas != next.current_replicas {
            return Some(Occasion::Count);
        }
        if last.observed_generation != next.observed_generation {
            return Some(Occasion::Generation);
        }
        let standing = Standing::of(next);
        let was = Standing::of(last);
        // What came back within a minute is at an edge: it is told once a minute, and not at every turn.
        let back = self.before_last.as_ref() == Some(&standing) && since < DRIFT_INTERVAL;
        if standing != was && !back {
            return Some(if was.limited_by == standing.limited_by {
                Occasion::Condition
            } else {
                Occasion::Limit
            });
        }
        if since >= DRIFT_INTERVAL && drifted(last, next) {
            return Some(Occasion::Drift);
        }
        let memory = |status: &ScalingPolicyStatus| (status.last_changes.clone(), status.start_up);
        (since >= CHECKPOINT_INTERVAL && memory(last) != memory(next)).then_some(Occasion::Checkpoint)
    }
}

impl Standing {
    fn of(status: &ScalingPolicyStatus) -> Self {
        let conditions = status.conditions.iter().map(|condition| {
            // While scaling is possible, the reason tells what goes on, which changes with every scale.
            let plain = condition.type_ == "AbleToScale" && condition.status == "True";
            (condition.type_.clone(), condition.status.clone(), (!plain).then(|| condition.reason.clone()))
        });
        Self { limited_by: status.limited_by.clone(), conditions: conditions.collect() }
    }
}

/// Whether something shown is far from what was written. Ages are not compared: they always move.
fn drifted(last: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> bool {
    let counts = |status: &ScalingPolicyStatus| {
        let pods = status.pods.unwrap_or_default();
        [
            status.desired_replicas,
            status.effective_max_replicas,
            status.unmet_replicas,
            Some(pods.serving),
            Some(pods.warm),
            Some(pods.ordered),
            Some(pods.failing),
            Some(pods.terminating),
            Some(pods.reachable),
        ]
    };
    counts(last).into_iter().zip(counts(next)).any(|(last, next)| count_left(last, next))
        || reasons_differ(last, next)
        || metrics_left(last, next)
        || ceilings_left(&last.ceilings, &next.ceilings)
}

fn reasons_differ(last: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> bool {
    let reasons = |status: &ScalingPolicyStatus| -> Vec<_> {
        status.conditions.iter().map(|condition| condition.reason.clone()).collect()
    };
    reasons(last) != reasons(next)
}

fn metrics_left(last: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> bool {
    last.metrics.len() != next.metrics.len()
        || last.metrics.iter().zip(&next.metrics).any(|(last, next)| {
            (&last.name, &last.state) != (&next.name, &next.state)
                || last.target != next.target
                || count_left(last.need, next.need)
                || left(
                    number(last.value.as_ref()),
                    number(next.value.as_ref()),
                    number(Some(&last.target)).unwrap_or(0.0),
                )
        })
}

fn ceilings_left(last: &[CeilingStatus], next: &[CeilingStatus]) -> bool {
    last.len() != next.len()
        || last.iter().zip(next).any(|(last, next)| {
            (&last.name, &last.enforcement) != (&next.name, &next.enforcement)
                || count_left(last.replicas, next.replicas)
                || count_left(last.growth_limit, next.growth_limit)
        })
}

fn count_left(last: Option<u32>, next: Option<u32>) -> bool {
    // An absent count of unmet replicas is none of them; an absent ceiling is none at all. Both have left.
    left(last.map(from_count), next.map(from_count), 0.0)
}

/// Near zero, a percent of the target is as small as a value matters.
fn left(last: Option<f64>, next: Option<f64>, target: f64) -> bool {
    match (last, next) {
        (None, None) => false,
        (Some(last), Some(next)) => (next - last).abs() > DRIFT * last.abs().max(0.01 * target.abs()),
        _ => true,
    }
}

fn number(text: Option<&String>) -> Option<f64> {
    text?.parse::<Quantity>().ok()?.value().ok()
}
