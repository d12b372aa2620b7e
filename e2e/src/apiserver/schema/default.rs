//! Defaults that a schema declares.

use serde_json::Value;

use super::Schema;

/// Sets in `value` every absent field that has a default; a null where null may not be counts as absent.
pub(crate) fn apply_defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, field) in &schema.properties {
                let absent = match fields.get(name) {
                    None => true,
                    Some(Value::Null) => !field.nullable && field.default.is_some(),
                    Some(_) => false,
                };
                if let (true, Some(default)) = (absent, &field.default) {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(value) = fields.get_mut(name) {
                    apply_defaults(value, field);
                }
            }
            if let Some(additional) = &schema.additional {
                let undeclared = fields.iter_mut().filter(|(name, _)| !schema.declares(name));
                undeclared.for_each(|(_, value)| apply_defaults(value, additional));
            }
        }
        Value::Array(entries) => {
            if let Some(items) = &schema.items {
                entries.iter_mut().for_each(|entry| apply_defaults(entry, items));
            }
        }
        _ => {}
    }
}
