//! The program as a person runs it against a cluster: real processes, the API server double on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::apiserver::{ApiServer, Listening, Settings};
use serde_json::{Value, json};
use tokio::process::Command;

/// Any of these commands ends within seconds.
const DEADLINE: Duration = Duration::from_secs(60);

struct Cluster {
    server: ApiServer,
    _listening: Listening,
    directory: tempfile::TempDir,
}

struct Ran {
    success: bool,
    text: String,
    errors: String,
}

impl Cluster {
    async fn start() -> Self {
        let server = ApiServer::new(Settings::default());
        server.add_namespace("shop");
        for definition in plimsoll::api::definitions() {
            let definition = serde_json::to_value(definition).unwrap();
            let collection =
                server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
            collection.create("", definition).unwrap();
        }
        let listening = server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kubeconfig"), listening.kubeconfig()).unwrap();
        Self { server, _listening: listening, directory }
    }

    fn create(&self, group: &str, version: &str, plural: &str, object: Value) {
        self.server.collection(group, version, plural).unwrap().create("shop", object).unwrap();
    }

    /// A policy under a database of 60 connections, a workload with three pods, and what an operator said of them.
    fn furnish(&self) {
        let labels = json!({"app": "checkout"});
        let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
        let selector = json!({"matchLabels": labels});
        let deployment = json!({"metadata": {"name": "checkout"},
            "spec": {"replicas": 3, "selector": selector, "template": pod}});
        self.create("apps", "v1", "deployments", deployment.clone());
        let mut other = deployment;
        other["metadata"]["name"] = json!("bystander");
        self.create("apps", "v1", "deployments", other);
        let policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "checkout"},
            "spec": {"scaleTargetRef": {"name": "checkout"}, "minReplicas": 2, "maxReplicas": 40,
                "metrics": [{"name": "rps", "prometheus": {"query": "sum(rate(requests_total[1m]))"},
                             "target": {"type": "AverageValue", "averageValue": "100"}}]},
            "status": {"asOf": "2026-11-22T08:00:00Z", "currentReplicas": 3, "desiredReplicas": 3, "effectiveMaxReplicas": 40,
                "targets": "rps 280/100 each", "metrics": [{"name": "rps", "state": "Fresh", "value": "280", "target": "100", "need": 3}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "3 as needed",
                                "lastTransitionTime": "2026-11-22T08:00:00Z"}],
                "decision": {"time": "2026-11-22T08:00:00Z", "from": 3, "to": 3, "reason": "WithinTolerance",
                             "message": "3 replicas as needed", "steps": []}}
        });
        let status = policy["status"].clone();
        self.create("plimsoll.dev", "v1alpha1", "scalingpolicies", policy);
        let collection = self.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").unwrap();
        let mut created = collection.get("shop", "checkout").unwrap();
        created["status"] = status;
        collection.update_status("shop", created).unwrap();
    }

    async fn run_as(&self, program: &Path, arguments: &[&str]) -> Ran {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.directory.path().join("kubeconfig"))
            .env("HOME", self.directory.path())
            .env("TERM", "xterm")
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { success: output.status.success(), text: text(&output.stdout), errors: text(&output.stderr) }
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as(Path::new(env!("CARGO_BIN_EXE_operator")), arguments).await
    }

    async fn prints(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert!(ran.success, "{arguments:?}: {}{}", ran.text, ran.errors);
        println!("$ plimsoll {}\n{}", arguments.join(" "), ran.text);
        ran.text
    }

    async fn refuses(&self, arguments: &[&str], words: &str) {
        let ran = self.run(arguments).await;
        assert!(!ran.success && ran.errors.contains(words), "{arguments:?}: {}{}", ran.text, ran.errors);
    }

    fn link(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_operator"), &path).unwrap();
        path
    }
}

