//! What the demo adds up, and the verdict at its end.

use std::fmt;
use std::time::Duration;

use plimsoll::operator::Record;

use super::operator::is_sighted;
use super::service::capacity;
use super::world::{Connections, Scene};

/// The least share of the load up to the ceiling that must have been served. What is missing is the time that pods
/// take to start when load jumps.
const LEAST_CARRIED: f64 = 0.95;

/// What the demo adds up.
#[derive(Clone, Debug)]
pub struct Ledger {
    ceiling: u32,
    ceiling_capacity: f64,
    peak_load: f64,
    offered: f64,
    served: f64,
    bearable: f64,
    bearable_served: f64,
    connections: Option<Connections>,
    asked: Option<(u32, u32)>,
    evaluations: u32,
    changes: u32,
    blind_evaluations: u32,
    blind_changes: u32,
    blind_count: Option<u32>,
    hpa: HpaTally,
    beyond_ceiling: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct HpaTally {
    replicas: u32,
    connections: u32,
    over_limit: Duration,
}

/// One question that the demo must answer with yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the answer is yes.
    pub holds: bool,
    /// What was asked.
    pub name: &'static str,
    /// The answer in numbers.
    pub finding: String,
}

impl Ledger {
    /// An empty ledger of a workload whose database carries `ceiling` replicas at any moment.
    pub fn new(ceiling: u32) -> Self {
        Self {
            ceiling,
            ceiling_capacity: capacity(ceiling),
            peak_load: 0.0,
            offered: 0.0,
            served: 0.0,
            bearable: 0.0,
            bearable_served: 0.0,
            connections: None,
            asked: None,
            evaluations: 0,
            changes: 0,
            blind_evaluations: 0,
            blind_changes: 0,
            blind_count: None,
            hpa: HpaTally::default(),
            beyond_ceiling: Duration::ZERO,
        }
    }

    /// Enters a moment, with the replicas that an HPA would ask for at it.
    pub fn enter(&mut self, scene: &Scene, hpa: u32) {
        let step = scene.step.as_secs_f64();
        self.peak_load = self.peak_load.max(scene.load);
        self.offered += scene.load * step;
        self.served += scene.served * step;
        let bearable = scene.load.min(self.ceiling_capacity);
        self.bearable += bearable * step;
        self.bearable_served += scene.served.min(bearable) * step;
        self.connections = Some(scene.connections);
        let (least, most) = self.asked.unwrap_or((scene.asked, scene.asked));
        self.asked = Some((least.min(scene.asked), most.max(scene.asked)));
        if scene.load > self.ceiling_capacity {
            self.beyond_ceiling += scene.step;
        }
        let wanted = hpa_connections(hpa, &scene.connections);
        self.hpa.replicas = self.hpa.replicas.max(hpa);
        self.hpa.connections = self.hpa.connections.max(wanted);
        if wanted > scene.connections.limit {
            self.hpa.over_limit += scene.step;
        }
    }

    /// Enters an evaluation of the operator.
    pub fn evaluated(&mut self, record: &Record) {
        let decision = &record.decision;
        self.evaluations += 1;
        self.changes += u32::from(decision.write.is_some());
        if !is_sighted(decision) {
            self.blind_evaluations += 1;
            self.blind_changes += u32::from(decision.write.is_some());
            self.blind_count = decision.from.or(self.blind_count);
        }
    }

    /// The verdicts, the failed ones included.
    pub fn verdicts(&self) -> Vec<Verdict> {
        vec![self.budget(), self.carried(), self.held()]
    }

    fn budget(&self) -> Verdict {
        let Some(connections) = self.connections else {
            return Verdict {
                holds: false,
                name: "budget",
                finding: "nothing was seen of the database".to_owned(),
            };
        };
        let Connections { peak, peak_wanted, limit, refused, .. } = connections;
        let holds = refused == 0 && peak_wanted <= limit;
        let finding = if holds {
            format!("at most {peak} of {limit} connections were open, none was refused")
        } else {
            format!(
                "{peak_wanted} connections were wanted at once, {limit} is the limit, {refused} attempts were refused"
            )
        };
        Verdict { holds, name: "budget never exceeded", finding }
    }

    fn carried(&self) -> Verdict {
        let share = self.bearable_served / self.bearable;
        let holds = share >= LEAST_CARRIED;
        let finding = format!(
            "{} of the load that {} replicas can carry was served, at least {} is due",
            percent(share),
            self.ceiling,
            percent(LEAST_CARRIED)
        );
        Verdict { holds, name: "load carried up to the ceiling", finding }
    }

    fn held(&self) -> Verdict {
        let (blind, changes) = (self.blind_evaluations, self.blind_changes);
        let count = self.blind_count.unwrap_or_default();
        let (holds, finding) = match (blind, changes) {
            (0, _) => (false, "the operator did not notice that the metric was gone".to_owned()),
            (_, 0) => (true, format!("{blind} evaluations without a signal, {count} replicas were kept")),
            _ => (false, format!("{blind} evaluations without a signal changed the count {changes} times")),
        };
        Verdict { holds, name: "count held without the metric", finding }
    }
}

/// The connections that an HPA's pods would want, together with everybody else's; a rolling update would want more.
pub fn hpa_connections(replicas: u32, connections: &Connections) -> u32 {
    replicas.saturating_mul(connections.per_pod).saturating_add(connections.others)
}

/// The summary, without the verdicts.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.asked.unwrap_or_default();
        let unserved = percent(1.0 - self.served / self.offered);
        writeln!(
            f,
            "  peak load    {:.0} requests a second; {} carry {:.0}",
            self.peak_load, self.ceiling, self.ceiling_capacity
        )?;
        writeln!(
            f,
            "  unserved     {unserved} of all requests; load was beyond the ceiling for {:.0} s",
            self.beyond_ceiling.as_secs_f64()
        )?;
        if let Some(connections) = &self.connections {
            writeln!(
                f,
                "  connections  at most {} of {}, {} attempts refused",
                connections.peak, connections.limit, connections.refused
            )?;
        }
        writeln!(
            f,
            "  replicas     {least} to {most}, {} changes in {} evaluations",
            self.changes, self.evaluations
        )?;
        let hpa = &self.hpa;
        let limit = self.connections.map_or(0, |connections| connections.limit);
        let beyond = match hpa.connections.checked_sub(limit) {
            Some(beyond) if beyond > 0 => {
                format!("{beyond} more than there are, for {:.0} s", hpa.over_limit.as_secs_f64())
            }
            _ => "no more than there are".to_owned(),
        };
        writeln!(
            f,
            "  an HPA       with the same target would have gone to {} replicas and {} connections: {beyond}",
            hpa.replicas, hpa.connections
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds { "ok    " } else { "FAILED" };
        write!(f, "  {mark} {}: {}", self.name, self.finding)
    }
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "nothing".to_owned() }
}
