//! `make bench`: what the whole operator costs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use e2e::cost::{DoubleFloor, Fault, Figures, Plan, RealFloor, Size, measure};
use e2e::real::StartError;

/// Runs an operator with many policies as a process of its own and prints what it costs.
#[derive(Debug, Parser)]
#[command(name = "operator-cost")]
struct Arguments {
    /// The operator's program
    #[arg(long, value_name = "FILE", default_value = "target/release/plimsoll")]
    operator: PathBuf,
    /// Policies, each with a workload of its own; 0 measures an idle operator
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    policies: usize,
    /// Pods of each workload
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pods: usize,
    /// What it runs on
    #[arg(long, value_enum, default_value = "double")]
    floor: Ground,
    /// Seconds of steady state
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    window: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ground {
    /// The API server double, with queries answered without effort
    Double,
    /// A real API server, Deployment controller and Prometheus
    Real,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(arguments).await {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(Fault::Start(StartError::Missing(missing))) => {
            println!("skipped: {missing}");
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("operator-cost: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(arguments: Arguments) -> Result<Figures, Fault> {
    let program = arguments.operator.canonicalize()?;
    let size = Size { policies: arguments.policies, pods: arguments.pods };
    let plan =
        Plan { size, window: Duration::from_secs(arguments.window), patience: Duration::from_mins(20) };
    match arguments.floor {
        Ground::Double => measure(program, &DoubleFloor::start(size)?, plan).await,
        Ground::Real => measure(program, &RealFloor::start(size, plan.patience).await?, plan).await,
    }
}
