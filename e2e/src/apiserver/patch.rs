//! PATCH: JSON merge patches, JSON patches, strategic merge patches and applied configurations.

use serde_json::Value;

use super::cluster::{Cluster, served};
use super::incoming::decode;
use super::kinds::Kind;
use super::object;
use super::schema::Schema;
use super::status::{Cause, Failure};
use super::strategic;
use super::write::{Door, WriteOptions, Written};

/// A patch as it was sent.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
    Strategic(Value),
    Apply(Value),
}

impl Patch {
    /// Reads a patch by its content type.
    pub(crate) fn read(content_type: &str, body: &[u8], kind: &Kind) -> Result<Self, Failure> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence {
            "application/merge-patch+json" => Ok(Self::Merge(json_body(body)?)),
            "application/json-patch+json" => {
                let patch = serde_json::from_slice(body);
                patch
                    .map(Self::Json)
                    .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))
            }
            "application/strategic-merge-patch+json" if !kind.is_custom() => {
                Ok(Self::Strategic(json_body(body)?))
            }
            "application/apply-patch+yaml" => Ok(Self::Apply(yaml_body(body)?)),
            _ => {
                let strategic =
                    if kind.is_custom() { "" } else { "application/strategic-merge-patch+json, " };
                let message = format!(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, {strategic}application/apply-patch+yaml"
                );
                Err(Failure::new(415, "UnsupportedMediaType", message))
            }
        }
    }

    /// Changes `object` as the patch says. Applied configurations do not come this way.
    pub(crate) fn apply_to(&self, object: &mut Value, schema: Option<&Schema>) -> Result<(), Failure> {
        match self {
            Self::Merge(patch) => json_patch::merge(object, patch),
            Self::Json(patch) => json_patch::patch(object, patch).map_err(|error| {
                let message =
                    format!("the server rejected our request due to an error in our request: {error}");
                Failure { details: serde_json::json!({}), ..Failure::new(422, "Invalid", message) }
            })?,
            Self::Strategic(patch) => strategic::merge(object, patch, schema),
            Self::Apply(_) => {}
        }
        Ok(())
    }
}

impl Cluster {
    /// PATCH on an object or its status.
    pub(crate) fn patch(
        &mut self,
        kind: &Kind,
        door: Door,
        key: (&str, &str),
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        if let Patch::Apply(config) = patch {
            return self.apply(kind, door, key, config.clone(), options);
        }
        let (namespace, name) = key;
        let old = self.stored(kind, namespace, name)?;
        let mut object = served(kind, &old.value);
        patch.apply_to(&mut object, Some(&kind.schema))?;
        if object::name(&object) != name {
            let sent = object::name(&object);
            let message =
                format!("the name of the object ({sent}) does not match the name on the URL ({name})");
            return Err(Failure::bad_request(message));
        }
        if object::uid(&object) != object::uid(&old.value) {
            let uid = object::at(&object, &["metadata", "uid"]).cloned().unwrap_or_default();
            let cause = Cause::invalid("metadata.uid", &uid, "field is immutable");
            // A real server says it twice.
            return Err(Failure::invalid(kind.kind_subject(name), &[cause.clone(), cause]));
        }
        let (object, warnings) = decode(kind, object, options.field_validation)?;
        self.replace(kind, door, &old, object, None, warnings, options)
    }
}

/// A JSON body.
pub(crate) fn json_body(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let text = String::from_utf8_lossy(body.get(..200).unwrap_or(body)).into_owned();
        Failure::bad_request(format!("couldn't get version/kind; json parse error: {error} ({text})"))
    })
}

/// A YAML body, of which JSON is a part.
pub(crate) fn yaml_body(body: &[u8]) -> Result<Value, Failure> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
    serde_saphyr::from_str(text)
        .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))
}
