//! `make hot-row`: one hot row in a real PostgreSQL, with an HPA's rules and with Plimsoll.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::hot_row::report::Outcome;
use e2e::hot_row::shop::Ceiling;
use e2e::hot_row::sweep::SweepOptions;
use e2e::hot_row::{Options, chart, run};
use e2e::orders::OrdersError;
use e2e::real::StartError;

/// Sweeps the service through fixed sizes, then scales it by two autoscalers, and fails if Plimsoll makes much less of the
/// load than the best fixed size, or the HPA's rules do not make less than Plimsoll.
#[derive(Debug, Parser)]
#[command(name = "hot-row")]
struct Arguments {
    /// Fixed sizes, ascending
    #[arg(long, value_name = "PODS", value_delimiter = ',', default_value = "1,2,3,4,6,8,10,12,14,16,20,24")]
    sizes: Vec<u32>,
    /// Where the ceiling's law comes from
    #[arg(long, value_enum, default_value = "fitted")]
    ceiling: Ceiling,
    /// Seconds that each size is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 42)]
    sweep_seconds: u64,
    /// Seconds that the autoscalers' course lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    seconds: u64,
    /// Decides when requests arrive; further runs take the numbers after it
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How often everything is run
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    runs: u32,
    /// The least that Plimsoll must make of what the best fixed size does, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95)]
    least: u32,
    /// Where result.json, table.md, describe.txt and course.svg are written, with the number of the run
    #[arg(long, value_name = "DIR", default_value = "target/hot-row")]
    output: PathBuf,
    /// Where the operators record what they see and decide
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Log level of the test bed
    #[arg(long, value_name = "FILTER", default_value = "warn,kube_client=off")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_env_filter(&arguments.log).with_writer(std::io::stderr).init();
    match repeat(&arguments).await {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("hot-row: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(OrdersError::Start(StartError::Missing(missing))) => {
            println!("skipped: {missing}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hot-row: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What did not hold, in all runs.
async fn repeat(arguments: &Arguments) -> Result<Vec<String>, OrdersError> {
    let programs = std::env::current_exe()
        .map_err(|error| OrdersError::Other(format!("cannot find this program: {error}")))?;
    let beside = |name: &str| programs.with_file_name(name);
    let record = arguments.record.as_deref().map(std::path::absolute).transpose();
    let record = record.map_err(|error| OrdersError::Other(error.to_string()))?;
    let output = arguments.output.display();
    let cannot_write = |error| OrdersError::Other(format!("cannot write to {output}: {error}"));
    fs::create_dir_all(&arguments.output).map_err(cannot_write)?;
    let mut faults = Vec::new();
    for (number, seed) in (1..=arguments.runs).zip(arguments.seed..) {
        println!("Run {number} of {}", arguments.runs);
        let outcome = run(&Options {
            sweep: SweepOptions {
                sizes: arguments.sizes.clone(),
                settle: Duration::from_secs(3),
                measure: Duration::from_secs(arguments.sweep_seconds),
            },
            duration: Duration::from_secs(arguments.seconds),
            ceiling: arguments.ceiling,
            seed,
            pod: beside("orders-pod"),
            operator: beside("operator"),
            record: record.clone(),
        })
        .await?;
        println!("\n{outcome}");
        write(&outcome, &arguments.output, number).map_err(cannot_write)?;
        let found = outcome.faults(f64::from(arguments.least) / 100.0);
        faults.extend(found.into_iter().map(|fault| format!("run {number}: {fault}")));
    }
    println!("Written to {output}");
    Ok(faults)
}

fn write(outcome: &Outcome, directory: &Path, number: u32) -> std::io::Result<()> {
    let json = serde_json::to_string_pretty(outcome).map_err(std::io::Error::other)?;
    fs::write(directory.join(format!("result-{number}.json")), json)?;
    fs::write(directory.join(format!("table-{number}.md")), outcome.to_string())?;
    fs::write(directory.join(format!("course-{number}.svg")), chart::svg(outcome))?;
    match &outcome.described {
        Some(text) => fs::write(directory.join(format!("describe-{number}.txt")), text),
        None => Ok(()),
    }
}
