//! Failures as a real API server words them: `metav1.Status` with code, reason, message and causes.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// What is wrong with one field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable, e.g. `FieldValueInvalid`.
    pub reason: &'static str,
    /// The field's path, e.g. `spec.replicas`.
    pub field: String,
    /// What is wrong with its value.
    pub message: String,
}

impl Cause {
    /// A value that may not be; `value` is shown as JSON.
    pub fn invalid(field: impl Into<String>, value: &Value, why: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {value}: {}", why.as_ref());
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// A value that may not be, shown by `why` alone.
    pub fn invalid_without_value(field: impl Into<String>, why: impl AsRef<str>) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {}", why.as_ref()),
        }
    }

    /// A value of the wrong type, shown by its type's name.
    pub fn wrong_type(field: impl Into<String>, wanted: &str, found: &str) -> Self {
        let field = field.into();
        let message =
            format!("Invalid value: {found:?}: {field} in body must be of type {wanted}: {found:?}");
        Self { reason: "FieldValueTypeInvalid", field, message }
    }

    /// A value that is not there; `why` may be empty.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let mut message = String::from("Required value");
        if !why.is_empty() {
            let _ = write!(message, ": {why}");
        }
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// A value outside a closed list.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[Value]) -> Self {
        let supported: Vec<String> = supported.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        Self { reason: "FieldValueNotSupported", field: field.into(), message }
    }

    /// A value that is there twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {value}"),
        }
    }

    /// A string above its length.
    pub fn too_long(field: impl Into<String>, limit: u64) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        Self { reason: "FieldValueTooLong", field: field.into(), message }
    }

    /// A list above its length.
    pub fn too_many(field: impl Into<String>, count: usize, limit: u64) -> Self {
        let message = format!("Too many: {count}: must have at most {limit} items");
        Self { reason: "FieldValueTooMany", field: field.into(), message }
    }

    /// A field that may not be set.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self { reason: "FieldValueForbidden", field: field.into(), message: format!("Forbidden: {why}") }
    }

    fn to_json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

/// The names under which a resource appears in messages.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// API group; empty for core.
    pub group: &'a str,
    /// Plural resource name or kind, as the message wants it.
    pub kind: &'a str,
    /// Object name; may be empty.
    pub name: &'a str,
}

impl Subject<'_> {
    fn qualified(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        for (key, value) in [("name", self.name), ("group", self.group), ("kind", self.kind)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), json!(value));
            }
        }
        details
    }
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason, e.g. `NotFound`; empty where the real server gives none.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// `status.details`; null where the real server gives none.
    pub details: Value,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    fn about(code: u16, reason: &'static str, subject: Subject<'_>, message: String) -> Self {
        Self { code, reason, message, details: Value::Object(subject.details()) }
    }

    /// 404: no such object.
    pub fn not_found(subject: Subject<'_>) -> Self {
        let message = format!("{} {:?} not found", subject.qualified(), subject.name);
        Self::about(404, "NotFound", subject, message)
    }

    /// 404: no such resource type.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: json!({}), ..Self::new(404, "NotFound", message) }
    }

    /// 405: the resource does not know the verb.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self { details: json!({}), ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// 409: an object of that name is there.
    pub fn already_exists(subject: Subject<'_>) -> Self {
        let message = format!("{} {:?} already exists", subject.qualified(), subject.name);
        Self::about(409, "AlreadyExists", subject, message)
    }

    /// 409: optimistic locking or a precondition refused the write.
    pub fn conflict(subject: Subject<'_>, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {:?}: {why}", subject.qualified(), subject.name);
        Self::about(409, "Conflict", subject, message)
    }

    /// 409: the resourceVersion sent is not the stored one.
    pub fn stale(subject: Subject<'_>) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(subject, why)
    }

    /// 422: the object breaks rules of its type.
    pub fn invalid(subject: Subject<'_>, causes: &[Cause]) -> Self {
        let sentences: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let what = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {:?} is invalid: {what}", subject.qualified(), subject.name);
        let mut details = subject.details();
        details.insert("causes".to_owned(), causes.iter().map(Cause::to_json).collect());
        Self { code: 422, reason: "Invalid", message, details: Value::Object(details) }
    }

    /// 403: the caller may not do that; `why` names caller, verb and scope.
    pub fn forbidden(subject: Subject<'_>, why: &str) -> Self {
        let named = if subject.name.is_empty() { String::new() } else { format!(" {:?}", subject.name) };
        let message = format!("{}{named} is forbidden: {why}", subject.qualified());
        Self::about(403, "Forbidden", subject, message)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: the bearer token belongs to nobody.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 410: the history does not reach back that far.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 500: the server cannot answer.
    pub fn internal(why: &str) -> Self {
        let message = format!("Internal error occurred: {why}");
        Self { details: json!({"causes": [{"message": why}]}), ..Self::new(500, "InternalError", message) }
    }

    /// 504: the client has seen a revision that this server has not reached.
    pub fn revision_ahead(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        Self {
            details: json!({"causes": [cause], "retryAfterSeconds": 1}),
            ..Self::new(504, "Timeout", message)
        }
    }

    /// 409: server-side apply would change fields that others own.
    pub fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        let causes: Vec<Value> = causes.iter().map(Cause::to_json).collect();
        Self { details: json!({"causes": causes}), ..Self::new(409, "Conflict", message) }
    }

    /// The seconds after which the server asks to be tried again.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The failure as `metav1.Status`.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Value::Object(fields) = &mut status {
            if !self.reason.is_empty() {
                fields.insert("reason".to_owned(), json!(self.reason));
            }
            if !self.details.is_null() {
                fields.insert("details".to_owned(), self.details.clone());
            }
        }
        status
    }
}
