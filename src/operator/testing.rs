//! A small world for tests of the loop: an index filled by hand, an API server that answers as told, signals that are
//! told, and a `decide` that follows the first signal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::budgets::Budgets;
use super::clock::Clock;
use super::signals::Signals;
use super::supervisor::Supervisor;
use super::task::Context;
use crate::cluster::testing::{Answer, Asked, Log, scale, server};
use crate::cluster::{
    Authority, Events, Index, PolicyKey, PolicyRecord, Scales, TargetKey, Viewer, WatchHealth,
};
use crate::control::{
    Condition, ConditionStatus, ConditionType, Decision, Memory, Observation, Policy, Reason, Target,
};
use crate::prometheus::Evaluation;
use crate::signal::{Age, Answer as SignalAnswer, Moments, Reading};
use crate::telemetry::{Health, Metrics};
use crate::time::{Span, Time};

/// When every test begins.
pub(super) const START: Time = Time::from_seconds(1_790_000_000);
/// A reading that is a defect in what decides.
pub(super) const DEFECT: f64 = 666.0;

/// Signals by server name: a value, and how long it takes to come.
#[derive(Clone, Default)]
pub(super) struct Told {
    values: Arc<Mutex<HashMap<String, (f64, Duration)>>>,
    asked: Arc<Mutex<Vec<(String, Time, bool)>>>,
}

impl Told {
    pub(super) fn set(&self, server: &str, value: f64, takes: Duration) {
        self.values.lock().unwrap().insert(server.to_owned(), (value, takes));
    }

    /// When a server was asked, and whether for the age as well.
    pub(super) fn asked(&self, server: &str) -> Vec<(Time, bool)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(name, ..)| name == server).map(|(_, at, age)| (*at, *age)).collect()
    }
}

impl Signals for Told {
    fn evaluate<'a>(
        &'a self,
        server: &'a str,
        _: &'a str,
        evaluation: &'a Evaluation,
        at: Time,
    ) -> BoxFuture<'a, Reading> {
        self.asked.lock().unwrap().push((server.to_owned(), at, evaluation.ask_age));
        let told = self.values.lock().unwrap().get(server).copied();
        Box::pin(async move {
            let (value, takes) = told.unwrap_or_default();
            sleep(takes).await;
            let answer = SignalAnswer::Value(value);
            Reading { answer, warnings: Vec::new(), age: Age::Measured(Span::ZERO), covered_pods: None }
        })
    }

    fn history<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a Evaluation,
        _: Moments,
    ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
        Box::pin(async { Err("only the present is told".to_owned()) })
    }
}

/// Wants what the first signal says; remembers every call as a change.
pub(super) fn follow(
    policy: &Policy,
    observation: &Observation,
    mut memory: Memory,
    now: Time,
) -> (Decision, Memory) {
    let SignalAnswer::Value(value) = observation.readings[0].answer else { panic!("a value was told") };
    assert!((value - DEFECT).abs() > 0.5, "a defect in what decides");
    let wanted = crate::number::floor_count(value);
    let mut empty = Memory::default();
    empty.without_history("only the present is told");
    let memory_was = if memory == empty { "an empty memory" } else { "a memory" };
    memory.recall_change(0, wanted, now);
    let from = match &observation.target {
        Target::Seen(workload) => Some(workload.spec_replicas),
        Target::Unseen(_) => None,
    };
    let good = |kind| Condition {
        kind,
        status: ConditionStatus::True,
        reason: Reason::Ready,
        message: "well".to_owned(),
    };
    let decision = Decision {
        time: now,
        from,
        write: from.is_some_and(|from| from != wanted).then_some(wanted),
        desired: Some(wanted),
        reason: Reason::AboveTarget,
        message: format!("{wanted} are wanted by {memory_was}"),
        need: Some(wanted),
        effective_max: policy.max,
        limited_by: None,
        unmet: 0,
        steps: Vec::new(),
        signals: Vec::new(),
        ceilings: Vec::new(),
        guards: Vec::new(),
        schedules: Vec::new(),
        forecasts: Vec::new(),
        zone_loss: None,
        slo: None,
        advice: Vec::new(),
        deficit: None,
        counts: None,
        start_up: None,
        drain: None,
        reversals: Vec::new(),
        scalability: None,
        conditions: vec![good(ConditionType::AbleToScale), good(ConditionType::Ready)],
        wants_age: false,
        footprint: None,
    };
    (decision, memory)
}

pub(super) struct World {
    pub context: Arc<Context>,
    pub told: Told,
    pub log: Log,
    pub stop: CancellationToken,
    supervisor: Option<Supervisor>,
    working: Option<JoinHandle<()>>,
}

