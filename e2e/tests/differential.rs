//! The double and a real API server are sent the same requests and must give the same answers.
//!
//! What a real server of version 1.36 answered is kept in `data/answers-1.36.jsonl`, so that the double is held to it
//! everywhere; where the real binaries are found, they are asked again. `RECORD=1` writes the file anew.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking, and its tables are long"
)]

mod support;

use std::fmt::Write as _;

use e2e::apiserver::{ApiServer, Settings};
use serde_json::{Value, json};
use support::requests::{JSON, Step, WIDGETS, all};

/// The answers of the version whose words the double speaks.
const RECORDED: &str = include_str!("data/answers-1.36.jsonl");
const RECORDED_VERSION: (&str, &str) = ("1", "36");

/// Code, warnings and body, without what must differ between two servers.
type Answer = (u16, Vec<String>, Value);

/// Answers with what must differ between two servers taken out.
fn comparable(mut answer: Value) -> Value {
    strip(&mut answer);
    // Entries come in the order of their times, which a slow machine changes.
    if let Some(entries) = answer.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
        entries.sort_by_key(Value::to_string);
    }
    // A real server lists several causes in any order.
    if let Some(causes) = answer.pointer_mut("/details/causes").and_then(Value::as_array_mut)
        && causes.len() > 1
    {
        causes.sort_by_key(Value::to_string);
        answer["message"] = json!("…");
    }
    answer
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for volatile in VOLATILE {
                if let Some(value) = fields.get_mut(*volatile)
                    && value.is_string()
                {
                    *value = json!("…");
                }
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(entries) => entries.iter_mut().for_each(strip),
        _ => {}
    }
}

const VOLATILE: &[&str] = &[
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "time",
    "lastTransitionTime",
    "lastUpdateTime",
];

/// What the two are known to say differently, and why that is of no consequence to a client.
fn is_known(step: &Step, real: &Value, double: &Value) -> bool {
    let message = |value: &Value| value["message"].as_str().unwrap_or_default().to_owned();
    let (real_message, double_message) = (message(real), message(double));
    // Names that the servers generate.
    let generates = step.body.contains("generateName");
    // uids inside of sentences.
    let is_precondition = ["UID in", "ResourceVersion in"].iter().any(|word| {
        real_message.contains(word) && double_message.contains(word) && real["code"] == double["code"]
    });
    // Reviews are answered and thrown away; nobody reads who owns their fields.
    let same_verdict = step.path.contains("selfsubjectaccessreviews")
        && real["status"]["allowed"] == double["status"]["allowed"];
    generates || is_precondition || same_verdict
}

async fn answers(client: &kube::Client, steps: &[Step]) -> Vec<Answer> {
    let mut seen = (String::new(), String::new());
    let mut answers = Vec::new();
    for step in steps {
        let fill = |text: &str| text.replace("{rv}", &seen.0).replace("{uid}", &seen.1);
        let (path, body) = (fill(&step.path), fill(&step.body));
        let answer = support::send(client, step.method, &path, step.content_type, &body).await;
        if let Some(version) = answer.2["metadata"]["resourceVersion"].as_str() {
            let uid = answer.2["metadata"]["uid"].as_str().unwrap_or_default();
            seen = (version.to_owned(), uid.to_owned());
        }
        answers.push((answer.0, answer.1, comparable(answer.2)));
    }
    answers
}

async fn install_widgets(client: &kube::Client) {
    let crd = include_str!("support/widgets.yaml");
    let crd: Value = serde_saphyr::from_str(crd).unwrap();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, _, answer) = support::send(client, "POST", path, JSON, &crd.to_string()).await;
    assert_eq!(code, 201, "{answer}");
    for _ in 0..100 {
        if support::send(client, "GET", WIDGETS, JSON, "").await.0 == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the CRD is not served after ten seconds");
}

/// What differs between the two, in words.
fn differences(
    steps: &[Step],
    real: &[Answer],
    double: &[Answer],
    same: impl Fn(&Answer, &Answer) -> bool,
) -> Vec<String> {
    assert_eq!((steps.len(), real.len()), (double.len(), double.len()), "one answer to each request");
    let mut differences = Vec::new();
    for ((step, real), double) in steps.iter().zip(real).zip(double) {
        if !same(real, double) && !is_known(step, &real.2, &double.2) {
            let mut difference = format!("{} {} {}\n", step.method, step.path, step.body);
            let _ = writeln!(difference, "  real:   {} {:?} {}", real.0, real.1, real.2);
            let _ = writeln!(difference, "  double: {} {:?} {}", double.0, double.1, double.2);
            let _ = write!(difference, "  {}", first_difference(&real.2, &double.2, String::new()));
            differences.push(difference);
        }
    }
    differences
}

