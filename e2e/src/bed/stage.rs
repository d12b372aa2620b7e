//! One scenario's own namespace: its workload, its load, its policies and what became of them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use plimsoll::api::ScalingPolicy;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Bed, BedError, LOOK_INTERVAL, Operator, OperatorOptions, record};
use crate::plant::STARTUP_SECONDS;
use crate::real::kubelet::DRAIN_SECONDS;
use crate::real::{Course, DEADLINE};

/// The name of each scenario's Deployment.
pub const WORKLOAD: &str = "checkout";
/// The name of each scenario's policy.
pub const POLICY: &str = "checkout";

/// A Deployment to be scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its replicas.
    pub replicas: i32,
    /// From a pod's creation to its readiness.
    pub start_up: Duration,
    /// Pods that a rollout may add. None may be missing.
    pub max_surge: i32,
}

impl Workload {
    /// So many pods that start in a second, replaced one at a time.
    pub const fn of(replicas: i32) -> Self {
        Self { replicas, start_up: Duration::from_secs(1), max_surge: 1 }
    }

    fn manifest(self) -> Value {
        let Self { replicas, start_up, max_surge } = self;
        let annotations = json!({
            STARTUP_SECONDS: start_up.as_secs_f64().to_string(),
            DRAIN_SECONDS: "0.5",
        });
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": WORKLOAD},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": WORKLOAD}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": max_surge, "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": {"app": WORKLOAD}, "annotations": annotations},
                    "spec": {"containers": [{"name": WORKLOAD, "image": "checkout:1"}]},
                },
            },
        })
    }
}

/// One scenario's namespace, with a Deployment in it whose course is recorded.
pub struct Stage {
    /// What it stands on.
    pub bed: Arc<Bed>,
    /// The namespace.
    pub namespace: String,
    /// May do everything.
    pub client: Client,
    /// Records the Deployment.
    pub course: Course,
}

impl Stage {
    /// Makes a namespace with a Deployment, and waits until its pods are ready.
    pub async fn set(bed: &Arc<Bed>, namespace: &str, workload: Workload) -> Result<Self, BedError> {
        let client = bed.client().await?;
        bed.namespace(namespace).await?;
        let deployments: Api<DynamicObject> = deployments(client.clone(), namespace);
        let manifest: DynamicObject = read(workload.manifest())?;
        deployments.create(&PostParams::default(), &manifest).await?;
        let course = record(client.clone(), namespace).await?;
        course.settles_at(workload.replicas).await.map_err(|error| BedError::Late(error.to_string()))?;
        Ok(Self { bed: Arc::clone(bed), namespace: namespace.to_owned(), client, course })
    }

    /// Starts the operator for this namespace, with the bed's Prometheus.
    pub async fn operator(&self) -> Result<Operator, BedError> {
        self.operator_with(self.options()).await
    }

    /// What the operator of this namespace is started with.
    pub fn options(&self) -> OperatorOptions {
        OperatorOptions::new(&self.namespace, &self.bed.prometheus().url())
    }

