//! A real API server with its Deployment controller, and a real Prometheus.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Asked, Fault, Floor, LOOK_INTERVAL, Size, carried, deployment, name, namespaces, noisy, policy};
use crate::bed::operator_rights;
use crate::real::{Cluster, Exporter, Kubelet, Prometheus, PrometheusOptions, Target};

/// Requests of the preparation under way at once.
const CONCURRENT: usize = 16;
/// The operator's user.
const USER: &str = "operator";

/// A real API server with its Deployment controller, a kubelet that only says that pods are Ready, and a real
/// Prometheus.
pub struct RealFloor {
    noise: JoinHandle<()>,
    demand: watch::Sender<f64>,
    prometheus: Prometheus,
    kubeconfig: PathBuf,
    _kubelet: Kubelet,
    cluster: Cluster,
}

impl RealFloor {
    /// Servers that hold so many policies, each with a workload whose pods are Ready.
    pub async fn start(size: Size, patience: Duration) -> Result<Self, Fault> {
        let cluster = Cluster::start().await?;
        let kubelet = cluster.client_as("fake-kubelet").await.map_err(Fault::other)?;
        let kubelet = Kubelet::start(kubelet).await.map_err(Fault::other)?;
        for definition in plimsoll::api::definitions() {
            cluster.install(&definition).await.map_err(Fault::other)?;
        }
        for namespace in namespaces() {
            cluster.namespace(&namespace).await.map_err(Fault::other)?;
        }
        let rules = operator_rights().map_err(Fault::other)?.into_iter().map(|right| PolicyRule {
            api_groups: Some(right.api_groups),
            resources: Some(right.resources),
            verbs: right.verbs,
            ..PolicyRule::default()
        });
        cluster.grant(USER, rules.collect()).await.map_err(Fault::other)?;
        let admin = cluster.client().await.map_err(Fault::other)?;
        let made = stream::iter(0..size.policies).map(Ok::<_, Fault>);
        made.try_for_each_concurrent(CONCURRENT, |number| {
            let admin = admin.clone();
            async move {
                create(&admin, "apps", "v1", "Deployment", deployment(number, size.pods)).await?;
                create(&admin, "plimsoll.dev", "v1alpha1", "ScalingPolicy", policy(number)).await
            }
        })
        .await?;
        ready(&admin, size, patience).await?;
        let exporter = Arc::new(Exporter::start()?);
        let options = PrometheusOptions {
            targets: vec![Target::new("shop", exporter.address())],
            scrape_interval: Duration::from_secs(5),
            ..PrometheusOptions::default()
        };
        let (demand, wanted) = watch::channel(1.0);
        let noise = tokio::spawn(make_noise(exporter, size, wanted));
        let prometheus = Prometheus::start_with(options).await?;
        let kubeconfig = cluster.kubeconfig_path(USER).map_err(Fault::other)?.to_owned();
        Ok(Self { noise, demand, prometheus, kubeconfig, _kubelet: kubelet, cluster })
    }
}

impl Drop for RealFloor {
    fn drop(&mut self) {
        self.noise.abort();
    }
}

async fn create(admin: &Client, group: &str, version: &str, kind: &str, object: Value) -> Result<(), Fault> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let object: DynamicObject = serde_json::from_value(object).map_err(Fault::other)?;
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), &namespace, &resource);
    api.create(&PostParams::default(), &object).await.map(drop).map_err(Fault::other)
}

/// Waits until every workload has its pods.
async fn ready(admin: &Client, Size { policies, pods }: Size, patience: Duration) -> Result<(), Fault> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let deployments: Api<DynamicObject> = Api::all_with(admin.clone(), &resource);
    let deadline = Instant::now() + patience;
    loop {
        let asked = Instant::now();
        let list = deployments.list(&ListParams::default()).await.map_err(Fault::other)?;
        let wanted = u64::try_from(pods).ok();
        let ready = |deployment: &&DynamicObject| {
            deployment.data.pointer("/status/readyReplicas").and_then(Value::as_u64) == wanted
        };
        let ready = list.items.iter().filter(ready).count();
        if ready >= policies {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Fault::Other(format!("only {ready} of {policies} workloads became ready")));
        }
        // A list of ten thousand keeps the server busy for seconds.
        sleep(asked.elapsed().max(LOOK_INTERVAL * 20)).await;
    }
}

async fn make_noise(exporter: Arc<Exporter>, size: Size, wanted: watch::Receiver<f64>) {
    let middle = carried(size.pods);
    for round in 0_u64.. {
        let factor = *wanted.borrow();
        for number in 0..size.policies {
            let seed = round.wrapping_mul(1_000_003).wrapping_add(u64::try_from(number).unwrap_or_default());
            exporter.gauge("load", &[("app", &name(number))], noisy(middle * factor, seed));
        }
        sleep(Duration::from_secs(2)).await;
    }
}

impl Floor for RealFloor {
    fn name(&self) -> String {
        format!("kube-apiserver {} with a real Prometheus", self.cluster.version())
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn prometheus(&self) -> String {
        self.prometheus.url()
    }

    fn demand(&self, factor: f64) -> BoxFuture<'_, Result<(), Fault>> {
        self.demand.send_replace(factor);
        Box::pin(async { Ok(()) })
    }

    fn asked(&self) -> BoxFuture<'_, Result<Asked, Fault>> {
        Box::pin(async {
            let mut asked = Asked::default();
            for request in self.cluster.requests()?.iter().filter(|request| request.user == USER) {
                asked.count(&request.verb, &request.resource);
            }
            // Prometheus counts what it is asked, and does not tell values from ages.
            let metrics = reqwest::get(format!("{}/metrics", self.prometheus.url())).await;
            let metrics = metrics.map_err(Fault::other)?.text().await.map_err(Fault::other)?;
            asked.values = queries(&metrics);
            Ok(asked)
        })
    }

    fn relist(&self) -> bool {
        false
    }
}

/// Queries that a Prometheus has answered, by its own metrics.
fn queries(metrics: &str) -> u64 {
    let answered = metrics
        .lines()
        .filter(|line| line.starts_with("prometheus_http_requests_total{"))
        .filter(|line| line.contains("handler=\"/api/v1/query\""))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    answered.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_those_that_prometheus_has_answered() {
        let metrics = "# TYPE prometheus_http_requests_total counter\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query\"} 41\n\
            prometheus_http_requests_total{code=\"400\",handler=\"/api/v1/query\"} 1\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query_range\"} 7\n\
            prometheus_http_requests_total{code=\"200\",handler=\"/metrics\"} 9\n";
        assert_eq!(queries(metrics), 42);
    }
}
