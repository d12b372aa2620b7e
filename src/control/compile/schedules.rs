//! Schedules, from the spec to what `decide` reads.

use k8s_openapi::apimachinery::pkg::apis::meta::v1;

use super::Faults;
use crate::api::{self, ScalingPolicySpec};
use crate::schedule::{Bounds, Cron, End, Schedule, Window, Zone};
use crate::time::{Span, Time};

impl Faults {
    pub(super) fn schedules(&mut self, spec: &ScalingPolicySpec) -> Vec<Schedule> {
        let within = spec.min_replicas..=spec.max_replicas;
        let compiled = spec.schedules.iter().enumerate().map(|(at, schedule)| {
            let field = format!("schedules[{at}] ({})", schedule.name);
            self.require(within.contains(&schedule.min_replicas), || {
                format!(
                    "{field}.minReplicas {} must lie between {} and {}",
                    schedule.min_replicas, spec.min_replicas, spec.max_replicas
                )
            });
            let ramp_out = schedule.ramp_out_seconds.unwrap_or(schedule.ramp_seconds);
            Some(Schedule {
                name: schedule.name.clone(),
                window: self.window(&field, schedule)?,
                replicas: schedule.min_replicas,
                ramp_in: Span::from_seconds(schedule.ramp_seconds.into()),
                ramp_out: Span::from_seconds(ramp_out.into()),
            })
        });
        compiled.flatten().collect()
    }

    /// The windows of a schedule; none where something is wrong with them.
    fn window(&mut self, field: &str, schedule: &api::Schedule) -> Option<Window> {
        self.require(schedule.duration_seconds.is_none_or(|seconds| seconds >= 60), || {
            format!("{field}.durationSeconds: write 60 or more")
        });
        let length = schedule.duration_seconds.map(|seconds| Span::from_seconds(seconds.max(1).into()));
        match (&schedule.start, &schedule.start_time) {
            (Some(start), None) => {
                self.require(schedule.end_time.is_none(), || {
                    format!(
                        "{field}.endTime belongs to startTime: write end, a cron expression as start is one"
                    )
                });
                self.recurring(field, schedule, start, length)
            }
            (None, Some(start)) => {
                self.require(schedule.end.is_none() && schedule.time_zone.is_none(), || {
                    format!("{field}: end and timeZone belong to start: a moment carries its own zone, write endTime")
                });
                self.once(field, start, schedule.end_time.as_ref(), length)
            }
            _ => {
                self.require(false, || {
                    format!("{field}: write either start, a cron expression, or startTime, a moment")
                });
                None
            }
        }
    }

    fn recurring(
        &mut self,
        field: &str,
        schedule: &api::Schedule,
        start: &str,
        length: Option<Span>,
    ) -> Option<Window> {
        let zone = schedule.time_zone.as_deref().and_then(Zone::named);
        self.require(zone.is_some(), || match &schedule.time_zone {
            Some(name) => format!(
                "{field}.timeZone: there is no zone {name}: write a name of the IANA time zone database, such as Europe/Berlin \
                 or UTC"
            ),
            None => format!("{field}.timeZone is missing: write whose wall clock is meant, such as Europe/Berlin or UTC"),
        });
        let begins = self.cron(field, "start", start);
        let ends = match (&schedule.end, length) {
            (Some(end), None) => {
                self.require(end != start, || {
                    format!("{field}.end is the same as start: such a window never ends; raise minReplicas instead")
                });
                self.cron(field, "end", end).map(End::At)
            }
            (None, Some(length)) => Some(End::After(length)),
            _ => {
                self.require(false, || {
                    format!("{field}: write either end, a cron expression, or durationSeconds")
                });
                None
            }
        };
        Some(Window::Recurring { start: begins?, end: ends?, zone: zone? })
    }

    fn once(
        &mut self,
        field: &str,
        start: &v1::Time,
        end: Option<&v1::Time>,
        length: Option<Span>,
    ) -> Option<Window> {
        let moment = |time: &v1::Time| Time::from_millis(time.0.as_millisecond());
        let start = moment(start);
        let end = match (end, length) {
            (Some(end), None) => moment(end),
            (None, Some(length)) => start + length,
            _ => {
                self.require(false, || {
                    format!("{field}: write either endTime, a moment, or durationSeconds")
                });
                return None;
            }
        };
        self.require(start < end, || format!("{field}.endTime must be later than startTime"));
        Some(Window::Once(Bounds { start, end }))
    }

    fn cron(&mut self, field: &str, name: &str, text: &str) -> Option<Cron> {
        Cron::parse(text).map_err(|fault| self.0.push(format!("{field}.{name}: {fault}"))).ok()
    }
}