async fn answers_of_double(steps: &[Step]) -> Vec<Answer> {
    let double = ApiServer::new(Settings::default()).client();
    install_widgets(&double).await;
    answers(&double, steps).await
}

#[tokio::test]
async fn the_double_answers_as_a_real_server_did() {
    let steps = all();
    let recorded: Vec<Answer> = RECORDED.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = answers_of_double(&steps).await;
    let differences = differences(&steps, &recorded, &found, |real, double| real == double);
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        steps.len(),
        differences.join("\n")
    );
}

#[tokio::test]
async fn the_double_answers_as_the_real_server_here_does() {
    let Some(real) = support::real::start().await else { return };
    install_widgets(&real.client).await;
    let steps = all();
    let expected = answers(&real.client, &steps).await;
    let version = real.client.apiserver_version().await.unwrap();
    let speaks_the_same = (version.major.as_str(), version.minor.as_str()) == RECORDED_VERSION;
    if std::env::var_os("RECORD").is_some() {
        assert!(speaks_the_same, "the record is of 1.36, this is {}.{}", version.major, version.minor);
        let lines: Vec<String> =
            expected.iter().map(|answer| serde_json::to_string(answer).unwrap()).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/answers-1.36.jsonl");
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    let found = answers_of_double(&steps).await;
    // Versions word their sentences differently; what they decide is the same.
    let same = |real: &Answer, double: &Answer| {
        if speaks_the_same {
            real == double
        } else {
            real.0 == double.0 && real.2["reason"] == double.2["reason"]
        }
    };
    let differences = differences(&steps, &expected, &found, same);
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        steps.len(),
        differences.join("\n")
    );
}

/// What a watch told, line by line, until it ended.
async fn told(client: &kube::Client, path: &str) -> Vec<Value> {
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let deadline = std::time::Duration::from_secs(30);
    let text =
        tokio::time::timeout(deadline, response.into_body().collect_bytes()).await.expect("the watch ends");
    let text = String::from_utf8(text.unwrap().to_vec()).unwrap();
    text.lines().map(|line| comparable(serde_json::from_str(line).unwrap())).collect()
}

/// Watches a course of changes from several points and with several selectors.
async fn watch_stories(client: &kube::Client) -> Vec<(String, Vec<Value>)> {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let put = async |name: &str, labels: Value| {
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}});
        let path = format!("{MAPS}/{name}?fieldManager=t&force=true");
        let answer =
            support::send(client, "PATCH", &path, "application/apply-patch+yaml", &map.to_string()).await.2;
        answer["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let first = put("w1", json!({"of": "watch", "a": "1"})).await;
    let second = put("w2", json!({"of": "watch"})).await;
    put("w1", json!({"of": "watch", "a": "2"})).await;
    support::send(client, "DELETE", &format!("{MAPS}/w2"), JSON, "").await;
    let last = put("w3", json!({"of": "watch"})).await;
    let mut stories = Vec::new();
    for (name, query) in [
        ("all after the first", format!("resourceVersion={first}&labelSelector=of%3Dwatch")),
        ("what ceases to match", format!("resourceVersion={first}&labelSelector=of%3Dwatch,a%3D1")),
        ("what begins to match", format!("resourceVersion={second}&labelSelector=of%3Dwatch,a%3D2")),
        ("one by name", format!("resourceVersion={second}&fieldSelector=metadata.name%3Dw2")),
        ("what is there", "resourceVersion=0&labelSelector=of%3Dwatch".to_owned()),
        ("nothing after the last", format!("resourceVersion={last}&labelSelector=of%3Dwatch")),
        ("metadata of nothing", format!("resourceVersion={last}&labelSelector=of%3Dnothing")),
    ] {
        stories.push((
            name.to_owned(),
            told(client, &format!("{MAPS}?watch=true&timeoutSeconds=1&{query}")).await,
        ));
    }
    stories
}

#[tokio::test]
async fn the_double_tells_watchers_what_the_real_server_here_tells_them() {
    let Some(real) = support::real::start().await else { return };
    let double = ApiServer::new(Settings::default()).client();
    let (expected, found) = (watch_stories(&real.client).await, watch_stories(&double).await);
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found, "{}", expected.0);
    }
}

fn first_difference(real: &Value, double: &Value, path: String) -> String {
    match (real, double) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let (left, right) =
                    (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
                if left != right || a.contains_key(name) != b.contains_key(name) {
                    return first_difference(left, right, format!("{path}/{name}"));
                }
            }
            path
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0);
            first_difference(&a[at], &b[at], format!("{path}/{at}"))
        }
        _ => format!("at {path}: {real} against {double}"),
    }
}
