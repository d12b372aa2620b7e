//! How good the control is: real load curves, scaled by Plimsoll, by HPA, by who knows the future, by nobody.
//!
//! Writes its tables into `docs/benchmarks.md`, between the markers.

#![allow(clippy::expect_used, clippy::panic, reason = "a bench may fail loudly")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::Policy;
use plimsoll::simulate::{
    Days, Load, Overload, PlantSettings, PolicyScaler, Run, Scaler, SensorSettings, ServiceSettings,
    Settings, TRACES, Trace, map, simulate,
};
use plimsoll::time::Span;

const DOCUMENT: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- bench-control: begin -->";
const END: &str = "<!-- bench-control: end -->";
/// The peak of every load takes so many pods at full utilization.
const PEAK: u32 = 50;
const CAPACITY: f64 = 100.0;
const START_UPS: [u64; 2] = [60, 180];
/// An HPA is tuned to this share of requests unserved, in percent.
const BUDGET: f64 = 0.1;
/// The target of Plimsoll's policy, in percent of capacity: all of it, since headroom is learnt.
const WHAT_A_POD_CARRIES: u32 = 100;
/// Targets that a tuned HPA is given, in percent of capacity.
const TARGETS: [u32; 10] = [95, 90, 85, 80, 75, 70, 65, 60, 50, 40];

/// Everything at its default, apart from what every policy must say. `zero: Data`, because a night without a request
/// is one.
fn policy(target: u32) -> Policy {
    let spec: ScalingPolicySpec = serde_saphyr::from_str(&format!(
        "scaleTargetRef: {{name: service}}\nminReplicas: 1\nmaxReplicas: 200\nmetrics:\n- name: rps\n  zero: Data\n  prometheus: {{query: rps}}\n  target: {{type: AverageValue, averageValue: {target}}}\n"
    ))
    .expect("the policy is valid");
    Policy::compile(&spec).expect("the policy is valid")
}

fn settings(start_up: u64, overload: Overload, days: Days) -> Settings {
    Settings {
        plant: PlantSettings {
            start_up: Span::from_seconds(start_up),
            drain: Span::ZERO,
            capacity_per_pod: CAPACITY,
            ..PlantSettings::default()
        },
        service: ServiceSettings {
            capacity_per_pod: CAPACITY,
            scalability: None,
            service_time: 0.05,
            overload,
            late_after: 1.0,
        },
        sensor: SensorSettings::default(),
        database: None,
        shares: Vec::new(),
        latency_objective: None,
        days,
        initial_replicas: None,
        step: Span::from_seconds(5),
        record: false,
    }
}

/// What a course comes to: its cost as a multiple of the oracle's, and the share of requests unserved or late.
#[derive(Clone, Copy, Debug)]
struct Score {
    cost: f64,
    missed: f64,
    actions: f64,
    replica_hours: f64,
    requests: f64,
}

impl Score {
    fn of(run: &Run, oracle: &Run) -> Self {
        let figures = &run.figures;
        Self {
            cost: figures.replica_hours / oracle.figures.replica_hours,
            missed: figures.unserved_percent + figures.late_percent,
            actions: f64::from(figures.scale_actions) / figures.days,
            replica_hours: figures.replica_hours,
            requests: figures.requests,
        }
    }

    fn cell(&self) -> String {
        let missed = match self.missed {
            ..0.0005 => "0".to_owned(),
            missed @ ..0.1 => format!("{missed:.3}"),
            missed => format!("{missed:.2}"),
        };
        format!("{:.2} · {missed}", self.cost)
    }
}

/// One trace under one condition.
struct Row {
    trace: &'static str,
    start_up: u64,
    plimsoll: Score,
    hpa_cpu: Score,
    hpa_rate: Score,
    tuned: Option<(String, Score)>,
    fixed: Score,
    oracle_over_demand: f64,
    /// It lasts for days, every other of which taught and does not count.
    long: bool,
}

