//! What a seed stands for: workloads with their policies and demand, what people and nature do to them, and which
//! faults meet the operator. Everything is drawn before the run begins.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::ahead::look_ahead;
use super::budgets::{self, Budget};
use super::demand::Demand;
use super::dice::{Dice, Draw};
use super::fault::{ApiFault, Crash, MetricFault};
use super::leases;
use super::storm::Storm;
use crate::random::Random;

/// When faults and people begin.
pub const STORM_BEGINS: Duration = Duration::from_secs(45);
/// How long after the last fault everything may take to be as it should be, at most.
pub const SETTLING: Duration = Duration::from_secs(720);
/// How long nothing may happen at the end.
pub const QUIET: Duration = Duration::from_secs(600);
/// The demand that one replica carries.
pub const TARGET: f64 = 10.0;

/// What the clock shows when a run begins, in milliseconds since 1970: 2026-03-01T12:00:00Z.
pub const BASE: i64 = 1_772_366_400_000;

/// What a right clock shows at a moment of the run, as Kubernetes writes it.
pub fn wall_at(moment: Duration) -> String {
    let milliseconds = BASE.saturating_add(i64::try_from(moment.as_millis()).unwrap_or(i64::MAX));
    jiff::Timestamp::from_millisecond(milliseconds).map(crate::clock::whole_seconds).unwrap_or_default()
}

/// Everything about one run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The number that it was drawn from.
    pub seed: u64,
    /// When faults and people end.
    pub calm: Duration,
    /// The workloads, each with a policy.
    pub workloads: Vec<Workload>,
    /// The budgets that they share, if they do.
    pub budgets: Vec<Budget>,
    /// What people and nature do, by time.
    pub deeds: Vec<(Duration, usize, Deed)>,
    /// Faults between operator and API server.
    pub api: Vec<ApiFault>,
    /// Faults of the metrics.
    pub metrics: Vec<MetricFault>,
    /// When the operator's process ends without a word.
    pub crashes: Vec<Crash>,
    /// How far the operator's clock is off from a moment on, in milliseconds.
    pub clock: Vec<(Duration, i64)>,
    /// Two operators share a lease.
    pub pair: bool,
    /// Where each process records its decisions, if it does.
    pub record: Option<PathBuf>,
}

/// A workload with its policy and its demand.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name, and its policy's.
    pub name: String,
    /// The Deployment or StatefulSet.
    pub manifest: Value,
    /// A StatefulSet.
    pub stateful: bool,
    /// The policy.
    pub policy: Value,
    /// What it is asked to do.
    pub demand: Demand,
    /// Its signal is what is there now, and not a rate.
    pub gauge: bool,
}

/// A version of a workload's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// As it should be.
    Good,
    /// Its pods crash.
    Crashing,
    /// Its pods never become Ready.
    NeverReady,
    /// Its pods take their time to end.
    SlowToEnd,
}

/// What somebody or something does to a workload or its policy.
#[derive(Clone, Debug)]
pub enum Deed {
    /// `kubectl scale`.
    Scale(u32),
    /// A new revision of the workload's pods.
    RollOut(Revision),
    /// Merges into the policy's spec.
    Edit(Value),
    /// Sets or removes an annotation of the policy.
    Annotate(&'static str, Option<String>),
    /// Deletes the policy.
    DeletePolicy,
    /// Makes the policy anew.
    CreatePolicy,
    /// Deletes the workload.
    DeleteTarget,
    /// Makes the workload anew.
    CreateTarget,
    /// A HorizontalPodAutoscaler on the same workload.
    PutAutoscaler,
    /// It goes.
    RemoveAutoscaler,
    /// An older policy on the same workload.
    PutRival,
    /// It goes.
    RemoveRival,
    /// Evicts so many pods.
    Evict(u32),
    /// This share of the pods ends at once.
    LoseNode(f64),
    /// No more pods can be made.
    FillQuota,
    /// They can again.
    EmptyQuota,
    /// Declares what a budget's database gives.
    SetLimit(usize, u32),
    /// Deletes a budget.
    DeleteBudget(usize),
    /// Makes it anew.
    CreateBudget(usize),
}

impl Deed {
    /// What the summary calls it.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Scale(0) => "people: scale to 0",
            Self::Scale(_) => "people: kubectl scale",
            Self::RollOut(Revision::Good) => "people: rollout",
            Self::RollOut(Revision::Crashing) => "people: rollout of a crash-looping revision",
            Self::RollOut(Revision::NeverReady) => "people: rollout of a revision that never starts",
            Self::RollOut(Revision::SlowToEnd) => "people: rollout of a revision slow to end",
            Self::Edit(_) => "people: edit of the policy",
            Self::Annotate(..) => "people: annotation",
            Self::DeletePolicy => "people: policy deleted",
            Self::CreatePolicy => "people: policy created again",
            Self::DeleteTarget => "people: workload deleted",
            Self::CreateTarget => "people: workload created again",
            Self::PutAutoscaler => "people: HPA on the workload",
            Self::RemoveAutoscaler => "people: HPA removed",
            Self::PutRival => "people: second policy on the workload",
            Self::RemoveRival => "people: second policy removed",
            Self::Evict(_) => "nature: eviction",
            Self::LoseNode(_) => "nature: node lost",
            Self::FillQuota => "nature: quota full",
            Self::EmptyQuota => "nature: quota free again",
            Self::SetLimit(..) => "people: limit of a budget changed",
            Self::DeleteBudget(_) => "people: budget deleted",
            Self::CreateBudget(_) => "people: budget created again",
        }
    }
}

