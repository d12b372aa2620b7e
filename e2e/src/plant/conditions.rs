//! Conditions in an object's status.

use serde_json::{Value, json};

use crate::apiserver::object;

/// Whether the condition `kind` of `object` is true.
pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    let condition = object::entry(object, &["status", "conditions"], "type", kind);
    condition.is_some_and(|condition| object::text(condition, &["status"]) == "True")
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    True,
    False,
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Sets a condition in a list of them; its lastTransitionTime moves only when its status does.
pub(super) fn set(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: impl Into<Verdict>,
    reason: &str,
    message: &str,
    now: &str,
) {
    let word = status.into().word();
    let known = conditions.iter_mut().find(|condition| object::text(condition, &["type"]) == kind);
    if let Some(condition) = known {
        if object::text(condition, &["status"]) != word {
            object::set(condition, &["lastTransitionTime"], now);
        }
        object::set(condition, &["status"], word);
        put(condition, "reason", reason);
        put(condition, "message", message);
    } else {
        let mut condition = json!({"type": kind, "status": word, "lastTransitionTime": now});
        put(&mut condition, "reason", reason);
        put(&mut condition, "message", message);
        conditions.push(condition);
    }
}

fn put(condition: &mut Value, field: &str, text: &str) {
    if text.is_empty() {
        object::remove(condition, &[field]);
    } else {
        object::set(condition, &[field], text);
    }
}
