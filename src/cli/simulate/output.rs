//! What a simulation says when it is done: tables, JSON, a report.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::table::{figure, table};
use super::super::terminal::Progress;
use super::{Prepared, Simulate};
use crate::api::Role;
use crate::number::{count_of, from_count};
use crate::report::Report;
use crate::simulate::{Figures, Run, trade_off};

/// What is printed as JSON.
#[derive(Serialize)]
struct Output<'a> {
    load: LoadOutput<'a>,
    assumptions: &'a [String],
    runs: Vec<RunOutput<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadOutput<'a> {
    name: &'a str,
    seconds: f64,
    mean: f64,
    peak: f64,
}

#[derive(Serialize)]
pub(super) struct RunOutput<'a> {
    pub(super) name: &'a str,
    pub(super) figures: &'a Figures,
}

impl Simulate {
    pub(super) fn to_json(&self, prepared: &Prepared, runs: &[Run]) -> Result<String, String> {
        let output = Output {
            load: LoadOutput {
                name: self.load_name(),
                seconds: prepared.load.span().seconds(),
                mean: prepared.load.mean(),
                peak: prepared.load.peak(),
            },
            assumptions: &prepared.assumptions,
            runs: runs.iter().map(|run| RunOutput { name: &run.name, figures: &run.figures }).collect(),
        };
        let text = serde_json::to_string_pretty(&output).map_err(|error| error.to_string())?;
        Ok(format!("{text}\n"))
    }

    pub(super) fn text(&self, prepared: &Prepared, runs: &[Run], took: f64) -> String {
        let load = &prepared.load;
        let days = load.span().seconds() / 86_400.0;
        let counted = from_count(count_of(runs.len()));
        format!(
            "{}\n{} simulated in {took:.2} s, {:.0} ms a day and course.\n",
            self.told(prepared, runs),
            if days >= 1.0 { format!("{days:.1} days") } else { load.span().to_string() },
            1000.0 * took / days.max(f64::MIN_POSITIVE) / counted.max(1.0)
        )
    }

    /// The load, what was assumed, and the figures.
    pub(super) fn told(&self, prepared: &Prepared, runs: &[Run]) -> String {
        let load = &prepared.load;
        let mut text = format!(
            "Load {}: {}, mean {} and peak {} requests per second\n",
            self.load_name(),
            load.span(),
            figure(load.mean()),
            figure(load.peak())
        );
        for assumption in &prepared.assumptions {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {assumption}");
        }
        text.push('\n');
        text.push_str(&table(&figures_table(runs)));
        text
    }

    /// The trade-off of cost and requests missed, and what to write.
    pub(super) fn tuned(&self, prepared: &Prepared) -> String {
        let candidates = {
            let mut progress = Progress::of("settings");
            trade_off(&prepared.settings, &prepared.load, &prepared.simulable, |done, all| {
                progress.tell(done, all);
            })
        };
        let best = candidates.iter().find(|candidate| candidate.missed() <= self.tolerate);
        let header = [
            "aim at",
            "target",
            "scale-in window",
            "replica-hours",
            "missed %",
            "changes",
            "on other days: hours",
            "missed %",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for candidate in &candidates {
            let judged = |value: &dyn Fn(&Figures) -> f64| {
                candidate.judged.as_ref().map_or_else(|| "–".to_owned(), |figures| figure(value(figures)))
            };
            let mark = if best.is_some_and(|best| best == candidate) { " ←" } else { "" };
            rows.push(vec![
                format!("{} %", candidate.utilization),
                figure(candidate.target),
                candidate.window.to_string(),
                figure(candidate.chosen.replica_hours),
                figure(candidate.missed()),
                candidate.chosen.scale_actions.to_string(),
                judged(&|figures| figures.replica_hours),
                format!("{}{mark}", judged(&|figures| figures.unserved_percent + figures.late_percent)),
            ]);
        }
        let verdict = best.map_or_else(
            || {
                format!(
                    "No target tried misses at most {} %: what bursts faster than pods start takes headroom, a higher minReplicas, or pods that start sooner.\n",
                    figure(self.tolerate)
                )
            },
            |best| {
                let leading = prepared.simulable.policy.signals.iter().find(|signal| signal.role == Role::Leading);
                format!(
                    "Of those that miss at most {} % the cheapest is:\n  metrics: [{{name: {}, target: {}}}]\n  behavior: {{scaleDown: {{stabilizationWindowSeconds: {}}}}}\n",
                    figure(self.tolerate),
                    leading.map_or("", |signal| signal.name.as_str()),
                    figure(best.target),
                    best.window.rounded_seconds()
                )
            },
        );
        let assumptions = prepared.assumptions.join("\n  ");
        format!("Load {}\n  {assumptions}\n\n{}\n{verdict}", self.load_name(), table(&rows))
    }

    pub(super) fn to_report<'a>(&self, prepared: &Prepared, runs: &'a [Run]) -> Report<'a> {
        Report {
            title: runs.first().map_or_else(String::new, |run| run.name.clone()),
            load: self.load_name().to_owned(),
            assumptions: prepared.assumptions.clone(),
            connections: prepared.settings.database.map(|database| (database.connections, database.per_pod)),
            latency_objective: prepared.settings.latency_objective,
            figures: figures_of(runs),
            runs,
        }
    }
}

