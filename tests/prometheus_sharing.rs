//! What is asked, how often, and who waits for whom.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test stops where its premises fail"
)]

mod prometheus_support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::join_all;
use plimsoll::prometheus::{Evaluation, FailureKind, ServerConfig};
use plimsoll::signal::{Age, Answer};
use plimsoll::time::{Span, Time};
use prometheus_support::{
    Act, NOON, Rogue, ask, ask_at, config, evaluation, hasty, sentence, servers, values,
};

#[tokio::test]
async fn a_question_is_one_post_with_time_deadline_and_headers() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let server = ServerConfig {
        headers: [("X-Scope-OrgID".to_owned(), "shop".to_owned())].into(),
        ..config(&format!("{}/some/prefix/", rogue.url()))
    };
    ask(&servers([server])).await;
    let requests = rogue.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(request.line, "POST /some/prefix/api/v1/query HTTP/1.1");
    assert_eq!(request.form["query"], "vector(1)");
    assert_eq!(request.form["time"], "1700000000.123");
    let timeout: u32 = request.form["timeout"].strip_suffix("ms").unwrap().parse().unwrap();
    assert!((1000..=5000).contains(&timeout), "{timeout}");
    assert_eq!(request.headers["x-scope-orgid"], "shop");
    assert_eq!(request.headers["accept-encoding"], "identity");
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(!request.headers.contains_key("authorization"));
}

#[tokio::test]
async fn the_value_the_age_and_the_coverage_are_three_questions() {
    let rogue = Rogue::start(|request| {
        let query = &request.form["query"];
        Act::Send(if query.starts_with("time()") {
            values(&["12.25"])
        } else if query.starts_with("count(") {
            values(&["7"])
        } else {
            values(&["90"])
        })
    })
    .await;
    let servers = servers([config(&rogue.url())]);
    let request = Evaluation { coverage: true, ..evaluation("sum(rate(x_total[1m])) or vector(0)") };
    let reading = servers.evaluate("main", "shop", &request, NOON).await;
    assert_eq!(reading.answer, Answer::Value(90.0));
    assert_eq!(reading.age, Age::Measured(Span::from_millis(12_250)));
    assert_eq!(reading.covered_pods, Some(7));
    assert_eq!(rogue.queries().len(), 3);
    assert!(rogue.queries().contains(&request.query), "an unconfined query goes out as it was written");

    let declared = Evaluation { freshness_query: Some("time() - my_time".into()), ..evaluation("vector(1)") };
    let reading = servers.evaluate("main", "shop", &declared, NOON).await;
    assert_eq!(reading.age, Age::Measured(Span::from_millis(12_250)));
    assert!(rogue.queries().contains(&"time() - my_time".to_owned()));
}

#[tokio::test]
async fn an_age_not_asked_for_is_the_one_measured_last() {
    let rogue = Rogue::start(|_| Act::Send(values(&["3"]))).await;
    let servers = servers([config(&rogue.url())]);
    let request = Evaluation { ask_age: false, ..evaluation("up") };
    let first = servers.evaluate("main", "shop", &request, NOON).await;
    assert_eq!(first.age, Age::Measured(Span::from_seconds(3)), "there is none yet, so it is asked");
    let second = servers.evaluate("main", "shop", &request, NOON + Span::from_seconds(15)).await;
    assert_eq!(second.age, Age::Earlier { age: Span::from_seconds(3), at: NOON });
    assert_eq!(rogue.queries().len(), 3);
}

#[tokio::test]
async fn a_hundred_policies_with_one_query_make_one_request_in_a_stretch_of_five_seconds() {
    let rogue = Rogue::start(|_| Act::SendAfter(Duration::from_millis(100), values(&["42"]))).await;
    let servers = servers([config(&rogue.url())]);
    let start = Time::from_seconds(1_700_000_000);
    let moments = (0..100).map(|number| start + Span::from_millis(number * 49));
    let readings = join_all(moments.map(|at| ask_at(&servers, at))).await;
    assert!(readings.iter().all(|reading| reading.answer == Answer::Value(42.0)));
    assert_eq!(rogue.requests().len(), 1);
    ask_at(&servers, start + Span::from_millis(4_999)).await;
    assert_eq!(rogue.requests().len(), 1, "the answer is kept for the stretch");
    ask_at(&servers, start + Span::from_seconds(5)).await;
    assert_eq!(rogue.requests().len(), 2, "and no longer");
    let counted = &servers.statistics().servers["main"];
    assert_eq!((counted.requests, counted.coalesced, counted.latency_count), (2, 100, 2));
    assert!(counted.latency_sum >= Span::from_millis(200), "{:?}", counted.latency_sum);
}

