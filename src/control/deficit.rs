//! Load beyond what the present pods can carry, for those who shed load.

use serde::{Deserialize, Serialize};

use super::decision::SignalReport;
use super::policy::{Compat, Policy};
use crate::api::{Role, TargetKind};
use crate::signal::SignalState;

/// Load against capacity, by the leading signal that is furthest above its target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deficit {
    /// Name of the metric.
    pub signal: String,
    /// The load, in the query's own unit: the total, or the level per pod.
    pub load: f64,
    /// What the present pods carry at their target, in the same unit; pods that warm up count as their ramp says.
    pub capacity: f64,
    /// The load beyond capacity; 0 if there is none.
    pub excess: f64,
    /// The excess as a share of the load, 0 to 1: what has to be turned away.
    pub share: f64,
}

fn fullness(deficit: &Deficit) -> f64 {
    if deficit.load > 0.0 { deficit.load / deficit.capacity } else { 0.0 }
}

/// Load against capacity of `pods`; none while no leading signal is fit to use, since nothing is known then.
pub(super) fn deficit(policy: &Policy, signals: &[SignalReport], pods: f64) -> Option<Deficit> {
    if policy.compat == Compat::Hpa {
        return None;
    }
    let leading = policy
        .signals
        .iter()
        .zip(signals)
        .filter(|(signal, report)| signal.role == Role::Leading && report.state == SignalState::Fresh);
    let deficits = leading.filter_map(|(signal, report)| {
        let load = report.value?.max(0.0);
        let capacity = match signal.kind {
            TargetKind::AverageValue => signal.target * pods,
            TargetKind::Value | TargetKind::Utilization => signal.target,
        };
        let excess = (load - capacity).max(0.0);
        let share = if load > 0.0 { (excess / load).clamp(0.0, 1.0) } else { 0.0 };
        Some(Deficit { signal: report.name.clone(), load, capacity, excess, share })
    });
    deficits.max_by(|one, other| fullness(one).total_cmp(&fullness(other)))
}
