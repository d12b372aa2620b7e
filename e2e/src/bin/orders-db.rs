//! `make orders-db`: three services on one real PostgreSQL, with an HPA's rules and with Plimsoll.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::orders::limits::Declaration;
use e2e::orders::report::Outcome;
use e2e::orders::{Options, OrdersError, chart, run};
use e2e::real::StartError;

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
    tracing_subscriber::fmt().with_env_filter(&arguments.log).with_writer(std::io::stderr).init();
    match repeat(&arguments).await {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("orders-db: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(OrdersError::Start(StartError::Missing(missing))) => {
            println!("skipped: {missing}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("orders-db: {error}");
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
    let options = Options {
        duration: Duration::from_secs(arguments.seconds),
        declaration: arguments.limits.unwrap_or_else(Declaration::best),
        pod: beside("orders-pod"),
        operator: beside("operator"),
        record: record.map_err(|error| OrdersError::Other(error.to_string()))?,
    };
    let output = arguments.output.display();
    let cannot_write = |error| OrdersError::Other(format!("cannot write to {output}: {error}"));
    fs::create_dir_all(&arguments.output).map_err(cannot_write)?;
    let mut faults = Vec::new();
    for number in 1..=arguments.runs {
        println!("Run {number} of {}", arguments.runs);
        let outcome = run(&options).await?;
        println!("\n{outcome}");
        write(&outcome, &arguments.output, number).map_err(cannot_write)?;
        faults.extend(outcome.faults().into_iter().map(|fault| format!("run {number}: {fault}")));
    }
    println!("Written to {output}");
    Ok(faults)
}

fn write(outcome: &Outcome, directory: &Path, number: u32) -> std::io::Result<()> {
    let json = serde_json::to_string_pretty(outcome).map_err(std::io::Error::other)?;
    fs::write(directory.join(format!("result-{number}.json")), json)?;
    fs::write(directory.join(format!("table-{number}.md")), outcome.to_string())?;
    fs::write(directory.join(format!("course-{number}.svg")), chart::svg(outcome))
}
