//! The Helm chart says what the repository says elsewhere, renders what Kubernetes accepts, and refuses bad values in words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use e2e::bed::{Bed, BedError, Floor, Stage, Workload, condition};
use e2e::real::helm::{HelmError, helm, repository};
use e2e::real::kubectl::print;
use e2e::real::program::Program;
use e2e::real::{Cluster, unless_missing};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use plimsoll::api::ScalingPolicy;
use plimsoll::prometheus;
use serde_json::{Value, json};
use tempfile::TempDir;

const CHART: &str = "charts/plimsoll";
const DEFINITION: &str = "scalingpolicies.plimsoll.dev";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Values that differ from the defaults in one respect each.
const VALUES: [(&str, &str); 9] = [
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
serviceAccount: {annotations: {e: f}}
extraEnv: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://collector:4318'}]
fullnameOverride: autoscaler
topologySpread: []
podDisruptionBudget: {enabled: false, maxUnavailable: 50%}
image: {digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}",
    ),
    (
        "nothing that can be left out",
        "crds: {install: false}\nnetworkPolicy: {enabled: false}\ntopologySpread: []",
    ),
    (
        "everything that watches",
        "serviceMonitor: {enabled: true, labels: {release: stack}}\nprometheusRule: {enabled: true, runbookUrl: 'https://wiki.example.com/runbook/'}\ndashboard: {enabled: true}",
    ),
    (
        "a closed network",
        "networkPolicy: {metricsFrom: [{namespaceSelector: {}}], egress: {restricted: true, apiServerPorts: [6443], prometheusPorts: [10902], additional: [{ports: [{port: 3128}]}]}}",
    ),
];

/// Values that must be refused, and what the refusal must name.
const WRONG: [(&str, &str); 17] = [
    ("replica: 2", "replica"),
    ("replicas: 0", "replicas"),
    ("prometheusServers: []", "prometheusServers"),
    ("prometheusServers: [{name: main, url: 'ftp://here'}]", "url"),
    ("prometheusServers: [{name: main, url: 'http://me:secret@here'}]", "url"),
    ("prometheusServers: [{name: main, url: 'http://here', timeoutSeconds: 61}]", "timeoutSeconds"),
    ("prometheusServers: [{name: main, url: 'http://here', auth: {token: abc}}]", "token"),
    ("rbac: {additionalScaleTargets: [{apiGroup: '', resource: '*'}]}", "resource"),
    ("extraEnv: [{name: POD_NAME, value: mine}]", "extraEnv"),
    ("extraEnv: [{name: LIMIT, value: 4}]", "value"),
    ("namespaces: [Shop]", "namespaces"),
    ("image: {digest: 'sha256:abc'}", "digest"),
    ("podDisruptionBudget: {maxUnavailable: half}", "maxUnavailable"),
    (
        "topologySpread: [{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]",
        "topologySpread",
    ),
    ("networkPolicy: {egress: {apiServerPorts: [0]}}", "apiServerPorts"),
    ("serviceMonitor: {enabled: yes please}", "enabled"),
    ("crds: {keep: false}", "keep"),
];

/// The chart's objects with these values; `None`, with a word on standard output, where there is no Helm.
fn render(values: &str) -> Option<Vec<Value>> {
    render_as("scaler", values)
}

fn render_as(release: &str, values: &str) -> Option<Vec<Value>> {
    let text = match helm(&["template", release, CHART, "--namespace", "plimsoll-system"], values) {
        Ok(text) => text,
        Err(HelmError::Missing) => {
            println!("skipped: {}", HelmError::Missing);
            return None;
        }
        Err(error) => panic!("{values}: {error}"),
    };
    Some(documents(&text).collect())
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
    assert_eq!(names("crds"), names("charts/plimsoll/files/crds"), "run `make crds`");
    for name in names("crds") {
        let (made, copied) =
            (read(&format!("crds/{name}")), read(&format!("charts/plimsoll/files/crds/{name}")));
        assert!(made == copied, "charts/plimsoll/files/crds/{name} is not crds/{name}: run `make crds`");
    }
}

/// What only Helm needs.
const HELMS_OWN: [&str; 2] = ["app.kubernetes.io/managed-by", "helm.sh/chart"];

