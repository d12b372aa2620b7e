//! The loss of zones: what is kept for it.

use serde::{Deserialize, Serialize};

use super::decision::SignalReport;
use super::floor::Floor;
use super::policy::{Compat, Policy};
use super::reason::Reason;
use crate::capacity::{ZONE_LABEL, Zones};
use crate::number::{ceil_count_forgiving, from_count};
use crate::time::{Span, Time};

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

/// A zone that was lost counts for so long: the replicas kept for its loss are for then.
const LOST_FOR: Span = Span::from_seconds(86_400);

/// The zones that pods are in, also while some are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ZoneMemory {
    zones: u32,
    /// When there were so many last; none since a recall.
    seen: Option<Time>,
}

impl ZoneMemory {
    pub(super) const fn recalled(zones: u32) -> Self {
        Self { zones, seen: None }
    }

    pub(super) const fn known(self) -> u32 {
        self.zones
    }

    /// Takes note of the zones seen now. Tells how many there are.
    pub(super) fn see(&mut self, zones: u32, now: Time) -> u32 {
        let since = *self.seen.get_or_insert(now);
        if zones >= self.zones || now < since || now.since(since) >= LOST_FOR {
            *self = Self { zones, seen: Some(now) };
        }
        self.zones
    }
}

impl ZoneLossReport {
    /// Why nothing is kept, and what to do.
    pub fn fault(&self) -> Option<String> {
        let Zones { all, lost } = self.zones;
        match all {
            _ if all > lost => None,
            0 => Some(
                "nothing is kept, since no label of a pod tells its zone (Kubernetes 1.35 and later write them): declare \
                 headroom.zones, or minDomains in the workload's topologySpreadConstraint"
                    .to_owned(),
            ),
            _ => Some(format!(
                "nothing is kept, since all pods are in {all} of the zones, and {lost} may be lost: spread them by a \
                 topologySpreadConstraint over {ZONE_LABEL}, or lower surviveZones"
            )),
        }
    }
}

/// What is kept, where demand asks for `need` and `replicas` are wanted.
pub(super) fn report(
    policy: &Policy,
    memory: ZoneMemory,
    signals: &[SignalReport],
    target_share: f64,
    replicas: u32,
) -> Option<ZoneLossReport> {
    if policy.survive_zones == 0 || policy.compat != Compat::None {
        return None;
    }
    let Some(zones) = policy.zones else {
        let zones = Zones { all: memory.zones, lost: policy.survive_zones };
        return Some(ZoneLossReport { zones, extra: 0, left: 0 });
    };
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
