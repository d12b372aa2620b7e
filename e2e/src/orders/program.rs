//! What the programs that run a bed with real databases have in common.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::OrdersError;
use crate::real::StartError;

/// Runs a program to its end: what it found fails it, and a server that is not installed does not.
pub async fn ended(
    name: &str,
    log: &str,
    runs: impl Future<Output = Result<Vec<String>, OrdersError>>,
) -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(log).with_writer(std::io::stderr).init();
    match runs.await {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("{name}: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(OrdersError::Start(StartError::Missing(missing))) => {
            println!("skipped: {missing}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The programs that runs start, and where what they find is written.
#[derive(Clone, Debug)]
pub struct Places {
    /// The program that runs in pods.
    pub pod: PathBuf,
    /// The operator's program.
    pub operator: PathBuf,
    /// Where the operators record what they see and decide.
    pub record: Option<PathBuf>,
    output: PathBuf,
}

impl Places {
    /// Finds the programs beside this one, and makes the directory of what is written.
    pub fn new(output: &Path, record: Option<&Path>) -> Result<Self, OrdersError> {
        let own = std::env::current_exe()
            .map_err(|error| OrdersError::Other(format!("cannot find this program: {error}")))?;
        let record = record.map(std::path::absolute).transpose();
        let places = Self {
            pod: own.with_file_name("orders-pod"),
            operator: own.with_file_name("operator"),
            record: record.map_err(|error| OrdersError::Other(error.to_string()))?,
            output: output.to_owned(),
        };
        fs::create_dir_all(output).map_err(|error| places.cannot_write(&error))?;
        Ok(places)
    }

    /// Writes a file of what was found.
    pub fn write(&self, name: &str, text: &str) -> Result<(), OrdersError> {
        fs::write(self.output.join(name), text).map_err(|error| self.cannot_write(&error))
    }

    /// Writes what was found as JSON.
    pub fn write_json(&self, name: &str, found: &impl serde::Serialize) -> Result<(), OrdersError> {
        let text =
            serde_json::to_string_pretty(found).map_err(|error| OrdersError::Other(error.to_string()))?;
        self.write(name, &text)
    }

    fn cannot_write(&self, error: &std::io::Error) -> OrdersError {
        OrdersError::Other(format!("cannot write to {}: {error}", self.output.display()))
    }
}
