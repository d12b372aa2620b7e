//! Servers that are slow, broken or hostile: each costs its own policies one bounded evaluation and yields a sentence.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test stops where its premises fail"
)]

mod prometheus_support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use plimsoll::prometheus::{Auth, Broken, Config, FailureKind, ServerConfig, Servers, Transport};
use plimsoll::signal::{Age, Answer};
use plimsoll::time::Time;
use prometheus_support::{
    Act, Rogue, ask, ask_at, config, evaluation, hasty, install_tls_provider, json, response, sentence,
    servers, values,
};

/// The sentence that one act of a server leads to.
async fn failed(act: Act) -> String {
    let rogue = Rogue::start(move |_| act.clone()).await;
    let reading = ask(&servers([config(&rogue.url())])).await;
    let address = rogue.address.to_string();
    let sentence = sentence(&reading).replace(&address, "ADDRESS");
    assert!(sentence.starts_with("Prometheus server \"main\""), "{sentence}");
    sentence
}

#[tokio::test]
async fn a_server_that_hangs_drips_or_sends_without_end_costs_one_deadline_and_little_memory() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec();
    let huge =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n".to_vec();
    let late = "Prometheus server \"main\" (ADDRESS): no answer within 1 s (timeoutSeconds)";
    let large = "Prometheus server \"main\" (ADDRESS): its answer is larger than 1 MiB; aggregate in the query, for \
                 example with sum(...)";
    for (act, expected) in [
        (Act::Hang, late),
        (Act::Drip(values(&["1"])), late),
        (Act::Drip([head.clone(), b" ".repeat(1000)].concat()), late),
        (Act::Send(head.clone()), late),
        (Act::Flood(head), large),
        (Act::Flood(huge), large),
    ] {
        let rogue = Rogue::start(move |_| act.clone()).await;
        let servers = servers([hasty(&rogue.url())]);
        let started = Instant::now();
        let reading = ask(&servers).await;
        assert_eq!(sentence(&reading).replace(&rogue.address.to_string(), "ADDRESS"), expected);
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        let flooded = rogue.bytes_flooded.load(Ordering::SeqCst);
        assert!(flooded < 16 * 1024 * 1024, "{flooded} bytes were taken");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_not_unpacked() {
    let bomb = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&vec![b' '; 1024 * 1024]).unwrap();
        }
        encoder.finish().unwrap()
    };
    assert!(bomb.len() < 2 * 1024 * 1024);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let sentence = failed(Act::Send([head.into_bytes(), bomb].concat())).await;
    assert_eq!(
        sentence,
        "Prometheus server \"main\" (ADDRESS): it answered compressed (gzip), which it was asked not to do"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_its_secrets_are_not_shown() {
    let elsewhere = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    for (location, shown) in [
        (
            format!("http://user:hunter2@{}/login?token=hunter2#hunter2", elsewhere.address),
            format!(" to http://{}/login", elsewhere.address),
        ),
        ("/prometheus/?key=hunter2".into(), " to http://ADDRESS/prometheus/".into()),
        ("http://[hunter2".into(), " to an address that cannot be read".into()),
        (String::new(), " to http://ADDRESS/api/v1/query".into()),
    ] {
        for code in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
            let head = format!("HTTP/1.1 {code}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let sentence = failed(Act::Send(head.into_bytes())).await;
            let number = &code[..3];
            assert_eq!(
                sentence,
                format!(
                    "Prometheus server \"main\" (ADDRESS): it redirects (HTTP {number}){shown}, which is not followed, so that \
                     credentials go nowhere else; if that is where the server is, put it into url"
                )
            );
        }
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_not_prometheus_is_said_with_status_and_type() {
    let unlike = |http: &str, fault: &str| {
        format!(
            "Prometheus server \"main\" (ADDRESS): its answer does not look like Prometheus (HTTP {http}: {fault}); does url \
             lead to Prometheus, and not to a proxy or a login page?"
        )
    };
    let text = |status: &str, words: &str| Act::Send(response(status, "text/plain; charset=utf-8", words));
    for (act, expected) in [
        (
            Act::Send(response("200 OK", "text/html", "<html>sign in</html>")),
            unlike("200, text/html", "no JSON object"),
        ),
        (json("200 OK", "{\"status\":\"\u{1}"), unlike("200, application/json", "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 12")),
        (json("200 OK", b"{\"status\":\"\xff\"}"), unlike("200, application/json", "invalid unicode code point at line 1 column 12")),
        (json("500 Internal Server Error", ""), unlike("500, application/json", "no JSON object")),
        (
            json("418 I'm a teapot", r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#),
            unlike("418, application/json", "success beside an error status"),
        ),
        (
            json("200 OK", r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2]}]}}"#),
            unlike(
                "200, application/json",
                "the sample's value is a JSON number, where Prometheus writes a string",
            ),
        ),
        (
            text("404 Not Found", "404 page not found\n"),
            "Prometheus server \"main\" (ADDRESS): it knows no /api/v1/query (HTTP 404) (404 page not found); does url need \
             another path prefix?"
                .into(),
        ),
        (
            text("503 Service Unavailable", "Service Unavailable"),
            "Prometheus server \"main\" (ADDRESS): it, or a proxy before it, cannot answer now (HTTP 503) (Service Unavailable)"
                .into(),
        ),
        (
            Act::Send(response("502 Bad Gateway", "text/html", "<html>")),
            "Prometheus server \"main\" (ADDRESS): it, or a proxy before it, cannot answer now (HTTP 502)".into(),
        ),
        (
            text("400 Bad Request", "Client sent an HTTP request to an HTTPS server.\n"),
            "Prometheus server \"main\" (ADDRESS): it speaks TLS; begin url with https://".into(),
        ),
        (
            Act::Break(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            "Prometheus server \"main\" (ADDRESS): it did not answer in HTTP (invalid HTTP version parsed); does it speak https?".into(),
        ),
        (
            Act::Break(Vec::new()),
            "Prometheus server \"main\" (ADDRESS): it broke the connection off before it had answered".into(),
        ),
        (
            Act::Break(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec()),
            "Prometheus server \"main\" (ADDRESS): it broke the connection off before it had answered".into(),
        ),
    ] {
        assert_eq!(failed(act).await, expected);
    }
}

#[tokio::test]
async fn errors_in_prometheus_own_words_are_passed_on() {
    let error = |status: &str, kind: &str, words: &str| {
        json(status, format!(r#"{{"status":"error","errorType":"{kind}","error":"{words}"}}"#))
    };
    for (act, expected) in [
        (error("400 Bad Request", "bad_data", "1:3: parse error"), "it refused the query: 1:3: parse error"),
        (
            error("422 Unprocessable Entity", "execution", "many-to-many matching not allowed"),
            "it could not evaluate the query: many-to-many matching not allowed",
        ),
        (
            error("503 Service Unavailable", "timeout", "query timed out in expression evaluation"),
            "it gave the query up: query timed out in expression evaluation; make it cheaper, for example by a recording rule, or \
             raise timeoutSeconds",
        ),
        (error("200 OK", "internal", "disk is gone"), "it could not answer (internal): disk is gone"),
        (
            json("200 OK", r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#),
            "it answered, but the query returns a range; wrap it in an aggregation over time such as rate(...) or \
             avg_over_time(...)",
        ),
    ] {
        assert_eq!(failed(act).await, format!("Prometheus server \"main\" (ADDRESS): {expected}"));
    }
}

#[tokio::test]
async fn denied_access_says_which_credentials_to_look_at() {
    let denied = |auth: Auth, status: &'static str| async move {
        let rogue = Rogue::start(move |_| Act::Send(response(status, "text/plain", "no org id"))).await;
        let reading = ask(&servers([ServerConfig { auth, ..config(&rogue.url()) }])).await;
        sentence(&reading).replace(&rogue.address.to_string(), "ADDRESS")
    };
    assert_eq!(
        denied(Auth::None, "401 Unauthorized").await,
        "Prometheus server \"main\" (ADDRESS): it denies access (HTTP 401) (no org id); no credentials are configured for it; set \
         auth, or a tenant in headers"
    );
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "hunter2").unwrap();
    assert_eq!(
        denied(Auth::BearerTokenFile(token.path().into()), "403 Forbidden").await,
        format!(
            "Prometheus server \"main\" (ADDRESS): it denies access (HTTP 403) (no org id); check the token in \
             auth.bearerTokenFile {}",
            token.path().display()
        )
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let there_is_none = servers([config(&format!("http://{nobody}"))]);
    let reading = ask(&there_is_none).await;
    assert_eq!(
        sentence(&reading),
        format!(
            "Prometheus server \"main\" ({nobody}): it refused the connection; is the server running, and the port right?"
        )
    );
    assert_eq!(there_is_none.statistics().servers["main"].failures[&FailureKind::Unreachable], 1);
    let reading = ask(&servers([config("http://prometheus.invalid:9090")])).await;
    let sentence = sentence(&reading);
    assert!(
        sentence.starts_with("Prometheus server \"main\" (prometheus.invalid:9090): no connection: "),
        "{sentence}"
    );
}

#[tokio::test]
async fn every_shape_of_answer_becomes_a_reading() {
    let scalar =
        r#"{"status":"success","data":{"resultType":"scalar","result":[1,"-Inf"]},"warnings":["partial"]}"#;
    for (act, answer, warnings) in [
        (Act::Send(values(&["2.5"])), Answer::Value(2.5), vec![]),
        (Act::Send(values(&[])), Answer::NoSeries, vec![]),
        (Act::Send(values(&["1", "2", "3"])), Answer::ManySeries(3), vec![]),
        (json("200 OK", scalar), Answer::Value(f64::NEG_INFINITY), vec!["partial".to_owned()]),
    ] {
        let rogue = Rogue::start(move |_| act.clone()).await;
        let reading = ask(&servers([config(&rogue.url())])).await;
        assert_eq!((reading.answer, reading.warnings), (answer, warnings));
        assert_eq!((reading.age, reading.covered_pods), (Age::NotSampled, None));
    }
}

#[tokio::test]
async fn an_answer_from_another_time_carries_a_warning() {
    let dated = String::from_utf8(values(&["1"])).unwrap().replacen(
        "\r\n",
        "\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n",
        1,
    );
    let rogue = Rogue::start(move |_| Act::Send(dated.clone().into_bytes())).await;
    let reading = ask(&servers([config(&rogue.url())])).await;
    let [warning] = reading.warnings.as_slice() else { panic!("{reading:?}") };
    assert!(warning.ends_with(" s behind the operator's; set both by NTP"), "{warning}");
}

/// A server that answers at noon by its own clock, while the operator's is set from one moment to another.
struct SetMeanwhile {
    clock: Mutex<jiff::Timestamp>,
    then: jiff::Timestamp,
}

impl Transport for SetMeanwhile {
    fn carry(&self, _: reqwest::Request) -> BoxFuture<'static, Result<reqwest::Response, Broken>> {
        *self.clock.lock().unwrap() = self.then;
        let answer = values(&["1"]);
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").map(|end| answer[end + 4..].to_vec());
        let response = http::Response::builder()
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::DATE, "Tue, 14 Nov 2023 12:00:00 GMT")
            .body(body.unwrap());
        Box::pin(async move { Ok(response.unwrap().into()) })
    }

    fn now(&self) -> jiff::Timestamp {
        *self.clock.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_during_which_the_clock_was_set_carries_a_warning() {
    install_tls_provider();
    let noon: jiff::Timestamp = "2023-11-14T12:00:00Z".parse().unwrap();
    let at = |seconds| noon + jiff::SignedDuration::from_secs(seconds);
    for (before, after, expected) in [
        (at(0), at(0), None),
        (at(-20), at(20), None),
        (at(-3600), at(0), Some("the server's clock is 3600 s ahead of the operator's; set both by NTP")),
        (at(0), at(-3600), Some("the server's clock is 3600 s ahead of the operator's; set both by NTP")),
        (at(90), at(0), Some("the server's clock is 90 s behind the operator's; set both by NTP")),
    ] {
        let transport: Arc<dyn Transport> = Arc::new(SetMeanwhile { clock: Mutex::new(before), then: after });
        let servers = Servers::through(Config::single("http://prometheus.test:9090"), &transport).unwrap();
        let reading = ask_at(&servers, Time::from_millis(before.as_millisecond())).await;
        assert_eq!(reading.answer, Answer::Value(1.0));
        assert_eq!(reading.warnings.first().map(String::as_str), expected, "{before} {after}");
    }
}

#[tokio::test]
async fn ages_and_coverage_that_cannot_be_had_are_said_to_be_unknown() {
    let labelset = r#"{"status":"error","errorType":"execution","error":"vector cannot contain metrics with the same labelset"}"#;
    for (age_act, expected) in [
        (Act::Send(values(&["NaN"])), "the age is NaN"),
        (
            Act::Send(values(&["+Inf"])),
            "the age is inf, which is no time; write the freshnessQuery as time() - ",
        ),
        (
            Act::Send(values(&["-30.5"])),
            "the age is -30.5 s, which is negative; write the freshnessQuery as time() - ",
        ),
        (
            json("422 Unprocessable Entity", labelset),
            "the age cannot be read off this query's selectors; declare a freshnessQuery (",
        ),
        (
            Act::Send(values(&["1", "2"])),
            "freshnessQuery returned 2 series where one is due; wrap it in max(...)",
        ),
    ] {
        let rogue = Rogue::start(move |request| match request.form["query"].as_str() {
            "up" => Act::Send(values(&["1"])),
            query if query.starts_with("time()") => age_act.clone(),
            _ => json("503 Service Unavailable", "{}"),
        })
        .await;
        let request = plimsoll::prometheus::Evaluation { coverage: true, ..evaluation("up") };
        let reading = servers([config(&rogue.url())])
            .evaluate("main", "shop", &request, prometheus_support::NOON)
            .await;
        assert_eq!(reading.answer, Answer::Value(1.0));
        assert!(
            matches!(&reading.age, Age::Unknown(words) if words.starts_with(expected)),
            "{:?}",
            reading.age
        );
        assert_eq!(reading.covered_pods, None);
        let [warning] = reading.warnings.as_slice() else { panic!("{:?}", reading.warnings) };
        assert!(warning.starts_with("how many pods stand behind the value is not known: "), "{warning}");
    }
}
