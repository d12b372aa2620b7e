//! Forecasts, by the whole operator on the API server double, under the paused clock: hours in a moment.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use e2e::bed::{NAMESPACE, SimulatedBed};
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::{Span, Time};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const DAY: i64 = 86_400;
/// The bed begins at 14:13:20 UTC; load doubles two and a half hours later, each day.
const PEAK: i64 = 16 * 3600 + 2400;

fn told(answer: Answer) -> Reading {
    Reading { answer, warnings: Vec::new(), age: Age::Measured(Span::ZERO), covered_pods: None }
}

/// Ten pods' load, and twenty's for an hour at the same time each day.
fn daily(at: Time) -> Reading {
    let second = at.millis().div_euclid(1000).rem_euclid(DAY);
    let peak = (PEAK..PEAK + 3600).contains(&second);
    told(Answer::Value(if peak { 200.0 } else { 100.0 }))
}

/// The same, but for today: nobody comes.
fn holiday(at: Time) -> Reading {
    if at < Time::from_seconds(1_790_000_000) { daily(at) } else { told(Answer::Value(100.0)) }
}

fn shop(course: fn(Time) -> Reading, forecast: &Value) -> SimulatedBed {
    let bed = SimulatedBed::new().unwrap();
    let times = json!({"plant.test/startup-seconds": "60", "plant.test/drain-seconds": "2"});
    bed.put_workload("checkout", 10, &times).unwrap();
    // No headroom and no trend: what is seen is what the forecast does.
    let observed = json!({"enforcement": "Observe"});
    let headroom = json!({"calibrated": observed, "leadCompensation": observed});
    bed.put_policy("checkout", &json!({ "forecast": forecast, "headroom": headroom })).unwrap();
    bed.signals.set_course("checkout", course);
    bed
}

fn now(bed: &SimulatedBed) -> i64 {
    bed.server.clock().now().as_second()
}

fn replicas(bed: &SimulatedBed) -> u64 {
    bed.get("apps", "v1", "deployments", NAMESPACE, "checkout")["spec"]["replicas"].as_u64().unwrap()
}

fn status(bed: &SimulatedBed) -> Value {
    bed.get("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, "checkout")["status"].clone()
}

fn condition(bed: &SimulatedBed, kind: &str) -> Value {
    let conditions = status(bed)["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// Waits until so many seconds before the peak of the day.
async fn before_peak(bed: &SimulatedBed, seconds: i64) {
    let left = PEAK - seconds - now(bed).rem_euclid(DAY);
    sleep(Duration::from_secs(u64::try_from(left).unwrap())).await;
}

#[tokio::test(start_paused = true)]
async fn the_floor_rises_ahead_of_the_peak_of_every_day_and_says_why() {
    let bed = shop(daily, &json!({"mode": "ForecastAndScale", "historyDays": 5}));
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    before_peak(&bed, 1800).await;
    let early = status(&bed);
    assert_eq!(replicas(&bed), 10, "{early}");
    let forecast = &early["forecasts"][0];
    assert_eq!(
        (&forecast["metric"], &forecast["state"], &forecast["model"], &forecast["seasonSeconds"]),
        (&json!("rps"), &json!("Acting"), &json!("Mstl"), &json!([DAY])),
        "{early}"
    );
    assert_eq!(forecast["nextPeak"]["replicas"], 20, "{forecast}");
    assert!(forecast["nextPeak"]["time"].as_str().unwrap().contains("T16:4"), "{forecast}");
    assert_eq!(condition(&bed, "ForecastAccurate")["status"], "True", "{early}");

    // A lead time and one step of the forecast before it comes, and not on account of load that is there.
    before_peak(&bed, 60).await;
    let risen = status(&bed);
    assert!(replicas(&bed) >= 19, "{risen}");
    assert_eq!(risen["metrics"][0]["value"], "100", "{risen}");
    let last = &risen["lastChanges"][0];
    assert_eq!((&last["from"], &last["reason"]), (&json!(10), &json!("AboveTarget")), "{risen}");
    let steps = risen["decision"]["steps"].as_array().unwrap();
    let floor = steps.iter().find(|step| step["step"] == "Floor").unwrap();
    assert_eq!(floor["reason"], "Forecast", "{floor}");
    assert!(floor["message"].as_str().unwrap().starts_with("the forecast of rps keeps at least"), "{floor}");

    // And falls with load, under the rules for removing pods; one more is within the tolerance.
    before_peak(&bed, -3600 - 1800).await;
    assert!(replicas(&bed) <= 11, "{}", status(&bed));
    stop.cancel();
    operator.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_forecast_that_is_only_shown_does_nothing_and_one_that_is_wrong_stops() {
    let shown = shop(daily, &json!({"historyDays": 4}));
    let stop = CancellationToken::new();
    let operator = shown.operator(None, &stop);
    before_peak(&shown, 60).await;
    let status_then = status(&shown);
    assert_eq!(replicas(&shown), 10, "{status_then}");
    let forecast = &status_then["forecasts"][0];
    assert_eq!(forecast["state"], "Shown", "{forecast}");
    assert!(forecast["replicas"].as_u64().unwrap() >= 19, "{forecast}");
    stop.cancel();
    operator.await.unwrap().unwrap();

    let wrong = shop(holiday, &json!({"mode": "ForecastAndScale", "historyDays": 4}));
    let stop = CancellationToken::new();
    let operator = wrong.operator(None, &stop);
    before_peak(&wrong, 60).await;
    assert!(replicas(&wrong) >= 19, "{}", status(&wrong));
    // Within two hours of a peak that did not come it is told, and acts no more.
    before_peak(&wrong, -2 * 3600).await;
    let worth = condition(&wrong, "ForecastAccurate");
    assert_eq!(worth["status"], "False", "{}", status(&wrong));
    assert!(worth["message"].as_str().unwrap().ends_with("it raises no floor until it is better"), "{worth}");
    assert_eq!((replicas(&wrong), &status(&wrong)["forecasts"][0]["state"]), (10, &json!("Stopped")));
    stop.cancel();
    operator.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_past_that_is_not_there_changes_nothing_and_is_named() {
    let silent: fn(Time) -> Reading = |at| {
        let known = at >= Time::from_seconds(1_790_000_000 - 3600);
        told(if known { Answer::Value(100.0) } else { Answer::NoSeries })
    };
    let bed = shop(silent, &json!({"mode": "ForecastAndScale"}));
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    sleep(Duration::from_secs(600)).await;
    let worth = condition(&bed, "ForecastAccurate");
    assert_eq!(
        (&worth["status"], &worth["reason"]),
        (&json!("Unknown"), &json!("ForecastHistoryTooShort")),
        "{worth}"
    );
    assert_eq!((replicas(&bed), &condition(&bed, "Ready")["status"]), (10, &json!("True")));
    stop.cancel();
    operator.await.unwrap().unwrap();
}
