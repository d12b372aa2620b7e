//! Policies from the objects of other autoscalers: HPA v2 and KEDA's ScaledObject. What has no equal is listed.

mod hpa;
mod keda;
mod schedule;

use std::fmt::Write as _;

use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior};
use serde_json::Value;

use crate::api::ScalingPolicy;
use crate::control::Policy;

/// A policy from another autoscaler's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Kind and name of the object.
    pub from: String,
    /// The policy, as YAML.
    pub policy: String,
    /// The same with the behavior that the object has where it says nothing, which is HPA's own: what a replay of the
    /// object goes by.
    pub as_it_was: String,
    /// What must be looked at: what has no equal here, and what was guessed.
    pub remarks: Vec<String>,
}

/// Makes a policy of each HorizontalPodAutoscaler and ScaledObject among the documents.
pub fn migrate(documents: &[String]) -> Result<Vec<Migrated>, String> {
    let mut migrated = Vec::new();
    let mut kinds = Vec::new();
    for text in documents {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| format!("a document cannot be read: {error}"))?;
        if let Some(items) = value.get("items").and_then(Value::as_array) {
            // What kubectl prints of several objects. JSON is YAML.
            let items: Vec<_> = items.iter().map(Value::to_string).collect();
            migrated.extend(migrate(&items)?);
            continue;
        }
        let draft = match value.get("kind").and_then(Value::as_str) {
            Some("HorizontalPodAutoscaler") => hpa::draft(text)?,
            Some("ScaledObject") => keda::draft(&value)?,
            other => {
                kinds.push(other.unwrap_or("a document without kind").to_owned());
                continue;
            }
        };
        migrated.push(draft.finish()?);
    }
    if migrated.is_empty() {
        if kinds.is_empty() {
            return Err("the file is empty: write a HorizontalPodAutoscaler or a ScaledObject".to_owned());
        }
        return Err(format!(
            "there is neither a HorizontalPodAutoscaler nor a ScaledObject, only {}",
            kinds.join(", ")
        ));
    }
    Ok(migrated)
}

/// A policy in the making.
#[derive(Clone, Debug, Default)]
struct Draft {
    from: String,
    name: String,
    namespace: Option<String>,
    target: (Option<String>, Option<String>, String),
    min: Option<i64>,
    max: i64,
    polling_interval: Option<i64>,
    metrics: Vec<DraftMetric>,
    behavior: Option<HorizontalPodAutoscalerBehavior>,
    fallback: Option<(i64, i64)>,
    schedules: Vec<schedule::DraftSchedule>,
    remarks: Vec<String>,
}

#[derive(Clone, Debug)]
struct DraftMetric {
    name: String,
    query: String,
    target: DraftTarget,
    /// A query that somebody must complete.
    check: bool,
}

#[derive(Clone, Debug)]
enum DraftTarget {
    AverageValue(String),
    Value(String),
    Utilization(i64),
}

impl Draft {
    fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// Adds a metric; names are made unique.
    fn metric(&mut self, name: &str, query: String, target: DraftTarget, check: bool) {
        let name = plain_name(name);
        let taken = |name: &str| self.metrics.iter().any(|metric| metric.name == name);
        let unique = std::iter::once(name.clone())
            .chain((2..1000).map(|number| format!("{name}-{number}")))
            .find(|name| !taken(name));
        self.metrics.push(DraftMetric { name: unique.unwrap_or(name), query, target, check });
    }

    fn finish(mut self) -> Result<Migrated, String> {
        if self.metrics.is_empty() {
            return Err(format!(
                "{}: none of its metrics has an equal here, so no policy can be written: {}",
                self.from,
                self.remarks.join("; ")
            ));
        }
        if self.min == Some(0) {
            self.remark("scale to zero does not exist here: minReplicas is 1");
        }
        let default_removal = self
            .behavior
            .as_ref()
            .and_then(|behavior| behavior.scale_down.as_ref())
            .is_none_or(|down| down.policies.is_none());
        if default_removal {
            self.remark("scale-down is gradual by default (25 % or 10 pods a minute); HPA's 100 % in 15 s stands in no policy here");
        }
        self.remark("add ceilings.connections: the other autoscaler had none, and the database has one");
        let policy = self.yaml(self.behavior.as_ref());
        let as_it_was = self.yaml(Some(&with_defaults(self.behavior.clone())));
        let object: ScalingPolicy = serde_saphyr::from_str(&policy)
            .map_err(|error| format!("{}: its policy is not valid: {error}", self.from))?;
        Policy::compile(&object.spec)
            .map_err(|error| format!("{}: its policy is not valid: {error}", self.from))?;
        Ok(Migrated { from: self.from, policy, as_it_was, remarks: self.remarks })
    }

