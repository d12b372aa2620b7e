//! A week of a real load through the whole operator on the API server double, under the paused clock, beside the same week
//! in the simulator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::bed::{NAMESPACE, SimulatedBed};
use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::Policy;
use plimsoll::number::from_count;
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::simulate::{
    Days, Load, Overload, PlantSettings, PolicyScaler, Sample, Scaler, SensorSettings, ServiceSettings,
    Settings, Trace, map, simulate,
};
use plimsoll::time::{Span, Time};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const DAY: u64 = 86_400;
/// The bed begins here.
const START: Time = Time::from_seconds(1_790_000_000);
/// The week of the load that is run; the one before it is its past.
const WEEK: u64 = 7 * DAY;
/// What a pod carries.
const CAPACITY: f64 = 10.0;
/// From one look to the next.
const STEP: u64 = 15;
const INITIAL: u32 = 12;

/// Two weeks of a business service whose peak takes 30 pods.
fn load() -> &'static Load {
    static LOAD: OnceLock<Load> = OnceLock::new();
    LOAD.get_or_init(|| {
        let load = Trace::named("business").unwrap().load().unwrap().first(Span::from_seconds(2 * WEEK));
        let peak = load.peak();
        load.times(30.0 * CAPACITY / peak)
    })
}

/// The load so many seconds after the bed began; before it, the week before.
fn load_at(second: i64) -> f64 {
    let week = i64::try_from(WEEK).unwrap();
    load().at(Span::from_seconds(u64::try_from((second + week).max(0)).unwrap()))
}

/// The mean of a minute, fifteen seconds late, as the simulator's metrics have it.
fn told(at: Time) -> Reading {
    let second = (at.millis() - START.millis()).div_euclid(1000);
    let newest = second.div_euclid(15) * 15 - 15;
    let mean = (0..4).map(|sample| load_at(newest - 15 * sample - 8)).sum::<f64>() / 4.0;
    Reading {
        answer: Answer::Value(mean),
        warnings: Vec::new(),
        age: Age::Measured(Span::from_seconds(15)),
        covered_pods: None,
    }
}

