//! The whole operator on the API server double, under the paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::apiserver::{ApiServer, Rule, Settings, Verb};
use e2e::clock::Clock as ServerClock;
use e2e::plant::{Plant, PlantSettings};
use futures::future::BoxFuture;
use plimsoll::operator::{Clock, Options, RunError, Signals, run};
use plimsoll::prometheus::{Config, Evaluation, Servers};
use plimsoll::signal::{Age, Answer, Moments, Reading};
use plimsoll::time::{Span, Time};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A total that every server tells, now and of the past.
#[derive(Clone)]
struct Demand(Arc<Mutex<Course>>);

struct Course {
    start: Time,
    began: Instant,
    /// Each value and since when it is told.
    values: Vec<(Time, f64)>,
    past: Past,
}

/// What becomes of questions about the past.
#[derive(Clone, Copy)]
enum Past {
    Told,
    Refused,
}

impl Demand {
    fn new(start: Time) -> Self {
        let values = vec![(start, 0.0)];
        Self(Arc::new(Mutex::new(Course { start, began: Instant::now(), values, past: Past::Told })))
    }

    fn set(&self, value: f64) {
        let mut course = self.0.lock().unwrap();
        let passed = Span::from_millis(course.began.elapsed().as_millis().try_into().unwrap());
        let now = course.start + passed;
        course.values.push((now, value));
    }

    fn tell_of_the_past(&self, past: Past) {
        self.0.lock().unwrap().past = past;
    }

    fn read(&self, at: Time) -> Reading {
        let course = self.0.lock().unwrap();
        let value = course.values.iter().rev().find(|(since, _)| *since <= at);
        let answer = value.map_or(Answer::NoSeries, |(_, value)| Answer::Value(*value));
        Reading { answer, warnings: Vec::new(), age: Age::Measured(Span::ZERO), covered_pods: None }
    }
}

impl Signals for Demand {
    fn evaluate<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Evaluation, at: Time) -> BoxFuture<'a, Reading> {
        let reading = self.read(at);
        Box::pin(async move { reading })
    }

    fn history<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a Evaluation,
        moments: Moments,
    ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
        let past = self.0.lock().unwrap().past;
        let readings = match past {
            Past::Told => Ok(moments.iter().map(|at| self.read(at)).collect()),
            Past::Refused => Err("Prometheus server \"main\": it keeps nothing".to_owned()),
        };
        Box::pin(async move { readings })
    }
}

