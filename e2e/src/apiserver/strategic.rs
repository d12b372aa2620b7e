//! Strategic merge patches: lists of built-in kinds are joined by key, with `$patch`, `$deleteFromPrimitiveList/…`,
//! `$retainKeys` and `$setElementOrder/…`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::object;
use super::schema::Schema;

/// Merges `patch` into `object`.
pub(crate) fn merge(object: &mut Value, patch: &Value, schema: Option<&Schema>) {
    let (Value::Object(fields), true) = (patch, object.is_object()) else {
        *object = without_directives(patch);
        return;
    };
    match object::text(patch, &["$patch"]) {
        "replace" => {
            *object = without_directives(patch);
            return;
        }
        "delete" => {
            *object = Value::Object(Map::new());
            return;
        }
        _ => {}
    }
    if let Some(target) = object.as_object_mut() {
        merge_fields(target, fields, schema);
    }
}

fn merge_fields(target: &mut Map<String, Value>, patch: &Map<String, Value>, schema: Option<&Schema>) {
    if let Some(Value::Array(retained)) = patch.get("$retainKeys") {
        target.retain(|name, _| retained.iter().any(|kept| kept == name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(Value::Array(entries)) = target.get_mut(list) {
                entries.retain(|entry| !gone.contains(entry));
            }
        }
        if name.starts_with('$') {
            continue;
        }
        let field = schema.and_then(|schema| schema.field(name)).map(Arc::as_ref);
        match (target.get_mut(name), value) {
            (_, Value::Null) => {
                target.remove(name);
            }
            (Some(Value::Array(entries)), Value::Array(patches))
                if field.is_some_and(|field| field.merge_list) =>
            {
                merge_list(entries, patches, field);
            }
            (Some(known), value) if known.is_object() && value.is_object() => merge(known, value, field),
            (_, value) => {
                target.insert(name.clone(), without_directives(value));
            }
        }
    }
    for (name, order) in patch {
        if let Some(list) = name.strip_prefix("$setElementOrder/") {
            let key = schema.and_then(|schema| schema.field(list)).and_then(|field| field.merge_key.clone());
            if let (Some(Value::Array(entries)), Value::Array(order)) = (target.get_mut(list), order) {
                sort_as(entries, order, key.as_deref());
            }
        }
    }
}

fn merge_list(entries: &mut Vec<Value>, patches: &[Value], field: Option<&Schema>) {
    let Some(key) = field.and_then(|field| field.merge_key.as_deref()) else {
        let new: Vec<Value> = patches.iter().filter(|patch| !entries.contains(patch)).cloned().collect();
        entries.extend(new);
        return;
    };
    if patches.iter().any(|patch| object::text(patch, &["$patch"]) == "replace" && patch.get(key).is_none()) {
        *entries = patches.iter().filter(|patch| patch.get(key).is_some()).map(without_directives).collect();
        return;
    }
    let items = field.and_then(|field| field.items.as_deref());
    for patch in patches {
        let is_same = |entry: &Value| entry.get(key).is_some() && entry.get(key) == patch.get(key);
        if object::text(patch, &["$patch"]) == "delete" {
            entries.retain(|entry| !is_same(entry));
        } else if let Some(entry) = entries.iter_mut().find(|entry| is_same(entry)) {
            merge(entry, patch, items);
        } else {
            entries.push(without_directives(patch));
        }
    }
}

/// Brings entries into the order asked for; those it does not name keep their places at the end.
fn sort_as(entries: &mut [Value], order: &[Value], key: Option<&str>) {
    let position = |entry: &Value| {
        let is_this = |wanted: &Value| match key {
            Some(key) => wanted.get(key) == entry.get(key),
            None => wanted == entry,
        };
        order.iter().position(is_this).unwrap_or(order.len())
    };
    entries.sort_by_key(position);
}

/// What a patch says of something that is not there yet.
fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, value)| !name.starts_with('$') && !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_directives(value))).collect())
        }
        Value::Array(entries) => {
            let kept = entries.iter().filter(|entry| object::text(entry, &["$patch"]).is_empty());
            Value::Array(kept.map(without_directives).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::schema::builtin;

    #[test]
    fn lists_are_joined_by_key_and_directives_are_obeyed() {
        let schema = builtin::schema("io.k8s.api.core.v1.Pod");
        let pod = json!({
            "metadata": {"finalizers": ["a", "b"]},
            "spec": {"containers": [
                {"name": "app", "image": "v1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "side", "image": "s1"},
            ]},
        });
        for (patch, path, expected) in [
            (
                json!({"spec": {"containers": [{"name": "app", "image": "v2"}]}}),
                "/spec/containers/0/image",
                json!("v2"),
            ),
            (
                json!({"spec": {"containers": [{"name": "app", "env": [{"name": "A", "$patch": "delete"}]}]}}),
                "/spec/containers/0/env",
                json!([{"name": "B", "value": "2"}]),
            ),
            (
                json!({"spec": {
                    "$setElementOrder/containers": [{"name": "new"}, {"name": "side"}, {"name": "app"}],
                    "containers": [{"name": "new", "image": "n1"}],
                }}),
                "/spec/containers/0",
                json!({"name": "new", "image": "n1"}),
            ),
            (
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
                "/metadata/finalizers",
                json!(["b", "c"]),
            ),
            (
                json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "only", "image": "o"}]}}),
                "/spec/containers",
                json!([{"name": "only", "image": "o"}]),
            ),
            (json!({"metadata": {"finalizers": null}}), "/metadata", json!({})),
        ] {
            let mut patched = pod.clone();
            merge(&mut patched, &patch, Some(&schema));
            assert_eq!(patched.pointer(path), Some(&expected), "{patch}");
        }
    }
}
