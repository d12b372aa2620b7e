//! What is asked about the past: in which form, how often, and after whom.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod prometheus_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use plimsoll::prometheus::{Evaluation, ServerConfig};
use plimsoll::signal::{Age, Answer, Moments, Reading};
use plimsoll::time::{Span, Time};
use prometheus_support::{Act, NOON, Request, Rogue, config, evaluation, hasty, json, servers, values};

const PAST: Moments =
    Moments { first: Time::from_seconds(1_699_999_905), step: Span::from_seconds(15), count: 6 };

fn seconds(request: &Request, field: &str) -> f64 {
    request.form[field].parse().unwrap()
}

/// An answer with one series, whose value at each moment that is asked for `value` tells.
fn range(request: &Request, value: impl Fn(f64) -> String) -> Act {
    let (start, end, step) = (seconds(request, "start"), seconds(request, "end"), seconds(request, "step"));
    let mut points = Vec::new();
    let mut at = start;
    while at <= end {
        points.push(format!("[{at:.3},\"{}\"]", value(at)));
        at += step;
    }
    matrix(&format!("{{\"metric\":{{}},\"values\":[{}]}}", points.join(",")), "")
}

fn matrix(series: &str, more: &str) -> Act {
    json(
        "200 OK",
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}{more}}}"#),
    )
}

async fn past(server: ServerConfig, request: &Evaluation) -> Result<Vec<Reading>, String> {
    servers([server]).history("main", "shop", request, PAST).await
}

#[tokio::test]
async fn value_age_and_coverage_are_asked_over_the_range_with_the_namespace_on_every_selector() {
    let rogue = Rogue::start(|request| {
        let query = request.form["query"].clone();
        range(request, move |at| {
            if query.starts_with("time()") {
                "2.5".into()
            } else if query.starts_with("count(") {
                "7".into()
            } else {
                at.to_string()
            }
        })
    })
    .await;
    let server = ServerConfig {
        namespace_label: Some("namespace".into()),
        headers: [("X-Scope-OrgID".to_owned(), "shop".to_owned())].into(),
        ..config(&format!("{}/prefix", rogue.url()))
    };
    let request = Evaluation { coverage: true, ..evaluation("sum(rate(x_total[1m]))") };
    let readings = past(server, &request).await.unwrap();
    assert_eq!(readings.len(), 6);
    for (at, reading) in PAST.iter().zip(&readings) {
        assert_eq!(reading.answer, Answer::Value(f64::from(u32::try_from(at.millis() / 1000).unwrap())));
        assert_eq!(reading.age, Age::Measured(Span::from_millis(2500)));
        assert_eq!(reading.covered_pods, Some(7));
    }
    let requests = rogue.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.line, "POST /prefix/api/v1/query_range HTTP/1.1");
        assert!(request.form["query"].contains("namespace=\"shop\""), "{}", request.form["query"]);
        assert_eq!(request.form["start"], "1699999905.000");
        assert_eq!(request.form["end"], "1699999980.000");
        assert_eq!(request.form["step"], "15.000");
        assert!(request.form["timeout"].ends_with("ms"));
        assert_eq!(request.headers["x-scope-orgid"], "shop");
        assert!(!request.form.contains_key("time"));
    }
}

#[tokio::test]
async fn what_is_odd_in_a_range_is_odd_at_its_moment() {
    let rogue = Rogue::start(|request| {
        if request.form["query"].starts_with("time()") {
            return matrix("{\"values\":[[1699999905,\"1\"],[1699999920,\"-5\"],[1699999935,\"NaN\"]]}", "");
        }
        matrix(
            "{\"values\":[[1699999905,\"1\"],[1699999920,\"NaN\"],[1699999935,\"+Inf\"]]},{\"values\":[[1699999905,\"2\"],[1699999950,\"4\"]]}",
            ",\"warnings\":[\"a store is gone\"]",
        )
    })
    .await;
    let readings = past(config(&rogue.url()), &evaluation("x")).await.unwrap();
    let answers: Vec<_> = readings.iter().map(|reading| format!("{:?}", reading.answer)).collect();
    assert_eq!(answers, ["ManySeries(2)", "Value(NaN)", "Value(inf)", "Value(4.0)", "NoSeries", "NoSeries"]);
    assert_eq!(readings[0].age, Age::Measured(Span::from_seconds(1)));
    assert!(matches!(&readings[1].age, Age::Unknown(why) if why.contains("negative")));
    assert!(matches!(&readings[2].age, Age::Unknown(why) if why.contains("NaN")));
    assert_eq!(readings[3].age, Age::NoSample);
    assert!(readings.iter().all(|reading| reading.warnings == ["a store is gone"]));
}

