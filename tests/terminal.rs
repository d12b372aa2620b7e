//! Commands of the terminal: completion, the plugin's name, recordings decided again, loads of Prometheus; what they print,
//! what they refuse, and in which words.

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

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{fresh, observation, spec, workload};
use plimsoll::control::{Memory, Policy, decide};
use plimsoll::operator::{RECORD_VERSION, Record};
use plimsoll::time::Time;

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env("KUBECONFIG", "/nowhere/kubeconfig").output().unwrap()
}

fn plimsoll(arguments: &[&str]) -> Output {
    run(Path::new(env!("CARGO_BIN_EXE_plimsoll")), arguments)
}

#[track_caller]
fn prints(arguments: &[&str]) -> String {
    let output = plimsoll(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refuses(arguments: &[&str], words: &str) {
    let output = plimsoll(arguments);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && fault.contains(words), "{arguments:?}: {fault}");
}

#[test]
fn each_shell_gets_its_script() {
    for (shell, words) in
        [("bash", "complete -F _plimsoll"), ("zsh", "#compdef plimsoll"), ("fish", "complete -c plimsoll")]
    {
        let script = prints(&["completion", shell]);
        assert!(script.contains(words) && script.contains("simulate"), "{shell}");
    }
    refuses(&["completion", "tcsh"], "possible values: bash, zsh, fish");
}

#[test]
fn under_its_other_names_the_program_is_a_plugin_of_kubectl() {
    let directory = tempfile::tempdir().unwrap();
    let named = |name: &str| {
        let path = directory.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plimsoll"), &path).unwrap();
        path
    };
    let plugin = named("kubectl-plimsoll");
    let help = String::from_utf8(run(&plugin, &["explain", "--help"]).stdout).unwrap();
    assert!(help.contains("Usage: kubectl plimsoll explain"), "{help}");
    let help = String::from_utf8(plimsoll(&["explain", "--help"]).stdout).unwrap();
    assert!(help.contains("Usage: plimsoll explain"), "{help}");
    let completed = String::from_utf8(run(&named("kubectl_complete-plimsoll"), &["to"]).stdout).unwrap();
    assert_eq!(completed, "top\tShow how all policies stand\n:4\n");
}

#[test]
fn what_asks_a_cluster_says_what_is_wrong_with_the_question() {
    for (arguments, words) in [
        (&["explain"][..], "<NAME>"),
        (&["explain", "checkout", "--set", "rps=9"], "write metrics.NAME=VALUE"),
        (&["explain", "checkout", "--set", "replicas=some"], "replicas=some: write a whole number"),
        (&["explain", "checkout", "-o", "yaml"], "possible values: text, json"),
        (
            &["explain", "checkout", "--kubeconfig", "/nowhere/kubeconfig"],
            "/nowhere/kubeconfig cannot be used",
        ),
        (&["explain", "checkout", "--context", "mars"], "the kubeconfig cannot be used"),
        (
            &["explain", "checkout"],
            "found neither a kubeconfig nor a pod's service account: write --kubeconfig FILE",
        ),
        (&["top", "-n", "shop", "-A"], "cannot be used with"),
        (&["top", "--once", "--watch"], "cannot be used with"),
        (&["top", "--interval", "1ms"], "--interval must be 500ms or more"),
        (&["lint"], "<FILES>"),
        (&["lint", "-n", "shop", "examples/checkout.yaml"], "write --cluster, or leave them out"),
        (&["lint", "--cluster", "examples/checkout.yaml"], "cannot be used with"),
        (&["lint", "--cluster"], "found neither a kubeconfig"),
    ] {
        refuses(arguments, words);
    }
}

#[test]
fn a_load_of_prometheus_is_asked_for_in_full_or_refused() {
    let base = |more: &[&'static str]| [&["simulate", "examples/checkout.yaml"], more].concat();
    let server = ["--prometheus", "http://127.0.0.1:1", "--query", "sum(rate(a[1m]))"];
    for (arguments, words) in [
        (base(&[]), "--load"),
        (base(&["--prometheus", "http://127.0.0.1:1"]), "--query"),
        (base(&["--query", "up"]), "--load"),
        (base(&[&server[..], &["--load", "trace:nasa"]].concat()), "cannot be used with"),
        (base(&[&server[..], &["--from", "yesterday"]].concat()), "now-7d"),
        (base(&[&server[..], &["--from", "now", "--to", "now-1h"]].concat()), "does not lie before --to"),
        (base(&[&server[..], &["--step", "1s", "--from", "now-30d"]].concat()), "choose a --step"),
        (base(&["--prometheus", "http://127.0.0.1:1", "--query", "sum(rate(a[1m])"]), "query"),
        (base(&server), "127.0.0.1:1"),
    ] {
        refuses(&arguments, words);
    }
}

/// A server that answers every query over a range with one value a minute, and none in every tenth; its address.
fn metrics_server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let form = body(&mut stream);
            let field = |name: &str| -> f64 {
                let (_, rest) = form.split_once(&format!("{name}=")).unwrap();
                rest.split('&').next().unwrap().parse().unwrap()
            };
            let (mut at, mut values) = (field("start"), Vec::new());
            while at <= field("end") {
                if (at / 60.0) % 10.0 > 0.5 {
                    values.push(serde_json::json!([at, "450"]));
                }
                at += field("step");
            }
            let data =
                serde_json::json!({"resultType": "matrix", "result": [{"metric": {}, "values": values}]});
            let answer = serde_json::json!({"status": "success", "data": data}).to_string();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
            write!(stream, "{head}: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    format!("http://{address}")
}

/// The body of a request.
fn body(stream: &mut TcpStream) -> String {
    let (mut text, mut part) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return body.to_owned();
            }
        }
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "cut off: {text}");
        text.push_str(&String::from_utf8_lossy(&part[..read]));
    }
}

