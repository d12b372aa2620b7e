//! The demo as `make demo` runs it, without a terminal: what it says and how it exits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::demo::query::QueryEndpoint;
use e2e::real::{Exporter, Prometheus, Target, unless_missing};
use plimsoll::operator::Clock;
use plimsoll::prometheus::{Config, Evaluation, Servers};
use plimsoll::signal::{Age, Answer, Moments, Reading};
use plimsoll::time::Span;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A demo that is given `arguments`, and what it may leave behind: nothing.
struct Demo {
    child: Child,
    directory: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(arguments)
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// What it said, and its exit code. Whatever it was told, it has cleaned up.
    fn end(mut self) -> (String, Option<i32>) {
        let deadline = Instant::now() + Duration::from_mins(2);
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("the demo did not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let Output { status, stdout, stderr } = self.child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_empty(self.directory.path(), &said);
        (said, status.code())
    }
}

/// The guardian removes the last directory a moment after the process.
fn assert_empty(directory: &Path, said: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?} is left behind; it said:\n{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn line<'a>(said: &'a str, words: &[&str]) -> &'a str {
    let found = said.lines().find(|line| words.iter().all(|word| line.contains(word)));
    found.unwrap_or_else(|| panic!("no line with {words:?} in:\n{said}"))
}

#[test]
fn a_short_day_holds_and_says_so_in_numbers() {
    let (said, code) = Demo::start(&["--duration", "30s"]).end();
    assert_eq!(code, Some(0), "{said}");
    line(&said, &["ok", "budget", "of 280 connections, none refused"]);
    line(&said, &["ok", "load", "of what 16 replicas carry"]);
    line(&said, &["ok", "metric", "replicas were kept"]);
    line(&said, &["an HPA", "with the same target"]);
    line(&said, &["kubectl --kubeconfig", "-n shop describe sp checkout"]);
    line(&said, &["ConnectionBudget", "held at 16 by database connections of orders-db"]);
    line(&said, &["a new version is rolled out"]);
    assert!(!said.contains('\u{1b}'), "no codes for terminals where there is none: {said:?}");
}

#[test]
fn a_budget_that_is_only_observed_is_exceeded_and_the_demo_fails() {
    let policy = include_str!("../../examples/demo/policy.yaml");
    let observing = policy.replace("      perPod: 10\n", "      perPod: 10\n      enforcement: Observe\n");
    assert_ne!(policy, observing);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    fs::write(&file, observing).unwrap();
    let arguments = ["--duration", "25s", "--without-prometheus", "--policy", file.to_str().unwrap()];
    let (said, code) = Demo::start(&arguments).end();
    assert_eq!(code, Some(1), "{said}");
    line(&said, &["Signals come from", "the test bed's own query endpoint"]);
    line(&said, &["FAILED", "budget", "280 is the limit"]);
    line(&said, &["ok", "metric"]);
}

#[test]
fn an_interrupted_demo_cleans_up_and_says_what_it_saw() {
    let mut demo = Demo::start(&["--duration", "2m"]);
    let mut lines = BufReader::new(demo.child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("calm: a few requests")), "the day begins");
    kill_process(Pid::from_child(&demo.child), Signal::INT).unwrap();
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(said.iter().any(|line| line.contains("Stopped before the day was over")), "{said:?}");
    assert_eq!(demo.end().1, Some(130));
}

#[test]
fn a_policy_that_the_api_server_refuses_ends_the_demo_in_its_words() {
    let policy = include_str!("../../examples/demo/policy.yaml").replace("minReplicas: 5", "minReplicas: 50");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    fs::write(&file, policy).unwrap();
    let (said, code) = Demo::start(&["--policy", file.to_str().unwrap()]).end();
    assert_eq!(code, Some(2), "{said}");
    line(&said, &["the policy is refused", "maxReplicas", "minReplicas"]);
}

fn question(query: &str) -> Evaluation {
    Evaluation {
        query: query.to_owned(),
        freshness_query: None,
        max_age: Span::ZERO,
        coverage: false,
        ask_age: false,
        newer_than: None,
    }
}

/// What a server answers to a query, as the operator asks it.
async fn ask(servers: &Servers, query: &str) -> Answer {
    servers.evaluate("main", "shop", &question(query), Clock::wall().now()).await.answer
}

/// What a server answers to a query for each of the last ten seconds, the oldest first.
async fn ask_about_the_past(servers: &Servers, query: &str) -> Vec<Reading> {
    let now = Clock::wall().now();
    let moments = Moments::within(now - Span::from_seconds(10), now, Span::from_seconds(1));
    let question = Evaluation { ask_age: true, ..question(query) };
    servers.history("main", "shop", &question, moments).await.unwrap()
}

#[tokio::test]
async fn the_stand_in_for_prometheus_answers_as_prometheus_does() {
    let exporter = Exporter::start().unwrap();
    exporter.counter("arrivals_total", &[("service", "checkout")], 0.0);
    let target = Target::new("ingress", exporter.address());
    let Some(prometheus) = unless_missing(Prometheus::start(&[target]).await).unwrap() else { return };
    let stand_in = QueryEndpoint::start(exporter.address()).unwrap();
    let servers = |url: &str| Servers::new(Config::single(url)).unwrap();
    let both = [servers(&prometheus.url()), servers(&stand_in.url())];

    let counting = async {
        let beginning = Instant::now();
        loop {
            let value = 1000.0 * beginning.elapsed().as_secs_f64();
            exporter.counter("arrivals_total", &[("service", "checkout")], value);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Prometheus looks for its targets every five seconds, and a rate needs some samples.
    let comparing = async {
        tokio::time::sleep(Duration::from_secs(12)).await;
        for server in &both {
            let rate = ask(server, "sum(rate(arrivals_total{service=\"checkout\"}[4s]))").await;
            assert!(matches!(rate, Answer::Value(rate) if (900.0..1100.0).contains(&rate)), "{rate:?}");
            let age = ask(server, "time() - max(timestamp(arrivals_total))").await;
            assert!(matches!(age, Answer::Value(age) if (0.0..2.5).contains(&age)), "{age:?}");
            assert_eq!(ask(server, "sum(rate(nothing_total[4s]))").await, Answer::NoSeries);
            let past = ask_about_the_past(server, "sum(rate(arrivals_total[4s]))").await;
            let counts = |reading: &&Reading| matches!(reading.answer, Answer::Value(rate) if (900.0..1100.0).contains(&rate));
            assert!((10..=11).contains(&past.len()), "{past:?}");
            assert!(past.iter().filter(counts).count() >= 3 && counts(&past.last().unwrap()), "{past:?}");
            assert!(
                matches!(past.last().unwrap().age, Age::Measured(age) if age < Span::from_seconds(3)),
                "{past:?}"
            );
            let nothing = ask_about_the_past(server, "sum(rate(nothing_total[4s]))").await;
            assert!(nothing.iter().all(|reading| reading.answer == Answer::NoSeries), "{nothing:?}");
            assert!(nothing.iter().all(|reading| reading.age == Age::NoSample), "{nothing:?}");
        }
    };
    tokio::select! {
        () = comparing => {}
        () = counting => {}
    }
    exporter.remove_metric("arrivals_total");
    tokio::time::sleep(Duration::from_secs(3)).await;
    for server in &both {
        assert_eq!(ask(server, "max(timestamp(arrivals_total))").await, Answer::NoSeries, "stale at once");
        let fading = ask(server, "rate(arrivals_total[30s])").await;
        assert!(
            matches!(fading, Answer::Value(rate) if rate > 0.0),
            "a range still holds samples: {fading:?}"
        );
    }
}
