//! Rules about workloads and what stands around them: what loses requests when pods come and go.

use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, TopologySpreadConstraint};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{Document, Finding, Level, World};
use crate::audit::{self, Flaw};
use crate::capacity::ZONE_LABEL;

/// What a kind of workload has in common with others.
struct Workload<'a> {
    template: &'a PodTemplateSpec,
    replicas: Option<i32>,
    kind: &'static str,
    name: &'a str,
    namespace: Option<&'a str>,
}

pub(super) fn look(world: &mut World) {
    let mut findings = Vec::new();
    for document in &world.deployments {
        let (meta, Some(spec)) = (&document.object.metadata, &document.object.spec) else { continue };
        let workload = Workload {
            template: &spec.template,
            replicas: spec.replicas,
            kind: "Deployment",
            name: meta.name.as_deref().unwrap_or_default(),
            namespace: meta.namespace.as_deref(),
        };
        shared(document, &workload, world, &audit::deployment(&document.object), &mut findings);
    }
    for document in &world.stateful_sets {
        let (meta, Some(spec)) = (&document.object.metadata, &document.object.spec) else { continue };
        let workload = Workload {
            template: &spec.template,
            replicas: spec.replicas,
            kind: "StatefulSet",
            name: meta.name.as_deref().unwrap_or_default(),
            namespace: meta.namespace.as_deref(),
        };
        shared(document, &workload, world, &audit::stateful_set(&document.object), &mut findings);
    }
    for document in &world.services {
        sticky(document, &mut findings);
    }
    for document in &world.disruption_budgets {
        blocking(document, &mut findings);
    }
    rivals(world, &mut findings);
    world.findings.extend(findings);
}

fn shared<T>(
    document: &Document<T>,
    workload: &Workload<'_>,
    world: &World,
    flaws: &[Flaw],
    findings: &mut Vec<Finding>,
) {
    let target = world.policies.iter().find(|policy| {
        let target = &policy.object.spec.scale_target_ref;
        target.kind == workload.kind
            && target.name == workload.name
            && (workload.namespace.is_none()
                || workload.namespace == policy.object.metadata.namespace.as_deref())
    });
    if target.is_some() && workload.replicas.is_some() {
        findings.push(document.finding(
            "replicas-in-manifest",
            Level::Warning,
            "replicas:",
            "replicas stands in the manifest of a workload that a policy scales: each apply sets the count back",
            "remove replicas, or have GitOps ignore the field",
        ));
    }
    let aims_at_requests = target.is_some_and(|policy| {
        let metrics = &policy.object.spec.metrics;
        metrics.iter().any(|metric| metric.target.kind == crate::api::TargetKind::Utilization)
    });
    let concerns = |flaw: &&Flaw| aims_at_requests || **flaw != Flaw::NoRequests;
    findings.extend(flaws.iter().filter(concerns).map(|flaw| document.flaw(flaw)));
    let survives_zones = target.is_some_and(|policy| policy.object.spec.headroom.survive_zones > 0);
    if survives_zones && !spread_over_zones(workload.template) {
        findings.push(document.finding(
            "zones-not-spread",
            Level::Warning,
            "template:",
            "the policy keeps replicas for the loss of zones, and nothing spreads the pods over zones: the one that is lost may \
             hold most of them",
            format!(
                "topologySpreadConstraints: [{{topologyKey: {ZONE_LABEL}, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, \
                 labelSelector: …}}]"
            ),
        ));
    }
    let labels = workload.template.metadata.as_ref().and_then(|meta| meta.labels.as_ref());
    let covered = world.disruption_budgets.iter().any(|budget| selects(&budget.object, labels));
    if !covered {
        findings.push(document.finding(
            "no-pod-disruption-budget",
            Level::Warning,
            "kind:",
            "no PodDisruptionBudget selects these pods in the files given: a node drain may evict all of them at once",
            "a PodDisruptionBudget with maxUnavailable: 1 or 10%",
        ));
    }
}