#[tokio::test]
async fn a_past_that_cannot_be_read_is_refused_in_words() {
    for (name, act, words) in [
        (
            "an error",
            json(
                "422 Unprocessable Entity",
                r#"{"status":"error","errorType":"execution","error":"too many samples"}"#,
            ),
            "it could not evaluate the query: too many samples",
        ),
        ("an instant answer", Act::Send(values(&["1"])), "answered a query over a range with the type"),
        (
            "a login page",
            Act::Send(prometheus_support::response("200 OK", "text/html", "<html>")),
            "does not look like Prometheus",
        ),
        ("nothing", Act::Hang, "no answer within 1 s"),
        (
            "a broken connection",
            Act::Break(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
            "Prometheus server \"main\"",
        ),
        (
            "an endless body",
            Act::Flood(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec()),
            "its answer is larger than 1 MiB",
        ),
        (
            "a redirect",
            Act::Send(
                b"HTTP/1.1 302 Found\r\nLocation: http://else.where/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            "which is not followed",
        ),
        ("access denied", json("403 Forbidden", "{}"), "it denies access"),
        ("no such endpoint", json("404 Not Found", "404 page not found"), "it knows no /api/v1/query_range"),
    ] {
        let rogue = Rogue::start(move |_| act.clone()).await;
        let sentence = past(hasty(&rogue.url()), &evaluation("vector(1)")).await.unwrap_err();
        assert!(sentence.contains(words), "{name}: {sentence}");
    }
    let closed =
        ServerConfig { allowed_namespaces: Some(vec!["pay".into()]), ..config("http://127.0.0.1:9") };
    let refused = past(closed, &evaluation("up")).await.unwrap_err();
    assert!(refused.contains("may not use Prometheus server"));
}

#[tokio::test]
async fn a_long_past_is_asked_in_pieces_below_the_limit_of_11_000_points() {
    let rogue = Rogue::start(|request| {
        let points = (seconds(request, "end") - seconds(request, "start")) / seconds(request, "step") + 1.0;
        if points > 11_000.0 {
            return json("400 Bad Request", r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points"}"#);
        }
        range(request, |at| at.to_string())
    })
    .await;
    let servers = servers([config(&rogue.url())]);
    let moments =
        Moments { first: Time::from_seconds(1_000_000), step: Span::from_seconds(1), count: 14_400 };
    let readings = servers.history("main", "shop", &evaluation("vector(1)"), moments).await.unwrap();
    assert_eq!(readings.len(), 14_400);
    for (second, reading) in (1_000_000_u32..).zip(&readings) {
        assert_eq!(reading.answer, Answer::Value(f64::from(second)));
    }
    assert_eq!(rogue.requests().len(), 3);
}

#[tokio::test]
async fn identical_questions_under_way_are_asked_once() {
    let rogue = Rogue::start(|_| {
        Act::SendAfter(Duration::from_millis(300), {
            let Act::Send(bytes) = matrix("", "") else { panic!("an answer") };
            bytes
        })
    })
    .await;
    let servers = Arc::new(servers([config(&rogue.url())]));
    let ask = |namespace: &'static str| {
        let servers = servers.clone();
        async move { servers.history("main", namespace, &evaluation("vector(1)"), PAST).await }
    };
    let answers = join_all((0..50).map(|number| ask(if number % 2 == 0 { "shop" } else { "pay" }))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().len() == 6));
    assert_eq!(rogue.requests().len(), 1);
    assert_eq!(servers.statistics().servers["main"].coalesced, 49);
    ask("shop").await.unwrap();
    assert_eq!(rogue.requests().len(), 2, "what is answered is not kept");
}

#[tokio::test]
async fn questions_about_the_past_leave_slots_to_those_about_the_present() {
    let rogue = Rogue::start(|request| {
        if request.line.contains("query_range") { Act::Hang } else { Act::Send(values(&["1"])) }
    })
    .await;
    let servers = Arc::new(servers([ServerConfig {
        max_concurrent_queries: 4,
        timeout_seconds: 3,
        ..config(&rogue.url())
    }]));
    let waiting: Vec<_> = (0..40)
        .map(|number| {
            let servers = servers.clone();
            tokio::spawn(async move {
                servers.history("main", "shop", &evaluation(&format!("vector({number})")), PAST).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..50 {
        let started = Instant::now();
        let reading = servers.evaluate("main", "shop", &evaluation(&format!("vector({number})")), NOON).await;
        assert_eq!(reading.answer, Answer::Value(1.0));
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    let about_the_past =
        rogue.requests().iter().filter(|request| request.line.contains("query_range")).count();
    assert_eq!(about_the_past, 1, "a quarter of four slots");
    for waiting in waiting {
        waiting.abort();
    }
}
