//! `plimsoll simulate`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::files::{print, read_policy, read_text, write_text};
use super::table::{figure, table};
use crate::control::{ConnectionSource, Policy};
use crate::number::from_count;
use crate::report::Report;
use crate::simulate::{
    Database, Days, Figures, GRAMMAR, Load, Overload, PlantSettings, PolicyScaler, Run, Scaler,
    SensorSettings, ServiceSettings, Settings, Simulable, Source, TRACES, Trace, cost_over_oracle, generate,
    map, parse_span, shares, simulate,
};
use crate::time::Span;

/// The z-score of the 90th percentile: what tells a log-normal's spread from its median and p90.
const Z90: f64 = 1.281_551_565_545;

/// A load to run a policy through, in virtual time, and the service that carries it.
#[derive(Debug, Args)]
#[command(after_long_help = examples())]
pub(super) struct Simulate {
    /// File with the ScalingPolicy
    policy: PathBuf,
    /// Load: a CSV file of t_seconds,requests_per_second (- is standard input), trace:NAME, or a sentence such as
    /// step:from=100,to=400,at=10m,length=1h
    #[arg(long, value_name = "LOAD")]
    load: String,
    /// Compare with: hpa (HPA v2 with the same metrics, bounds and behavior), hpa-cpu=80 (HPA v2 on CPU at 80 %),
    /// oracle (knows the future), static=N, or the file of another policy; may be repeated
    #[arg(long, value_name = "WITH")]
    compare: Vec<String>,
    /// Requests per second that one replica carries at most; default: the target of the metric that reads the load, over 0.8
    #[arg(long, value_name = "RPS")]
    capacity: Option<f64>,
    /// Scale the load so that its peak takes this many replicas at full utilization
    #[arg(long, value_name = "REPLICAS")]
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
    /// What a ConnectionBudget of the policy grants; may be repeated
    #[arg(long, value_name = "NAME=CONNECTIONS", value_parser = granted)]
    budget: Vec<(String, u32)>,
    /// What a metric reads: load, answered, utilization, latency or in-flight, with a factor for other units, as
    /// p99=latency*1000; may be repeated
    #[arg(long, value_name = "METRIC=QUANTITY", value_parser = reads)]
    signal: Vec<(String, Source)>,
    /// Only the first part of the load
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    first: Option<Span>,
    /// Days that count in the figures: all, or every other one, so that a policy is chosen on some and judged on the others
    #[arg(long, value_enum, value_name = "DAYS", default_value_t = DaysChoice::All)]
    days: DaysChoice,
    /// Replicas at the beginning; default: what the load then takes at 80 %
    #[arg(long, value_name = "REPLICAS")]
    initial_replicas: Option<u32>,
    /// Repeats the noise and the start-up times
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a report to this HTML file; it needs no network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the charts to this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
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
         Examples:\n  plimsoll simulate checkout.yaml --load trace:business --scale-to-peak 50 --compare hpa --compare oracle\n  \
         plimsoll simulate checkout.yaml --load spike:base=400,peak=2000,at=20m,for=10m,length=1h --report spike.html",
        GRAMMAR.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"),
        traces.join("\n"),
    )
}

fn coefficients(text: &str) -> Result<(f64, f64), String> {
    let fault = || {
        "write ALPHA,BETA: contention, 0 to below 1, and coherency, 0 or more; for example 0.03,0.0008"
            .to_owned()
    };
    let (alpha, beta) = text.split_once(',').ok_or_else(fault)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| fault());
    let (alpha, beta) = (number(alpha)?, number(beta)?);
    if (0.0..1.0).contains(&alpha) && beta >= 0.0 && beta.is_finite() {
        Ok((alpha, beta))
    } else {
        Err(fault())
    }
}

fn granted(text: &str) -> Result<(String, u32), String> {
    let fault = || "write NAME=CONNECTIONS, for example orders-db=400".to_owned();
    let (name, connections) = text.split_once('=').ok_or_else(fault)?;
    Ok((name.to_owned(), connections.parse().map_err(|_| fault())?))
}

