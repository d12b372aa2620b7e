//! What the demo adds up, and the verdict at its end.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use plimsoll::operator::Record;

use super::operator::is_sighted;
use super::service::capacity;
use super::world::{Connections, Scene};

/// The least share of the load up to the ceiling that must have been served. A rolling update at the peak may take what
/// its maxUnavailable allows.
const LEAST_CARRIED: f64 = 0.95;

/// What the demo adds up.
#[derive(Clone, Debug)]
pub struct Ledger {
    ceiling: u32,
    ceiling_capacity: f64,
    /// The time that anybody needs to react.
    reaction: Duration,
    /// The load within that time, oldest first.
    recent: VecDeque<(Duration, f64)>,
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
    /// What was asked about.
    pub name: &'static str,
    /// The answer in numbers.
    pub finding: String,
}

impl Ledger {
    /// An empty ledger of a workload whose database carries `ceiling` replicas at any moment, and which needs `reaction`
    /// from a change of the load until new pods serve it.
    pub fn new(ceiling: u32, reaction: Duration) -> Self {
        Self {
            reaction,
            recent: VecDeque::new(),
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
        let bearable = self.lasting(scene).min(self.ceiling_capacity);
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

    /// The load that has lasted for at least the time to react.
    fn lasting(&mut self, scene: &Scene) -> f64 {
        self.recent.push_back((scene.now, scene.load));
        while self.recent.front().is_some_and(|(at, _)| scene.now.saturating_sub(*at) > self.reaction) {
            self.recent.pop_front();
        }
        self.recent.iter().map(|(_, load)| *load).fold(f64::INFINITY, f64::min)
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
            format!("never exceeded: at most {peak} of {limit} connections, none refused")
        } else {
            format!(
                "exceeded: {peak_wanted} connections wanted, {limit} is the limit, {refused} attempts refused"
            )
        };
        Verdict { holds, name: "budget", finding }
    }

    fn carried(&self) -> Verdict {
        let share = self.bearable_served / self.bearable;
        let holds = share >= LEAST_CARRIED;
        let finding = format!(
            "served {} of what {} replicas carry within {:.0} s ({:.0} % due)",
            percent(share),
            self.ceiling,
            self.reaction.as_secs_f64(),
            LEAST_CARRIED * 100.0
        );
        Verdict { holds, name: "load", finding }
    }

    fn held(&self) -> Verdict {
        let (blind, changes) = (self.blind_evaluations, self.blind_changes);
        let (holds, finding) = match (blind, changes) {
            (0, _) => (false, "gone, and the operator did not notice".to_owned()),
            (_, 0) => {
                let count = self.blind_count.unwrap_or_default();
                (true, format!("gone in {blind} evaluations: {count} replicas were kept"))
            }
            _ => (false, format!("gone in {blind} evaluations, which changed the count {changes} times")),
        };
        Verdict { holds, name: "metric", finding }
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
        let beyond = self.beyond_ceiling.as_secs_f64();
        let (ceiling, capacity) = (self.ceiling, self.ceiling_capacity);
        writeln!(f, "  peak load    {:.0}/s; {ceiling} replicas carry {capacity:.0}/s", self.peak_load)?;
        let unserved = percent(1.0 - self.served / self.offered);
        writeln!(
            f,
            "  unserved     {unserved} of all requests; for {beyond:.0} s load was beyond the ceiling"
        )?;
        let Some(Connections { peak, limit, refused, .. }) = self.connections else { return Ok(()) };
        writeln!(f, "  connections  at most {peak} of {limit}, {refused} attempts refused")?;
        let (changes, evaluations) = (self.changes, self.evaluations);
        writeln!(f, "  replicas     {least} to {most}, {changes} changes in {evaluations} evaluations")?;
        let HpaTally { replicas, connections, over_limit } = self.hpa;
        write!(f, "  an HPA       with the same target would have gone to {replicas} replicas,\n{:15}", "")?;
        match connections.checked_sub(limit) {
            Some(beyond) if beyond > 0 => {
                let seconds = over_limit.as_secs_f64();
                writeln!(f, "{connections} connections: {beyond} more than there are, for {seconds:.0} s")
            }
            _ => writeln!(f, "{connections} connections: no more than there are"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds { "ok" } else { "FAILED" };
        write!(f, "  {mark:<6}  {:<6}  {}", self.name, self.finding)
    }
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "nothing".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::story::Chapter;
    use crate::demo::world::PodCounts;

    fn scene(load: f64, served: f64) -> Scene {
        Scene {
            now: Duration::from_secs(1),
            step: Duration::from_secs(1),
            chapter: Chapter::Calm,
            load,
            served,
            p99: 0.1,
            has_rolled_out: false,
            asked: 16,
            pods: PodCounts::default(),
            connections: Connections {
                used: 200,
                others: 40,
                limit: 280,
                peak: 230,
                peak_wanted: 230,
                refused: 0,
                per_pod: 10,
            },
        }
    }

    fn holds(ledger: &Ledger, name: &str) -> bool {
        ledger.verdicts().iter().find(|verdict| verdict.name == name).unwrap().holds
    }

    #[test]
    fn load_beyond_the_ceiling_need_not_be_carried_and_load_below_it_must_be() {
        let mut ledger = Ledger::new(16, Duration::from_secs(2));
        ledger.enter(&scene(10_000.0, capacity(16)), 20);
        assert!(holds(&ledger, "load"));
        let later =
            |seconds, load, served| Scene { now: Duration::from_secs(seconds), ..scene(load, served) };
        ledger.enter(&later(2, 500.0, 500.0), 20);
        ledger.enter(&later(3, 900.0, 500.0), 20);
        ledger.enter(&later(4, 900.0, 500.0), 20);
        assert!(holds(&ledger, "load"), "pods take their time: {:?}", ledger.verdicts());
        ledger.enter(&later(6, 900.0, 500.0), 20);
        assert!(!holds(&ledger, "load"), "{:?}", ledger.verdicts());
    }

    #[test]
    fn a_budget_that_was_exceeded_or_never_seen_is_no_budget_kept() {
        let mut ledger = Ledger::new(16, Duration::from_secs(2));
        assert!(!holds(&ledger, "budget"));
        ledger.enter(&scene(500.0, 500.0), 20);
        assert!(holds(&ledger, "budget"));
        let mut wanting = scene(500.0, 500.0);
        wanting.connections.peak_wanted = 290;
        ledger.enter(&wanting, 20);
        assert!(!holds(&ledger, "budget"));
        let mut refused = scene(500.0, 500.0);
        refused.connections.refused = 1;
        ledger.enter(&refused, 20);
        assert!(!holds(&ledger, "budget"));
    }

    #[test]
    fn an_outage_that_nobody_noticed_does_not_count_as_held() {
        let mut ledger = Ledger::new(16, Duration::from_secs(2));
        assert!(!holds(&ledger, "metric"));
        ledger.blind_evaluations = 3;
        assert!(holds(&ledger, "metric"));
        ledger.blind_changes = 1;
        assert!(!holds(&ledger, "metric"));
    }

    #[test]
    fn the_summary_fits_a_narrow_terminal() {
        let mut ledger = Ledger::new(16, Duration::from_secs(2));
        ledger.enter(&scene(1525.0, 1000.0), 40);
        let verdicts = ledger.verdicts().into_iter().map(|verdict| verdict.to_string());
        for line in ledger.to_string().lines().map(str::to_owned).chain(verdicts) {
            assert!(line.chars().count() < 80, "{line}");
        }
        assert!(ledger.to_string().contains("40 replicas"));
    }
}
