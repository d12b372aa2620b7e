//! The last decision of a policy, step by step, with what led to it and what came of it.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Event;
use kube::Client;
use serde::Serialize;

use super::paint::Paint;
use super::{ago, columns, policy};
use crate::api::{ForecastStatus, ScalingPolicyStatus};
use crate::cluster::{PolicyKey, PolicyRecord, moment, policy_events, told_at};
use crate::time::Time;

/// Steps at which a limit holds the count.
const HOLDING: [&str; 2] = ["Ceiling", "Guard"];
/// Events shown.
const EVENTS: usize = 8;

/// Why a policy stands as it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Namespace and name.
    pub policy: String,
    /// Kind and name of its workload.
    pub workload: String,
    /// The generation of the spec.
    pub generation: i64,
    /// What the operator wrote last.
    pub status: ScalingPolicyStatus,
    /// What it told as events, the newest first.
    pub events: Vec<Told>,
    /// What could not be looked at, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// When, RFC 3339.
    pub time: String,
    /// Whether somebody should look.
    pub warning: bool,
    /// Reason code.
    pub reason: String,
    /// One sentence.
    pub message: String,
    #[serde(skip)]
    at: Time,
}

/// Reads a policy with its status and its events. The error is a sentence.
pub async fn explain(client: &Client, key: &PolicyKey) -> Result<Explanation, String> {
    let (record, status) = policy(client, key).await?;
    let mut unknown = Vec::new();
    let events = policy_events(client, &record).await.unwrap_or_else(|error| {
        unknown.push(format!("events are not shown: {error}"));
        Vec::new()
    });
    Ok(Explanation {
        policy: record.key.to_string(),
        workload: workload(&record),
        generation: record.generation,
        status,
        events: events.iter().map(told).collect(),
        unknown,
    })
}

/// Kind and name of a policy's workload.
pub(super) fn workload(record: &PolicyRecord) -> String {
    record.target.as_ref().map_or_else(String::new, |target| format!("{} {}", target.kind, target.name))
}

fn told(event: &Event) -> Told {
    let at = told_at(event);
    Told {
        time: at.map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        warning: event.type_.as_deref() == Some("Warning"),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        at: at.map_or_else(Time::default, moment),
    }
}

impl Explanation {
    /// As a terminal shows it.
    pub fn text(&self, now: Time, paint: Paint) -> String {
        let mut text = format!(
            "{}\n{}\n",
            paint.bold(&format!("ScalingPolicy {} → {}", self.policy, self.workload)),
            self.standing(now)
        );
        text.push_str(&decision(&self.status, now, paint));
        text.push_str(&surroundings(&self.status, now, paint));
        let changes: Vec<_> = self
            .status
            .last_changes
            .iter()
            .map(|change| {
                vec![
                    format!("{} ago", ago(moment(change.time.0), now)),
                    format!("{} → {}", change.from, change.to),
                    change.reason.clone(),
                    change.limited_by.as_ref().map_or_else(String::new, |limit| format!("held by {limit}")),
                ]
            })
            .collect();
        section(&mut text, "Last changes", &changes, paint);
        let events: Vec<_> = self
            .events
            .iter()
            .take(EVENTS)
            .map(|event| {
                vec![
                    format!("{} ago", ago(event.at, now)),
                    if event.warning { paint.warn(&event.reason) } else { event.reason.clone() },
                    event.message.clone(),
                ]
            })
            .collect();
        section(&mut text, "Events", &events, paint);
        for sentence in &self.unknown {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{}", paint.warn(sentence));
        }
        text
    }

    fn standing(&self, now: Time) -> String {
        let Some(as_of) = &self.status.as_of else {
            return "No operator has written a status yet: is one running, and does it look at this namespace?".to_owned();
        };
        let behind = match self.status.observed_generation {
            Some(seen) if seen < self.generation => {
                format!("; it speaks of generation {seen}, and the policy is at {}", self.generation)
            }
            _ => String::new(),
        };
        format!("Status written {} ago{behind}", ago(moment(as_of.0), now))
    }
}

/// Adds a section with a title, if there is something in it.
pub(super) fn section(text: &mut String, title: &str, rows: &[Vec<String>], paint: Paint) {
    if !rows.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}\n{}", paint.bold(title), columns("  ", rows));
    }
}

/// The decision that a status holds, with each step.
pub(super) fn decision(status: &ScalingPolicyStatus, now: Time, paint: Paint) -> String {
    let mut text = String::new();
    let Some(decision) = &status.decision else {
        if status.as_of.is_some() {
            text.push_str("\nNothing was decided: the conditions say why.\n");
        }
        return text;
    };
    let at = moment(decision.time.0);
    let title = if at == now { "Decision".to_owned() } else { format!("Decision, {} ago", ago(at, now)) };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n{}: {} → {}, {}\n  {}\n",
        paint.bold(&title),
        decision.from,
        decision.to,
        decision.reason,
        decision.message
    );
    let held = decision
        .steps
        .iter()
        .rev()
        .find(|step| HOLDING.contains(&step.step.as_str()) && step.after < step.before);
    if let (Some(limit), Some(step)) = (&status.limited_by, held) {
        let _ =
            writeln!(text, "  {}", paint.warn(&format!("Without {limit} it would be {} now.", step.before)));
    }
    let steps: Vec<_> = decision
        .steps
        .iter()
        .map(|step| {
            let count = if step.before == step.after {
                format!("{}", step.after)
            } else {
                format!("{} → {}", step.before, step.after)
            };
            vec![step.step.clone(), count, step.reason.clone(), step.message.clone()]
        })
        .collect();
    section(&mut text, "Step by step", &steps, paint);
    text
}

