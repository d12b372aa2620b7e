//! Merging an applied configuration into an object, and removing fields from it, by schema.

use serde_json::Value;

use super::element;
use super::set::FieldSet;
use crate::apiserver::schema::{ListType, Schema};

/// `live` with everything that `config` sets.
pub(super) fn merge(live: &Value, config: &Value, schema: &Schema) -> Value {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !schema.atomic => {
            let mut merged = live.clone();
            for (name, value) in config {
                let below = schema.field_or_any(name);
                let value = merge(live.get(name).unwrap_or(&Value::Null), value, below);
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(config)) if schema.list != ListType::Atomic => {
            Value::Array(merge_entries(live, config, schema))
        }
        _ => config.clone(),
    }
}

/// Applied entries keep their order; entries of others follow those they followed before.
fn merge_entries(live: &[Value], config: &[Value], schema: &Schema) -> Vec<Value> {
    let items = schema.items_or_any();
    let name = |entry: &Value| element::of_entry(entry, schema);
    let position = |entry: &Value| config.iter().position(|other| name(other) == name(entry));
    let mut merged = Vec::new();
    let mut taken = 0;
    for entry in live {
        match position(entry) {
            None => merged.push(entry.clone()),
            Some(at) => {
                for applied in config.iter().take(at.saturating_add(1)).skip(taken) {
                    merged.push(applied_entry(live, applied, schema, items));
                }
                taken = taken.max(at.saturating_add(1));
            }
        }
    }
    merged.extend(config.iter().skip(taken).map(|applied| applied_entry(live, applied, schema, items)));
    merged
}

fn applied_entry(live: &[Value], applied: &Value, schema: &Schema, items: &Schema) -> Value {
    let name = element::of_entry(applied, schema);
    let known = live.iter().find(|entry| element::of_entry(entry, schema) == name);
    merge(known.unwrap_or(&Value::Null), applied, items)
}

/// Takes every member of `fields` out of `value`.
pub(super) fn remove(value: &mut Value, fields: &FieldSet, schema: &Schema) {
    match value {
        Value::Object(object) => {
            for (name, below) in fields.children() {
                let Some(name) = name.strip_prefix("f:") else { continue };
                if below.is_member() {
                    object.remove(name);
                } else if let Some(value) = object.get_mut(name) {
                    remove(value, below, schema.field_or_any(name));
                }
            }
        }
        Value::Array(entries) => {
            let items = schema.items_or_any();
            let below = |entry: &Value| fields.children().get(&element::of_entry(entry, schema)?);
            entries.retain(|entry| below(entry).is_none_or(|below| !below.is_member()));
            for entry in entries.iter_mut() {
                if let Some(name) = element::of_entry(entry, schema)
                    && let Some(below) = fields.children().get(&name)
                {
                    remove(entry, below, items);
                }
            }
        }
        _ => {}
    }
}
