//! A newcomer with the docs alone: the commands for a cluster run as they are written, page after page, on a real API server.
//! What needs pods that run, such as `helm test`, is tried on a real node (`real_node.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use e2e::real::helm::{HelmError, helm, repository};
use e2e::real::program::Program;
use e2e::real::{Cluster, unless_missing};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use tempfile::TempDir;

/// In the order of a first week: try, protect, share, be on call, upgrade, remove; then begin again from the front page.
const PAGES: [&str; 7] = [
    "docs/quick-start.md",
    "docs/tutorial.md",
    "docs/connection-budgets.md",
    "docs/runbook/README.md",
    "docs/upgrades.md",
    "README.md",
    PLAIN_MANIFESTS,
];
/// In place of the chart, so without a release of it.
const PLAIN_MANIFESTS: &str = "docs/operations.md";
/// Seconds that one command may take.
const PATIENCE: &str = "90";

/// What a page has its reader do.
#[derive(Debug)]
enum Step {
    /// A manifest, saved under the name that its kind has in the docs.
    Save(&'static str, String),
    /// A command.
    Run(String),
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            match (language, block.first()) {
                ("yaml", _) if block.contains(&"kind: ScalingPolicy") => {
                    steps.push(Step::Save("policy.yaml", block.join("\n")));
                }
                ("yaml", _) if block.contains(&"kind: ConnectionBudget") => {
                    steps.push(Step::Save("budget.yaml", block.join("\n")));
                }
                ("sh", Some(&"# needs a cluster")) => steps.extend(commands(&block)),
                _ => {}
            }
        } else if line.starts_with("    ") {
            let mut block = vec![line];
            block.extend(lines.by_ref().take_while(|line| line.starts_with("    ")));
            steps.extend(commands(&block));
        }
    }
    steps
}

/// The commands for a cluster among these lines, each with the lines that go on with it.
fn commands(block: &[&str]) -> Vec<Step> {
    let text = block.join("\n").replace("\\\n", " ");
    let for_cluster = |line: &&str| line.starts_with("kubectl ") || line.starts_with("helm ");
    text.lines().map(str::trim).filter(for_cluster).map(|line| Step::Run(line.to_owned())).collect()
}

/// A directory that looks like the repository, where manifests can be saved, with the tools in `bin`.
fn desk(kubectl: &Path) -> TempDir {
    let desk = tempfile::tempdir().unwrap();
    for name in ["charts", "crds", "deploy", "examples"] {
        symlink(repository().join(name).canonicalize().unwrap(), desk.path().join(name)).unwrap();
    }
    fs::create_dir(desk.path().join("bin")).unwrap();
    symlink(kubectl, desk.path().join("bin/kubectl")).unwrap();
    let script = repository().join("scripts/helm.sh").canonicalize().unwrap();
    let helm = desk.path().join("bin/helm");
    // The script looks for Helm itself, and must not find this.
    let path = std::env::var("PATH").unwrap();
    fs::write(&helm, format!("#!/bin/sh\nPATH='{path}' exec {} \"$@\"\n", script.display())).unwrap();
    fs::set_permissions(&helm, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(desk.path().join("your-values.yaml"), "replicas: 2\n").unwrap();
    desk
}

/// What the command says, and whether it succeeds.
fn run(desk: &Path, kubeconfig: &Path, command: &str) -> (bool, String) {
    let path = format!("{}:{}", desk.join("bin").display(), std::env::var("PATH").unwrap());
    let output = Command::new("timeout")
        .args([PATIENCE, "sh", "-c", command])
        .current_dir(desk)
        .env("PATH", path)
        .env("KUBECONFIG", kubeconfig)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_docs_take_a_newcomer_from_nothing_to_a_protected_database_and_back() {
    let kubectl = match Program::Kubectl.find() {
        Ok(kubectl) => kubectl,
        Err(missing) => return println!("skipped: {missing}"),
    };
    if let Err(HelmError::Missing) = helm(&["template", "probe", "charts/plimsoll"], "{}") {
        return println!("skipped: {}", HelmError::Missing);
    }
    let Some(cluster) = unless_missing(Cluster::start().await).expect("a cluster") else { return };
    let client = cluster.client().await.unwrap();
    for namespace in ["shop", "search"] {
        cluster.namespace(namespace).await.unwrap();
    }
    // What a newcomer has: a service.
    let deployments: Api<Deployment> = Api::namespaced(client, "shop");
    let labels = json!({"app": "checkout"});
    let checkout = serde_json::from_value(json!({"metadata": {"name": "checkout"}, "spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}));
    deployments.create(&PostParams::default(), &checkout.unwrap()).await.unwrap();

    let desk = desk(&kubectl);
    let kubeconfig = cluster.kubeconfig_path("admin").unwrap();
    let mut ran = 0;
    for page in PAGES {
        if page == PLAIN_MANIFESTS {
            let (done, said) =
                run(desk.path(), kubeconfig, "helm uninstall plimsoll --namespace plimsoll-system");
            assert!(done, "{said}");
        }
        let text = fs::read_to_string(repository().join(page)).unwrap();
        for step in steps(&text) {
            let command = match step {
                Step::Save(name, manifest) => {
                    fs::write(desk.path().join(name), manifest).unwrap();
                    continue;
                }
                Step::Run(command) => command.replace("NAMESPACE", "shop").replace("NAME", "checkout"),
            };
            if command.starts_with("helm test") {
                continue;
            }
            println!("$ {command}");
            let (done, said) = run(desk.path(), kubeconfig, &command);
            assert!(done, "{page}: {command}\n{said}");
            println!("{said}");
            ran += 1;
        }
    }
    assert!(ran > 25, "{ran} commands");
    let there = deployments.get("checkout").await.unwrap();
    assert_eq!(
        there.spec.unwrap().replicas,
        Some(1),
        "whatever comes and goes, the service stays at its count"
    );
    deployments.delete("checkout", &DeleteParams::default()).await.unwrap();
}
