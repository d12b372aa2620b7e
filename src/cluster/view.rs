//! A policy's workload at one moment.

use std::sync::Arc;

use super::call::ApiError;
use super::identity::{TargetKey, Uid};
use super::index::{Found, Index};
use super::live;
use super::pod::zones;
use super::policy::PolicyRecord;
use super::scale::{ScaleSeen, Scales};
use super::selector::Selector;
use super::watch::WatchHealth;
use super::workload::{DEFAULT_PROGRESS_DEADLINE, DEFAULT_TERMINATION_GRACE};
use crate::api::ScaleTargetRef;
use crate::audit::Flaw;
use crate::control::{Rollout, Target, TargetFault, TargetFaultKind, UpdateStrategy, Workload};

/// A workload at one moment, with what a write to it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// As `decide` sees it.
    pub target: Target,
    /// The version that a write must name; none if it could not be seen.
    pub resource_version: Option<String>,
    /// The watch has not told of this version yet: what is known of the workload but its count may be older.
    pub behind: bool,
    /// The departures told so far.
    pub departures: u64,
    /// Identity of the workload; none if it could not be seen.
    pub uid: Option<Uid>,
    /// What its manifest is found to be; none if that cannot be seen.
    pub flaws: Option<Arc<[Flaw]>>,
    /// The request that failed, if one did.
    pub error: Option<ApiError>,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// What the watches have seen, which may be a moment behind.
    Watched,
    /// The count as the API server tells it; the pods as watched.
    Counted,
    /// The workload and its pods as the API server tells them: for growth that must not pass a limit on pods.
    Proven,
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

    /// The workload of a policy. Departures up to `told` are left out.
    pub async fn view(
        &self,
        scales: &Scales,
        policy: &PolicyRecord,
        reference: &ScaleTargetRef,
        look: Look,
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
            return View::missing(target, told);
        }
        if let (Some(found), Look::Watched) = (&found, look) {
            return View::found(found.clone());
        }
        if watched && look == Look::Proven {
            return match live::look(scales.client(), &self.index, target, told).await {
                Ok(Some(found)) => View::found(found),
                Ok(None) => View::missing(target, told),
                Err(error) => View::failed(error, told),
            };
        }
        let scale =
            scales.get(&reference.api_version, &reference.kind, &policy.key.namespace, &reference.name).await;
        match (scale, found) {
            (Ok(scale), Some(mut found)) => {
                let behind = found.resource_version != scale.resource_version;
                found.workload.spec_replicas = scale.spec_replicas;
                found.resource_version = scale.resource_version;
                View { behind, ..View::found(found) }
            }
            (Ok(scale), None) => self.by_selector(scales, &policy.key.namespace, scale, look, told).await,
            (Err(error), _) => View::failed(error, told),
        }
    }

    /// A workload of a watched kind as the API server itself tells it; none if it does not exist. The error is a sentence.
    pub async fn prove(&self, scales: &Scales, target: &TargetKey) -> Result<Option<Found>, String> {
        self.health.blind().map_or(Ok(()), Err)?;
        live::look(scales.client(), &self.index, target, u64::MAX).await.map_err(|error| error.message)
    }

    /// A workload of which nothing is known but `/scale`. Its rollouts cannot be told: a scale-in waits for the pods that
    /// they start, as for all pods that start, and ceilings expect a whole second set of them.
    async fn by_selector(
        &self,
        scales: &Scales,
        namespace: &str,
        scale: ScaleSeen,
        look: Look,
        told: u64,
    ) -> View {
        let Some(selector) = Selector::parse(&scale.selector) else {
            let message = format!(
                "its /scale reports the selector {:?}, by which its pods cannot be found: the workload's \
                 controller must fill in status.selector",
                scale.selector
            );
            return View::fault(TargetFaultKind::NotScalable, message, told);
        };
        let pods = if look == Look::Proven {
            match live::pods(scales.client(), namespace, &scale.selector).await {
                Ok(pods) => pods,
                Err(error) => return View::failed(error, told),
            }
        } else {
            self.index.selected(namespace, &selector)
        };
        let grace = pods.iter().map(|pod| pod.termination_grace).max();
        let (departed, departures) = self.index.departed(Uid::of(&scale.uid), told);
        View::found(Found {
            workload: Workload {
                spec_replicas: scale.spec_replicas,
                zones: zones(pods.iter()),
                pods: pods.into_iter().map(|pod| pod.pod).collect(),
                departed,
                rollout: Rollout::Settled,
                revision: 0,
                update: UpdateStrategy::Unknown,
                termination_grace: grace.unwrap_or(DEFAULT_TERMINATION_GRACE),
                progress_deadline: DEFAULT_PROGRESS_DEADLINE,
            },
            resource_version: scale.resource_version,
            departures,
            uid: Uid::of(&scale.uid),
            flaws: None,
        })
    }
}

