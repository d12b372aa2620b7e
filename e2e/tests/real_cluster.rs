//! A control plane of real binaries, the fake kubelet and the recorded course do what scenarios rely on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use e2e::plant::{CRASH_LOOP, STARTUP_SECONDS};
use e2e::real::access::rule;
use e2e::real::kubelet::NEVER_READY;
use e2e::real::{Cluster, Course, DEADLINE, Kubelet, PodTiming, Record, Suite, unless_missing};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

/// A cluster with a fake kubelet whose pods start in half a second.
struct Floor {
    cluster: Cluster,
    kubelet: Kubelet,
    client: Client,
}

impl Floor {
    async fn start() -> Option<Arc<Self>> {
        let cluster = unless_missing(Cluster::start().await).expect("a cluster")?;
        println!("API server {}", cluster.version());
        let client = cluster.client().await.expect("a client");
        let kubelet =
            Kubelet::start(cluster.client_as("fake-kubelet").await.unwrap()).await.expect("a kubelet");
        Some(Arc::new(Self { cluster, kubelet, client }))
    }

    /// A new namespace whose pods start and end quickly, with a Deployment `web` in it.
    async fn deploy(&self, namespace: &str, replicas: i32, template: Value) -> (Api<Deployment>, Course) {
        self.cluster.namespace(namespace).await.unwrap();
        let timing = PodTiming { start_up: Duration::from_millis(500), drain: Duration::from_millis(500) };
        self.kubelet.set_timing(namespace, timing);
        let deployments = Api::namespaced(self.client.clone(), namespace);
        deployments.create(&PostParams::default(), &web(replicas, template)).await.unwrap();
        let course = Course::watch(self.client.clone(), namespace, "web").await.unwrap();
        (deployments, course)
    }

    async fn pods(&self, namespace: &str) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        pods.list(&ListParams::default()).await.unwrap().items
    }
}

/// A Deployment that replaces one pod at a time, with `template` merged into the metadata of its pods.
fn web(replicas: i32, mut template: Value) -> Deployment {
    template["labels"]["app"] = "web".into();
    let containers = json!([{"name": "web", "image": "web"}]);
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
        "template": {"metadata": template, "spec": {"containers": containers}}});
    serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap()
}

async fn scale(deployments: &Api<Deployment>, replicas: i32) -> kube::Result<()> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments.patch_scale("web", &PatchParams::default(), &patch).await.map(drop)
}

