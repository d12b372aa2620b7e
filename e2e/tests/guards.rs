//! Guards, by the whole operator on the API server double, under the paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use e2e::bed::{NAMESPACE, SimulatedBed};
use plimsoll::operator::Election;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// Four pods at their load behind a guard that holds for ten minutes at most, on a database that is well.
fn shop() -> SimulatedBed {
    let bed = SimulatedBed::new().unwrap();
    let times = json!({"plant.test/startup-seconds": "3", "plant.test/drain-seconds": "2"});
    bed.put_workload("checkout", 4, &times).unwrap();
    let guard = json!({
        "name": "db-cpu", "prometheus": {"server": "database", "query": "max(cpu)"}, "threshold": "0.85",
        "releaseThreshold": "0.7", "action": "BlockScaleUp", "holdSeconds": 30, "maxDurationSeconds": 600,
    });
    bed.put_policy("checkout", &json!({ "guards": [guard] })).unwrap();
    bed.signals.set("checkout", 39.0);
    bed.signals.set("database", 0.5);
    bed
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

fn events(bed: &SimulatedBed, reason: &str) -> usize {
    let events = bed.server.collection("events.k8s.io", "v1", "events").unwrap().list(NAMESPACE);
    events.iter().filter(|event| event["reason"] == reason).count()
}

fn election(identity: &str) -> Election {
    Election { namespace: NAMESPACE.to_owned(), name: "plimsoll".to_owned(), identity: identity.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn growth_is_held_and_named_over_a_failover_and_a_restart_and_then_let_through_step_by_step() {
    let bed = shop();
    let stop = CancellationToken::new();
    let first = bed.operator(Some(election("first")), &stop);
    seconds(60).await;
    let second = bed.operator(Some(election("second")), &stop);
    seconds(60).await;
    assert_eq!(condition(&bed, "Guarded")["status"], "False", "{}", status(&bed));

    bed.signals.set("database", 0.91);
    seconds(20).await;
    let began = Instant::now();
    bed.signals.set("checkout", 99.0);
    seconds(100).await;
    let held = status(&bed);
    assert_eq!(replicas(&bed), 4, "{held}");
    assert_eq!(condition(&bed, "Ready")["message"], "needs 10, held at 4 by guard db-cpu");
    assert_eq!((&held["limitedBy"], &held["unmetReplicas"]), (&json!("guard/db-cpu"), &json!(6)));
    let guard = &held["guards"][0];
    assert_eq!(
        (&guard["state"], &guard["value"], &guard["threshold"], &guard["action"], &guard["replicas"]),
        (&json!("Active"), &json!("910m"), &json!("850m"), &json!("BlockScaleUp"), &json!(4))
    );
    let (since, until) = (guard["since"].clone(), guard["until"].clone());
    assert!(since.is_string() && until.is_string(), "{guard}");
    assert_eq!(condition(&bed, "BottleneckMoved")["status"], "True", "{held}");
    assert!(held["advice"][0].as_str().unwrap().starts_with("relieve what guard db-cpu watches"), "{held}");
    assert_eq!((events(&bed, "GuardActive"), events(&bed, "BottleneckBehind")), (1, 1));

    // The leader dies; another takes over, and knows since when the guard has been active.
    first.abort();
    seconds(120).await;
    let after = status(&bed);
    assert_eq!(replicas(&bed), 4);
    assert_eq!((&after["guards"][0]["since"], &after["guards"][0]["until"]), (&since, &until), "{after}");
    assert_eq!(condition(&bed, "BottleneckMoved")["status"], "True");

    // All of them stop, and one begins anew.
    stop.cancel();
    second.await.unwrap().unwrap();
    let stop = CancellationToken::new();
    let third = bed.operator(None, &stop);
    seconds(90).await;
    let after = status(&bed);
    assert_eq!(replicas(&bed), 4);
    assert_eq!(
        (&after["guards"][0]["since"], &after["guards"][0]["state"]),
        (&since, &json!("Active")),
        "{after}"
    );
    assert_eq!(
        (events(&bed, "GuardActive"), events(&bed, "BottleneckBehind")),
        (1, 1),
        "a restart is no news"
    );

    // Ten minutes after it began at the latest, it lets one step through after the other.
    let mut steps = vec![(began.elapsed(), 4)];
    while replicas(&bed) < 9 {
        seconds(1).await;
        let now = replicas(&bed);
        if now != steps[steps.len() - 1].1 {
            steps.push((began.elapsed(), now));
        }
        assert!(began.elapsed() < Duration::from_mins(20), "{steps:?}");
    }
    let counts: Vec<_> = steps.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [4, 5, 6, 7, 8, 9], "a tenth, and at least one pod, each: {steps:?}");
    assert!(steps[1].0 > Duration::from_secs(500) && steps[1].0 <= Duration::from_secs(616), "{steps:?}");
    for pair in steps[1..].windows(2) {
        assert!(pair[1].0.saturating_sub(pair[0].0) >= Duration::from_secs(29), "{steps:?}");
    }
    assert_eq!(condition(&bed, "Guarded")["reason"], "GuardExpired");

    // The database is well again: after the hold the rest comes at once.
    bed.signals.set("checkout", 199.0);
    bed.signals.set("database", 0.6);
    let calm = Instant::now();
    let held = replicas(&bed);
    while replicas(&bed) < 20 {
        seconds(1).await;
        if calm.elapsed() < Duration::from_secs(29) {
            assert!(replicas(&bed) <= held + 1, "{}", replicas(&bed));
        }
        assert!(calm.elapsed() < Duration::from_mins(3), "{}", status(&bed));
    }
    seconds(30).await;
    assert_eq!(condition(&bed, "Guarded")["status"], "False");
    assert!(status(&bed)["guards"][0]["since"].is_null());
    stop.cancel();
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_database_that_cannot_be_seen_is_told_and_holds_nothing_that_was_free() {
    let bed = shop();
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(30).await;
    bed.signals.silence("database");
    seconds(30).await;
    let guarded = condition(&bed, "Guarded");
    assert_eq!(
        (&guarded["status"], &guarded["reason"]),
        (&json!("Unknown"), &json!("GuardUnfit")),
        "{guarded}"
    );
    assert_eq!(condition(&bed, "Ready")["reason"], "GuardUnfit");
    assert_eq!(events(&bed, "GuardUnfit"), 1);
    bed.signals.set("checkout", 99.0);
    seconds(40).await;
    assert_eq!(replicas(&bed), 10, "{}", status(&bed));

    // While a guard is active, a value that goes leaves it so.
    bed.signals.set("database", 0.9);
    seconds(30).await;
    bed.signals.silence("database");
    bed.signals.set("checkout", 199.0);
    seconds(120).await;
    assert_eq!(replicas(&bed), 10, "{}", status(&bed));
    assert_eq!(status(&bed)["guards"][0]["signal"], "Missing");
    stop.cancel();
    operator.await.unwrap().unwrap();
}