fn row(
    trace: Trace,
    load: &Load,
    start_up: u64,
    overload: Overload,
    days: Option<Days>,
    targets: &[u32],
) -> Row {
    let long = load.span() >= Span::from_seconds(2 * 86_400);
    let days = days.unwrap_or(if long { Days::Odd } else { Days::All });
    let settings = settings(start_up, overload, days);
    let simulable =
        |target| map(&policy(target), &[], &settings.sensor).expect("the policy can be simulated");
    let (default, at_80) = (simulable(WHAT_A_POD_CARRIES), simulable(80));
    let play = |scaler: Scaler| simulate("", &settings, load, &scaler);
    let by = |scaler: PolicyScaler| play(Scaler::Policy(Box::new(scaler)));
    let oracle = play(Scaler::Oracle { min: 1, max: 200 });
    let whole = Settings { days: Days::All, ..settings.clone() };
    let whole = simulate("", &whole, load, &Scaler::Oracle { min: 1, max: 200 });
    let score = |run: &Run| Score::of(run, &oracle);
    // From the leanest target on, the first that keeps the budget is the cheapest that does.
    let tuned = targets
        .iter()
        .flat_map(|target| {
            [
                (format!("rate {target}"), PolicyScaler::hpa(&simulable(*target))),
                (format!("CPU {target}"), PolicyScaler::hpa_on_cpu(&at_80, *target)),
            ]
        })
        .map(|(name, scaler)| (name, score(&by(scaler))))
        .filter(|(_, score)| score.missed <= BUDGET)
        .min_by(|a, b| a.1.cost.total_cmp(&b.1.cost));
    let demand = plimsoll::simulate::demand(&settings, load, 1, 200);
    let needed: f64 = demand.into_iter().map(f64::from).sum::<f64>() * settings.step.seconds() / 3600.0;
    Row {
        trace: trace.name,
        start_up,
        plimsoll: score(&by(PolicyScaler::new(&default))),
        hpa_cpu: score(&by(PolicyScaler::hpa_on_cpu(&at_80, 80))),
        hpa_rate: score(&by(PolicyScaler::hpa(&at_80))),
        tuned,
        fixed: score(&play(Scaler::Static(PEAK))),
        oracle_over_demand: whole.figures.replica_hours / needed,
        long,
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| trace, start-up | Plimsoll, default | HPA v2, CPU 80 % | HPA v2, rate 80 % | HPA v2, tuned in hindsight | static peak | changes a day: Plimsoll, HPA CPU, HPA rate |\n|---|---|---|---|---|---|---|\n".to_owned();
    for row in rows {
        let tuned = row
            .tuned
            .as_ref()
            .map_or_else(|| "none".to_owned(), |(name, score)| format!("{} ({name})", score.cell()));
        let _ = writeln!(
            text,
            "| {}, {} s | {} | {} | {} | {tuned} | {} | {:.0}, {:.0}, {:.0} |",
            row.trace,
            row.start_up,
            row.plimsoll.cell(),
            row.hpa_cpu.cell(),
            row.hpa_rate.cell(),
            row.fixed.cell(),
            row.plimsoll.actions,
            row.hpa_cpu.actions,
            row.hpa_rate.actions,
        );
    }
    text
}

/// In how many rows one is at least as good as another in one figure and better in the other, and the reverse.
fn duels(rows: &[Row], other: impl Fn(&Row) -> Score) -> (usize, usize, usize) {
    let better = |a: Score, b: Score| {
        let (cost, missed) = (a.cost - b.cost, a.missed - b.missed);
        cost <= 0.005 && missed <= 0.005 && (cost < -0.005 || missed < -0.005)
    };
    let won = rows.iter().filter(|row| better(row.plimsoll, other(row))).count();
    let lost = rows.iter().filter(|row| better(other(row), row.plimsoll)).count();
    (won, lost, rows.len() - won - lost)
}

/// All of several rows together: replica-hours, and the share of their requests that was missed, in percent.
fn together(rows: &[&Row], score: impl Fn(&Row) -> Score) -> String {
    let (mut hours, mut missed, mut requests) = (0.0, 0.0, 0.0);
    for score in rows.iter().map(|row| score(row)) {
        hours += score.replica_hours;
        missed += score.missed * score.requests;
        requests += score.requests;
    }
    format!("{hours:.0} replica-hours · {:.3} %", missed / requests)
}

type Named = (&'static str, fn(&Row) -> Score);

fn summary(rows: &[Row]) -> String {
    let kept = |score: &dyn Fn(&Row) -> Score| rows.iter().filter(|row| score(row).missed <= BUDGET).count();
    let mut text = format!(
        "At most {BUDGET} % missed: Plimsoll in {} of {} rows, HPA on CPU in {}, HPA on the rate in {}, a tuned HPA in {}.\n",
        kept(&|row| row.plimsoll),
        rows.len(),
        kept(&|row| row.hpa_cpu),
        kept(&|row| row.hpa_rate),
        rows.iter().filter(|row| row.tuned.is_some()).count()
    );
    let others: [Named; 2] =
        [("HPA on CPU at 80 %", |row| row.hpa_cpu), ("HPA on the rate at 80 %", |row| row.hpa_rate)];
    for (name, other) in others {
        let (won, lost, open) = duels(rows, other);
        let _ = writeln!(
            text,
            "Against {name}: better in one figure and not worse in the other in {won} rows, the reverse in {lost}, one figure each way or equal in {open}."
        );
    }
    for (what, of) in [
        (
            "Loads of days that pods can follow (nasa, smooth, business, wikipedia)",
            &["nasa", "smooth", "business", "wikipedia"][..],
        ),
        ("All loads of days", &["nasa", "smooth", "business", "wikipedia", "sparse", "elb"][..]),
    ] {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.long && of.contains(&row.trace)).collect();
        if !rows.is_empty() {
            let _ = writeln!(
                text,
                "{what}, together: Plimsoll {}, HPA on CPU {}, HPA on the rate {}.",
                together(&rows, |row| row.plimsoll),
                together(&rows, |row| row.hpa_cpu),
                together(&rows, |row| row.hpa_rate)
            );
        }
    }
    let tuned: Vec<_> = rows.iter().filter_map(|row| Some((row, row.tuned.as_ref()?.1))).collect();
    let dearer = tuned.iter().filter(|(row, tuned)| row.plimsoll.cost > tuned.cost + 0.005).count();
    let _ = writeln!(
        text,
        "Where an HPA can be tuned in hindsight to {BUDGET} %, the default costs more than it in {dearer} of {} rows.",
        tuned.len()
    );
    text
}

/// A day at 15 s, in milliseconds: the second of two runs.
fn day() -> f64 {
    let load = Trace::named("smooth").and_then(|trace| trace.load()).expect("the trace is whole");
    let load = load.first(Span::from_seconds(86_400));
    let load = load.clone().times(f64::from(PEAK) * CAPACITY / load.peak());
    let settings = Settings { step: Span::from_seconds(1), ..settings(60, Overload::Dropped, Days::All) };
    let simulable = map(&policy(80), &[], &settings.sensor).expect("the policy can be simulated");
    let scaler = Scaler::Policy(Box::new(PolicyScaler::new(&simulable)));
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begun = Instant::now();
        let run = simulate("day", &settings, &load, &scaler);
        assert_eq!(run.evaluations, 5760, "a day has 5760 evaluations");
        best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
    }
    best
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let named = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
    };
    let days = match named("--days").map(String::as_str) {
        Some("even") => Some(Days::Even),
        Some("odd") => Some(Days::Odd),
        Some("all") => Some(Days::All),
        // Parameters were chosen on even days: of loads that have odd ones, those are reported.
        None => None,
        Some(other) => panic!("--days {other}: write all, even or odd"),
    };
    let chosen = named("--trace");
    // Without it a quarter of the time is enough.
    let targets =
        if arguments.iter().any(|argument| argument == "--untuned") { &[][..] } else { &TARGETS[..] };

    let begun = Instant::now();
    let overloads = [("dropped", Overload::Dropped), ("queued", Overload::Queued { patience: 30.0 })];
    let mut jobs = Vec::new();
    for trace in TRACES.into_iter().filter(|trace| chosen.is_none_or(|chosen| trace.name == chosen)) {
        let load = trace.load().expect("the trace is whole");
        // An hour has no odd days.
        if matches!(days, Some(Days::Even | Days::Odd)) && load.span() < Span::from_seconds(2 * 86_400) {
            continue;
        }
        let load = load.clone().times(f64::from(PEAK) * CAPACITY / load.peak());
        for start_up in START_UPS {
            for (_, overload) in overloads {
                jobs.push((trace, load.clone(), start_up, overload));
            }
        }
    }
    let order: Vec<(&str, u64, bool)> = jobs
        .iter()
        .map(|(trace, _, start_up, overload)| (trace.name, *start_up, *overload == Overload::Dropped))
        .collect();
    let (queue, done) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let job = queue.lock().expect("no thread panicked").pop();
                    let Some((trace, load, start_up, overload)) = job else { return };
                    let row = row(trace, &load, start_up, overload, days, targets);
                    eprintln!("{}, {start_up} s: {}", trace.name, row.plimsoll.cell());
                    done.lock().expect("no thread panicked").push((row, overload == Overload::Dropped));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panicked");
    done.sort_by_key(|(row, dropped)| {
        order.iter().position(|at| *at == (row.trace, row.start_up, *dropped)).unwrap_or(usize::MAX)
    });
    let (dropped, queued): (Vec<_>, Vec<_>) = done.into_iter().partition(|(_, dropped)| *dropped);
    let rows = |part: Vec<(Row, bool)>| part.into_iter().map(|(row, _)| row).collect::<Vec<_>>();
    let (dropped, queued) = (rows(dropped), rows(queued));
    let limits: Vec<_> = dropped
        .iter()
        .map(|row| format!("{} {} s {:.3}", row.trace, row.start_up, row.oracle_over_demand))
        .collect();
    let text = format!(
        "Load beyond capacity is dropped; a cell is cost as a multiple of the oracle's · requests unserved in percent:\n\n{}\n{}\n\
         Load beyond capacity waits in line for up to 30 s; a cell is cost · requests unserved or more than 1 s late, in percent:\n\n{}\n{}\n\
         The oracle's own cost over the replica-hours that the load needs at full utilization: {}.\n\n\
         A day of 5760 evaluations is simulated in {:.0} ms; all of the above took {:.0} s.\n",
        table(&dropped),
        summary(&dropped),
        table(&queued),
        summary(&queued),
        limits.join(", "),
        day(),
        begun.elapsed().as_secs_f64()
    );
    println!("{text}");
    if days.is_none() && chosen.is_none() && !targets.is_empty() {
        write(&text);
    }
}

fn write(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = std::fs::read_to_string(&path).expect("docs/benchmarks.md is there");
    let (before, rest) = document.split_once(BEGIN).expect("docs/benchmarks.md has the first marker");
    let (_, after) = rest.split_once(END).expect("docs/benchmarks.md has the second marker");
    std::fs::write(&path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))
        .expect("docs/benchmarks.md can be written");
}