fn reads(text: &str) -> Result<(String, Source), String> {
    let (name, source) =
        text.split_once('=').ok_or_else(|| "write METRIC=QUANTITY, for example p99=latency".to_owned())?;
    Ok((name.to_owned(), source.parse()?))
}

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
struct RunOutput<'a> {
    name: &'a str,
    figures: &'a Figures,
}

/// All that is simulated.
struct Prepared {
    load: Load,
    settings: Settings,
    scalers: Vec<(String, Scaler)>,
    assumptions: Vec<String>,
}

impl Simulate {
    pub(super) fn execute(self) -> Result<(), String> {
        let prepared = self.prepare()?;
        let begun = Instant::now();
        let runs = run_all(&prepared);
        let took = begun.elapsed().as_secs_f64();
        if let Some(path) = &self.report {
            write_text(path, &self.to_report(&prepared, &runs).html())?;
        }
        if let Some(path) = &self.svg {
            write_text(path, &self.to_report(&prepared, &runs).svg())?;
        }
        if self.json {
            let output = Output {
                load: LoadOutput {
                    name: &self.load,
                    seconds: prepared.load.span().seconds(),
                    mean: prepared.load.mean(),
                    peak: prepared.load.peak(),
                },
                assumptions: &prepared.assumptions,
                runs: runs.iter().map(|run| RunOutput { name: &run.name, figures: &run.figures }).collect(),
            };
            let text = serde_json::to_string_pretty(&output).map_err(|error| error.to_string())?;
            return print(&format!("{text}\n"));
        }
        print(&self.text(&prepared, &runs, took))
    }

    fn prepare(&self) -> Result<Prepared, String> {
        let (object, policy) = read_policy(&self.policy)?;
        let sensor = SensorSettings {
            scrape_interval: self.scrape_interval,
            window: self.metric_window,
            delay: self.metric_delay,
        };
        if sensor.scrape_interval == Span::ZERO || sensor.window == Span::ZERO {
            return Err("--scrape-interval and --metric-window must be longer than 0s".to_owned());
        }
        if self.service_time == Span::ZERO {
            return Err("--service-time must be longer than 0s: write for example 50ms".to_owned());
        }
        let policy = Policy { seed: self.seed, ..policy };
        let simulable = map(&policy, &self.signal, &sensor)?;
        let mut assumptions = simulable.notes.clone();
        let capacity = self.capacity_per_pod(&simulable, &mut assumptions)?;
        let load = self.scaled_load(capacity, &mut assumptions)?;
        let database = self.database(&policy)?;
        let settings = Settings {
            plant: self.plant(capacity)?,
            service: ServiceSettings {
                capacity_per_pod: capacity,
                scalability: self.usl,
                service_time: self.service_time.seconds(),
                overload: match self.overload {
                    OverloadChoice::Dropped => Overload::Dropped,
                    OverloadChoice::Queued => Overload::Queued { patience: self.patience.seconds() },
                },
                late_after: self.late_after.seconds(),
            },
            sensor,
            database,
            shares: shares(&policy, &self.budget)?,
            latency_objective: self.latency_slo.map(Span::seconds),
            days: match self.days {
                DaysChoice::All => Days::All,
                DaysChoice::Even => Days::Even,
                DaysChoice::Odd => Days::Odd,
            },
            initial_replicas: self.initial_replicas,
            step: Span::from_seconds(1),
            record: self.report.is_some() || self.svg.is_some(),
        };
        let name = object.metadata.name.unwrap_or_else(|| "policy".to_owned());
        let mut scalers = vec![(name.clone(), Scaler::Policy(Box::new(PolicyScaler::new(&simulable))))];
        for with in &self.compare {
            let (name, scaler) = self.compared(with, &simulable, &sensor)?;
            let taken = scalers.iter().any(|(taken, _)| *taken == name);
            scalers.push((if taken { format!("{name} ({with})") } else { name }, scaler));
        }
        Ok(Prepared { load, settings, scalers, assumptions })
    }