#[tokio::test]
async fn commands_tell_what_stands_in_the_cluster_and_name_what_does_not() {
    let cluster = Cluster::start().await;
    cluster
        .refuses(&["lint", "--cluster", "-n", "shop"], "there is no ScalingPolicy in namespace shop")
        .await;
    cluster.furnish();

    let told = cluster.prints(&["explain", "checkout", "-n", "shop"]).await;
    assert!(told.contains("3 replicas as needed") && !told.contains('\x1b'), "{told}");
    let value: Value =
        serde_json::from_str(&cluster.prints(&["explain", "checkout", "-n", "shop", "-o", "json"]).await)
            .unwrap();
    assert_eq!(value["status"]["decision"]["reason"], "WithinTolerance");

    let what_if = cluster
        .prints(&["explain", "checkout", "-n", "shop", "--set", "metrics.rps=900", "--set", "replicas=4"])
        .await;
    assert!(what_if.contains("If metric rps is 900, and the workload has 4 replicas:"), "{what_if}");
    assert!(what_if.contains("Decision: 4 → 8, AboveTarget"), "{what_if}");
    assert!(what_if.contains("What this cannot know"), "{what_if}");
    let value = cluster
        .prints(&["explain", "checkout", "-n", "shop", "--set", "metrics.rps=900", "-o", "json"])
        .await;
    let value: Value = serde_json::from_str(&value).unwrap();
    assert!(value["unknown"][0].is_string() && value["status"]["decision"]["steps"].is_array(), "{value}");

    let top = cluster.prints(&["top", "-A"]).await;
    assert!(top.starts_with("NAMESPACE") && top.contains("checkout") && !top.contains('\x1b'), "{top}");
    let value: Value =
        serde_json::from_str(&cluster.prints(&["top", "-n", "shop", "-o", "json"]).await).unwrap();
    assert_eq!(value["policies"][0]["replicas"], 3);
    assert_eq!(cluster.prints(&["top", "-n", "default", "--once"]).await, "no ScalingPolicy found\n");

    let ran = cluster.run(&["lint", "--cluster", "-n", "shop"]).await;
    println!("{}", ran.text);
    for words in [
        "shop/deployments/checkout:1: warning [no-pod-disruption-budget]",
        "shop/scalingpolicies/checkout:1: warning [no-ceiling]",
    ] {
        assert!(ran.text.contains(words), "{words} is missing in {}", ran.text);
    }
    assert!(!ran.text.contains("replicas-in-manifest"), "a live object always has a count: {}", ran.text);
    assert!(
        !ran.text.contains("bystander"),
        "workloads without a policy are nobody's business: {}",
        ran.text
    );
    assert!(cluster.run(&["lint", "--cluster", "-A", "--fail-on", "never"]).await.success);

    cluster
        .refuses(
            &["explain", "search", "-n", "shop"],
            "there is no ScalingPolicy shop/search: the namespace has checkout",
        )
        .await;
    cluster
        .refuses(
            &["explain", "checkout"],
            "there is no ScalingPolicy default/checkout, and no other in namespace default",
        )
        .await;
    cluster.refuses(&["explain", "checkout", "-n", "shop", "--set", "metrics.p99=1"], "it has rps").await;
}

#[tokio::test]
async fn a_cluster_without_the_definitions_is_told_how_to_get_them_and_a_dead_one_ends_in_time() {
    let server = ApiServer::new(Settings::default());
    let listening = server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("kubeconfig"), listening.kubeconfig()).unwrap();
    let cluster = Cluster { server, _listening: listening, directory };
    cluster.refuses(&["top", "-A"], "install the definitions with plimsoll crd | kubectl apply -f -").await;

    // Somebody listens, and never answers.
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}], "users": [{"name": "x", "user": {}}],
        "clusters": [{"name": "x", "cluster": {"server": format!("http://{}", silent.local_addr().unwrap())}}]});
    let path = cluster.directory.path().join("silent");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let begun = std::time::Instant::now();
    cluster
        .refuses(
            &["explain", "checkout", "--kubeconfig", path.to_str().unwrap()],
            "the API server did not answer get scalingpolicies in namespace default within 5 s",
        )
        .await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn kubectl_runs_it_as_a_plugin() {
    let cluster = Cluster::start().await;
    cluster.furnish();
    let plugin = cluster.link("kubectl-plimsoll");
    let direct = cluster.run_as(&plugin, &["top", "--bogus"]).await;
    assert!(direct.errors.contains("Usage: kubectl plimsoll top"), "{}", direct.errors);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("kubectl");
    command
        .args(["plimsoll", "explain", "checkout", "-n", "shop"])
        .env("KUBECONFIG", cluster.directory.path().join("kubeconfig"))
        .env("PATH", format!("{}:{path}", cluster.directory.path().display()))
        .kill_on_drop(true);
    let Ok(output) = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends") else {
        println!("skipped: no kubectl on the PATH");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("ScalingPolicy shop/checkout"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
