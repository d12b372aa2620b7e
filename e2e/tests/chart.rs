//! The Helm chart says what the repository says elsewhere, renders what Kubernetes accepts, and refuses bad values in words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::time::Duration;

use clap::Parser;
use e2e::real::helm::{HelmError, helm, repository};
use e2e::real::{Cluster, unless_missing};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use plimsoll::prometheus;
use serde_json::{Value, json};

const CHART: &str = "charts/plimsoll";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Values that differ from the defaults in one respect each.
const VALUES: [(&str, &str); 6] = [
    ("the defaults", "{}"),
    ("one replica", "replicas: 1"),
    (
        "every field of a server",
        "prometheusServers:
- name: main
  url: https://thanos.example.com/prometheus
  auth: {basicAuth: {username: reader, passwordFile: /etc/plimsoll/secrets/thanos/password}}
  tls: {caFile: /a, certFile: /b, keyFile: /c, serverName: thanos.example.com}
  headers: {X-Scope-OrgID: team-a}
  headerFiles: {X-Key: /etc/plimsoll/secrets/thanos/key}
  timeoutSeconds: 60
  maxConcurrentQueries: 1000
  allowedNamespaces: [team-a]
  namespaceLabel: namespace
- {name: other, url: 'http://10.0.0.1:9090', auth: {bearerTokenFile: /etc/plimsoll/secrets/other.v2/token}}
credentialSecrets: [thanos, other.v2]",
    ),
    ("namespaces", "namespaces: [shop, pay]\nlogLevel: plimsoll=debug,info"),
    ("other kinds", "rbac: {additionalScaleTargets: [{apiGroup: argoproj.io, resource: rollouts}]}"),
    (
        "placement",
        "priorityClassName: system-cluster-critical
nodeSelector: {pool: system}
tolerations: [{key: system, operator: Exists}]
affinity: {nodeAffinity: {}}
imagePullSecrets: [registry]
podAnnotations: {a: b}
podLabels: {c: d}
serviceAccount: {annotations: {e: f}}",
    ),
];

/// Values that must be refused, and what the refusal must name.
const WRONG: [(&str, &str); 9] = [
    ("replica: 2", "replica"),
    ("replicas: 0", "replicas"),
    ("prometheusServers: []", "prometheusServers"),
    ("prometheusServers: [{name: main, url: 'ftp://here'}]", "url"),
    ("prometheusServers: [{name: main, url: 'http://me:secret@here'}]", "url"),
    ("prometheusServers: [{name: main, url: 'http://here', timeoutSeconds: 61}]", "timeoutSeconds"),
    ("prometheusServers: [{name: main, url: 'http://here', auth: {token: abc}}]", "token"),
    ("rbac: {additionalScaleTargets: [{apiGroup: '', resource: '*'}]}", "resource"),
    ("namespaces: [Shop]", "namespaces"),
];

