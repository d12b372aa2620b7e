//! What is known of the time before a process began.

use super::record::Record;
use crate::api::{ChangeStatus, ScalingPolicyStatus};
use crate::cluster::{activation, drain_times, earned_scalability, moment, start_up_times};
use crate::control::{Activation, Change, ConditionType, Drain, Memory, RecalledScalability, StartUp};
use crate::time::Time;

/// What a policy's status tells a process that begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recalled {
    /// Changes of the count, oldest first.
    pub changes: Vec<Change>,
    /// Reversals, oldest first.
    pub reversals: Vec<Time>,
    /// Start-up times, and until when they were taken.
    pub start_up: Option<(StartUp, Time)>,
    /// Drain times.
    pub drain: Option<Drain>,
    /// Where an error budget had moved the targets, in whole percent.
    pub target_percent: Option<u32>,
    /// Zones that pods were in.
    pub zones: Option<u32>,
    /// The scalability ceiling.
    pub scalability: Option<RecalledScalability>,
    /// Guards that were active, by name.
    pub guards: Vec<(String, Activation)>,
    /// The bottleneck lay behind the workload.
    pub bottleneck_moved: bool,
}

impl Recalled {
    /// Of the status as it stands.
    pub fn of(status: &ScalingPolicyStatus) -> Self {
        let change =
            |change: &ChangeStatus| Change { time: moment(change.time.0), from: change.from, to: change.to };
        let guards = status.guards.iter();
        let as_of = status.as_of.as_ref().map(|at| moment(at.0));
        Self {
            changes: status.last_changes.iter().rev().map(change).collect(),
            reversals: status.reversals.iter().rev().map(|turn| moment(turn.0)).collect(),
            start_up: status.start_up.map(start_up_times).zip(as_of),
            drain: status.drain.map(drain_times),
            target_percent: status.slo.as_ref().map(|slo| slo.target_percent),
            zones: status.zone_loss.as_ref().map(|kept| kept.zones),
            scalability: status.scalability.as_ref().and_then(earned_scalability),
            guards: guards.filter_map(|guard| Some((guard.name.clone(), activation(guard)?))).collect(),
            bottleneck_moved: status.conditions.iter().any(|condition| {
                condition.type_ == ConditionType::BottleneckMoved.to_string() && condition.status == "True"
            }),
        }
    }

    /// As the first line of a recording has it.
    pub fn recorded(record: &Record) -> Self {
        Self {
            changes: record.recalled.clone(),
            reversals: record.reversals.clone(),
            start_up: record.start_up,
            drain: record.drain,
            target_percent: record.target_percent,
            zones: record.zones,
            scalability: record.scalability,
            guards: record.guards.clone(),
            bottleneck_moved: record.bottleneck_moved,
        }
    }

    /// A memory that begins with it.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for change in &self.changes {
            memory.recall_change(change.from, change.to, change.time);
        }
        memory.recall_reversals(&self.reversals);
        if let Some((start_up, until)) = self.start_up {
            memory.recall_start_up(start_up, until);
        }
        if let Some(drain) = self.drain {
            memory.recall_drain(drain);
        }
        if let Some(percent) = self.target_percent {
            memory.recall_slo(percent);
        }
        if let Some(zones) = self.zones {
            memory.recall_zones(zones);
        }
        if let Some(known) = self.scalability {
            memory.recall_scalability(known);
        }
        for (name, activation) in &self.guards {
            memory.recall_guard(name, *activation);
        }
        if self.bottleneck_moved {
            memory.recall_bottleneck_moved();
        }
        memory
    }
}
