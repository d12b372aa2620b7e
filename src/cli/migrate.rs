//! `plimsoll migrate`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::files::{documents, print, read_text};
use super::simulate::Replayed;
use crate::planning::migrate::{Migrated, migrate};

/// Writes a ScalingPolicy for each HorizontalPodAutoscaler (v2) and KEDA ScaledObject, and lists what has no equal. With
/// --load both are replayed on the same load.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "The policies are in mode DryRun: they recommend beside the other autoscaler and write nothing.\n\nWith --load each \
    policy is replayed beside what it comes from, by HPA's rules with HPA's own defaults (KEDA scales through an HPA; its cron \
    triggers are left out), and the figures stand as a comment above it. Loads and times are those of plimsoll simulate, which can \
    do more: see plimsoll simulate --help.\n\nExample:\n  \
    kubectl get hpa web -n shop -o yaml | plimsoll migrate - > web-policy.yaml\n  \
    plimsoll migrate hpa.yaml --load trace:business --capacity 90 \\\n    \
    --scale-to-peak 20"
)]
pub(super) struct Migrate {
    /// Files with the objects; - is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Replay both on this load, as plimsoll simulate takes it: a CSV file, trace:NAME, or a sentence
    #[arg(long, value_name = "LOAD")]
    load: Option<String>,
    /// With --load: requests per second that one replica carries at most
    #[arg(long, value_name = "RPS", requires = "load")]
    capacity: Option<String>,
    /// With --load: scale it so that its peak takes this many replicas at full utilization
    #[arg(long, value_name = "REPLICAS", requires = "load")]
    scale_to_peak: Option<String>,
    /// With --load: time from a pod's creation to Ready
    #[arg(long, value_name = "TIME", requires = "load")]
    start_up: Option<String>,
    /// With --load, and one object: write the replay as a report to this HTML file
    #[arg(long, value_name = "FILE", requires = "load")]
    report: Option<String>,
}

impl Migrate {
    pub(super) fn execute(self) -> Result<(), String> {
        let mut all = Vec::new();
        for path in &self.files {
            let texts: Vec<_> = documents(&read_text(path)?).map(|(text, _)| text).collect();
            all.extend(migrate(&texts).map_err(|fault| format!("{}: {fault}", path.display()))?);
        }
        if self.report.is_some() && all.len() > 1 {
            return Err(format!(
                "--report takes one object, and there are {}: name them one by one",
                all.len()
            ));
        }
        let policies: Result<Vec<_>, String> =
            all.iter().map(|migrated| Ok(self.replayed(migrated)? + &migrated.policy)).collect();
        print(&policies?.join("---\n"))
    }

    /// The figures of a policy beside what it comes from, as a comment; empty without a load.
    fn replayed(&self, migrated: &Migrated) -> Result<String, String> {
        let options = [
            ("--load", &self.load),
            ("--capacity", &self.capacity),
            ("--scale-to-peak", &self.scale_to_peak),
            ("--start-up", &self.start_up),
            ("--report", &self.report),
        ];
        if self.load.is_none() {
            return Ok(String::new());
        }
        let given = options.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let shown = Replayed::parse(given)?
            .beside(&migrated.policy, &migrated.as_it_was)
            .map_err(|fault| format!("{}: it cannot be replayed: {fault}", migrated.from))?;
        let mut comment = String::new();
        for line in shown.lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(comment, "{}", format!("# {line}").trim_end());
        }
        Ok(comment)
    }
}