/// An object without what only Helm needs.
fn plain(mut object: Value) -> Value {
    for labels in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(labels).and_then(Value::as_object_mut) {
            labels.retain(|name, _| !HELMS_OWN.contains(&name.as_str()));
        }
    }
    object
}

fn documents(text: &str) -> impl Iterator<Item = Value> {
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---"));
    documents.filter(|document| document.contains("kind:")).map(|document| {
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{error}\n{document}"))
    })
}

#[test]
fn the_plain_manifests_are_the_chart_without_helm() {
    let watched = "crds: {install: false}\nserviceMonitor: {enabled: true}\nprometheusRule: {enabled: true}\ndashboard: {enabled: true}";
    let Some(objects) = render_as("plimsoll", watched) else { return };
    let charts: Vec<Value> = objects.into_iter().filter(|object| !is_hook(object)).map(plain).collect();
    let files =
        ["rbac.yaml", "operator.yaml", "monitoring/prometheus-operator.yaml", "monitoring/dashboard.yaml"];
    let manifests: Vec<Value> = files
        .iter()
        .flat_map(|file| documents(&read(&format!("deploy/{file}"))).collect::<Vec<_>>())
        .filter(|object| object["kind"] != "Namespace")
        .collect();
    for object in &charts {
        let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
        assert!(manifests.contains(object), "deploy/ has not this {kind} {name}: run `make manifests`");
    }
    assert_eq!(manifests.len(), charts.len(), "deploy/ has more than the chart: run `make manifests`");
}

fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"].get("helm.sh/hook").is_some()
}

#[test]
fn what_is_switched_off_is_not_rendered_and_what_is_kept_says_so() {
    for (values, kind, count) in [
        ("{}", "CustomResourceDefinition", 2),
        ("crds: {install: false}", "CustomResourceDefinition", 0),
        ("{}", "NetworkPolicy", 1),
        ("networkPolicy: {enabled: false}", "NetworkPolicy", 0),
        ("podDisruptionBudget: {enabled: false}", "PodDisruptionBudget", 0),
        ("{}", "ServiceMonitor", 0),
        ("serviceMonitor: {enabled: true}", "ServiceMonitor", 1),
        ("{}", "PrometheusRule", 0),
        ("prometheusRule: {enabled: true}", "PrometheusRule", 1),
        ("{}", "ConfigMap", 1),
        ("dashboard: {enabled: true}", "ConfigMap", 2),
        ("{}", "ClusterRole", 1),
        ("namespaces: [shop, pay]", "ClusterRole", 0),
        ("namespaces: [shop, pay]", "ClusterRoleBinding", 0),
        // One in each, and the lease's.
        ("namespaces: [shop, pay]", "Role", 3),
    ] {
        let Some(objects) = render(values) else { return };
        let found: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).collect();
        assert_eq!(found.len(), count, "{kind} with {values}");
        for definition in found.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
            assert_eq!(definition["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        }
    }
}

#[test]
fn an_operator_of_single_namespaces_has_no_right_beyond_them() {
    let Some(objects) = render("namespaces: [shop]") else { return };
    let granted: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == "Role" && object["metadata"]["namespace"] == "shop")
        .collect();
    let rules = granted[0]["rules"].to_string();
    for (resource, there) in [
        ("scalingpolicies", true),
        ("deployments/scale", true),
        ("connectionbudgets", false),
        ("\"namespaces\"", false),
    ] {
        assert_eq!(rules.contains(resource), there, "{resource} in {rules}");
    }
    let arguments = of_kind(&objects, "Deployment").to_string();
    assert!(arguments.contains("--namespace=shop"), "{arguments}");
}

