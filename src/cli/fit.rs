//! `plimsoll fit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::files::{print, read_policy, read_text, write_text};
use super::past::{Past, Question};
use super::picture::write_png;
use crate::control::{FitRules, ScalabilityLaw};
use crate::planning::fit::{FitReport, Noise, fit_observed, fit_table};
use crate::planning::windows::{Observed, SAMPLES};
use crate::simulate::parse_span;
use crate::time::Span;

/// Fits the Universal Scalability Law to measurements: where throughput peaks, and how sure that is. They come from a
/// table, or from what Prometheus remembers of a running workload.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "The table has a row a measurement: replicas,throughput, for example 4,380.5; a third column is a weight.\n\n\
    Prometheus is asked in windows, judged as the operator judges those of ceilings.scalability.fit: one counts when the \
    number of replicas stood still in it and in the one before, nothing is missing, and at least half of the limiting \
    resource was in use (--utilization), or all of it (--saturated). Its capacity is throughput over utilization. Choose a \
    range in which one version of the workload ran.\n\n\
    Examples:\n  plimsoll fit measurements.csv --svg fit.svg\n  \
    plimsoll fit --prometheus http://127.0.0.1:9090 --from now-7d \\\n    \
    --policy checkout.yaml\n  \
    plimsoll fit --prometheus http://127.0.0.1:9090 --from now-7d \\\n    \
    --throughput 'sum(rate(requests_total[1m]))' \\\n    \
    --replicas 'count(up{job=\"checkout\"} == 1)' \\\n    \
    --utilization 'sum(busy_workers) / sum(workers)'"
)]
pub(super) struct Fit {
    /// CSV file of replicas,throughput; - is standard input
    #[arg(conflicts_with_all = ["prometheus", "prometheus_config"])]
    table: Option<PathBuf>,
    #[command(flatten)]
    past: Past,
    /// PromQL for the work done per second by all replicas together: served requests, not arrivals
    #[arg(long, value_name = "PROMQL", conflicts_with = "table", requires = "replicas")]
    throughput: Option<String>,
    /// PromQL for the number of Ready replicas
    #[arg(long, value_name = "PROMQL", conflicts_with = "table", requires = "throughput")]
    replicas: Option<String>,
    /// PromQL for the share of the limiting resource in use, 0 to 1: busy workers over all workers, or CPU where CPU limits
    #[arg(long, value_name = "PROMQL", requires = "throughput")]
    utilization: Option<String>,
    /// The workload took all that it could throughout the range, as in a load test
    #[arg(long, requires = "throughput", conflicts_with = "utilization")]
    saturated: bool,
    /// Take the queries and the window from ceilings.scalability.fit of the ScalingPolicy in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["table", "throughput", "window"])]
    policy: Option<PathBuf>,
    /// Length of a window, of which eight samples are taken; it should last for at least eight scrapes
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_span, conflicts_with = "table")]
    window: Span,
    /// With --prometheus-config: the namespace whose queries these are; default: the policy's, or default
    #[arg(long, short, value_name = "NAME", requires = "prometheus_config", conflicts_with = "prometheus")]
    namespace: Option<String>,
    /// How measurements of a table scatter
    #[arg(long, value_enum, value_name = "HOW", default_value_t = NoiseChoice::Constant,
        conflicts_with_all = ["prometheus", "prometheus_config"])]
    noise: NoiseChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the plot to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the plot to this PNG file, by rsvg-convert or resvg, one of which must be installed
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NoiseChoice {
    /// By the same amount at every size, as in a load test
    Constant,
    /// By the same share of the throughput, as in production
    Proportional,
}

/// What is asked of a Prometheus server.
struct Asked {
    server: String,
    namespace: String,
    throughput: String,
    replicas: String,
    utilization: Option<String>,
    /// The workload is full while the query yields more than the number.
    saturation: Option<(String, f64)>,
    /// It is full throughout.
    full: bool,
    window: Span,
}

