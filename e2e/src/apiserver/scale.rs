//! `/scale`: a count and a selector, whatever the kind.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::kinds::{Kind, ScalePaths, ScaleSelector};
use super::object;
use super::patch::Patch;
use super::selector::label_selector_text;
use super::status::{Cause, Failure, Subject};
use super::store::Stored;
use super::strategy;
use super::write::{Door, WriteOptions, Written};

impl Cluster {
    /// GET on `/scale`.
    pub(crate) fn scale(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value, Failure> {
        let stored = self.stored(kind, namespace, name)?;
        scale_of(kind, &stored.value)
    }

    /// PUT on `/scale`.
    pub(crate) fn update_scale(
        &mut self,
        kind: &Kind,
        key: (&str, &str),
        scale: &Value,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let (namespace, name) = key;
        let sent = object::name(scale);
        if sent != name {
            let message =
                format!("the name of the object ({sent}) does not match the name on the URL ({name})");
            return Err(Failure::bad_request(message));
        }
        let old = self.stored(kind, namespace, name)?;
        let mut object = old.value.clone();
        let version = object::resource_version(scale);
        object::set(&mut object, &["metadata", "resourceVersion"], version);
        set_replicas(kind, &mut object, scale)?;
        let written = self.replace(kind, Door::Scale, &old, object, None, Vec::new(), options)?;
        Ok(Written { object: Stored::unsaved(scale_of(kind, &written.object.value)?), ..written })
    }

    /// PATCH on `/scale`.
    pub(crate) fn patch_scale(
        &mut self,
        kind: &Kind,
        key: (&str, &str),
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let (namespace, name) = key;
        if let Patch::Apply(config) = patch {
            let mut on_object = json!({"metadata": {"name": name}});
            set_replicas(kind, &mut on_object, config)?;
            object::copy(&mut on_object, config, &["metadata", "resourceVersion"]);
            let written = self.apply(kind, Door::Scale, key, on_object, options)?;
            return Ok(Written {
                object: Stored::unsaved(scale_of(kind, &written.object.value)?),
                ..written
            });
        }
        let mut scale = self.scale(kind, namespace, name)?;
        patch.apply_to(&mut scale, None)?;
        self.update_scale(kind, key, &scale, options)
    }
}

fn paths(kind: &Kind) -> Result<&ScalePaths, Failure> {
    kind.scale.as_ref().ok_or_else(Failure::no_such_resource)
}

fn steps(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn scale_of(kind: &Kind, object: &Value) -> Result<Value, Failure> {
    let paths = paths(kind)?;
    let replicas = object::integer(object, &steps(&paths.spec_replicas));
    if replicas.is_none() && kind.is_custom() {
        let path = paths.spec_replicas.join(".");
        return Err(Failure::internal(&format!("the spec replicas field \".{path}\" does not exist")));
    }
    let selector = match &paths.selector {
        ScaleSelector::None => String::new(),
        ScaleSelector::Text(path) => object::text(object, &steps(path)).to_owned(),
        ScaleSelector::Structured => {
            object::at(object, &["spec", "selector"]).map(label_selector_text).unwrap_or_default()
        }
    };
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {},
        "status": {"replicas": object::integer(object, &steps(&paths.status_replicas)).unwrap_or(0)},
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        object::copy(&mut scale, object, &["metadata", field]);
    }
    if let Some(replicas) = replicas.filter(|replicas| *replicas != 0) {
        object::set(&mut scale, &["spec", "replicas"], replicas);
    }
    if !selector.is_empty() {
        object::set(&mut scale, &["status", "selector"], selector);
    }
    Ok(scale)
}

fn set_replicas(kind: &Kind, object: &mut Value, scale: &Value) -> Result<(), Failure> {
    let paths = paths(kind)?;
    let count = object::at(scale, &["spec", "replicas"]).cloned().unwrap_or_else(|| json!(0));
    if !count.is_i64() && !count.is_u64() {
        let found = object::type_name(&count);
        let message = format!(
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {found} into field \
             spec.replicas of type integer"
        );
        return Err(Failure::bad_request(message));
    }
    if let Some(cause) = strategy::not_negative(scale, &["spec", "replicas"]).filter(|_| !kind.is_custom()) {
        let subject = Subject { group: "autoscaling", kind: "Scale", name: object::name(object) };
        return Err(Failure::invalid(subject, &[cause]));
    }
    object::set(object, &steps(&paths.spec_replicas), count);
    Ok(())
}

/// Whether the object asks for no replicas.
pub(crate) fn is_to_zero(kind: &Kind, object: &Value) -> bool {
    let count = kind.scale.as_ref().and_then(|paths| object::integer(object, &steps(&paths.spec_replicas)));
    count == Some(0)
}

/// What is wrong with the count of a custom resource that has `/scale`.
pub(crate) fn replica_problems(kind: &Kind, object: &Value) -> Vec<Cause> {
    let Some(paths) = &kind.scale else { return Vec::new() };
    let field = format!(".{}", paths.spec_replicas.join("."));
    match object::at(object, &steps(&paths.spec_replicas)) {
        Some(count) if count.as_i64().is_some_and(|count| count < 0) => {
            vec![Cause::invalid(field, count, "should be a non-negative integer")]
        }
        Some(count) if !count.is_number() => {
            let shown = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
            let why = format!(
                "{field} accessor error: {shown} is of the type {}, expected int64",
                object::type_name(count)
            );
            vec![Cause::invalid(field, &json!(0), why)]
        }
        _ => Vec::new(),
    }
}
