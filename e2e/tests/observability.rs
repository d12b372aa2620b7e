//! Alerts and the dashboard: what they ask for exists, answers, and alerts when it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use e2e::bed::{Bed, BedError, Floor, OperatorOptions, Stage, Workload, condition};
use e2e::dashboard::{series, svg};
use e2e::real::helm::repository;
use e2e::real::program::Program;
use e2e::real::{Prometheus, PrometheusOptions, Target, loopback_client, unless_missing};
use kube::Api;
use kube::api::PostParams;
use plimsoll::api::{ConnectionBudget, ScalingPolicy};
use plimsoll::prometheus::{Config, Statistics};
use plimsoll::telemetry::Metrics;
use regex::Regex;
use serde_json::{Value, json};
use tokio::time::sleep;

const ALERTS: &str = "charts/plimsoll/files/alerts.yaml";
/// Grafana's grid is this wide; so many of its rows fill a screen of 1080 lines.
const COLUMNS: u64 = 24;
const ROWS: u64 = 24;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

static DASHBOARD: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&read("charts/plimsoll/files/dashboard.json")).unwrap());

/// The series that the operator exposes, as Prometheus names them.
fn exposed() -> BTreeSet<String> {
    let metrics = Metrics::new();
    metrics.publish_queries(Statistics::default);
    // What has never happened is not exposed.
    metrics.show_budget("orders-db", &[("limit", 1)]);
    metrics.scale_written(Ok(()));
    let text = metrics.text().unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    names
}

fn panels() -> Vec<&'static Value> {
    DASHBOARD["panels"].as_array().unwrap().iter().collect()
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A query with the dashboard's variables filled in.
fn filled(query: &str) -> String {
    let variables: Vec<(String, String)> = DASHBOARD["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|variable| variable["type"] == "textbox")
        .map(|variable| (format!("${}", words(&variable["name"])), words(&variable["query"]).to_owned()))
        .collect();
    let query = variables.iter().fold(query.to_owned(), |query, (name, text)| query.replace(name, text));
    query.replace("$namespace", ".*").replace("$policy", ".*")
}

/// Each panel's title with a query of it.
fn queries() -> Vec<(String, String)> {
    let targets = panels().into_iter().flat_map(|panel| {
        panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| (words(&panel["title"]), words(&target["expr"])))
    });
    let annotations = DASHBOARD["annotations"]["list"].as_array().unwrap();
    let annotated = annotations.iter().map(|one| (words(&one["name"]), words(&one["expr"])));
    targets.chain(annotated).map(|(title, query)| (title.to_owned(), filled(query))).collect()
}