impl World {
    /// A world whose operator is at work, and whose API server answers as `answer` says and agrees to everything else.
    pub(super) async fn new(answer: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let mut world = Self::before_the_operator(answer);
        world.begin();
        sleep(Duration::from_millis(1)).await;
        world
    }

    /// A world whose operator has not begun to work.
    pub(super) fn before_the_operator(
        answer: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let (client, log) = server(move |asked| answer(asked).unwrap_or_else(|| agree(asked)));
        let (changes, news) = unbounded_channel();
        let index = Arc::new(Index::new(changes.clone()));
        let (events, publisher) = Events::new(client.clone(), Authority::unshared());
        tokio::spawn(publisher.run(|_| {}));
        let (told, stop) = (Told::default(), CancellationToken::new());
        let context = Arc::new(Context {
            viewer: Viewer::new(index.clone(), WatchHealth::default()),
            scales: Scales::new(client.clone(), Authority::unshared()),
            authority: Authority::unshared(),
            client,
            index,
            signals: Arc::new(told.clone()),
            budgets: Budgets::new(Clock::simulated(START)),
            clock: Clock::simulated(START),
            metrics: Arc::new(Metrics::new()),
            events,
            recorder: None,
            instance: "test".to_owned(),
            writers: Semaphore::new(4),
            fits: Semaphore::new(1),
            origin: Instant::now(),
            decide: follow,
            stop: stop.clone(),
        });
        let supervisor = Supervisor::new(context.clone(), Arc::new(Health::default()), changes, news);
        Self { context, told, log, stop, supervisor: Some(supervisor), working: None }
    }

    pub(super) fn begin(&mut self) {
        let mut supervisor = self.supervisor.take().unwrap();
        let stopped = self.stop.clone();
        let working = tokio::spawn(async move {
            tokio::select! {
                () = supervisor.work() => {}
                () = stopped.cancelled() => {}
            }
            supervisor.finish().await;
        });
        self.working = Some(working);
    }

    /// A workload of this name with 4 replicas.
    pub(super) fn put_workload(&self, name: &str) {
        let deployment = serde_json::from_value(json!({
            "metadata": {"uid": name, "name": name, "namespace": "shop", "resourceVersion": "41", "generation": 1},
            "spec": {"replicas": 4, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4}
        }))
        .unwrap();
        let key = TargetKey::new("apps/v1", "Deployment", "shop", name);
        self.context.index.put_deployment(key, &deployment);
    }

    /// A policy for the workload of the same name, which asks the server of that name.
    pub(super) fn put_policy(&self, name: &str, generation: i64, more: &Value) -> PolicyKey {
        let mut policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": generation,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"scaleTargetRef": {"name": name}, "maxReplicas": 90, "metrics": [{
                "name": "rps", "prometheus": {"server": name, "query": "q"},
                "target": {"type": "AverageValue", "averageValue": "9"}}]}
        });
        for (key, more) in more.as_object().unwrap() {
            policy["spec"][key] = more.clone();
        }
        let (record, _) = PolicyRecord::trim(serde_json::from_value(policy).unwrap()).unwrap();
        let key = record.key.clone();
        self.context.index.put_policy(record, None);
        key
    }

    pub(super) fn remove_policy(&self, key: &PolicyKey) {
        let record = self.context.index.policy(key).unwrap();
        self.context.index.remove_policy(key, record.uid);
    }

    /// The counts written to a workload, with the version each write named.
    pub(super) fn written(&self, name: &str) -> Vec<(u64, String)> {
        let writes = self
            .log
            .about(&format!("/deployments/{name}/scale"))
            .into_iter()
            .filter(|asked| asked.method == "PATCH");
        writes
            .map(|asked| {
                let version = asked.body["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
                (asked.body["spec"]["replicas"].as_u64().unwrap(), version)
            })
            .collect()
    }

    /// The status of a policy as last written.
    pub(super) fn status(&self, name: &str) -> Value {
        self.log
            .about(&format!("/scalingpolicies/{name}/status"))
            .last()
            .map_or(Value::Null, |asked| asked.body["status"].clone())
    }

    /// Reasons of the events so far.
    pub(super) fn events(&self) -> Vec<String> {
        let events = self.log.about("/events").into_iter();
        events.map(|asked| asked.body["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the operator has stopped.
    pub(super) async fn stopped(&mut self) {
        self.working.take().unwrap().await.unwrap();
    }
}

/// A condition of a status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

fn agree(asked: &Asked) -> Answer {
    if asked.path.contains("/scale") {
        let replicas = asked.body["spec"]["replicas"].as_u64().unwrap_or(4);
        return scale(u32::try_from(replicas).unwrap(), "42", "app=web");
    }
    Answer::Json(200, asked.body.clone())
}
