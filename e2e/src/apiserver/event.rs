//! Events: `events.k8s.io/v1` and core/v1 are two views of the same objects, stored in the older form.

use serde_json::{Map, Value};

/// Field names of the new form and of the stored one, where they differ.
const RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// A stored event as events.k8s.io/v1 shows it.
pub(crate) fn to_new(stored: &Value) -> Value {
    renamed(stored, |name| RENAMED.iter().find(|(_, old)| *old == name).map(|(new, _)| *new))
}

/// An event of events.k8s.io/v1 in its stored form.
pub(crate) fn to_stored(event: &Value) -> Value {
    let mut stored = renamed(event, |name| RENAMED.iter().find(|(new, _)| *new == name).map(|(_, old)| *old));
    super::object::set(&mut stored, &["apiVersion"], "v1");
    stored
}

fn renamed<'a>(event: &Value, name_of: impl Fn(&str) -> Option<&'a str>) -> Value {
    let fields = event.as_object().into_iter().flatten();
    let renamed: Map<String, Value> =
        fields.map(|(name, value)| (name_of(name).unwrap_or(name).to_owned(), value.clone())).collect();
    Value::Object(renamed)
}
