//! Workloads, trimmed: what is asked of them, how they replace pods, whether they are rolling out.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::identity::{Fnv, Uid};
use super::pod::seconds;
use crate::audit::{self, Flaw};
use crate::capacity::ZONE_LABEL;
use crate::control::{CountOrPercent, Rollout, UpdateStrategy};
use crate::number::MAX_COUNT;
use crate::time::Span;

/// Kubernetes' default for `terminationGracePeriodSeconds`.
pub(super) const DEFAULT_TERMINATION_GRACE: Span = Span::from_seconds(30);
/// Kubernetes' default for `progressDeadlineSeconds`.
pub(super) const DEFAULT_PROGRESS_DEADLINE: Span = Span::from_seconds(600);

/// A workload as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkloadRecord {
    pub uid: Uid,
    pub resource_version: String,
    pub spec_replicas: u32,
    pub update: UpdateStrategy,
    pub termination_grace: Span,
    pub progress_deadline: Span,
    /// Zones that its topology spread constraint names at least.
    pub zones: u32,
    /// What its manifest is found to be.
    pub flaws: Arc<[Flaw]>,
    revisions: Revisions,
}

/// What the workload's controller says of its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Revisions {
    /// Pods of an older revision are there, by the controller's count.
    mixed: bool,
    /// The controller has given up on the rollout, or is told not to go on with it.
    stalled: bool,
    /// The pod template as written.
    template: u64,
    /// The pod template that the controller has seen, if known.
    observed: Option<u64>,
}

impl WorkloadRecord {
    /// Trims a Deployment; `before` is what was kept of it until now.
    pub(super) fn deployment(deployment: &Deployment, before: Option<&Self>) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let status = deployment.status.as_ref();
        let count = |field: Option<i32>| field.map_or(0, count);
        let (replicas, updated) = (
            count(status.and_then(|status| status.replicas)),
            count(status.and_then(|status| status.updated_replicas)),
        );
        let failed = status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
            conditions.iter().any(|condition| condition.type_ == "Progressing" && condition.status == "False")
        });
        let observed = status.and_then(|status| status.observed_generation);
        Some(Self {
            update: deployment_update(deployment),
            flaws: audit::deployment(deployment).into(),
            progress_deadline: spec
                .progress_deadline_seconds
                .map_or(DEFAULT_PROGRESS_DEADLINE, |value| seconds(value.into())),
            revisions: Revisions::new(
                updated < replicas,
                failed || spec.paused == Some(true),
                &spec.template,
                observed >= deployment.metadata.generation,
                before,
            ),
            ..Self::common(deployment, spec.replicas, &spec.template)?
        })
    }

    /// Trims a StatefulSet; `before` is what was kept of it until now.
    pub(super) fn stateful_set(set: &StatefulSet, before: Option<&Self>) -> Option<Self> {
        let spec = set.spec.as_ref()?;
        let status = set.status.as_ref();
        let replicas = status.map_or(0, |status| count(status.replicas));
        let updated = status.and_then(|status| status.updated_replicas).map_or(0, count);
        let two_revisions = status.is_some_and(|status| {
            status.update_revision.is_some() && status.update_revision != status.current_revision
        });
        let strategy = spec.update_strategy.as_ref();
        let partition = strategy
            .and_then(|strategy| strategy.rolling_update.as_ref())
            .and_then(|rolling| rolling.partition)
            .map_or(0, count);
        let on_delete = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete");
        let observed = status.and_then(|status| status.observed_generation);
        Some(Self {
            flaws: audit::stateful_set(set).into(),
            revisions: Revisions::new(
                two_revisions && updated < replicas,
                // What a partition holds back stays as it is until somebody moves the partition.
                on_delete || (partition > 0 && updated >= replicas.saturating_sub(partition)),
                &spec.template,
                observed >= set.metadata.generation,
                before,
            ),
            ..Self::common(set, spec.replicas, &spec.template)?
        })
    }

    fn common<K: kube::Resource>(
        object: &K,
        replicas: Option<i32>,
        template: &PodTemplateSpec,
    ) -> Option<Self> {
        let grace = template.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        Some(Self {
            uid: Uid::of(object.meta().uid.as_deref()?),
            resource_version: object.resource_version().unwrap_or_default(),
            // The API server fills in 1 where nothing is written.
            spec_replicas: replicas.map_or(1, count),
            update: UpdateStrategy::Replace,
            termination_grace: grace.map_or(DEFAULT_TERMINATION_GRACE, seconds),
            progress_deadline: DEFAULT_PROGRESS_DEADLINE,
            zones: zones(template),
            flaws: Arc::default(),
            revisions: Revisions { mixed: false, stalled: false, template: 0, observed: None },
        })
    }

    /// The revision asked for.
    pub(super) const fn revision(&self) -> u64 {
        self.revisions.template
    }

    /// Whether a new revision is being rolled out, when live pods of `revisions` revisions can be seen.
    pub(super) fn rollout(&self, revisions: usize) -> Rollout {
        let Revisions { mixed, stalled, template, observed } = self.revisions;
        match (mixed || revisions > 1 || observed != Some(template), stalled) {
            (false, _) => Rollout::Settled,
            (true, false) => Rollout::Progressing,
            (true, true) => Rollout::Stalled,
        }
    }
}