#[test]
fn promtool_finds_nothing_wrong_with_the_alerts_and_each_fires_when_it_should() {
    let promtool = match Program::Promtool.find() {
        Ok(promtool) => promtool,
        Err(missing) => return println!("skipped: {missing}"),
    };
    for arguments in [["check", "rules", ALERTS], ["test", "rules", "e2e/tests/data/alerts.yaml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(repository()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}

#[test]
fn every_alert_is_tried_and_says_how_bad_what_and_where_to_read_on() {
    let rules: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    let tests = read("e2e/tests/data/alerts.yaml");
    let alerts: Vec<&Value> = rules["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(alerts.len() > 15);
    for alert in alerts {
        let name = words(&alert["alert"]);
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is not tried");
        assert!(["warning", "critical"].contains(&words(&alert["labels"]["severity"])), "{name}");
        for annotation in ["summary", "description", "runbook_url"] {
            assert!(!words(&alert["annotations"][annotation]).is_empty(), "{name}: {annotation}");
        }
    }
}

#[test]
fn alerts_and_dashboard_ask_only_for_metrics_that_the_operator_exposes() {
    let exposed = exposed();
    let named = Regex::new(r"plimsoll_[a-z_]+").unwrap();
    let rules: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let alerts = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    let alerts = alerts.map(|alert| (words(&alert["alert"]).to_owned(), words(&alert["expr"]).to_owned()));
    for (what, query) in alerts.chain(queries()) {
        for name in named.find_iter(&query) {
            assert!(exposed.contains(name.as_str()), "{what} asks for {}", name.as_str());
        }
    }
}

#[test]
fn the_dashboard_is_one_screen_without_gaps_in_its_description() {
    for field in ["uid", "title", "description"] {
        assert!(!words(&DASHBOARD[field]).is_empty(), "{field}");
    }
    assert!(DASHBOARD["schemaVersion"].as_u64().unwrap() >= 39);
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels() {
        let title = words(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        assert!(!words(&panel["description"]).is_empty(), "{title} says what it shows");
        assert!(["stat", "timeseries"].contains(&words(&panel["type"])), "{title}");
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= COLUMNS && at("y") + at("h") <= ROWS, "{title} is off the screen");
        for cell in
            (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert(cell), "{title} lies on another panel");
        }
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(words(&target["datasource"]["uid"]), "${datasource}", "{title}");
            assert!(references.insert(words(&target["refId"])), "{title}: a refId is taken");
        }
    }
    let titles: Vec<_> = panels().iter().map(|panel| words(&panel["title"])).collect();
    for wanted in [
        "Replicas",
        "Signals against their targets",
        "Connections against the ceiling",
        "Downstream p99",
        "Cache miss rate",
        "Error budget burns",
        "Floor by forecast",
        "Headroom",
        "Workload findings",
    ] {
        assert!(titles.contains(&wanted), "{wanted} in {titles:?}");
    }
}

/// Now, as Prometheus counts.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The dashboard with what a Prometheus server knows since then.
async fn draw(url: &str, begun: u64) -> String {
    let client = loopback_client().unwrap();
    let mut answers = BTreeMap::new();
    let targets = panels().into_iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    for expression in targets.map(|target| words(&target["expr"])) {
        let form = [
            ("query", filled(expression)),
            ("start", begun.to_string()),
            ("end", now().to_string()),
            ("step", "1".to_owned()),
        ];
        let answer = client.post(format!("{url}/api/v1/query_range")).form(&form).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        answers.insert(expression, series(&answer));
    }
    svg(&DASHBOARD, |expression| answers.get(expression).cloned().unwrap_or_default())
}

/// A service held by a shared database, with a guard on latency and one on the cache, and an error budget that burns: something
/// to see in each panel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_dashboard_has_an_answer_from_the_operators_own_metrics() {
    let bed = match Bed::start(Floor::Double, &[]).await {
        Err(BedError::Start(error)) => {
            assert!(unless_missing::<()>(Err(error)).unwrap().is_none());
            return;
        }
        started => started.unwrap(),
    };
    let stage = Stage::set(&bed, "shop", Workload::of(10)).await.unwrap();
    stage.load(40.0).await.unwrap();
    bed.exporter().gauge("db_p99", &[], 0.3);
    bed.exporter().gauge("cache_misses", &[], 0.2);
    bed.exporter().gauge("failing_share", &[], 0.02);
    for metric in ["db_p99", "cache_misses", "failing_share"] {
        bed.prometheus().wait_for(metric, |values| !values.is_empty()).await.unwrap();
    }
    let budget: ConnectionBudget = serde_json::from_value(json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "orders-db"},
        "spec": {"limit": {"maxConnections": 100}, "reserved": 5},
    }))
    .unwrap();
    let budgets: Api<ConnectionBudget> = Api::all(bed.client().await.unwrap());
    budgets.create(&PostParams::default(), &budget).await.unwrap();
    let guard = |name: &str, query: &str, threshold: &str| json!({"name": name, "prometheus": {"query": query}, "threshold": threshold, "action": "BlockScaleDown"});
    stage
        .declare(&json!({"spec": {
            "ceilings": {"connections": [{"name": "orders-db", "budgetRef": {"name": "orders-db"}, "perPod": 10}]},
            "guards": [guard("db-p99", "max(db_p99)", "0.5"), guard("cache-miss", "max(cache_misses)", "0.5")],
            "slo": {"objectivePercent": "99.9", "enforcement": "Observe",
                "prometheus": {"query": "max(avg_over_time(failing_share[$window]))"}},
        }}))
        .await
        .unwrap();
    let options = OperatorOptions {
        namespaces: Vec::new(),
        servers: Config::single(&bed.prometheus().url()),
        ..stage.options()
    };
    let operator = stage.operator_with(options).await.unwrap();
    let scraped = PrometheusOptions {
        targets: vec![Target::new("plimsoll", operator.address())],
        ..PrometheusOptions::default()
    };
    let prometheus = Prometheus::start_with(scraped).await.unwrap();
    let begun = now();
    // Some pods go first, so that it is known how long they hold their connections.
    stage.settled(4).await.unwrap();
    stage.load(300.0).await.unwrap();
    let held = |policy: &ScalingPolicy| {
        condition(policy, "ScalingLimited").is_some_and(|one| one.reason == "ConnectionBudget")
    };
    stage.until("held by the budget", held).await.unwrap();

    let asked = queries();
    assert!(asked.len() > 15, "{asked:?}");
    for (title, query) in asked {
        // A bottleneck moves only where latency is bad, forecasts need days, and headroom is learnt: no answer is an answer.
        let may_be_empty = title == "Bottleneck moved"
            || title == "Cache miss rate" && query.contains("signal=~")
            || query.contains("plimsoll_forecast_")
            || query.contains("plimsoll_signal_headroom_replicas");
        let answers = prometheus.wait_for(&query, |values| may_be_empty || !values.is_empty()).await;
        let answers = answers.unwrap_or_else(|error| panic!("{title}: {query}: {error}"));
        println!("{title}: {answers:?}");
    }
    // `make dashboard` keeps a picture, for which more has to happen.
    let kept = std::env::var("DASHBOARD_PICTURE");
    let story = [(300.0, 0.42, 12), (120.0, 0.3, 15), (160.0, 0.34, 10), (280.0, 0.45, 20)];
    for (load, p99, seconds) in story.into_iter().filter(|_| kept.is_ok()) {
        stage.load(load).await.unwrap();
        bed.exporter().gauge("db_p99", &[], p99);
        bed.exporter().gauge("cache_misses", &[], p99 / 2.0);
        sleep(Duration::from_secs(seconds)).await;
    }
    let picture = draw(&prometheus.url(), begun).await;
    assert!(picture.contains("orders-db") && picture.contains("<polyline"), "{picture}");
    if let Ok(path) = kept {
        fs::write(repository().join(path), picture).unwrap();
    }
}
