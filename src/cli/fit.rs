//! `plimsoll fit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::files::{print, read_text, write_text};
use crate::planning::fit::{Noise, fit_table};

/// Fits the Universal Scalability Law to measurements: where throughput peaks, and how sure that is.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  plimsoll fit measurements.csv --svg fit.svg\n\nThe table has a row a measurement: replicas,throughput, \
    for example 4,380.5; a third column is a weight."
)]
pub(super) struct Fit {
    /// CSV file of replicas,throughput; - is standard input
    table: PathBuf,
    /// How measurements scatter
    #[arg(long, value_enum, value_name = "HOW", default_value_t = NoiseChoice::Constant)]
    noise: NoiseChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the plot to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NoiseChoice {
    /// By the same amount at every size, as in a load test
    Constant,
    /// By the same share of the throughput, as in production
    Proportional,
}

impl Fit {
    pub(super) fn execute(self) -> Result<(), String> {
        let noise = match self.noise {
            NoiseChoice::Constant => Noise::Constant,
            NoiseChoice::Proportional => Noise::Proportional,
        };
        let name = self.table.display();
        let report =
            fit_table(&read_text(&self.table)?, noise).map_err(|fault| format!("{name}: {fault}"))?;
        if let Some(path) = &self.svg {
            write_text(path, &report.svg())?;
        }
        if self.json {
            let text = serde_json::to_string_pretty(&report.numbers()).map_err(|error| error.to_string())?;
            return print(&format!("{text}\n"));
        }
        print(&report.text())
    }
}