/// The operator as `namespaces: [shop]` starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_of_single_namespaces_says_that_it_shares_no_database_and_scales_by_numbers() {
    let bed = match Bed::start(Floor::Double, &[]).await {
        Err(BedError::Start(error)) => {
            assert!(unless_missing::<()>(Err(error)).unwrap().is_none());
            return;
        }
        started => started.unwrap(),
    };
    let stage = Stage::set(&bed, "shop", Workload::of(2)).await.unwrap();
    stage.load(100.0).await.unwrap();
    let shared = json!([{"name": "orders-db", "budgetRef": {"name": "orders-db"}, "perPod": 10}]);
    stage.declare(&json!({"spec": {"ceilings": {"connections": shared}}})).await.unwrap();
    let options = stage.options();
    assert_eq!(options.namespaces, ["shop"]);
    let _operator = stage.operator_with(options).await.unwrap();
    let says_so = |policy: &ScalingPolicy| {
        let ceilings = policy.status.as_ref().map(|status| &status.ceilings);
        ceilings.into_iter().flatten().any(|one| one.reason.contains("installed for single namespaces"))
    };
    stage.until("told that budgets are not shared", says_so).await.unwrap();
    let seen = stage.seen().await.unwrap();
    for (kind, status) in [("BudgetInfeasible", "True"), ("Ready", "False")] {
        let shown = condition(&seen, kind).unwrap();
        assert_eq!((shown.status.as_str(), shown.reason.as_str()), (status, "SharingOff"), "{kind}");
        let expected =
            "sharing is off, so nothing is granted of budget orders-db and the count does not grow";
        assert!(shown.message.starts_with(expected), "{}", shown.message);
        assert!(shown.message.contains("inline: {maxConnections: …}"), "{}", shown.message);
    }
    let numbers = json!([{"name": "orders-db", "inline": {"maxConnections": 1000}, "perPod": 10}]);
    stage.edit(json!({"ceilings": {"connections": numbers}})).await.unwrap();
    stage.until_wanted(10).await.unwrap();
    let told = |policy: &ScalingPolicy| {
        condition(policy, "BudgetInfeasible").is_some_and(|shown| shown.reason == "BudgetFeasible")
    };
    stage.until("told that numbers do", told).await.unwrap();
}