impl Scenario {
    /// What `seed` stands for.
    pub fn draw(seed: u64) -> Self {
        let dice = Dice::seeded(seed);
        let mut random = dice.of("scenario").random();
        let calm = STORM_BEGINS + Duration::from_secs(u64::from(random.between(150, 480)));
        let count = random.one(&[1, 1, 1, 1, 2, 2, 3], 1);
        let shared = budgets::has_budgets(dice);
        let count = if shared { count.max(budgets::least_workloads(dice)) } else { count };
        let workloads: Vec<Workload> =
            (0..count).map(|index| workload(dice.of("workload").nth(index), index, calm)).collect();
        let storm = Storm { dice, calm };
        let mut deeds: Vec<(Duration, usize, Deed)> =
            workloads.iter().enumerate().flat_map(|(index, workload)| storm.deeds(index, workload)).collect();
        deeds.sort_by_key(|(at, index, _)| (*at, *index));
        let mut scenario = Self {
            seed,
            calm,
            deeds,
            api: storm.api(),
            metrics: storm.metrics(workloads.len()),
            crashes: storm.crashes(),
            clock: storm.clock(),
            pair: dice.of("pair").falls(0.3),
            record: None,
            workloads,
            budgets: Vec::new(),
        };
        if shared {
            budgets::share_out(&mut scenario, &storm);
        }
        if scenario.pair {
            leases::contend(&mut scenario, &storm);
        }
        scenario
    }

    /// The same world without faults; people do what they do.
    #[must_use]
    pub fn without_faults(&self) -> Self {
        let budgets = self.budgets.iter().map(|budget| Budget { faults: Vec::new(), ..budget.clone() });
        Self {
            api: Vec::new(),
            metrics: Vec::new(),
            crashes: Vec::new(),
            clock: Vec::new(),
            budgets: budgets.collect(),
            ..self.clone()
        }
    }

    /// When everything must be as it should be.
    pub fn settled(&self) -> Duration {
        self.calm + SETTLING
    }
}

fn workload(dice: Dice, index: u64, calm: Duration) -> Workload {
    let mut random = dice.random();
    let name = format!("w{index}");
    let stateful = random.chance(0.15);
    let replicas = random.between(1, 12);
    // A StatefulSet's rollouts replace one pod after the other.
    let startup = random.one(if stateful { &[1.0, 3.0, 8.0] } else { &[1.0, 3.0, 8.0, 20.0, 40.0] }, 3.0);
    let mut spec = json!({
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template(&name, startup, Revision::Good, 0),
    });
    if stateful {
        json_patch::merge(&mut spec, &json!({"serviceName": name, "podManagementPolicy": "Parallel"}));
    } else {
        let strategy = random.one(
            &[
                json!({"type": "Recreate"}),
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}}),
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}),
            ],
            Value::Null,
        );
        let deadline = random.one(&[60, 120, 240], 120);
        json_patch::merge(&mut spec, &json!({"strategy": strategy, "progressDeadlineSeconds": deadline}));
    }
    let most = random.level(4.0, 25.0);
    let gauge = random.chance(0.5);
    let mut asked = policy_spec(&mut random, &name, stateful, gauge);
    look_ahead(dice, &name, &mut asked);
    Workload {
        manifest: json!({"metadata": {"name": name}, "spec": spec}),
        policy: json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name},
            "spec": asked,
        }),
        demand: Demand::draw(dice.of("demand"), most, calm),
        gauge,
        stateful,
        name,
    }
}