/// The chart's objects with these values; `None`, with a word on standard output, where there is no Helm.
fn render(values: &str) -> Option<Vec<Value>> {
    let text = match helm(&["template", "scaler", CHART, "--namespace", "plimsoll-system"], values) {
        Ok(text) => text,
        Err(HelmError::Missing) => {
            println!("skipped: {}", HelmError::Missing);
            return None;
        }
        Err(error) => panic!("{values}: {error}"),
    };
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    Some(
        documents
            .filter(|document| document.contains("kind:"))
            .map(|document| {
                serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"))
            })
            .collect(),
    )
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn the_chart_brings_the_definitions_that_the_code_makes() {
    let names = |directory: &str| -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(repository().join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("crds"), names("charts/plimsoll/crds"), "run `make crds`");
    for name in names("crds") {
        let (made, copied) = (read(&format!("crds/{name}")), read(&format!("charts/plimsoll/crds/{name}")));
        assert!(made == copied, "charts/plimsoll/crds/{name} is not crds/{name}: run `make crds`");
    }
}

#[test]
fn the_charts_cluster_role_is_the_one_of_the_plain_manifests() {
    let manifests = read("deploy/rbac.yaml");
    let role = manifests.split("\n---\n").find(|one| one.contains("kind: ClusterRole\n")).unwrap();
    let (_, rules) = role.split_once("\nrules:\n").unwrap();
    let template = read("charts/plimsoll/templates/clusterrole.yaml");
    let (_, rest) = template.split_once("\nrules:\n").unwrap();
    let (chart_rules, _) = rest.split_once("\n{{-").unwrap();
    assert_eq!(chart_rules.trim(), rules.trim());
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    for (what, values) in VALUES {
        match helm(&["lint", CHART, "--strict"], values) {
            Ok(_) => {}
            Err(HelmError::Missing) => return println!("skipped: {}", HelmError::Missing),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn what_the_chart_renders_is_what_the_operator_reads() {
    for (what, values) in VALUES {
        let Some(objects) = render(values) else { return };
        let deployment = of_kind(&objects, "Deployment");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
        let parsed = plimsoll::cli::Arguments::try_parse_from(std::iter::once("plimsoll").chain(arguments));
        parsed.unwrap_or_else(|error| panic!("{what}: {error}"));
        let config = of_kind(&objects, "ConfigMap")["data"]["config.yaml"].as_str().unwrap();
        let config =
            prometheus::Config::from_yaml(config).unwrap_or_else(|error| panic!("{what}: {error}\n{config}"));
        assert!(!config.prometheus.is_empty());
        let budgets = objects.iter().filter(|object| object["kind"] == "PodDisruptionBudget").count();
        assert_eq!(budgets, usize::from(deployment["spec"]["replicas"] != 1), "{what}");
    }
}

#[test]
fn the_charts_lease_is_the_one_of_the_plain_manifests_under_the_releases_name() {
    let Some(objects) = render("{}") else { return };
    let manifests = read("deploy/rbac.yaml");
    let role = manifests.split("\n---\n").find(|one| one.contains("kind: Role\n")).unwrap();
    let role: Value = serde_saphyr::from_str(&role.replace("plimsoll", "scaler-plimsoll")).unwrap();
    assert_eq!(of_kind(&objects, "Role")["rules"], role["rules"]);
    let deployment = of_kind(&objects, "Deployment").to_string();
    assert!(deployment.contains("\"--lease-name=scaler-plimsoll\""), "{deployment}");
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (values, named) in WRONG {
        match helm(&["template", "scaler", CHART], values) {
            Err(HelmError::Missing) => return println!("skipped: {}", HelmError::Missing),
            Err(HelmError::Refused(words)) => assert!(words.contains(named), "{values}: {words}"),
            other => panic!("{values}: {other:?}"),
        }
    }
}

/// The defaults, under the strictest pod security, in a namespace of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_accepts_the_release_and_its_pods_are_admitted() {
    let Some(cluster) = unless_missing(Cluster::start().await).expect("a cluster") else { return };
    let client = cluster.client().await.unwrap();
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "plimsoll-system",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))
    .unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let kubeconfig = cluster.kubeconfig_path("admin").unwrap().to_str().unwrap();
    let place = ["--namespace", "plimsoll-system", "--kubeconfig", kubeconfig];
    let install = [["install", "plimsoll", CHART].as_slice(), &place].concat();
    match helm(&install, "{}") {
        Err(HelmError::Missing) => return println!("skipped: {}", HelmError::Missing),
        Err(error) => panic!("{error}"),
        Ok(notes) => assert!(notes.contains("these Prometheus servers: main."), "{notes}"),
    }
    let pods: Api<Pod> = Api::namespaced(client, "plimsoll-system");
    let admitted = async {
        while pods.list(&ListParams::default()).await.unwrap().items.len() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(e2e::real::DEADLINE, admitted).await.expect("two pods are admitted");
    let upgrade = [["upgrade", "plimsoll", CHART].as_slice(), &place].concat();
    helm(&upgrade, "replicas: 3").unwrap();
    helm(&[["uninstall", "plimsoll"].as_slice(), &place].concat(), "").unwrap();
}
