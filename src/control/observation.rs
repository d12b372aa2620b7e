//! What `decide` is told: everything it may know of the world at one moment.

use serde::{Deserialize, Serialize};

use super::forecasts::Foreseen;
use crate::signal::{Moments, Reading};
use crate::time::{Span, Time};

/// Everything seen at one evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// One reading a metric, in the policy's order.
    pub readings: Vec<Reading>,
    /// One reading a guard, in the policy's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<Reading>,
    /// The workload, or why it could not be seen.
    pub target: Target,
    /// What a person asked for by annotation, beside the spec.
    #[serde(default)]
    pub overrides: Overrides,
    /// The workload's shares of the budgets that the policy draws on, in the policy's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<BudgetShare>,
    /// What was read of the workload's throughput for its scalability law.
    #[serde(default, skip_serializing_if = "ScalabilityView::is_empty")]
    pub scalability: ScalabilityView,
    /// What metrics were a day ago and since, to learn headroom from; told once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons: Vec<Lesson>,
    /// The share of bad events in each of [`BURN_WINDOWS`](super::BURN_WINDOWS); empty where no objective is declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<Reading>,
    /// What is known of what the metrics will do, as of the newest fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<Foreseen>,
    /// Other autoscalers and policies on the same workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<Rival>,
}

/// The past of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lesson {
    /// Name of the metric.
    pub metric: String,
    /// The moments, oldest first.
    pub moments: Moments,
    /// Its value at each of them; none where it was not fit to use.
    pub values: Vec<Option<f64>>,
}

/// The workload, or why it could not be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The workload as seen.
    Seen(Workload),
    /// It could not be seen.
    Unseen(TargetFault),
}

/// Why a workload could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetFault {
    /// What kind of fault.
    pub kind: TargetFaultKind,
    /// One sentence: what is wrong and what to do.
    pub message: String,
}

/// Kinds of faults of a scale target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetFaultKind {
    /// No such object, or no such kind.
    NotFound,
    /// The kind has no `/scale` subresource.
    NotScalable,
    /// The operator's role lacks a verb.
    Forbidden,
    /// The API server did not answer in time, or answered with an error.
    Unavailable,
}

/// A workload at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Replicas asked for (`/scale` spec); never `status.replicas`, which holds a rollout's surge.
    pub spec_replicas: u32,
    /// The pods that belong to the workload by owner, terminating ones included, finished ones left out.
    pub pods: Vec<Pod>,
    /// Pods gone since they were last reported, with the time they took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departed: Vec<Departed>,
    /// Whether a new revision is being rolled out.
    pub rollout: Rollout,
    /// The revision asked for, as a number that another pod template changes; 0 where it is not known.
    #[serde(default)]
    pub revision: u64,
    /// How the workload replaces its pods.
    pub update: UpdateStrategy,
    /// The longest a pod may take to shut down (`terminationGracePeriodSeconds`).
    pub termination_grace: Span,
    /// How long a pod may take to become Ready before its rollout counts as failed (`progressDeadlineSeconds`).
    pub progress_deadline: Span,
    /// Zones that its pods are in, by their labels, and at least those that its topology spread constraint names; 0 where
    /// neither tells.
    #[serde(default)]
    pub zones: u32,
}

/// A workload's share of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetShare {
    /// Name of the budget.
    pub budget: String,
    /// Connections that growth may reach; none while the budget cannot be drawn on.
    pub granted: Option<u32>,
    /// By how much more is held of the budget than it gives; nothing grows before that is gone.
    #[serde(default)]
    pub excess: u32,
    /// What the workload holds beyond that is asked back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<Recall>,
    /// Who holds what, or why the budget cannot be drawn on.
    pub message: String,
    /// No budget can be drawn on, whatever it gives.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sharing_off: bool,
}

/// What a workload holds beyond its grant is asked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recall {
    /// Walked down to under the scale-in rate.
    Soft,
    /// Its deadline has passed: cut to at once.
    Hard,
}

/// What was read of a workload's throughput since the evaluation before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalabilityView {
    /// In order of time, evenly spaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<ScalabilitySample>,
    /// Everything there is to read has been read.
    #[serde(default)]
    pub complete: bool,
    /// Why nothing could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl ScalabilityView {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A workload's throughput and load at one moment; none where the query gave no number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalabilitySample {
    /// The moment.
    pub at: Time,
    /// Work done per second.
    pub throughput: Option<f64>,
    /// Ready replicas.
    pub ready_replicas: Option<f64>,
    /// The share of the limiting resource in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// What tells that the workload is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// What tells that load is carried well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
}

/// A pod's identity, stable for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodId(pub u64);

/// One pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Identity.
    pub id: PodId,
    /// When it was created.
    pub created: Time,
    /// Since when it has been Ready; none if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Time>,
    /// Since when it has been asked to shut down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating_since: Option<Time>,
}

/// A pod that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Departed {
    /// Identity.
    pub id: PodId,
    /// Time from the request to shut down until it was gone.
    pub drain: Span,
}

/// Whether a new revision is being rolled out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rollout {
    /// All pods are of one revision, or the kind has no rollouts.
    #[default]
    Settled,
    /// Pods of two revisions, and the controller moves on.
    Progressing,
    /// Pods of two revisions, and the controller has given up or is paused.
    Stalled,
}

/// How a workload replaces its pods in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum UpdateStrategy {
    /// New pods come beside the old ones.
    RollingUpdate {
        /// `maxSurge`.
        max_surge: CountOrPercent,
        /// `maxUnavailable`.
        max_unavailable: CountOrPercent,
    },
    /// A pod goes before its successor comes (`Recreate`, `StatefulSet`).
    Replace,
    /// Not known; a whole second set of pods must be expected.
    Unknown,
}

/// A number of pods, plainly or as a percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CountOrPercent {
    /// So many pods.
    Count(u32),
    /// So many percent of the replicas.
    Percent(u32),
}

/// What a person asked for by annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overrides {
    /// `plimsoll.dev/emergency-max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_max: Option<Override>,
    /// `plimsoll.dev/freeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Override>,
    /// An annotation that could not be read, with a sentence that says what to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A count asked for by a person, with an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The count.
    pub replicas: u32,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Another autoscaler on the same workload; while there is one, nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rival {
    /// Its kind, such as `HorizontalPodAutoscaler`.
    pub kind: String,
    /// Its name.
    pub name: String,
}
