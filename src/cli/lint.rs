//! `plimsoll lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::cluster::{ClusterOptions, block_on};
use super::files::{print, read_text};
use crate::inspect::live_files;
use crate::number::count_of;
use crate::planning::lint::{self, File, Level, sarif};

/// Looks at policies and workloads for what will hurt under load: why it matters, and what to write instead.
#[derive(Debug, Args)]
#[command(
    after_help = "Give policies together with their Deployments, PodDisruptionBudgets and Services: several rules are about both. \
    Other kinds are passed over.\n\nThe exit code is 1 where something at least as grave as --fail-on is found.\n\nExample:\n  \
    plimsoll lint policies/*.yaml deployment.yaml\n  plimsoll lint --cluster -n shop --fail-on warning\n  \
    kubectl get deploy,pdb,svc,hpa -n shop -o yaml \\\n    \
    | plimsoll lint policies/*.yaml -"
)]
pub(super) struct Lint {
    /// Files to look at; - is standard input
    #[arg(required_unless_present = "cluster", conflicts_with = "cluster")]
    files: Vec<PathBuf>,
    /// Look at a cluster: the policies of a namespace, with the workloads that they name and what stands around these
    #[arg(long)]
    cluster: bool,
    /// With --cluster: the namespace; default: the context's
    #[arg(long, short, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// With --cluster: all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    #[command(flatten)]
    connection: ClusterOptions,
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
        let findings = lint::lint(&self.read()?);
        let pretty = |value| serde_json::to_string_pretty(value).map_err(|error| error.to_string());
        let count = |level, noun| {
            let found = findings.iter().filter(|finding| finding.level == level).count();
            super::count(count_of(found), noun)
        };
        match self.format {
            Format::Text if findings.is_empty() => print("nothing found\n")?,
            Format::Text => print(&format!(
                "{}{}, {}, {}\n",
                lint::text(&findings),
                count(Level::Error, "error"),
                count(Level::Warning, "warning"),
                count(Level::Note, "note")
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
        if grave == 0 { Ok(()) } else { Err(format!("{} to mend", super::count(count_of(grave), "finding"))) }
    }

    fn read(&self) -> Result<Vec<File>, String> {
        if !self.cluster {
            if self.namespace.is_some() || self.all_namespaces {
                return Err(
                    "-n and -A choose what of a cluster is looked at: write --cluster, or leave them out"
                        .to_owned(),
                );
            }
            let file = |path: &PathBuf| Ok(File { name: path.display().to_string(), text: read_text(path)? });
            return self.files.iter().map(file).collect();
        }
        block_on(async {
            let cluster = self.connection.connect().await?;
            let namespace = self.namespace.as_deref().unwrap_or(&cluster.namespace);
            live_files(&cluster.client, (!self.all_namespaces).then_some(namespace)).await
        })
    }
}
