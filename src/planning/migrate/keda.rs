//! From a ScaledObject.

use serde_json::Value;

use super::schedule::DraftSchedule;
use super::{Draft, DraftTarget, pods_of, resource_query};

/// KEDA's own default.
const POLLING_INTERVAL: i64 = 30;

pub(super) fn draft(object: &Value) -> Result<Draft, String> {
    let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let count = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let name = word("/metadata/name").unwrap_or_else(|| "policy".to_owned());
    let from = format!("ScaledObject {name}");
    let target =
        word("/spec/scaleTargetRef/name").ok_or_else(|| format!("{from} has no spec.scaleTargetRef.name"))?;
    let behavior = object.pointer("/spec/advanced/horizontalPodAutoscalerConfig/behavior");
    let behavior = behavior
        .map(|behavior| serde_json::from_value(behavior.clone()))
        .transpose()
        .map_err(|error| format!("{from}: its behavior cannot be read: {error}"))?;
    let polling = count("/spec/pollingInterval").unwrap_or(POLLING_INTERVAL);
    let fallback = count("/spec/fallback/replicas").map(|replicas| {
        (count("/spec/fallback/failureThreshold").unwrap_or(3).saturating_mul(polling), replicas)
    });
    let mut draft = Draft {
        from,
        name,
        namespace: word("/metadata/namespace"),
        target: (word("/spec/scaleTargetRef/apiVersion"), word("/spec/scaleTargetRef/kind"), target),
        min: Some(count("/spec/minReplicaCount").unwrap_or(0)),
        max: count("/spec/maxReplicaCount").unwrap_or(100),
        polling_interval: Some(polling),
        behavior,
        fallback,
        ..Draft::default()
    };
    for (pointer, why) in [
        ("/spec/cooldownPeriod", "cooldownPeriod is about scaling to zero, which does not exist here"),
        ("/spec/idleReplicaCount", "idleReplicaCount has no equal: below minReplicas nothing is scaled"),
        (
            "/spec/initialCooldownPeriod",
            "initialCooldownPeriod has no equal: after a start the scale-in window begins anew",
        ),
        (
            "/spec/advanced/scalingModifiers",
            "scalingModifiers have no equal: write the formula in PromQL, as one metric",
        ),
        (
            "/spec/advanced/restoreToOriginalReplicaCount",
            "restoreToOriginalReplicaCount has no equal: a deleted policy leaves the count as it is",
        ),
    ] {
        if object.pointer(pointer).is_some() {
            draft.remark(why);
        }
    }
    for trigger in object.pointer("/spec/triggers").and_then(Value::as_array).into_iter().flatten() {
        take(&mut draft, trigger);
    }
    Ok(draft)
}

fn take(draft: &mut Draft, trigger: &Value) {
    let kind = trigger.get("type").and_then(Value::as_str).unwrap_or_default();
    let name = trigger.get("name").and_then(Value::as_str).unwrap_or(kind).to_owned();
    if trigger.get("authenticationRef").is_some() {
        draft.remark(format!(
            "{name}: credentials belong into the operator's configuration, with the Prometheus server"
        ));
    }
    match kind {
        "prometheus" => prometheus(draft, trigger, &name),
        "cpu" | "memory" => resource(draft, trigger, kind),
        "cron" => cron(draft, trigger, &name),
        _ => draft.remark(format!(
            "the trigger {kind} has no equal and is left out: where an exporter brings its number into Prometheus, write a metric with that query"
        )),
    }
}

/// A value of a trigger's metadata, number or string.
fn given(trigger: &Value, field: &str) -> Option<String> {
    match trigger.get("metadata")?.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn prometheus(draft: &mut Draft, trigger: &Value, name: &str) {
    let (Some(query), Some(threshold)) = (given(trigger, "query"), given(trigger, "threshold")) else {
        draft.remark(format!("{name} is left out: a prometheus trigger has query and threshold"));
        return;
    };
    let value = trigger.get("metricType").and_then(Value::as_str) == Some("Value");
    let target = if value { DraftTarget::Value(threshold) } else { DraftTarget::AverageValue(threshold) };
    if let Some(address) = given(trigger, "serverAddress") {
        draft.remark(format!("{name} asks {address}: name that server main in the operator's configuration, or write prometheus.server"));
    }
    if given(trigger, "activationThreshold").is_some() {
        draft.remark(format!(
            "{name}: activationThreshold is about scaling from zero, which does not exist here"
        ));
    }
    if given(trigger, "ignoreNullValues").is_none_or(|ignore| ignore == "true") {
        draft.remark(format!("{name}: where KEDA took a missing metric for 0, the count is held here; write zero: Data if exactly 0 is a true value"));
    }
    if query.contains('$') {
        draft.remark(format!("{name}: the query has a $, as templates do: fill it in"));
    }
    draft.metric(name, query, target, false);
}

fn resource(draft: &mut Draft, trigger: &Value, kind: &str) {
    let value = given(trigger, "value");
    let by = trigger
        .get("metricType")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .or_else(|| given(trigger, "type"));
    let of_requests = by.as_deref() != Some("AverageValue");
    let container = given(trigger, "containerName");
    let pods = pods_of(draft.namespace.as_deref(), &draft.target.2);
    let percent = value.as_deref().and_then(|value| value.parse().ok());
    let target = match (of_requests, percent, value) {
        (true, Some(percent), _) => DraftTarget::Utilization(percent),
        (false, _, Some(value)) => DraftTarget::AverageValue(value),
        _ => {
            draft.remark(format!("the trigger {kind} has no value that can be read, and is left out"));
            return;
        }
    };
    if let Some(query) = resource_query(kind, &pods, container.as_deref(), of_requests) {
        draft.metric(kind, query, target, false);
        draft.remark(format!("{kind} is read from Prometheus (cAdvisor and kube-state-metrics), not from metrics-server: pods are chosen by the workload's name"));
    }
}

fn cron(draft: &mut Draft, trigger: &Value, name: &str) {
    let part = |field: &str| given(trigger, field).unwrap_or_default();
    let Ok(replicas) = part("desiredReplicas").trim().parse() else {
        draft.remark(format!("{name} is left out: its desiredReplicas is no number"));
        return;
    };
    let schedule = DraftSchedule {
        name: name.to_owned(),
        start: part("start").trim().to_owned(),
        end: part("end").trim().to_owned(),
        zone: part("timezone").trim().to_owned(),
        replicas,
    };
    draft.schedule(schedule);
}
