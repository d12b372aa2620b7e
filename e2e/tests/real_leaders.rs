//! Two operators as processes of their own on a real API server: stopped, continued and killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;
use std::time::Duration;

use e2e::bed::operator_rights;
use e2e::real::audit::Request;
use e2e::real::process::{Sandbox, ServerProcess};
use e2e::real::{
    Cluster, ClusterOptions, DEADLINE, Exporter, Kubelet, PodTiming, Prometheus, Target, unless_missing,
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const NAMESPACE: &str = "shop";
const WORKLOADS: usize = 4;

struct Floor {
    // The operators end before the servers that they use.
    operators: Vec<ServerProcess>,
    demand: JoinHandle<()>,
    cluster: Cluster,
    _kubelet: Kubelet,
    _prometheus: Prometheus,
    sandbox: Sandbox,
    arguments: Vec<Vec<String>>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.demand.abort();
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..WORKLOADS).map(|number| format!("web-{number}"))
}

impl Floor {
    /// Two operators, workloads whose demand changes every second, and policies that follow it at once.
    async fn start() -> Option<Self> {
        let users = ["operator-0", "operator-1"].map(str::to_owned);
        let options = ClusterOptions { users: users.to_vec(), ..ClusterOptions::default() };
        let cluster = unless_missing(Cluster::start_with(options).await).unwrap()?;
        let exporter = Exporter::start().unwrap();
        let prometheus = Prometheus::start(&[Target::new("shop", exporter.address())]).await;
        let prometheus = unless_missing(prometheus).unwrap()?;
        println!("API server {}", cluster.version());
        let kubelet = Kubelet::start(cluster.client_as("fake-kubelet").await.unwrap()).await.unwrap();
        kubelet.set_timing(NAMESPACE, PodTiming { start_up: Duration::ZERO, drain: Duration::ZERO });
        for definition in plimsoll::api::definitions() {
            cluster.install(&definition).await.unwrap();
        }
        for namespace in [NAMESPACE, "plimsoll-system"] {
            cluster.namespace(namespace).await.unwrap();
        }
        for user in &users {
            let rule = |right: e2e::bed::Right| PolicyRule {
                api_groups: Some(right.api_groups),
                resources: Some(right.resources),
                verbs: right.verbs,
                ..PolicyRule::default()
            };
            let rules = operator_rights().unwrap().into_iter().map(rule).collect();
            cluster.grant(user, rules).await.unwrap();
        }
        let admin = cluster.client().await.unwrap();
        for name in names() {
            create(&admin, "apps", "v1", "Deployment", deployment(&name)).await;
            create(&admin, "plimsoll.dev", "v1alpha1", "ScalingPolicy", policy(&name)).await;
        }
        let demand = tokio::spawn(change_demand(exporter));
        let sandbox = Sandbox::new("operators").unwrap();
        let arguments = users.map(|user| {
            let kubeconfig = cluster.kubeconfig_path(&user).unwrap().display().to_string();
            let url = prometheus.url();
            let arguments = ["run", "--kubeconfig", &kubeconfig, "--prometheus-url", &url];
            let shared = ["--lease-namespace", "plimsoll-system", "--listen", "127.0.0.1:0"];
            arguments.iter().chain(&shared).map(|argument| (*argument).to_owned()).collect()
        });
        let operators = Vec::new();
        let mut floor = Self {
            operators,
            demand,
            cluster,
            _kubelet: kubelet,
            _prometheus: prometheus,
            sandbox,
            arguments: arguments.to_vec(),
        };
        for user in 0..2 {
            let operator = floor.begin(user);
            floor.operators.push(operator);
            floor.until_written_by(0, 1).await;
        }
        Some(floor)
    }

    fn begin(&self, user: usize) -> ServerProcess {
        self.sandbox.start(Path::new(env!("CARGO_BIN_EXE_operator")), &self.arguments[user]).unwrap()
    }

    /// The writes that the API server accepted from the operators, in its order, the lease's left out.
    fn accepted(&self) -> Vec<Request> {
        let requests = self.cluster.requests().unwrap();
        let writes = requests.into_iter().filter(|request| request.writes() && request.code < 300);
        writes
            .filter(|request| request.user.starts_with("operator-") && request.resource != "leases")
            .collect()
    }

    fn written_by(&self, user: usize) -> usize {
        let user = format!("operator-{user}");
        self.accepted().iter().filter(|request| request.user == user).count()
    }

    /// Waits until an operator has made so many more writes.
    async fn until_written_by(&self, user: usize, more: usize) {
        let (enough, deadline) = (self.written_by(user) + more, Instant::now() + DEADLINE);
        while self.written_by(user) < enough {
            let log = &self.operators[user.min(self.operators.len() - 1)].log_tail();
            assert!(Instant::now() < deadline, "operator-{user} wrote nothing\n{log}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn create(admin: &kube::Client, group: &str, version: &str, kind: &str, object: Value) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), NAMESPACE, &resource);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

fn deployment(name: &str) -> Value {
    let containers = json!([{"name": "web", "image": "web"}]);
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}}})
}

fn policy(name: &str) -> Value {
    let at_once = json!({"stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 900, "periodSeconds": 1}]});
    let query = format!("sum(load{{app=\"{name}\"}})");
    json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"name": name}, "minReplicas": 1, "maxReplicas": 9, "pollingInterval": 1,
        "warmUp": {"source": "Declared", "seconds": 0}, "behavior": {"scaleUp": at_once, "scaleDown": at_once},
        "metrics": [{"name": "load", "prometheus": {"server": "main", "query": query},
                     "target": {"type": "AverageValue", "averageValue": "10"}}]}})
}

async fn change_demand(exporter: Exporter) {
    for second in 0_u32.. {
        for name in names() {
            exporter.gauge("load", &[("app", &name)], f64::from(20 + 30 * (second / 3 % 2)));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_writes_nothing_after_its_successor_and_one_that_was_killed_is_followed() {
    let Some(mut floor) = Floor::start().await else { return };
    assert_eq!(floor.written_by(1), 0, "only one may write");
    let mut leader = 0;
    for _ in 0..2 {
        let successor = 1 - leader;
        let before = floor.accepted().len();
        floor.operators[leader].suspend();
        floor.until_written_by(successor, 3).await;
        floor.operators[leader].resume();
        // Long enough for everything that it had in hand.
        floor.until_written_by(successor, 5).await;
        sleep(Duration::from_secs(5)).await;
        let writes = floor.accepted();
        let user = format!("operator-{successor}");
        let first = before + writes[before..].iter().position(|write| write.user == user).unwrap();
        let late: Vec<_> = writes[first..].iter().filter(|write| write.user != user).collect();
        assert!(late.is_empty(), "accepted from the old leader after the new one's first write: {late:?}");
        println!(
            "operator-{successor} took over; {} writes since, none of the old one",
            writes.len() - first
        );
        leader = successor;
    }
    floor.operators[leader].kill();
    floor.until_written_by(1 - leader, 3).await;
    println!("operator-{leader} was killed; operator-{} took over", 1 - leader);
    let again = floor.begin(leader);
    floor.operators[leader] = again;
    floor.operators[1 - leader].terminate().await;
    let began = Instant::now();
    floor.until_written_by(leader, 1).await;
    println!(
        "operator-{} stopped in order; the other wrote {:.1} s later",
        1 - leader,
        began.elapsed().as_secs_f64()
    );
}
