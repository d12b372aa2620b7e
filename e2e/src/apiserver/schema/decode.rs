//! Reading an object as its type does: unknown fields fall away and are named, types are checked for built-in kinds.

use serde_json::{Map, Value};

use super::{Schema, Type};
use crate::apiserver::object::type_name;

/// An object as its type sees it.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Paths of fields that the type does not know.
    pub(crate) unknown: Vec<String>,
    /// The first value of a wrong type: path, wanted, found. Only built-in kinds are that strict at this point.
    pub(crate) mistyped: Option<(String, &'static str, &'static str)>,
}

/// Drops from `object` what `schema` does not know, and nulls where none may be. With `as_built_in`, empty lists and
/// maps fall away too, as they do when a typed server reads and writes them.
pub(crate) fn decode(object: &mut Value, schema: &Schema, as_built_in: bool) -> Decoded {
    let mut decoder = Decoder { as_built_in, found: Decoded::default() };
    decoder.value(object, schema, "");
    decoder.found
}

struct Decoder {
    as_built_in: bool,
    found: Decoded,
}

impl Decoder {
    fn value(&mut self, value: &mut Value, schema: &Schema, path: &str) {
        if self.as_built_in && !value.is_null() && !reads_as(schema, value) {
            let mistyped = (path.to_owned(), schema.kind.name(), type_name(value));
            self.found.mistyped.get_or_insert(mistyped);
            return;
        }
        match value {
            Value::Object(fields) => self.fields(fields, schema, path),
            Value::Array(entries) => {
                if let Some(items) = &schema.items {
                    for (index, entry) in entries.iter_mut().enumerate() {
                        self.value(entry, items, &format!("{path}[{index}]"));
                    }
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>, schema: &Schema, path: &str) {
        let mut dropped = Vec::new();
        for (name, value) in fields.iter_mut() {
            let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match schema.field(name) {
                Some(field) => {
                    self.value(value, field, &here);
                    let is_dropped = if self.as_built_in {
                        is_omitted(value, field)
                    } else {
                        value.is_null() && !field.nullable
                    };
                    if is_dropped {
                        dropped.push(name.clone());
                    }
                }
                None if schema.keep_unknown || (schema.embedded && is_type_meta(name)) => {}
                None => {
                    self.found.unknown.push(here);
                    dropped.push(name.clone());
                }
            }
        }
        for name in dropped {
            fields.remove(&name);
        }
    }
}

fn reads_as(schema: &Schema, value: &Value) -> bool {
    // Quantities and ports may be numbers or strings alike.
    schema.kind.holds(value) || (schema.kind == Type::IntOrString && value.is_number())
}

fn is_omitted(value: &Value, schema: &Schema) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => {
            fields.is_empty() && schema.additional.is_some() && schema.properties.is_empty()
        }
        _ => false,
    }
}

fn is_type_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}
