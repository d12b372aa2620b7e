//! `plimsoll simulate`.

mod fleet;
mod load;
mod output;
mod parse;
mod prepare;
mod range;
mod replayed;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum, value_parser};

use super::files::{number, print, write_text};
use super::picture::write_png;
use super::terminal::Progress;
use crate::simulate::{
    GRAMMAR, Load, Run, Scaler, Settings, Simulable, Source, TRACES, cost_over_oracle, parse_span, simulate,
};
use crate::time::Span;
use parse::{coefficients, granted, percentage, reads, scripted};
use range::PrometheusRange;
pub(super) use replayed::Replayed;

/// Each pod is simulated: more of them would take gigabytes, and no cluster has them.
const MOST_PODS: i64 = 100_000;

/// A load to run a policy through, in virtual time, and the service that carries it.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = examples(), allow_negative_numbers = true)]
pub(super) struct Simulate {
    /// File with the ScalingPolicy
    policy: PathBuf,
    /// Load: a CSV file of t_seconds,requests_per_second (- is standard input), trace:NAME, or a sentence such as
    /// step:from=100,to=400,at=10m,length=1h
    #[arg(long, value_name = "LOAD", required_unless_present_any = ["prometheus", "prometheus_config"],
        conflicts_with_all = ["prometheus", "prometheus_config"])]
    load: Vec<String>,
    /// Further policies whose services run beside the first one and share its budgets (--budget); may be repeated. --load
    /// and --capacity then count once for all, or once for each in the same order
    #[arg(long = "policy", value_name = "FILE", conflicts_with = "connections")]
    others: Vec<PathBuf>,
    #[command(flatten)]
    range: PrometheusRange,
    /// Compare with: hpa (HPA v2 with the same metrics, bounds and behavior), hpa-cpu=80 (HPA v2 on CPU at 80 %),
    /// oracle (knows the future), static=N, or the file of another policy; may be repeated
    #[arg(long, value_name = "WITH")]
    compare: Vec<String>,
    /// Requests per second that one replica carries at most; default: the target of the metric that reads the load, over 0.8
    #[arg(long, value_name = "RPS", value_parser = number)]
    capacity: Vec<f64>,
    /// Scale the load so that its peak takes this many replicas at full utilization
    #[arg(long, value_name = "REPLICAS", value_parser = value_parser!(u32).range(1..=MOST_PODS))]
    scale_to_peak: Option<u32>,
    /// Universal Scalability Law of the service, as ALPHA,BETA; default: twice the replicas carry twice as much
    #[arg(long, value_name = "ALPHA,BETA", value_parser = coefficients)]
    usl: Option<(f64, f64)>,
    /// Time from a pod's creation to Ready, the median
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span)]
    start_up: Span,
    /// Nine of ten pods start within this time (log-normal); default: all take the same
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    start_up_p90: Option<Span>,
    /// A Ready pod's capacity grows over this time
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_span)]
    warm_up: Span,
    /// Time that a pod takes to go
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_span)]
    drain: Span,
    /// Time between two samples of a metric
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_span)]
    scrape_interval: Span,
    /// A metric is the mean of this span, as rate(…[1m]) is
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span)]
    metric_window: Span,
    /// A sample can be read this much later
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_span)]
    metric_delay: Span,
    /// Time that one request takes without waiting
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = parse_span)]
    service_time: Span,
    /// 99 of 100 requests shall be answered within this time; default: only lost and late ones break the objective
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    latency_slo: Option<Span>,
    /// What becomes of load beyond capacity
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OverloadChoice::Dropped)]
    overload: OverloadChoice,
    /// With --overload queued: who has waited this long gives up
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_span)]
    patience: Span,
    /// With --overload queued: who waits in line longer than this comes late
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_span)]
    late_after: Span,
    /// Connections that the database gives to this service; default: from the policy's first connection ceiling
    #[arg(long, value_name = "NUMBER", requires = "connections_per_pod")]
    connections: Option<u32>,
    /// Connections that one pod opens
    #[arg(long, value_name = "NUMBER", requires = "connections")]
    connections_per_pod: Option<u32>,
    /// What a ConnectionBudget grants to the policy, or gives to all policies together; may be repeated
    #[arg(long, value_name = "NAME=CONNECTIONS", value_parser = granted)]
    budget: Vec<(String, u32)>,
    /// What a metric reads: load, answered, utilization, latency or in-flight, with a factor for other units, as
    /// p99=latency*1000; may be repeated
    #[arg(long, value_name = "METRIC=QUANTITY", value_parser = reads)]
    signal: Vec<(String, Source)>,
    /// What a guard reads, in its query's own unit: a load as --load takes it; may be repeated
    #[arg(long, value_name = "GUARD=LOAD", value_parser = scripted)]
    guard: Vec<(String, String)>,
    /// Only the first part of the load
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    first: Option<Span>,
    /// Days that count in the figures: all, or every other one, so that a policy is chosen on some and judged on the others
    #[arg(long, value_enum, value_name = "DAYS", default_value_t = DaysChoice::All)]
    days: DaysChoice,
    /// Replicas at the beginning; default: what the load then takes at 80 %
    #[arg(long, value_name = "REPLICAS", value_parser = value_parser!(u32).range(0..=MOST_PODS))]
    initial_replicas: Option<u32>,
    /// Repeats the noise and the start-up times
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Try targets and scale-in windows on this load: the settings that no other beats in cost and in requests missed, and
    /// the cheapest that misses at most --tolerate. A load of two days or more is tuned on even days and judged on odd ones
    #[arg(long, conflicts_with_all = ["compare", "report", "svg", "png", "json", "days"])]
    tune: bool,
    /// With --tune: requests that may be lost or late, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.1, requires = "tune", value_parser = percentage)]
    tolerate: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a report to this HTML file; it needs no network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the charts to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the charts to this PNG file, by rsvg-convert or resvg, one of which must be installed
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// One of several: what they share counts for all together
    #[arg(skip)]
    one_of_several: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OverloadChoice {
    /// It is lost at once
    Dropped,
    /// It waits in line
    Queued,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DaysChoice {
    /// All days
    All,
    /// The first, third, fifth …
    Even,
    /// The second, fourth, sixth …
    Odd,
}

fn examples() -> String {
    let traces: Vec<_> = TRACES.iter().map(|trace| format!("  {:<13} {}", trace.name, trace.shape)).collect();
    format!(
        "Loads:\n{}\n\nTraces (--load trace:NAME):\n{}\n\n\
         What a metric reads: the first leading AverageValue reads the load, Utilization the busy share of the Ready pods in \
         percent, safety nets the 99th percentile of the latency in seconds; others are left out unless --signal names what \
         they read.\n\n\
         Examples:\n  plimsoll simulate checkout.yaml --load trace:business --scale-to-peak 50 \\\n    \
         --compare hpa --compare oracle\n  \
         plimsoll simulate checkout.yaml \\\n    \
         --load spike:base=400,peak=2000,at=20m,for=10m,length=1h \\\n    \
         --report spike.html\n  \
         plimsoll simulate checkout.yaml --prometheus http://127.0.0.1:9090 \\\n    \
         --query 'sum(rate(requests_total[1m]))' --from now-7d\n  \
         plimsoll simulate checkout.yaml --policy search.yaml --budget orders-db=300 \\\n    \
         --load trace:diurnal-hour \
         --load trace:bursty-hour --compare hpa",
        GRAMMAR.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
        traces.join("\n"),
    )
}

/// All that is simulated.
struct Prepared {
    load: Load,
    settings: Settings,
    simulable: Simulable,
    scalers: Vec<(String, Scaler)>,
    assumptions: Vec<String>,
}

impl Simulate {
    pub(super) fn execute(self) -> Result<(), String> {
        if !self.others.is_empty() {
            return self.execute_fleet();
        }
        if self.load.len() > 1 || self.capacity.len() > 1 {
            return Err(
                "--load and --capacity are repeated only for further policies, named by --policy".to_owned()
            );
        }
        let prepared = self.prepare()?;
        if self.tune {
            return print(&self.tuned(&prepared));
        }
        let begun = Instant::now();
        let runs = run_all(&prepared);
        let took = begun.elapsed().as_secs_f64();
        if self.draws() {
            let report = self.to_report(&prepared, &runs);
            self.write(|| report.html(), || report.svg())?;
        }
        if self.json {
            return print(&self.to_json(&prepared, &runs)?);
        }
        print(&self.text(&prepared, &runs, took))
    }
}

impl Simulate {
    /// Whether anything is drawn.
    const fn draws(&self) -> bool {
        self.report.is_some() || self.svg.is_some() || self.png.is_some()
    }

    /// Writes what was asked for of a page and its charts.
    fn write(&self, html: impl Fn() -> String, svg: impl Fn() -> String) -> Result<(), String> {
        if let Some(path) = &self.report {
            write_text(path, &html())?;
        }
        if let Some(path) = &self.svg {
            write_text(path, &svg())?;
        }
        if let Some(path) = &self.png {
            write_png(path, &svg())?;
        }
        Ok(())
    }
}

/// Runs all of them, side by side, and the oracle that they are measured by.
fn run_all(prepared: &Prepared) -> Vec<Run> {
    let (settings, load) = (&prepared.settings, &prepared.load);
    let bounds = prepared.scalers.first().and_then(|(_, scaler)| match scaler {
        Scaler::Policy(policy) => Some((policy.policy().min.max(1), policy.policy().max)),
        _ => None,
    });
    let (min, max) = bounds.unwrap_or((1, crate::number::MAX_COUNT));
    let plain = Settings { record: false, ..settings.clone() };
    std::thread::scope(|scope| {
        let oracle = scope.spawn(|| simulate("oracle", &plain, load, &Scaler::Oracle { min, max }));
        let running: Vec<_> = prepared
            .scalers
            .iter()
            .map(|(name, scaler)| scope.spawn(move || simulate(name, settings, load, scaler)))
            .collect();
        let (mut progress, all) = (Progress::of("courses"), running.len());
        let joined = running.into_iter().enumerate().filter_map(|(done, run)| {
            progress.tell(done, all);
            run.join().ok()
        });
        let mut runs: Vec<Run> = joined.collect();
        let oracle = oracle.join().unwrap_or_else(|_| simulate("oracle", &plain, load, &Scaler::Static(1)));
        cost_over_oracle(&mut runs, &oracle);
        runs
    })
}
