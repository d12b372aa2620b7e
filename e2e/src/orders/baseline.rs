//! An HPA in all but its process: the same rules, signals, targets, bounds and behavior, and no idea of the database.

use std::time::Duration;

use kube::Client;
use plimsoll::api::ScalingPolicy;
use plimsoll::control::{
    Compat, CountOrPercent, Memory, Observation, Overrides, Policy, Rollout, ScalabilityView, Target,
    UpdateStrategy, Workload, decide,
};
use plimsoll::operator::Clock;
use plimsoll::signal::{Age, Answer, Reading};
use plimsoll::time::Span;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::OrdersError;
use super::services::{SERVICES, Service};
use super::side::Side;
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
    /// Begins to scale the services of a side.
    pub fn start(side: &Side, prometheus: &Prometheus) -> Result<Self, OrdersError> {
        let services = SERVICES.into_iter().map(Autoscaler::new).collect::<Result<Vec<_>, _>>()?;
        let question = prometheus.query_client();
        Ok(Self(tokio::spawn(scale(services, side.client(), side.namespace().to_owned(), question))))
    }
}

async fn scale(mut services: Vec<Autoscaler>, client: Client, namespace: String, prometheus: QueryClient) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for service in &mut services {
            if let Err(error) = service.evaluate(&client, &namespace, &prometheus).await {
                tracing::warn!(%error, service = service.service.name, "the baseline could not evaluate");
            }
        }
    }
}

struct Autoscaler {
    service: Service,
    policy: Policy,
    memory: Memory,
    clock: Clock,
}

impl Autoscaler {
    fn new(service: Service) -> Result<Self, OrdersError> {
        let declared: ScalingPolicy = serde_json::from_value(service.policy()).map_err(OrdersError::other)?;
        let policy = Policy::compile(&declared.spec).map_err(OrdersError::other)?;
        let policy = Policy { compat: Compat::Hpa, ..policy };
        Ok(Self { service, policy, memory: Memory::default(), clock: Clock::wall() })
    }

    async fn evaluate(
        &mut self,
        client: &Client,
        namespace: &str,
        prometheus: &QueryClient,
    ) -> Result<(), OrdersError> {
        let values = prometheus.query(&self.service.query()).await.map_err(OrdersError::other)?;
        let value = values.first().and_then(|value| value.parse().ok());
        let reading = Reading {
            answer: value.map_or(Answer::NoSeries, Answer::Value),
            warnings: Vec::new(),
            age: Age::NotSampled,
            covered_pods: None,
        };
        let spec_replicas = super::side::replicas(client, namespace, self.service.name).await?;
        let observation = Observation {
            readings: vec![reading],
            target: Target::Seen(Workload {
                spec_replicas,
                // A metric that is divided by a target needs no pods.
                pods: Vec::new(),
                departed: Vec::new(),
                rollout: Rollout::Settled,
                revision: 0,
                update: UpdateStrategy::RollingUpdate {
                    max_surge: CountOrPercent::Percent(25),
                    max_unavailable: CountOrPercent::Count(0),
                },
                termination_grace: Span::from_seconds(30),
                progress_deadline: Span::from_seconds(600),
            }),
            overrides: Overrides::default(),
            rivals: Vec::new(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
        };
        let memory = std::mem::take(&mut self.memory);
        let (decision, memory) = decide(&self.policy, &observation, memory, self.clock.now());
        self.memory = memory;
        match decision.write {
            Some(count) => super::side::scale(client, namespace, self.service.name, count).await,
            None => Ok(()),
        }
    }
}