#[tokio::test]
async fn no_policy_is_answered_twice_with_one_answer() {
    let rogue = Rogue::start(|_| Act::Send(values(&["42"]))).await;
    let servers = servers([config(&rogue.url())]);
    let start = Time::from_seconds(1_700_000_000);
    let at = |second| start + Span::from_seconds(second);
    // Two policies that are evaluated each second, half a second apart, with a value and its age.
    let mut asked = [None, None];
    for second in 0..4 {
        for (policy, asked) in asked.iter_mut().enumerate() {
            let now = at(second) + Span::from_millis(500).times(u64::try_from(policy).unwrap());
            let request = Evaluation { newer_than: asked.replace(now), ..evaluation("up") };
            servers.evaluate("main", "shop", &request, now).await;
        }
    }
    assert_eq!(rogue.requests().len(), 2 * 4, "the second policy shares each answer of the first");
}

#[tokio::test]
async fn an_answer_asked_for_earlier_counts_as_older() {
    let rogue = Rogue::start(|_| Act::Send(values(&["10"]))).await;
    let servers = servers([config(&rogue.url())]);
    let start = Time::from_seconds(1_700_000_000);
    let ages = [0, 4].map(|seconds| start + Span::from_seconds(seconds));
    for (at, age) in ages.into_iter().zip([10, 14]) {
        let reading = servers.evaluate("main", "shop", &evaluation("up"), at).await;
        assert_eq!(reading.age, Age::Measured(Span::from_seconds(age)));
    }
    assert_eq!(rogue.requests().len(), 2);
}

#[tokio::test]
async fn namespaces_share_no_answer_where_queries_are_confined() {
    let rogue = Rogue::start(|request| {
        Act::Send(values(&[if request.form["query"].contains("\"shop\"") { "1" } else { "2" }]))
    })
    .await;
    let server = ServerConfig { namespace_label: Some("namespace".into()), ..config(&rogue.url()) };
    let servers = servers([server]);
    let request =
        Evaluation { freshness_query: Some("time() - t".into()), coverage: true, ..evaluation("sum(up)") };
    for (namespace, value) in [("shop", 1.0), ("pay", 2.0), ("shop", 1.0)] {
        let reading = servers.evaluate("main", namespace, &request, NOON).await;
        assert_eq!(reading.answer, Answer::Value(value));
    }
    let mut queries = rogue.queries();
    queries.sort();
    assert_eq!(queries.len(), 6);
    assert_eq!(
        queries[2..],
        [
            "sum(up{namespace=\"pay\"})",
            "sum(up{namespace=\"shop\"})",
            "time() - t{namespace=\"pay\"}",
            "time() - t{namespace=\"shop\"}",
        ]
    );
    let coverage = "count(count by (pod) (timestamp(up{namespace=\"pay\",pod!=\"\"})";
    assert!(queries[0].starts_with(coverage), "{}", queries[0]);
}

#[tokio::test]
async fn connections_are_kept() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let servers = servers([config(&rogue.url())]);
    for seconds in 0..20 {
        ask_at(&servers, Time::from_seconds(seconds * 5)).await;
    }
    assert_eq!((rogue.requests().len(), rogue.connections.load(Ordering::SeqCst)), (20, 1));
}

