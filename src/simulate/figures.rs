//! What a simulated course comes to, in numbers.

use serde::Serialize;

use super::elasticity::{Adding, Elasticity, Interval};
use super::service::{Served, is_lost};
use crate::number::from_count;
use crate::time::{Span, Time};

/// Instability compares the ends of minutes: on a finer grid it would mostly see rounding.
const INTERVAL: Span = Span::from_seconds(60);
const DAY: i64 = 86_400_000;

/// Which days count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Days {
    /// All.
    #[default]
    All,
    /// The first, third, fifth …: those with an even number, counted from 0.
    Even,
    /// The second, fourth, sixth …
    Odd,
}

impl Days {
    fn contains(self, since_start: Span) -> bool {
        let day = i64::try_from(since_start.millis()).unwrap_or(i64::MAX).div_euclid(DAY);
        match self {
            Self::All => true,
            Self::Even => day.rem_euclid(2) == 0,
            Self::Odd => day.rem_euclid(2) == 1,
        }
    }
}

/// What a simulated course comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Days that count.
    pub days: f64,
    /// Requests that came.
    pub requests: f64,
    /// Requests that were lost, in percent of those that came.
    pub unserved_percent: f64,
    /// Requests that waited in line for too long, in percent of those that came; lost ones are not among them.
    pub late_percent: f64,
    /// Seconds in which requests were lost or late, or the 99th percentile of the latency was above its objective.
    pub slo_violation_seconds: f64,
    /// Hours that pods existed, booting and draining ones included.
    pub replica_hours: f64,
    /// The same as a multiple of the oracle's, where there is one to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_over_oracle: Option<f64>,
    /// How well supply followed demand.
    #[serde(flatten)]
    pub elasticity: Elasticity,
    /// Times that the count was changed.
    pub scale_actions: u32,
    /// Times that the direction of change turned.
    pub reversals: u32,
    /// Times that a limit began to hold the count below the need.
    pub ceiling_hits: u32,
    /// Seconds for which a limit held it.
    pub ceiling_seconds: f64,
    /// The largest count asked for.
    pub peak_replicas: u32,
    /// The most pods at one moment.
    pub peak_pods: u32,
    /// The most connections that pods could hold at one moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_connections: Option<u32>,
    /// What the database gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<u32>,
    /// Seconds for which pods wanted more connections than it gives.
    pub over_connection_limit_seconds: f64,
    /// The worst 99th percentile of the latency, in seconds.
    pub worst_p99_latency_seconds: f64,
}

/// A database behind the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database {
    /// Connections that it gives to the service.
    pub connections: u32,
    /// Connections that one pod opens.
    pub per_pod: u32,
}

/// What one step of the simulation showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFacts {
    /// When it began.
    pub at: Time,
    /// How long it is.
    pub step: Span,
    /// What became of its load.
    pub served: Served,
    /// Fewest pods that carry the load.
    pub demand: u32,
    /// Ready pods.
    pub ready: u32,
    /// Pods that exist.
    pub existing: u32,
}

/// Adds up what steps show.
#[derive(Clone, Debug)]
pub struct Meter {
    figures: Figures,
    start: Time,
    days: Days,
    latency_objective: Option<f64>,
    database: Option<Database>,
    lost: f64,
    late: f64,
    elasticity: Adding,
    next_move: Time,
    limited_since: Option<Time>,
    last_direction: Option<bool>,
}

impl Meter {
    /// With nothing seen. `latency_objective` is in seconds.
    pub fn new(start: Time, days: Days, latency_objective: Option<f64>, database: Option<Database>) -> Self {
        let figures =
            Figures { connection_limit: database.map(|database| database.connections), ..Figures::default() };
        Self {
            figures,
            start,
            days,
            latency_objective,
            database,
            lost: 0.0,
            late: 0.0,
            elasticity: Adding::default(),
            next_move: start,
            limited_since: None,
            last_direction: None,
        }
    }

    /// Adds a step.
    pub fn step(&mut self, facts: &StepFacts) {
        if !self.days.contains(facts.at.since(self.start)) {
            return;
        }
        let (served, seconds) = (&facts.served, facts.step.seconds());
        let figures = &mut self.figures;
        figures.days += seconds / 86_400.0;
        figures.requests += served.arrived;
        self.lost += if is_lost(served) { served.lost } else { 0.0 };
        self.late += served.late;
        let slow = self.latency_objective.is_some_and(|objective| served.p99_latency > objective);
        if is_lost(served) || served.late > served.arrived * 1e-9 || slow {
            figures.slo_violation_seconds += seconds;
        }
        figures.replica_hours += from_count(facts.existing) * seconds / 3600.0;
        figures.peak_pods = figures.peak_pods.max(facts.existing);
        figures.worst_p99_latency_seconds = figures.worst_p99_latency_seconds.max(served.p99_latency);
        if let Some(database) = self.database {
            let wanted = facts.existing.saturating_mul(database.per_pod);
            figures.peak_connections = figures.peak_connections.max(Some(wanted));
            if wanted > database.connections {
                figures.over_connection_limit_seconds += seconds;
            }
        }
        let seen = Interval { demand: facts.demand, ready: facts.ready, provisioned: facts.existing };
        self.elasticity.add(&seen, seconds);
        if facts.at >= self.next_move {
            self.elasticity.move_to(&seen);
            self.next_move = facts.at + INTERVAL;
        }
    }

    /// Takes note of a decision: the counts before and after, and whether a limit holds the count.
    pub fn decided(&mut self, from: u32, to: u32, limited: bool, now: Time) {
        if !self.days.contains(now.since(self.start)) {
            self.limited_since = None;
            return;
        }
        self.figures.peak_replicas = self.figures.peak_replicas.max(to);
        if to != from {
            let up = to > from;
            self.figures.scale_actions += 1;
            self.figures.reversals += u32::from(self.last_direction.is_some_and(|last| last != up));
            self.last_direction = Some(up);
        }
        match (limited, self.limited_since) {
            (true, None) => {
                self.figures.ceiling_hits += 1;
                self.limited_since = Some(now);
            }
            (false, Some(since)) => {
                self.figures.ceiling_seconds += now.since(since).seconds();
                self.limited_since = None;
            }
            _ => {}
        }
    }

    /// The figures, when it is over.
    pub fn finish(self, end: Time) -> Figures {
        let of_requests =
            |part: f64| if self.figures.requests > 0.0 { 100.0 * part / self.figures.requests } else { 0.0 };
        let held = self.limited_since.map_or(0.0, |since| end.since(since).seconds());
        Figures {
            unserved_percent: of_requests(self.lost),
            late_percent: of_requests(self.late),
            ceiling_seconds: self.figures.ceiling_seconds + held,
            elasticity: self.elasticity.finish(),
            ..self.figures
        }
    }
}