#[test]
fn a_closed_network_lets_through_what_the_servers_urls_say() {
    let values = "networkPolicy: {egress: {restricted: true, apiServerPorts: [6443], prometheusPorts: [10902]}}
prometheusServers: [{name: a, url: 'https://thanos/x'}, {name: b, url: 'http://[::1]:9090'}, {name: c, url: 'http://old'}]";
    let Some(objects) = render(values) else { return };
    let rules = &of_kind(&objects, "NetworkPolicy")["spec"]["egress"];
    let ports: Vec<i64> =
        rules[1]["ports"].as_array().unwrap().iter().map(|port| port["port"].as_i64().unwrap()).collect();
    assert_eq!(ports, [6443, 10902, 443, 9090, 80]);
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
        let check = of_kind(&objects, "Pod")["spec"]["containers"][0]["args"].clone();
        let arguments = check.as_array().unwrap().iter().map(|one| one.as_str().unwrap());
        let parsed = plimsoll::cli::Arguments::try_parse_from(std::iter::once("plimsoll").chain(arguments));
        parsed.unwrap_or_else(|error| panic!("{what}: {error}"));
        let budgets = objects.iter().filter(|object| object["kind"] == "PodDisruptionBudget").count();
        let wanted =
            deployment["spec"]["replicas"] != 1 && !values.contains("podDisruptionBudget: {enabled: false");
        assert_eq!(budgets, usize::from(wanted), "{what}");
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
async fn a_real_api_server_takes_the_chart_through_its_life_and_workloads_stay_at_their_count() {
    let Some(cluster) = unless_missing(Cluster::start().await).expect("a cluster") else { return };
    let client = cluster.client().await.unwrap();
    for (name, level) in [("plimsoll-system", "restricted"), ("shop", "privileged")] {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name,
            "labels": {"pod-security.kubernetes.io/enforce": level}}}))
        .unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    }
    let kubeconfig = cluster.kubeconfig_path("admin").unwrap().to_str().unwrap();
    let place = ["--namespace", "plimsoll-system", "--kubeconfig", kubeconfig];
    let command = |words: &[&str], values: &str| helm(&[words, &place].concat(), values);
    let older = older_chart();
    match command(&["install", "plimsoll", older.path().to_str().unwrap()], "{}") {
        Err(HelmError::Missing) => return println!("skipped: {}", HelmError::Missing),
        Err(error) => panic!("{error}"),
        Ok(notes) => {
            assert!(notes.contains("these Prometheus servers: main."), "{notes}");
            assert!(notes.contains("helm test plimsoll --namespace plimsoll-system"), "{notes}");
        }
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), "plimsoll-system");
    let admitted = async {
        while pods.list(&ListParams::default()).await.unwrap().items.len() < 2 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(e2e::real::DEADLINE, admitted).await.expect("two pods are admitted");

    // What `make kind-demo` applies is accepted as well, now that the definitions are there.
    let policies: Api<ScalingPolicy> = Api::namespaced(client.clone(), "shop");
    match Program::Kubectl.find() {
        Err(missing) => println!("skipped: {missing}"),
        Ok(kubectl) => {
            for file in ["monitoring", "database", "service", "policy"] {
                let path = repository().join("deploy/kind").join(file).with_extension("yaml");
                let apply =
                    ["apply", "--server-side", "--force-conflicts", "--filename", path.to_str().unwrap()];
                print(&kubectl, Path::new(kubeconfig), &apply).await.unwrap();
            }
            policies.delete("checkout", &DeleteParams::default()).await.unwrap();
        }
    }

    // What a user has by now: a workload that was scaled, and its policy.
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "shop");
    deployments.create(&PostParams::default(), &web()).await.unwrap();
    policies.create(&PostParams::default(), &policy()).await.unwrap();

    let replicas = async || {
        let operators: Api<Deployment> = Api::namespaced(client.clone(), "plimsoll-system");
        operators.get("plimsoll").await.unwrap().spec.unwrap().replicas.unwrap()
    };
    assert_eq!(short_name(&client).await, "older");
    command(&["upgrade", "plimsoll", CHART], "replicas: 3\nlogLevel: debug").unwrap();
    assert_eq!(short_name(&client).await, "sp", "definitions are upgraded with the chart");
    assert_eq!(replicas().await, 3);
    command(&["upgrade", "plimsoll", CHART], "namespaces: [shop]").unwrap();
    let everywhere: Api<ClusterRole> = Api::all(client.clone());
    assert!(
        everywhere.get_opt("plimsoll").await.unwrap().is_none(),
        "rights in one namespace are none in all"
    );
    let there: Api<Role> = Api::namespaced(client.clone(), "shop");
    assert!(there.get_opt("plimsoll-policies").await.unwrap().is_some());
    command(&["rollback", "plimsoll", "2"], "").unwrap();
    assert_eq!(replicas().await, 3, "as in the second revision");
    assert!(everywhere.get_opt("plimsoll").await.unwrap().is_some());

    command(&["uninstall", "plimsoll"], "").unwrap();
    assert!(everywhere.get_opt("plimsoll").await.unwrap().is_none(), "what is removed is gone");
    let web = deployments.get("web").await.unwrap();
    assert_eq!(web.spec.unwrap().replicas, Some(7), "workloads stay at their count");
    assert!(policies.get_opt("web").await.unwrap().is_some(), "and so do policies");

    // The definitions that were left are taken over again.
    command(&["install", "plimsoll", CHART], "{}").unwrap();
    command(&["uninstall", "plimsoll"], "").unwrap();
}

/// The chart as an older release might have been: with another short name for policies.
fn older_chart() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&repository().join(CHART), directory.path());
    let path = directory.path().join("files/crds").join(DEFINITION).with_extension("dev.yaml");
    let definition = fs::read_to_string(&path).unwrap();
    assert_eq!(definition.matches("    - sp\n").count(), 1, "{}", path.display());
    fs::write(&path, definition.replace("    - sp\n", "    - older\n")).unwrap();
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

async fn short_name(client: &kube::Client) -> String {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = definitions.get(DEFINITION).await.unwrap();
    assert_eq!(definition.metadata.annotations.unwrap()["helm.sh/resource-policy"], "keep");
    definition.spec.names.short_names.unwrap()[0].clone()
}

fn web() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 7, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
    }))
    .unwrap()
}

fn policy() -> ScalingPolicy {
    serde_json::from_value(json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"name": "web"}, "minReplicas": 1, "maxReplicas": 10,
            "metrics": [{"name": "rps", "prometheus": {"query": "sum(load)"},
                "target": {"type": "AverageValue", "averageValue": "10"}}]},
    }))
    .unwrap()
}