impl Revisions {
    fn new(
        mixed: bool,
        stalled: bool,
        template: &PodTemplateSpec,
        seen: bool,
        before: Option<&WorkloadRecord>,
    ) -> Self {
        let template = template_hash(template);
        // A generation moves with every scale as well; only a template that the controller has not seen is a rollout.
        let observed =
            if seen { Some(template) } else { before.and_then(|before| before.revisions.observed) };
        Self { mixed, stalled, template, observed }
    }
}

fn deployment_update(deployment: &Deployment) -> UpdateStrategy {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return UpdateStrategy::Replace;
    }
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    UpdateStrategy::RollingUpdate {
        max_surge: count_or_percent(rolling.and_then(|rolling| rolling.max_surge.as_ref())),
        max_unavailable: count_or_percent(rolling.and_then(|rolling| rolling.max_unavailable.as_ref())),
    }
}

fn zones(template: &PodTemplateSpec) -> u32 {
    let constraints = template.spec.iter().flat_map(|pod| pod.topology_spread_constraints.iter().flatten());
    let domains = constraints
        .filter(|spread| spread.topology_key == ZONE_LABEL)
        .filter_map(|spread| spread.min_domains);
    domains.max().map_or(0, count)
}

/// Kubernetes' default is 25 %.
fn count_or_percent(value: Option<&IntOrString>) -> CountOrPercent {
    match value {
        Some(IntOrString::Int(number)) => CountOrPercent::Count(count(*number)),
        Some(IntOrString::String(text)) => text
            .strip_suffix('%')
            .and_then(|digits| digits.parse().ok())
            .map_or(CountOrPercent::Percent(25), CountOrPercent::Percent),
        None => CountOrPercent::Percent(25),
    }
}

/// Kubernetes counts with a sign; a negative count means none.
pub(super) fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0).min(MAX_COUNT)
}

