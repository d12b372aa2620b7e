//! The chart on a real node: the operator's image, in pods of two replicas under their own service account, scales a Deployment
//! and a StatefulSet of real containers, survives the loss of its leader, and uses exactly the rights that it has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::real::helm::{HelmError, helm, repository};
use e2e::real::node::{BUSYBOX, NodeOptions};
use e2e::real::{DEADLINE, Exporter, Node, Prometheus, PrometheusOptions, Target, unless_missing};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use plimsoll::api::{ConnectionBudget, ScalingPolicy};
use serde_json::json;

const SYSTEM: &str = "plimsoll-system";
const IMAGE: &str = "localhost/plimsoll:test";

/// Replicas asked for, there, and ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    asked: i32,
    there: usize,
    ready: usize,
}

impl Counts {
    const fn settled(replicas: i32, pods: usize) -> Self {
        Self { asked: replicas, there: pods, ready: pods }
    }
}

struct Bed {
    node: Node,
    client: Client,
    exporter: Exporter,
    prometheus: Prometheus,
    begun: Instant,
}

impl Bed {
    async fn start() -> Option<Self> {
        let begun = Instant::now();
        let options = NodeOptions {
            // The program of an image that is built already, or the one that is built with this test.
            operator: std::env::var_os("BINARY").map_or_else(
                || PathBuf::from(env!("CARGO_BIN_EXE_operator")),
                |binary| repository().join(binary),
            ),
            image: IMAGE.to_owned(),
            script: repository().join("scripts/image.sh"),
        };
        let node = unless_missing(Node::start(&options).await).unwrap_or_else(|error| panic!("{error}"))?;
        println!("{}", node.image());
        let exporter = Exporter::start().unwrap();
        exporter.gauge("demand", &[], 100.0);
        exporter.gauge("store_demand", &[], 100.0);
        let prometheus = PrometheusOptions {
            targets: vec![Target::new("shop", exporter.address())],
            address: node.machine(),
            ..PrometheusOptions::default()
        };
        let prometheus = unless_missing(Prometheus::start_with(prometheus).await).unwrap()?;
        let client = node.client().await.unwrap();
        let bed = Self { node, client, exporter, prometheus, begun };
        bed.told("a node is ready");
        bed.install().await.then_some(bed)
    }

