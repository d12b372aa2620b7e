//! The demo as `make demo` runs it, without a terminal: what it says and how it exits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

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
