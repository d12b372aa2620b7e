//! From OpenAPI v3 JSON to [`Schema`].

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use super::{Limits, ListType, Schema, Type};

/// Compiles `json`, whose `$ref`s name entries of `definitions`. A reference into itself ends in [`Schema::any`].
pub(crate) fn compile(json: &Value, definitions: &Map<String, Value>) -> Result<Schema, String> {
    Compiler { definitions, known: BTreeMap::new(), open: Vec::new() }.schema(json, "")
}

struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
    known: BTreeMap<String, Arc<Schema>>,
    open: Vec<String>,
}

impl Compiler<'_> {
    fn shared(&mut self, json: &Value, path: &str) -> Result<Arc<Schema>, String> {
        match reference(json) {
            Some(name) if bears_nothing_beside_reference(json) => self.definition(name, path),
            _ => self.schema(json, path).map(Arc::new),
        }
    }

    fn definition(&mut self, name: &str, path: &str) -> Result<Arc<Schema>, String> {
        if let Some(known) = self.known.get(name) {
            return Ok(Arc::clone(known));
        }
        let Some(json) = self.definitions.get(name) else {
            return Err(format!("{path}: no definition {name:?}"));
        };
        if self.open.iter().any(|open| open == name) {
            return Ok(Arc::new(Schema::any()));
        }
        self.open.push(name.to_owned());
        let schema = self.schema(json, path).map(Arc::new)?;
        self.open.pop();
        self.known.insert(name.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }

    fn schema(&mut self, json: &Value, path: &str) -> Result<Schema, String> {
        let json = &self.dereferenced(json, path)?;
        let flag = |name: &str| json.get(name).and_then(Value::as_bool) == Some(true);
        let word = |name: &str| json.get(name).and_then(Value::as_str);
        let int_or_string = flag("x-kubernetes-int-or-string");
        let kind = if int_or_string { Type::IntOrString } else { type_of(word("type"), path)? };
        let keep_unknown = flag("x-kubernetes-preserve-unknown-fields")
            || (kind == Type::Any && json.get("properties").is_none() && json.get("items").is_none());
        let merges = word("x-kubernetes-patch-strategy").is_some_and(|s| s.split(',').any(|s| s == "merge"));
        Ok(Schema {
            kind,
            nullable: flag("nullable"),
            properties: self.properties(json, path)?,
            additional: self.additional(json, path)?,
            items: self.optional(json, "items", path)?,
            required: strings(json.get("required")),
            default: json.get("default").cloned(),
            keep_unknown,
            embedded: flag("x-kubernetes-embedded-resource"),
            limits: limits(json, path)?,
            all_of: self.alternatives(json, "allOf", path, int_or_string)?,
            any_of: self.alternatives(json, "anyOf", path, int_or_string)?,
            one_of: self.alternatives(json, "oneOf", path, false)?,
            not: self.optional(json, "not", path)?,
            list: list_type(json),
            atomic: word("x-kubernetes-map-type") == Some("atomic"),
            merge_key: word("x-kubernetes-patch-merge-key").map(str::to_owned),
            merge_list: merges,
        })
    }

    /// A schema with its reference written out, what stands beside the reference winning.
    fn dereferenced(&self, json: &Value, path: &str) -> Result<Value, String> {
        let Some(name) = reference(json) else { return Ok(json.clone()) };
        if self.open.iter().any(|open| open == name) {
            return Ok(Value::Object(Map::new()));
        }
        let Some(definition) = self.definitions.get(name) else {
            return Err(format!("{path}: no definition {name:?}"));
        };
        let mut merged = definition.as_object().cloned().unwrap_or_default();
        merged
            .extend(json.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        merged.remove("$ref");
        if bears_nothing_beside_reference(json) || json.get("allOf").is_some_and(is_lone_reference) {
            merged.remove("allOf");
        }
        Ok(Value::Object(merged))
    }

    fn properties(&mut self, json: &Value, path: &str) -> Result<BTreeMap<String, Arc<Schema>>, String> {
        let declared = json.get("properties").and_then(Value::as_object);
        let field =
            |(name, json): (&String, &Value)| Ok((name.clone(), self.shared(json, &join(path, name))?));
        declared.into_iter().flatten().map(field).collect()
    }

    fn additional(&mut self, json: &Value, path: &str) -> Result<Option<Arc<Schema>>, String> {
        match json.get("additionalProperties") {
            Some(Value::Bool(true)) => Ok(Some(Arc::new(Schema::any()))),
            Some(schema @ Value::Object(_)) => self.shared(schema, &join(path, "*")).map(Some),
            _ => Ok(None),
        }
    }

    fn optional(&mut self, json: &Value, key: &str, path: &str) -> Result<Option<Arc<Schema>>, String> {
        json.get(key).map(|json| self.shared(json, path)).transpose()
    }

    fn alternatives(
        &mut self,
        json: &Value,
        key: &str,
        path: &str,
        int_or_string: bool,
    ) -> Result<Vec<Arc<Schema>>, String> {
        let listed = json.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        // The two types of an int-or-string may be spelled out beside it; they add nothing.
        if int_or_string
            && listed.iter().all(|json| json.get("type").is_some() || json.get("anyOf").is_some())
        {
            return Ok(Vec::new());
        }
        listed.iter().map(|json| self.shared(json, path)).collect()
    }
}

/// The definition's name in `{"$ref": …}` or `{"allOf": [{"$ref": …}]}`.
fn reference(json: &Value) -> Option<&str> {
    let direct = json.get("$ref").or_else(|| match json.get("allOf")?.as_array()?.as_slice() {
        [lone] => lone.get("$ref"),
        _ => None,
    });
    direct?.as_str()?.rsplit('/').next()
}

fn is_lone_reference(all_of: &Value) -> bool {
    all_of
        .as_array()
        .is_some_and(|list| list.len() == 1 && list.iter().all(|json| json.get("$ref").is_some()))
}

/// Descriptions do not change what a schema allows.
fn bears_nothing_beside_reference(json: &Value) -> bool {
    json.as_object().is_some_and(|fields| {
        fields.keys().all(|key| matches!(key.as_str(), "$ref" | "allOf" | "description" | "default"))
            && fields.get("default").is_none()
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn type_of(name: Option<&str>, path: &str) -> Result<Type, String> {
    Ok(match name {
        Some("object") => Type::Object,
        Some("array") => Type::Array,
        Some("string") => Type::String,
        Some("integer") => Type::Integer,
        Some("number") => Type::Number,
        Some("boolean") => Type::Boolean,
        None => Type::Any,
        Some(other) => return Err(format!("{path}: unknown type {other:?}")),
    })
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn list_type(json: &Value) -> ListType {
    match json.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(strings(json.get("x-kubernetes-list-map-keys"))),
        _ => ListType::Atomic,
    }
}

fn limits(json: &Value, path: &str) -> Result<Limits, String> {
    let real = |name: &str| json.get(name).and_then(Value::as_f64);
    let count = |name: &str| json.get(name).and_then(Value::as_u64);
    let flag = |name: &str| json.get(name).and_then(Value::as_bool) == Some(true);
    let pattern = json.get("pattern").and_then(Value::as_str).map(Regex::new).transpose();
    Ok(Limits {
        minimum: real("minimum"),
        maximum: real("maximum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        multiple_of: real("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
        pattern: pattern.map_err(|error| format!("{path}: {error}"))?,
        format: json.get("format").and_then(Value::as_str).map(str::to_owned),
        values: json.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
    })
}
