//! What differs between two states of an object, by path.

use serde_json::{Map, Value};

use super::element;
use super::set::FieldSet;
use crate::apiserver::schema::{ListType, Schema};

/// The paths that were added, modified and removed.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    added: FieldSet,
    modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    /// Whether nothing differs.
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// What was added or modified.
    pub(super) fn changed(&self) -> FieldSet {
        self.added.clone().union(&self.modified)
    }

    pub(super) fn only_top_level(self, keeps: &dyn Fn(&str) -> bool) -> Self {
        Self {
            added: self.added.only_top_level(keeps),
            modified: self.modified.only_top_level(keeps),
            removed: self.removed.only_top_level(keeps),
        }
    }
}

/// Compares two states; fields that nobody owns are left out.
pub(super) fn compare(old: &Value, new: &Value, schema: &Schema) -> Comparison {
    let mut walk = Walk { found: Comparison::default(), path: Vec::new() };
    walk.both(old, new, schema);
    let Comparison { added, modified, removed } = walk.found;
    Comparison {
        added: added.without_system_fields(),
        modified: modified.without_system_fields(),
        removed: removed.without_system_fields(),
    }
}

struct Walk {
    found: Comparison,
    path: Vec<String>,
}

#[derive(Clone, Copy)]
enum Side {
    Added,
    Removed,
}

impl Walk {
    fn both(&mut self, old: &Value, new: &Value, schema: &Schema) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !schema.atomic => self.fields(old, new, schema),
            (Value::Array(old), Value::Array(new)) if schema.list != ListType::Atomic => {
                self.entries(old, new, schema);
            }
            _ if old == new => {}
            (Value::Null, _) => self.one(new, schema, Side::Added),
            (_, Value::Null) => self.one(old, schema, Side::Removed),
            _ => {
                self.found.modified.insert(&self.path);
                // What lay below a value that became one of another shape is gone with it.
                if is_composite(old, schema) {
                    self.one(old, schema, Side::Removed);
                }
                if is_composite(new, schema) {
                    self.one(new, schema, Side::Added);
                }
            }
        }
    }

    fn fields(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, schema: &Schema) {
        for (name, value) in new {
            let known = old.get(name);
            if known == Some(value) {
                continue;
            }
            self.path.push(element::field(name));
            match known {
                Some(old) => self.both(old, value, schema.field_or_any(name)),
                None => self.one(value, schema.field_or_any(name), Side::Added),
            }
            self.path.pop();
        }
        for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            self.path.push(element::field(name));
            self.one(value, schema.field_or_any(name), Side::Removed);
            self.path.pop();
        }
    }

    fn entries(&mut self, old: &[Value], new: &[Value], schema: &Schema) {
        let items = schema.items_or_any();
        let (old, new) = (named(old, schema), named(new, schema));
        for (name, entry) in &new {
            self.path.push(name.clone());
            match old.iter().find(|(old, _)| old == name) {
                Some((_, old)) => self.both(old, entry, items),
                None => self.one(entry, items, Side::Added),
            }
            self.path.pop();
        }
        for (name, entry) in old.iter().filter(|(name, _)| !new.iter().any(|(new, _)| new == name)) {
            self.path.push(name.clone());
            self.one(entry, items, Side::Removed);
            self.path.pop();
        }
    }

    /// A value that only one of the two states has: it and everything below it.
    fn one(&mut self, value: &Value, schema: &Schema, side: Side) {
        match value {
            Value::Object(fields) if !schema.atomic => {
                for (name, value) in fields {
                    self.path.push(element::field(name));
                    self.one(value, schema.field_or_any(name), side);
                    self.path.pop();
                }
            }
            Value::Array(entries) if schema.list != ListType::Atomic => {
                let items = schema.items_or_any();
                for entry in entries {
                    if let Some(name) = element::of_entry(entry, schema) {
                        self.path.push(name);
                        self.one(entry, items, side);
                        self.path.pop();
                    }
                }
            }
            _ => {}
        }
        if !self.path.is_empty() {
            match side {
                Side::Added => self.found.added.insert(&self.path),
                Side::Removed => self.found.removed.insert(&self.path),
            }
        }
    }
}

fn is_composite(value: &Value, schema: &Schema) -> bool {
    match value {
        Value::Object(_) => !schema.atomic,
        Value::Array(_) => schema.list != ListType::Atomic,
        _ => false,
    }
}

/// The entries of a list with the elements that stand for them.
fn named<'a>(list: &'a [Value], schema: &Schema) -> Vec<(String, &'a Value)> {
    list.iter().filter_map(|entry| Some((element::of_entry(entry, schema)?, entry))).collect()
}