impl View {
    fn found(found: Found) -> Self {
        Self {
            target: Target::Seen(found.workload),
            resource_version: Some(found.resource_version),
            behind: false,
            departures: found.departures,
            uid: Some(found.uid),
            flaws: found.flaws,
            error: None,
        }
    }

    fn missing(target: &TargetKey, told: u64) -> Self {
        let message = format!("{target} does not exist: create it, or correct scaleTargetRef");
        Self::fault(TargetFaultKind::NotFound, message, told)
    }

    fn failed(error: ApiError, told: u64) -> Self {
        Self { error: Some(error.clone()), ..Self::fault(error.kind.target_fault(), error.message, told) }
    }

    const fn fault(kind: TargetFaultKind, message: String, told: u64) -> Self {
        Self {
            target: Target::Unseen(TargetFault { kind, message }),
            resource_version: None,
            behind: false,
            departures: told,
            uid: None,
            flaws: None,
            error: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::cluster::Authority;
    use crate::cluster::testing::{scale, server};

    /// A policy's view of a workload with 3 replicas that the watch has told of as version 41, and that now has 5 replicas
    /// and is of `version`.
    async fn seen(look: Look, version: &'static str) -> View {
        let (client, _) = server(move |_| scale(5, version, "app=web"));
        let index = Arc::new(Index::new(unbounded_channel().0));
        let deployment = serde_json::from_value(json!({
            "metadata": {"uid": "web", "resourceVersion": "41", "generation": 1},
            "spec": {"replicas": 3, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3}
        }));
        index.put_deployment(TargetKey::new("apps/v1", "Deployment", "shop", "web"), &deployment.unwrap());
        let policy = serde_json::from_value(json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy",
            "metadata": {"name": "web", "namespace": "shop", "uid": "web", "generation": 1,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"scaleTargetRef": {"name": "web"}, "maxReplicas": 9, "metrics": [{"name": "rps",
                "prometheus": {"query": "q"}, "target": {"type": "AverageValue", "averageValue": "9"}}]}
        }));
        let policy = PolicyRecord::trim(policy.unwrap()).unwrap().0;
        let viewer = Viewer::new(index, WatchHealth::default());
        let scales = Scales::new(client, Authority::unshared());
        let reference = policy.spec.as_ref().unwrap().scale_target_ref.clone();
        viewer.view(&scales, &policy, &reference, look, 0).await
    }

    #[tokio::test]
    async fn a_version_that_no_watch_has_told_of_is_behind() {
        for (look, version, replicas, behind) in
            [(Look::Watched, "42", 3, false), (Look::Counted, "41", 5, false), (Look::Counted, "42", 5, true)]
        {
            let view = seen(look, version).await;
            let Target::Seen(workload) = view.target else { panic!("it is there") };
            assert_eq!((workload.spec_replicas, view.behind), (replicas, behind), "{look:?} {version}");
        }
    }
}
