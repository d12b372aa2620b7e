//! What the schedules of a policy ask for at one moment.

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::moment;
use super::policy::{Compat, Policy};
use super::reason::Reason;
use crate::schedule::{Bounds, Phase};
use crate::time::Time;

/// A schedule at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleReport {
    /// Name of the schedule.
    pub name: String,
    /// What it does.
    pub phase: Phase,
    /// The floor that it sets; none while it sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u32>,
    /// The window that sets the floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Bounds>,
    /// The next window to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Bounds>,
}

/// Each schedule, in the policy's order.
pub(super) fn reports(policy: &Policy, now: Time) -> Vec<ScheduleReport> {
    if policy.compat == Compat::Hpa {
        return Vec::new();
    }
    let report = |schedule: &crate::schedule::Schedule| {
        let state = schedule.at(now, policy.min);
        ScheduleReport {
            name: schedule.name.clone(),
            phase: state.phase,
            floor: state.floor,
            window: state.window,
            next: state.next,
        }
    };
    policy.schedules.iter().map(report).collect()
}

/// The largest floor that a schedule sets.
pub(super) fn floor(reports: &[ScheduleReport]) -> Option<Floor> {
    let set = reports.iter().filter_map(|report| Some((report.floor?, report)));
    // Of equal ones the first.
    let (replicas, report) = set.rev().max_by_key(|(floor, _)| *floor)?;
    let when = match (report.phase, report.window) {
        (Phase::RampingUp, Some(window)) => format!("rising until {}", moment(window.start)),
        (Phase::RampingDown, Some(window)) => format!("falling since {}", moment(window.end)),
        (_, Some(window)) => format!("until {}", moment(window.end)),
        (_, None) => String::new(),
    };
    let message = format!("schedule {} keeps at least {replicas}, {when}", report.name);
    Some(Floor { replicas, reason: Reason::Schedule, message })
}
