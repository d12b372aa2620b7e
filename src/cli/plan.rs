//! `plimsoll plan`.

use clap::Args;

use super::files::{number, print};
use crate::api::RolloutOverlap;
use crate::control::CountOrPercent;
use crate::planning::plan::{DatabaseQuestion, Question, plan};
use crate::simulate::parse_span;
use crate::time::Span;

/// How many replicas a load takes, with each line of the working.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Example:\n  plimsoll plan --peak 4000 --surge 3 --per-replica 250 --measured-at 70 \\\n    \
    --utilization 70 --failures 3\n  \
    plimsoll plan --peak 600 --surge 1.5 --per-replica 120 --survive-zones 1 \\\n    \
    --max-connections 500 --connections-per-pod 10"
)]
pub(super) struct Plan {
    /// Requests per second at the usual peak
    #[arg(long, value_name = "RPS", value_parser = number)]
    peak: f64,
    /// Bursts over the peak, as a factor: 1.5 to 2 where traffic is predictable, 3 where it is not
    #[arg(long, value_name = "FACTOR", default_value_t = 1.5, value_parser = number)]
    surge: f64,
    /// Requests per second that one replica carried where it was measured
    #[arg(long, value_name = "RPS", value_parser = number)]
    per_replica: f64,
    /// Utilization at which that was measured, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    measured_at: u32,
    /// Utilization to run at, in percent; past 80 the line in front of each replica grows steeply
    #[arg(long, value_name = "PERCENT", default_value_t = 80)]
    utilization: u32,
    /// Replicas that may fail at the same time: one in an outage and one in maintenance
    #[arg(long, value_name = "REPLICAS", default_value_t = 2)]
    failures: u32,
    /// Zones that replicas are spread over
    #[arg(long, value_name = "ZONES", default_value_t = 3)]
    zones: u32,
    /// Zones that may be lost
    #[arg(long, value_name = "ZONES", default_value_t = 0)]
    survive_zones: u32,
    /// Requests per second by which load grows each second at its steepest
    #[arg(long, value_name = "RPS", value_parser = number)]
    growth: Option<f64>,
    /// Time until a missing replica carries load: metric lag, evaluation and start-up
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = parse_span)]
    lead_time: Span,
    /// Connections that the database gives in all
    #[arg(long, value_name = "NUMBER", requires = "connections_per_pod")]
    max_connections: Option<u32>,
    /// Connections held back, and used by others
    #[arg(long, value_name = "NUMBER", default_value_t = 15)]
    reserved: u32,
    /// Connections that one pod opens: pool size × processes
    #[arg(long, value_name = "NUMBER", requires = "max_connections")]
    connections_per_pod: Option<u32>,
    /// maxSurge of the rolling update: a number or a percentage
    #[arg(long, value_name = "PODS", default_value = "25%", value_parser = count_or_percent)]
    max_surge: CountOrPercent,
    /// maxUnavailable of the rolling update
    #[arg(long, value_name = "PODS", default_value = "25%", value_parser = count_or_percent)]
    max_unavailable: CountOrPercent,
    /// Old pods that still hold connections in a rollout; default: all of one revision, the worst there can be
    #[arg(long, value_name = "PODS")]
    rollout_overlap: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn count_or_percent(text: &str) -> Result<CountOrPercent, String> {
    let fault = || "write a number of pods or a percentage, for example 2 or 25%".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().map(CountOrPercent::Percent).map_err(|_| fault()),
        None => text.parse().map(CountOrPercent::Count).map_err(|_| fault()),
    }
}

impl Plan {
    pub(super) fn execute(self) -> Result<(), String> {
        let database =
            self.max_connections.zip(self.connections_per_pod).map(|(max_connections, per_pod)| {
                DatabaseQuestion {
                    max_connections,
                    reserved: self.reserved,
                    per_pod,
                    max_surge: self.max_surge,
                    max_unavailable: self.max_unavailable,
                    overlap: self.rollout_overlap.map_or(RolloutOverlap::OneRevision, RolloutOverlap::Pods),
                }
            });
        let plan = plan(&Question {
            peak: self.peak,
            surge: self.surge,
            per_replica: self.per_replica,
            measured_at: self.measured_at,
            target_utilization: self.utilization,
            failures: self.failures,
            zones: (self.survive_zones > 0).then_some((self.zones, self.survive_zones)),
            growth: self.growth.map(|growth| (growth, self.lead_time)),
            database,
        })?;
        if self.json {
            let text = serde_json::to_string_pretty(&plan).map_err(|error| error.to_string())?;
            return print(&format!("{text}\n"));
        }
        let policy: Vec<_> = plan.policy.lines().collect();
        print(&format!("  {}\n\nIn a policy:\n  {}\n", plan.working.join("\n  "), policy.join("\n  ")))?;
        if plan.fits {
            Ok(())
        } else {
            Err("the plan does not fit under the database's connections".to_owned())
        }
    }
}