impl Fit {
    pub(super) fn execute(self) -> Result<(), String> {
        let (report, warnings) = match &self.table {
            Some(table) => {
                let noise = match self.noise {
                    NoiseChoice::Constant => Noise::Constant,
                    NoiseChoice::Proportional => Noise::Proportional,
                };
                let report = fit_table(&read_text(table)?, noise)
                    .map_err(|fault| format!("{}: {fault}", table.display()))?;
                (report, Vec::new())
            }
            None => self.observed()?,
        };
        if let Some(path) = &self.svg {
            write_text(path, &report.svg())?;
        }
        if let Some(path) = &self.png {
            write_png(path, &report.svg())?;
        }
        if self.json {
            let text = serde_json::to_string_pretty(&report.numbers()).map_err(|error| error.to_string())?;
            return print(&format!("{text}\n"));
        }
        let warnings = warnings.iter().map(|warning| format!("Prometheus warns: {warning}\n"));
        print(&(warnings.collect::<String>() + &report.text()))
    }

    /// The fit to what a server remembers, and what that server warns of.
    fn observed(&self) -> Result<(FitReport, Vec<String>), String> {
        if !self.past.is_named() {
            return Err(
                "nothing to fit: name a CSV file of replicas,throughput, or a server with --prometheus URL"
                    .to_owned(),
            );
        }
        let asked = self.asked()?;
        let step = Span::from_millis(asked.window.millis().div_euclid(SAMPLES.into()));
        if step < Span::from_seconds(1) {
            return Err("--window must be 8s or longer: eight samples are taken of it".to_owned());
        }
        let moments = self.past.moments(step, "--window")?;
        let mut questions = vec![
            Question { option: "throughput", query: &asked.throughput },
            Question { option: "replicas", query: &asked.replicas },
        ];
        if let Some(query) = &asked.utilization {
            questions.push(Question { option: "utilization", query });
        }
        if let Some((query, _)) = &asked.saturation {
            questions.push(Question { option: "saturation", query });
        }
        let remembered = self.past.ask(&asked.server, &asked.namespace, &questions, moments)?;
        let mut answers = remembered.values.iter();
        let (throughput, replicas) = (answers.next(), answers.next());
        let utilization = asked.utilization.as_ref().and_then(|_| answers.next());
        let saturation = answers.next();
        let above = asked.saturation.as_ref().map_or(f64::INFINITY, |(_, above)| *above);
        let value = |values: Option<&Vec<Option<f64>>>, at: usize| *values?.get(at)?;
        let samples: Vec<_> = (0..throughput.map_or(0, Vec::len))
            .map(|at| Observed {
                throughput: value(throughput, at),
                replicas: value(replicas, at),
                utilization: value(utilization, at),
                full: asked.full || value(saturation, at).is_some_and(|value| value > above),
            })
            .collect();
        Ok((fit_observed(&samples, moments.first, asked.window)?, remembered.warnings))
    }

    fn asked(&self) -> Result<Asked, String> {
        if let Some(path) = &self.policy {
            let (object, policy) = read_policy(path)?;
            let law = policy.scalability.map(|scalability| scalability.law);
            let Some(ScalabilityLaw::Fitted(rules)) = law else {
                return Err(format!(
                    "{}: the policy has no ceilings.scalability.fit: write the queries as --throughput, --replicas and --utilization",
                    path.display()
                ));
            };
            let FitRules { queries, saturated_above, .. } = *rules;
            return Ok(Asked {
                window: Span::from_seconds(queries.window_seconds.into()),
                namespace: self.namespace(object.metadata.namespace),
                server: queries.server,
                throughput: queries.throughput_query,
                replicas: queries.ready_replicas_query,
                utilization: queries.utilization_query,
                saturation: queries.saturation.map(|saturation| (saturation.query, saturated_above)),
                full: false,
            });
        }
        let (Some(throughput), Some(replicas)) = (self.throughput.clone(), self.replicas.clone()) else {
            return Err("say what to ask for: --throughput PROMQL with --replicas PROMQL, or --policy FILE, whose ceilings.scalability.fit has the queries".to_owned());
        };
        if self.utilization.is_none() && !self.saturated {
            return Err("throughput tells a capacity only together with the load: add --utilization PROMQL, the share of the limiting resource in use (0 to 1), or --saturated if the workload took all that it could, as in a load test".to_owned());
        }
        Ok(Asked {
            server: "main".to_owned(),
            namespace: self.namespace(None),
            throughput,
            replicas,
            utilization: self.utilization.clone(),
            saturation: None,
            full: self.saturated,
            window: self.window,
        })
    }

    fn namespace(&self, of_policy: Option<String>) -> String {
        self.namespace.clone().or(of_policy).unwrap_or_else(|| "default".to_owned())
    }
}
