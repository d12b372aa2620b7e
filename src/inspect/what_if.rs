//! What a policy would decide if something were otherwise: the operator's own decision, on the workload as it is.

use std::collections::VecDeque;
use std::fmt::Write as _;

use kube::Client;
use serde::Serialize;

use super::assumption::Assumption;
use super::explanation::{decision, surroundings, workload};
use super::paint::Paint;
use super::policy;
use crate::api::{
    Coverage, GuardStatus, MetricStatus, Role, ScalingPolicySpec, ScalingPolicyStatus, TargetKind,
};
use crate::cluster::{
    Authority, BudgetRecord, Look, PolicyKey, PolicyRecord, Report, Scales, Survey, TargetKey, Viewer,
    WatchHealth, list_budgets, moment, survey,
};
use crate::control::{
    BudgetShare, ConnectionSource, Decision, Memory, Observation, Pod, PodId, Policy, Recall,
    ScalabilityView, Target, Workload, decide,
};
use crate::number::count_of;
use crate::operator::Recalled;
use crate::signal::{Age, Answer, Reading};
use crate::time::{Span, Time};

/// A pod that is assumed has been there for so long.
const LONG: Span = Span::from_seconds(86_400);
/// What follows later is looked for no further than so many scale-in windows, and this much.
const WINDOWS: u64 = 4;
const AFTERWARDS: Span = Span::from_seconds(1800);
/// Nor further than this many evaluations.
const MOST_EVALUATIONS: u32 = 20_000;

/// What would be decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// Namespace and name.
    pub policy: String,
    /// Kind and name of its workload.
    pub workload: String,
    /// What is assumed, in words.
    pub assumed: Vec<String>,
    /// The decision, as status would show it.
    pub status: ScalingPolicyStatus,
    /// The first change of the count if nothing else happened, where the first decision changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later: Option<Later>,
    /// What cannot be known here, in sentences.
    pub unknown: Vec<String>,
    #[serde(skip)]
    now: Time,
    #[serde(skip)]
    looked_ahead: Span,
}

/// A change of the count that comes later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Later {
    /// Seconds from now.
    pub after_seconds: u64,
    /// Replicas before.
    pub from: u32,
    /// Replicas then.
    pub to: u32,
    /// One sentence.
    pub message: String,
}

/// Decides on the workload as it is now, with what is `assumed` in place of what is so. The error is a sentence.
pub async fn what_if(
    client: &Client,
    key: &PolicyKey,
    assumed: &[Assumption],
    now: Time,
) -> Result<WhatIf, String> {
    let (record, status) = policy(client, key).await?;
    let spec = record.spec.as_ref().map_err(Clone::clone)?;
    let mut spec = ScalingPolicySpec::clone(spec);
    for assumption in assumed {
        match assumption {
            Assumption::MinReplicas(count) => spec.min_replicas = *count,
            Assumption::MaxReplicas(count) => spec.max_replicas = *count,
            _ => {}
        }
    }
    let policy = Policy::compile(&spec).map_err(|error| error.to_string())?;
    let policy = Policy { seed: record.uid.0, ..policy };
    check_names(&policy, assumed)?;
    let draws =
        policy.connections.iter().any(|ceiling| matches!(ceiling.limit, ConnectionSource::Budget { .. }));
    let (surveyed, budgets) = futures::join!(Box::pin(survey(client, &key.namespace, now)), async {
        if draws { list_budgets(client).await } else { Ok(None) }
    });
    let surveyed = surveyed.map_err(|error| error.message)?;
    let budgets = budgets.map_err(|error| error.message)?.unwrap_or_default();
    let mut unknown = unknown(&policy, &spec, &status, assumed);
    unknown.extend(grants_to_come(&policy, &budgets, assumed));
    unknown.extend(surveyed.unseen.iter().cloned());
    let mut seen =
        Seen { record: &record, status: &status, spec: &spec, policy: &policy, budgets: &budgets, now };
    let target = seen.target(client, surveyed, assumed).await;
    let observation = seen.observation(target.0, target.1, assumed);
    let (decision, memory) = decide(&policy, &observation, Recalled::of(&status).memory(), now);
    let horizon = policy.scale_down.window.times(WINDOWS) + AFTERWARDS;
    let later = if moves(&decision).is_some() { None } else { seen.later(&observation, memory, horizon) };
    let changes: VecDeque<_> = status.last_changes.iter().cloned().collect();
    let report = Report {
        decision: &decision,
        conditions: &decision.conditions,
        flaws: &[],
        generation: record.generation,
        current: decision.from,
        changes: &changes,
        before: Some(&status),
    };
    Ok(WhatIf {
        policy: record.key.to_string(),
        workload: workload(&record),
        assumed: assumed.iter().map(ToString::to_string).collect(),
        status: report.status(),
        later,
        unknown,
        now,
        looked_ahead: horizon,
    })
}

