//! The form in which objects are answered: whole, metadata alone, or rows of a table.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object;
use super::table;
use crate::clock::Clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    Metadata,
    Table,
}

/// How much of its object a table's row carries (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowObject {
    None,
    Metadata,
    Whole,
}

/// The form that a client accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Representation {
    form: Form,
    row_object: RowObject,
    clock: Clock,
}

impl Representation {
    /// Reads the `Accept` header, whose first entry that the server can serve wins.
    pub(crate) fn accepted(accept: &str, include_object: &str, clock: Clock) -> Self {
        let form = accept.split(',').find_map(form_of).unwrap_or(Form::Whole);
        let row_object = match include_object {
            "None" => RowObject::None,
            "Object" => RowObject::Whole,
            _ => RowObject::Metadata,
        };
        Self { form, row_object, clock }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.form == Form::Whole
    }

    /// One object in this form.
    pub(crate) fn of_one(&self, kind: &Kind, object: Value) -> Value {
        match self.form {
            Form::Whole => object,
            Form::Metadata => metadata_of(&object),
            Form::Table => {
                let list = json!({"resourceVersion": object::resource_version(&object)});
                self.table(kind, std::slice::from_ref(&object), &list)
            }
        }
    }

    /// A list in this form; `metadata` is the list's.
    pub(crate) fn of_list(&self, kind: &Kind, objects: &[Value], metadata: &Value) -> Value {
        match self.form {
            Form::Table => self.table(kind, objects, metadata),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": objects.iter().map(metadata_of).collect::<Vec<_>>(),
            }),
            Form::Whole => json!({
                "kind": format!("{}List", kind.kind),
                "apiVersion": kind.api_version(),
                "metadata": metadata,
                "items": objects,
            }),
        }
    }

    /// A bookmark in this form.
    pub(crate) fn of_bookmark(&self, bookmark: Value) -> Value {
        match self.form {
            Form::Whole => bookmark,
            Form::Metadata => metadata_of(&bookmark),
            Form::Table => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": object::resource_version(&bookmark)},
                "columnDefinitions": [],
                "rows": [],
            }),
        }
    }

    fn table(&self, kind: &Kind, objects: &[Value], metadata: &Value) -> Value {
        let columns = table::columns(kind);
        let now = self.clock.now();
        let row = |object: &Value| {
            let mut row =
                json!({"cells": columns.iter().map(|column| column.cell(object, now)).collect::<Vec<_>>()});
            match self.row_object {
                RowObject::None => {}
                RowObject::Metadata => object::set(&mut row, &["object"], metadata_of(object)),
                RowObject::Whole => object::set(&mut row, &["object"], object.clone()),
            }
            row
        };
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": columns.iter().map(table::Column::definition).collect::<Vec<_>>(),
            "rows": objects.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn form_of(entry: &str) -> Option<Form> {
    let mut parts = entry.split(';').map(str::trim);
    let media = parts.next()?;
    let parameters: Vec<&str> = parts.collect();
    if !matches!(media, "application/json" | "*/*" | "application/*") {
        return None;
    }
    let asked = parameters.iter().find_map(|parameter| parameter.strip_prefix("as="));
    let is_v1 = parameters.contains(&"v=v1");
    match asked {
        None => Some(Form::Whole),
        Some("Table") if is_v1 => Some(Form::Table),
        Some("PartialObjectMetadata" | "PartialObjectMetadataList") if is_v1 => Some(Form::Metadata),
        Some(_) => None,
    }
}

fn metadata_of(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object::at(object, &["metadata"]).cloned().unwrap_or_default(),
    })
}