    fn told(&self, what: &str) {
        println!("{:5.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// Installs the chart by Helm, into a namespace that admits only restricted pods.
    async fn install(&self) -> bool {
        for (name, level) in [(SYSTEM, "restricted"), ("shop", "privileged")] {
            let labels = json!({"pod-security.kubernetes.io/enforce": level});
            let namespace: Namespace =
                serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
            Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
            // OpenShift's builds of Kubernetes put this one beside every token, and wait for it.
            let certificates: ConfigMap = serde_json::from_value(
                json!({"metadata": {"name": "openshift-service-ca.crt"}, "data": {"service-ca.crt": ""}}),
            )
            .unwrap();
            let maps = Api::namespaced(self.client.clone(), name);
            maps.create(&PostParams::default(), &certificates).await.unwrap();
        }
        match self.try_helm(&["install", "plimsoll", "charts/plimsoll"], &self.values(&json!({}))) {
            Ok(_) => true,
            Err(HelmError::Missing) => {
                println!("skipped: {}", HelmError::Missing);
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The chart's values here, with `more`.
    fn values(&self, more: &serde_json::Value) -> String {
        let mut values = json!({
            "image": {"repository": "localhost/plimsoll", "tag": "test", "pullPolicy": "Never"},
            "prometheusServers": [{"name": "main", "url": self.prometheus.url()}],
        });
        json_patch::merge(&mut values, more);
        values.to_string()
    }

    fn helm(&self, words: &[&str], values: &str) {
        self.try_helm(words, values).unwrap();
    }

    fn try_helm(&self, words: &[&str], values: &str) -> Result<String, HelmError> {
        helm(&[words, &["--namespace", SYSTEM, "--kubeconfig", self.kubeconfig()]].concat(), values)
    }

    fn kubeconfig(&self) -> &str {
        self.node.cluster().kubeconfig_path("admin").unwrap().to_str().unwrap()
    }

    /// Waits until two other operators than `before` are ready, one of which leads.
    async fn replaced(&self, what: &str, before: &[String]) {
        self.sees(what, true, async || {
            let now = self.operators().await;
            let leader = self.leader().await;
            now.len() == 2
                && now.iter().all(|pod| !before.contains(pod))
                && leader.is_some_and(|leader| now.contains(&leader))
        })
        .await;
    }

    /// Waits until `look` sees `wanted`.
    async fn sees<T: PartialEq + Debug>(&self, what: &str, wanted: T, look: impl AsyncFn() -> T) {
        let end = Instant::now() + DEADLINE;
        loop {
            let seen = look().await;
            if seen == wanted {
                return self.told(what);
            }
            assert!(Instant::now() < end, "not {what}: {seen:?}, not {wanted:?}\n{}", self.node.pod_logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn pods(&self, namespace: &str, app: &str) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        pods.list(&ListParams::default().labels(app)).await.unwrap().items
    }

    async fn counts(&self, app: &str, asked: i32) -> Counts {
        let pods = self.pods("shop", &format!("app={app}")).await;
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        Counts { asked, there: pods.len(), ready }
    }

    async fn web(&self) -> Counts {
        let web = Api::<Deployment>::namespaced(self.client.clone(), "shop").get("web").await.unwrap();
        self.counts("web", web.spec.unwrap().replicas.unwrap()).await
    }

    async fn store(&self) -> Counts {
        let store = Api::<StatefulSet>::namespaced(self.client.clone(), "shop").get("store").await.unwrap();
        self.counts("store", store.spec.unwrap().replicas.unwrap()).await
    }

    /// The pod that holds the Lease.
    async fn leader(&self) -> Option<String> {
        let lease =
            Api::<Lease>::namespaced(self.client.clone(), SYSTEM).get_opt("plimsoll").await.unwrap()?;
        let holder = lease.spec?.holder_identity.filter(|holder| !holder.is_empty())?;
        holder.split('_').next().map(str::to_owned)
    }

    async fn operators(&self) -> Vec<String> {
        let pods = self.pods(SYSTEM, "app.kubernetes.io/name=plimsoll").await;
        pods.iter().filter(|pod| is_ready(pod)).map(ResourceExt::name_any).collect()
    }

    /// Everything that the roles grant to the operator, as verb and resource.
    async fn granted(&self) -> BTreeSet<(String, String)> {
        let everywhere = Api::<ClusterRole>::all(self.client.clone()).get("plimsoll").await.unwrap();
        let own = Api::<Role>::namespaced(self.client.clone(), SYSTEM).get("plimsoll").await.unwrap();
        let rules = everywhere.rules.into_iter().chain(own.rules).flatten();
        rules.flat_map(pairs).collect()
    }
}

fn pairs(rule: PolicyRule) -> Vec<(String, String)> {
    let resources = rule.resources.unwrap_or_default();
    let pairs = rule.verbs.iter().flat_map(|verb| resources.iter().map(|one| (verb.clone(), one.clone())));
    pairs.collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// A workload whose pods serve until they are told to end, and then drain for a second.
fn workload(kind: &str, name: &str) -> serde_json::Value {
    let serve = "mkdir /www; echo ok >/www/ready; trap 'rm /www/ready; sleep 1; exit 0' TERM; httpd -p 8080 -h /www; \
                 while true; do sleep 0.2; done";
    let container = json!({
        "name": name, "image": BUSYBOX, "imagePullPolicy": "Never", "args": ["-c", serve],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
    });
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels}, "serviceName": name,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container],
                "terminationGracePeriodSeconds": 10, "automountServiceAccountToken": false}},
        },
    })
}

/// Enough for both workloads, in a namespace that is told by a label that the API server sets.
fn budget() -> ConnectionBudget {
    serde_json::from_value(json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": "db"},
        "spec": {
            "limit": {"maxConnections": 100},
            "allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
        },
    }))
    .unwrap()
}