fn spec(more: &Value) -> Value {
    let mut spec = json!({
        "scaleTargetRef": {"name": "checkout"}, "minReplicas": 2, "maxReplicas": 200,
        "metrics": [{"name": "rps", "zero": "Data", "prometheus": {"server": "checkout", "query": "rps"},
                     "target": {"type": "AverageValue", "averageValue": CAPACITY.to_string()}}]
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

/// What became of a week.
#[derive(Debug, Default)]
struct Week {
    replica_hours: f64,
    unserved_percent: f64,
    changes: u32,
}

/// The first day is left out: what the simulator learns in it the operator reads of the past.
fn figures(samples: impl Iterator<Item = (f64, u32, f64)>) -> Week {
    let first_day = usize::try_from(DAY / STEP).unwrap();
    let (mut week, mut came, mut lost, mut before) = (Week::default(), 0.0, 0.0, None);
    for (load, replicas, capacity) in samples.skip(first_day) {
        week.replica_hours += from_count(replicas) * 15.0 / 3600.0;
        came += load;
        lost += (load - capacity).max(0.0);
        week.changes += u32::from(before.is_some_and(|before| before != replicas));
        before = Some(replicas);
    }
    Week { unserved_percent: 100.0 * lost / came, ..week }
}

fn simulated(more: &Value, days: u64) -> Week {
    let spec: ScalingPolicySpec = serde_json::from_value(spec(more)).unwrap();
    let policy = Policy::compile(&spec).unwrap();
    let settings = Settings {
        plant: PlantSettings {
            start_up: Span::from_seconds(60),
            drain: Span::ZERO,
            capacity_per_pod: CAPACITY,
            ..PlantSettings::default()
        },
        service: ServiceSettings {
            capacity_per_pod: CAPACITY,
            scalability: None,
            service_time: 0.05,
            overload: Overload::Dropped,
            late_after: 1.0,
        },
        sensor: SensorSettings::default(),
        database: None,
        shares: Vec::new(),
        latency_objective: None,
        days: Days::All,
        initial_replicas: Some(INITIAL),
        step: Span::from_seconds(STEP),
        record: true,
    };
    let second_week = load().points().filter(|(at, _)| *at >= Span::from_seconds(WEEK)).map(|(_, rate)| rate);
    let load = Load::of(Span::from_seconds(60), second_week).first(Span::from_seconds(days * DAY));
    let simulable = map(&policy, &[], &SensorSettings::default()).unwrap();
    let run = simulate("", &settings, &load, &Scaler::Policy(Box::new(PolicyScaler::new(&simulable))));
    figures(run.samples.iter().map(|sample: &Sample| (sample.load, sample.replicas, sample.capacity)))
}

/// A service under the load, and its policy.
fn shop(more: &Value) -> SimulatedBed {
    let bed = SimulatedBed::new().unwrap();
    let times = json!({"plant.test/startup-seconds": "60", "plant.test/drain-seconds": "0"});
    bed.put_workload("checkout", INITIAL, &times).unwrap();
    let policy = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "checkout"}, "spec": spec(more)
    });
    bed.create("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, policy).unwrap();
    bed.signals.set_course("checkout", told);
    bed
}

fn status(bed: &SimulatedBed) -> Value {
    bed.get("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, "checkout")["status"].clone()
}

/// So many days of the week, and the last status.
async fn operated(more: &Value, days: u64) -> (Week, Value) {
    let bed = shop(more);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    let mut samples = Vec::new();
    let count = |value: &Value| u32::try_from(value.as_u64().unwrap_or(0)).unwrap();
    for step in 0..days * DAY / STEP {
        let workload = bed.get("apps", "v1", "deployments", NAMESPACE, "checkout");
        let ready = count(&workload["status"]["readyReplicas"]);
        let load = load_at(i64::try_from(step * STEP).unwrap());
        samples.push((load, count(&workload["spec"]["replicas"]), CAPACITY * from_count(ready)));
        sleep(Duration::from_secs(STEP)).await;
    }
    let status = status(&bed);
    stop.cancel();
    operator.await.unwrap().unwrap();
    (figures(samples.into_iter()), status)
}

#[tokio::test(start_paused = true)]
async fn a_week_through_the_operator_is_the_week_that_the_simulator_foretold() {
    let began = Instant::now();
    let (operated, status) = operated(&json!({}), 7).await;
    println!("six days by the operator: {operated:?}, in {:?}", began.elapsed());
    let simulated = simulated(&json!({}), 7);
    println!("by the simulator: {simulated:?}");
    let off = operated.replica_hours / simulated.replica_hours - 1.0;
    assert!(off.abs() < 0.03, "replica-hours are {:+.1} % off", 100.0 * off);
    let unserved = operated.unserved_percent - simulated.unserved_percent;
    assert!(unserved.abs() < 0.03, "unserved is {unserved:+.3} % off");
    assert!(operated.changes.abs_diff(simulated.changes) * 5 < simulated.changes, "changes of the count");
    assert!(status["metrics"][0]["headroom"]["replicas"].is_string(), "{status}");
}

#[tokio::test(start_paused = true)]
async fn days_with_a_forecast_and_a_schedule_are_served_better_and_each_tells_its_part() {
    let ahead = json!({
        "forecast": {"mode": "ForecastAndScale", "historyDays": 7},
        "schedules": [{"name": "morning", "start": "0 8 * * 1-5", "durationSeconds": 7200, "timeZone": "UTC", "minReplicas": 8}]
    });
    let began = Instant::now();
    let bare = simulated(&json!({}), 4);
    let (ahead, status) = operated(&ahead, 4).await;
    println!("bare: {bare:?}\nahead: {ahead:?}, in {:?}\n{status}", began.elapsed());
    assert!(ahead.unserved_percent < bare.unserved_percent, "{status}");
    assert!(ahead.replica_hours < bare.replica_hours * 1.1, "{status}");
    assert_eq!(status["forecasts"][0]["metric"], "rps", "{status}");
    assert_eq!(status["schedules"][0]["name"], "morning", "{status}");
}

#[tokio::test(start_paused = true)]
async fn the_day_before_the_operator_began_has_taught_it_headroom_within_minutes() {
    let bed = shop(&json!({}));
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    sleep(Duration::from_mins(10)).await;
    let learnt = &status(&bed)["metrics"][0]["headroom"];
    assert!(learnt["observedHours"].as_u64().is_some_and(|hours| hours >= 23), "{learnt}");
    assert!(learnt["percent"].as_u64().is_some_and(|percent| percent > 0), "{learnt}");
    stop.cancel();
    operator.await.unwrap().unwrap();
}
