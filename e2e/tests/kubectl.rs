//! Real `kubectl` against the double on loopback; skipped in plain sight where there is none.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use e2e::apiserver::{ApiServer, Listening, Rule, Settings};
use e2e::plant::{Lasting, Plant, PlantSettings};
use serde_json::{Value, json};
use support::cluster::{deployments, web, widget};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::Duration;

/// A server with a plant and widgets, and `kubectl` for it.
struct Cluster {
    server: ApiServer,
    listening: Listening,
    directory: tempfile::TempDir,
    _plant: Plant,
}

struct Output {
    code: Option<i32>,
    text: String,
    errors: String,
}

impl Cluster {
    /// None, with a word on standard error, where there is no `kubectl`.
    async fn start() -> Option<Self> {
        if Command::new("kubectl").args(["version", "--client"]).output().await.is_err() {
            eprintln!("skipped: no kubectl on the PATH");
            return None;
        }
        let server = ApiServer::new(Settings::default());
        let quick = Lasting::Always(Duration::from_millis(200));
        let plant =
            Plant::start(&server, PlantSettings { startup: quick, drain: quick, ..PlantSettings::default() });
        let listening = server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let cluster = Self { server, listening, directory, _plant: plant.unwrap() };
        cluster.file("kubeconfig", &cluster.listening.kubeconfig());
        cluster.file("widgets.yaml", include_str!("support/widgets.yaml"));
        cluster.ok(&["apply", "-f", "widgets.yaml"]).await;
        Some(cluster)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env("KUBECONFIG", self.directory.path().join("kubeconfig"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run_with(&self, mut command: Command, input: &str) -> Output {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let done = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await;
        let done = done.expect("kubectl ends within a minute").unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: done.status.code(), text: text(&done.stdout), errors: text(&done.stderr) }
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        self.run_with(self.command(arguments), input).await
    }

    /// Runs a command that must succeed, and returns what it printed.
    async fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "").await
    }

    async fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        assert_eq!(output.code, Some(0), "kubectl {arguments:?}: {}{}", output.text, output.errors);
        output.text
    }

    /// Runs a command that must fail, and returns what it complained of.
    async fn fails(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        assert_ne!(output.code, Some(0), "kubectl {arguments:?}: {}{}", output.text, output.errors);
        output.errors
    }

    async fn edit(&self, what: &[&str], script: &str) -> String {
        let mut command = self.command(&[&["edit"], what].concat());
        command.env("EDITOR", format!("sed -i {script}"));
        let output = self.run_with(command, "").await;
        assert_eq!(output.code, Some(0), "{}{}", output.text, output.errors);
        output.text
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn a_deployment_is_applied_scaled_edited_rolled_described_and_deleted() {
    let Some(cluster) = Cluster::start().await else { return };
    let manifest = web(2, &json!({})).to_string();
    assert_eq!(cluster.ok_with(&["apply", "-f", "-"], &manifest).await, "deployment.apps/web created\n");
    assert_eq!(cluster.ok_with(&["apply", "-f", "-"], &manifest).await, "deployment.apps/web unchanged\n");
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await;
    cluster.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"]).await;

    let table = cluster.ok(&["get", "deployments"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(words(lines[0]), ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(words(lines[1])[..4], ["web", "2/2", "2", "2"]);
    let wide = cluster.ok(&["get", "pods", "-o", "wide"]).await;
    assert_eq!(
        words(wide.lines().next().unwrap())[..7],
        ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    );
    assert_eq!(words(wide.lines().nth(1).unwrap())[1..4], ["1/1", "Running", "0"]);

    assert_eq!(
        cluster.ok(&["scale", "deployment/web", "--replicas=4"]).await,
        "deployment.apps/web scaled\n"
    );
    let refused =
        cluster.fails(&["scale", "deployment/web", "--current-replicas=9", "--replicas=1"], "").await;
    assert!(refused.contains("Expected replicas to be 9, was 4"), "{refused}");
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await;
    let edited = cluster.edit(&["deployment", "web"], "s/image:.v1/image:\\ v2/").await;
    assert_eq!(edited, "deployment.apps/web edited\n");
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await;
    let images = cluster.ok(&["get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}"]).await;
    assert!(images.contains("v2"), "{images}");
    assert_eq!(cluster.ok(&["rollout", "undo", "deployment/web"]).await, "deployment.apps/web rolled back\n");
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=30s"]).await;
    let history = cluster.ok(&["rollout", "history", "deployment/web"]).await;
    assert_eq!(history.lines().filter_map(|line| words(line).first().copied()).next_back(), Some("3"));

    let described = cluster.ok(&["describe", "deployment", "web"]).await;
    for part in [
        "Replicas:               4 desired | 4 updated | 4 total | 4 available | 0 unavailable",
        "StrategyType:           RollingUpdate",
        "Available      True    MinimumReplicasAvailable",
        "Progressing    True    NewReplicaSetAvailable",
        "ScalingReplicaSet",
    ] {
        assert!(described.contains(part), "{part} is not in\n{described}");
    }
    assert!(cluster.ok(&["get", "events"]).await.contains("Scaled up replica set"));
    let patched = cluster
        .ok(&[
            "patch",
            "deployment",
            "web",
            "-p",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"v3"}]}}}}"#,
        ])
        .await;
    assert_eq!(patched, "deployment.apps/web patched\n");
    assert_eq!(cluster.ok(&["delete", "deployment", "web"]).await, "deployment.apps \"web\" deleted\n");
    assert!(
        cluster
            .fails(&["get", "deployment", "web"], "")
            .await
            .contains("(NotFound): deployments.apps \"web\" not found")
    );
}

