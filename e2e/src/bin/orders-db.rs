//! `make orders-db`: three services on one real PostgreSQL, with an HPA's rules and with Plimsoll.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::orders::limits::Declaration;
use e2e::orders::program::{Places, ended};
use e2e::orders::report::Outcome;
use e2e::orders::{Options, OrdersError, chart, run};

/// Runs the same course on both sides, and fails if Plimsoll was refused a connection, or the baseline hardly any.
#[derive(Debug, Parser)]
#[command(name = "orders-db")]
struct Arguments {
    /// Seconds that the course lasts, 60 or more
    #[arg(long, value_name = "SECONDS", default_value_t = 270)]
    seconds: u64,
    /// How often it is run
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    runs: u32,
    /// How the operator is told what the database gives; default: by a budget, if it knows one
    #[arg(long, value_enum)]
    limits: Option<Declaration>,
    /// Where result.json, table.md and course.svg are written, with the number of the run
    #[arg(long, value_name = "DIR", default_value = "target/orders-db")]
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
    ended("orders-db", &arguments.log, Box::pin(repeat(&arguments))).await
}

/// What did not hold, in all runs.
async fn repeat(arguments: &Arguments) -> Result<Vec<String>, OrdersError> {
    let places = Places::new(&arguments.output, arguments.record.as_deref())?;
    let options = Options {
        duration: Duration::from_secs(arguments.seconds),
        declaration: arguments.limits.unwrap_or_else(Declaration::best),
        pod: places.pod.clone(),
        operator: places.operator.clone(),
        record: places.record.clone(),
    };
    let mut faults = Vec::new();
    for number in 1..=arguments.runs {
        println!("Run {number} of {}", arguments.runs);
        let outcome = run(&options).await?;
        println!("\n{outcome}");
        write(&outcome, &places, number)?;
        faults.extend(outcome.faults().into_iter().map(|fault| format!("run {number}: {fault}")));
    }
    println!("Written to {}", arguments.output.display());
    Ok(faults)
}

fn write(outcome: &Outcome, places: &Places, number: u32) -> Result<(), OrdersError> {
    places.write_json(&format!("result-{number}.json"), outcome)?;
    places.write(&format!("table-{number}.md"), &outcome.to_string())?;
    places.write(&format!("course-{number}.svg"), &chart::svg(outcome))
}
