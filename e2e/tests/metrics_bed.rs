//! The test bed's Prometheus, exporter and proxy do what scenarios rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e2e::real::exporter::ExporterFault;
use e2e::real::{Exporter, Lie, Prometheus, PrometheusOptions, PrometheusProxy, Target, unless_missing};
use serde_json::Value;

/// A Prometheus that scrapes an exporter; `None` where there is no Prometheus.
async fn bed() -> Option<(Exporter, Prometheus)> {
    let exporter = Exporter::start().expect("an exporter");
    let options = PrometheusOptions {
        targets: vec![Target::new("service", exporter.address())],
        scrape_interval: Duration::from_millis(200),
        ..PrometheusOptions::default()
    };
    let prometheus = Prometheus::start_with(options).await;
    Some((exporter, unless_missing(prometheus).expect("a Prometheus")?))
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

#[tokio::test]
async fn prometheus_scrapes_what_the_test_sets_and_sees_the_exporter_fail() {
    let Some((exporter, prometheus)) = bed().await else { return };
    exporter.gauge("queue_depth", &[("queue", "mail")], 7.0);
    exporter.gauge("odd", &[], f64::NAN);
    let is = |wanted: &'static str| move |values: &[String]| values == [wanted];
    prometheus.wait_for(r#"queue_depth{queue="mail",job="service"}"#, is("7")).await.unwrap();
    prometheus.wait_for("odd", is("NaN")).await.unwrap();

    exporter.gauge("queue_depth", &[("queue", "mail")], 9.0);
    prometheus.wait_for("queue_depth", is("9")).await.unwrap();
    exporter.remove_metric("queue_depth");
    prometheus.wait_for("queue_depth", <[_]>::is_empty).await.unwrap();

    for fault in [ExporterFault::Error, ExporterFault::Hang] {
        prometheus.wait_for("up", is("1")).await.unwrap();
        exporter.fail(fault);
        prometheus.wait_for("up", is("0")).await.unwrap();
        exporter.fail(ExporterFault::None);
    }
    prometheus.wait_for("up", is("1")).await.unwrap();
    exporter.stop();
    prometheus.wait_for("up", is("0")).await.unwrap();
    exporter.resume().unwrap();
    prometheus.wait_for("up", is("1")).await.unwrap();
}

#[tokio::test]
async fn prometheus_can_be_hung_killed_and_started_again_with_its_data() {
    let Some((exporter, mut prometheus)) = bed().await else { return };
    exporter.gauge("depth", &[], 3.0);
    prometheus.wait_for("depth", |values| values == ["3"]).await.unwrap();
    let (client, url) = (client(), format!("{}/-/healthy", prometheus.url()));

    prometheus.suspend();
    let error = client.get(&url).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    prometheus.resume();
    prometheus.wait_for("depth", |values| values == ["3"]).await.unwrap();

    for gently in [true, false] {
        exporter.stop();
        if gently {
            prometheus.stop().await;
        } else {
            prometheus.kill();
        }
        let error = client.get(&url).send().await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        prometheus.start_again().await.unwrap();
        prometheus.wait_for("count_over_time(depth[1h])", |values| !values.is_empty()).await.unwrap();
    }
}

#[tokio::test]
async fn prometheus_is_gone_after_drop() {
    let Some((_exporter, prometheus)) = bed().await else { return };
    let (id, url) = (prometheus.process_id(), prometheus.url());
    drop(prometheus);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    assert!(client().get(url).send().await.unwrap_err().is_connect());
}

/// What the API answers to `up`, as JSON.
async fn ask(proxy: &PrometheusProxy) -> Value {
    let form = [("query", "up"), ("time", "1700000000.5")];
    let answer = client().post(format!("{}/api/v1/query", proxy.url())).form(&form).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_proxy_passes_the_truth_on_and_lies_as_it_is_told() {
    let Some((_exporter, prometheus)) = bed().await else { return };
    prometheus.wait_for("up", |values| values == ["1"]).await.unwrap();
    let proxy = PrometheusProxy::start(&prometheus.url()).unwrap();
    let url = format!("{}/api/v1/query?query=up", proxy.url());
    let truth = |answer: &Value| answer.pointer("/data/result/0/value/1").cloned();
    let get = async || client().get(&url).send().await;
    let json =
        async || -> Value { serde_json::from_str(&get().await.unwrap().text().await.unwrap()).unwrap() };

    assert_eq!(truth(&json().await), Some("1".into()));
    assert_eq!(proxy.queries()[0].parameter("query"), Some("up"));

    proxy.lie(Lie::Value("-500".to_owned()));
    let lie = r#"{"data":{"result":[{"metric":{},"value":[1700000000.5,"-500"]}],"resultType":"vector"},"status":"success"}"#;
    assert_eq!(ask(&proxy).await.to_string(), lie);
    proxy.lie(Lie::NoSeries);
    assert_eq!(json().await.pointer("/data/result"), Some(&Value::Array(vec![])));
    proxy.lie(Lie::Series(3));
    assert_eq!(json().await.pointer("/data/result").unwrap().as_array().unwrap().len(), 3);
    proxy.lie(Lie::Warning("a store did not answer".to_owned()));
    let answer = json().await;
    assert_eq!(truth(&answer), Some("1".into()));
    assert_eq!(answer.pointer("/warnings/0"), Some(&"a store did not answer".into()));
    proxy.lie(Lie::Status(503));
    assert_eq!(get().await.unwrap().status(), 503);
    proxy.lie(Lie::Redirect("http://127.0.0.1:1/".to_owned()));
    assert_eq!(get().await.unwrap().headers()["location"], "http://127.0.0.1:1/");
    proxy.lie(Lie::Body("{}".to_owned()));
    assert_eq!(json().await, serde_json::json!({}));
    proxy.lie(Lie::Late(Duration::from_millis(300)));
    let start = Instant::now();
    assert_eq!(truth(&json().await), Some("1".into()));
    assert!(start.elapsed() >= Duration::from_millis(300));
    proxy.lie(Lie::Cut);
    assert!(get().await.unwrap().text().await.is_err());
    proxy.lie(Lie::EndlessBody);
    let mut endless = get().await.unwrap();
    let mut length = 0;
    while length < 10 << 20 {
        length += endless.chunk().await.unwrap().unwrap().len();
    }

    proxy.tell_the_truth().unwrap();
    proxy.lie_about("other_metric", Lie::Hang);
    assert_eq!(truth(&json().await), Some("1".into()));
    proxy.lie_about("up", Lie::Hang);
    assert!(get().await.unwrap_err().is_timeout());
    proxy.forget_queries();
    let hung = tokio::spawn(client().get(&url).send());
    while proxy.queries().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    proxy.tell_the_truth().unwrap();
    assert_eq!(hung.await.unwrap().unwrap().status(), 200);

    proxy.refuse();
    assert_eq!(TcpStream::connect(proxy.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    proxy.tell_the_truth().unwrap();
    assert_eq!(truth(&json().await), Some("1".into()));
}

#[tokio::test]
async fn a_lie_about_a_range_has_a_value_for_each_step() {
    let proxy = PrometheusProxy::start("http://127.0.0.1:1").unwrap();
    proxy.lie(Lie::Value("NaN".to_owned()));
    let url = format!("{}/api/v1/query_range?query=x&start=10&end=12&step=1", proxy.url());
    let text = client().get(url).send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#""values":[[10.0,"NaN"],[11.0,"NaN"],[12.0,"NaN"]]"#), "{text}");
}

#[tokio::test]
async fn a_refusing_proxy_closes_the_connections_it_had() {
    let proxy = PrometheusProxy::start("http://127.0.0.1:1").unwrap();
    let mut open = TcpStream::connect(proxy.address()).unwrap();
    open.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    proxy.refuse();
    let ended = open
        .read(&mut [0; 1])
        .map_or_else(|error| error.kind() == io::ErrorKind::ConnectionReset, |n| n == 0);
    assert!(ended);
}

#[tokio::test]
async fn credentials_that_reach_the_proxy_are_not_printed() {
    let proxy = PrometheusProxy::start("http://127.0.0.1:1").unwrap();
    proxy.lie(Lie::NoSeries);
    client().get(proxy.url()).bearer_auth("s3cret").send().await.unwrap();
    let queries = proxy.queries();
    assert_eq!(queries[0].headers["authorization"], "Bearer s3cret");
    assert!(!format!("{queries:?}").contains("s3cret"));
}