    /// What one replica carries.
    fn capacity_per_pod(&self, simulable: &Simulable, assumptions: &mut Vec<String>) -> Result<f64, String> {
        if let Some(capacity) = self.capacity {
            if capacity.is_finite() && capacity > 0.0 {
                return Ok(capacity);
            }
            return Err(
                "--capacity must be above 0: requests per second that one replica carries at most".to_owned()
            );
        }
        let reads_load = simulable.policy.signals.iter().zip(&simulable.sources).find(|(signal, source)| {
            source.quantity == crate::simulate::Quantity::Load
                && signal.kind == crate::api::TargetKind::AverageValue
        });
        let (signal, source) = reads_load.ok_or(
            "no metric of the policy tells what one replica carries: write --capacity RPS, requests per second at full utilization",
        )?;
        let capacity = signal.target / source.factor / 0.8;
        assumptions.push(format!(
            "one replica carries {} requests per second at most: the target of {} over 0.8; --capacity says otherwise",
            figure(capacity),
            signal.name
        ));
        Ok(capacity)
    }

    fn scaled_load(&self, capacity: f64, assumptions: &mut Vec<String>) -> Result<Load, String> {
        let load = self.read_load()?;
        let load = match self.first {
            Some(first) if first == Span::ZERO => return Err("--first must be longer than 0s".to_owned()),
            Some(first) => load.first(first),
            None => load,
        };
        let Some(replicas) = self.scale_to_peak else { return Ok(load) };
        if load.peak() <= 0.0 {
            return Err("--scale-to-peak: the load is 0 throughout, and has no peak".to_owned());
        }
        let law = crate::simulate::Service::new(ServiceSettings {
            capacity_per_pod: capacity,
            scalability: self.usl,
            service_time: 1.0,
            overload: Overload::Dropped,
            late_after: 1.0,
        });
        let factor = law.capacity(from_count(replicas.max(1))) / load.peak();
        assumptions.push(format!(
            "the load is taken {} times, so that its peak takes {replicas} replicas at full utilization",
            figure(factor)
        ));
        Ok(load.times(factor))
    }

    fn read_load(&self) -> Result<Load, String> {
        if let Some(name) = self.load.strip_prefix("trace:") {
            return Trace::named(name)?.load();
        }
        let path = PathBuf::from(&self.load);
        let is_sentence = GRAMMAR.lines().any(|line| {
            line.split_once(':').is_some_and(|(kind, _)| self.load.split(':').next() == Some(kind))
        });
        if is_sentence && !path.exists() {
            return generate(&self.load, self.seed);
        }
        if self.load.contains('=') && !path.exists() {
            return generate(&self.load, self.seed);
        }
        Load::parse(&read_text(&path)?).map_err(|error| format!("{}: {error}", self.load))
    }

    fn plant(&self, capacity: f64) -> Result<PlantSettings, String> {
        let spread = match self.start_up_p90 {
            Some(p90) if p90 < self.start_up => {
                return Err("--start-up-p90 is below --start-up, the median: write the time within which nine of ten pods start".to_owned());
            }
            Some(p90) if self.start_up > Span::ZERO => (p90.seconds() / self.start_up.seconds()).ln() / Z90,
            _ => 0.0,
        };
        Ok(PlantSettings {
            start_up: self.start_up,
            start_up_spread: spread,
            warm_up: self.warm_up,
            drain: self.drain,
            capacity_per_pod: capacity,
            seed: self.seed,
            ..PlantSettings::default()
        })
    }

    fn database(&self, policy: &Policy) -> Result<Option<Database>, String> {
        if let (Some(connections), Some(per_pod)) = (self.connections, self.connections_per_pod) {
            if per_pod == 0 {
                return Err("--connections-per-pod must be 1 or more".to_owned());
            }
            return Ok(Some(Database { connections, per_pod }));
        }
        Ok(policy.connections.first().and_then(|ceiling| {
            let connections = match &ceiling.limit {
                ConnectionSource::Inline { max_connections, reserved, others } => {
                    max_connections.saturating_sub(reserved.saturating_add(*others))
                }
                ConnectionSource::Budget { name, .. } => self
                    .budget
                    .iter()
                    .find(|(budget, _)| budget == name)
                    .map(|(_, connections)| *connections)?,
            };
            Some(Database { connections, per_pod: ceiling.per_pod })
        }))
    }

