//! Creating and updating objects: the same way for every door, from what was sent to what is stored.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::cluster::{CRDS, Cluster, served};
use super::custom::established_status;
use super::incoming::{FieldValidation, decode, settle_address};
use super::kinds::{Conversion, Kind};
use super::object;
use super::ownership::{self, Writer, differs_beyond_ownership, same_ownership};
use super::scale;
use super::schema;
use super::status::{Cause, Failure, Subject};
use super::store::{Object, Stored};
use super::strategy;
use crate::clock::whole_seconds;

/// How a write is to be done.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) manager: String,
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
    /// Server-side apply takes fields from others.
    pub(crate) force: bool,
    pub(crate) now: Timestamp,
}

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Main,
    Status,
    Scale,
}

impl Door {
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }

    /// Whether this door may change the top-level field `name` of `kind`.
    fn may_change(self, kind: &Kind, name: &str) -> bool {
        match self {
            Self::Status => name == "status",
            Self::Main => !(kind.status && name == "status"),
            Self::Scale => name == "spec",
        }
    }
}

/// The answer to a write.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The object as stored, or as it would have been.
    pub(crate) object: Object,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

impl Cluster {
    /// POST.
    pub(crate) fn create(
        &mut self,
        kind: &Kind,
        namespace: &str,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let (object, warnings) = decode(kind, object, options.field_validation)?;
        if !object::resource_version(&object).is_empty() {
            return Err(Failure::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        self.insert(kind, namespace, object, None, warnings, options)
    }

    /// Creates the object; `managed_fields` is there if it was applied.
    fn insert(
        &mut self,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        managed_fields: Option<Value>,
        warnings: Vec<String>,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        self.place(kind, namespace, &mut object)?;
        self.name(&mut object);
        self.stamp(&mut object, options);
        set_defaults(kind, &mut object);
        strategy::prepare_create(kind, &mut object);
        self.allocate(kind, &mut object);
        self.check(kind, &object, None)?;
        let name = object::name(&object).to_owned();
        if self.store.get(&kind.storage, namespace, &name).is_some() {
            return Err(Failure::already_exists(kind.resource_subject(&name)));
        }
        let managed_fields = managed_fields.unwrap_or_else(|| own_new(kind, &object, options));
        object::set(&mut object, &["metadata", "managedFields"], managed_fields);
        if kind.storage == CRDS {
            let status = established_status(&object, &now(options));
            object::set(&mut object, &["status"], status);
        }
        if options.dry_run {
            return Ok(Written { object: Stored::unsaved(object), created: true, warnings });
        }
        if kind.storage == CRDS {
            self.install(kind, &object)?;
        }
        let stored = self.store.put(&kind.storage, object);
        Ok(Written { object: stored, created: true, warnings })
    }

    /// PUT on an object or one of its doors.
    pub(crate) fn update(
        &mut self,
        kind: &Kind,
        door: Door,
        key: (&str, &str),
        object: Value,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let (namespace, name) = key;
        let (mut object, warnings) = decode(kind, object, options.field_validation)?;
        settle_address(kind, key, &mut object)?;
        let old = self.stored(kind, namespace, name)?;
        if object::resource_version(&object).is_empty() && needs_resource_version(kind) {
            let zero = serde_json::json!(0);
            let cause = Cause::invalid("metadata.resourceVersion", &zero, "must be specified for an update");
            return Err(Failure::invalid(kind.resource_subject(name), &[cause]));
        }
        let uid = object::uid(&object);
        if !uid.is_empty() && uid != object::uid(&old.value) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::uid(&old.value)
            );
            return Err(Failure::conflict(kind.resource_subject(name), &why));
        }
        self.replace(kind, door, &old, object, None, warnings, options)
    }