fn policy(kind: &str, name: &str, query: &str) -> ScalingPolicy {
    serde_json::from_value(json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
            "minReplicas": 1, "maxReplicas": 5, "pollingInterval": 1,
            "metrics": [{"name": "demand", "prometheus": {"query": query},
                "target": {"type": "AverageValue", "averageValue": "100"}, "maxDrop": "1"}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
            "smoothing": {"scaleDownHalfLifeSeconds": 0},
            "warmUp": {"source": "Declared", "seconds": 0},
            "ceilings": {"connections": [{"name": "db", "budgetRef": {"name": "db"}, "perPod": 2}]},
        },
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_scales_real_containers_survives_its_leader_and_uses_exactly_its_rights() {
    let Some(bed) = Bed::start().await else { return };
    let shop = |bed: &Bed| bed.client.clone();
    let mut web = workload("Deployment", "web");
    web["spec"].as_object_mut().unwrap().remove("serviceName");
    let deployments: Api<Deployment> = Api::namespaced(shop(&bed), "shop");
    let stateful_sets: Api<StatefulSet> = Api::namespaced(shop(&bed), "shop");
    deployments.create(&PostParams::default(), &serde_json::from_value(web).unwrap()).await.unwrap();
    let store = serde_json::from_value(workload("StatefulSet", "store")).unwrap();
    stateful_sets.create(&PostParams::default(), &store).await.unwrap();

    bed.sees("two operators are ready", 2, async || bed.operators().await.len()).await;
    bed.sees("one of them leads", true, async || {
        let leader = bed.leader().await;
        leader.is_some_and(|leader| !leader.is_empty())
    })
    .await;
    bed.sees("the workloads run", (1, 1), async || (bed.web().await.ready, bed.store().await.ready)).await;

    let policies: Api<ScalingPolicy> = Api::namespaced(shop(&bed), "shop");
    Api::<ConnectionBudget>::all(bed.client.clone()).create(&PostParams::default(), &budget()).await.unwrap();
    policies.create(&PostParams::default(), &policy("Deployment", "web", "demand")).await.unwrap();
    policies.create(&PostParams::default(), &policy("StatefulSet", "store", "store_demand")).await.unwrap();
    bed.exporter.gauge("demand", &[], 380.0);
    bed.exporter.gauge("store_demand", &[], 150.0);
    bed.sees("a Deployment grows from 1 to 4", Counts::settled(4, 4), async || bed.web().await).await;
    bed.sees("a StatefulSet grows from 1 to 2", Counts::settled(2, 2), async || bed.store().await).await;
    bed.exporter.gauge("demand", &[], 180.0);
    bed.sees("the Deployment shrinks to 2", Counts::settled(2, 2), async || bed.web().await).await;

    // Killed, a leader says nothing; its Lease must run out. Its pod goes, or it could come back and win.
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), SYSTEM);
    let killed = bed.leader().await.unwrap();
    assert!(bed.node.kill_operator_of(&killed), "{killed} runs");
    pods.delete(&killed, &DeleteParams::default().grace_period(0)).await.unwrap();
    bed.exporter.gauge("demand", &[], 290.0);
    bed.sees("the leader was killed, and another one leads", true, async || {
        bed.leader().await.is_some_and(|leader| leader != killed)
    })
    .await;
    bed.sees("the new leader grows the Deployment to 3", Counts::settled(3, 3), async || bed.web().await)
        .await;
    bed.sees("two operators are ready again", 2, async || bed.operators().await.len()).await;

    // Ended in order, a leader gives its Lease up.
    let ended = bed.leader().await.unwrap();
    pods.delete(&ended, &DeleteParams::default()).await.unwrap();
    let since = Instant::now();
    bed.sees("the leader was ended in order, and another one leads", true, async || {
        bed.leader().await.is_some_and(|leader| leader != ended)
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(10), "a Lease that was given up is taken at once");
    bed.exporter.gauge("demand", &[], 480.0);
    bed.sees("it grows the Deployment to 5", Counts::settled(5, 5), async || bed.web().await).await;

    exactly_its_rights(&bed).await;
    tested(&bed).await;
    upgraded_rolled_back_and_removed(&bed).await;
}

/// `helm test` passes while the operator runs, and fails and says why when it does not.
async fn tested(bed: &Bed) {
    let test = ["test", "plimsoll", "--logs", "--timeout", "60s"];
    let said = bed.try_helm(&test, "").unwrap_or_else(|error| panic!("{error}\n{}", bed.node.pod_logs()));
    println!("{said}");
    let operators: Api<Deployment> = Api::namespaced(bed.client.clone(), SYSTEM);
    let scaled = async |replicas: u32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        operators.patch_scale("plimsoll", &PatchParams::default(), &patch).await.unwrap();
    };
    scaled(0).await;
    bed.sees("the operators are down", 0, async || bed.operators().await.len()).await;
    let Err(HelmError::Refused(words)) = bed.try_helm(&test, "") else { panic!("the operators are down") };
    println!("{words}");
    let logs = bed.node.pod_logs();
    let told = "the operator at plimsoll.plimsoll-system.svc:8080: it cannot be asked whether it is ready";
    assert!(words.contains("plimsoll-check") && logs.contains(told), "{words}\n{logs}");
    bed.told("helm test passes, and with the operators down it fails");
    scaled(2).await;
    bed.sees("two operators are back", 2, async || bed.operators().await.len()).await;
}