/// Where the count goes, if it does.
fn moves(decision: &Decision) -> Option<(u32, u32)> {
    let (from, to) = (decision.from?, decision.desired?);
    (from != to).then_some((from, to))
}

fn check_names(policy: &Policy, assumed: &[Assumption]) -> Result<(), String> {
    let metrics: Vec<_> = policy.signals.iter().map(|signal| signal.name.as_str()).collect();
    let guards: Vec<_> = policy.guards.iter().map(|guard| guard.signal.name.as_str()).collect();
    let budgets: Vec<_> = policy
        .connections
        .iter()
        .filter_map(|ceiling| match &ceiling.limit {
            ConnectionSource::Budget { name, .. } => Some(name.as_str()),
            ConnectionSource::Inline { .. } => None,
        })
        .collect();
    for assumption in assumed {
        let (kind, name, known) = match assumption {
            Assumption::Metric(name, _) => ("metric", name, &metrics),
            Assumption::Guard(name, _) => ("guard", name, &guards),
            Assumption::Budget(name, _) => ("budget", name, &budgets),
            _ => continue,
        };
        if !known.contains(&name.as_str()) {
            let has = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            return Err(format!("the policy has no {kind} {name:?}: {has}"));
        }
    }
    Ok(())
}

/// What no what-if can know, and this one does not.
fn unknown(
    policy: &Policy,
    spec: &ScalingPolicySpec,
    status: &ScalingPolicyStatus,
    assumed: &[Assumption],
) -> Vec<String> {
    let mut unknown = vec![
        "What the signals were until now: windows and smoothing begin empty, as in an operator that starts now; only the \
         changes that status remembers count towards rates."
            .to_owned(),
    ];
    let set = |name: &str| {
        assumed.iter().any(|assumption| matches!(assumption, Assumption::Metric(set, _) if set == name))
    };
    let kept: Vec<_> =
        spec.metrics.iter().map(|metric| metric.name.as_str()).filter(|name| !set(name)).collect();
    if !kept.is_empty() {
        unknown.push(format!(
            "What {} would read: {} as status has it{}, to three digits.",
            kept.join(" and "),
            if kept.len() == 1 { "it stands" } else { "they stand" },
            status
                .as_of
                .as_ref()
                .map_or_else(String::new, |at| format!(" of {}", at.0.strftime("%H:%M:%S UTC")))
        ));
    }
    let levels: Vec<_> = policy
        .signals
        .iter()
        .filter(|signal| signal.role == Role::Leading && signal.kind != TargetKind::AverageValue)
        .map(|signal| signal.name.as_str())
        .collect();
    if !levels.is_empty() {
        unknown
            .push(format!("How {} would fall as pods are added: the value is held.", levels.join(" and ")));
    }
    if !policy.connections.is_empty() {
        unknown.push("What others of the same databases would do meanwhile.".to_owned());
    }
    if status.metrics.iter().any(|metric| metric.headroom.is_some()) {
        unknown.push("The headroom that was learnt: what it adds is left out here.".to_owned());
    }
    if status.drain.is_none() && !policy.connections.is_empty() {
        unknown.push("How long pods take to go: the termination grace is taken.".to_owned());
    }
    unknown
}

/// What budgets would grant once they are asked for it, which only they decide.
fn grants_to_come(policy: &Policy, budgets: &[BudgetRecord], assumed: &[Assumption]) -> Vec<String> {
    let draws = policy.connections.iter().filter_map(|ceiling| match &ceiling.limit {
        ConnectionSource::Budget { name, .. } => Some(name),
        ConnectionSource::Inline { .. } => None,
    });
    let told = |name: &String| {
        assumed.iter().any(|assumption| matches!(assumption, Assumption::Budget(budget, _) if budget == name))
    };
    let asked = draws.filter(|name| !told(name)).map(|name| {
        let found = budgets.iter().find(|budget| budget.name == *name);
        let free = found.and_then(|budget| budget.status.free).unwrap_or(0);
        format!(
            "What ConnectionBudget {name} would grant once more is asked of it ({free} connections are free now): the grant \
             stands as it is; --set budgets.{name}=CONNECTIONS assumes another."
        )
    });
    asked.collect()
}

/// What is there, and the policy that is asked.
struct Seen<'a> {
    record: &'a PolicyRecord,
    status: &'a ScalingPolicyStatus,
    spec: &'a ScalingPolicySpec,
    policy: &'a Policy,
    budgets: &'a [BudgetRecord],
    now: Time,
}