/// What each figure is called, with its value for each course.
pub(super) fn figures_of(runs: &[Run]) -> Vec<(String, Vec<String>)> {
    let named = |row: Vec<String>| {
        let mut cells = row.into_iter();
        Some((cells.next()?, cells.collect()))
    };
    figures_table(runs).into_iter().skip(1).filter_map(named).collect()
}

/// A figure of a course, with what it is called.
type Row = (&'static str, fn(&Figures) -> Option<String>);

/// The figures that are shown, in order.
const ROWS: [Row; 20] = [
    ("unserved, % of requests", |f| Some(figure(f.unserved_percent))),
    ("late, % of requests", |f| Some(figure(f.late_percent))),
    ("SLO violated, seconds", |f| Some(figure(f.slo_violation_seconds))),
    ("worst p99 latency, ms", |f| Some(figure(f.worst_p99_latency_seconds * 1000.0))),
    ("replica-hours", |f| Some(figure(f.replica_hours))),
    ("cost over oracle", |f| f.cost_over_oracle.map(|cost| format!("{cost:.3}"))),
    ("under-provisioning θU, %", |f| Some(figure(f.elasticity.under_provisioning_accuracy))),
    ("over-provisioning θO, %", |f| Some(figure(f.elasticity.over_provisioning_accuracy))),
    ("under-provisioned time τU, %", |f| Some(figure(f.elasticity.under_provisioned_time))),
    ("over-provisioned time τO, %", |f| Some(figure(f.elasticity.over_provisioned_time))),
    ("instability υ, %", |f| Some(figure(f.elasticity.instability))),
    ("scale actions", |f| Some(f.scale_actions.to_string())),
    ("reversals", |f| Some(f.reversals.to_string())),
    ("peak replicas", |f| Some(f.peak_replicas.to_string())),
    ("peak pods", |f| Some(f.peak_pods.to_string())),
    ("ceiling hits", |f| Some(f.ceiling_hits.to_string())),
    ("held by a ceiling, seconds", |f| Some(figure(f.ceiling_seconds))),
    ("peak connections", |f| f.peak_connections.map(|peak| peak.to_string())),
    ("connection limit", |f| f.connection_limit.map(|limit| limit.to_string())),
    ("over the limit, seconds", |f| f.connection_limit.map(|_| figure(f.over_connection_limit_seconds))),
];

pub(super) fn figures_table(runs: &[Run]) -> Vec<Vec<String>> {
    let mut rows =
        vec![std::iter::once(String::new()).chain(runs.iter().map(|run| run.name.clone())).collect()];
    for (name, value) in ROWS {
        let cells: Vec<_> = runs.iter().map(|run| value(&run.figures)).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(Option::unwrap_or_default);
            rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
        }
    }
    rows
}
