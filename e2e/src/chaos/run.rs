//! One run: a world made of a seed, an operator in it, and the judgement of both.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic;
use std::sync::{Arc, LazyLock, Once};
use std::time::Duration;

use plimsoll::operator::ClockError;
use serde_json::Value;
use tokio::time::{sleep, sleep_until};

use super::ledger::Ledger;
use super::metrics::Metrics;
use super::oracle;
use super::people::{NAMESPACE, People};
use super::processes::Keeper;
use super::scenario::{BASE, QUIET, Scenario};
use crate::apiserver::{ApiServer, Failure, Rule, Settings};
use crate::bed::operator_rights;
use crate::clock::Clock;
use crate::plant::{Lasting, Plant, PlantSettings};

/// No rollout takes longer: 22 pods one after the other, each with its start and the longest drain.
const LONGEST_ROLLOUT: Duration = Duration::from_hours(2);
/// Once pods have stopped coming and going, the rest takes no longer.
const AFTER_ROLLOUT: Duration = Duration::from_mins(5);
/// The operator's bearer token.
const TOKEN: &str = "operator";

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// How often each fault and deed occurred.
    pub counts: BTreeMap<&'static str, u64>,
    /// What happened.
    pub timeline: String,
    /// Each workload's count at the end.
    pub replicas: Vec<u32>,
}

/// The custom resource definitions: the same for every world, and not made in no time.
static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let definitions = plimsoll::api::definitions();
    definitions.iter().filter_map(|definition| serde_json::to_value(definition).ok()).collect()
});

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts the panics of each thread from now on, in all tasks.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.set(panics.get().saturating_add(1)));
            before(info);
        }));
    });
}

/// Runs `scenario` from its beginning to its end, on this thread, in virtual time.
pub fn run(scenario: Scenario) -> Outcome {
    count_panics();
    // The first provider that is installed stays; it is always the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    fastrand::seed(scenario.seed);
    PANICS.with(|panics| panics.set(0));
    let seed = scenario.seed;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let mut outcome = match runtime {
        Ok(runtime) => runtime.block_on(live(Arc::new(scenario))),
        Err(error) => Err(Failure::new(500, "", error.to_string())),
    }
    .unwrap_or_else(|failure| Outcome {
        seed,
        violations: vec![format!("the world could not be made: {failure}")],
        counts: BTreeMap::new(),
        timeline: String::new(),
        replicas: Vec::new(),
    });
    let panics = PANICS.with(Cell::get);
    if panics > 0 {
        outcome.violations.push(format!("{panics} panics"));
    }
    outcome
}

async fn live(scenario: Arc<Scenario>) -> Result<Outcome, Failure> {
    let base = jiff::Timestamp::from_millisecond(BASE).unwrap_or_default();
    let settings = Settings { seed: scenario.seed, clock: Clock::starting_at(base), ..Settings::default() };
    let server = ApiServer::new(settings);
    let ledger = Arc::new(Ledger::new(scenario.workloads.len(), scenario.budgets.len()));
    server.bind(TOKEN, "system:serviceaccount:plimsoll:operator", rules()?);
    server.add_namespace(NAMESPACE);
    server.add_namespace(oracle::lease::NAMESPACE);
    let definitions = server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions")?;
    for definition in DEFINITIONS.iter() {
        definitions.create("", definition.clone())?;
    }
    let plant = PlantSettings {
        seed: scenario.seed,
        drain: Lasting::Between(Duration::from_secs(1), Duration::from_secs(15)),
        ..PlantSettings::default()
    };
    let _plant = Plant::start(&server, plant)?;
    let people = People::begin(&server, &scenario, &ledger)?;
    let metrics = Arc::new(Metrics::new(&server, Arc::clone(&scenario), Arc::clone(&ledger)));
    let clock = ClockError::default();
    let written = Arc::default();
    let keeper = |index| Keeper {
        server: server.clone(),
        scenario: Arc::clone(&scenario),
        ledger: Arc::clone(&ledger),
        metrics: Arc::clone(&metrics),
        clock: clock.clone(),
        token: TOKEN,
        index,
        written: Arc::clone(&written),
    };
    let operators: Vec<_> =
        (0..if scenario.pair { 2 } else { 1 }).map(|index| tokio::spawn(keeper(index).keep())).collect();
    let jumps = tokio::spawn(jump(Arc::clone(&scenario), Arc::clone(&ledger), clock));
    let people = tokio::spawn(people.work());

    sleep_until(ledger.started() + scenario.calm).await;
    match people.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => ledger.violation(format!("the world could not be put right: {failure}")),
        Err(error) => ledger.violation(format!("the people are gone: {error}")),
    }
    let world = oracle::World { server: &server, scenario: &scenario, ledger: &ledger, metrics: &metrics };
    settle(&world).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    ledger.state().settled = ledger.now();
    oracle::end::judge_settled(&world);
    sleep(QUIET).await;
    oracle::end::judge_quiet(&world);
    let tasks_then = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    if tasks_then > tasks + 2 {
        ledger.violation(format!("the tasks grew from {tasks} to {tasks_then} while nothing happened"));
    }
    operators.iter().for_each(tokio::task::JoinHandle::abort);
    jumps.abort();
    let replicas = (0..scenario.workloads.len()).map(|index| world.replicas(index)).collect();
    let timeline = ledger.timeline();
    let state = ledger.state();
    Ok(Outcome {
        seed: scenario.seed,
        violations: state.violations.clone(),
        counts: state.counts.clone(),
        timeline,
        replicas,
    })
}

fn rules() -> Result<Vec<Rule>, Failure> {
    let rights = operator_rights().map_err(|error| Failure::new(500, "", error.to_string()))?;
    let leases = Rule::new(&["get", "create", "patch"], &["coordination.k8s.io"], &["leases"]);
    Ok(rights
        .iter()
        .map(|right| {
            let verbs: Vec<&str> = right.verbs.iter().map(String::as_str).collect();
            let groups: Vec<&str> = right.api_groups.iter().map(String::as_str).collect();
            let resources: Vec<&str> = right.resources.iter().map(String::as_str).collect();
            Rule::new(&verbs, &groups, &resources)
        })
        .chain([leases.in_namespace(oracle::lease::NAMESPACE)])
        .collect())
}

/// Waits for as long as the world may take to settle. A rollout takes its own time, and nothing is removed before its end.
async fn settle(world: &oracle::World<'_>) {
    let (calm, mut moved) = (world.scenario.calm, world.scenario.calm);
    loop {
        sleep(Duration::from_secs(15)).await;
        let now = world.ledger.now();
        if !(0..world.scenario.workloads.len()).all(|index| world.is_rolled_out(index)) {
            moved = now;
        }
        if now >= (world.scenario.settled().max(moved + AFTER_ROLLOUT)).min(calm + LONGEST_ROLLOUT) {
            return;
        }
    }
}

/// Lets the operator's clock jump.
async fn jump(scenario: Arc<Scenario>, ledger: Arc<Ledger>, clock: ClockError) {
    for (at, error) in &scenario.clock {
        sleep_until(ledger.started() + *at).await;
        ledger.count(if *error >= clock.get() { "clock: jump forward" } else { "clock: jump back" });
        ledger.say(format!("the operator's clock is now off by {error} ms"));
        let now = ledger.now();
        ledger.state().clock.push((now, *error));
        clock.set(*error);
    }
}
