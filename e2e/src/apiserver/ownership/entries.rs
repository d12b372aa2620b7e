//! The entries of managedFields.

use serde_json::{Value, json};

use super::Writer;
use super::compare::Comparison;
use super::set::FieldSet;
use crate::apiserver::object;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who owns an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manager {
    name: String,
    operation: Operation,
    api_version: String,
    subresource: String,
}

impl Manager {
    pub(super) fn of(writer: &Writer<'_>, operation: Operation) -> Self {
        Self {
            name: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.clone(),
            subresource: writer.subresource.to_owned(),
        }
    }

    /// The manager as conflict messages name it.
    fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            shown = format!("{shown} with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            shown = format!("{shown} using {}", self.api_version);
        }
        shown
    }
}

#[derive(Clone, Debug)]
struct Entry {
    manager: Manager,
    time: String,
    /// FieldsV1, read into a set only when it has to change.
    fields: Value,
}

impl Entry {
    fn set(&self) -> FieldSet {
        FieldSet::from_root(&self.fields)
    }
}

/// All entries of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    /// The entries that `object` carries.
    pub(super) fn read(object: &Value) -> Self {
        let read = |entry: &Value| Entry {
            manager: Manager {
                name: object::text(entry, &["manager"]).to_owned(),
                operation: match object::text(entry, &["operation"]) {
                    "Apply" => Operation::Apply,
                    _ => Operation::Update,
                },
                api_version: object::text(entry, &["apiVersion"]).to_owned(),
                subresource: object::text(entry, &["subresource"]).to_owned(),
            },
            time: object::text(entry, &["time"]).to_owned(),
            fields: entry.get("fieldsV1").cloned().unwrap_or_default(),
        };
        Self(object::list(object, &["metadata", "managedFields"]).iter().map(read).collect())
    }

    pub(super) fn fields_of(&self, manager: &Manager) -> FieldSet {
        self.0.iter().find(|entry| entry.manager == *manager).map(Entry::set).unwrap_or_default()
    }

    /// Makes `fields` what `manager` owns since `now`.
    pub(super) fn set(&mut self, manager: Manager, fields: &FieldSet, now: &str) {
        self.0.retain(|entry| entry.manager != manager);
        if !fields.is_empty() {
            self.0.push(Entry { manager, time: now.to_owned(), fields: fields.to_json() });
        }
    }

    /// What anybody owns.
    pub(super) fn all(&self) -> FieldSet {
        self.0.iter().fold(FieldSet::default(), |all, entry| all.union(&entry.set()))
    }

    /// Who but `applier` owns something that changed: the manager as shown, and the fields.
    pub(super) fn conflicts(&self, comparison: &Comparison, applier: &Manager) -> Vec<(String, Vec<String>)> {
        let changed = comparison.changed();
        let others = self.0.iter().filter(|entry| entry.manager != *applier && changed.meets(&entry.fields));
        let mut conflicts: Vec<(String, Vec<String>)> = others
            .map(|entry| (entry.manager.shown(), entry.set().intersection(&changed).shown_paths()))
            .collect();
        conflicts.sort();
        conflicts
    }

    /// Takes changed and removed fields from everybody but `writer`.
    pub(super) fn give_up(&mut self, comparison: &Comparison, writer: Option<&Manager>) {
        let lost = comparison.changed().union(&comparison.removed);
        for entry in
            self.0.iter_mut().filter(|entry| writer != Some(&entry.manager) && lost.meets(&entry.fields))
        {
            entry.fields = entry.set().minus(&lost).to_json();
        }
        self.0.retain(|entry| entry.fields.as_object().is_some_and(|fields| !fields.is_empty()));
    }

    /// The entries in the server's order: applied before updated, oldest first, then by name.
    pub(super) fn into_json(mut self) -> Value {
        self.0.sort_by(|a, b| {
            let key =
                |entry: &Entry| (entry.manager.operation, entry.time.clone(), entry.manager.name.clone());
            key(a).cmp(&key(b)).then_with(|| a.manager.subresource.cmp(&b.manager.subresource))
        });
        self.0.into_iter().map(Entry::into_json).collect()
    }
}

impl Entry {
    fn into_json(self) -> Value {
        let mut entry = json!({
            "manager": self.manager.name,
            "operation": self.manager.operation.name(),
            "apiVersion": self.manager.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        });
        if !self.time.is_empty() {
            object::set(&mut entry, &["time"], self.time);
        }
        if !self.manager.subresource.is_empty() {
            object::set(&mut entry, &["subresource"], self.manager.subresource);
        }
        entry
    }
}
