//! Rollouts on the plant and under a real `kube-controller-manager`: at every point of rest both have sized the same
//! ReplicaSets alike and say the same of the Deployment. The test itself plays the kubelet and decides who is ready.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking, and its tables are long"
)]

mod support;

use e2e::apiserver::{ApiServer, Settings};
use e2e::plant::{Plant, PlantSettings};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};
use support::cluster::web;
use tokio::time::{Duration, Instant};

/// What is done to the Deployment, one after the other.
enum Act {
    Create(u32, Value),
    /// Every pod there is becomes ready, again and again until nothing moves.
    AllReady,
    /// Every pod there is now becomes ready; those that come after do not.
    ReadyNow,
    /// A merge patch of the Deployment.
    Change(Value),
    Scale(u32),
}

use Act::{AllReady, Change, Create, ReadyNow, Scale};

struct Site {
    deployments: Api<Deployment>,
    sets: Api<ReplicaSet>,
    pods: Api<Pod>,
}

impl Site {
    /// A namespace of its own on the server behind `client`.
    async fn new(client: &Client, namespace: &str) -> Self {
        let made = json!({"metadata": {"name": namespace}}).to_string();
        let (code, _, answer) =
            support::send(client, "POST", "/api/v1/namespaces", "application/json", &made).await;
        assert_eq!(code, 201, "{answer}");
        let client = || client.clone();
        Self {
            deployments: Api::namespaced(client(), namespace),
            sets: Api::namespaced(client(), namespace),
            pods: Api::namespaced(client(), namespace),
        }
    }

    async fn act(&self, act: &Act) {
        let patch = PatchParams::default();
        match act {
            Create(replicas, change) => {
                let mut deployment: Deployment = serde_json::from_value(web(*replicas, change)).unwrap();
                deployment.metadata.namespace = None;
                self.deployments.create(&PostParams::default(), &deployment).await.unwrap();
            }
            AllReady => {
                while self.make_ready().await {
                    self.rest().await;
                }
            }
            ReadyNow => {
                self.make_ready().await;
            }
            Change(change) => {
                self.deployments.patch("web", &patch, &Patch::Merge(change)).await.unwrap();
            }
            Scale(count) => {
                let scale = json!({"spec": {"replicas": count}});
                self.deployments.patch_scale("web", &patch, &Patch::Merge(scale)).await.unwrap();
            }
        }
    }

    async fn make_ready(&self) -> bool {
        let mut acted = false;
        for pod in self.pods.list(&ListParams::default()).await.unwrap() {
            let conditions =
                pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
            if pod.meta().deletion_timestamp.is_some()
                || conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
            {
                continue;
            }
            let ready = json!({"status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            }});
            let patched =
                self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(ready)).await;
            acted |= patched.is_ok();
        }
        acted
    }

    /// Waits until every controller has seen what it was told, and nothing has changed for a while.
    async fn rest(&self) {
        let end = Instant::now() + Duration::from_mins(1);
        let (mut last, mut since) = (Vec::new(), Instant::now());
        while Instant::now() < end {
            let (now, is_settled) = self.versions().await;
            if now != last {
                (last, since) = (now, Instant::now());
            } else if is_settled && since.elapsed() > Duration::from_millis(700) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no rest after a minute");
    }

    /// The versions of all objects, and whether every ReplicaSet has and reports the pods that it is to have.
    async fn versions(&self) -> (Vec<String>, bool) {
        let all = ListParams::default();
        let (deployments, sets, pods) =
            tokio::join!(self.deployments.list(&all), self.sets.list(&all), self.pods.list(&all));
        let (deployments, sets, pods) = (deployments.unwrap(), sets.unwrap(), pods.unwrap());
        let has_all = |set: &ReplicaSet| {
            let wanted = set.spec.as_ref().unwrap().replicas.unwrap_or(0);
            let owned = pods.iter().filter(|pod| {
                pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.uid().as_ref())
            });
            let status = set.status.clone().unwrap_or_default();
            usize::try_from(wanted).unwrap() == owned.count()
                && status.replicas == wanted
                && status.observed_generation == set.metadata.generation
        };
        let is_seen = |deployment: &Deployment| {
            deployment.status.as_ref().and_then(|status| status.observed_generation)
                == deployment.metadata.generation
        };
        let is_settled = sets.iter().all(has_all) && deployments.iter().all(is_seen);
        let mut versions: Vec<String> =
            deployments.iter().filter_map(ResourceExt::resource_version).collect();
        versions.extend(sets.iter().filter_map(ResourceExt::resource_version));
        versions.extend(pods.iter().filter_map(ResourceExt::resource_version));
        (versions, is_settled)
    }

    /// The state at rest: ReplicaSets by revision, the Deployment's counts and conditions.
    async fn state(&self) -> Value {
        self.rest().await;
        let mut sets: Vec<Value> =
            self.sets.list(&ListParams::default()).await.unwrap().iter().map(set_state).collect();
        sets.sort_by_key(Value::to_string);
        let deployment = self.deployments.get_opt("web").await.unwrap();
        let deployment =
            deployment.map(|deployment| serde_json::to_value(deployment).unwrap()).unwrap_or_default();
        let status = &deployment["status"];
        let mut conditions: Vec<String> = status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| format!("{}={} {}", c["type"], c["status"], c["reason"]).replace('"', ""))
            // Whether a real controller has seen the first pods of a new ReplicaSet yet is a matter of milliseconds.
            .map(|c| c.replace("NewReplicaSetCreated", "ReplicaSetUpdated"))
            .collect();
        conditions.sort();
        let count = |field: &str| status[field].as_u64().unwrap_or(0);
        json!({
            "sets": sets,
            "replicas": count("replicas"),
            "updated": count("updatedReplicas"),
            "ready": count("readyReplicas"),
            "available": count("availableReplicas"),
            "unavailable": count("unavailableReplicas"),
            "conditions": conditions,
            "revision": deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
            "observed": deployment["metadata"]["generation"] == status["observedGeneration"],
        })
    }
}