#[test]
fn a_load_of_prometheus_is_simulated_and_its_gaps_are_told() {
    let range = ["--from", "1790000400", "--to", "1790014800", "--step", "60s"];
    let server = metrics_server();
    let base = ["simulate", "examples/checkout.yaml", "--prometheus", &server, "--query", "sum(rate(a[1m]))"];
    let told = prints(&[&base[..], &range].concat());
    assert!(told.starts_with("Load sum(rate(a[1m])): 241 min, mean 450.0 and peak 450.0"), "{told}");
    assert!(told.contains("of the 241 values were missing or no rates: the one before holds"), "{told}");
    let value: serde_json::Value =
        serde_json::from_str(&prints(&[&base[..], &range, &["--json"]].concat())).unwrap();
    assert_eq!(value["load"]["peak"], 450.0);
}

/// A recording of forty evaluations.
fn recording() -> Vec<Record> {
    let (spec, now) = (spec(""), Time::from_seconds(1_790_000_000));
    let policy = Policy::compile(&spec).unwrap();
    let mut memory = Memory::default();
    (0..40_i64)
        .map(|at| {
            let now = Time::from_millis(now.millis() + 15_000 * at);
            let load = 330.0 + 7.3 * f64::from(i32::try_from(at).unwrap());
            let observation = observation(workload(4, now), vec![fresh(load)]);
            let (decision, after) = decide(&policy, &observation, std::mem::take(&mut memory), now);
            memory = after;
            Record {
                version: RECORD_VERSION,
                policy: "shop/checkout".to_owned(),
                first: at == 0,
                recalled: Vec::new(),
                reversals: Vec::new(),
                start_up: None,
                drain: None,
                target_percent: None,
                zones: None,
                scalability: None,
                guards: Vec::new(),
                bottleneck_moved: false,
                recollection: None,
                now,
                spec: spec.clone(),
                observation,
                decision,
                seed: 0,
                written: false,
            }
        })
        .collect()
}

fn written(directory: &Path, name: &str, records: &[Record]) -> PathBuf {
    let lines = records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n");
    let path = directory.join(name);
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    path
}

#[test]
fn a_recording_is_decided_again_and_the_first_difference_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let records = recording();
    let file =
        |name: &str, records: &[Record]| written(directory.path(), name, records).display().to_string();
    assert_eq!(prints(&["replay", &file("all.jsonl", &records)]), "40 evaluations decided as recorded\n");
    let (head, tail) = (file("a.1.jsonl", &records[..10]), file("a.jsonl", &records[10..]));
    assert_eq!(prints(&["replay", &head, &tail]), "40 evaluations decided as recorded\n");
    refuses(&["replay", &tail], "no operator starts in these files");

    let mut tampered = records.clone();
    tampered[20].decision.message = "because I say so".to_owned();
    let path = file("tampered.jsonl", &tampered);
    let output = plimsoll(&["replay", &path]);
    let (shown, fault) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.contains("because I say so") && shown.contains("  message\n    recorded: "), "{shown}");
    assert!(
        fault.contains("line 21: this program decides otherwise, after 20 evaluations as recorded"),
        "{fault}"
    );

    let mut older = records[..1].to_vec();
    older[0].version = 1;
    refuses(&["replay", &file("older.jsonl", &older)], "recorded in version 1 of the format");
    std::fs::write(directory.path().join("other.jsonl"), "{\"a\": 1}\n").unwrap();
    let other = directory.path().join("other.jsonl").display().to_string();
    refuses(&["replay", &other], "line 1 is not what plimsoll run --record writes");
    refuses(&["replay", &file("empty.jsonl", &[])], "there is no evaluation in these files");
    refuses(&["replay", "nowhere.jsonl"], "there is no file nowhere.jsonl");
}
