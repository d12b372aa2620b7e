//! What a run came to: a table for people, JSON for programs, and whether it proves anything.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::limits::{DATABASE, Declaration, Limit};
use super::sample::Sample;
use super::services::{SERVICES, Service};
use super::tally::{Figures, Tally, percent};
use super::timetable::Event;
use super::{BASELINE, PLIMSOLL};

/// The least share of attempts that the baseline must be refused: with less, the course would prove nothing.
pub const LEAST_REFUSED_PERCENT: f64 = 1.0;

/// The least that Plimsoll's side must have made of what the baseline's made: who opens nothing is refused nothing.
pub const LEAST_DONE_PERCENT: f64 = 95.0;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How long the course lasted.
    pub seconds: f64,
    /// `max_connections` of each database.
    pub max_connections: u32,
    /// How many of those only a superuser gets.
    pub superuser_reserved_connections: u32,
    /// Connections declared for the services, before and after the limit was lowered.
    pub declared: [u32; 2],
    /// How they were declared.
    pub declaration: Declaration,
    /// The baseline and Plimsoll.
    pub sides: Vec<SideOutcome>,
    /// What happened when.
    pub events: Vec<Happened>,
}

/// Something that happened on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// Since the beginning.
    pub seconds: f64,
    /// In a word or two.
    pub label: &'static str,
    /// In a sentence.
    pub words: String,
}

/// What one side came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideOutcome {
    /// The autoscaler's name.
    pub name: &'static str,
    /// All services together.
    pub all: Figures,
    /// By service.
    pub services: BTreeMap<String, Figures>,
    /// The most connections that the services had at once.
    pub peak_connections: u32,
    /// The most of each service.
    pub peak_by_service: BTreeMap<String, u32>,
    /// The most that all clients had at once.
    pub peak_all_connections: u32,
    /// Every half second.
    pub samples: Vec<Sample>,
}

impl SideOutcome {
    /// Sums a side up.
    pub fn new(name: &'static str, tallies: Vec<(String, Tally)>, samples: Vec<Sample>) -> Self {
        let mut all = Tally::default();
        for (_, tally) in &tallies {
            all.add(tally);
        }
        let mut peak_by_service = BTreeMap::new();
        for (service, count) in samples.iter().flat_map(|sample| &sample.connections_by_service) {
            let peak = peak_by_service.entry(service.clone()).or_insert(0);
            *peak = (*peak).max(*count);
        }
        let most = |count: fn(&Sample) -> u32| samples.iter().map(count).max().unwrap_or(0);
        Self {
            name,
            all: all.figures(),
            services: tallies.into_iter().map(|(service, tally)| (service, tally.figures())).collect(),
            peak_by_service,
            peak_connections: most(|sample| sample.connections),
            peak_all_connections: most(|sample| sample.all_connections),
            samples,
        }
    }
}

impl Outcome {
    /// Sums a run up.
    pub fn new(
        duration: Duration,
        declaration: Declaration,
        sides: Vec<SideOutcome>,
        events: Vec<Happened>,
    ) -> Self {
        Self {
            seconds: duration.as_secs_f64(),
            max_connections: DATABASE.max_connections,
            superuser_reserved_connections: DATABASE.superuser_reserved_connections,
            declared: [Limit::Full.connections(), Limit::Lowered.connections()],
            declaration,
            sides,
            events,
        }
    }

    /// A side by its name.
    pub fn side(&self, name: &str) -> Option<&SideOutcome> {
        self.sides.iter().find(|side| side.name == name)
    }

    /// What does not hold; empty if everything does.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match self.side(PLIMSOLL) {
            Some(side) => {
                if side.all.refused > 0 {
                    faults.push(format!("Plimsoll was refused {} connections", side.all.refused));
                }
                if side.all.unreachable > 0 {
                    let count = side.all.unreachable;
                    faults
                        .push(format!("{count} connections of Plimsoll's side failed without being refused"));
                }
                faults.extend(self.excess(side));
                if side.all.attempts == 0 || side.all.done == 0 {
                    faults.push("nothing happened on Plimsoll's side".to_owned());
                }
            }
            None => faults.push("Plimsoll's side is missing".to_owned()),
        }
        if let (Some(side), Some(baseline)) = (self.side(PLIMSOLL), self.side(BASELINE)) {
            let share = percent(side.all.done, baseline.all.done);
            if share < LEAST_DONE_PERCENT {
                faults.push(format!(
                    "Plimsoll's side made {share:.1} % of the queries that the baseline's made"
                ));
            }
        }
        match self.side(BASELINE) {
            Some(side) if side.all.refused_percent >= LEAST_REFUSED_PERCENT => {}
            Some(side) => faults.push(format!(
                "the baseline was refused {:.2} % of its attempts, less than {LEAST_REFUSED_PERCENT} %: the course \
                 proves nothing",
                side.all.refused_percent
            )),
            None => faults.push("the baseline's side is missing".to_owned()),
        }
        faults
    }
}

