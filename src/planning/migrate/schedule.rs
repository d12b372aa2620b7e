//! Schedules from cron triggers.

use std::fmt::Write as _;

use super::{Draft, plain_name, quoted};
use crate::schedule::{Cron, Zone};

/// A schedule in the making.
#[derive(Clone, Debug)]
pub(super) struct DraftSchedule {
    pub(super) name: String,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) zone: String,
    pub(super) replicas: i64,
}

impl Draft {
    /// Adds a schedule, where it can be read. Its floor is put within the bounds; names are made unique.
    pub(super) fn schedule(&mut self, mut schedule: DraftSchedule) {
        let DraftSchedule { start, end, zone, .. } = &schedule;
        let fault = [start, end].into_iter().find_map(|cron| Cron::parse(cron).err());
        let fault = fault
            .or_else(|| Zone::named(zone).is_none().then(|| format!("there is no time zone {zone}")))
            .or_else(|| (start == end).then(|| "it begins when it ends".to_owned()));
        if let Some(fault) = fault {
            self.remark(format!(
                "cron ({start} to {end}, {zone}: {} replicas) is left out: {fault}",
                schedule.replicas
            ));
            return;
        }
        let least = self.min.unwrap_or(1).max(1);
        let bounded = schedule.replicas.clamp(least, self.max.max(least));
        if bounded != schedule.replicas {
            self.remark(format!(
                "cron ({start} to {end}): {} replicas lie outside of minReplicas and maxReplicas: {bounded} are written",
                schedule.replicas
            ));
        }
        schedule.replicas = bounded;
        let name = plain_name(&schedule.name);
        let names = std::iter::once(name.clone()).chain((2..1000).map(|number| format!("{name}-{number}")));
        let taken = |name: &str| self.schedules.iter().any(|schedule| schedule.name == name);
        schedule.name = names.into_iter().find(|name| !taken(name)).unwrap_or(name);
        self.schedules.push(schedule);
    }
}

/// The schedules as a policy's field.
pub(super) fn yaml(schedules: &[DraftSchedule]) -> String {
    let mut yaml = String::new();
    if !schedules.is_empty() {
        yaml.push_str("  schedules:\n");
    }
    for schedule in schedules {
        // Writing to a String cannot fail.
        let _ = write!(
            yaml,
            "  - name: {}\n    start: {}\n    end: {}\n    timeZone: {}\n    minReplicas: {}\n",
            quoted(&schedule.name),
            quoted(&schedule.start),
            quoted(&schedule.end),
            quoted(&schedule.zone),
            schedule.replicas
        );
    }
    yaml
}