#[tokio::test]
async fn a_custom_resource_is_applied_shown_explained_edited_and_refused() {
    let Some(cluster) = Cluster::start().await else { return };
    let of = |spec: Value| widget("one", &spec).to_string();
    cluster.ok_with(&["apply", "-f", "-"], &of(json!({"name": "ok", "replicas": 2}))).await;
    let table = cluster.ok(&["get", "wd"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        (words(lines[0]), words(lines[1])[..2].to_vec()),
        (vec!["NAME", "REPLICAS", "READY", "AGE"], vec!["one", "2"])
    );
    assert!(cluster.ok(&["get", "widgets", "-o", "wide"]).await.contains("MODE"));
    assert!(cluster.ok(&["get", "all"]).await.contains("widget.test.dev/one"), "its category is `all`");
    let explained = cluster.ok(&["explain", "widget.spec.name"]).await;
    assert!(explained.contains("What it is called."), "{explained}");
    assert!(cluster.ok(&["explain", "deployment.spec.replicas"]).await.contains("Number of desired pods"));

    let typo = cluster.fails(&["apply", "-f", "-"], &of(json!({"name": "ok", "replcas": 2}))).await;
    assert!(typo.contains("strict decoding error: unknown field \"spec.replcas\""), "{typo}");
    let rule = cluster.fails(&["apply", "-f", "-"], &of(json!({"name": "ok", "minReplicas": 20}))).await;
    assert!(
        rule.contains("spec: Invalid value: minReplicas must not be above maxReplicas; raise maxReplicas"),
        "{rule}"
    );
    let renamed =
        cluster.fails(&["patch", "wd", "one", "--type=merge", "-p", r#"{"spec":{"name":"no"}}"#], "").await;
    assert!(renamed.contains("spec.name: Invalid value: name is immutable"), "{renamed}");

    assert_eq!(
        cluster.edit(&["wd", "one"], "s/replicas:.2/replicas:\\ 5/").await,
        "widget.test.dev/one edited\n"
    );
    assert_eq!(cluster.ok(&["scale", "wd", "one", "--replicas=7"]).await, "widget.test.dev/one scaled\n");
    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    cluster.ok(&["patch", "wd", "one", "--subresource=status", "--type=merge", "-p", status]).await;
    cluster.ok(&["wait", "--for=condition=Ready", "wd/one", "--timeout=10s"]).await;
    let described = cluster.ok(&["describe", "wd", "one"]).await;
    assert!(described.contains("Replicas:      7") && described.contains("Type:    Ready"), "{described}");

    let server_side = cluster
        .fails(&["apply", "--server-side", "-f", "-"], &of(json!({"name": "ok", "replicas": 8})))
        .await;
    assert!(server_side.contains("Apply failed with 1 conflict"), "{server_side}");
    let forced = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    assert_eq!(
        cluster.ok_with(&forced, &of(json!({"name": "ok", "replicas": 8}))).await,
        "widget.test.dev/one serverside-applied\n"
    );
    let diff = cluster.run(&["diff", "-f", "-"], &of(json!({"name": "ok", "replicas": 9}))).await;
    assert!(diff.code == Some(1) && diff.text.contains("+  replicas: 9"), "{}{}", diff.text, diff.errors);
    let dry = ["apply", "--dry-run=server", "-f", "-"];
    cluster.ok_with(&dry, &of(json!({"name": "ok", "replicas": 9}))).await;
    assert_eq!(cluster.ok(&["get", "wd", "one", "-o", "jsonpath={.spec.replicas}"]).await, "8");
    assert_eq!(cluster.ok(&["delete", "wd", "one"]).await, "widget.test.dev \"one\" deleted\n");
}

#[tokio::test]
async fn a_watch_follows_changes_as_they_happen() {
    use tokio::io::AsyncBufReadExt as _;
    let Some(cluster) = Cluster::start().await else { return };
    deployments(&cluster.server).create("default", web(1, &json!({}))).unwrap();
    let mut child = cluster.command(&["get", "deployment", "web", "--watch"]).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = async |ready: &str| {
        let follow = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if words(&line).get(1) == Some(&ready) {
                    return;
                }
            }
            panic!("the watch ended before {ready}");
        };
        tokio::time::timeout(Duration::from_secs(20), follow).await.expect("the watch goes on");
    };
    until("1/1").await;
    support::cluster::edit(&cluster.server, &json!({"spec": {"replicas": 3}}));
    until("3/3").await;
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_token_may_do_what_its_rules_say_and_is_told_so_otherwise() {
    let Some(cluster) = Cluster::start().await else { return };
    let rule = Rule::new(&["get", "list"], &[""], &["pods"]);
    cluster.server.bind("viewer", "viewer", vec![rule]);
    cluster.file("kubeconfig", &cluster.listening.kubeconfig_with_token("viewer"));
    assert_eq!(cluster.run(&["get", "pods"], "").await.code, Some(0));
    let refused = cluster.fails(&["get", "deployments"], "").await;
    let sentence = "deployments.apps is forbidden: User \"viewer\" cannot list resource \"deployments\" in API group \
                    \"apps\" in the namespace \"default\"";
    assert!(refused.contains(sentence), "{refused}");
}

#[tokio::test]
async fn the_double_listens_on_loopback_only() {
    let server = ApiServer::new(Settings::default());
    let refused = server.listen("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("is not a loopback address"), "{refused}");
}
