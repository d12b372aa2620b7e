//! The whole operator on the API server double, under the paused clock: an hour in a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use plimsoll::operator::{Clock, Election, Options, RunError, Signals, run};
use plimsoll::prometheus::Evaluation;
use plimsoll::signal::{Age, Answer, Moments, Reading};
use plimsoll::time::{Span, Time};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{BedError, OPERATOR, borrowed, operator_rights};
use crate::apiserver::{ApiServer, ApiService, Rule, Settings};
use crate::clock::Clock as ServerClock;
use crate::plant::{Plant, PlantSettings};

/// The namespace that every simulated bed has.
pub const NAMESPACE: &str = "shop";

/// What is read at a moment.
type Course = fn(Time) -> Reading;

/// Values by server name, with their ages; a server that is not named answers with nothing.
#[derive(Clone, Default)]
pub struct ToldSignals {
    values: Arc<Mutex<HashMap<String, (f64, Span)>>>,
    courses: Arc<Mutex<HashMap<String, Course>>>,
}

impl ToldSignals {
    /// From now on the server of this name tells this value, also of the past.
    pub fn set(&self, server: &str, value: f64) {
        self.set_aged(server, value, Span::ZERO);
    }

    /// The same, with its newest sample so old.
    pub fn set_aged(&self, server: &str, value: f64, age: Span) {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned(), (value, age));
    }

    /// From now on the server of this name tells what it is at each moment, also of the past.
    pub fn set_course(&self, server: &str, course: fn(Time) -> Reading) {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned(), course);
    }

    /// From now on the server of this name finds nothing.
    pub fn silence(&self, server: &str) {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
    }

    fn read(&self, server: &str, at: Time) -> Reading {
        let course = self.courses.lock().unwrap_or_else(PoisonError::into_inner).get(server).copied();
        if let Some(course) = course {
            return course(at);
        }
        let told = self.values.lock().unwrap_or_else(PoisonError::into_inner).get(server).copied();
        let (answer, age) =
            told.map_or((Answer::NoSeries, Span::ZERO), |(value, age)| (Answer::Value(value), age));
        Reading { answer, warnings: Vec::new(), age: Age::Measured(age), covered_pods: None }
    }
}

impl Signals for ToldSignals {
    fn evaluate<'a>(
        &'a self,
        server: &'a str,
        _: &'a str,
        _: &'a Evaluation,
        at: Time,
    ) -> BoxFuture<'a, Reading> {
        let reading = self.read(server, at);
        Box::pin(async move { reading })
    }

    fn history<'a>(
        &'a self,
        server: &'a str,
        _: &'a str,
        _: &'a Evaluation,
        moments: Moments,
    ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
        let readings = moments.iter().map(|at| self.read(server, at)).collect();
        Box::pin(async move { Ok(readings) })
    }
}

/// A simulated cluster with the operator's definitions and role.
pub struct SimulatedBed {
    /// The API server double.
    pub server: ApiServer,
    /// What the operator is told.
    pub signals: ToldSignals,
    _plant: Plant,
}

impl SimulatedBed {
    /// An empty cluster at a fixed moment. Needs a paused clock.
    pub fn new() -> Result<Self, BedError> {
        let start = jiff::Timestamp::from_second(1_790_000_000).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let server =
            ApiServer::new(Settings { clock: ServerClock::starting_at(start), ..Settings::default() });
        let rules = operator_rights()?;
        let rules = rules.iter().map(|right| {
            Rule::new(&borrowed(&right.verbs), &borrowed(&right.api_groups), &borrowed(&right.resources))
        });
        server.bind(OPERATOR, OPERATOR, rules.collect());
        server.add_namespace(NAMESPACE);
        let plant = Plant::start(&server, PlantSettings::default())?;
        let bed = Self { server, signals: ToldSignals::default(), _plant: plant };
        for definition in plimsoll::api::definitions() {
            let definition = serde_json::to_value(definition).unwrap_or_default();
            bed.create("apiextensions.k8s.io", "v1", "customresourcedefinitions", "", definition)?;
        }
        Ok(bed)
    }