    /// Starts an operator and waits until it is ready.
    pub async fn operator_with(&self, options: OperatorOptions) -> Result<Operator, BedError> {
        let operator = Operator::start(&self.bed, options).await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Sets the workload's load, in requests a second, and waits until Prometheus has scraped it.
    pub async fn load(&self, value: f64) -> Result<(), BedError> {
        self.bed.exporter().gauge("load", &[("namespace", &self.namespace)], value);
        let scraped = |values: &[String]| values.iter().any(|seen| same(seen, value));
        let waited = self.bed.prometheus().wait_for(&self.query(), scraped).await;
        waited.map(drop).map_err(|error| BedError::Late(error.to_string()))
    }

    /// The query that yields the load.
    pub fn query(&self) -> String {
        format!("sum(load{{namespace=\"{}\"}})", self.namespace)
    }

    /// A policy that gives each replica 10 requests a second, between 2 and 20 replicas, and removes what has not been
    /// needed for 6 seconds; with `changes` merged in.
    pub fn policy(&self, changes: &Value) -> Value {
        let at_once = json!([{"type": "Percent", "value": 900, "periodSeconds": 1}]);
        let mut policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "ScalingPolicy",
            "metadata": {"name": POLICY, "namespace": self.namespace},
            "spec": {
                "scaleTargetRef": {"name": WORKLOAD},
                "minReplicas": 2,
                "maxReplicas": 20,
                "pollingInterval": 1,
                "metrics": [{
                    "name": "rps",
                    "prometheus": {"query": self.query()},
                    "target": {"type": "AverageValue", "averageValue": "10"},
                }],
                "smoothing": {"scaleDownHalfLifeSeconds": 0},
                "warmUp": {"source": "Declared", "seconds": 1},
                "behavior": {
                    "scaleUp": {"policies": at_once},
                    "scaleDown": {"stabilizationWindowSeconds": 6},
                },
            },
        });
        json_patch::merge(&mut policy, changes);
        policy
    }

    /// Creates a policy.
    pub async fn create(&self, policy: Value) -> Result<(), BedError> {
        self.policies().create(&PostParams::default(), &read(policy)?).await?;
        Ok(())
    }

    /// Creates the usual policy with `changes` merged in.
    pub async fn declare(&self, changes: &Value) -> Result<(), BedError> {
        self.create(self.policy(changes)).await
    }

    /// Changes the policy's specification as `kubectl patch --type merge` does.
    pub async fn edit(&self, spec: Value) -> Result<(), BedError> {
        self.patch_policy(&json!({"spec": spec})).await
    }

    /// Sets or, with null, removes an annotation of the policy.
    pub async fn annotate(&self, name: &str, value: Value) -> Result<(), BedError> {
        self.patch_policy(&json!({"metadata": {"annotations": {name: value}}})).await
    }

    async fn patch_policy(&self, patch: &Value) -> Result<(), BedError> {
        self.policies().patch(POLICY, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Asks for so many replicas as `kubectl scale` does.
    pub async fn scale(&self, replicas: i32) -> Result<(), BedError> {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        deployments.patch_scale(WORKLOAD, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Changes the Deployment's pod template, which begins a rollout.
    pub async fn roll_out(&self, template: Value) -> Result<(), BedError> {
        let patch = Patch::Merge(json!({"spec": {"template": template}}));
        deployments(self.client.clone(), &self.namespace)
            .patch(WORKLOAD, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Policies as the API server shows them, valid or not.
    pub fn policies(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::erase::<ScalingPolicy>(&()))
    }

    /// The policy as it is now.
    pub async fn seen(&self) -> Result<ScalingPolicy, BedError> {
        self.seen_as(POLICY).await
    }

    async fn seen_as(&self, name: &str) -> Result<ScalingPolicy, BedError> {
        Ok(Api::<ScalingPolicy>::namespaced(self.client.clone(), &self.namespace).get(name).await?)
    }

    /// Waits until the policy's status satisfies `condition`; if it never does, tells all that happened.
    pub async fn until(
        &self,
        what: &str,
        condition: impl Fn(&ScalingPolicy) -> bool,
    ) -> Result<ScalingPolicy, BedError> {
        self.until_of(POLICY, what, condition).await
    }

    /// The same for another policy than the usual one.
    pub async fn until_of(
        &self,
        name: &str,
        what: &str,
        condition: impl Fn(&ScalingPolicy) -> bool,
    ) -> Result<ScalingPolicy, BedError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let policy = self.seen_as(name).await?;
            if condition(&policy) {
                return Ok(policy);
            }
            if Instant::now() >= deadline {
                let status = serde_json::to_string_pretty(&policy.status).unwrap_or_default();
                return Err(BedError::Late(format!(
                    "{}/{name}: never {what}; its status is\n{status}\nand its course was\n{}",
                    self.namespace,
                    self.course.record()
                )));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until a condition of the policy has a status and a reason, and returns its message.
    pub async fn until_condition(&self, kind: &str, status: &str, reason: &str) -> Result<String, BedError> {
        let is = |policy: &ScalingPolicy| {
            condition(policy, kind).is_some_and(|seen| seen.status == status && seen.reason == reason)
        };
        let policy = self.until(&format!("{kind}={status} for {reason}"), is).await?;
        Ok(condition(&policy, kind).map(|seen| seen.message.clone()).unwrap_or_default())
    }

    /// Waits until the wanted count is `count`.
    pub async fn until_wanted(&self, count: i32) -> Result<(), BedError> {
        let wanted = |record: &crate::real::Record| record.last().is_some_and(|last| last.wanted == count);
        let record = self.course.wait_for(wanted, DEADLINE).await;
        record.map(drop).map_err(|error| BedError::Late(error.to_string()))
    }

    /// Waits until the Deployment is settled at `count` pods.
    pub async fn settled(&self, count: i32) -> Result<(), BedError> {
        self.course.settles_at(count).await.map(drop).map_err(|error| BedError::Late(error.to_string()))
    }

    /// The events in the namespace about policies, as `reason: note`, the oldest first.
    pub async fn events(&self) -> Result<Vec<String>, BedError> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = events.list(&ListParams::default()).await?.items;
        events.retain(|event| {
            event.regarding.as_ref().is_some_and(|about| about.kind.as_deref() == Some("ScalingPolicy"))
        });
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        let told = events
            .into_iter()
            .map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.note.unwrap_or_default()));
        Ok(told.collect())
    }
}

/// A condition of a policy.
pub fn condition<'a>(policy: &'a ScalingPolicy, kind: &str) -> Option<&'a Condition> {
    policy.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

fn deployments(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &ApiResource::erase::<Deployment>(&()))
}

fn read(manifest: Value) -> Result<DynamicObject, BedError> {
    serde_json::from_value(manifest).map_err(|error| BedError::Io(error.into()))
}

/// Whether Prometheus' way to write a number means this one.
fn same(written: &str, value: f64) -> bool {
    written
        .parse::<f64>()
        .is_ok_and(|read| (read.is_nan() && value.is_nan()) || read.total_cmp(&value).is_eq())
}