/// The chart's later life, with pods: each release scales, and without one workloads stay at their count.
async fn upgraded_rolled_back_and_removed(bed: &Bed) {
    let before = bed.operators().await;
    bed.helm(
        &["upgrade", "plimsoll", "charts/plimsoll"],
        &bed.values(&json!({"logLevel": "plimsoll=debug,info"})),
    );
    bed.replaced("the chart was upgraded", &before).await;
    bed.exporter.gauge("demand", &[], 380.0);
    bed.sees("the new release shrinks the Deployment to 4", Counts::settled(4, 4), async || bed.web().await)
        .await;
    let before = bed.operators().await;
    bed.helm(&["rollback", "plimsoll", "1"], "");
    bed.replaced("the chart was rolled back", &before).await;
    bed.exporter.gauge("demand", &[], 280.0);
    bed.sees("the old release shrinks the Deployment to 3", Counts::settled(3, 3), async || bed.web().await)
        .await;
    bed.helm(&["uninstall", "plimsoll"], "");
    bed.sees("the operators are gone", 0, async || {
        bed.pods(SYSTEM, "app.kubernetes.io/name=plimsoll").await.len()
    })
    .await;
    bed.exporter.gauge("demand", &[], 100.0);
    let (web, store) = (bed.web().await, bed.store().await);
    assert_eq!((web.asked, web.ready), (3, 3), "without the chart workloads stay at their count");
    assert_eq!((store.asked, store.ready), (2, 2), "all of them");
    let policies: Api<ScalingPolicy> = Api::namespaced(bed.client.clone(), "shop");
    assert_eq!(policies.list(&ListParams::default()).await.unwrap().items.len(), 2, "policies stay as well");
    bed.told("without the chart workloads stay at their count, and policies are kept");
}

async fn exactly_its_rights(bed: &Bed) {
    let requests = bed.node.requests_of(SYSTEM, "plimsoll").unwrap();
    let refused: Vec<_> = requests.iter().filter(|request| matches!(request.code, 401 | 403)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<_> =
        requests.iter().map(|request| (request.verb.clone(), request.resource.clone())).collect();
    let granted = bed.granted().await;
    for (verb, resource) in &granted {
        let count = requests.iter().filter(|one| one.verb == *verb && one.resource == *resource).count();
        println!("{count:7}  {verb:6} {resource}");
    }
    assert_eq!(used, granted, "what was used, and what is granted");
    bed.told("the audit log shows every right used and none missed");
}
