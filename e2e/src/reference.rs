//! The field reference, from the custom resource definitions.

use std::fmt::Write as _;

use plimsoll::api::definitions;
use serde_json::{Map, Value};

const HEAD: &str = "# Fields

Written by `make reference` from the types that the operator reads; a test checks that it is current. `kubectl explain
scalingpolicy.spec --recursive` shows the same in a cluster. What a rule refuses is refused by the API server, with the
sentence that is given here.
";

/// The page, as Markdown.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for definition in definitions() {
        let definition = serde_json::to_value(definition).unwrap_or_default();
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let scope = if text("/spec/scope") == "Namespaced" { "namespaced" } else { "of the cluster" };
        let short = text("/spec/names/shortNames/0");
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {} (`{short}`, {scope})\n", text("/spec/names/kind"));
        for version in definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten() {
            let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
            let _ = write!(page, "\n`{}/{name}`\n", text("/spec/group"));
            for part in ["spec", "status"] {
                let pointer = format!("/schema/openAPIV3Schema/properties/{part}");
                if let Some(schema) = version.pointer(&pointer) {
                    let _ = write!(page, "\n### {part}\n\n| Field | Type | Meaning |\n|---|---|---|\n");
                    let mut rules = Vec::new();
                    fields(&mut page, &mut rules, "", schema);
                    rules.extend(refusals(part, schema));
                    if !rules.is_empty() {
                        page.push_str("\nRefused:\n\n");
                        page.push_str(&rules.concat());
                    }
                }
            }
        }
    }
    page
}

/// A row for each field below `schema`, and what rules refuse.
fn fields(page: &mut String, rules: &mut Vec<String>, above: &str, schema: &Value) {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in properties {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let must = if required.contains(&name.as_str()) { ", required" } else { "" };
        let _ = writeln!(page, "| `{path}` | {}{must} | {} |", kind(field), meaning(field));
        rules.extend(refusals(&path, field));
        let items = field.get("items");
        if let Some(items) = items {
            rules.extend(refusals(&format!("{path}[]"), items));
        }
        let (below, inner) =
            items.map_or_else(|| (path.clone(), field), |items| (format!("{path}[]"), items));
        fields(page, rules, &below, inner);
    }
}

fn kind(field: &Value) -> String {
    let named = |field: &Value| {
        if field.get("x-kubernetes-int-or-string").is_some() {
            return "number or string".to_owned();
        }
        let kind = field.get("type").and_then(Value::as_str).unwrap_or("any");
        let format = field.get("format").and_then(Value::as_str);
        if format == Some("date-time") { "time".to_owned() } else { kind.to_owned() }
    };
    let base = match field.get("items") {
        Some(items) => format!("list of {}", named(items)),
        None => named(field),
    };
    let values = field.get("enum").or_else(|| field.pointer("/items/enum")).and_then(Value::as_array);
    let words = values.into_iter().flatten().filter_map(Value::as_str).map(|word| format!("`{word}`"));
    let words: Vec<_> = words.collect();
    let number = |name: &str| {
        let value = field.get(name).filter(|value| !value.is_null())?.to_string();
        Some(value.strip_suffix(".0").map_or_else(|| value.clone(), str::to_owned))
    };
    let range = match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    };
    if words.is_empty() { base + &range } else { words.join(", ") }
}

fn meaning(field: &Value) -> String {
    let words = field.get("description").and_then(Value::as_str).unwrap_or_default();
    let words =
        words.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "\\<");
    match field.get("default") {
        Some(default) if !words.contains("Default") && !default.is_null() && !default.is_object() => {
            format!("{words} Default: `{}`.", default.to_string().trim_matches('"'))
        }
        _ => words,
    }
}

fn refusals(path: &str, schema: &Value) -> Vec<String> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let messages = rules.into_iter().flatten().filter_map(|rule| rule.get("message")?.as_str());
    messages.map(|message| format!("- `{path}`: {message}\n")).collect()
}