async fn roll(deployments: &Api<Deployment>, metadata: Value) {
    let patch = Patch::Merge(json!({"spec": {"template": {"metadata": metadata}}}));
    deployments.patch("web", &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scenarios_rely_on_holds_on_real_servers() {
    let Some(floor) = Floor::start().await else { return };
    let mut suite = Suite::new(8, DEADLINE * 2);
    macro_rules! add {
        ($name:literal, $scenario:path) => {
            suite = suite.scenario($name, $scenario(Arc::clone(&floor)));
        };
    }
    add!("a Deployment scales from 1 to 5 to 2 and its pods become ready", scales_out_and_in);
    add!("a pod is ready no sooner than its start-up time after it runs", start_up_takes_its_time);
    add!("a rollout shows its surge and ends with the wanted count", rollout_with_surge);
    add!("a revision that never becomes ready stops its rollout", never_ready_revision);
    add!("a crash-looping revision is not ready and says so", crash_loop);
    add!("a pod that turns unready or is evicted is seen in the course", unready_and_evicted);
    add!("a scale patch with a stale resourceVersion is refused with 409", stale_scale);
    add!("a user may do what it is granted and nothing else, and its requests are seen", rights);
    add!("a suspended API server answers again when it is resumed", suspended_api_server);
    add!("a pod tells the zone of the node that it is bound to", zone_of_a_pod);
    suite.run().await.into_result().unwrap();
}

async fn scales_out_and_in(floor: Arc<Floor>) {
    let (deployments, course) = floor.deploy("scales", 1, json!({})).await;
    for count in [1, 5, 2] {
        scale(&deployments, count).await.unwrap();
        course.settles_at(count).await.unwrap();
    }
    assert_eq!(course.counts(), [1, 5, 2], "{}", course.record());
    let pods = floor.pods("scales").await;
    let addresses: Vec<_> =
        pods.iter().map(|pod| pod.status.as_ref().unwrap().pod_ip.clone().unwrap()).collect();
    assert_eq!(addresses.len(), 2);
    assert_ne!(addresses[0], addresses[1]);
}

async fn start_up_takes_its_time(floor: Arc<Floor>) {
    let (_, course) = floor.deploy("startup", 3, json!({"annotations": {STARTUP_SECONDS: "3"}})).await;
    course.settles_at(3).await.unwrap();
    for pod in floor.pods("startup").await {
        let status = pod.status.unwrap();
        let (started, conditions) = (status.start_time.unwrap().0, status.conditions.unwrap());
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "True");
        let took = ready.last_transition_time.as_ref().unwrap().0.duration_since(started);
        // Both moments are rounded down to whole seconds; the longer end is as busy as the machine.
        assert!(took.as_secs() >= 3, "ready after {took:?}");
    }
}

async fn rollout_with_surge(floor: Arc<Floor>) {
    let (deployments, course) = floor.deploy("rollout", 3, json!({})).await;
    course.settles_at(3).await.unwrap();
    roll(&deployments, json!({"annotations": {"revision": "2"}})).await;
    course.wait_for(|record| record.last().is_some_and(|last| last.updated < 3), DEADLINE).await.unwrap();
    let record = course.settles_at(3).await.unwrap();
    assert_eq!(record.counts(), [3], "{record}");
    let most = record.moments().iter().map(|moment| moment.pods).max().unwrap();
    // The surge is one pod. The Deployment adds up ReplicaSets that report at different moments, so one that is
    // going may still be counted when the one that follows it already is.
    assert!((4..=5).contains(&most), "{record}");
}

async fn never_ready_revision(floor: Arc<Floor>) {
    revision_does_not_become_ready(&floor, "never-ready", NEVER_READY).await;
}

async fn crash_loop(floor: Arc<Floor>) {
    revision_does_not_become_ready(&floor, "crash-loop", CRASH_LOOP).await;
    let reasons = floor.pods("crash-loop").await.into_iter().filter_map(|pod| {
        let container = pod.status?.container_statuses?.into_iter().next()?;
        container.state?.waiting?.reason
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["CrashLoopBackOff"; 2]);
}

/// Two ready pods, then a revision that never becomes ready, then a scale-out in the midst of its rollout.
async fn revision_does_not_become_ready(floor: &Floor, namespace: &str, behavior: &str) {
    let (deployments, course) = floor.deploy(namespace, 2, json!({})).await;
    course.settles_at(2).await.unwrap();
    let hasty = json!({"annotations": {behavior: "true", STARTUP_SECONDS: "0"}});
    roll(&deployments, hasty).await;
    course.wait_for(|record| record.last().is_some_and(|last| last.updated == 1), DEADLINE).await.unwrap();
    scale(&deployments, 4).await.unwrap();
    // A pod more of the old revision becomes ready, and none of the new one, which would be ready at once.
    let scaled = |record: &Record| {
        record.last().is_some_and(|last| last.pods == 5 && last.updated == 2 && last.ready == 3)
    };
    let record = course.wait_for(scaled, DEADLINE).await.unwrap();
    let rollout = record.moments().iter().skip_while(|moment| moment.pods == moment.updated);
    assert!({ rollout }.all(|moment| moment.ready <= moment.pods - moment.updated), "{record}");
}

async fn unready_and_evicted(floor: Arc<Floor>) {
    let (_, course) = floor.deploy("evicted", 2, json!({})).await;
    course.settles_at(2).await.unwrap();
    let pods = floor.pods("evicted").await;
    floor.kubelet.set_ready("evicted", &pods[0].name_any(), false).await.unwrap();
    course.wait_for(|record| record.last().is_some_and(|last| last.ready == 1), DEADLINE).await.unwrap();
    floor.kubelet.set_ready("evicted", &pods[0].name_any(), true).await.unwrap();
    course.settles_at(2).await.unwrap();

    floor.kubelet.evict("evicted", &pods[0].name_any()).await.unwrap();
    course.wait_for(|record| record.last().is_some_and(|last| last.ready == 1), DEADLINE).await.unwrap();
    course.settles_at(2).await.unwrap();
    assert_eq!(course.counts(), [2], "the wanted count does not change");
}

async fn stale_scale(floor: Arc<Floor>) {
    let (deployments, course) = floor.deploy("stale", 1, json!({})).await;
    course.settles_at(1).await.unwrap();
    let seen = deployments.get_scale("web").await.unwrap().metadata.resource_version;
    let patch = |replicas: i32| {
        Patch::Merge(json!({"metadata": {"resourceVersion": seen}, "spec": {"replicas": replicas}}))
    };
    deployments.patch_scale("web", &PatchParams::default(), &patch(3)).await.unwrap();
    let refusal = deployments.patch_scale("web", &PatchParams::default(), &patch(4)).await.unwrap_err();
    let kube::Error::Api(status) = refusal else { panic!("{refusal}") };
    assert!(status.is_conflict(), "{status:?}");
    assert_eq!(course.settles_at(3).await.unwrap().counts(), [1, 3]);
}

async fn zone_of_a_pod(floor: Arc<Floor>) {
    floor.cluster.namespace("zones").await.unwrap();
    let nodes: Api<Node> = Api::all(floor.client.clone());
    let labels = json!({"topology.kubernetes.io/zone": "eu-1a"});
    let node = json!({"metadata": {"name": "in-a-zone", "labels": labels}, "spec": {"unschedulable": true}});
    nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(floor.client.clone(), "zones");
    let spec = json!({"schedulerName": "nobody", "containers": [{"name": "web", "image": "web"}]});
    let pod = serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "in-a-zone"}});
    let _: Value = pods.create_subresource("binding", "web", &PostParams::default(), &binding).await.unwrap();
    let bound = pods.get("web").await.unwrap();
    assert_eq!(
        bound.labels().get(plimsoll::capacity::ZONE_LABEL).map(String::as_str),
        Some("eu-1a"),
        "{bound:?}"
    );
}