impl Seen<'_> {
    /// The workload as it is, with the pods that are assumed, and its rivals.
    async fn target(
        &mut self,
        client: &Client,
        surveyed: Survey,
        assumed: &[Assumption],
    ) -> (Target, Vec<crate::control::Rival>) {
        let rivals = surveyed.index.rivals(self.record);
        let viewer = Viewer::new(surveyed.index.into(), WatchHealth::default());
        let scales = Scales::new(client.clone(), Authority::unshared());
        let view =
            viewer.view(&scales, self.record, &self.spec.scale_target_ref, Look::Watched, u64::MAX).await;
        let target = match view.target {
            Target::Seen(workload) => Target::Seen(with_pods(workload, assumed, self.now)),
            unseen @ Target::Unseen(_) => unseen,
        };
        (target, rivals)
    }

    fn observation(
        &self,
        target: Target,
        rivals: Vec<crate::control::Rival>,
        assumed: &[Assumption],
    ) -> Observation {
        let pods = match &target {
            Target::Seen(workload) => workload.pods.iter().filter(|pod| pod.ready_since.is_some()).count(),
            Target::Unseen(_) => 0,
        };
        let readings = self.spec.metrics.iter().map(|metric| {
            let told = assumed.iter().rev().find_map(|assumption| match assumption {
                Assumption::Metric(name, value) if *name == metric.name => Some(*value),
                _ => None,
            });
            let shown = self.status.metrics.iter().find(|shown| shown.name == metric.name);
            let reading = told.map_or_else(|| as_shown(shown), assumed_reading);
            let covered_pods = (metric.coverage == Coverage::PerPod).then(|| count_of(pods));
            Reading { covered_pods, ..reading }
        });
        let guards = self.spec.guards.iter().map(|guard| {
            let told = assumed.iter().rev().find_map(|assumption| match assumption {
                Assumption::Guard(name, value) if *name == guard.name => Some(*value),
                _ => None,
            });
            let shown = self.status.guards.iter().find(|shown| shown.name == guard.name);
            told.map_or_else(|| guard_as_shown(shown), assumed_reading)
        });
        Observation {
            readings: readings.collect(),
            guards: guards.collect(),
            target,
            overrides: self.record.overrides.clone(),
            shares: self.shares(assumed),
            scalability: ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: super::foreseen::foreseen(self.status, self.now),
            rivals,
        }
    }

    /// What budgets grant, as their statuses have it.
    fn shares(&self, assumed: &[Assumption]) -> Vec<BudgetShare> {
        let names = self.policy.connections.iter().filter_map(|ceiling| match &ceiling.limit {
            ConnectionSource::Budget { name, .. } => Some(name),
            ConnectionSource::Inline { .. } => None,
        });
        names
            .map(|name| {
                let told = assumed.iter().rev().find_map(|assumption| match assumption {
                    Assumption::Budget(budget, connections) if budget == name => Some(*connections),
                    _ => None,
                });
                if let Some(connections) = told {
                    let message = format!("{connections} connections are assumed");
                    return BudgetShare {
                        budget: name.clone(),
                        granted: Some(connections),
                        excess: 0,
                        recall: None,
                        message,
                        sharing_off: false,
                    };
                }
                self.share(name)
            })
            .collect()
    }

    fn share(&self, name: &str) -> BudgetShare {
        let nothing = |message: String| BudgetShare {
            budget: name.to_owned(),
            granted: None,
            excess: 0,
            recall: None,
            message,
            sharing_off: false,
        };
        let Some(budget) = self.budgets.iter().find(|budget| budget.name == name) else {
            return nothing(format!("there is no ConnectionBudget {name}"));
        };
        let Some(target) = &self.record.target else { return nothing(String::new()) };
        let ours = |holder: &&crate::api::HolderStatus| {
            *target
                == TargetKey {
                    group: holder.group.clone(),
                    kind: holder.kind.clone(),
                    namespace: holder.namespace.clone(),
                    name: holder.name.clone(),
                }
        };
        let Some(holder) = budget.status.holders.iter().find(ours) else {
            return nothing(format!("{target} holds nothing of ConnectionBudget {name} yet"));
        };
        let deadline = budget.spec.as_ref().map_or(300, |spec| spec.lending.recall_deadline_seconds);
        let recall = holder.recalled_since.as_ref().map(|since| {
            let over = moment(since.0) + Span::from_seconds(deadline.into());
            if self.now >= over { Recall::Hard } else { Recall::Soft }
        });
        BudgetShare {
            budget: name.to_owned(),
            granted: Some(holder.granted),
            excess: budget.status.overcommitted.unwrap_or(0),
            recall,
            message: format!("{} connections are granted", holder.granted),
            sharing_off: false,
        }
    }

    /// The first change of the count if everything stayed as it is.
    fn later(&mut self, observation: &Observation, mut memory: Memory, horizon: Span) -> Option<Later> {
        let mut at = self.now;
        for _ in 0..MOST_EVALUATIONS {
            at = at + self.policy.polling_interval.max(Span::from_seconds(1));
            if at.since(self.now) > horizon {
                return None;
            }
            let (decision, after) = decide(self.policy, observation, memory, at);
            memory = after;
            if let Some((from, to)) = moves(&decision) {
                let after_seconds = at.since(self.now).rounded_seconds();
                return Some(Later { after_seconds, from, to, message: decision.message });
            }
        }
        None
    }
}

