//! `plimsoll fit` from what Prometheus remembers, as a person runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod prometheus_support;

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use prometheus_support::real::{Prometheus, now};
use prometheus_support::{Act, Rogue, json};

fn fit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).arg("fit").args(arguments).output().unwrap()
}

#[track_caller]
fn prints(arguments: &[&str]) -> String {
    let output = fit(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refuses(arguments: &[&str], words: &str) {
    let output = fit(arguments);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && fault.contains(words), "{arguments:?}: {fault}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
}

const THROUGHPUT: &str = "sum(rate(checkout_served_total[1m]))";
const REPLICAS: &str = "count(up{job=\"checkout\"} == 1)";
const UTILIZATION: &str = "sum(checkout_workers_busy) / sum(checkout_workers)";

#[test]
fn what_is_asked_of_prometheus_is_asked_in_full_or_refused() {
    let server = ["--prometheus", "http://127.0.0.1:1"];
    let asked = [&server[..], &["--throughput", THROUGHPUT, "--replicas", REPLICAS]].concat();
    let with = |more: &[&'static str]| [&asked[..], more].concat();
    for (arguments, words) in [
        (vec![], "nothing to fit: name a CSV file of replicas,throughput, or a server with --prometheus URL"),
        (
            server.to_vec(),
            "say what to ask for: --throughput PROMQL with --replicas PROMQL, or --policy FILE",
        ),
        (asked.clone(), "throughput tells a capacity only together with the load: add --utilization"),
        (with(&["--saturated", "--utilization", "up"]), "cannot be used with"),
        (with(&["--saturated", "measurements.csv"]), "cannot be used with"),
        (with(&["--saturated", "--window", "7s"]), "--window must be 8s or longer"),
        (with(&["--saturated", "--window", "soon"]), "is not a time"),
        (with(&["--saturated", "--from", "now-90d", "--window", "8s"]), "choose a --window"),
        (with(&["--saturated", "--from", "now", "--to", "now-1h"]), "does not lie before --to"),
        (with(&["--saturated", "--server", "main"]), "cannot be used with"),
        (with(&["--saturated", "--prometheus-config", "x.yaml"]), "cannot be used with"),
        (with(&["--saturated"]), "127.0.0.1:1"),
        (with(&["--utilization", "sum(busy"]), "utilization: the query is not usable"),
        ([&server[..], &["--policy", "nowhere.yaml"]].concat(), "there is no file nowhere.yaml"),
        (
            [&server[..], &["--policy", "examples/checkout.yaml"]].concat(),
            "examples/checkout.yaml: the policy has no ceilings.scalability.fit",
        ),
        (vec!["--prometheus", "ftp://x", "--throughput", "up", "--replicas", "up", "--saturated"], "http"),
        (
            vec![
                "--prometheus-config",
                "nowhere.yaml",
                "--throughput",
                "up",
                "--replicas",
                "up",
                "--saturated",
            ],
            "the configuration nowhere.yaml cannot be read",
        ),
    ] {
        refuses(&arguments, words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_the_configuration_and_are_never_shown() {
    let nothing = r#"{"status": "success", "data": {"resultType": "matrix", "result": []}}"#;
    let server = Rogue::start(move |_| json("200 OK", nothing)).await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let config = directory.path().join("config.yaml");
    let text = format!(
        "prometheusServers: [{{name: far, url: \"{}\", auth: {{bearerTokenFile: {}}}}}]",
        server.url(),
        token.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let asked =
        ["--prometheus-config", config, "--throughput", THROUGHPUT, "--replicas", REPLICAS, "--saturated"];
    refuses(&asked, "main");
    let arguments = [&asked[..], &["--server", "far"]].concat();
    refuses(&arguments, "throughput: the query yields nothing in this range");
    let requests = server.requests();
    assert!(requests.len() >= 4, "a day in pieces of two queries: {}", requests.len());
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer s3cret"));
    let said = String::from_utf8(fit(&arguments).stderr).unwrap();
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_ends_the_command_in_time() {
    let server = Rogue::start(|_| Act::Hang).await;
    let begun = Instant::now();
    refuses(
        &["--prometheus", &server.url(), "--throughput", THROUGHPUT, "--replicas", REPLICAS, "--saturated"],
        "throughput: ",
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A service that was kept at 2 to 24 replicas, 20 minutes each, 75 % busy, and carried what its law says, within 1 %.
fn history(start: i64) -> String {
    let law = |size: f64| 100.0 * size / (1.0 + 0.02 * (size - 1.0) + 0.004 * size * (size - 1.0));
    let mut served = 0.0;
    let (mut up, mut busy, mut workers, mut total) =
        (String::new(), String::new(), String::new(), String::new());
    let ticks: Vec<(i64, i32)> =
        (0..12 * 80).map(|tick| (start + 15 * i64::from(tick), 2 + 2 * (tick / 80))).collect();
    for instance in 0..24 {
        for (at, size) in ticks.iter().filter(|(_, size)| instance < *size) {
            writeln!(up, "up{{job=\"checkout\",instance=\"{instance}\"}} 1 {at} # {size}").unwrap();
        }
    }
    let up = up.lines().map(|line| line.split(" #").next().unwrap().to_owned() + "\n").collect::<String>();
    for (number, (at, size)) in ticks.iter().enumerate() {
        let size = f64::from(*size);
        let noise = 1.0 + 0.01 * f64::from(i32::try_from(number * 7 % 11).unwrap() - 5) / 5.0;
        served += 15.0 * 0.75 * law(size) * noise;
        writeln!(busy, "checkout_workers_busy {} {at}", 0.75 * 8.0 * size).unwrap();
        writeln!(workers, "checkout_workers {} {at}", 8.0 * size).unwrap();
        writeln!(total, "checkout_served_total {served} {at}").unwrap();
    }
    format!(
        "# TYPE up gauge\n{up}# TYPE checkout_workers_busy gauge\n{busy}# TYPE checkout_workers gauge\n{workers}\
         # TYPE checkout_served counter\n{total}# EOF\n"
    )
}

#[tokio::test]
async fn a_real_prometheus_remembers_a_law_and_it_is_found() {
    let start = now().millis().div_euclid(1000) - 6 * 3600;
    let Some(prometheus) = Prometheus::start_remembering(&history(start)).await else { return };
    let (from, to) = (start.to_string(), (start + 12 * 80 * 15).to_string());
    let directory = tempfile::tempdir().unwrap();
    let plot = directory.path().join("fit.svg");
    let ask = |more: &[&str]| {
        let range = ["--prometheus", &prometheus.url, "--from", &from, "--to", &to];
        prints(&[&range[..], more].concat())
    };
    let text = ask(&["--policy", "examples/scalability.yaml", "--svg", plot.to_str().unwrap()]);
    println!("{text}");
    for words in ["at 12 sizes, 2 to 24 replicas", "The peak is identified", "the operator's own fit allows"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(std::fs::read_to_string(&plot).unwrap().contains("N* = 15."));
    let queries = ["--throughput", THROUGHPUT, "--replicas", REPLICAS];
    let json = ask(&[&queries[..], &["--utilization", UTILIZATION, "--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let number = |name: &str| json[name].as_f64().unwrap();
    // √((1 − 0.02) / 0.004)
    assert!((number("peakSize") - 15.65).abs() < 0.3 && (number("lambda") - 100.0).abs() < 3.0, "{json}");
    assert!(json["ceiling"].as_u64().unwrap() >= 12, "{json}");
    let full: serde_json::Value =
        serde_json::from_str(&ask(&[&queries[..], &["--saturated", "--json"]].concat())).unwrap();
    assert!((full["lambda"].as_f64().unwrap() - 75.0).abs() < 3.0, "throughput itself: {full}");

    let many = [&queries[..2], &["--replicas", "up", "--saturated"]].concat();
    let range = ["--prometheus", &prometheus.url, "--from", &from, "--to", &to];
    refuses(&[&range[..], &many].concat(), "replicas: the query yields 2 series at ");
    let percent = format!("100 * {UTILIZATION}");
    refuses(
        &[&range[..], &queries, &["--utilization", &percent]].concat(),
        "divide by 100 what is in percent",
    );
}