/// What is added to the need that the load itself has, or kept whatever it is.
fn ahead(status: &ScalingPolicyStatus) -> Vec<Vec<String>> {
    let row = |what: String, replicas: String, why: String| vec![what, replicas, why];
    let mut rows = Vec::new();
    for metric in &status.metrics {
        if let Some(headroom) = &metric.headroom {
            let why = format!(
                "{} % of need, learnt over {} h: {} % of the load would go unserved",
                headroom.percent, headroom.observed_hours, headroom.unserved_percent
            );
            rows.push(row(format!("{}, headroom", metric.name), format!("+{}", headroom.replicas), why));
        }
        if let Some(rise) = &metric.rise {
            let why = "its steady rise until pods asked for now serve".to_owned();
            rows.push(row(format!("{}, rise", metric.name), format!("+{rise}"), why));
        }
    }
    if let Some(slo) = &status.slo {
        let sign = if slo.replicas.starts_with('-') { "" } else { "+" };
        let why = format!("{}, targets at {} %", slo.state, slo.target_percent);
        rows.push(row("error budget".to_owned(), format!("{sign}{}", slo.replicas), why));
    }
    if let Some(kept) = &status.zone_loss {
        let why = kept.message.clone().unwrap_or_else(|| {
            format!(
                "for the loss of {} of {} zones, which leaves {}",
                kept.survives, kept.zones, kept.replicas_left
            )
        });
        rows.push(row("zones".to_owned(), format!("+{}", kept.extra_replicas), why));
    }
    for schedule in &status.schedules {
        let floor = schedule.replicas.map_or_else(|| "–".to_owned(), |replicas| format!("≥ {replicas}"));
        rows.push(row(format!("schedule {}", schedule.name), floor, schedule.state.clone()));
    }
    rows
}

/// What a decision rests on: signals, ceilings, guards, pods, conditions.
pub(super) fn surroundings(status: &ScalingPolicyStatus, now: Time, paint: Paint) -> String {
    let mut text = String::new();
    let signals: Vec<_> = status
        .metrics
        .iter()
        .map(|metric| {
            let need = metric.need.map_or_else(|| "–".to_owned(), |need| format!("needs {need}"));
            let age = metric.age_seconds.map_or_else(String::new, |age| format!("{age}s old"));
            vec![
                metric.name.clone(),
                format!("{} of {}", metric.value.as_deref().unwrap_or("?"), metric.target),
                need,
                metric.state.clone(),
                age,
                metric.message.clone().unwrap_or_default(),
            ]
        })
        .collect();
    section(&mut text, "Signals (value of target)", &signals, paint);
    section(&mut text, "Ahead of the load, in replicas", &ahead(status), paint);
    section(&mut text, "Forecasts (floor asked for)", &forecasts(status), paint);
    let ceilings: Vec<_> = status
        .ceilings
        .iter()
        .map(|ceiling| {
            let replicas =
                ceiling.replicas.map_or_else(|| "none".to_owned(), |replicas| replicas.to_string());
            vec![ceiling.name.clone(), replicas, ceiling.enforcement.clone(), ceiling.reason.clone()]
        })
        .collect();
    section(&mut text, "Ceilings", &ceilings, paint);
    let guards: Vec<_> = status
        .guards
        .iter()
        .map(|guard| {
            let since = guard
                .since
                .as_ref()
                .map_or_else(String::new, |since| format!("for {}", ago(moment(since.0), now)));
            vec![
                guard.name.clone(),
                format!("{} of {}", guard.value.as_deref().unwrap_or("?"), guard.threshold),
                guard.state.clone(),
                since,
                guard.message.clone().unwrap_or_default(),
            ]
        })
        .collect();
    section(&mut text, "Guards (value of threshold)", &guards, paint);
    if let Some(pods) = &status.pods {
        let _ = writeln!(
            text,
            "\n{}: {} serving, {} warm, {} on their way, {} failing, {} terminating",
            paint.bold("Pods"),
            pods.serving,
            pods.warm,
            pods.ordered,
            pods.failing,
            pods.terminating
        );
    }
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|condition| {
            vec![
                condition.type_.clone(),
                condition.status.clone(),
                condition.reason.clone(),
                condition.message.clone(),
            ]
        })
        .collect();
    section(&mut text, "Conditions", &conditions, paint);
    let advice: Vec<_> = status.advice.iter().map(|sentence| vec![sentence.clone()]).collect();
    section(&mut text, "What would help", &advice, paint);
    text
}

fn forecasts(status: &ScalingPolicyStatus) -> Vec<Vec<String>> {
    let row = |forecast: &ForecastStatus| {
        let replicas =
            forecast.replicas.map_or_else(|| "none".to_owned(), |replicas| format!("{replicas} replicas"));
        let peak = forecast.next_peak.as_ref().map_or_else(String::new, |peak| {
            format!("peak {} at {}", peak.replicas, peak.time.0.strftime("%Y-%m-%dT%H:%MZ"))
        });
        vec![forecast.metric.clone(), replicas, forecast.state.clone(), peak, forecast.message.clone()]
    };
    status.forecasts.iter().map(row).collect()
}
