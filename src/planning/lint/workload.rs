//! Rules about workloads: what loses requests when pods come and go.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use std::collections::BTreeMap;

use super::{Document, Finding, Level, World};

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
        shared(document, &workload, world, &mut findings);
        strategy(document, &mut findings);
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
        shared(document, &workload, world, &mut findings);
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

fn shared<T>(document: &Document<T>, workload: &Workload<'_>, world: &World, findings: &mut Vec<Finding>) {
    let Some(pod) = &workload.template.spec else { return };
    for container in &pod.containers {
        probes(document, container, findings);
    }
    let grace = pod.termination_grace_period_seconds.unwrap_or(30);
    drain(document, &pod.containers, grace, findings);
    if pod.topology_spread_constraints.is_none() && pod.affinity.is_none() {
        findings.push(document.finding(
            "not-spread",
            Level::Note,
            "template",
            "nothing keeps the pods apart: the loss of one node or zone may take most of them",
            "topologySpreadConstraints over topology.kubernetes.io/zone and kubernetes.io/hostname",
        ));
    }
    let target = world.policies.iter().find(|policy| {
        let target = &policy.object.spec.scale_target_ref;
        target.kind == workload.kind
            && target.name == workload.name
            && (workload.namespace.is_none()
                || workload.namespace == policy.object.metadata.namespace.as_deref())
    });
    if let Some(policy) = target {
        if workload.replicas.is_some() {
            findings.push(document.finding(
                "replicas-in-manifest",
                Level::Warning,
                "replicas:",
                "replicas stands in the manifest of a workload that a policy scales: each apply sets the count back",
                "remove replicas, or have GitOps ignore the field",
            ));
        }
        let utilization = policy
            .object
            .spec
            .metrics
            .iter()
            .any(|metric| metric.target.kind == crate::api::TargetKind::Utilization);
        let requests = |container: &Container| {
            container.resources.as_ref().and_then(|resources| resources.requests.as_ref()).is_some()
        };
        if utilization && !pod.containers.iter().all(requests) {
            findings.push(document.finding(
                "no-requests",
                Level::Warning,
                "containers",
                "a policy aims at a utilization of these pods, and a container requests nothing: there is nothing to be a share of",
                "resources: {requests: {cpu: …}}",
            ));
        }
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

fn selects(budget: &PodDisruptionBudget, labels: Option<&BTreeMap<String, String>>) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let Some(selector) = selector else { return false };
    // Expressions are taken on trust: to claim that they miss would be worse than to say nothing.
    let wanted = selector.match_labels.iter().flatten();
    selector.match_expressions.as_ref().is_some_and(|expressions| !expressions.is_empty())
        || wanted.clone().next().is_none()
        || wanted.clone().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

fn probes<T>(document: &Document<T>, container: &Container, findings: &mut Vec<Finding>) {
    let name = &container.name;
    let anchor = format!("name: {name}");
    // Without a port nobody sends it requests.
    let serves = container.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    let Some(ready) = &container.readiness_probe else {
        if serves {
            findings.push(document.finding(
                "no-readiness-probe",
                Level::Error,
                &anchor,
                format!("{name} has no readiness probe: it gets requests from the moment its process exists, and an autoscaler counts it as capacity"),
                "readinessProbe: {httpGet: {path: /ready, port: …}}, on a path that reaches what the service needs",
            ));
        }
        return;
    };
    if container
        .liveness_probe
        .as_ref()
        .is_some_and(|live| live.http_get.is_some() && live.http_get == ready.http_get)
    {
        findings.push(document.finding(
            "same-probes",
            Level::Warning,
            &anchor,
            format!("{name} is asked the same by both probes: overload fails the readiness and restarts the pod as well, and the rest gets its load"),
            "a liveness probe of its own that only shows that the process is not stuck",
        ));
    }
    let path = ready.http_get.as_ref().and_then(|get| get.path.as_deref());
    if matches!(path, Some("/ping" | "/")) {
        findings.push(document.finding(
            "shallow-readiness",
            Level::Note,
            &anchor,
            format!("{name} answers {} whether or not its pool and its cache are there: the first requests after Ready are slow or fail", path.unwrap_or_default()),
            "a readiness path that takes a connection as a request does",
        ));
    }
}

/// The preStop hook of a container.
enum PreStop {
    None,
    Sleeps(i64),
    /// It does something, for who knows how long.
    Other,
}

fn pre_stop(container: &Container) -> PreStop {
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if hook.is_none() {
        PreStop::None
    } else {
        sleep_seconds(container).map_or(PreStop::Other, PreStop::Sleeps)
    }
}

/// How long the preStop hook sleeps, where it says so.
fn sleep_seconds(container: &Container) -> Option<i64> {
    let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
    let sleep = hook.sleep.as_ref().map(|sleep| sleep.seconds);
    let command = hook.exec.as_ref().and_then(|exec| exec.command.as_ref()).map(|words| words.join(" "));
    let spoken = command.and_then(|command| {
        let (_, after) = command.split_once("sleep ")?;
        after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    });
    sleep.or(spoken)
}

fn drain<T>(document: &Document<T>, containers: &[Container], grace: i64, findings: &mut Vec<Finding>) {
    let serving = || {
        containers.iter().filter(|container| container.ports.as_ref().is_some_and(|ports| !ports.is_empty()))
    };
    for container in serving() {
        let name = &container.name;
        match pre_stop(container) {
            PreStop::None => findings.push(document.finding(
                "no-pre-stop",
                Level::Warning,
                &format!("name: {name}"),
                format!("{name} stops the moment it is told to, while load balancers still send to it for some seconds: each scale-in loses requests"),
                "lifecycle: {preStop: {sleep: {seconds: 10}}}, and finish what is under way on SIGTERM",
            )),
            PreStop::Sleeps(seconds) if seconds.saturating_add(5) > grace => findings.push(document.finding(
                "grace-shorter-than-drain",
                Level::Error,
                "terminationGracePeriodSeconds",
                format!("{name} waits {seconds} s before it stops and is killed after {grace} s: requests under way are cut off"),
                format!("terminationGracePeriodSeconds: {} or more: the wait, and the longest request", seconds.saturating_add(30)),
            )),
            PreStop::Sleeps(_) | PreStop::Other => {}
        }
    }
    if grace < 10 && serving().next().is_some() {
        findings.push(document.finding(
            "short-grace",
            Level::Warning,
            "terminationGracePeriodSeconds",
            format!("{grace} s are too few for requests under way and for a pool to close"),
            "terminationGracePeriodSeconds: 30 or more",
        ));
    }
}

fn strategy(document: &Document<Deployment>, findings: &mut Vec<Finding>) {
    let Some(strategy) = document.object.spec.as_ref().and_then(|spec| spec.strategy.as_ref()) else {
        return;
    };
    if strategy.type_.as_deref() == Some("Recreate") {
        findings.push(document.finding(
            "recreate",
            Level::Warning,
            "Recreate",
            "each rollout stops all pods before the first new one starts",
            "strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}",
        ));
    }
    let Some(rolling) = &strategy.rolling_update else { return };
    let zero = |value: &IntOrString| match value {
        IntOrString::Int(count) => *count == 0,
        IntOrString::String(text) => text.trim_end_matches('%') == "0",
    };
    if rolling.max_surge.as_ref().is_some_and(zero) {
        findings.push(document.finding(
            "no-surge",
            Level::Warning,
            "maxSurge",
            "maxSurge is 0: a rollout removes capacity before it adds any, at whatever hour it runs",
            "maxSurge: 25%, counted into the connection ceiling",
        ));
    }
    let dips = match &rolling.max_unavailable {
        None => Some("25%".to_owned()),
        Some(value) if zero(value) => None,
        Some(IntOrString::Int(count)) => Some(count.to_string()),
        Some(IntOrString::String(text)) => Some(text.clone()),
    };
    if let Some(dips) = dips {
        findings.push(document.finding(
            "max-unavailable-dips",
            Level::Warning,
            "maxUnavailable",
            format!("a rollout may take away {dips} of the pods while an autoscaler keeps just as many as the load needs"),
            "maxUnavailable: 0, with maxSurge: 25%",
        ));
    }
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
