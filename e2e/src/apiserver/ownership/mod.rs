//! Field ownership (`metadata.managedFields`) and server-side apply.

mod compare;
mod element;
mod entries;
mod merge;
mod set;

use serde_json::Value;

use super::schema::Schema;
use super::status::{Cause, Failure};
use compare::compare;
use entries::{Entries, Manager, Operation};
use merge::{merge, remove};
use set::FieldSet;

/// Who writes, and through which door.
#[derive(Clone, Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) manager: &'a str,
    pub(crate) api_version: String,
    /// Empty for the main endpoint.
    pub(crate) subresource: &'a str,
    /// RFC 3339, whole seconds.
    pub(crate) now: &'a str,
}

/// Records in `new`'s managedFields what `writer` changed since `old`. Without `old` the object is being created.
///
/// Returns the new managedFields; the caller puts them into the object.
pub(crate) fn record_update(old: &Value, new: &Value, schema: &Schema, writer: &Writer<'_>) -> Value {
    let comparison = compare(old, new, schema);
    if comparison.is_same() {
        return super::object::at(old, &["metadata", "managedFields"]).cloned().unwrap_or_default();
    }
    let mut entries = Entries::read(old);
    let manager = Manager::of(writer, Operation::Update);
    let before = entries.fields_of(&manager);
    entries.give_up(&comparison, None);
    let changed = comparison.changed();
    if !changed.is_empty() {
        entries.set(manager, &before.minus(&comparison.removed).union(&changed), writer.now);
    }
    entries.into_json()
}

/// The managedFields after `old` became `new` by a write that claims nothing for its writer.
pub(crate) fn record_loss(old: &Value, new: &Value, schema: &Schema) -> Value {
    let mut entries = Entries::read(old);
    entries.give_up(&compare(old, new, schema), None);
    entries.into_json()
}

/// The result of applying a configuration.
pub(crate) struct Applied {
    pub(crate) object: Value,
    pub(crate) managed_fields: Value,
}

/// Applies `config` on `live` (null if there is none): merges, removes what `writer` applied before and no longer
/// sends, and refuses with 409 what others own unless `force`d. `is_ours` says which top-level fields this door may
/// change.
pub(crate) fn apply(
    live: &Value,
    config: &Value,
    schema: &Schema,
    writer: &Writer<'_>,
    force: bool,
    is_ours: &dyn Fn(&str) -> bool,
) -> Result<Applied, Failure> {
    let mut entries = Entries::read(live);
    let manager = Manager::of(writer, Operation::Apply);
    let before = entries.fields_of(&manager);
    let now = FieldSet::of(config, schema).only_top_level(is_ours).without_system_fields();
    let mut object = merge(live, config, schema);
    entries.set(manager.clone(), &now, writer.now);
    let dropped = before.with_named_parents(schema).minus(&entries.all().with_named_parents(schema));
    remove(&mut object, &dropped, schema);
    let comparison = compare(live, &object, schema).only_top_level(is_ours);
    let conflicts = entries.conflicts(&comparison, &manager);
    if !conflicts.is_empty() && !force {
        return Err(conflict_failure(&conflicts));
    }
    entries.give_up(&comparison, Some(&manager));
    Ok(Applied { object, managed_fields: entries.into_json() })
}

fn conflict_failure(conflicts: &[(String, Vec<String>)]) -> Failure {
    let count: usize = conflicts.iter().map(|(_, fields)| fields.len()).sum();
    let sentence = |(manager, fields): &(String, Vec<String>)| match fields.as_slice() {
        [field] => format!("conflict with {manager}: {field}"),
        fields => format!("conflicts with {manager}:\n- {}", fields.join("\n- ")),
    };
    let sentences: Vec<String> = conflicts.iter().map(sentence).collect();
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{plural}: {}", sentences.join("\n"));
    let causes: Vec<Cause> = conflicts
        .iter()
        .flat_map(|(manager, fields)| fields.iter().map(move |field| (manager, field)))
        .map(|(manager, field)| Cause {
            reason: "FieldManagerConflict",
            field: field.clone(),
            message: format!("conflict with {manager}"),
        })
        .collect();
    Failure::apply_conflict(message, &causes)
}

/// Whether two states of an object differ in more than managedFields and resourceVersion.
pub(crate) fn differs_beyond_ownership(old: &Value, new: &Value) -> bool {
    let same = |name: &str| {
        let fields = (old.get(name), new.get(name));
        match (name, fields) {
            ("metadata", (Some(Value::Object(old)), Some(Value::Object(new)))) => {
                let names = old.keys().chain(new.keys());
                names.filter(|name| !is_bookkeeping(name)).all(|name| old.get(name) == new.get(name))
            }
            (_, (old, new)) => old == new,
        }
    };
    let names = |object: &Value| {
        object.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect::<Vec<_>>()
    };
    !names(old).iter().chain(&names(new)).all(|name| same(name))
}

fn is_bookkeeping(name: &str) -> bool {
    matches!(name, "managedFields" | "resourceVersion")
}

/// Whether two managedFields say the same but for times.
pub(crate) fn same_ownership(old: &Value, new: &Value) -> bool {
    let without_times = |fields: &Value| -> Vec<Value> {
        let entries = fields.as_array().cloned().unwrap_or_default();
        let strip = |mut entry: Value| {
            super::object::remove(&mut entry, &["time"]);
            entry
        };
        let mut entries: Vec<Value> = entries.into_iter().map(strip).collect();
        entries.sort_by_key(Value::to_string);
        entries
    };
    without_times(old) == without_times(new)
}
