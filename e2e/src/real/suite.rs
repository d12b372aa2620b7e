//! Runs many scenarios against one cluster at once and tells how each went.
//!
//! Test runners may give each test a process of its own, and each process would start a cluster of its own. So the
//! scenarios of one floor are one test: the cluster starts once, the scenarios mostly wait side by side, and
//! each has its own line, its own deadline and its own panic.

use std::any::Any;
use std::env;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The environment variable that names the scenarios to run: those whose name contains its value.
pub const FILTER: &str = "SCENARIO";

type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Scenarios to be run together.
pub struct Suite {
    at_once: usize,
    deadline: Duration,
    filter: String,
    scenarios: Vec<(&'static str, Body)>,
}

/// How the scenarios of a suite went; prints one line for each.
#[derive(Debug)]
pub struct Report {
    outcomes: Vec<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    name: &'static str,
    took: Duration,
    failure: Option<String>,
}

impl Suite {
    /// A suite that runs `at_once` scenarios side by side, each of which fails after `deadline`.
    pub fn new(at_once: usize, deadline: Duration) -> Self {
        let filter = env::var(FILTER).unwrap_or_default();
        Self { at_once, deadline, filter, scenarios: Vec::new() }
    }

    /// Adds a scenario; its name is a sentence that it proves. It fails by panicking.
    #[must_use]
    pub fn scenario(mut self, name: &'static str, body: impl Future<Output = ()> + Send + 'static) -> Self {
        if name.contains(&self.filter) {
            self.scenarios.push((name, Box::pin(body)));
        }
        self
    }

    /// Runs the scenarios and prints a line as each ends.
    pub async fn run(self) -> Report {
        let places = Arc::new(Semaphore::new(self.at_once));
        let mut running: FuturesUnordered<_> = self
            .scenarios
            .into_iter()
            .map(|(name, body)| run_one(name, body, self.deadline, Arc::clone(&places)))
            .collect();
        let mut outcomes = Vec::new();
        while let Some(outcome) = running.next().await {
            println!("{outcome}");
            outcomes.push(outcome);
        }
        Report { outcomes }
    }
}

async fn run_one(name: &'static str, body: Body, deadline: Duration, places: Arc<Semaphore>) -> Outcome {
    let _place = places.acquire_owned().await;
    let start = Instant::now();
    // A task of its own keeps a panic from ending the others.
    let mut task = tokio::spawn(body);
    let failure = match timeout(deadline, &mut task).await {
        Ok(Ok(())) => None,
        Ok(Err(ended)) => {
            Some(ended.try_into_panic().map_or_else(|ended| ended.to_string(), |panic| words(&*panic)))
        }
        Err(_) => {
            task.abort();
            Some(format!("not done within {deadline:?}"))
        }
    };
    Outcome { name, took: start.elapsed(), failure }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

impl Report {
    /// The number of scenarios that were run and held.
    pub fn passed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_none()).count()
    }

    /// The names of the scenarios that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some()).map(|outcome| outcome.name).collect()
    }

    /// An error with every line of the report if a scenario failed, or if none was run.
    pub fn into_result(self) -> Result<(), String> {
        if self.outcomes.is_empty() {
            return Err(format!("no scenario's name contains the value of {FILTER}"));
        }
        if self.failed().is_empty() { Ok(()) } else { Err(self.to_string()) }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, took) =
            (if self.failure.is_none() { "ok    " } else { "FAILED" }, self.took.as_secs_f64());
        write!(f, "{verdict} {took:6.2} s  {}", self.name)?;
        self.failure.as_ref().map_or(Ok(()), |failure| write!(f, "\n{failure}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcomes.iter().try_for_each(|outcome| writeln!(f, "{outcome}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scenario_that_panics_or_hangs_fails_alone() {
        let suite = Suite {
            at_once: 2,
            deadline: Duration::from_millis(100),
            filter: String::new(),
            scenarios: vec![],
        };
        let report = suite
            .scenario("holds", async {})
            .scenario("panics", async { panic!("seven pods, not {}", 6) })
            .scenario("hangs", std::future::pending())
            .run()
            .await;
        assert_eq!(report.passed(), 1);
        let text = report.to_string();
        assert!(text.contains("panics\nseven pods, not 6"), "{text}");
        assert!(text.contains("hangs\nnot done within 100ms"), "{text}");
    }

    #[tokio::test]
    async fn a_filter_that_fits_nothing_is_no_success() {
        let suite =
            Suite { at_once: 1, deadline: Duration::ZERO, filter: "rampe".to_owned(), scenarios: vec![] };
        let report = suite.scenario("ramp", async {}).run().await;
        assert_eq!(report.into_result(), Err("no scenario's name contains the value of SCENARIO".to_owned()));
    }
}