fn set_state(set: &ReplicaSet) -> Value {
    let annotation = |name: &str| set.annotations().get(&format!("deployment.kubernetes.io/{name}")).cloned();
    let status = set.status.clone().unwrap_or_default();
    json!({
        "revision": annotation("revision"),
        "desired": annotation("desired-replicas"),
        "max": annotation("max-replicas"),
        "replicas": set.spec.as_ref().unwrap().replicas,
        "there": status.replicas,
        "available": status.available_replicas.unwrap_or(0),
    })
}

fn version(number: u32) -> Act {
    Change(json!({"spec": {"template": {"metadata": {"labels": {"version": number.to_string()}}}}}))
}

fn rolling(surge: &Value, unavailable: &Value) -> Value {
    json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}})
}

fn courses() -> Vec<(&'static str, Vec<Act>)> {
    let quarter = || rolling(&json!("25%"), &json!("25%"));
    vec![
        (
            "a rollout that completes",
            vec![Create(4, quarter()), AllReady, version(2), ReadyNow, ReadyNow, AllReady],
        ),
        (
            "a stuck rollout that is scaled up and down",
            vec![
                Create(10, quarter()),
                AllReady,
                version(2),
                Scale(20),
                Scale(21),
                Scale(7),
                Scale(3),
                AllReady,
            ],
        ),
        (
            "three revisions at once, scaled",
            vec![
                Create(10, rolling(&json!(3), &json!(2))),
                AllReady,
                version(2),
                version(3),
                Scale(15),
                Scale(5),
                ReadyNow,
                Scale(12),
                AllReady,
            ],
        ),
        (
            "no surge",
            vec![
                Create(5, rolling(&json!(0), &json!(2))),
                AllReady,
                version(2),
                Scale(8),
                Scale(4),
                AllReady,
            ],
        ),
        (
            "no unavailability",
            vec![
                Create(5, rolling(&json!(1), &json!(0))),
                AllReady,
                version(2),
                Scale(8),
                Scale(2),
                AllReady,
            ],
        ),
        (
            "neither fits",
            vec![Create(3, rolling(&json!("0%"), &json!("10%"))), AllReady, version(2), AllReady],
        ),
        (
            "back to an earlier template",
            vec![Create(4, quarter()), AllReady, version(2), version(1), AllReady, version(2), AllReady],
        ),
        (
            "paused",
            vec![
                Create(4, quarter()),
                AllReady,
                Change(json!({"spec": {"paused": true}})),
                version(2),
                Scale(6),
                AllReady,
                Change(json!({"spec": {"paused": false}})),
                AllReady,
            ],
        ),
        (
            "recreated",
            vec![
                Create(3, json!({"spec": {"strategy": {"type": "Recreate"}}})),
                AllReady,
                version(2),
                Scale(5),
                AllReady,
            ],
        ),
        (
            "to nothing and back",
            vec![
                Create(3, quarter()),
                AllReady,
                Scale(0),
                Scale(2),
                AllReady,
                version(2),
                Scale(0),
                Scale(4),
                AllReady,
            ],
        ),
    ]
}

/// Does the same to both, each course in a namespace of its own; says where their states of rest differ.
async fn run(real: &Client, double: &Client, number: usize, (course, acts): (&str, Vec<Act>)) -> Vec<String> {
    let namespace = format!("course-{number}");
    let (real, double) = (Site::new(real, &namespace).await, Site::new(double, &namespace).await);
    let mut differences = Vec::new();
    for (number, act) in acts.iter().enumerate() {
        tokio::join!(real.act(act), double.act(act));
        let (expected, found) = tokio::join!(real.state(), double.state());
        if expected != found {
            differences.push(format!("{course}, act {}:\n  real:  {expected}\n  plant: {found}", number + 1));
        }
    }
    differences
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plant_rolls_as_the_real_controllers_do() {
    let Some(real) = support::real::start_with_controllers().await else { return };
    let server = ApiServer::new(Settings::default());
    let settings = PlantSettings { kubelet: false, ..PlantSettings::default() };
    let _plant = Plant::start(&server, settings).unwrap();
    let double = server.client();
    let runs =
        courses().into_iter().enumerate().map(|(number, course)| run(&real.client, &double, number, course));
    let differences: Vec<String> = futures::future::join_all(runs).await.concat();
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
