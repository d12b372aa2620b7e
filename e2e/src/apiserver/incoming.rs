//! Reading what clients send: type, address, unknown fields.

use serde_json::Value;

use super::event;
use super::kinds::{Conversion, Kind, type_of};
use super::object;
use super::schema::{self, Decoded};
use super::status::Failure;

/// What the server does about fields that the type does not know (`fieldValidation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// The URL and the object must speak of the same thing; what the object leaves out is taken from the URL.
pub(crate) fn settle_address(
    kind: &Kind,
    (namespace, name): (&str, &str),
    object: &mut Value,
) -> Result<(), Failure> {
    if kind.namespaced && object::namespace(object).is_empty() {
        object::set(object, &["metadata", "namespace"], namespace);
    }
    let (sent_namespace, sent_name) = (object::namespace(object), object::name(object));
    if sent_name != name {
        let message =
            format!("the name of the object ({sent_name}) does not match the name on the URL ({name})");
        return Err(Failure::bad_request(message));
    }
    if sent_namespace != namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Failure::bad_request(why));
    }
    Ok(())
}

/// Reads what was sent as an object of `kind`, in its stored form, with warnings about fields that were dropped.
pub(crate) fn decode(
    kind: &Kind,
    mut object: Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Failure> {
    check_type(kind, &object)?;
    object::set(&mut object, &["apiVersion"], kind.api_version());
    object::set(&mut object, &["kind"], kind.kind.as_str());
    let found = schema::decode(&mut object, &kind.schema, !kind.is_custom());
    let warnings = unknown_fields(kind, &found, validation)?;
    let object = match kind.conversion {
        Conversion::None => object,
        Conversion::Events => event::to_stored(&object),
    };
    Ok((object, warnings))
}

fn check_type(kind: &Kind, object: &Value) -> Result<(), Failure> {
    if !object.is_object() {
        let message = format!(
            "the object provided is unrecognized (must be of type {}): it is not a JSON object",
            kind.kind
        );
        return Err(Failure::bad_request(message));
    }
    let (api_version, sent) = type_of(object);
    let is_right = (api_version.is_empty() || api_version == kind.api_version())
        && (sent.is_empty() || sent == kind.kind);
    if is_right {
        return Ok(());
    }
    let version = api_version.rsplit('/').next().unwrap_or_default();
    let message = format!(
        "{sent} in version {version:?} cannot be handled as a {}: the API here is {} of {}",
        kind.kind,
        kind.kind,
        kind.api_version()
    );
    Err(Failure::bad_request(message))
}

fn unknown_fields(kind: &Kind, found: &Decoded, validation: FieldValidation) -> Result<Vec<String>, Failure> {
    let handled = |problem: String| {
        let (kind, version) = (&kind.kind, &kind.version);
        Failure::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {problem}"
        ))
    };
    if let Some((path, wanted, sent)) = &found.mistyped {
        return Err(handled(format!("json: cannot unmarshal {sent} into field {path} of type {wanted}")));
    }
    let sentences: Vec<String> = found.unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match validation {
        FieldValidation::Strict if !sentences.is_empty() => {
            Err(handled(format!("strict decoding error: {}", sentences.join(", "))))
        }
        FieldValidation::Warn => Ok(sentences),
        _ => Ok(Vec::new()),
    }
}