/// A reading that is assumed.
fn assumed_reading(value: Option<f64>) -> Reading {
    Reading {
        answer: value.map_or(Answer::NoSeries, Answer::Value),
        warnings: Vec::new(),
        age: Age::Measured(Span::ZERO),
        covered_pods: None,
    }
}

/// A metric as status has it.
fn as_shown(shown: Option<&MetricStatus>) -> Reading {
    let Some(shown) = shown else { return never_read() };
    let age = shown.age_seconds.map_or(Age::NotSampled, |age| Age::Measured(Span::from_seconds(age)));
    let read = read_back(shown.value.as_deref(), &shown.state, shown.message.as_deref());
    Reading { age, ..read }
}

/// A guard as status has it.
fn guard_as_shown(shown: Option<&GuardStatus>) -> Reading {
    let Some(shown) = shown else { return never_read() };
    read_back(shown.value.as_deref(), &shown.signal, shown.message.as_deref())
}

fn never_read() -> Reading {
    let sentence = "status does not show it: no operator has read it yet".to_owned();
    Reading { answer: Answer::Failed(sentence), ..assumed_reading(None) }
}

fn read_back(value: Option<&str>, state: &str, message: Option<&str>) -> Reading {
    let number = value.and_then(|text| text.parse::<crate::api::Quantity>().ok()?.value().ok());
    match number {
        Some(number) if state == "Fresh" => assumed_reading(Some(number)),
        _ => {
            let why = message.map_or_else(|| format!("it is {state}"), str::to_owned);
            Reading { answer: Answer::Failed(why), ..assumed_reading(None) }
        }
    }
}

/// The workload with the replicas and the Ready pods that are assumed.
fn with_pods(mut workload: Workload, assumed: &[Assumption], now: Time) -> Workload {
    let (mut replicas, mut ready) = (None, None);
    for assumption in assumed {
        match assumption {
            Assumption::Replicas(count) => replicas = Some(*count),
            Assumption::Ready(count) => ready = Some(*count),
            _ => {}
        }
    }
    if let Some(count) = replicas {
        workload.spec_replicas = count;
        workload.pods.retain(|pod| pod.terminating_since.is_none());
        workload.pods.sort_by_key(|pod| (pod.ready_since.is_none(), pod.created));
        workload.pods.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        let missing = count.saturating_sub(count_of(workload.pods.len()));
        workload.pods.extend((0..missing).map(|number| Pod {
            id: PodId(u64::MAX - u64::from(number)),
            created: now - LONG,
            ready_since: Some(now - LONG),
            terminating_since: None,
        }));
        ready = ready.or(Some(count));
    }
    if let Some(ready) = ready {
        let mut left = ready;
        for pod in workload.pods.iter_mut().filter(|pod| pod.terminating_since.is_none()) {
            pod.ready_since = if left > 0 { Some(pod.ready_since.unwrap_or(now - LONG)) } else { None };
            left = left.saturating_sub(1);
        }
    }
    workload
}

impl WhatIf {
    /// As a terminal shows it.
    pub fn text(&self, paint: Paint) -> String {
        let mut text = format!(
            "{}\nIf {}:\n",
            paint.bold(&format!("ScalingPolicy {} → {}", self.policy, self.workload)),
            self.assumed.join(", and ")
        );
        text.push_str(&decision(&self.status, self.now, paint));
        let held = self.status.decision.as_ref().is_some_and(|decision| decision.from == decision.to);
        // Writing to a String cannot fail.
        match &self.later {
            Some(later) => {
                let _ = writeln!(
                    text,
                    "\nIf it lasted: {} → {} after {} s\n  {}",
                    later.from, later.to, later.after_seconds, later.message
                );
            }
            None if held => {
                let _ = writeln!(text, "\nIf it lasted: no change within {}.", self.looked_ahead);
            }
            None => {}
        }
        text.push_str(&surroundings(&self.status, self.now, paint));
        let _ = writeln!(text, "\n{}", paint.bold("What this cannot know"));
        for sentence in &self.unknown {
            let _ = writeln!(text, "  {sentence}");
        }
        text
    }
}

#[cfg(test)]
#[path = "what_if_tests.rs"]
mod tests;
