//! Two operators on the API server double, under the paused clock: one acts, and never both.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail as tests do")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::apiserver::{ApiServer, ResourceRequest, Settings, Verb};
use e2e::clock::Clock as ServerClock;
use e2e::plant::{Plant, PlantSettings};
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use plimsoll::operator::{Clock, Election, Options, RunError, Signals, run};
use plimsoll::prometheus::Evaluation;
use plimsoll::signal::{Age, Answer, Moments, Reading};
use plimsoll::time::{Span, Time};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A total that every server tells.
#[derive(Clone, Default)]
struct Demand(Arc<Mutex<f64>>);

impl Signals for Demand {
    fn evaluate<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Evaluation, _: Time) -> BoxFuture<'a, Reading> {
        let value = *self.0.lock().unwrap();
        let (answer, age) = (Answer::Value(value), Age::Measured(Span::ZERO));
        Box::pin(async move { Reading { answer, warnings: Vec::new(), age, covered_pods: None } })
    }

    fn history<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a Evaluation,
        _: Moments,
    ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
        Box::pin(async { Err("it keeps nothing".to_owned()) })
    }
}

/// A write that was accepted.
#[derive(Clone, Debug, PartialEq)]
struct Accepted {
    at: Instant,
    by: String,
    what: String,
}

struct Bed {
    server: ApiServer,
    demand: Demand,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    _plant: Plant,
}

/// One operator and its connection to the API server.
struct Operator {
    name: String,
    cut: Arc<AtomicBool>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
}