    fn yaml(&self, behavior: Option<&HorizontalPodAutoscalerBehavior>) -> String {
        let mut yaml = format!("# From {}.\n", one_line(&self.from));
        // Writing to a String cannot fail.
        for remark in &self.remarks {
            let _ = writeln!(yaml, "# - {}", one_line(remark));
        }
        let _ = write!(
            yaml,
            "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata:\n  name: {}\n",
            quoted(&self.name)
        );
        if let Some(namespace) = &self.namespace {
            let _ = writeln!(yaml, "  namespace: {}", quoted(namespace));
        }
        yaml.push_str("spec:\n  mode: DryRun                          # looks and recommends; Active once it is right\n  scaleTargetRef:\n");
        let (api_version, kind, name) = &self.target;
        for (field, value) in
            [("apiVersion", api_version.as_ref()), ("kind", kind.as_ref()), ("name", Some(name))]
        {
            if let Some(value) = value {
                let _ = writeln!(yaml, "    {field}: {}", quoted(value));
            }
        }
        let min = self.min.unwrap_or(1).max(1);
        let _ = write!(yaml, "  minReplicas: {min}\n  maxReplicas: {}\n", self.max);
        if let Some(seconds) = self.polling_interval {
            let _ = writeln!(yaml, "  pollingInterval: {seconds}");
        }
        yaml.push_str("  metrics:\n");
        for metric in &self.metrics {
            let note = if metric.check { "   # check this query" } else { "" };
            let (kind, field, value) = match &metric.target {
                DraftTarget::AverageValue(value) => ("AverageValue", "averageValue", quoted(value)),
                DraftTarget::Value(value) => ("Value", "value", quoted(value)),
                DraftTarget::Utilization(percent) => {
                    ("Utilization", "averageUtilization", percent.to_string())
                }
            };
            let _ = write!(
                yaml,
                "  - name: {}\n    prometheus:{note}\n      query: {}\n    target: {{type: {kind}, {field}: {value}}}\n",
                quoted(&metric.name),
                quoted(&metric.query)
            );
        }
        if let Some(behavior) = behavior {
            let sides = [("scaleUp", &behavior.scale_up), ("scaleDown", &behavior.scale_down)];
            let written: Vec<_> = sides
                .into_iter()
                .filter_map(|(side, rules)| Some(rules_yaml(side, rules.as_ref()?)))
                .collect();
            if !written.is_empty() {
                yaml.push_str("  behavior:\n");
                yaml.push_str(&written.concat());
            }
        }
        yaml.push_str(&schedule::yaml(&self.schedules));
        if let Some((after, replicas)) = self.fallback {
            let _ = writeln!(
                yaml,
                "  fallback: {{afterSeconds: {after}, replicas: {}}}",
                replicas.clamp(min, self.max.max(min))
            );
        }
        yaml
    }
}

/// What HPA v2 does where its behavior says nothing.
fn with_defaults(behavior: Option<HorizontalPodAutoscalerBehavior>) -> HorizontalPodAutoscalerBehavior {
    let policy = |kind: &str, value| HPAScalingPolicy { type_: kind.to_owned(), value, period_seconds: 15 };
    let filled = |rules: Option<HPAScalingRules>, seconds, policies: Vec<HPAScalingPolicy>| {
        let rules = rules.unwrap_or_default();
        Some(HPAScalingRules {
            stabilization_window_seconds: rules.stabilization_window_seconds.or(Some(seconds)),
            policies: rules.policies.or(Some(policies)),
            ..rules
        })
    };
    let behavior = behavior.unwrap_or_default();
    HorizontalPodAutoscalerBehavior {
        scale_up: filled(behavior.scale_up, 0, vec![policy("Percent", 100), policy("Pods", 4)]),
        scale_down: filled(behavior.scale_down, 300, vec![policy("Percent", 100)]),
    }
}

fn rules_yaml(side: &str, rules: &HPAScalingRules) -> String {
    let mut yaml = format!("    {side}:\n");
    if let Some(seconds) = rules.stabilization_window_seconds {
        let _ = writeln!(yaml, "      stabilizationWindowSeconds: {seconds}");
    }
    if let Some(select) = &rules.select_policy {
        let _ = writeln!(yaml, "      selectPolicy: {}", quoted(select));
    }
    if let Some(tolerance) = &rules.tolerance {
        let _ = writeln!(yaml, "      tolerance: {}", quoted(&tolerance.0));
    }
    if let Some(policies) = &rules.policies {
        yaml.push_str("      policies:\n");
        for policy in policies {
            let _ = writeln!(
                yaml,
                "      - {{type: {}, value: {}, periodSeconds: {}}}",
                quoted(&policy.type_),
                policy.value,
                policy.period_seconds
            );
        }
    }
    if yaml.lines().count() == 1 { format!("    {side}: {{}}\n") } else { yaml }
}

/// A string that YAML takes for nothing else.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-./".contains(letter);
    let word = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(plain)
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if word {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        // JSON's escapes are YAML's.
        return Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name as metrics here may have it.
fn plain_name(text: &str) -> String {
    let name: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .take(50)
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "metric".to_owned() } else { name.to_owned() }
}

/// The selector of a workload's pods in a query.
fn pods_of(namespace: Option<&str>, workload: &str) -> String {
    let namespace = namespace.map_or_else(String::new, |namespace| format!("namespace=\"{namespace}\","));
    format!("{namespace}pod=~\"{workload}-.*\"")
}

/// CPU or memory of a workload's pods, as a percentage of what they request, or the total.
fn resource_query(resource: &str, pods: &str, container: Option<&str>, of_requests: bool) -> Option<String> {
    let container =
        container.map_or_else(|| "container!=\"\"".to_owned(), |name| format!("container=\"{name}\""));
    let used = match resource {
        "cpu" => format!("sum(rate(container_cpu_usage_seconds_total{{{pods},{container}}}[1m]))"),
        "memory" => format!("sum(container_memory_working_set_bytes{{{pods},{container}}})"),
        _ => return None,
    };
    let requested =
        format!("sum(kube_pod_container_resource_requests{{{pods},{container},resource=\"{resource}\"}})");
    Some(if of_requests { format!("100 * {used} / {requested}") } else { used })
}

#[cfg(test)]
mod tests;
