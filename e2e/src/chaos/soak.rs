//! Many seeds on several threads, and what they came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::fault::{ApiClass, MetricClass, WriteKind};
use super::run::{Outcome, run};
use super::scenario::{Deed, Revision, Scenario};

/// Which seeds to run.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// On how many threads.
    pub threads: usize,
    /// After so many failures no more seeds are begun.
    pub most_failures: usize,
}

/// What the seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// How often each fault and deed occurred.
    pub counts: BTreeMap<&'static str, u64>,
    /// Runs with violations, by seed.
    pub failures: Vec<Outcome>,
    /// How long it took.
    pub took: Duration,
}

impl Soak {
    /// Runs the seeds. `progress` is told of each run, with the number of runs so far.
    pub fn run(self, progress: impl Fn(u64, &Outcome) + Sync) -> Summary {
        let started = Instant::now();
        let next = AtomicU64::new(0);
        let summary = Mutex::new(Summary::default());
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let lock = || summary.lock().unwrap_or_else(PoisonError::into_inner);
                if number >= self.seeds || lock().failures.len() >= self.most_failures {
                    return;
                }
                let outcome = run(Scenario::draw(self.first.saturating_add(number)));
                let mut summary = lock();
                summary.take(outcome, &progress);
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
        summary.failures.sort_by_key(|outcome| outcome.seed);
        summary.took = started.elapsed();
        summary
    }
}

impl Summary {
    fn take(&mut self, outcome: Outcome, progress: &(impl Fn(u64, &Outcome) + Sync)) {
        self.seeds += 1;
        for (class, count) in &outcome.counts {
            *self.counts.entry(class).or_insert(0) += count;
        }
        progress(self.seeds, &outcome);
        if !outcome.violations.is_empty() {
            self.failures.push(outcome);
        }
    }

    /// Classes of faults and deeds that never occurred.
    pub fn missing(&self) -> Vec<&'static str> {
        classes().into_iter().filter(|class| !self.counts.contains_key(class)).collect()
    }

    /// How often each class occurred, as a table.
    pub fn table(&self) -> String {
        let mut table = String::new();
        for class in classes() {
            let count = self.counts.get(class).copied().unwrap_or(0);
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{count:>12}  {class}");
        }
        let seconds = self.took.as_secs_f64();
        let _ = writeln!(
            table,
            "{} seeds in {seconds:.0} s, {} with violations",
            self.seeds,
            self.failures.len()
        );
        table
    }
}

/// Every class of faults and deeds.
pub fn classes() -> Vec<&'static str> {
    let mut classes: Vec<&'static str> = ApiClass::ALL.iter().map(|class| class.name()).collect();
    classes.extend(MetricClass::ALL.iter().map(|class| class.name()));
    classes.extend(["clock: jump forward", "clock: jump back", "operator: crash", "operator: stopped"]);
    for kind in [WriteKind::Scale, WriteKind::Status, WriteKind::Event, WriteKind::Lease, WriteKind::Grant] {
        classes.extend([kind.crash(false), kind.crash(true)]);
    }
    let deeds = [
        Deed::Scale(0),
        Deed::Scale(1),
        Deed::RollOut(Revision::Good),
        Deed::RollOut(Revision::Crashing),
        Deed::RollOut(Revision::NeverReady),
        Deed::RollOut(Revision::SlowToEnd),
        Deed::Edit(serde_json::Value::Null),
        Deed::Annotate("", None),
        Deed::DeletePolicy,
        Deed::CreatePolicy,
        Deed::DeleteTarget,
        Deed::CreateTarget,
        Deed::PutAutoscaler,
        Deed::RemoveAutoscaler,
        Deed::PutRival,
        Deed::RemoveRival,
        Deed::Evict(1),
        Deed::LoseNode(1.0),
        Deed::FillQuota,
        Deed::EmptyQuota,
        Deed::SetLimit(0, 1),
        Deed::DeleteBudget(0),
        Deed::CreateBudget(0),
    ];
    classes.extend(deeds.iter().map(Deed::class));
    classes
}

/// What to tell of a run that failed.
pub fn report(outcome: &Outcome) -> String {
    let mut text = format!("seed {}:\n", outcome.seed);
    for violation in &outcome.violations {
        let _ = writeln!(text, "  {violation}");
    }
    let _ = write!(text, "  replay: SEED={} make soak", outcome.seed);
    text
}
