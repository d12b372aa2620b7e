//! Connection budgets, by the whole operator on the API server double, under the paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::time::Duration;

use e2e::apiserver::Verb;
use e2e::bed::{NAMESPACE, SimulatedBed};
use plimsoll::operator::{Election, RunError};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const BUDGETS: (&str, &str, &str) = ("plimsoll.dev", "v1alpha1", "connectionbudgets");

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// A shop with a budget of `limit` connections.
fn shop(limit: u32) -> SimulatedBed {
    let bed = SimulatedBed::new().unwrap();
    bed.put_budget("orders-db", &json!({"limit": {"maxConnections": limit}, "reserved": 0})).unwrap();
    bed
}

/// A service of `replicas` pods with 10 connections each, whose pods are replaced in place.
fn put_service(bed: &SimulatedBed, name: &str, replicas: u32, more: &Value) {
    let times = json!({"plant.test/startup-seconds": "3", "plant.test/drain-seconds": "8"});
    bed.put_workload(name, replicas, &times).unwrap();
    let recreate = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
    bed.edit(("apps", "v1", "deployments"), NAMESPACE, name, &recreate).unwrap();
    let mut ceiling = json!({"name": "orders-db", "budgetRef": {"name": "orders-db"}, "perPod": 10});
    for (field, value) in more.as_object().unwrap() {
        ceiling[field] = value.clone();
    }
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 15}});
    bed.put_policy(name, &json!({"behavior": behavior, "ceilings": {"connections": [ceiling]}})).unwrap();
}

/// A shop of 200 connections and two services of two pods each, with as much to do as they carry.
fn two_services() -> SimulatedBed {
    let bed = shop(200);
    for name in ["checkout", "reports"] {
        put_service(&bed, name, 2, &json!({}));
        bed.signals.set(name, 20.0);
    }
    bed
}

/// Stops an operator, which must end well.
async fn end(stop: &CancellationToken, operator: JoinHandle<Result<(), RunError>>) {
    stop.cancel();
    operator.await.unwrap().unwrap();
}

fn replicas(bed: &SimulatedBed, name: &str) -> u64 {
    bed.get("apps", "v1", "deployments", NAMESPACE, name)["spec"]["replicas"].as_u64().unwrap()
}

fn budget(bed: &SimulatedBed) -> Value {
    bed.get("plimsoll.dev", "v1alpha1", "connectionbudgets", "", "orders-db")["status"].clone()
}

fn granted(bed: &SimulatedBed, name: &str) -> u64 {
    let status = budget(bed);
    let holders = status["holders"].as_array().cloned().unwrap_or_default();
    holders
        .iter()
        .find(|holder| holder["name"] == name)
        .map_or(0, |holder| holder["granted"].as_u64().unwrap())
}

