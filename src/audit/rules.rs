//! Rules about manifests of workloads, and about what their pools open.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStrategy, StatefulSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Flaw;
use crate::ceiling::connections::{Assume, RolloutShape, carried_pods, fitting_pool, largest_count};
use crate::control::{ConnectionSource, Connections, CountOrPercent, Policy, UpdateStrategy};

/// What the manifest of a Deployment is found to be.
pub fn deployment(deployment: &Deployment) -> Vec<Flaw> {
    let Some(spec) = &deployment.spec else { return Vec::new() };
    let mut flaws = template(&spec.template);
    if let Some(strategy) = &spec.strategy {
        look_at_strategy(strategy, &mut flaws);
    }
    flaws
}

/// What the manifest of a StatefulSet is found to be.
pub fn stateful_set(set: &StatefulSet) -> Vec<Flaw> {
    set.spec.as_ref().map(|spec| template(&spec.template)).unwrap_or_default()
}

fn template(template: &PodTemplateSpec) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let Some(pod) = &template.spec else { return flaws };
    for container in &pod.containers {
        look_at_probes(container, &mut flaws);
    }
    look_at_drain(pod, &mut flaws);
    if pod.topology_spread_constraints.is_none() && pod.affinity.is_none() {
        flaws.push(Flaw::NotSpread);
    }
    let requests = |container: &Container| {
        container.resources.as_ref().and_then(|resources| resources.requests.as_ref()).is_some()
    };
    if !pod.containers.iter().all(requests) {
        flaws.push(Flaw::NoRequests);
    }
    flaws
}

/// Without a port nobody sends it requests.
fn serves(container: &Container) -> bool {
    container.ports.as_ref().is_some_and(|ports| !ports.is_empty())
}

fn look_at_probes(container: &Container, flaws: &mut Vec<Flaw>) {
    let name = || container.name.as_str().into();
    let Some(ready) = &container.readiness_probe else {
        if serves(container) {
            flaws.push(Flaw::NoReadinessProbe { container: name() });
        }
        return;
    };
    if container
        .liveness_probe
        .as_ref()
        .is_some_and(|live| live.http_get.is_some() && live.http_get == ready.http_get)
    {
        flaws.push(Flaw::SameProbes { container: name() });
    }
    let path = ready.http_get.as_ref().and_then(|get| get.path.as_deref());
    if let Some(path) = path.filter(|path| matches!(*path, "/ping" | "/")) {
        flaws.push(Flaw::ShallowReadiness { container: name(), path: path.into() });
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

fn look_at_drain(pod: &PodSpec, flaws: &mut Vec<Flaw>) {
    let grace = pod.termination_grace_period_seconds.unwrap_or(30);
    let serving = || pod.containers.iter().filter(|container| serves(container));
    for container in serving() {
        let name = || container.name.as_str().into();
        match pre_stop(container) {
            PreStop::None => flaws.push(Flaw::NoPreStop { container: name() }),
            PreStop::Sleeps(seconds) if seconds.saturating_add(5) > grace => {
                flaws.push(Flaw::GraceShorterThanDrain { container: name(), sleeps: seconds, grace });
            }
            PreStop::Sleeps(_) | PreStop::Other => {}
        }
    }
    if grace < 10 && serving().next().is_some() {
        flaws.push(Flaw::ShortGrace { grace });
    }
}

fn look_at_strategy(strategy: &DeploymentStrategy, flaws: &mut Vec<Flaw>) {
    if strategy.type_.as_deref() == Some("Recreate") {
        flaws.push(Flaw::Recreate);
    }
    let Some(rolling) = &strategy.rolling_update else { return };
    let zero = |value: &IntOrString| match value {
        IntOrString::Int(count) => *count == 0,
        IntOrString::String(text) => text.trim_end_matches('%') == "0",
    };
    if rolling.max_surge.as_ref().is_some_and(zero) {
        flaws.push(Flaw::NoSurge);
    }
    let dips = match &rolling.max_unavailable {
        None => Some("25%".to_owned()),
        Some(value) if zero(value) => None,
        Some(IntOrString::Int(count)) => Some(count.to_string()),
        Some(IntOrString::String(text)) => Some(text.clone()),
    };
    flaws.extend(dips.map(|share| Flaw::MaxUnavailableDips { share: share.into() }));
}

/// What is wrong with the replicas that the connections of a database carry, where the policy says how many it gives.
pub fn carries(connections: &Connections, policy: &Policy, shape: &RolloutShape) -> Option<Flaw> {
    let ConnectionSource::Inline { max_connections, reserved, others } = connections.limit else {
        return None;
    };
    let gives = max_connections.saturating_sub(reserved).saturating_sub(others);
    let pods = carried_pods(gives, connections.per_pod);
    let replicas = largest_count(pods, shape, connections.overlap, Assume::Best, 0);
    let ceiling = || connections.name.as_str().into();
    if replicas < policy.min {
        Some(Flaw::BudgetInfeasible { ceiling: ceiling(), connections: gives, replicas, min: policy.min })
    } else if replicas < policy.max {
        let pool = fitting_pool(gives, connections.overlap, shape, policy.max);
        Some(Flaw::MaxNotReachable {
            ceiling: ceiling(),
            replicas,
            rollout: surge(shape.update).into(),
            max: policy.max,
            pool,
        })
    } else {
        None
    }
}

fn surge(update: UpdateStrategy) -> String {
    match update {
        UpdateStrategy::RollingUpdate { max_surge: CountOrPercent::Percent(percent), .. } => {
            format!(" at {percent} % surge")
        }
        UpdateStrategy::RollingUpdate { max_surge: CountOrPercent::Count(count), .. } => {
            format!(" at a surge of {count}")
        }
        UpdateStrategy::Replace | UpdateStrategy::Unknown => String::new(),
    }
}
