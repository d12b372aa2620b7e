//! Checks an object against its schema, in the words of a real server.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{ListType, Schema, Type};
use crate::apiserver::object::type_name;
use crate::apiserver::status::Cause;

/// Everything in `value` that `schema` refuses. `path` is the value's own.
pub(crate) fn validate(value: &Value, schema: &Schema, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(value, schema, path, &mut causes);
    causes
}

fn check(value: &Value, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.nullable {
        return;
    }
    if !schema.kind.holds(value) {
        causes.push(Cause::wrong_type(path, schema.kind.name(), type_name(value)));
        return;
    }
    check_values(value, schema, path, causes);
    match value {
        Value::Object(fields) => check_fields(fields, schema, path, causes),
        Value::Array(entries) => check_entries(entries, schema, path, causes),
        Value::String(text) => check_text(text, schema, path, causes),
        Value::Number(number) => {
            check_number(value, number.as_f64().unwrap_or_default(), schema, path, causes);
        }
        _ => {}
    }
    check_alternatives(value, schema, path, causes);
}

fn check_values(value: &Value, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let allowed = &schema.limits.values;
    if !allowed.is_empty() && !allowed.contains(value) {
        causes.push(Cause::not_supported(path, value, allowed));
    }
}

fn check_fields(fields: &Map<String, Value>, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    for name in &schema.required {
        if !fields.contains_key(name) {
            causes.push(Cause::required(join(path, name), ""));
        }
    }
    let count = fields.len();
    if let Some(limit) = schema.limits.min_properties.filter(|limit| below(count, *limit)) {
        let why = format!("{path} in body should have at least {limit} properties");
        causes.push(Cause::invalid(path, &json!(count), why));
    }
    if let Some(limit) = schema.limits.max_properties.filter(|limit| above(count, *limit)) {
        causes.push(Cause::too_many(path, count, limit));
    }
    for (name, value) in fields {
        if let Some(field) = schema.field(name) {
            check(value, field, &join(path, name), causes);
        }
    }
}

fn check_entries(entries: &[Value], schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    if let Some(items) = &schema.items {
        for (index, entry) in entries.iter().enumerate() {
            check(entry, items, &format!("{path}[{index}]"), causes);
        }
    }
    let count = entries.len();
    if let Some(limit) = schema.limits.min_items.filter(|limit| below(count, *limit)) {
        let why = format!("{path} in body should have at least {limit} items");
        causes.push(Cause::invalid(path, &json!(count), why));
    }
    if let Some(limit) = schema.limits.max_items.filter(|limit| above(count, *limit)) {
        causes.push(Cause::too_many(path, count, limit));
    }
    check_duplicates(entries, schema, path, causes);
}

fn check_duplicates(entries: &[Value], schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let identity = |entry: &Value| match &schema.list {
        ListType::Atomic => None,
        ListType::Set => Some(entry.clone()),
        ListType::Map(keys) => {
            let present = keys.iter().filter_map(|key| Some((key.clone(), entry.get(key)?.clone())));
            Some(Value::Object(present.collect()))
        }
    };
    let mut seen = BTreeSet::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(identity) = identity(entry)
            && !seen.insert(identity.to_string())
        {
            causes.push(Cause::duplicate(format!("{path}[{index}]"), &identity));
        }
    }
}

/// The first thing that is wrong with a string.
fn check_text(text: &str, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let limits = &schema.limits;
    let length = text.chars().count();
    let refused = |why: String| Some(Cause::invalid(path, &json!(text), format!("{path} in body {why}")));
    let too_long =
        limits.max_length.filter(|limit| above(length, *limit)).map(|limit| Cause::too_long(path, limit));
    let too_short = limits.min_length.filter(|limit| below(length, *limit));
    let mismatch = limits.pattern.as_ref().filter(|pattern| !pattern.is_match(text));
    let format = limits.format.as_deref().filter(|format| schema.kind == Type::String && !fits(format, text));
    causes.extend(
        too_long
            .or_else(|| too_short.and_then(|limit| refused(format!("should be at least {limit} chars long"))))
            .or_else(|| mismatch.and_then(|pattern| refused(format!("should match '{pattern}'"))))
            .or_else(|| format.and_then(|format| refused(format!("must be of type {format}: {text:?}")))),
    );
}

fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        _ => true,
    }
}

fn check_number(value: &Value, number: f64, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let limits = &schema.limits;
    let mut refuse =
        |why: String| causes.push(Cause::invalid(path, value, format!("{path} in body should be {why}")));
    if let Some(limit) = limits.minimum {
        if limits.exclusive_minimum && number <= limit {
            refuse(format!("greater than {limit}"));
        } else if number < limit {
            refuse(format!("greater than or equal to {limit}"));
        }
    }
    if let Some(limit) = limits.maximum {
        if limits.exclusive_maximum && number >= limit {
            refuse(format!("less than {limit}"));
        } else if number > limit {
            refuse(format!("less than or equal to {limit}"));
        }
    }
    if let Some(step) = limits.multiple_of.filter(|step| (number / step).fract() != 0.0) {
        refuse(format!("a multiple of {step}"));
    }
    match limits.format.as_deref() {
        Some("int32") if number.abs() > 2_147_483_648.0 => {
            refuse(format!("of type int32: {:?}", type_name(value)));
        }
        _ => {}
    }
}

fn check_alternatives(value: &Value, schema: &Schema, path: &str, causes: &mut Vec<Cause>) {
    let accepts = |option: &Schema| validate(value, option, path).is_empty();
    for option in &schema.all_of {
        check(value, option, path, causes);
    }
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(|option| accepts(option)) {
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body must validate at least one schema (anyOf)"),
        ));
    }
    if !schema.one_of.is_empty() && schema.one_of.iter().filter(|option| accepts(option)).count() != 1 {
        let why = format!("{path} in body must validate one and only one schema (oneOf)");
        causes.push(Cause::invalid(path, value, why));
    }
    if schema.not.as_ref().is_some_and(|option| accepts(option)) {
        causes.push(Cause::invalid(
            path,
            value,
            format!("{path} in body must not validate the schema (not)"),
        ));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn below(count: usize, limit: u64) -> bool {
    u64::try_from(count).is_ok_and(|count| count < limit)
}

fn above(count: usize, limit: u64) -> bool {
    u64::try_from(count).is_ok_and(|count| count > limit)
}
