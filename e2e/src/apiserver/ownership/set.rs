//! Sets of field paths as a tree, and their FieldsV1 form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element;
use crate::apiserver::schema::{ListType, Schema};

/// A set of paths: each node may be a member itself and may have members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    member: bool,
    children: BTreeMap<String, Self>,
}

/// Fields that nobody owns.
const SYSTEM: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

impl FieldSet {
    /// The fields that `value` sets.
    pub(super) fn of(value: &Value, schema: &Schema) -> Self {
        let mut set = Self::default();
        set.gather(value, schema);
        set
    }

    fn gather(&mut self, value: &Value, schema: &Schema) {
        match value {
            Value::Object(fields) if !schema.atomic => {
                for (name, value) in fields {
                    let child = self.children.entry(element::field(name)).or_default();
                    child.gather(value, schema.field_or_any(name));
                    let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                    child.member |= is_empty || !schema.declares(name);
                }
            }
            Value::Array(entries) if schema.list != ListType::Atomic => {
                let items = schema.items_or_any();
                for entry in entries {
                    if let Some(name) = element::of_entry(entry, schema) {
                        let child = self.children.entry(name).or_default();
                        child.gather(entry, items);
                        child.member = true;
                    }
                }
            }
            _ => self.member = true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    pub(super) fn insert(&mut self, path: &[String]) {
        match path.split_first() {
            None => self.member = true,
            Some((first, rest)) => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Takes the members of `other` out.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (name, theirs) in &other.children {
            if let Some(mine) = self.children.get_mut(name) {
                mine.subtract(theirs);
                if mine.is_empty() {
                    self.children.remove(name);
                }
            }
        }
    }

    /// Without the members of `other`.
    pub(super) fn minus(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }

    /// With the members of `other`.
    pub(super) fn union(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    fn add(&mut self, other: &Self) {
        self.member |= other.member;
        for (name, theirs) in &other.children {
            match self.children.get_mut(name) {
                Some(mine) => mine.add(theirs),
                None => {
                    self.children.insert(name.clone(), theirs.clone());
                }
            }
        }
    }

    /// Whether the FieldsV1 `json` and this set have a member in common.
    pub(super) fn meets(&self, json: &Value) -> bool {
        let Some(fields) = json.as_object() else { return false };
        let below = |(name, child): (&String, &Self)| {
            let theirs = fields.get(name)?;
            let is_member =
                theirs.as_object().is_some_and(|below| below.is_empty() || below.contains_key("."));
            Some((child.member && is_member) || child.meets(theirs))
        };
        self.children.iter().any(|child| below(child) == Some(true))
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let both = self
            .children
            .iter()
            .filter_map(|(name, child)| Some((name.clone(), child.intersection(other.children.get(name)?))));
        Self { member: self.member && other.member, children: both.collect() }.pruned()
    }

    /// With every declared field on the way to a member as a member too: who owns a field of a struct has set the
    /// struct.
    pub(super) fn with_named_parents(&self, schema: &Schema) -> Self {
        let children = self.children.iter().map(|(name, child)| {
            let mut child = child.with_named_parents(element::descend(schema, name));
            let is_declared = name.strip_prefix("f:").is_some_and(|name| schema.declares(name));
            child.member |= is_declared && !child.children.is_empty();
            (name.clone(), child)
        });
        Self { member: self.member, children: children.collect() }
    }

    pub(super) fn without_system_fields(mut self) -> Self {
        for path in SYSTEM {
            self.cut(path);
        }
        self.pruned()
    }

    fn cut(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.children.remove(*last);
            }
            [first, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*first) {
                    // `metadata` itself belongs to nobody either.
                    child.member = false;
                    child.cut(rest);
                }
            }
        }
    }

    /// Only what lies below the top-level fields that `keeps` names.
    pub(super) fn only_top_level(mut self, keeps: &dyn Fn(&str) -> bool) -> Self {
        self.children.retain(|name, _| name.strip_prefix("f:").is_some_and(keeps));
        self
    }

    fn pruned(mut self) -> Self {
        self.children.retain(|_, child| !child.is_empty());
        self
    }

    pub(super) fn is_member(&self) -> bool {
        self.member
    }

    pub(super) fn children(&self) -> &BTreeMap<String, Self> {
        &self.children
    }

    /// The members' paths as messages show them.
    pub(super) fn shown_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.show(String::new(), &mut paths);
        paths
    }

    fn show(&self, path: String, paths: &mut Vec<String>) {
        for (name, child) in &self.children {
            child.show(format!("{path}{}", element::shown(name)), paths);
        }
        if self.member {
            paths.push(path);
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut fields: Map<String, Value> =
            self.children.iter().map(|(name, child)| (name.clone(), child.to_json())).collect();
        if self.member && !fields.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        Value::Object(fields)
    }

    pub(super) fn from_json(json: &Value) -> Self {
        let fields = json.as_object();
        let children: BTreeMap<String, Self> = fields
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != ".")
            .map(|(name, child)| (name.clone(), Self::from_json(child)))
            .collect();
        let is_leaf = fields.is_none_or(Map::is_empty);
        Self { member: is_leaf || fields.is_some_and(|fields| fields.contains_key(".")), children }
    }

    /// The set that FieldsV1 holds at its root, where an empty object means nothing.
    pub(super) fn from_root(json: &Value) -> Self {
        Self { member: false, ..Self::from_json(json) }
    }
}
