//! `/openapi/v3`: what `kubectl explain` reads, and how `kubectl` learns that the server validates fields itself.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::kinds::{Kind, Kinds};
use super::object;
use super::schema::builtin::DEFINITIONS;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The answer to `path`, if it is one of OpenAPI's.
pub(crate) fn answer(kinds: &Kinds, path: &str) -> Option<Value> {
    let rest = path.strip_prefix("/openapi/v3")?;
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Some(index(kinds)),
        ["api", version] => document(kinds, "", version),
        ["apis", group, version] => document(kinds, group, version),
        _ => None,
    }
}

fn root(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

fn index(kinds: &Kinds) -> Value {
    let roots: BTreeSet<String> = kinds.all().map(|kind| root(kind)).collect();
    let paths: Map<String, Value> = roots
        .into_iter()
        .map(|root| {
            let url = format!("/openapi/v3/{root}");
            (root, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

fn document(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let served: Vec<&Kind> = kinds
        .all()
        .map(|kind| &**kind)
        .filter(|kind| kind.group == group && kind.version == version)
        .collect();
    if served.is_empty() {
        return None;
    }
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for kind in served {
        let mut schema = schema_of(kind);
        object::set(&mut schema, &["x-kubernetes-group-version-kind"], json!([type_meta(kind)]));
        gather(&schema, &mut schemas);
        schemas.insert(kind.definition.clone(), schema);
        paths.extend(paths_of(kind));
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn type_meta(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn schema_of(kind: &Kind) -> Value {
    let Some(custom) = &kind.custom else {
        return DEFINITIONS.get(&kind.definition).cloned().unwrap_or_default();
    };
    let mut schema = custom.openapi.clone();
    let word = |what: &str| json!({"type": "string", "description": what});
    object::set(&mut schema, &["properties", "apiVersion"], word("The API version of this object."));
    object::set(&mut schema, &["properties", "kind"], word("The kind of this object."));
    let reference = json!({"$ref": format!("#/components/schemas/{OBJECT_META}")});
    let metadata = json!({"description": "Standard object's metadata.", "allOf": [reference]});
    object::set(&mut schema, &["properties", "metadata"], metadata);
    schema
}

/// Adds every definition that `schema` refers to.
fn gather(schema: &Value, schemas: &mut Map<String, Value>) {
    match schema {
        Value::Object(fields) => {
            if let Some(name) =
                fields.get("$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next())
                && !schemas.contains_key(name)
                && let Some(definition) = DEFINITIONS.get(name)
            {
                schemas.insert(name.to_owned(), definition.clone());
                gather(definition, schemas);
            }
            fields.values().for_each(|value| gather(value, schemas));
        }
        Value::Array(entries) => entries.iter().for_each(|value| gather(value, schemas)),
        _ => {}
    }
}

/// The paths of one resource, with the parameters that clients look for.
fn paths_of(kind: &Kind) -> Vec<(String, Value)> {
    let home = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("/{}{home}/{}", root(kind), kind.plural);
    let operation = |action: &str, parameters: &[&str]| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        let reference = json!({"$ref": format!("#/components/schemas/{}", kind.definition)});
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": type_meta(kind),
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        })
    };
    let writes = ["dryRun", "fieldManager", "fieldValidation"];
    let patch = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let of_collection = json!({
        "get": operation("list", &["labelSelector", "fieldSelector", "limit", "continue", "watch"]),
        "post": operation("post", &writes),
    });
    let of_object = json!({
        "get": operation("get", &[]),
        "put": operation("put", &writes),
        "patch": operation("patch", &patch),
        "delete": operation("delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
    });
    vec![(format!("{collection}/{{name}}"), of_object), (collection, of_collection)]
}