    fn compared(
        &self,
        with: &str,
        simulable: &Simulable,
        sensor: &SensorSettings,
    ) -> Result<(String, Scaler), String> {
        let policy = &simulable.policy;
        let count = |text: &str, what: &str| {
            text.parse::<u32>().ok().filter(|count| *count >= 1).ok_or_else(|| {
                format!("--compare {with}: {text:?} is not {what}: write a whole number, 1 or more")
            })
        };
        let boxed = |scaler| Scaler::Policy(Box::new(scaler));
        Ok(match with.split_once('=') {
            _ if with == "hpa" => ("HPA v2".to_owned(), boxed(PolicyScaler::hpa(simulable))),
            _ if with == "oracle" => {
                ("oracle".to_owned(), Scaler::Oracle { min: policy.min.max(1), max: policy.max })
            }
            Some(("hpa-cpu", percent)) => {
                let percent = count(percent, "a percentage")?;
                (format!("HPA v2, CPU {percent} %"), boxed(PolicyScaler::hpa_on_cpu(simulable, percent)))
            }
            Some(("static", replicas)) => {
                let replicas = count(replicas, "a count of replicas")?;
                (format!("static {replicas}"), Scaler::Static(replicas))
            }
            _ => {
                let path = PathBuf::from(with);
                if !path.exists() {
                    return Err(format!(
                        "--compare {with}: there is no such file: write hpa, hpa-cpu=80, oracle, static=N, or the file of another policy"
                    ));
                }
                let (object, policy) = read_policy(&path)?;
                let chosen: Vec<_> = self
                    .signal
                    .iter()
                    .filter(|(name, _)| policy.signals.iter().any(|signal| signal.name == *name))
                    .cloned()
                    .collect();
                let other = map(&Policy { seed: self.seed, ..policy }, &chosen, sensor)
                    .map_err(|fault| format!("{with}: {fault}"))?;
                let name = object.metadata.name.unwrap_or_else(|| with.to_owned());
                (name, boxed(PolicyScaler::new(&other)))
            }
        })
    }

    fn text(&self, prepared: &Prepared, runs: &[Run], took: f64) -> String {
        let load = &prepared.load;
        let days = load.span().seconds() / 86_400.0;
        let mut text = format!(
            "Load {}: {}, mean {} and peak {} requests per second\n",
            self.load,
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
        let counted = from_count(crate::number::count_of(runs.len()));
        let _ = writeln!(
            text,
            "\n{} simulated in {took:.2} s, {:.0} ms a day and course.",
            if days >= 1.0 { format!("{days:.1} days") } else { load.span().to_string() },
            1000.0 * took / days.max(f64::MIN_POSITIVE) / counted.max(1.0)
        );
        text
    }

    fn to_report<'a>(&self, prepared: &Prepared, runs: &'a [Run]) -> Report<'a> {
        let rows = figures_table(runs).into_iter().skip(1);
        Report {
            title: runs.first().map_or_else(String::new, |run| run.name.clone()),
            load: self.load.clone(),
            assumptions: prepared.assumptions.clone(),
            connections: prepared.settings.database.map(|database| (database.connections, database.per_pod)),
            latency_objective: prepared.settings.latency_objective,
            figures: rows
                .filter_map(|row| {
                    let mut cells = row.into_iter();
                    Some((cells.next()?, cells.collect()))
                })
                .collect(),
            runs,
        }
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
        let mut runs: Vec<Run> = running.into_iter().filter_map(|run| run.join().ok()).collect();
        let oracle = oracle.join().unwrap_or_else(|_| simulate("oracle", &plain, load, &Scaler::Static(1)));
        cost_over_oracle(&mut runs, &oracle);
        runs
    })
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

fn figures_table(runs: &[Run]) -> Vec<Vec<String>> {
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
