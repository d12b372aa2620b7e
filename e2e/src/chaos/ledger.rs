//! What happened in a run: the timeline, how often each fault occurred, and what the oracles judge by.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll::api::{ConnectionBudgetSpec, ConnectionBudgetStatus, ScalingPolicySpec};
use plimsoll::control::Overrides;
use tokio::time::Instant;

/// Everything that is noted in one run.
pub struct Ledger {
    started: Instant,
    state: Mutex<State>,
}

/// What has been noted so far.
#[derive(Default)]
pub struct State {
    /// The timeline.
    pub lines: Vec<(Duration, String)>,
    /// How often each fault and deed occurred.
    pub counts: BTreeMap<&'static str, u64>,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// Answers of the metrics, by workload.
    pub answers: Vec<Vec<Answered>>,
    /// Counts that the operator wrote and the API server accepted, by workload.
    pub writes: Vec<Vec<ScaleWrite>>,
    /// Writes of the operator, other than of leases, that the API server accepted: when, and of what.
    pub accepted: Vec<(Duration, String)>,
    /// When each workload's pod template was last changed, or the workload made anew.
    pub revised: Vec<Duration>,
    /// When somebody else set a workload's count.
    pub counts_by_others: Vec<Vec<Duration>>,
    /// Moments at which what a client hears of a kind was disturbed.
    pub disturbed: Vec<(Duration, &'static str)>,
    /// What each workload's policy was, from when on; none while there is none.
    pub policies: Vec<Vec<(Duration, Option<PolicyFacts>)>>,
    /// What each budget was, from when on; none while there is none.
    pub budgets: Vec<Vec<(Duration, Option<ConnectionBudgetSpec>)>>,
    /// What each budget's status told, from when on.
    pub grants: Vec<Vec<(Duration, ConnectionBudgetStatus)>>,
    /// Grants whose write was not answered: of which budget, when it was sent, and what it tells.
    pub unanswered: Vec<(usize, Duration, ConnectionBudgetStatus)>,
    /// Which other autoscalers a workload had, from when on.
    pub rivals: Vec<Vec<(Duration, Rivals)>>,
    /// Changes that status told of when a process started: to which one, when by its clock, from which count to which.
    pub recalled: Vec<Vec<(u32, i64, u32, u32)>>,
    /// Histories that processes were told of: by which one, and how far back they reach.
    pub histories: Vec<Vec<(u32, Duration)>>,
    /// Who held the lease, from when on.
    pub holders: Vec<(Duration, String)>,
    /// Accepted writes of counts and statuses: when, by which process, and whether they were long on their way.
    pub fenced: Vec<(Duration, u32, bool)>,
    /// When the operator's clock was set wrong, and by how many milliseconds.
    pub clock: Vec<(Duration, i64)>,
    /// Since when each process has listened to policies.
    pub listening: BTreeMap<u32, Duration>,
    /// From when on everything had to be as it should be.
    pub settled: Duration,
}

/// A policy as a person wrote it.
#[derive(Clone, Debug)]
pub struct PolicyFacts {
    /// Its spec.
    pub spec: ScalingPolicySpec,
    /// Its annotations.
    pub overrides: Overrides,
}

/// Other autoscalers on a workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rivals {
    /// There is a HorizontalPodAutoscaler.
    pub autoscaler: bool,
    /// There is a second policy.
    pub policy: bool,
    /// It is older than the first, and so the one that acts.
    pub older: bool,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The signal's value.
    Value,
    /// The age of its newest sample.
    Age,
    /// How many pods stand behind it.
    Coverage,
}

/// A question and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// Which process asked.
    pub operator: u32,
    /// When.
    pub asked: Duration,
    /// About what.
    pub form: Form,
    /// The number, if the answer was fit to use.
    pub good: Option<f64>,
    /// The workload's count then; none while there is no such workload.
    pub replicas: Option<u32>,
}

/// A count that was written.
#[derive(Clone, Debug)]
pub struct ScaleWrite {
    /// Which process wrote it.
    pub operator: u32,
    /// In whose term: how often the lease had changed hands.
    pub term: usize,
    /// When it was sent.
    pub sent: Duration,
    /// When it was carried out.
    pub landed: Duration,
    /// What the operator's clock showed when it was sent, as milliseconds of the run.
    pub clock: i64,
    /// The count before.
    pub from: u32,
    /// The count after.
    pub to: u32,
}

impl Ledger {
    /// An empty ledger of a run of so many workloads and budgets that begins now.
    pub fn new(workloads: usize, budgets: usize) -> Self {
        let state = State {
            budgets: vec![Vec::new(); budgets],
            grants: vec![Vec::new(); budgets],
            answers: vec![Vec::new(); workloads],
            writes: vec![Vec::new(); workloads],
            policies: vec![Vec::new(); workloads],
            rivals: vec![vec![(Duration::ZERO, Rivals::default())]; workloads],
            histories: vec![Vec::new(); workloads],
            recalled: vec![Vec::new(); workloads],
            counts_by_others: vec![Vec::new(); workloads],
            revised: vec![Duration::ZERO; workloads],
            clock: vec![(Duration::ZERO, 0)],
            ..State::default()
        };
        Self { started: Instant::now(), state: Mutex::new(state) }
    }

    /// The time since the run began.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the run began.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// What has been noted.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a line.
    pub fn say(&self, line: impl Into<String>) {
        let (now, line) = (self.now(), line.into());
        tracing::debug!("{} {line}", clock(now));
        self.state().lines.push((now, line));
    }

    /// Counts a fault or deed.
    pub fn count(&self, class: &'static str) {
        *self.state().counts.entry(class).or_insert(0) += 1;
    }

    /// Notes what must not have happened.
    pub fn violation(&self, what: impl Into<String>) {
        let (now, what) = (self.now(), what.into());
        let mut state = self.state();
        state.lines.push((now, format!("VIOLATION {what}")));
        state.violations.push(format!("{} {what}", clock(now)));
    }

    /// Notes that what clients hear of a kind is disturbed from now on.
    pub fn disturb(&self, kind: &'static str) {
        let now = self.now();
        self.state().disturbed.push((now, kind));
    }

    /// The timeline as text.
    pub fn timeline(&self) -> String {
        let mut text = String::new();
        for (at, line) in &self.state().lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {line}", clock(*at));
        }
        text
    }
}

impl State {
    /// How far the operator's clock was off at a moment.
    pub fn clock_error(&self, at: Duration) -> i64 {
        self.clock.iter().rev().find(|(since, _)| *since <= at).map_or(0, |(_, error)| *error)
    }

    /// What was so at some time between two moments.
    pub fn versions<T>(history: &[(Duration, T)], from: Duration, to: Duration) -> impl Iterator<Item = &T> {
        let first = history.iter().rposition(|(since, _)| *since <= from).unwrap_or(0);
        history.iter().skip(first).take_while(move |(since, _)| *since <= to).map(|(_, version)| version)
    }
}

/// A moment of the run as `12:34.567`.
pub fn clock(at: Duration) -> String {
    let milliseconds = at.as_millis();
    format!("{:02}:{:02}.{:03}", milliseconds / 60_000, milliseconds / 1000 % 60, milliseconds % 1000)
}
