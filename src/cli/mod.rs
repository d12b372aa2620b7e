//! The command line.

mod check;
mod cluster;
mod completion;
mod crd;
mod explain;
mod files;
mod fit;
mod lint;
mod live;
mod migrate;
mod past;
mod picture;
mod plan;
mod replay;
mod run;
mod simulate;
mod table;
mod terminal;
mod top;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// Tell why a policy decided as it did, or what it would decide otherwise
    Explain(explain::Explain),
    /// Show how all policies stand
    Top(top::Top),
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
    /// Decide a recording of the operator once more, and compare
    Replay(replay::ReplayCommand),
    /// Print a shell's completion script
    Completion(completion::Completion),
}

/// Under this name the program is a plugin: `kubectl plimsoll`.
const PLUGIN: &str = "kubectl-plimsoll";
/// Under this one kubectl asks it what to complete.
const PLUGIN_COMPLETION: &str = "kubectl_complete-plimsoll";

impl Arguments {
    /// Does what the program was called with; how it is called, as `plimsoll` or by kubectl, follows from its own name.
    pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
        let words: Vec<_> = words.collect();
        let own = words.first().map(Path::new).and_then(Path::file_stem).and_then(|name| name.to_str());
        let mut command = Self::command();
        match own {
            Some(PLUGIN_COMPLETION) => {
                let asked: Vec<_> =
                    words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
                return ended(files::print(&completion::candidates(&command, &asked)));
            }
            Some(PLUGIN) => command = command.bin_name("kubectl plimsoll"),
            _ => {}
        }
        let matches = command.get_matches_from(words);
        match Self::from_arg_matches(&matches) {
            Ok(arguments) => arguments.execute(),
            Err(error) => error.exit(),
        }
    }

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
            Command::Explain(explain) => explain.execute(),
            Command::Top(top) => top.execute(),
            Command::Replay(replay) => replay.execute(),
            Command::Completion(completion) => completion.execute(Self::command()),
        };
        ended(done)
    }
}

fn ended(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Nobody may be listening any more, and then there is nobody to tell.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("plimsoll: {fault}\n"));
            ExitCode::FAILURE
        }
    }
}

/// `1 note`, `2 notes`.
fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
