//! The room against a real Prometheus, where there is one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test stops where its premises fail"
)]

mod prometheus_support;

#[path = "../src/prometheus/promql/tests/generate.rs"]
mod generate;

use plimsoll::prometheus::promql::Query;
use plimsoll::prometheus::{Evaluation, ServerConfig, Servers};
use plimsoll::signal::{Age, Answer, Moments, Reading};
use plimsoll::time::{Span, Time};
use prometheus_support::real::{Exporter, Prometheus, now, until};
use prometheus_support::{config, evaluation, sentence, servers};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};

/// Three pods that serve, one whose sample is half a minute old, and a stranger's secret.
fn page() -> String {
    let half_a_minute_ago = now().millis() - 30_000;
    format!(
        "requests_total{{namespace=\"shop\",pod=\"a\"}} 100\n\
         requests_total{{namespace=\"shop\",pod=\"b\"}} 200\n\
         requests_total{{namespace=\"shop\",pod=\"c\"}} 300\n\
         batch_total{{namespace=\"shop\",pod=\"d\"}} 5 {half_a_minute_ago}\n\
         queue_length{{namespace=\"shop\",name=\"x}} or secret{{\"}} 7\n\
         secret{{namespace=\"victim\"}} 42\n"
    )
}

fn patient(url: &str) -> ServerConfig {
    ServerConfig { timeout_seconds: 20, ..config(url) }
}

async fn read(servers: &Servers, query: &str) -> Reading {
    let request = Evaluation { coverage: true, max_age: Span::from_seconds(15), ..evaluation(query) };
    servers.evaluate("main", "shop", &request, now()).await
}

fn is_young(age: &Age) -> bool {
    matches!(age, Age::Measured(age) if *age <= Span::from_seconds(8))
}

/// A server that has scraped everything a few times.
async fn scraped(exporter: &Exporter) -> Option<Prometheus> {
    let prometheus = Prometheus::start(&[exporter]).await?;
    let query = [("query", "count(count_over_time(secret[1m]) >= 3) + count(batch_total)")];
    until(
        async || prometheus.get("/api/v1/query", &query).await["data"]["result"].to_string(),
        |result| result.contains("\"2\""),
    )
    .await;
    Some(prometheus)
}

#[tokio::test]
async fn values_ages_and_coverage_are_read_as_they_are() {
    let exporter = Exporter::start(page).await;
    let Some(prometheus) = scraped(&exporter).await else { return };
    let servers = servers([patient(&prometheus.url)]);

    let sum = read(&servers, "sum(requests_total)").await;
    assert_eq!((&sum.answer, sum.covered_pods), (&Answer::Value(600.0), Some(3)), "{sum:?}");
    assert!(is_young(&sum.age) && sum.warnings.is_empty(), "{sum:?}");

    let several = read(&servers, "requests_total").await;
    assert_eq!((several.answer, several.covered_pods), (Answer::ManySeries(3), Some(3)));

    let old = read(&servers, "sum(batch_total)").await;
    let Age::Measured(age) = old.age else { panic!("{old:?}") };
    assert!((Span::from_seconds(29)..Span::from_seconds(45)).contains(&age), "{age:?}");
    assert_eq!(old.covered_pods, Some(0), "its only sample is older than fifteen seconds");

    let mixed =
        read(&servers, "sum(requests_total offset 1s) + on () sum(max_over_time(batch_total[1m]))").await;
    assert!(
        matches!(mixed.age, Age::Measured(age) if age >= Span::from_seconds(29)),
        "the older counts: {mixed:?}"
    );
    assert_eq!(mixed.covered_pods, Some(3));

    let no_pods = read(&servers, "sum(secret)").await;
    assert_eq!(no_pods.covered_pods, Some(1), "the one instance, for want of pods");

    let scalar = read(&servers, "scalar(sum(secret)) * 2").await;
    assert_eq!(scalar.answer, Answer::Value(84.0));
    let constant = read(&servers, "vector(3)").await;
    assert_eq!(
        (constant.answer, constant.age, constant.covered_pods),
        (Answer::Value(3.0), Age::NotSampled, None)
    );
    let nan = read(&servers, "sum(secret) / 0 - sum(secret) / 0").await;
    assert!(matches!(nan.answer, Answer::Value(value) if value.is_nan()));

    let absent = read(&servers, "sum(no_such_metric)").await;
    assert_eq!((absent.answer, absent.age, absent.covered_pods), (Answer::NoSeries, Age::NoSample, Some(0)));
    let made_up = read(&servers, "sum(no_such_metric) or vector(0)").await;
    assert_eq!((made_up.answer, made_up.age), (Answer::Value(0.0), Age::NoSample), "a made-up zero shows");

    let over_names = read(&servers, "sum({__name__=~\"requests_total|secret\"})").await;
    assert_eq!(over_names.answer, Answer::Value(642.0));
    assert!(over_names.age != Age::NoSample && over_names.age != Age::NotSampled, "{over_names:?}");

    let declared = Evaluation {
        freshness_query: Some("time() - min(timestamp(batch_total))".into()),
        ..evaluation("sum(requests_total)")
    };
    let declared = servers.evaluate("main", "shop", &declared, now()).await;
    assert!(matches!(declared.age, Age::Measured(age) if age >= Span::from_seconds(29)), "{declared:?}");

    let refused = read(&servers, "requests_total * on () secret * on () group_left () requests_total").await;
    assert!(sentence(&refused).contains("it could not evaluate the query: "), "{refused:?}");
}