#[tokio::test]
async fn a_slow_server_delays_nobody_who_asks_another() {
    let slow = Rogue::start(|_| Act::Hang).await;
    let fast = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let other = ServerConfig { name: "fast".into(), ..config(&fast.url()) };
    let servers = Arc::new(servers([hasty(&slow.url()), other]));
    let waiting: Vec<_> = (0..200)
        .map(|number| {
            let servers = servers.clone();
            tokio::spawn(async move {
                servers.evaluate("main", "shop", &evaluation(&format!("vector({number})")), NOON).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..50 {
        let started = Instant::now();
        let reading = servers.evaluate("fast", "shop", &evaluation(&format!("vector({number})")), NOON).await;
        assert_eq!(reading.answer, Answer::Value(1.0));
        assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    }
    let started = Instant::now();
    let mut no_slot = 0;
    for reading in join_all(waiting).await {
        no_slot += usize::from(sentence(&reading.unwrap()).contains("none of its 16 slots"));
    }
    assert_eq!(no_slot, 200 - 16, "those in the queue give up at their deadline, too");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(slow.requests().len(), 16);
    assert_eq!(servers.statistics().servers["main"].failures[&FailureKind::Timeout], 200);
}

#[tokio::test]
async fn waiting_for_a_slot_counts_as_time_taken() {
    let rogue = Rogue::start(|_| Act::SendAfter(Duration::from_millis(1200), values(&["1"]))).await;
    let one_slot = ServerConfig { max_concurrent_queries: 1, timeout_seconds: 2, ..config(&rogue.url()) };
    let servers = servers([one_slot]);
    let [first, second] = ["vector(1)", "vector(2)"].map(evaluation);
    let (first, second) = futures::join!(
        servers.evaluate("main", "shop", &first, NOON),
        servers.evaluate("main", "shop", &second, NOON)
    );
    assert_eq!(first.answer, Answer::Value(1.0));
    let late = sentence(&second);
    assert!(late.contains("no answer within 2 s (timeoutSeconds), of which 1."), "{late}");
    assert!(late.ends_with(" s went by waiting for a slot (maxConcurrentQueries)"), "{late}");
}

#[tokio::test]
async fn a_caller_who_leaves_takes_no_answer_away_and_holds_no_slot() {
    let rogue = Rogue::start(|_| Act::SendAfter(Duration::from_millis(300), values(&["42"]))).await;
    let servers = Arc::new(servers([ServerConfig { max_concurrent_queries: 1, ..config(&rogue.url()) }]));
    let leaving = tokio::spawn({
        let servers = servers.clone();
        async move { ask(&servers).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert_eq!(ask(&servers).await.answer, Answer::Value(42.0));
    assert_eq!(rogue.requests().len(), 1, "the question went on for those who stayed");
    let other = servers.evaluate("main", "shop", &evaluation("vector(2)"), NOON).await;
    assert_eq!(other.answer, Answer::Value(42.0));
}

#[tokio::test]
async fn a_question_that_everybody_has_left_frees_its_slot() {
    let rogue = Rogue::start(|_| Act::SendAfter(Duration::from_millis(200), values(&["42"]))).await;
    let servers = servers([ServerConfig { max_concurrent_queries: 1, ..config(&rogue.url()) }]);
    let leaving = tokio::time::timeout(Duration::from_millis(50), ask(&servers)).await;
    assert!(leaving.is_err());
    let other = servers.evaluate("main", "shop", &evaluation("vector(2)"), NOON).await;
    assert_eq!(other.answer, Answer::Value(42.0));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_any_server_hears_of_it() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let restricted = ServerConfig {
        name: "restricted".into(),
        allowed_namespaces: Some(vec!["pay".into()]),
        namespace_label: Some("namespace".into()),
        ..config(&rogue.url())
    };
    let servers = servers([config(&rogue.url()), restricted]);
    for (server, query, expected) in [
        (
            "mian",
            "up",
            "there is no Prometheus server \"mian\" in the operator's configuration; it has main, restricted",
        ),
        (
            "restricted",
            "up",
            "policies in namespace \"shop\" may not use Prometheus server \"restricted\"; whoever runs the operator can add the \
             namespace to allowedNamespaces",
        ),
        ("main", "sum(rate(x[5m]) by", "the query is not usable: unclosed left parenthesis"),
        ("main", "up up", "the query is not usable: invalid promql query: unexpected `up`, line 1, column 4"),
        (
            "main",
            "up[5m]",
            "the query is not usable: the query returns a range; wrap it in an aggregation over time such as rate(...) or \
             avg_over_time(...)",
        ),
    ] {
        let reading = servers.evaluate(server, "shop", &evaluation(query), NOON).await;
        assert_eq!(sentence(&reading), expected);
        assert_eq!(reading.age, Age::Unknown("the query was not asked".into()));
        assert_eq!(servers.check(server, "shop", query), Err(expected.to_owned()));
    }
    assert_eq!(servers.check("restricted", "pay", "sum(up)"), Ok(()));
    assert!(servers.check("restricted", "pay", "info(up)").unwrap_err().contains("cannot be confined"));
    assert_eq!(servers.check("main", "pay", "info(up)"), Ok(()));
    let broken = Evaluation { freshness_query: Some("nope(".into()), ..evaluation("up") };
    let reading = servers.evaluate("main", "shop", &broken, NOON).await;
    assert_eq!(sentence(&reading), "freshnessQuery is not usable: unclosed left parenthesis");
    assert_eq!(rogue.requests().len(), 0);
    assert_eq!(servers.statistics().servers["main"].requests, 0);
}
