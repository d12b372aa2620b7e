//! `plimsoll explain`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::cluster::{ClusterOptions, block_on};
use super::files::print;
use super::terminal::paint;
use crate::cluster::{PolicyKey, moment};
use crate::inspect::{Assumption, explain, what_if};

/// Why a policy decided as it did, step by step; or with --set, what it would decide if something were otherwise.
#[derive(Debug, Args)]
#[command(
    after_help = "With --set the operator's own decision is run on the workload, its pods and the policy as they are now, with the \
    values of the other metrics as status has them. Nothing is written.\n\n\
    Examples:\n  plimsoll explain checkout -n shop\n  plimsoll explain checkout -n shop --set metrics.rps=900\n  \
    plimsoll explain checkout -n shop --set metrics.rps=900 \\\n    \
    --set replicas=12 --set budgets.orders-db=400"
)]
pub(super) struct Explain {
    /// Name of the ScalingPolicy
    name: String,
    /// Namespace of the policy; default: the context's
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Assume this: metrics.NAME=VALUE, guards.NAME=VALUE (none: the query finds nothing), budgets.NAME=CONNECTIONS,
    /// replicas=COUNT, ready=COUNT, minReplicas=COUNT, maxReplicas=COUNT; may be repeated
    #[arg(long, value_name = "WHAT=VALUE")]
    set: Vec<Assumption>,
    /// How it is printed
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Prints as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| error.to_string())?;
    print(&format!("{text}\n"))
}

impl Explain {
    pub(super) fn execute(self) -> Result<(), String> {
        block_on(self.ask())
    }

    async fn ask(self) -> Result<(), String> {
        let cluster = self.cluster.connect().await?;
        let namespace = self.namespace.unwrap_or(cluster.namespace);
        let key = PolicyKey { namespace, name: self.name };
        let now = moment(jiff::Timestamp::now());
        if self.set.is_empty() {
            let explanation = explain(&cluster.client, &key).await?;
            return match self.output {
                Output::Text => print(&explanation.text(now, paint())),
                Output::Json => print_json(&explanation),
            };
        }
        let answer = what_if(&cluster.client, &key, &self.set, now).await?;
        match self.output {
            Output::Text => print(&answer.text(paint())),
            Output::Json => print_json(&answer),
        }
    }
}
