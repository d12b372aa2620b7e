//! Traces of an operator that is a process of its own, received as a collector receives them. Needs the feature `otel`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use e2e::cost::{DoubleFloor, Floor as _, Histogram, Size};
use e2e::real::loopback::{LoopbackServer, ReservedPort};
use e2e::real::process::{Sandbox, ServerProcess};
use e2e::real::{DEADLINE, loopback_client};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// What the collector asks of its senders, and what Prometheus asks of the operator.
const SECRETS: [&str; 2] = ["password-of-the-collector", "password-of-prometheus"];

type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// An operator under way, with the floor that it works on.
struct Operator {
    process: ServerProcess,
    address: String,
    sandbox: Sandbox,
    _floor: DoubleFloor,
    _port: ReservedPort,
}

impl Operator {
    /// Starts one with so many policies, whose workloads need more pods than they have.
    async fn start(policies: usize, environment: &[(&str, &str)]) -> Self {
        let floor = DoubleFloor::start(Size { policies, pods: 2 }).unwrap();
        floor.demand(3.0).await.unwrap();
        let (sandbox, port) = (Sandbox::new("traces").unwrap(), ReservedPort::new().unwrap());
        let config = format!(
            "prometheusServers: [{{name: main, url: '{}', headers: {{X-Key: {}}}}}]",
            floor.prometheus(),
            SECRETS[1]
        );
        std::fs::write(sandbox.path().join("config.yaml"), config).unwrap();
        let address = port.address().to_string();
        let kubeconfig = floor.kubeconfig().display().to_string();
        let arguments = ["run", "--kubeconfig", &kubeconfig, "--config", "config.yaml", "--listen", &address];
        let arguments = arguments.iter().chain(&["--lease-namespace", "plimsoll-system"]);
        let arguments: Vec<_> = arguments.map(|one| (*one).to_owned()).collect();
        let program = Path::new(env!("CARGO_BIN_EXE_operator"));
        let process = sandbox.start_with(program, &arguments, environment).unwrap();
        Self { process, address, sandbox, _floor: floor, _port: port }
    }

    async fn durations(&self) -> Histogram {
        let answer = loopback_client().unwrap().get(format!("http://{}/metrics", self.address)).send().await;
        let text = match answer {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        Histogram::read(&text, "plimsoll_evaluation_duration_seconds")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.sandbox.path().join("operator.log")).unwrap()
    }

    /// Asks the operator to end, and tells how long that took.
    async fn end(&mut self) -> Duration {
        let begun = Instant::now();
        self.process.ask_to_end();
        self.wait("the operator's end", async |operator| operator.process.ended().is_some()).await;
        assert!(self.process.ended().unwrap().success(), "{}", self.log());
        begun.elapsed()
    }

    async fn wait(&mut self, what: &str, mut there: impl AsyncFnMut(&mut Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !there(self).await {
            let hopeless = Instant::now() > end || self.process.ended().is_some();
            assert!(!hopeless || there(self).await, "no {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn collector(received: &Received) -> LoopbackServer {
    let received = received.clone();
    LoopbackServer::start(move || {
        let received = received.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            received.lock().unwrap().push((headers, body));
        };
        Router::new().route("/v1/traces", post(take))
    })
    .unwrap()
}

fn spans(received: &Received) -> Vec<Span> {
    let received = received.lock().unwrap();
    let requests = received.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap());
    let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|one| one.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => format!("{number:.0}"),
        other => format!("{other:?}"),
    };
    let pairs = span.attributes.iter().cloned();
    pairs.filter_map(|pair| Some((pair.key, text(pair.value?.value?)))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_receives_each_evaluation_with_its_queries_its_decision_and_its_write_and_no_secret() {
    let received = Received::default();
    let server = collector(&received);
    let endpoint = format!("http://{}", server.address());
    let header = format!("x-key={}", SECRETS[0]);
    let mut operator = Operator::start(
        1,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", &header),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ],
    )
    .await;
    operator
        .wait("trace of an evaluation", async |_| {
            spans(&received).iter().any(|span| span.name == "evaluation")
        })
        .await;
    operator.end().await;

    let spans = spans(&received);
    let root = spans.iter().find(|span| span.name == "evaluation").unwrap();
    assert!(root.parent_span_id.is_empty() && root.end_time_unix_nano > root.start_time_unix_nano);
    let told = attributes(root);
    for (key, value) in [
        ("k8s.namespace.name", "team-0"),
        ("plimsoll.policy", "web-00000"),
        ("plimsoll.target.kind", "Deployment"),
        ("plimsoll.target.name", "web-00000"),
    ] {
        assert_eq!(told.get(key).map(String::as_str), Some(value), "{key} in {told:?}");
    }
    let parts: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
    let names: BTreeSet<&str> = parts.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["query", "look", "decision", "write", "report"]));
    assert!(parts.iter().all(|span| span.trace_id == root.trace_id));
    let of = |name: &str| attributes(parts.iter().find(|span| span.name == name).unwrap());
    assert_eq!(of("query")["plimsoll.query.name"], "rps");
    assert_eq!(of("query")["plimsoll.prometheus.server"], "main");
    let value: u32 = of("query")["plimsoll.query.value"].parse().unwrap();
    assert!((500..700).contains(&value), "{value}");
    assert_eq!(of("decision")["plimsoll.reason"], told["plimsoll.reason"]);
    assert_eq!(of("decision")["plimsoll.replicas.current"], "2");
    assert_eq!(of("write")["plimsoll.replicas.to"], of("decision")["plimsoll.replicas.desired"]);

    let received = received.lock().unwrap();
    let resource = ExportTraceServiceRequest::decode(received[0].1.clone()).unwrap().resource_spans;
    let resource = format!("{:?}", resource[0].resource);
    assert!(
        resource.contains("\"plimsoll\"") && resource.contains("deployment.environment.name"),
        "{resource}"
    );
    for (headers, body) in received.iter() {
        assert_eq!(headers["x-key"], SECRETS[0], "the collector's key comes with each request");
        let text = String::from_utf8_lossy(body);
        for hidden in SECRETS.into_iter().chain(["sum(load"]) {
            assert!(!text.contains(hidden) && !operator.log().contains(hidden), "{hidden}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_holds_up_neither_evaluations_nor_the_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut operator = Operator::start(
        20,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "120000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ],
    )
    .await;
    operator.wait("twenty evaluations twice", async |operator| operator.durations().await.count >= 40).await;
    let durations = operator.durations().await;
    let slow = durations.quantile(0.9);
    let seconds: f64 = slow.split(' ').nth(2).and_then(|number| number.parse().ok()).unwrap();
    assert!(seconds <= 0.5, "{slow}");
    assert!(operator.log().contains("queue full"), "spans beyond the queue are dropped, and it is said");
    let took = operator.end().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}
