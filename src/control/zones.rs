//! The loss of zones: what is kept for it.

use serde::{Deserialize, Serialize};

use super::decision::SignalReport;
use super::floor::Floor;
use super::policy::{Compat, Policy};
use super::reason::Reason;
use crate::capacity::Zones;
use crate::number::{ceil_count_forgiving, from_count};

/// What is kept for the loss of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneLossReport {
    /// The zones.
    pub zones: Zones,
    /// Of what demand asks for, the replicas that are there for the loss alone.
    pub extra: u32,
    /// Replicas of the wanted count that are left after the loss.
    pub left: u32,
}

/// What is kept, where demand asks for `need` and `replicas` are wanted.
pub(super) fn report(
    policy: &Policy,
    signals: &[SignalReport],
    target_share: f64,
    replicas: u32,
) -> Option<ZoneLossReport> {
    let zones = policy.zones.filter(|_| policy.compat == Compat::None)?;
    let largest = signals.iter().filter(|signal| signal.need.is_some()).max_by_key(|signal| signal.need);
    let extra = largest.map_or(0, |signal| extra(policy, signal, target_share));
    Some(ZoneLossReport { zones, extra, left: zones.left(replicas) })
}

/// What of a need is there for the loss alone: what other headroom keeps anyway is not.
fn extra(policy: &Policy, signal: &SignalReport, target_share: f64) -> u32 {
    let need = signal.need.unwrap_or(0);
    let rise = signal.rise.filter(|_| policy.lead_compensation.enforced).unwrap_or(0.0);
    let learnt = signal.headroom.filter(|headroom| headroom.added).map_or(0.0, |headroom| headroom.replicas);
    let bare = (from_count(need) * target_share - rise).max(0.0) / policy.headroom_factor;
    let other = (bare * (policy.declared_headroom - 1.0)).max(learnt);
    need.saturating_sub(ceil_count_forgiving((bare + rise + other) / target_share))
}

/// So many that `minReplicas` are left.
pub(super) fn floor(policy: &Policy) -> Option<Floor> {
    let zones = policy.zones.filter(|_| policy.compat == Compat::None)?;
    let replicas = zones.fewest(policy.min);
    let message = format!(
        "{replicas} are kept, so that minReplicas {} are left when {} of {} zones are lost",
        policy.min, zones.lost, zones.all
    );
    Some(Floor { replicas, reason: Reason::ZoneLoss, message })
}
