//! A policy's workload at one moment.

use std::sync::Arc;

use super::call::ApiError;
use super::identity::Uid;
use super::index::{Found, Index};
use super::policy::PolicyRecord;
use super::scale::{ScaleSeen, Scales};
use super::selector::Selector;
use super::watch::WatchHealth;
use super::workload::{DEFAULT_PROGRESS_DEADLINE, DEFAULT_TERMINATION_GRACE};
use crate::api::ScaleTargetRef;
use crate::control::{Rollout, Target, TargetFault, TargetFaultKind, UpdateStrategy, Workload};

/// A workload at one moment, with what a write to it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// As `decide` sees it.
    pub target: Target,
    /// The version that a write must name; none if it could not be seen.
    pub resource_version: Option<String>,
    /// The departures told so far.
    pub departures: u64,
    /// The request that failed, if one did.
    pub error: Option<ApiError>,
}

/// Looks at workloads.
pub struct Viewer {
    index: Arc<Index>,
    health: WatchHealth,
}

impl Viewer {
    /// Looks through `index`, as long as `health` says that it can be relied on.
    pub const fn new(index: Arc<Index>, health: WatchHealth) -> Self {
        Self { index, health }
    }

    /// The workload of a policy. `live` asks the API server for the count instead of relying on the watch, which may
    /// be a moment behind. Departures up to `told` are left out.
    pub async fn view(
        &self,
        scales: &Scales,
        policy: &PolicyRecord,
        reference: &ScaleTargetRef,
        live: bool,
        told: u64,
    ) -> View {
        let Some(target) = &policy.target else {
            return View::fault(TargetFaultKind::NotFound, "the policy names no workload".to_owned(), told);
        };
        if let Some(blind) = self.health.blind() {
            return View::fault(TargetFaultKind::Unavailable, blind, told);
        }
        let watched = reference.api_version == "apps/v1"
            && matches!(reference.kind.as_str(), "Deployment" | "StatefulSet");
        let found = if watched { self.index.workload(target, told) } else { None };
        if watched && found.is_none() {
            let message = format!("{target} does not exist: create it, or correct scaleTargetRef");
            return View::fault(TargetFaultKind::NotFound, message, told);
        }
        if let (Some(found), false) = (&found, live) {
            return View::found(found.clone());
        }
        let scale =
            scales.get(&reference.api_version, &reference.kind, &policy.key.namespace, &reference.name).await;
        match (scale, found) {
            (Ok(scale), Some(mut found)) => {
                found.workload.spec_replicas = scale.spec_replicas;
                found.resource_version = scale.resource_version;
                View::found(found)
            }
            (Ok(scale), None) => self.by_selector(&policy.key.namespace, scale, told),
            (Err(error), _) => View {
                error: Some(error.clone()),
                ..View::fault(error.kind.target_fault(), error.message, told)
            },
        }
    }

    /// A workload of which nothing is known but `/scale`. Its rollouts cannot be told: a scale-in waits for the pods that
    /// they start, as for all pods that start, and ceilings expect a whole second set of them.
    fn by_selector(&self, namespace: &str, scale: ScaleSeen, told: u64) -> View {
        let Some(selector) = Selector::parse(&scale.selector) else {
            let message = format!(
                "its /scale reports the selector {:?}, by which its pods cannot be found: the workload's \
                 controller must fill in status.selector",
                scale.selector
            );
            return View::fault(TargetFaultKind::NotScalable, message, told);
        };
        let (pods, grace) = self.index.selected(namespace, &selector);
        let (departed, departures) = self.index.departed(Uid::of(&scale.uid), told);
        View::found(Found {
            workload: Workload {
                spec_replicas: scale.spec_replicas,
                pods,
                departed,
                rollout: Rollout::Settled,
                revision: 0,
                update: UpdateStrategy::Unknown,
                termination_grace: grace.unwrap_or(DEFAULT_TERMINATION_GRACE),
                progress_deadline: DEFAULT_PROGRESS_DEADLINE,
            },
            resource_version: scale.resource_version,
            departures,
        })
    }
}

impl View {
    fn found(found: Found) -> Self {
        Self {
            target: Target::Seen(found.workload),
            resource_version: Some(found.resource_version),
            departures: found.departures,
            error: None,
        }
    }

    const fn fault(kind: TargetFaultKind, message: String, told: u64) -> Self {
        Self {
            target: Target::Unseen(TargetFault { kind, message }),
            resource_version: None,
            departures: told,
            error: None,
        }
    }
}