fn policy(bed: &SimulatedBed, name: &str) -> Value {
    bed.get("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, name)["status"].clone()
}

fn election(identity: &str) -> Election {
    Election { namespace: NAMESPACE.to_owned(), name: "plimsoll".to_owned(), identity: identity.to_owned() }
}

/// Pods that exist, those that end included.
/// The versions of the budget and of the policy of `checkout`, each write of which makes another.
fn versions(bed: &SimulatedBed) -> [Value; 2] {
    let budget = bed.get("plimsoll.dev", "v1alpha1", "connectionbudgets", "", "orders-db");
    let policy = bed.get("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, "checkout");
    [budget, policy].map(|object| object["metadata"]["resourceVersion"].clone())
}

fn pods(bed: &SimulatedBed) -> usize {
    bed.server.collection("", "v1", "pods").unwrap().list(NAMESPACE).len()
}

#[tokio::test(start_paused = true)]
async fn a_service_grows_as_far_as_the_budget_grants_and_says_who_holds_the_rest() {
    let bed = two_services();
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(30).await;
    assert_eq!((granted(&bed, "checkout"), granted(&bed, "reports")), (20, 20), "{}", budget(&bed));
    bed.signals.set("checkout", 300.0);
    seconds(90).await;
    assert_eq!(replicas(&bed, "checkout"), 18, "{}", policy(&bed, "checkout"));
    assert_eq!((granted(&bed, "checkout"), granted(&bed, "reports")), (180, 20));
    let status = policy(&bed, "checkout");
    assert_eq!(
        (&status["limitedBy"], &status["unmetReplicas"]),
        (&json!("connections/orders-db"), &json!(12))
    );
    let message = status["ceilings"][0]["reason"].as_str().unwrap();
    assert!(
        message.contains("30 replicas would reach 300 connections") && message.contains("reports holds 20"),
        "{message}"
    );
    let status = budget(&bed);
    assert_eq!((&status["granted"], &status["free"], &status["lent"]), (&json!(200), &json!(0), &json!(180)));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_lent_comes_back_when_its_owner_needs_it_and_never_more_is_held_than_there_is() {
    let bed = shop(200);
    put_service(&bed, "checkout", 2, &json!({"guaranteedReplicas": 4}));
    put_service(&bed, "reports", 2, &json!({"guaranteedReplicas": 10}));
    bed.signals.set("checkout", 300.0);
    bed.signals.set("reports", 20.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(60).await;
    // Floors are never lent: reports has 10 replicas' connections whether it uses them or not.
    assert_eq!((granted(&bed, "checkout"), granted(&bed, "reports")), (100, 100), "{}", budget(&bed));
    assert_eq!(replicas(&bed, "checkout"), 10);
    bed.signals.set("reports", 400.0);
    let mut most = 0;
    for _ in 0..900 {
        seconds(1).await;
        most = most.max(pods(&bed));
    }
    assert!(most <= 20, "{most} pods at 10 connections each, and 200 connections");
    // Floors of 40 and 100, and 60 more that both want.
    assert_eq!((replicas(&bed, "checkout"), replicas(&bed, "reports")), (7, 13), "{}", budget(&bed));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_weighted_share_is_taken_back_after_the_lease_and_given_on_only_when_its_pods_have_gone() {
    let bed = shop(200);
    put_service(&bed, "checkout", 2, &json!({"weight": 1}));
    put_service(&bed, "reports", 2, &json!({"weight": 3}));
    bed.signals.set("checkout", 300.0);
    bed.signals.set("reports", 20.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(60).await;
    assert_eq!(replicas(&bed, "checkout"), 18);
    bed.signals.set("reports", 400.0);
    let mut most = 0;
    for _ in 0..1200 {
        seconds(1).await;
        most = most.max(pods(&bed));
    }
    assert!(most <= 20, "{most} pods");
    // Beyond floors of 10 connections each, 180 are shared 1 to 3.
    assert_eq!((replicas(&bed, "checkout"), replicas(&bed, "reports")), (5, 15), "{}", budget(&bed));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn who_could_not_be_looked_at_for_a_while_is_granted_more_once_that_is_possible_again() {
    let bed = two_services();
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(30).await;
    bed.server.deny(Verb::List, "pods");
    bed.signals.set("checkout", 100.0);
    seconds(60).await;
    assert_eq!(granted(&bed, "checkout"), 20, "what nobody can look at is granted to nobody");
    bed.server.allow_again(Verb::List, "pods");
    seconds(60).await;
    assert_eq!((granted(&bed, "checkout"), replicas(&bed, "checkout")), (100, 10), "{}", budget(&bed));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_lowered_is_walked_down_to() {
    let bed = shop(200);
    put_service(&bed, "checkout", 2, &json!({}));
    bed.signals.set("checkout", 150.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(60).await;
    assert_eq!(replicas(&bed, "checkout"), 15);
    bed.edit(BUDGETS, "", "orders-db", &json!({"spec": {"limit": {"maxConnections": 120}}})).unwrap();
    seconds(20).await;
    let ready = |status: &Value, kind: &str| {
        let conditions = status["conditions"].as_array().unwrap().clone();
        let found = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
        (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(granted(&bed, "checkout"), 120, "{}", budget(&bed));
    seconds(180).await;
    assert_eq!(replicas(&bed, "checkout"), 12, "{}", policy(&bed, "checkout"));
    let events = bed.server.collection("events.k8s.io", "v1", "events").unwrap().list(NAMESPACE);
    let recalled: Vec<_> = events.iter().filter(|event| event["reason"] == "ConnectionsRecalled").collect();
    assert_eq!(recalled.len(), 1, "{events:?}");
    let told = recalled[0].to_string();
    assert!(
        told.contains("ConnectionBudget orders-db: its pods reach 150 connections")
            && told.contains("the limit fell"),
        "{told}"
    );
    assert_eq!(ready(&budget(&bed), "Ready"), ("True".to_owned(), "Ready".to_owned()));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn without_its_budget_or_without_leave_a_service_keeps_its_count_and_says_why() {
    let bed = SimulatedBed::new().unwrap();
    put_service(&bed, "checkout", 3, &json!({}));
    bed.signals.set("checkout", 150.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(40).await;
    assert_eq!(replicas(&bed, "checkout"), 3);
    let message = policy(&bed, "checkout")["ceilings"][0]["reason"].as_str().unwrap().to_owned();
    assert!(message.contains("ConnectionBudget orders-db does not exist"), "{message}");
    let spec =
        json!({"limit": {"maxConnections": 200}, "allowedNamespaces": {"matchLabels": {"team": "orders"}}});
    bed.put_budget("orders-db", &spec).unwrap();
    seconds(90).await;
    let message = policy(&bed, "checkout")["ceilings"][0]["reason"].as_str().unwrap().to_owned();
    assert!(message.contains("namespace shop has none of the labels"), "{message}");
    assert_eq!(granted(&bed, "checkout"), 0, "who may not draw takes nothing from those who may");
    bed.edit(("", "v1", "namespaces"), "", NAMESPACE, &json!({"metadata": {"labels": {"team": "orders"}}}))
        .unwrap();
    seconds(60).await;
    assert!(replicas(&bed, "checkout") >= 14, "{}", policy(&bed, "checkout"));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_cluster_sees_no_writes() {
    let bed = shop(200);
    put_service(&bed, "checkout", 2, &json!({}));
    bed.signals.set("checkout", 20.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(300).await;
    let before = versions(&bed);
    seconds(3600).await;
    assert_eq!(versions(&bed), before);
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_back_for_long_and_cannot_be_given_is_told_once() {
    let bed = shop(200);
    put_service(&bed, "checkout", 10, &json!({}));
    let floor = json!({"spec": {"minReplicas": 10}});
    bed.edit(("plimsoll.dev", "v1alpha1", "scalingpolicies"), NAMESPACE, "checkout", &floor).unwrap();
    bed.signals.set("checkout", 100.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(60).await;
    let lower = json!({"spec": {"limit": {"maxConnections": 50}}});
    bed.edit(("plimsoll.dev", "v1alpha1", "connectionbudgets"), "", "orders-db", &lower).unwrap();
    // The deadline of the recall passes first.
    seconds(420).await;
    let told = policy(&bed, "checkout").to_string();
    assert!(told.contains("has been asked back since 2026-"), "{told}");
    let before = versions(&bed);
    seconds(7200).await;
    assert_eq!(versions(&bed), before, "{}", policy(&bed, "checkout"));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_no_pod_accounts_for_count_as_taken_and_are_named() {
    let bed = SimulatedBed::new().unwrap();
    let in_use =
        json!({"limit": {"maxConnections": 200}, "inUse": {"prometheus": {"server": "pg", "query": "q"}}});
    bed.put_budget("orders-db", &in_use).unwrap();
    put_service(&bed, "checkout", 4, &json!({}));
    bed.signals.set("checkout", 40.0);
    bed.signals.set("pg", 40.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(30).await;
    assert_eq!(budget(&bed)["others"], 0, "from the first reading on pods account for what they hold");
    // Somebody takes 90 connections; the pods take what they say.
    bed.signals.set("checkout", 300.0);
    for _ in 0..240 {
        let own = 10 * u32::try_from(pods(&bed)).unwrap();
        bed.signals.set("pg", f64::from(90 + own));
        seconds(1).await;
    }
    let status = budget(&bed);
    let attributed = status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|condition| condition["type"] == "Attributed")
        .unwrap();
    assert_eq!(attributed["status"], "False", "{status}");
    assert_eq!(replicas(&bed, "checkout"), 11, "{status}");
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_takes_over_what_was_granted_and_grants_on() {
    let bed = two_services();
    bed.signals.set("checkout", 100.0);
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let one = bed.operator(Some(election("one")), &first);
    seconds(90).await;
    let two = bed.operator(Some(election("two")), &second);
    seconds(30).await;
    assert_eq!((granted(&bed, "checkout"), granted(&bed, "reports")), (100, 20));
    one.abort();
    bed.signals.set("reports", 150.0);
    let mut most = 0;
    for _ in 0..240 {
        seconds(1).await;
        most = most.max(pods(&bed));
    }
    assert!(most <= 20, "{most} pods");
    assert_eq!((replicas(&bed, "checkout"), replicas(&bed, "reports")), (10, 10), "{}", budget(&bed));
    first.cancel();
    second.cancel();
    two.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_successor_counts_a_workload_without_a_policy_in_every_budget_that_it_draws_on() {
    let bed = shop(400);
    bed.put_budget("reports-db", &json!({"limit": {"maxConnections": 200}, "reserved": 0})).unwrap();
    for name in ["checkout", "reports"] {
        put_service(&bed, name, 10, &json!({}));
        let ceilings = ["orders-db", "reports-db"]
            .map(|budget| json!({"name": budget, "budgetRef": {"name": budget}, "perPod": 10}));
        let both = json!({"spec": {"ceilings": {"connections": ceilings}}});
        bed.edit(("plimsoll.dev", "v1alpha1", "scalingpolicies"), NAMESPACE, name, &both).unwrap();
        bed.signals.set(name, 100.0);
    }
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(90).await;
    end(&stop, operator).await;
    let policies = bed.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").unwrap();
    policies.delete(NAMESPACE, "reports", None).unwrap();
    bed.signals.set("checkout", 300.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(300).await;
    assert_eq!(replicas(&bed, "reports"), 10);
    assert_eq!(replicas(&bed, "checkout"), 10, "both databases are full: {}", budget(&bed));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_cannot_be_read_stops_growth_and_removes_no_pod_not_even_after_a_restart() {
    let bed = SimulatedBed::new().unwrap();
    let limit = json!({"prometheus": {"server": "pg", "query": "q"}, "lastKnownSeconds": 60, "assumed": 50});
    bed.put_budget("orders-db", &json!({"limit": limit})).unwrap();
    put_service(&bed, "checkout", 4, &json!({}));
    bed.signals.set("checkout", 100.0);
    bed.signals.set("pg", 200.0);
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(90).await;
    assert_eq!((replicas(&bed, "checkout"), granted(&bed, "checkout")), (10, 100), "{}", budget(&bed));
    bed.signals.silence("pg");
    seconds(120).await;
    bed.signals.set("checkout", 150.0);
    seconds(600).await;
    assert_eq!(replicas(&bed, "checkout"), 10, "{}", policy(&bed, "checkout"));
    end(&stop, operator).await;
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(600).await;
    assert_eq!((replicas(&bed, "checkout"), granted(&bed, "checkout")), (10, 100), "{}", budget(&bed));
    bed.signals.set("pg", 200.0);
    seconds(90).await;
    assert_eq!(replicas(&bed, "checkout"), 15, "{}", policy(&bed, "checkout"));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_not_lowered_below_growth_that_may_still_land() {
    let bed = shop(200);
    put_service(&bed, "checkout", 2, &json!({}));
    bed.signals.set("checkout", 20.0);
    let stop = CancellationToken::new();
    // Longer than the operator waits for an answer.
    let operator = bed.operator_through(slow_to_scale(&bed, Duration::from_secs(8)), None, &stop);
    seconds(30).await;
    bed.signals.set("checkout", 150.0);
    let mut waited = 0;
    while granted(&bed, "checkout") < 150 {
        assert!(waited < 300, "{}", budget(&bed));
        waited += 1;
        sleep(Duration::from_millis(100)).await;
    }
    bed.edit(BUDGETS, "", "orders-db", &json!({"spec": {"limit": {"maxConnections": 30}}})).unwrap();
    // As far as the rates of growth let it go at once.
    let next = 6;
    while replicas(&bed, "checkout") == 2 {
        let reach = 10 * next;
        assert!(granted(&bed, "checkout") >= reach, "{}", budget(&bed));
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(replicas(&bed, "checkout"), next);
    assert_eq!(budget(&bed)["limit"], 30, "the limit was read while the growth was under way");
    seconds(600).await;
    assert_eq!((replicas(&bed, "checkout"), granted(&bed, "checkout")), (3, 30), "{}", budget(&bed));
    end(&stop, operator).await;
}

/// What happens to the policy of `reports` while no pod can be looked at, after which it is deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LastWord {
    /// Its pods take twice as much from now on; the operator knew it before.
    Edited,
    /// The same, and the operator that knew it ends; one that stood by takes over.
    EditedForASuccessor,
    /// It was not there before.
    Created,
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_said_before_it_was_deleted_counts_also_where_no_pod_could_be_looked_at() {
    for last_word in [LastWord::Edited, LastWord::EditedForASuccessor, LastWord::Created] {
        let bed = shop(400);
        let is_new = last_word == LastWord::Created;
        for name in ["checkout", "reports"] {
            put_service(&bed, name, 10, &json!({}));
            bed.signals.set(name, 100.0);
        }
        let policies = bed.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").unwrap();
        if is_new {
            policies.delete(NAMESPACE, "reports", None).unwrap();
        }
        let stop = CancellationToken::new();
        let first = bed.operator(Some(election("first")), &stop);
        seconds(60).await;
        let second = bed.operator(Some(election("second")), &stop);
        seconds(30).await;
        for verb in [Verb::List, Verb::Watch] {
            bed.server.deny(verb, "pods");
        }
        let operator = if last_word == LastWord::EditedForASuccessor {
            first.abort();
            second
        } else {
            second.abort();
            first
        };
        // The watches that run end within their minute, and another minute is borne.
        seconds(150).await;
        let ceiling = json!({"name": "orders-db", "budgetRef": {"name": "orders-db"}, "perPod": 20});
        let ceilings = json!({"ceilings": {"connections": [ceiling]}});
        if is_new {
            bed.put_policy("reports", &ceilings).unwrap();
        } else {
            let edit = json!({"spec": ceilings});
            bed.edit(("plimsoll.dev", "v1alpha1", "scalingpolicies"), NAMESPACE, "reports", &edit).unwrap();
        }
        seconds(20).await;
        policies.delete(NAMESPACE, "reports", None).unwrap();
        bed.signals.set("checkout", 400.0);
        seconds(20).await;
        for verb in [Verb::List, Verb::Watch] {
            bed.server.allow_again(verb, "pods");
        }
        seconds(300).await;
        assert_eq!(replicas(&bed, "reports"), 10);
        assert_eq!(replicas(&bed, "checkout"), 20, "{last_word:?}: {}", budget(&bed));
        end(&stop, operator).await;
    }
}

/// A way to the API server on which each change of a count arrives late.
fn slow_to_scale(bed: &SimulatedBed, delay: Duration) -> kube::Client {
    let service = bed.operators_way();
    let way = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let service = service.clone();
        async move {
            if request.method() == http::Method::PATCH && request.uri().path().ends_with("/scale") {
                // It arrives, whether or not anybody still waits for the answer.
                let late = tokio::spawn(async move {
                    sleep(delay).await;
                    service.oneshot(request).await
                });
                return late.await.unwrap();
            }
            service.oneshot(request).await
        }
    });
    kube::Client::new(way, "default")
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_has_not_told_is_seen_before_more_is_granted() {
    let bed = two_services();
    let stop = CancellationToken::new();
    let operator = bed.operator(None, &stop);
    seconds(30).await;
    for resource in ["deployments", "replicasets", "pods"] {
        bed.server.deny(Verb::Watch, resource);
    }
    // The watches that run end within their minute, and another minute is borne.
    seconds(35).await;
    bed.edit(("apps", "v1", "deployments"), NAMESPACE, "reports", &json!({"spec": {"replicas": 10}}))
        .unwrap();
    bed.signals.set("checkout", 300.0);
    let mut most = 0;
    for _ in 0..60 {
        seconds(1).await;
        most = most.max(granted(&bed, "checkout"));
    }
    assert_eq!(most, 100, "{}", budget(&bed));
    end(&stop, operator).await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_grants_nothing_more_until_what_its_predecessor_sent_has_landed() {
    let bed = shop(200);
    put_service(&bed, "checkout", 2, &json!({}));
    bed.signals.set("checkout", 20.0);
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let one = bed.operator(Some(election("one")), &first);
    seconds(90).await;
    let two = bed.operator(Some(election("two")), &second);
    seconds(30).await;
    one.abort();
    bed.signals.set("checkout", 100.0);
    let leads = || {
        bed.get("coordination.k8s.io", "v1", "leases", NAMESPACE, "plimsoll")["spec"]["holderIdentity"]
            .clone()
    };
    while leads() != "two" {
        sleep(Duration::from_millis(100)).await;
    }
    let led = Instant::now();
    while granted(&bed, "checkout") < 100 {
        assert!(led.elapsed() < Duration::from_secs(60), "{}", budget(&bed));
        sleep(Duration::from_millis(100)).await;
    }
    assert!(led.elapsed() >= Duration::from_secs(10), "granted after {:?}", led.elapsed());
    first.cancel();
    second.cancel();
    two.await.unwrap().unwrap();
}
