//! Reading and writing fields of objects as JSON.

use serde_json::{Map, Value};

/// The value at `path`, if every step is there.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| value.get(step))
}

/// The string at `path`; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The integer at `path`.
pub(crate) fn integer(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// The count at `path`; 0 if there is none.
pub(crate) fn count(value: &Value, path: &[&str]) -> u32 {
    integer(value, path).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// The list at `path`; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Sets the value at `path`, making objects on the way; replaces what is no object.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let Some((first, rest)) = path.split_first() else {
        *value = new.into();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(fields) = value.as_object_mut() {
        set(fields.entry(*first).or_insert(Value::Null), rest, new);
    }
}

/// Sets the value at `path` unless something is there.
pub(crate) fn set_default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if at(value, path).is_none_or(Value::is_null) {
        set(value, path, new);
    }
}

/// Takes the value at `path` away.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    let parent = way.iter().try_fold(value, |value, step| value.get_mut(step))?;
    parent.as_object_mut()?.remove(*last)
}

/// Makes the value at `path` that of `source`, or absent if it is absent there.
pub(crate) fn copy(value: &mut Value, source: &Value, path: &[&str]) {
    match at(source, path) {
        Some(found) => set(value, path, found.clone()),
        None => {
            remove(value, path);
        }
    }
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

pub(crate) fn resource_version(object: &Value) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

pub(crate) fn is_terminating(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "labels", key]).and_then(Value::as_str)
}

pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "annotations", key]).and_then(Value::as_str)
}

/// The owner reference that is marked as controller.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    list(object, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))
}

/// The first entry of the list at `path` whose `key` is `value`.
pub(crate) fn entry<'a>(object: &'a Value, path: &[&str], key: &str, value: &str) -> Option<&'a Value> {
    list(object, path).iter().find(|entry| text(entry, &[key]) == value)
}

/// The type's name as validation messages say it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