    /// Creates an object.
    pub fn create(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: &str,
        object: Value,
    ) -> Result<(), BedError> {
        let collection = self.server.collection(group, version, plural)?;
        collection.create(namespace, object)?;
        Ok(())
    }

    /// A Deployment whose pods start and end in the time that its annotations say.
    pub fn put_workload(&self, name: &str, replicas: u32, annotations: &Value) -> Result<(), BedError> {
        let deployment = json!({
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": name, "image": "service:1"}]}}}
        });
        self.create("apps", "v1", "deployments", NAMESPACE, deployment)
    }

    /// A policy for the workload of the same name, which follows what the server of that name tells, at 10 a replica.
    pub fn put_policy(&self, name: &str, spec: &Value) -> Result<(), BedError> {
        let mut policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"name": name}, "minReplicas": 1, "maxReplicas": 100,
                "warmUp": {"source": "Declared", "seconds": 5},
                "metrics": [{"name": "rps", "prometheus": {"server": name, "query": "q"},
                             "target": {"type": "AverageValue", "averageValue": "10"}}]}
        });
        merge(&mut policy, &json!({ "spec": spec }));
        self.create("plimsoll.dev", "v1alpha1", "scalingpolicies", NAMESPACE, policy)
    }

    /// A ConnectionBudget of this spec.
    pub fn put_budget(&self, name: &str, spec: &Value) -> Result<(), BedError> {
        let budget = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ConnectionBudget", "metadata": {"name": name}, "spec": spec
        });
        self.create("plimsoll.dev", "v1alpha1", "connectionbudgets", "", budget)
    }

    /// Changes an object as a merge patch would.
    pub fn edit(
        &self,
        (group, version, plural): (&str, &str, &str),
        namespace: &str,
        name: &str,
        change: &Value,
    ) -> Result<(), BedError> {
        let collection = self.server.collection(group, version, plural)?;
        let mut object = collection
            .get(namespace, name)
            .ok_or_else(|| BedError::Late(format!("there is no {plural} {name}")))?;
        merge(&mut object, change);
        collection.update(namespace, object)?;
        Ok(())
    }

    /// An object as it is; null if it is not there.
    pub fn get(&self, group: &str, version: &str, plural: &str, namespace: &str, name: &str) -> Value {
        let collection = self.server.collection(group, version, plural);
        collection.ok().and_then(|collection| collection.get(namespace, name)).unwrap_or_default()
    }

    /// Starts an operator; under a lease if it is given one.
    pub fn operator(
        &self,
        election: Option<Election>,
        stop: &CancellationToken,
    ) -> JoinHandle<Result<(), RunError>> {
        self.operator_listening(None, election, stop)
    }

    /// The same, with its endpoints.
    pub fn operator_listening(
        &self,
        listener: Option<TcpListener>,
        election: Option<Election>,
        stop: &CancellationToken,
    ) -> JoinHandle<Result<(), RunError>> {
        self.begin(self.server.client_with_token(OPERATOR), listener, election, stop)
    }

    /// The same without endpoints, on a way of the caller's to the API server.
    pub fn operator_through(
        &self,
        client: kube::Client,
        election: Option<Election>,
        stop: &CancellationToken,
    ) -> JoinHandle<Result<(), RunError>> {
        self.begin(client, None, election, stop)
    }

    /// The operator's own way to the API server.
    pub fn operators_way(&self) -> ApiService {
        self.server.service().bearing(OPERATOR)
    }

    fn begin(
        &self,
        client: kube::Client,
        listener: Option<TcpListener>,
        election: Option<Election>,
        stop: &CancellationToken,
    ) -> JoinHandle<Result<(), RunError>> {
        let now = Time::from_millis(self.server.clock().now().as_millisecond());
        let options = Options {
            clock: Clock::simulated(now),
            election,
            listener,
            ..Options::new(Arc::new(self.signals.clone()))
        };
        tokio::spawn(run(client, options, stop.clone()))
    }
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
