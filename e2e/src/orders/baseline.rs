//! An HPA in all but its process: the same rules, signals, targets, bounds and behavior, and no idea of the database.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use plimsoll::api::ScalingPolicy;
use plimsoll::control::{
    Compat, CountOrPercent, Memory, Observation, Overrides, PodId, Policy, Rollout, ScalabilityView, Target,
    UpdateStrategy, Workload, decide,
};
use plimsoll::operator::Clock;
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::{Span, Time};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::OrdersError;
use super::fleet::SERVICE_LABEL;
use crate::real::{Prometheus, QueryClient};

/// How often it evaluates: as often as the policies do.
const PERIOD: Duration = Duration::from_secs(1);

/// A running baseline; it stops on drop.
#[derive(Debug)]
pub struct Baseline(JoinHandle<()>);

impl Drop for Baseline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Baseline {
    /// Begins to scale the workloads that the policies name, which know no ceilings.
    pub fn start(
        client: Client,
        namespace: &str,
        policies: &[Value],
        prometheus: &Prometheus,
    ) -> Result<Self, OrdersError> {
        let workloads = policies.iter().map(Autoscaler::new).collect::<Result<Vec<_>, _>>()?;
        let question = prometheus.query_client();
        Ok(Self(tokio::spawn(scale(workloads, client, namespace.to_owned(), question))))
    }
}

async fn scale(mut workloads: Vec<Autoscaler>, client: Client, namespace: String, prometheus: QueryClient) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for workload in &mut workloads {
            if let Err(error) = workload.evaluate(&client, &namespace, &prometheus).await {
                tracing::warn!(%error, workload = workload.name, "the baseline could not evaluate");
            }
        }
    }
}

struct Autoscaler {
    name: String,
    queries: Vec<String>,
    policy: Policy,
    memory: Memory,
    clock: Clock,
}

impl Autoscaler {
    fn new(policy: &Value) -> Result<Self, OrdersError> {
        let declared: ScalingPolicy = serde_json::from_value(policy.clone()).map_err(OrdersError::other)?;
        let policy = Policy::compile(&declared.spec).map_err(OrdersError::other)?;
        let policy = Policy { compat: Compat::Hpa, ..policy };
        let name = declared.spec.scale_target_ref.name;
        let queries = declared.spec.metrics.into_iter().map(|metric| metric.prometheus.query).collect();
        Ok(Self { name, queries, policy, memory: Memory::default(), clock: Clock::wall() })
    }

    async fn evaluate(
        &mut self,
        client: &Client,
        namespace: &str,
        prometheus: &QueryClient,
    ) -> Result<(), OrdersError> {
        let mut readings = Vec::new();
        for query in &self.queries {
            let values = prometheus.query(query).await.map_err(OrdersError::other)?;
            let value = values.first().and_then(|value| value.parse().ok());
            readings.push(Reading {
                answer: value.map_or(Answer::NoSeries, Answer::Value),
                warnings: Vec::new(),
                age: Age::NotSampled,
                covered_pods: None,
            });
        }
        let spec_replicas = super::side::replicas(client, namespace, &self.name).await?;
        let observation = Observation {
            readings,
            target: Target::Seen(Workload {
                spec_replicas,
                pods: self.pods(client, namespace).await?,
                departed: Vec::new(),
                rollout: Rollout::Settled,
                revision: 0,
                update: UpdateStrategy::RollingUpdate {
                    max_surge: CountOrPercent::Percent(25),
                    max_unavailable: CountOrPercent::Count(0),
                },
                termination_grace: Span::from_seconds(30),
                progress_deadline: Span::from_seconds(600),
                zones: 0,
            }),
            overrides: Overrides::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: Vec::new(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
        };
        let memory = std::mem::take(&mut self.memory);
        let (decision, memory) = decide(&self.policy, &observation, memory, self.clock.now());
        self.memory = memory;
        match decision.write {
            Some(count) => super::side::scale(client, namespace, &self.name, count).await,
            None => Ok(()),
        }
    }

    /// The workload's pods. Those of a metric that is divided by a target are not needed, those of a level are.
    async fn pods(
        &self,
        client: &Client,
        namespace: &str,
    ) -> Result<Vec<plimsoll::control::Pod>, OrdersError> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let list =
            pods.list(&ListParams::default().labels(&format!("{SERVICE_LABEL}={}", self.name))).await?;
        Ok((0..).zip(&list.items).map(|(number, pod)| seen(PodId(number), pod)).collect())
    }
}

fn seen(id: PodId, pod: &Pod) -> plimsoll::control::Pod {
    let moment = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| {
        Time::from_millis(time.0.as_millisecond())
    };
    let conditions = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let ready =
        conditions.into_iter().find(|condition| condition.type_ == "Ready" && condition.status == "True");
    plimsoll::control::Pod {
        id,
        created: pod.metadata.creation_timestamp.as_ref().map_or(Time::from_millis(0), moment),
        ready_since: ready.and_then(|ready| ready.last_transition_time.as_ref()).map(moment),
        terminating_since: pod.metadata.deletion_timestamp.as_ref().map(moment),
    }
}
