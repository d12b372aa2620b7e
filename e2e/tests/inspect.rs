//! What a person at a terminal is told of policies: by the whole operator on the API server double, under the paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::Arc;
use std::time::Duration;

use e2e::apiserver::Rule;
use e2e::bed::{NAMESPACE, OPERATOR, SimulatedBed};
use plimsoll::cluster::PolicyKey;
use plimsoll::inspect::{Assumption, Order, Paint, WhatIf, explain, overview, what_if};
use plimsoll::operator::{Clock, Options, Record, Replay, Replayed, run};
use plimsoll::time::Time;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn now(bed: &SimulatedBed) -> Time {
    Time::from_millis(bed.server.clock().now().as_millisecond())
}

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: NAMESPACE.to_owned(), name: name.to_owned() }
}

/// A shop of six pods under a ceiling of eleven by its database, at its load for two minutes.
async fn shop(stop: &CancellationToken) -> SimulatedBed {
    let bed = SimulatedBed::new().unwrap();
    let times = json!({"plant.test/startup-seconds": "3", "plant.test/drain-seconds": "2"});
    bed.put_workload("checkout", 6, &times).unwrap();
    let ceilings = json!({"connections": [{"name": "orders-db", "perPod": 10, "inline": {"maxConnections": 260, "reserved": 10}}]});
    bed.put_policy("checkout", &json!({"minReplicas": 2, "ceilings": ceilings})).unwrap();
    bed.signals.set("checkout", 58.0);
    bed.operator(None, stop);
    seconds(400).await;
    bed
}

async fn asked(bed: &SimulatedBed, set: &[&str]) -> Result<WhatIf, String> {
    let assumed: Vec<Assumption> = set.iter().map(|text| text.parse().unwrap()).collect();
    what_if(&bed.server.client(), &key("checkout"), &assumed, now(bed)).await
}