impl Bed {
    fn new() -> Self {
        let start = "2026-03-01T12:00:00Z".parse().unwrap();
        let server =
            ApiServer::new(Settings { clock: ServerClock::starting_at(start), ..Settings::default() });
        server.add_namespace("shop");
        server.add_namespace("plimsoll-system");
        let plant = Plant::start(&server, PlantSettings::default()).unwrap();
        let bed = Self { server, demand: Demand::default(), accepted: Arc::default(), _plant: plant };
        for definition in plimsoll::api::definitions() {
            let definition = serde_json::to_value(definition).unwrap();
            bed.create("apiextensions.k8s.io", "v1", "customresourcedefinitions", "", definition);
        }
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}
        });
        bed.create("apps", "v1", "deployments", "shop", deployment);
        let policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicas": 2, "maxReplicas": 90, "warmUp": {"source": "Declared"},
                "metrics": [{"name": "rps", "prometheus": {"server": "main", "query": "q"}, "target": {"type": "AverageValue", "averageValue": "10"}}]}
        });
        bed.create("plimsoll.dev", "v1alpha1", "scalingpolicies", "shop", policy);
        bed.want(4);
        bed
    }

    fn create(&self, group: &str, version: &str, plural: &str, namespace: &str, object: Value) {
        self.server.collection(group, version, plural).unwrap().create(namespace, object).unwrap();
    }

    /// Demand for so many replicas.
    fn want(&self, replicas: u32) {
        *self.demand.0.lock().unwrap() = f64::from(replicas) * 10.0 - 1.0;
    }

    fn begin(&self, name: &str) -> Operator {
        let (cut, stop) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        let now = Time::from_millis(self.server.clock().now().as_millisecond());
        let election = Election {
            namespace: "plimsoll-system".to_owned(),
            name: "plimsoll".to_owned(),
            identity: name.to_owned(),
        };
        let options = Options {
            clock: Clock::simulated(now),
            instance: name.to_owned(),
            election: Some(election),
            ..Options::new(Arc::new(self.demand.clone()))
        };
        let running = tokio::spawn(run(self.client(name, &cut), options, stop.clone()));
        Operator { name: name.to_owned(), cut, stop, running }
    }

    /// A client whose connection can be cut, and whose accepted writes are noted.
    fn client(&self, name: &str, cut: &Arc<AtomicBool>) -> Client {
        let (service, accepted) = (self.server.service(), self.accepted.clone());
        let (cut, by) = (cut.clone(), name.to_owned());
        let wire = tower::service_fn(move |request: Request<Body>| {
            let (service, accepted, cut, by) = (service.clone(), accepted.clone(), cut.clone(), by.clone());
            async move {
                if cut.load(Ordering::SeqCst) {
                    // As a connection that is read in vain for as long as the operator's client is set to.
                    seconds(90).await;
                    return Err(std::io::Error::from(std::io::ErrorKind::TimedOut));
                }
                let resource = ResourceRequest::parse(request.method(), request.uri());
                let write = resource
                    .filter(|resource| !matches!(resource.verb, Verb::Get | Verb::List | Verb::Watch));
                let response: Response<_> =
                    service.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
                if let Some(resource) = write.filter(|_| response.status().is_success()) {
                    let what = format!("{}/{}", resource.resource, resource.subresource);
                    accepted.lock().unwrap().push(Accepted { at: Instant::now(), by, what });
                }
                Ok(response)
            }
        });
        Client::new(wire, "default")
    }

    fn replicas(&self) -> Value {
        self.server.collection("apps", "v1", "deployments").unwrap().get("shop", "web").unwrap()["spec"]["replicas"]
            .clone()
    }

    fn status(&self) -> Value {
        let policies = self.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").unwrap();
        policies.get("shop", "web").unwrap()["status"].clone()
    }

    fn lease(&self) -> Value {
        let leases = self.server.collection("coordination.k8s.io", "v1", "leases").unwrap();
        leases.get("plimsoll-system", "plimsoll").unwrap()["spec"].clone()
    }

    /// What one operator wrote, the lease left out.
    fn written_by(&self, name: &str) -> Vec<Accepted> {
        let accepted = self.accepted.lock().unwrap();
        accepted
            .iter()
            .filter(|write| write.by == name && !write.what.starts_with("leases"))
            .cloned()
            .collect()
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn one_acts_and_the_other_waits_and_in_steady_state_only_the_lease_is_written() {
    let bed = Bed::new();
    let a = bed.begin("a");
    seconds(5).await;
    let b = bed.begin("b");
    bed.want(9);
    seconds(60).await;
    assert_eq!((bed.replicas(), bed.lease()["holderIdentity"].clone()), (json!(9), json!("a")));
    seconds(200).await;
    let before = bed.written_by("a").len();
    seconds(3600).await;
    assert_eq!(bed.written_by("a").len(), before);
    assert!(bed.written_by("b").is_empty(), "{:?}", bed.written_by("b"));
    let renewals =
        bed.accepted.lock().unwrap().iter().filter(|write| write.what.starts_with("leases")).count();
    assert!((1850..2000).contains(&renewals), "{renewals} renewals in an hour");
    assert!(!a.running.is_finished() && !b.running.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_at_once_and_its_changes_are_remembered() {
    let bed = Bed::new();
    let a = bed.begin("a");
    seconds(5).await;
    let _b = bed.begin("b");
    bed.want(9);
    seconds(60).await;
    a.stop.cancel();
    timeout(Duration::from_secs(20), a.running).await.unwrap().unwrap().unwrap();
    assert_eq!(bed.lease()["holderIdentity"], "");
    bed.want(15);
    seconds(25).await;
    assert_eq!((bed.replicas(), bed.lease()["holderIdentity"].clone()), (json!(15), json!("b")));
    let changes = bed.status()["lastChanges"].clone();
    assert_eq!((&changes[0]["to"], &changes[1]["to"]), (&json!(15), &json!(9)), "{changes}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_within_a_lease() {
    let bed = Bed::new();
    let a = bed.begin("a");
    seconds(5).await;
    let _b = bed.begin("b");
    seconds(60).await;
    a.running.abort();
    bed.want(8);
    seconds(14).await;
    assert_eq!(bed.replicas(), 4, "nobody knows yet that it died");
    seconds(40).await;
    assert_eq!((bed.replicas(), bed.lease()["leaseTransitions"].clone()), (json!(8), json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_the_other_begins_and_comes_back_as_the_second() {
    let bed = Bed::new();
    let a = bed.begin("a");
    seconds(5).await;
    let b = bed.begin("b");
    bed.want(9);
    seconds(60).await;
    a.cut.store(true, Ordering::SeqCst);
    bed.want(20);
    seconds(60).await;
    assert_eq!((bed.replicas(), bed.lease()["holderIdentity"].clone()), (json!(20), json!("b")));
    a.cut.store(false, Ordering::SeqCst);
    seconds(600).await;
    bed.want(30);
    seconds(60).await;
    assert_eq!((bed.replicas(), bed.lease()["holderIdentity"].clone()), (json!(30), json!("b")));
    let first = bed.written_by("b").first().unwrap().at;
    assert!(bed.written_by("a").iter().all(|write| write.at < first), "the old one wrote after the new one");
    // And back again, with what the other did remembered.
    b.running.abort();
    bed.want(40);
    seconds(120).await;
    assert_eq!((bed.replicas(), bed.lease()["holderIdentity"].clone()), (json!(40), json!("a")));
    assert_eq!(bed.status()["lastChanges"][1]["to"], 30);
    assert_eq!(a.name, "a");
}

#[tokio::test(start_paused = true)]
async fn a_lease_edited_or_deleted_by_hand_never_makes_two_leaders() {
    let bed = Bed::new();
    let _a = bed.begin("a");
    seconds(5).await;
    let _b = bed.begin("b");
    seconds(30).await;
    let leases = bed.server.collection("coordination.k8s.io", "v1", "leases").unwrap();
    let mut lease = leases.get("plimsoll-system", "plimsoll").unwrap();
    lease["metadata"]["labels"] = json!({"team": "platform"});
    leases.update("plimsoll-system", lease).unwrap();
    seconds(30).await;
    assert_eq!(bed.lease()["holderIdentity"], "a");
    leases.delete("plimsoll-system", "plimsoll", None).unwrap();
    bed.want(9);
    seconds(60).await;
    assert_eq!(bed.replicas(), 9);
    let (by_a, by_b) = (bed.written_by("a"), bed.written_by("b"));
    if let (Some(last), Some(first)) = (by_a.last(), by_b.first()) {
        assert!(last.at < first.at, "{by_a:?} {by_b:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_the_lease_nothing_is_scaled() {
    let bed = Bed::new();
    bed.server.deny(Verb::Create, "leases");
    let a = bed.begin("a");
    bed.want(9);
    seconds(120).await;
    assert_eq!(bed.replicas(), 4);
    bed.server.allow_again(Verb::Create, "leases");
    seconds(60).await;
    assert_eq!(bed.replicas(), 9);
    assert!(!a.running.is_finished());
}
