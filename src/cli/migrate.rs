//! `plimsoll migrate`.

use std::path::PathBuf;

use clap::Args;

use super::files::{documents, print, read_text};
use crate::planning::migrate::migrate;

/// Writes a ScalingPolicy for each HorizontalPodAutoscaler (v2) and KEDA ScaledObject, and lists what has no equal.
#[derive(Debug, Args)]
#[command(
    after_help = "The policies are in mode DryRun: they recommend beside the other autoscaler and write nothing.\n\nExample:\n  \
    kubectl get hpa web -n shop -o yaml | plimsoll migrate - > web-policy.yaml\n  plimsoll simulate web-policy.yaml --load trace:business --compare hpa"
)]
pub(super) struct Migrate {
    /// Files with the objects; - is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Migrate {
    pub(super) fn execute(self) -> Result<(), String> {
        let mut policies = Vec::new();
        for path in &self.files {
            let texts: Vec<_> = documents(&read_text(path)?).map(|(text, _)| text).collect();
            let migrated = migrate(&texts).map_err(|fault| format!("{}: {fault}", path.display()))?;
            policies.extend(migrated.into_iter().map(|migrated| migrated.policy));
        }
        print(&policies.join("---\n"))
    }
}