impl Outcome {
    /// Where a side held more connections than were declared for it, whether the database minded or not.
    fn excess(&self, side: &SideOutcome) -> Option<String> {
        let lowered = self.events.iter().find(|event| event.label == Event::LimitEnforced.label());
        let lowered = lowered.map_or(f64::INFINITY, |event| event.seconds);
        side.samples.iter().find_map(|sample| {
            let limit = if sample.seconds < lowered { Limit::Full } else { Limit::Lowered };
            let at = format!("at {:.1} s", sample.seconds);
            let held_by =
                |service: &Service| sample.connections_by_service.get(service.name).copied().unwrap_or(0);
            let beyond = |service: &&Service| held_by(service) > limit.part_of(service);
            let parts = self.declaration == Declaration::Parts;
            if let Some(service) = SERVICES.iter().find(beyond).filter(|_| parts) {
                let (name, held, part) = (service.name, held_by(service), limit.part_of(service));
                return Some(format!("{name} held {held} connections {at}, of {part} declared for it"));
            }
            let (held, declared) = (sample.connections, limit.connections());
            (held > declared)
                .then(|| format!("the services held {held} connections {at}, of {declared} declared"))
        })
    }
}

/// The name of a side in a table.
pub fn title(name: &str) -> &str {
    match name {
        BASELINE => "HPA's rules",
        PLIMSOLL => "Plimsoll",
        other => other,
    }
}

impl fmt::Display for Outcome {
    /// A table in Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| | service | attempts | refused | | asked | done | | p50 ms | p99 ms | peak connections |"
        )?;
        writeln!(f, "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |")?;
        for side in &self.sides {
            let services = side.services.iter().map(|(name, figures)| {
                let peak = side.peak_by_service.get(name).copied().unwrap_or(0);
                (name.as_str(), figures, peak.to_string())
            });
            let given = self.max_connections - self.superuser_reserved_connections;
            let all = ("all", &side.all, format!("{} of {given}", side.peak_all_connections));
            for (name, figures, peak) in services.chain([all]) {
                let milliseconds =
                    |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
                writeln!(
                    f,
                    "| {} | {name} | {} | {} | {:.1} % | {} | {} | {:.1} % | {} | {} | {} |",
                    title(side.name),
                    figures.attempts,
                    figures.refused,
                    figures.refused_percent,
                    figures.asked,
                    figures.done,
                    figures.done_percent,
                    milliseconds(figures.p50_milliseconds),
                    milliseconds(figures.p99_milliseconds),
                    peak,
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(baseline: (u64, u64), plimsoll: (u64, u64)) -> Outcome {
        let side = |name, (attempts, refused)| {
            let done = u64::from(attempts > 0);
            let tally = Tally { attempts, refused, asked: 1, done, ..Tally::default() };
            SideOutcome::new(name, vec![("checkout".to_owned(), tally)], Vec::new())
        };
        let sides = vec![side(BASELINE, baseline), side(PLIMSOLL, plimsoll)];
        Outcome::new(Duration::from_secs(60), Declaration::Parts, sides, Vec::new())
    }

    #[test]
    fn only_a_run_in_which_the_baseline_is_refused_and_plimsoll_is_not_proves_anything() {
        assert!(outcome((100, 1), (80, 0)).faults().is_empty());
        assert_eq!(outcome((100, 1), (80, 1)).faults(), ["Plimsoll was refused 1 connections"]);
        assert_eq!(outcome((101, 1), (80, 0)).faults().len(), 1, "less than one percent");
        let idle = [
            "nothing happened on Plimsoll's side",
            "Plimsoll's side made 0.0 % of the queries that the baseline's made",
        ];
        assert_eq!(outcome((100, 1), (0, 0)).faults(), idle);
    }

    fn sample(seconds: f64, checkout: u32) -> Sample {
        Sample {
            seconds,
            replicas: BTreeMap::new(),
            processes: 0,
            connections: checkout,
            connections_by_service: [("checkout".to_owned(), checkout)].into(),
            all_connections: checkout,
            attempts: 0,
            refused: 0,
            asked: 0,
            done: 0,
        }
    }

    #[test]
    fn more_than_is_declared_is_a_fault_even_where_the_database_gives_it() {
        let words = Event::LimitEnforced.label();
        let lowered = Happened { seconds: 50.0, label: words, words: words.to_owned() };
        let (parts, budget) = (Declaration::Parts, Declaration::Budget);
        for (seconds, held, declaration, fault) in [
            (49.0, 44, parts, None),
            (51.0, 36, parts, None),
            (49.0, 45, parts, Some("checkout held 45 connections at 49.0 s, of 44 declared for it")),
            (51.0, 37, parts, Some("checkout held 37 connections at 51.0 s, of 36 declared for it")),
            (51.0, 77, budget, None),
            (51.0, 78, budget, Some("the services held 78 connections at 51.0 s, of 77 declared")),
        ] {
            let side = SideOutcome::new(PLIMSOLL, Vec::new(), vec![sample(seconds, held)]);
            let (events, sides) = (vec![lowered.clone()], vec![side.clone()]);
            let outcome = Outcome::new(Duration::from_secs(60), declaration, sides, events);
            assert_eq!(outcome.excess(&side).as_deref(), fault);
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_service_and_one_for_all() {
        let table = outcome((100, 1), (80, 0)).to_string();
        assert!(
            table.contains("| HPA's rules | checkout | 100 | 1 | 1.0 % | 1 | 1 | 100.0 % | – | – | 0 |"),
            "{table}"
        );
        assert!(
            table.contains("| Plimsoll | all | 80 | 0 | 0.0 % | 1 | 1 | 100.0 % | – | – | 0 of 97 |"),
            "{table}"
        );
    }
}