/// A pod template of a revision; `number` tells one from the next.
pub fn template(name: &str, startup: f64, revision: Revision, number: u64) -> Value {
    let mut annotations =
        json!({"plant.test/startup-seconds": startup.to_string(), "revision": number.to_string()});
    let mut grace = 30;
    match revision {
        Revision::Good => {}
        Revision::Crashing => {
            annotations = json!({"plant.test/crash-loop": "true", "revision": number.to_string()});
        }
        Revision::NeverReady => {
            annotations = json!({"plant.test/startup-seconds": "1000000", "revision": number.to_string()});
        }
        Revision::SlowToEnd => {
            grace = 240;
            json_patch::merge(&mut annotations, &json!({"plant.test/drain-seconds": "200"}));
        }
    }
    json!({
        "metadata": {"labels": {"app": name}, "annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": grace, "containers": [{"name": "app", "image": format!("app:{number}")}]},
    })
}

/// The query of a workload's signal.
pub fn query(name: &str, gauge: bool) -> String {
    if gauge {
        format!("sum(queue{{app=\"{name}\"}})")
    } else {
        format!("sum(rate(requests_total{{app=\"{name}\"}}[1m]))")
    }
}

fn policy_spec(random: &mut Random, name: &str, stateful: bool, gauge: bool) -> Value {
    let min = random.between(1, 4);
    let max = random.between(min + 2, 22);
    let tolerance = random.one(&["0", "0", "0.1", "0.05"], "0");
    let window = random.one(&[0, 30, 60, 120], 60);
    let mut scale_down = json!({"stabilizationWindowSeconds": window, "tolerance": tolerance});
    let mut scale_up =
        json!({"tolerance": tolerance, "stabilizationWindowSeconds": random.one(&[0, 0, 0, 30], 0)});
    let rates = [
        json!([{"type": "Pods", "value": 2, "periodSeconds": 20}]),
        json!([{"type": "Percent", "value": 50, "periodSeconds": 30}]),
        json!([{"type": "Percent", "value": 100, "periodSeconds": 60}, {"type": "Pods", "value": 3, "periodSeconds": 30}]),
    ];
    if random.chance(0.6) {
        json_patch::merge(&mut scale_down, &json!({"policies": random.one(&rates, Value::Null)}));
    }
    if random.chance(0.5) {
        json_patch::merge(&mut scale_up, &json!({"policies": random.one(&rates, Value::Null)}));
    }
    let mut spec = json!({
        "scaleTargetRef": {"name": name, "kind": if stateful { "StatefulSet" } else { "Deployment" }},
        "minReplicas": min,
        "maxReplicas": max,
        "pollingInterval": random.one(&[5, 10, 15, 15], 15),
        "metrics": [{
            "name": "load",
            "prometheus": {"query": query(name, gauge)},
            "target": {"type": "AverageValue", "averageValue": TARGET.to_string()},
            "freshness": {"maxAgeSeconds": random.one(&[30, 60], 60)},
        }],
        "behavior": {"scaleUp": scale_up, "scaleDown": scale_down},
        "smoothing": {"scaleDownHalfLifeSeconds": random.one(&[0, 0, 20], 0)},
        "warmUp": random.one(
            &[json!({"source": "Declared", "seconds": 5}), json!({"source": "Measured"}), json!({"source": "Declared", "seconds": 30, "maxConcurrent": 3})],
            json!({}),
        ),
        // What a day taught is not what the end is reckoned with.
        "headroom": {"calibrated": {"enforcement": "Observe"}, "leadCompensation": {"enforcement": "Observe"}},
    });
    if random.chance(0.3) {
        json_patch::merge(
            &mut spec,
            &json!({"headroom": random.one(&[json!({"percent": 20}), json!({"replicas": 1})], json!({}))}),
        );
    }
    if random.chance(0.5) {
        let per_pod = 10;
        let ceiling = json!({"connections": [{
            "name": "db", "perPod": per_pod, "rolloutOverlap": random.one(&[json!(0), json!(1), json!("OneRevision"), json!("Observed")], json!(0)),
            "enforcement": random.one(&["Enforce", "Enforce", "Hard"], "Enforce"),
            "inline": {"maxConnections": per_pod * random.between(8, 40)},
        }]});
        json_patch::merge(&mut spec, &json!({"ceilings": ceiling}));
    }
    if random.chance(0.3) {
        let behavior = random.one(&["AtLeast", "AtLeast", "EvenIfLower"], "AtLeast");
        let replicas = random.between(min, max);
        json_patch::merge(
            &mut spec,
            &json!({"fallback": {"afterSeconds": random.one(&[30, 90], 60), "behavior": behavior, "replicas": replicas}}),
        );
    }
    spec
}
