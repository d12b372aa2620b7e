//! Tables of autoscalers and disruption budgets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Row, age, name, number};
use crate::apiserver::object::{self, text};

pub(super) const AUTOSCALERS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Reference", "string", 0, reference),
    Row("Targets", "string", 0, targets),
    Row("MinPods", "string", 0, |hpa, _| json!(number(hpa, &["spec", "minReplicas"]).to_string())),
    Row("MaxPods", "integer", 0, |hpa, _| number(hpa, &["spec", "maxReplicas"])),
    Row("Replicas", "integer", 0, |hpa, _| number(hpa, &["status", "currentReplicas"])),
    Row("Age", "string", 0, age),
];

pub(super) const DISRUPTION_BUDGETS: &[Row] = &[
    Row("Name", "string", 0, name),
    Row("Min Available", "string", 0, |budget, _| limit(budget, "minAvailable")),
    Row("Max Unavailable", "string", 0, |budget, _| limit(budget, "maxUnavailable")),
    Row("Allowed Disruptions", "integer", 0, |budget, _| number(budget, &["status", "disruptionsAllowed"])),
    Row("Age", "string", 0, age),
];

fn reference(hpa: &Value, _: Timestamp) -> Value {
    let target = object::at(hpa, &["spec", "scaleTargetRef"]).unwrap_or(&Value::Null);
    json!(format!("{}/{}", text(target, &["kind"]), text(target, &["name"])))
}

fn targets(hpa: &Value, _: Timestamp) -> Value {
    let metrics = object::list(hpa, &["spec", "metrics"]);
    if metrics.is_empty() {
        return json!("<none>");
    }
    let current = object::list(hpa, &["status", "currentMetrics"]);
    let shown = metrics.iter().enumerate().map(|(index, metric)| {
        let kind = text(metric, &["type"]).to_lowercase();
        let target = quantity(metric, &kind, "target");
        let now =
            current.get(index).map_or_else(|| "<unknown>".to_owned(), |now| quantity(now, &kind, "current"));
        let name = text(metric, &[kind.as_str(), "name"]);
        if name.is_empty() { format!("{now}/{target}") } else { format!("{name}: {now}/{target}") }
    });
    json!(shown.collect::<Vec<_>>().join(", "))
}

/// The figure of a metric's target or current value.
fn quantity(metric: &Value, kind: &str, side: &str) -> String {
    let field = |name: &str| object::at(metric, &[kind, side, name]);
    if let Some(percent) = field("averageUtilization").and_then(Value::as_i64) {
        return format!("{percent}%");
    }
    let average = field("averageValue").and_then(Value::as_str).map(|value| format!("{value} (avg)"));
    average.or_else(|| field("value").and_then(Value::as_str).map(str::to_owned)).unwrap_or_default()
}

fn limit(budget: &Value, field: &str) -> Value {
    match object::at(budget, &["spec", field]) {
        Some(Value::String(text)) => json!(text),
        Some(number) => json!(number.to_string()),
        None => json!("N/A"),
    }
}
