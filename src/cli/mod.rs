//! The command line.

mod check;
mod crd;
mod files;
mod fit;
mod lint;
mod migrate;
mod plan;
mod run;
mod simulate;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Scales workloads with their load, and never past what stands behind them can carry.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator
    Run(Box<run::Run>),
    /// Ask an operator whether it is ready, and its Prometheus servers whether they answer
    Check(check::Check),
    /// Print the custom resource definitions as YAML
    Crd(crd::Crd),
    /// Run a policy through a load in virtual time, beside an HPA or an oracle, and see what it comes to
    Simulate(Box<simulate::Simulate>),
    /// Work out how many replicas a load takes, line by line
    Plan(plan::Plan),
    /// Find what will hurt under load in policies and workloads
    Lint(lint::Lint),
    /// Fit the Universal Scalability Law to measurements
    Fit(fit::Fit),
    /// Write policies from HPA and KEDA objects
    Migrate(migrate::Migrate),
}

impl Arguments {
    /// Does what the arguments ask for. What goes wrong is said on stderr in one sentence, and the exit code is 1.
    pub fn execute(self) -> ExitCode {
        let done = match self.command {
            Command::Run(run) => run.execute(),
            Command::Check(check) => check.execute(),
            Command::Crd(crd) => crd.execute(),
            Command::Simulate(simulate) => simulate.execute(),
            Command::Plan(plan) => plan.execute(),
            Command::Lint(lint) => lint.execute(),
            Command::Fit(fit) => fit.execute(),
            Command::Migrate(migrate) => migrate.execute(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                // Nobody may be listening any more, and then there is nobody to tell.
                let _ =
                    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("plimsoll: {fault}\n"));
                ExitCode::FAILURE
            }
        }
    }
}
