//! `plimsoll lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::files::{print, read_text};
use crate::planning::lint::{self, File, Level, sarif};

/// Looks at policies and workloads for what will hurt under load: why it matters, and what to write instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Give policies together with their Deployments, PodDisruptionBudgets and Services: several rules are about both. \
    Other kinds are passed over.\n\nThe exit code is 1 where something at least as grave as --fail-on is found.\n\nExample:\n  \
    kubectl get deploy,pdb,svc,hpa -n shop -o yaml > live.yaml; plimsoll lint policies/*.yaml live.yaml"
)]
pub(super) struct Lint {
    /// Files to look at; - is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// What is grave enough to fail
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = FailOn::Error)]
    fail_on: FailOn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One array of findings
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Only what does not work
    Error,
    /// What will hurt as well
    Warning,
    /// Anything
    Note,
    /// Nothing
    Never,
}

impl Lint {
    pub(super) fn execute(self) -> Result<(), String> {
        let files: Result<Vec<_>, String> = self
            .files
            .iter()
            .map(|path| Ok(File { name: path.display().to_string(), text: read_text(path)? }))
            .collect();
        let findings = lint::lint(&files?);
        let pretty = |value| serde_json::to_string_pretty(value).map_err(|error| error.to_string());
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        match self.format {
            Format::Text if findings.is_empty() => print("nothing found\n")?,
            Format::Text => print(&format!(
                "{}{} errors, {} warnings, {} notes\n",
                lint::text(&findings),
                count(Level::Error),
                count(Level::Warning),
                count(Level::Note)
            ))?,
            Format::Json => {
                let values = serde_json::to_value(&findings).map_err(|error| error.to_string())?;
                print(&format!("{}\n", pretty(&values)?))?;
            }
            Format::Sarif => print(&format!("{}\n", pretty(&sarif(&findings))?))?,
        }
        let least = match self.fail_on {
            FailOn::Error => Level::Error,
            FailOn::Warning => Level::Warning,
            FailOn::Note => Level::Note,
            FailOn::Never => return Ok(()),
        };
        let grave = findings.iter().filter(|finding| finding.level >= least).count();
        if grave == 0 { Ok(()) } else { Err(format!("{grave} findings to mend")) }
    }
}