fn spread_over_zones(template: &PodTemplateSpec) -> bool {
    let constraints = template.spec.iter().flat_map(|pod| pod.topology_spread_constraints.iter().flatten());
    let strictly = |spread: &TopologySpreadConstraint| {
        spread.topology_key == ZONE_LABEL && spread.when_unsatisfiable == "DoNotSchedule"
    };
    constraints.into_iter().any(strictly)
}

fn selects(budget: &PodDisruptionBudget, labels: Option<&BTreeMap<String, String>>) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let Some(selector) = selector else { return false };
    // Expressions are taken on trust: to claim that they miss would be worse than to say nothing.
    let wanted = selector.match_labels.iter().flatten();
    selector.match_expressions.as_ref().is_some_and(|expressions| !expressions.is_empty())
        || wanted.clone().next().is_none()
        || wanted.clone().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

fn sticky(document: &Document<Service>, findings: &mut Vec<Finding>) {
    let affinity = document.object.spec.as_ref().and_then(|spec| spec.session_affinity.as_deref());
    if affinity == Some("ClientIP") {
        findings.push(document.finding(
            "sticky-sessions",
            Level::Warning,
            "sessionAffinity",
            "clients are pinned to pods: new pods stay idle while old ones are full, and each scale-in loses sessions",
            "keep sessions in a shared store, and remove sessionAffinity",
        ));
    }
}

fn blocking(document: &Document<PodDisruptionBudget>, findings: &mut Vec<Finding>) {
    let Some(spec) = &document.object.spec else { return };
    let nothing = match (&spec.max_unavailable, &spec.min_available) {
        (Some(IntOrString::Int(0)), _) => true,
        (Some(IntOrString::String(text)), _) => text == "0%",
        (_, Some(IntOrString::String(text))) => text == "100%",
        _ => false,
    };
    if nothing {
        findings.push(document.finding(
            "blocks-drains",
            Level::Warning,
            if spec.max_unavailable.is_some() { "maxUnavailable" } else { "minAvailable" },
            "no pod may ever be evicted: node upgrades wait until somebody deletes the budget",
            "maxUnavailable: 1, or 10%",
        ));
    }
}

const RIVAL: &str =
    "scales the same workload as a ScalingPolicy: the policy holds and only publishes while it is there";
const INSTEAD_OF_RIVAL: &str =
    "run the policy with mode: DryRun beside it, then remove one of both; plimsoll migrate writes the policy";

/// Other autoscalers on a policy's workload.
fn rivals(world: &World, findings: &mut Vec<Finding>) {
    let scaled: Vec<_> = world
        .policies
        .iter()
        .map(|policy| (&policy.object.spec.scale_target_ref, policy.object.metadata.namespace.as_deref()))
        .collect();
    let has_policy = |kind: &str, name: &str, namespace: Option<&str>| {
        scaled.iter().any(|(target, of)| {
            target.kind == kind
                && target.name == name
                && (namespace.is_none() || of.is_none() || *of == namespace)
        })
    };

    for document in &world.autoscalers {
        let target = &document.object.spec.scale_target_ref;
        if has_policy(&target.kind, &target.name, document.object.metadata.namespace.as_deref()) {
            findings.push(document.finding(
                "two-autoscalers",
                Level::Error,
                "scaleTargetRef",
                RIVAL,
                INSTEAD_OF_RIVAL,
            ));
        }
    }
    for document in &world.scaled_objects {
        let text_at = |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str);
        let kind = text_at("/spec/scaleTargetRef/kind").unwrap_or("Deployment");
        let name = text_at("/spec/scaleTargetRef/name").unwrap_or_default();
        if has_policy(kind, name, text_at("/metadata/namespace")) {
            findings.push(document.finding(
                "two-autoscalers",
                Level::Error,
                "scaleTargetRef",
                RIVAL,
                INSTEAD_OF_RIVAL,
            ));
        }
    }
}