#[tokio::test]
async fn the_past_is_read_as_it_was_when_it_was_the_present() {
    let exporter = Exporter::start(page).await;
    let Some(prometheus) = scraped(&exporter).await else { return };
    let servers =
        servers([ServerConfig { namespace_label: Some("namespace".into()), ..patient(&prometheus.url) }]);
    let queries = [
        "sum(requests_total)",
        "requests_total",
        "sum(rate(requests_total[3s]))",
        "scalar(sum(requests_total)) * 2",
        "sum(requests_total) / 0",
        "sum(secret)",
        "vector(3)",
        "sum(no_such_metric) or vector(0)",
    ];
    let question =
        |query: &str| Evaluation { coverage: true, max_age: Span::from_seconds(15), ..evaluation(query) };
    let (mut moments, mut read): (Vec<_>, Vec<Vec<Reading>>) = (Vec::new(), vec![Vec::new(); queries.len()]);
    for _ in 0..5 {
        // What was scraped a moment ago is there; of what is scraped this very moment the two may see different parts.
        let at = Time::from_seconds((now() - Span::from_seconds(1)).millis().div_euclid(1000));
        if moments.last() != Some(&at) {
            moments.push(at);
            for (query, read) in queries.iter().zip(&mut read) {
                let anew = Evaluation { newer_than: Some(at - Span::from_millis(1)), ..question(query) };
                read.push(servers.evaluate("main", "shop", &anew, at).await);
            }
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let all = Moments::within(moments[0], *moments.last().unwrap(), Span::from_seconds(1));
    for (query, read) in queries.iter().zip(read) {
        let past = servers.history("main", "shop", &question(query), all).await.unwrap();
        assert_eq!(past.len(), usize::try_from(all.count).unwrap());
        for (at, present) in moments.iter().zip(read) {
            let past = &past[usize::try_from(all.position(*at).unwrap()).unwrap()];
            assert_eq!(format!("{past:?}"), format!("{present:?}"), "{query} at {at:?}");
        }
    }
    let refused = servers.history("main", "shop", &question("1 +"), all).await.unwrap_err();
    assert!(refused.contains("the query is not usable"), "{refused}");
    let long = Moments::within(now() - Span::from_seconds(30_000), now(), Span::from_seconds(1));
    let past = servers.history("main", "shop", &question("sum(requests_total)"), long).await.unwrap();
    assert_eq!(
        past.len(),
        usize::try_from(long.count).unwrap(),
        "30,000 points are more than it gives at once"
    );
    assert_eq!(past[0].answer, Answer::NoSeries);
    assert_eq!(past[past.len() - 3].answer, Answer::Value(600.0));
}

#[tokio::test]
async fn an_exporter_that_stops_leaves_no_sample_behind_the_query() {
    let exporter = Exporter::start(page).await;
    let Some(prometheus) = scraped(&exporter).await else { return };
    let servers = servers([patient(&prometheus.url)]);
    let query = "sum(rate(requests_total[1m])) or vector(0)";
    assert!(is_young(&read(&servers, query).await.age));
    drop(exporter);
    let gone = until(async || read(&servers, query).await, |reading| reading.age == Age::NoSample).await;
    assert_eq!(gone.covered_pods, Some(0));
    assert!(matches!(gone.answer, Answer::Value(_)), "the range still holds samples: {gone:?}");
    let plain = read(&servers, "sum(requests_total)").await;
    assert_eq!((plain.answer, plain.age), (Answer::NoSeries, Age::NoSample));
}

#[tokio::test]
async fn a_confined_query_reads_its_own_namespace_only() {
    let exporter = Exporter::start(page).await;
    let Some(prometheus) = scraped(&exporter).await else { return };
    let servers =
        servers([ServerConfig { namespace_label: Some("namespace".into()), ..patient(&prometheus.url) }]);
    for (query, answer) in [
        ("sum(requests_total)", Answer::Value(600.0)),
        ("count({__name__=~\".+\"})", Answer::Value(5.0)),
        ("sum(secret)", Answer::NoSeries),
        ("sum(secret{namespace=\"victim\"})", Answer::NoSeries),
        ("max(requests_total) + scalar(secret)", Answer::Value(f64::NAN)),
        ("sum(queue_length{name=\"x} or secret{\"})", Answer::Value(7.0)),
        ("sum(queue_length{name=`x} or secret{`}) # or secret", Answer::Value(7.0)),
        ("count_values(\"namespace\", secret)", Answer::NoSeries),
        ("max_over_time(max(secret or queue_length)[5s:1s])", Answer::Value(7.0)),
    ] {
        let reading = servers.evaluate("main", "shop", &evaluation(query), now()).await;
        assert_eq!(format!("{:?}", reading.answer), format!("{answer:?}"), "{query}");
    }
    let victim = servers.evaluate("main", "victim", &evaluation("sum(secret)"), now()).await;
    assert_eq!(victim.answer, Answer::Value(42.0));
}

#[tokio::test]
async fn what_the_room_writes_prometheus_reads_as_what_was_written() {
    let Some(prometheus) = Prometheus::start(&[]).await else { return };
    let formatted = async |query: &str| {
        let answer = prometheus.get("/api/v1/format_query", &[("query", query)]).await;
        answer["data"].as_str().map(str::to_owned).ok_or_else(|| answer["error"].to_string())
    };
    let mut runner = TestRunner::new(Config::default());
    println!("seed: {:?}", runner.rng());
    let mut compared = 0;
    for _ in 0..1000 {
        let original = generate::vector().new_tree(&mut runner).unwrap().current();
        // Not every label value that the parser reads is one that Prometheus allows.
        let Ok(expected) = formatted(&original).await else { continue };
        let mut query = Query::parse(&original).unwrap_or_else(|fault| panic!("{original}: {fault}"));
        assert_eq!(formatted(&query.to_string()).await.as_ref(), Ok(&expected), "{original} became {query}");
        query.inject_matcher("namespace", "shop\"}`'\\\n").unwrap();
        let confined = formatted(&query.to_string()).await;
        assert!(confined.is_ok(), "{original} became {query}: {confined:?}");
        compared += 1;
    }
    assert!(compared > 500, "only {compared} queries could be compared");
}
