//! Steps of a field path, in the notation of FieldsV1: `f:name`, `k:{…}` for entries of list maps, `v:…` of sets.

use serde_json::{Map, Value};

use crate::apiserver::schema::{ListType, Schema};

pub(super) fn field(name: &str) -> String {
    format!("f:{name}")
}

/// The element that stands for `entry` in a list of this type; none in an atomic list.
pub(super) fn of_entry(entry: &Value, schema: &Schema) -> Option<String> {
    match &schema.list {
        ListType::Atomic => None,
        ListType::Set => Some(format!("v:{entry}")),
        ListType::Map(keys) => {
            let default = |key: &String| schema.items.as_ref()?.properties.get(key)?.default.clone();
            let identity: Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some((key.clone(), entry.get(key).cloned().or_else(|| default(key))?)))
                .collect();
            Some(format!("k:{}", Value::Object(identity)))
        }
    }
}

/// The element as messages show it, e.g. `.spec`, `[type="Ready"]`, `[=80]`.
pub(super) fn shown(element: &str) -> String {
    match element.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("k:", identity)) => {
            let identity: Map<String, Value> = serde_json::from_str(identity).unwrap_or_default();
            let pairs: Vec<String> = identity.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v:", value)) => format!("[={value}]"),
        _ => element.to_owned(),
    }
}

/// The schema below `element`.
pub(super) fn descend<'a>(schema: &'a Schema, element: &str) -> &'a Schema {
    match element.split_at_checked(2) {
        Some(("f:", name)) => schema.field_or_any(name),
        _ => schema.items_or_any(),
    }
}
