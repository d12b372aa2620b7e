//! Runs seeds of the operator under fire, or replays one with its timeline.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;
use e2e::chaos::soak::{Soak, report};
use e2e::chaos::{Scenario, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Runs seeds of the operator under fire, or replays one with its timeline")]
struct Arguments {
    /// Replay this seed and tell what happened
    #[arg(long)]
    seed: Option<u64>,
    /// The replay goes without faults; people do what they do
    #[arg(long, requires = "seed")]
    without_faults: bool,
    /// The replay records every decision in this directory
    #[arg(long, requires = "seed")]
    record: Option<PathBuf>,
    /// How many seeds to run
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// End after so many failures
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Threads; default: as many as the machine has
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // For a run that hangs: RUST_LOG=debug tells what happens while it happens.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if let Some(seed) = arguments.seed {
        return replay(seed, arguments.without_faults, arguments.record);
    }
    let threads = arguments.threads.unwrap_or_else(|| available_parallelism().map_or(2, usize::from));
    let soak =
        Soak { first: arguments.first, seeds: arguments.seeds, threads, most_failures: arguments.failures };
    let every = (arguments.seeds / 20).max(1);
    let summary = soak.run(|number, outcome| {
        if !outcome.violations.is_empty() {
            println!("{}", report(outcome));
        } else if number % every == 0 {
            println!("{number} of {} seeds", arguments.seeds);
        }
    });
    println!("{}", summary.table());
    let missing = if arguments.seeds >= 1000 { summary.missing() } else { Vec::new() };
    for class in &missing {
        println!("never occurred: {class}");
    }
    if summary.failures.is_empty() && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, without_faults: bool, record: Option<PathBuf>) -> ExitCode {
    let mut scenario = Scenario { record, ..Scenario::draw(seed) };
    if without_faults {
        scenario = scenario.without_faults();
    }
    for workload in &scenario.workloads {
        println!("{} {}", workload.name, serde_json::to_string(&workload.policy).unwrap_or_default());
    }
    println!(
        "api faults {:#?}\nmetric faults {:#?}\ncrashes {:?}",
        scenario.api, scenario.metrics, scenario.crashes
    );
    let outcome = run(scenario);
    print!("{}", outcome.timeline);
    println!("replicas at the end: {:?}", outcome.replicas);
    if outcome.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{}", report(&outcome));
    ExitCode::FAILURE
}
