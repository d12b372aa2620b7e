//! What `kubectl get` shows: columns and cells, made by the server.

mod age;
mod autoscaling;
mod core;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::custom;
use super::jsonpath::JsonPath;
use super::kinds::Kind;
use super::object;
pub(crate) use age::age_since;

/// A cell's value, from the object and the time of day.
type Cell = fn(&Value, Timestamp) -> Value;

enum Source<'a> {
    Fixed(Cell),
    /// A column of a CRD: its type and path.
    Path(&'a str, &'a JsonPath),
}

/// One column of a kind's table.
pub(crate) struct Column<'a> {
    name: &'a str,
    kind: &'a str,
    format: &'a str,
    description: &'a str,
    priority: i64,
    source: Source<'a>,
}

impl Column<'_> {
    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": if self.kind == "date" { "string" } else { self.kind },
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }

    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.source {
            Source::Fixed(cell) => cell(object, now),
            Source::Path(kind, path) => path_cell(kind, &path.find(object), now),
        }
    }
}

/// What a column of a CRD shows of the values it found.
fn path_cell(kind: &str, found: &[&Value], now: Timestamp) -> Value {
    match (kind, found) {
        (_, []) => Value::Null,
        ("date", [first, ..]) => {
            json!(first.as_str().map_or_else(|| "<unknown>".to_owned(), |text| age_since(text, now)))
        }
        ("integer" | "number" | "boolean", [first, ..]) => (*first).clone(),
        (_, [Value::String(text)]) => json!(text),
        (_, found) => {
            let shown = |value: &&Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!(found.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
    }
}

/// The columns of `kind`.
pub(crate) fn columns(kind: &Kind) -> Vec<Column<'_>> {
    if let Some(custom) = &kind.custom {
        return custom_columns(&custom.columns);
    }
    let rows: &[Row] = match kind.storage.as_str() {
        "pods." => core::PODS,
        "events." => core::EVENTS,
        "namespaces." => core::NAMESPACES,
        "nodes." => core::NODES,
        "services." => core::SERVICES,
        "configmaps." => core::CONFIG_MAPS,
        "leases.coordination.k8s.io" => core::LEASES,
        "deployments.apps" => workloads::DEPLOYMENTS,
        "replicasets.apps" => workloads::REPLICA_SETS,
        "statefulsets.apps" => workloads::STATEFUL_SETS,
        "horizontalpodautoscalers.autoscaling" => autoscaling::AUTOSCALERS,
        "poddisruptionbudgets.policy" => autoscaling::DISRUPTION_BUDGETS,
        "customresourcedefinitions.apiextensions.k8s.io" => core::DEFINITIONS,
        _ => core::OTHERS,
    };
    rows.iter().map(Row::column).collect()
}

fn custom_columns(columns: &[custom::Column]) -> Vec<Column<'_>> {
    let name = Row("Name", "string", 0, name);
    let age = Row("Age", "date", 0, age);
    let mut all = vec![Column { format: "name", ..name.column() }];
    all.extend(columns.iter().map(|column| Column {
        name: &column.name,
        kind: &column.kind,
        format: &column.format,
        description: &column.description,
        priority: column.priority,
        source: Source::Path(&column.kind, &column.path),
    }));
    if columns.is_empty() {
        all.push(age.column());
    }
    all
}

/// A column of a built-in kind: name, type, priority (1: only in wide output), cell.
struct Row(&'static str, &'static str, i64, Cell);

impl Row {
    fn column(&self) -> Column<'static> {
        let Self(name, kind, priority, cell) = *self;
        let format = if name == "Name" { "name" } else { "" };
        Column { name, kind, format, description: "", priority, source: Source::Fixed(cell) }
    }
}

fn name(object: &Value, _: Timestamp) -> Value {
    json!(object::name(object))
}

fn age(object: &Value, now: Timestamp) -> Value {
    json!(age_since(object::text(object, &["metadata", "creationTimestamp"]), now))
}

/// The text at `path`, or a word for its absence.
fn text_or(object: &Value, path: &[&str], absent: &str) -> Value {
    match object::text(object, path) {
        "" => json!(absent),
        text => json!(text),
    }
}

/// The number at `path`; 0 if there is none.
fn number(object: &Value, path: &[&str]) -> Value {
    json!(object::integer(object, path).unwrap_or(0))
}
