//! `make hot-row`: one hot row in a real PostgreSQL, with an HPA's rules and with Plimsoll.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::hot_row::report::Outcome;
use e2e::hot_row::shop::Ceiling;
use e2e::hot_row::sweep::SweepOptions;
use e2e::hot_row::{Options, chart, run};
use e2e::orders::OrdersError;
use e2e::orders::program::{Places, ended};

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
    ended("hot-row", &arguments.log, Box::pin(repeat(&arguments))).await
}

/// What did not hold, in all runs.
async fn repeat(arguments: &Arguments) -> Result<Vec<String>, OrdersError> {
    let places = Places::new(&arguments.output, arguments.record.as_deref())?;
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
            pod: places.pod.clone(),
            operator: places.operator.clone(),
            record: places.record.clone(),
        })
        .await?;
        println!("\n{outcome}");
        write(&outcome, &places, number)?;
        let found = outcome.faults(f64::from(arguments.least) / 100.0);
        faults.extend(found.into_iter().map(|fault| format!("run {number}: {fault}")));
    }
    println!("Written to {}", arguments.output.display());
    Ok(faults)
}

fn write(outcome: &Outcome, places: &Places, number: u32) -> Result<(), OrdersError> {
    places.write_json(&format!("result-{number}.json"), outcome)?;
    places.write(&format!("table-{number}.md"), &outcome.to_string())?;
    places.write(&format!("course-{number}.svg"), &chart::svg(outcome))?;
    match &outcome.described {
        Some(text) => places.write(&format!("describe-{number}.txt"), text),
        None => Ok(()),
    }
}