/// What the operator's role grants, and nothing else: the role that is installed.
fn role() -> Vec<Rule> {
    let manifest = include_str!("../../deploy/rbac.yaml");
    let role = manifest.split("---").find(|object| object.contains("kind: ClusterRole\n")).unwrap();
    let role: Value = serde_saphyr::from_str(role).unwrap();
    let words = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let granted = |rule: &Value| {
        let (verbs, groups, resources) =
            (words(rule, "verbs"), words(rule, "apiGroups"), words(rule, "resources"));
        Rule::new(&borrowed(&verbs), &borrowed(&groups), &borrowed(&resources))
    };
    role["rules"].as_array().unwrap().iter().map(granted).collect()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

struct Bed {
    server: ApiServer,
    demand: Demand,
    stop: CancellationToken,
    _plant: Plant,
}

impl Bed {
    fn new() -> Self {
        let start: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let server =
            ApiServer::new(Settings { clock: ServerClock::starting_at(start), ..Settings::default() });
        server.bind("operator", "system:serviceaccount:plimsoll:operator", role());
        server.add_namespace("shop");
        let plant = Plant::start(&server, PlantSettings::default()).unwrap();
        let demand = Demand::new(Time::from_millis(start.as_millisecond()));
        Self { server, demand, stop: CancellationToken::new(), _plant: plant }
    }

    fn install(&self) {
        for definition in plimsoll::api::definitions() {
            let definition = serde_json::to_value(definition).unwrap();
            self.create("apiextensions.k8s.io", "v1", "customresourcedefinitions", "", definition);
        }
    }

    fn create(&self, group: &str, version: &str, plural: &str, namespace: &str, object: Value) {
        self.server.collection(group, version, plural).unwrap().create(namespace, object).unwrap();
    }

    fn put_workload(&self) {
        let deployment = json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}
        });
        self.create("apps", "v1", "deployments", "shop", deployment);
    }

    fn put_policy(&self) {
        self.put_policy_asking("main", "q");
    }

    fn put_policy_asking(&self, server: &str, query: &str) {
        let policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicas": 2, "maxReplicas": 20, "warmUp": {"source": "Declared"},
                "metrics": [{"name": "rps", "prometheus": {"server": server, "query": query}, "target": {"type": "AverageValue", "averageValue": "10"}}]}
        });
        self.create("plimsoll.dev", "v1alpha1", "scalingpolicies", "shop", policy);
    }

    fn begin(&self) -> JoinHandle<Result<(), RunError>> {
        self.begin_until(&self.stop)
    }

    fn begin_until(&self, stop: &CancellationToken) -> JoinHandle<Result<(), RunError>> {
        self.begin_with(Arc::new(self.demand.clone()), &[], stop)
    }

    fn begin_with(
        &self,
        signals: Arc<dyn Signals>,
        namespaces: &[&str],
        stop: &CancellationToken,
    ) -> JoinHandle<Result<(), RunError>> {
        let now = Time::from_millis(self.server.clock().now().as_millisecond());
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let options = Options { clock: Clock::simulated(now), namespaces, ..Options::new(signals) };
        tokio::spawn(run(self.server.client_with_token("operator"), options, stop.clone()))
    }

    fn replicas(&self) -> Value {
        self.server.collection("apps", "v1", "deployments").unwrap().get("shop", "web").unwrap()["spec"]["replicas"].clone()
    }

    fn status(&self) -> Value {
        self.server
            .collection("plimsoll.dev", "v1alpha1", "scalingpolicies")
            .unwrap()
            .get("shop", "web")
            .unwrap()["status"]
            .clone()
    }

    /// Status and reason of a condition.
    fn condition(&self, kind: &str) -> (String, String) {
        let status = self.status();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let condition =
            conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    fn events(&self) -> Vec<String> {
        let mut events = self.server.collection("", "v1", "events").unwrap().list("shop");
        events.retain(|event| event["involvedObject"]["kind"] == "ScalingPolicy");
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap().to_owned());
        events.into_iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

/// A bed with an operator, a policy, and four replicas, as demand has it.
async fn at_four() -> Bed {
    let bed = Bed::new();
    bed.install();
    bed.put_workload();
    bed.put_policy();
    bed.demand.set(38.0);
    bed.begin();
    seconds(60).await;
    assert_eq!(bed.replicas(), 4);
    bed
}

fn said(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_operator_with_the_least_role_follows_demand_up_and_down_and_then_writes_nothing() {
    let bed = Bed::new();
    bed.install();
    bed.put_workload();
    bed.demand.set(38.0);
    let running = bed.begin();
    bed.put_policy();
    seconds(60).await;
    assert_eq!(bed.replicas(), 4);
    assert_eq!(bed.condition("Ready"), said("True", "Ready"));
    bed.demand.set(95.0);
    seconds(60).await;
    assert_eq!(bed.replicas(), 10);
    assert_eq!(bed.status()["lastChanges"][0]["to"], 10);
    bed.demand.set(38.0);
    seconds(900).await;
    assert_eq!(bed.replicas(), 4);
    assert!(
        bed.events().iter().filter(|reason| *reason == "SuccessfulRescale").count() >= 2,
        "{:?}",
        bed.events()
    );
    let revision = bed.server.revision();
    seconds(86_400).await;
    assert!(
        bed.server.revision() - revision <= 1,
        "{} writes in a day of steady state",
        bed.server.revision() - revision
    );
    bed.stop.cancel();
    timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_verb_that_the_role_lacks_is_named_at_the_start() {
    for (verb, name, resource) in [
        (Verb::List, "list", "scalingpolicies"),
        (Verb::Watch, "watch", "scalingpolicies"),
        (Verb::List, "list", "deployments"),
        (Verb::Watch, "watch", "statefulsets"),
        (Verb::List, "list", "replicasets"),
        (Verb::Watch, "watch", "pods"),
    ] {
        let bed = Bed::new();
        bed.install();
        bed.server.deny(verb, resource);
        let error =
            timeout(Duration::from_secs(30), bed.begin()).await.unwrap().unwrap().unwrap_err().to_string();
        assert!(error.contains(&format!("grant it the verb {name} on {resource}")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_watch_is_dead_nothing_moves_and_the_status_says_so() {
    for resource in ["pods", "deployments", "replicasets"] {
        let bed = at_four().await;
        // The watch that runs ends within its minute, and another minute is borne.
        bed.server.deny(Verb::Watch, resource);
        bed.server.deny(Verb::List, resource);
        seconds(180).await;
        bed.demand.set(95.0);
        seconds(300).await;
        assert_eq!(bed.replicas(), 4, "growth on a cluster that nobody sees: {resource}");
        bed.demand.set(8.0);
        seconds(900).await;
        assert_eq!(bed.replicas(), 4, "pods removed from a cluster that nobody sees: {resource}");
        let sentence = format!("{resource} have not been watched for ");
        let status = bed.status().to_string();
        assert!(status.contains(&sentence), "{status}");
        bed.server.allow_again(Verb::Watch, resource);
        bed.server.allow_again(Verb::List, resource);
        bed.demand.set(95.0);
        seconds(180).await;
        assert_eq!(bed.replicas(), 10, "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_autoscalers_to_see_the_operator_works_all_the_same() {
    let bed = Bed::new();
    bed.install();
    bed.server.deny(Verb::Watch, "horizontalpodautoscalers");
    bed.put_workload();
    bed.put_policy();
    bed.demand.set(95.0);
    let _running = bed.begin();
    seconds(60).await;
    assert_eq!(bed.replicas(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_operator_waits_for_its_definition() {
    let bed = Bed::new();
    bed.put_workload();
    bed.demand.set(95.0);
    let running = bed.begin();
    seconds(300).await;
    assert!(!running.is_finished());
    bed.install();
    bed.put_policy();
    seconds(60).await;
    assert_eq!(bed.replicas(), 10);
}

#[tokio::test(start_paused = true)]
async fn verbs_lost_later_are_told_and_scaling_goes_on_when_they_return() {
    let bed = at_four().await;
    bed.server.deny(Verb::Patch, "deployments/scale");
    bed.demand.set(95.0);
    seconds(60).await;
    assert_eq!(
        (bed.replicas(), bed.condition("AbleToScale")),
        (json!(4), said("False", "FailedUpdateScale"))
    );
    assert_eq!(bed.events().last().map(String::as_str), Some("FailedRescale"));
    bed.server.allow_again(Verb::Patch, "deployments/scale");
    seconds(30).await;
    assert_eq!((bed.replicas(), bed.condition("AbleToScale").0), (json!(10), "True".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn beside_an_autoscaler_nothing_is_written_until_it_goes() {
    let bed = Bed::new();
    bed.install();
    bed.put_workload();
    bed.put_policy();
    bed.demand.set(95.0);
    let autoscaler = json!({"metadata": {"name": "web"}, "spec": {
        "maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    bed.create("autoscaling", "v2", "horizontalpodautoscalers", "shop", autoscaler);
    let _running = bed.begin();
    seconds(120).await;
    assert_eq!((bed.replicas(), bed.condition("AbleToScale")), (json!(4), said("False", "RivalAutoscaler")));
    bed.server
        .collection("autoscaling", "v2", "horizontalpodautoscalers")
        .unwrap()
        .delete("shop", "web", None)
        .unwrap();
    seconds(60).await;
    assert_eq!(bed.replicas(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_goes_and_comes_back_is_followed_again() {
    let bed = Bed::new();
    bed.install();
    bed.put_policy();
    bed.demand.set(95.0);
    let _running = bed.begin();
    seconds(60).await;
    assert_eq!(bed.condition("AbleToScale"), said("False", "FailedGetScale"));
    assert_eq!(bed.events(), ["FailedGetScale"]);
    bed.put_workload();
    seconds(60).await;
    assert_eq!(bed.replicas(), 10);
    assert_eq!(bed.condition("AbleToScale").0, "True");
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_nothing_by_itself_and_remembers_its_changes() {
    let bed = Bed::new();
    bed.install();
    bed.put_workload();
    bed.put_policy();
    bed.demand.set(95.0);
    let stop = CancellationToken::new();
    let running = bed.begin_until(&stop);
    seconds(600).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let (revision, status) = (bed.server.revision(), bed.status());
    let changes = status["lastChanges"].clone();
    let _running = bed.begin();
    seconds(200).await;
    assert_eq!(bed.status(), status);
    assert_eq!(bed.server.revision(), revision);
    bed.demand.set(150.0);
    seconds(60).await;
    assert_eq!(bed.replicas(), 15);
    assert_eq!(bed.status()["lastChanges"].as_array().unwrap().last(), changes.as_array().unwrap().last());
}

/// Seconds from a fall of demand to the end of the scale-in that follows, with or without a restart in the middle of
/// the window, and the most that was said of the past meanwhile.
async fn scale_in_after(restart: bool, past: Past) -> (u64, String) {
    let bed = Bed::new();
    bed.install();
    bed.put_workload();
    bed.put_policy();
    bed.demand.set(95.0);
    bed.demand.tell_of_the_past(past);
    let mut stop = CancellationToken::new();
    let mut running = bed.begin_until(&stop);
    seconds(1800).await;
    assert_eq!(bed.replicas(), 10);
    bed.demand.set(60.0);
    seconds(200).await;
    if restart {
        stop.cancel();
        running.await.unwrap().unwrap();
        stop = CancellationToken::new();
        running = bed.begin_until(&stop);
    }
    let mut said = String::new();
    for second in 200..3000 {
        if bed.replicas() != 10 {
            stop.cancel();
            running.await.unwrap().unwrap();
            let status = bed.status().to_string();
            return (second, if status.contains("history") { status } else { said });
        }
        let status = bed.status().to_string();
        if status.contains("history") {
            said = status;
        }
        seconds(1).await;
    }
    panic!("nothing is removed: {}", bed.status());
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_a_window_delays_no_scale_in_while_the_past_is_told() {
    let (without, said) = scale_in_after(false, Past::Told).await;
    assert!((280..600).contains(&without) && said.is_empty(), "{without}: {said}");
    let (told, said) = scale_in_after(true, Past::Told).await;
    assert!(told.abs_diff(without) <= 15, "{told} s with a restart, {without} s without");
    assert!(said.contains("history before the operator's start was read back to"), "{said}");
    let (refused, said) = scale_in_after(true, Past::Refused).await;
    assert!((500..545).contains(&refused), "{refused} s: one window after the restart");
    assert!(
        said.contains("HistoryUnknown")
            && said.contains("history could not be read, so nothing is removed before"),
        "{said}"
    );
    assert!(said.contains("it keeps nothing"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_of_one_namespace_needs_no_more_and_leaves_the_others_alone() {
    let bed = Bed::new();
    bed.install();
    let rules = role().into_iter().map(|rule| rule.in_namespace("shop")).collect();
    bed.server.bind("operator", "system:serviceaccount:shop:operator", rules);
    bed.put_workload();
    bed.put_policy();
    bed.demand.set(95.0);
    let everywhere =
        timeout(Duration::from_secs(30), bed.begin()).await.unwrap().unwrap().unwrap_err().to_string();
    assert!(everywhere.contains("may not list scalingpolicies"), "{everywhere}");
    let running = bed.begin_with(Arc::new(bed.demand.clone()), &["shop"], &bed.stop);
    seconds(60).await;
    assert!(!running.is_finished());
    assert_eq!(bed.replicas(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_server_or_query_that_cannot_be_asked_moves_nothing_and_is_told_in_words() {
    for (server, query, words) in [
        (
            "other",
            "q",
            "there is no Prometheus server \"other\" in the operator's configuration; it has closed, main",
        ),
        ("closed", "q", "policies in namespace \"shop\" may not use Prometheus server \"closed\""),
        ("main", "sum(rate(", "the query is not usable: unclosed left parenthesis"),
    ] {
        let bed = Bed::new();
        bed.install();
        bed.put_workload();
        bed.put_policy_asking(server, query);
        let config = "prometheusServers: [{name: main, url: 'http://127.0.0.1:9'}, {name: closed, url: 'http://127.0.0.1:9', allowedNamespaces: [bank]}]";
        let servers = Servers::new(Config::from_yaml(config).unwrap()).unwrap();
        let _running = bed.begin_with(Arc::new(servers), &[], &bed.stop);
        seconds(60).await;
        assert_eq!((bed.replicas(), bed.condition("Ready").0), (json!(4), "False".to_owned()));
        assert_eq!(bed.condition("ScalingActive"), said("False", "FailedGetExternalMetric"));
        let status = bed.status().to_string();
        assert!(status.replace("\\\"", "\"").contains(words), "{status}");
    }
}