#[tokio::test(start_paused = true)]
async fn the_last_decision_is_told_step_by_step_with_what_bound_it_and_what_came_of_it() {
    let stop = CancellationToken::new();
    let bed = shop(&stop).await;
    bed.signals.set("checkout", 195.0);
    seconds(120).await;
    let explanation = explain(&bed.server.client(), &key("checkout")).await.unwrap();
    let text = explanation.text(now(&bed), Paint::plain());
    println!("{text}");
    for words in [
        "ScalingPolicy shop/checkout → Deployment checkout",
        "Step by step",
        "Need ",
        "Without connections/orders-db it would be 20 now.",
        "195 of 10",
        "connections/orders-db",
        "Last changes",
        "Events",
        "SuccessfulRescale",
    ] {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colours were asked for");
    let painted = explanation.text(now(&bed), Paint::when(true));
    assert!(painted.contains("\x1b[1m"));
    let value = serde_json::to_value(&explanation).unwrap();
    assert_eq!(value["status"]["limitedBy"], "connections/orders-db");
    assert!(value["events"][0]["message"].is_string(), "{value}");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_what_if_is_decided_by_the_operators_own_code_and_says_what_it_cannot_know() {
    let stop = CancellationToken::new();
    let bed = shop(&stop).await;
    let before = bed.get("apps", "v1", "deployments", NAMESPACE, "checkout");

    let more = asked(&bed, &["metrics.rps=75"]).await.unwrap();
    println!("{}", more.text(Paint::plain()));
    let decision = more.status.decision.clone().unwrap();
    assert_eq!((decision.from, decision.to), (6, 8));
    assert_eq!(more.later, None);

    let much = asked(&bed, &["metrics.rps=900"]).await.unwrap();
    println!("{}", much.text(Paint::plain()));
    assert_eq!(much.status.limited_by.as_deref(), Some("connections/orders-db"));
    assert_eq!(much.status.unmet_replicas, Some(79));

    let less = asked(&bed, &["metrics.rps=20"]).await.unwrap();
    println!("{}", less.text(Paint::plain()));
    let later = less.later.clone().unwrap();
    assert_eq!(less.status.decision.as_ref().map(|decision| (decision.from, decision.to)), Some((6, 6)));
    assert!(later.from == 6 && later.to < 6 && (300..=360).contains(&later.after_seconds), "{later:?}");
    assert!(less.text(Paint::plain()).contains("windows and smoothing begin empty"));

    let gone = asked(&bed, &["metrics.rps=none"]).await.unwrap();
    assert_eq!(gone.status.decision.as_ref().map(|decision| decision.to), Some(6));
    assert_eq!(gone.status.metrics[0].state, "Missing");

    let small = asked(&bed, &["replicas=3", "metrics.rps=58"]).await.unwrap();
    assert_eq!(small.status.decision.as_ref().map(|decision| (decision.from, decision.to)), Some((3, 6)));
    let unready = asked(&bed, &["ready=4"]).await.unwrap();
    assert_eq!(unready.status.pods.unwrap().serving, 4);
    let capped = asked(&bed, &["maxReplicas=5", "metrics.rps=90"]).await.unwrap();
    assert_eq!(capped.status.effective_max_replicas, Some(5));

    let after = bed.get("apps", "v1", "deployments", NAMESPACE, "checkout");
    assert_eq!(before["spec"], after["spec"], "nothing is written");
    for (set, words) in [
        ("metrics.p99=1", "the policy has no metric \"p99\": it has rps"),
        ("guards.db=1", "the policy has no guard \"db\": it has none"),
        ("budgets.db=1", "the policy has no budget \"db\": it has none"),
        ("maxReplicas=1", "maxReplicas"),
    ] {
        let fault = asked(&bed, &[set]).await.unwrap_err();
        assert!(fault.contains(words), "{set}: {fault}");
    }
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_what_if_reads_the_grants_of_budgets() {
    let stop = CancellationToken::new();
    let bed = SimulatedBed::new().unwrap();
    bed.put_budget("orders-db", &json!({"limit": {"maxConnections": 200}})).unwrap();
    let times = json!({"plant.test/startup-seconds": "3", "plant.test/drain-seconds": "2"});
    for name in ["checkout", "search"] {
        bed.put_workload(name, 3, &times).unwrap();
        let ceilings = json!({"connections": [{"name": "orders-db", "budgetRef": {"name": "orders-db"}, "perPod": 10, "weight": 1, "guaranteedReplicas": 2}]});
        bed.put_policy(name, &json!({"minReplicas": 2, "ceilings": ceilings})).unwrap();
        bed.signals.set(name, 28.0);
    }
    bed.operator(None, &stop);
    seconds(400).await;
    let granted = asked(&bed, &["metrics.rps=60"]).await.unwrap();
    println!("{}", granted.text(Paint::plain()));
    assert_eq!(granted.status.limited_by.as_deref(), Some("connections/orders-db"));
    let text = granted.text(Paint::plain());
    assert!(text.contains("What ConnectionBudget orders-db would grant once more is asked of it"), "{text}");
    let more = asked(&bed, &["metrics.rps=60", "budgets.orders-db=150"]).await.unwrap();
    assert_eq!(more.status.decision.as_ref().map(|decision| (decision.from, decision.to)), Some((3, 6)));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn policies_that_are_not_there_are_named_with_those_that_are() {
    let bed = SimulatedBed::new().unwrap();
    let client = bed.server.client();
    let fault = explain(&client, &key("checkout")).await.unwrap_err();
    assert_eq!(
        fault,
        "there is no ScalingPolicy shop/checkout, and no other in namespace shop: name its namespace with -n"
    );
    bed.put_policy("search", &json!({})).unwrap();
    let fault = explain(&client, &key("checkout")).await.unwrap_err();
    assert_eq!(fault, "there is no ScalingPolicy shop/checkout: the namespace has search");
    let untold = explain(&client, &key("search")).await.unwrap().text(now(&bed), Paint::plain());
    assert!(untold.contains("No operator has written a status yet"), "{untold}");
    bed.server.bind("viewer", "viewer", vec![Rule::new(&["get"], &["plimsoll.dev"], &["scalingpolicies"])]);
    let other = bed.server.client_with_token("viewer");
    let blind = explain(&other, &key("search")).await.unwrap().text(now(&bed), Paint::plain());
    assert!(
        blind.contains("you may not list events in namespace shop: ask for a role with the verb list"),
        "{blind}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_overview_puts_what_lacks_most_first() {
    let stop = CancellationToken::new();
    let bed = shop(&stop).await;
    bed.put_workload("search", 2, &json!({"plant.test/startup-seconds": "3"})).unwrap();
    bed.put_policy("search", &json!({"minReplicas": 2, "maxReplicas": 3})).unwrap();
    bed.put_policy("lost", &json!({})).unwrap();
    bed.signals.set("search", 90.0);
    seconds(120).await;
    let client = bed.server.client();
    let found = overview(&client, Some(NAMESPACE), Order::Trouble).await.unwrap();
    let text = found.text(now(&bed), None, Paint::plain());
    println!("{text}");
    let names: Vec<_> = found.policies.iter().map(|standing| standing.name.as_str()).collect();
    assert_eq!(names, ["search", "lost", "checkout"]);
    let search = &found.policies[0];
    assert_eq!((search.replicas, search.need, search.unmet), (Some(3), Some(9), 6));
    assert_eq!(search.limited_by.as_deref(), Some("maxReplicas"));
    assert!(text.lines().nth(2).unwrap().contains("FailedGetScale"), "{text}");
    let by_name = overview(&client, None, Order::Name).await.unwrap();
    let names: Vec<_> = by_name.policies.iter().map(|standing| standing.name.as_str()).collect();
    assert_eq!(names, ["checkout", "lost", "search"]);
    let narrow = found.text(now(&bed), Some(30), Paint::plain());
    assert!(narrow.lines().all(|line| line.chars().count() <= 30), "{narrow}");
    let nothing = overview(&client, Some("default"), Order::Name).await.unwrap();
    assert_eq!(nothing.text(now(&bed), None, Paint::plain()), "no ScalingPolicy found\n");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_recording_with_a_restart_in_it_is_decided_again_to_the_same() {
    let bed = SimulatedBed::new().unwrap();
    let times = json!({"plant.test/startup-seconds": "20", "plant.test/drain-seconds": "5"});
    bed.put_workload("checkout", 4, &times).unwrap();
    bed.put_policy("checkout", &json!({"minReplicas": 2, "headroom": {"percent": 10}})).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let start = |stop: &CancellationToken| {
        let options = Options {
            clock: Clock::simulated(now(&bed)),
            record: Some(directory.path().to_owned()),
            ..Options::new(Arc::new(bed.signals.clone()))
        };
        tokio::spawn(run(bed.server.client_with_token(OPERATOR), options, stop.clone()))
    };
    for load in [[35.0, 93.0], [61.0, 20.0]] {
        let stop = CancellationToken::new();
        let operator = start(&stop);
        for value in load {
            bed.signals.set("checkout", value);
            seconds(900).await;
        }
        bed.signals.silence("checkout");
        seconds(60).await;
        stop.cancel();
        operator.await.unwrap().unwrap();
    }
    let text = std::fs::read_to_string(directory.path().join("shop_checkout.jsonl")).unwrap();
    let records: Vec<Record> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.len() > 200, "{} evaluations", records.len());
    assert_eq!(records.iter().filter(|record| record.first).count(), 2);
    assert!(records.iter().filter(|record| record.written).count() > 4, "the count moved");
    let mut replay = Replay::default();
    for (number, record) in records.iter().enumerate() {
        let replayed = replay.decide(record).unwrap();
        assert_eq!(replayed, Replayed::Same, "evaluation {number}: {:#?}", record.decision);
    }
    let mut headless = Replay::default();
    assert_eq!(headless.decide(&records[1]).unwrap(), Replayed::WithoutBeginning);
    let mut tampered = records[0].clone();
    tampered.spec.max_replicas = 3;
    assert!(matches!(Replay::default().decide(&tampered).unwrap(), Replayed::Different(_)));
    let foreign: Value =
        serde_json::from_str(&text.lines().next().unwrap().replacen("\"version\":2", "\"version\":1", 1))
            .unwrap();
    let foreign: Record = serde_json::from_value(foreign).unwrap();
    assert!(Replay::default().decide(&foreign).unwrap_err().contains("version 1 of the format"));
}