async fn rights(floor: Arc<Floor>) {
    floor.deploy("rights", 1, json!({})).await;
    let operator = floor.cluster.client_as("operator").await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(operator, "rights");
    let is_forbidden =
        |error: kube::Error| matches!(error, kube::Error::Api(status) if status.is_forbidden());
    assert!(is_forbidden(deployments.get_scale("web").await.unwrap_err()));

    floor.cluster.grant("operator", vec![rule("apps", &["deployments/scale"], &["get"])]).await.unwrap();
    // The authorizer learns of new rights through a watch.
    let granted = async {
        while deployments.get_scale("web").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, granted).await.unwrap();
    assert!(is_forbidden(scale(&deployments, 9).await.unwrap_err()));

    let requests = floor.cluster.requests().unwrap();
    let writes: Vec<_> =
        requests.iter().filter(|request| request.user == "operator" && request.writes()).collect();
    let [write] = writes.as_slice() else { panic!("{writes:?}") };
    let told = (write.verb.as_str(), write.resource.as_str(), write.namespace.as_str(), write.code);
    assert_eq!(told, ("patch", "deployments/scale", "rights", 403));
    assert!(requests.iter().any(|request| request.user == "operator" && request.code == 200));
    assert!(floor.cluster.client_as("nobody").await.is_err());
}

async fn suspended_api_server(_: Arc<Floor>) {
    // A server of its own: the others would hang with it.
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    cluster.api_server().suspend();
    let hung = tokio::time::timeout(Duration::from_secs(2), client.apiserver_version()).await;
    assert!(hung.is_err());
    cluster.api_server().resume();
    tokio::time::timeout(DEADLINE, client.apiserver_version()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_cluster_is_left_after_a_panic() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let ended = tokio::spawn(async move {
        let Some(cluster) = unless_missing(Cluster::start().await).unwrap() else { return };
        sender.send((cluster.process_ids(), cluster.directory().to_owned())).unwrap();
        panic!("as a failing scenario does");
    });
    let outcome = ended.await;
    let Ok((ids, directory)) = receiver.await else { return };
    assert!(outcome.unwrap_err().is_panic());
    for id in ids {
        assert!(!Path::new(&format!("/proc/{id}")).exists(), "process {id} is left");
    }
    assert!(!directory.exists());
}
