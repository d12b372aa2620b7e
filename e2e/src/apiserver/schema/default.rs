//! Defaults that a schema declares.

use serde_json::Value;

use super::Schema;

/// Sets in `value` every absent field that has a default.
pub(crate) fn apply_defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            for (name, field) in &schema.properties {
                if let (None, Some(default)) = (fields.get(name), &field.default) {
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
                for entry in entries {
                    apply_defaults(entry, items);
                }
            }
        }
        _ => {}
    }
}