    /// Puts `object`, the outcome of a PUT, a patch or an apply, in the place of `old`.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is a different thing that the doors know and the pipeline needs"
    )]
    pub(crate) fn replace(
        &mut self,
        kind: &Kind,
        door: Door,
        old: &Object,
        mut object: Value,
        managed_fields: Option<Value>,
        warnings: Vec<String>,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let name = object::name(&old.value).to_owned();
        let seen = object::resource_version(&object);
        if !seen.is_empty() && seen != object::resource_version(&old.value) {
            return Err(Failure::stale(kind.resource_subject(&name)));
        }
        for field in SYSTEM_FIELDS {
            object::copy(&mut object, &old.value, &["metadata", field]);
        }
        set_defaults(kind, &mut object);
        match door {
            Door::Main => strategy::prepare_update(kind, &mut object, &old.value),
            Door::Status => strategy::prepare_status_update(kind, &mut object, &old.value),
            Door::Scale => {}
        }
        if kind.generation && door != Door::Status && strategy::changes_generation(kind, &old.value, &object)
        {
            let generation =
                object::integer(&old.value, &["metadata", "generation"]).unwrap_or(0).saturating_add(1);
            object::set(&mut object, &["metadata", "generation"], generation);
        }
        self.check(kind, &object, Some(&old.value))?;
        if kind.storage == CRDS {
            let status = established_status(&object, &now(options));
            object::set(&mut object, &["status"], status);
        }
        let managed_fields =
            managed_fields.unwrap_or_else(|| own_changes(kind, door, &old.value, &object, options));
        let before = object::at(&old.value, &["metadata", "managedFields"]).cloned().unwrap_or_default();
        if !differs_beyond_ownership(&old.value, &object) && same_ownership(&before, &managed_fields) {
            return Ok(Written { object: Arc::clone(old), created: false, warnings });
        }
        object::set(&mut object, &["metadata", "managedFields"], managed_fields);
        if options.dry_run {
            return Ok(Written { object: Stored::unsaved(object), created: false, warnings });
        }
        if kind.storage == CRDS {
            self.install(kind, &object)?;
        }
        let stored = self.store.put(&kind.storage, object);
        let is_released = object::is_terminating(&stored.value) && !is_held(kind, &stored.value);
        if is_released {
            self.take_away(kind, &stored.value);
        }
        Ok(Written { object: stored, created: false, warnings })
    }

    /// PATCH with server-side apply.
    pub(crate) fn apply(
        &mut self,
        kind: &Kind,
        door: Door,
        key: (&str, &str),
        config: Value,
        options: &WriteOptions,
    ) -> Result<Written, Failure> {
        let (namespace, name) = key;
        if object::at(&config, &["metadata", "managedFields"]).is_some() {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let (mut config, warnings) = decode(kind, config, options.field_validation)?;
        if door != Door::Scale {
            object::set_default(&mut config, &["metadata", "name"], name);
            settle_address(kind, key, &mut config)?;
        }
        let old = self.store.get(&kind.storage, namespace, name).cloned();
        if old.is_none() && door != Door::Main {
            return Err(Failure::not_found(kind.resource_subject(name)));
        }
        let now = now(options);
        let writer = writer(kind, door, options, &now);
        let seen = object::resource_version(&config).to_owned();
        object::remove(&mut config, &["metadata", "resourceVersion"]);
        let live = old.as_ref().map_or(&Value::Null, |old| &old.value);
        let may_change = |field: &str| door.may_change(kind, field);
        let applied = ownership::apply(live, &config, &kind.schema, &writer, options.force, &may_change)?;
        let mut object = applied.object;
        let Some(old) = old else {
            if !seen.is_empty() && seen != "0" {
                return Err(Failure::stale(kind.resource_subject(name)));
            }
            return self.insert(kind, namespace, object, Some(applied.managed_fields), warnings, options);
        };
        if !seen.is_empty() {
            object::set(&mut object, &["metadata", "resourceVersion"], seen);
        }
        self.replace(kind, door, &old, object, Some(applied.managed_fields), warnings, options)
    }

    /// The namespace of the URL becomes the object's; it must be there and not be on its way out.
    fn place(&self, kind: &Kind, namespace: &str, object: &mut Value) -> Result<(), Failure> {
        if !kind.namespaced {
            object::remove(object, &["metadata", "namespace"]);
            return Ok(());
        }
        let named = object::namespace(object);
        if !named.is_empty() && named != namespace {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Failure::bad_request(why));
        }
        object::set(object, &["metadata", "namespace"], namespace);
        let Some(home) = self.store.get("namespaces.", "", namespace) else {
            let missing = Subject { group: "", kind: "namespaces", name: namespace };
            return Err(Failure::not_found(missing));
        };
        if object::is_terminating(&home.value) {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return Err(Failure::forbidden(kind.resource_subject(object::name(object)), &why));
        }
        Ok(())
    }

    fn name(&mut self, object: &mut Value) {
        let prefix = object::text(object, &["metadata", "generateName"]).to_owned();
        if object::name(object).is_empty() && !prefix.is_empty() {
            let name = format!("{prefix}{}", self.random.suffix(5));
            object::set(object, &["metadata", "name"], name);
        }
    }

    fn stamp(&mut self, object: &mut Value, options: &WriteOptions) {
        for field in SYSTEM_FIELDS {
            object::remove(object, &["metadata", field]);
        }
        object::remove(object, &["metadata", "resourceVersion"]);
        object::set(object, &["metadata", "uid"], self.random.uuid());
        object::set(object, &["metadata", "creationTimestamp"], now(options));
    }

    /// Gives a service its address.
    fn allocate(&mut self, kind: &Kind, object: &mut Value) {
        let is_service =
            kind.storage == "services." && object::text(object, &["spec", "clusterIP"]).is_empty();
        if is_service && object::text(object, &["spec", "type"]) != "ExternalName" {
            let host = self.random.below(0xfffe).saturating_add(1);
            let address = format!("10.96.{}.{}", host >> 8, host & 0xff);
            object::set(object, &["spec", "clusterIP"], address.as_str());
            object::set(object, &["spec", "clusterIPs"], serde_json::json!([address]));
        }
    }

    fn install(&mut self, kind: &Kind, crd: &Value) -> Result<(), Failure> {
        self.install_kinds(crd)
            .map_err(|causes| Failure::invalid(kind.kind_subject(object::name(crd)), &causes))
    }

    /// Refuses what breaks the rules of the type, with all causes in one answer.
    fn check(&self, kind: &Kind, object: &Value, old: Option<&Value>) -> Result<(), Failure> {
        let mut causes = strategy::name_problems(object);
        match &kind.custom {
            None => {
                causes.extend(strategy::all_problems(kind, object, old));
                if kind.storage == CRDS {
                    causes.extend(super::custom::kinds_of(object).err().unwrap_or_default());
                }
            }
            Some(custom) => {
                let broken = schema::validate(object, &kind.schema, "");
                let can_be_ruled = !broken.iter().any(keeps_rules_from_running);
                causes.extend(broken);
                causes.extend(scale::replica_problems(kind, object));
                if can_be_ruled {
                    causes.extend(custom.broken_rules(&self.validator, object, old));
                } else if custom.has_rules() {
                    causes.push(Cause::invalid("<nil>", &Value::Null, RULES_NOT_CHECKED));
                }
            }
        }
        if causes.is_empty() {
            return Ok(());
        }
        Err(Failure::invalid(kind.kind_subject(object::name(object)), &causes))
    }
}

