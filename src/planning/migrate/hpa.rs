//! From a HorizontalPodAutoscaler.

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, MetricIdentifier, MetricSpec, MetricTarget,
};

use super::{Draft, DraftTarget, pods_of, resource_query};

pub(super) fn draft(text: &str) -> Result<Draft, String> {
    let object: HorizontalPodAutoscaler = serde_saphyr::from_str(text)
        .map_err(|error| format!("the HorizontalPodAutoscaler cannot be read as autoscaling/v2: {error}"))?;
    let name = object.metadata.name.unwrap_or_else(|| "policy".to_owned());
    let from = format!("HorizontalPodAutoscaler {name}");
    let spec = object.spec;
    let target = spec.scale_target_ref;
    let mut draft = Draft {
        from,
        name,
        namespace: object.metadata.namespace,
        target: (target.api_version, Some(target.kind), target.name),
        min: spec.min_replicas.map(i64::from),
        max: spec.max_replicas.into(),
        behavior: spec.behavior,
        ..Draft::default()
    };
    let metrics = spec.metrics.unwrap_or_default();
    if metrics.is_empty() {
        resource(&mut draft, "cpu", None, Some(80), None);
        draft.remark("the HPA names no metric: its default is CPU at 80 % of the request");
    }
    for metric in &metrics {
        take(&mut draft, metric);
    }
    Ok(draft)
}

fn take(draft: &mut Draft, metric: &MetricSpec) {
    if let Some(source) = &metric.resource {
        let target = &source.target;
        resource(
            draft,
            &source.name,
            None,
            target.average_utilization,
            target.average_value.as_ref().map(|value| &value.0),
        );
    } else if let Some(source) = &metric.container_resource {
        let target = &source.target;
        let container = Some(source.container.as_str());
        resource(
            draft,
            &source.name,
            container,
            target.average_utilization,
            target.average_value.as_ref().map(|value| &value.0),
        );
    } else if let Some(source) = &metric.pods {
        let pods = pods_of(draft.namespace.as_deref(), &draft.target.2);
        let query = format!("sum({}{{{pods}{}}})", source.metric.name, labels(&source.metric, true));
        guessed(draft, &source.metric, query, &source.target);
    } else if let Some(source) = &metric.object {
        let query = format!("sum({}{{{}}})", source.metric.name, labels(&source.metric, false));
        draft.remark(format!(
            "{} is about {} {}: say so in the query",
            source.metric.name, source.described_object.kind, source.described_object.name
        ));
        guessed(draft, &source.metric, query, &source.target);
    } else if let Some(source) = &metric.external {
        let query = format!("sum({}{{{}}})", source.metric.name, labels(&source.metric, false));
        guessed(draft, &source.metric, query, &source.target);
    } else {
        draft.remark(format!("a metric of type {} has no equal and is left out", metric.type_));
    }
}

fn resource(
    draft: &mut Draft,
    name: &str,
    container: Option<&str>,
    percent: Option<i32>,
    total: Option<&String>,
) {
    let pods = pods_of(draft.namespace.as_deref(), &draft.target.2);
    let query = resource_query(name, &pods, container, percent.is_some());
    let target = match (percent, total) {
        (Some(percent), _) => Some(DraftTarget::Utilization(percent.into())),
        (None, Some(value)) => Some(DraftTarget::AverageValue(value.clone())),
        (None, None) => None,
    };
    let (Some(query), Some(target)) = (query, target) else {
        draft.remark(format!(
            "the resource {name} has no equal and is left out: only cpu and memory are known to cAdvisor"
        ));
        return;
    };
    draft.metric(name, query, target, false);
    draft.remark(format!(
        "{name} is read from Prometheus (cAdvisor{}), not from metrics-server: pods are chosen by the workload's name",
        if percent.is_some() { " and kube-state-metrics" } else { "" }
    ));
}

fn guessed(draft: &mut Draft, metric: &MetricIdentifier, query: String, target: &MetricTarget) {
    let target = match (&target.average_value, &target.value) {
        (Some(value), _) => DraftTarget::AverageValue(value.0.clone()),
        (None, Some(value)) => DraftTarget::Value(value.0.clone()),
        (None, None) => {
            draft.remark(format!("{} has a target that has no equal, and is left out", metric.name));
            return;
        }
    };
    draft.metric(&metric.name, query, target, true);
    draft.remark(format!("the query of {} is a guess: an HPA names a metric of an adapter, whose own configuration has the query", metric.name));
}

fn labels(metric: &MetricIdentifier, after_others: bool) -> String {
    let selected = metric.selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
    let pairs: Vec<_> =
        selected.into_iter().flatten().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if pairs.is_empty() || !after_others { pairs.join(",") } else { format!(",{}", pairs.join(",")) }
}