fn template_hash(template: &PodTemplateSpec) -> u64 {
    let mut hasher = Fnv::default();
    // Maps are ordered and hashing cannot fail, so equal templates have equal hashes.
    let _ = serde_json::to_writer(&mut hasher, template);
    hasher.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(spec: &Value, status: &Value, generation: i64) -> Deployment {
        let mut all = json!({"selector": {}, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}});
        merge(&mut all, spec);
        serde_json::from_value(json!({
            "metadata": {"uid": "d", "resourceVersion": "5", "generation": generation},
            "spec": all, "status": status
        }))
        .unwrap()
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

    #[test]
    fn a_rollout_is_told_from_a_scale() {
        let settled = json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4});
        let mixed = json!({"observedGeneration": 2, "replicas": 5, "updatedReplicas": 2});
        let gave_up = json!({"observedGeneration": 2, "replicas": 5, "updatedReplicas": 2, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
        let failed_alone = json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
        for (name, spec, status, revisions, expected) in [
            ("one revision", json!({}), &settled, 1, Rollout::Settled),
            ("a first rollout that fails has one revision", json!({}), &failed_alone, 1, Rollout::Settled),
            ("fewer updated than there are", json!({}), &mixed, 1, Rollout::Progressing),
            ("live pods of two revisions", json!({}), &settled, 2, Rollout::Progressing),
            ("the deadline is exceeded", json!({}), &gave_up, 2, Rollout::Stalled),
            ("paused in the middle", json!({"paused": true}), &mixed, 2, Rollout::Stalled),
            ("paused while settled", json!({"paused": true}), &settled, 1, Rollout::Settled),
        ] {
            let record = WorkloadRecord::deployment(&deployment(&spec, status, 2), None).unwrap();
            assert_eq!(record.rollout(revisions), expected, "{name}");
        }
    }

    #[test]
    fn only_an_unobserved_template_is_a_rollout_and_not_an_unobserved_scale() {
        let status = json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4});
        let before =
            WorkloadRecord::deployment(&deployment(&json!({"replicas": 4}), &status, 2), None).unwrap();
        let scaled = deployment(&json!({"replicas": 9}), &status, 3);
        assert_eq!(WorkloadRecord::deployment(&scaled, Some(&before)).unwrap().rollout(1), Rollout::Settled);
        let changed = json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}});
        let changed = WorkloadRecord::deployment(&deployment(&changed, &status, 3), Some(&before)).unwrap();
        assert_eq!(changed.rollout(1), Rollout::Progressing);
        assert_eq!(
            WorkloadRecord::deployment(&scaled, None).unwrap().rollout(1),
            Rollout::Progressing,
            "nothing is known before"
        );
    }

    #[test]
    fn strategies_are_read_with_kubernetes_defaults() {
        let percent = |surge, unavailable| UpdateStrategy::RollingUpdate {
            max_surge: CountOrPercent::Percent(surge),
            max_unavailable: CountOrPercent::Percent(unavailable),
        };
        for (spec, expected) in [
            (json!({}), percent(25, 25)),
            (
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%"}}}),
                percent(100, 25),
            ),
            (
                json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}}),
                UpdateStrategy::RollingUpdate {
                    max_surge: CountOrPercent::Count(0),
                    max_unavailable: CountOrPercent::Count(2),
                },
            ),
            (json!({"strategy": {"type": "Recreate"}}), UpdateStrategy::Replace),
        ] {
            let record = WorkloadRecord::deployment(&deployment(&spec, &json!({}), 1), None).unwrap();
            assert_eq!(record.update, expected, "{spec}");
        }
    }

    #[test]
    fn what_is_not_written_has_kubernetes_defaults() {
        let plain = WorkloadRecord::deployment(&deployment(&json!({}), &json!({}), 1), None).unwrap();
        assert_eq!((plain.spec_replicas, plain.resource_version.as_str()), (1, "5"));
        assert_eq!(
            (plain.termination_grace, plain.progress_deadline),
            (Span::from_seconds(30), Span::from_seconds(600))
        );
        let spec = json!({"replicas": 0, "progressDeadlineSeconds": 60, "template": {"spec": {"terminationGracePeriodSeconds": 5}}});
        let declared = WorkloadRecord::deployment(&deployment(&spec, &json!({}), 1), None).unwrap();
        assert_eq!(declared.spec_replicas, 0);
        assert_eq!(
            (declared.termination_grace, declared.progress_deadline),
            (Span::from_seconds(5), Span::from_seconds(60))
        );
    }

    #[test]
    fn a_stateful_set_rolls_out_by_revision_and_waits_at_its_partition() {
        let set = |strategy: &Value, updated: u32| -> StatefulSet {
            serde_json::from_value(json!({
                "metadata": {"uid": "s", "generation": 1},
                "spec": {"selector": {}, "serviceName": "db", "template": {}, "updateStrategy": strategy},
                "status": {"observedGeneration": 1, "replicas": 4, "updatedReplicas": updated,
                           "currentRevision": "a", "updateRevision": if updated == 4 { "a" } else { "b" }}
            }))
            .unwrap()
        };
        for (strategy, updated, expected) in [
            (json!({}), 4, Rollout::Settled),
            (json!({}), 1, Rollout::Progressing),
            (json!({"type": "OnDelete"}), 1, Rollout::Stalled),
            (json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), 1, Rollout::Progressing),
            (json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}), 2, Rollout::Stalled),
        ] {
            let record = WorkloadRecord::stateful_set(&set(&strategy, updated), None).unwrap();
            assert_eq!(record.rollout(1), expected, "{strategy} {updated}");
            assert_eq!(record.update, UpdateStrategy::Replace);
        }
    }
}