/// Rules run only on objects whose shape they can rely on.
fn keeps_rules_from_running(cause: &Cause) -> bool {
    matches!(
        cause.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

const RULES_NOT_CHECKED: &str = "some validation rules were not checked because the object was invalid; correct the \
    existing errors to complete validation";

/// Metadata that only the system writes.
const SYSTEM_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// Whether a terminating object still waits for somebody.
pub(crate) fn is_held(kind: &Kind, object: &Value) -> bool {
    let has = |path: &[&str]| !object::list(object, path).is_empty();
    let is_draining = kind.storage == "pods."
        && object::integer(object, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) > 0;
    has(&["metadata", "finalizers"])
        || (kind.storage == "namespaces." && has(&["spec", "finalizers"]))
        || is_draining
}

/// The moment of a write, as objects show it.
fn now(options: &WriteOptions) -> String {
    whole_seconds(options.now)
}

fn writer<'a>(kind: &Kind, door: Door, options: &'a WriteOptions, now: &'a str) -> Writer<'a> {
    // A real server forgets when somebody scaled.
    let now = if door == Door::Scale { "" } else { now };
    Writer {
        manager: &options.manager,
        api_version: kind.api_version(),
        subresource: door.subresource(),
        now,
    }
}

/// Types whose PUT must say which state it replaces.
fn needs_resource_version(kind: &Kind) -> bool {
    kind.is_custom()
        || kind.storage == CRDS
        || matches!(kind.storage.as_str(), "leases.coordination.k8s.io" | "poddisruptionbudgets.policy")
}

/// The managedFields of an object that is being created.
fn own_new(kind: &Kind, object: &Value, options: &WriteOptions) -> Value {
    let now = now(options);
    let writer = writer(kind, Door::Main, options, &now);
    ownership::record_update(&strategy::blank(kind), &as_served(kind, object), &kind.schema, &writer)
}

/// The managedFields after `old` became `new`.
fn own_changes(kind: &Kind, door: Door, old: &Value, new: &Value, options: &WriteOptions) -> Value {
    if door == Door::Scale && scale::is_to_zero(kind, new) {
        // A Scale leaves a count of zero out, so that nobody has set it.
        return ownership::record_loss(old, new, &kind.schema);
    }
    let now = now(options);
    let writer = writer(kind, door, options, &now);
    ownership::record_update(&as_served(kind, old), &as_served(kind, new), &kind.schema, &writer)
}

/// The form of an object in which its fields are owned.
fn as_served<'a>(kind: &Kind, stored: &'a Value) -> Cow<'a, Value> {
    match kind.conversion {
        Conversion::None => Cow::Borrowed(stored),
        Conversion::Events => Cow::Owned(served(kind, stored)),
    }
}

fn set_defaults(kind: &Kind, object: &mut Value) {
    if kind.is_custom() {
        schema::apply_defaults(object, &kind.schema);
    } else {
        strategy::apply_defaults(kind, object);
    }
}
