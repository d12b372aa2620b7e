//! Custom resources: from a CustomResourceDefinition to the kinds it serves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use kube::core::cel::{CompiledSchema, ErrorKind, RootContext, ValidationError, Validator, compile_schema};
use serde_json::{Map, Value, json};

use super::jsonpath::JsonPath;
use super::kinds::{ALL_VERBS, Conversion, Kind, ScalePaths, ScaleSelector};
use super::object;
use super::schema::{Schema, Type, builtin, compile};
use super::status::Cause;

/// What only kinds of CRDs have.
pub(crate) struct Custom {
    pub(crate) rules: CompiledSchema,
    pub(crate) openapi: Value,
    pub(crate) columns: Vec<Column>,
    /// The fields of an object with rules in them; none if it has rules of its own.
    ruled: Option<Vec<String>>,
    root: RootContext,
}

impl std::fmt::Debug for Custom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custom").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A column of `kubectl get`.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) path: JsonPath,
}

impl Custom {
    /// Whether the schema has any CEL rule.
    pub(crate) fn has_rules(&self) -> bool {
        has_rules(&self.openapi)
    }

    /// What the CEL rules refuse in `object`; `old` is there on updates.
    pub(crate) fn broken_rules(
        &self,
        validator: &Validator,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<Cause> {
        // What was valid when it was stored, and has not changed, is valid; a status says nothing to most rules.
        if let (Some(old), Some(ruled)) = (old, &self.ruled)
            && ruled.iter().all(|field| old.get(field) == object.get(field))
        {
            return Vec::new();
        }
        match validator.validate_compiled_with_context(&self.rules, object, old, Some(&self.root)) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| cause_of(&error)).collect(),
        }
    }
}

fn cause_of(error: &ValidationError) -> Cause {
    let why = match error.kind {
        ErrorKind::ValidationFailure => error.message.clone(),
        _ => format!("rule {:?}: {}", error.rule, error.message),
    };
    let path = error.field_path.trim_start_matches('.');
    match error.reason.as_deref() {
        Some("FieldValueForbidden") => Cause::forbidden(path, &why),
        Some("FieldValueRequired") => Cause::required(path, &why),
        Some("FieldValueDuplicate") => {
            Cause { reason: "FieldValueDuplicate", ..Cause::invalid_without_value(path, why) }
        }
        _ => Cause::invalid_without_value(path, why),
    }
}

/// The kinds that `crd` serves, one for each served version. Tests install the same definitions again and again, and
/// compiling them takes longer than many a test: the last few are kept.
pub(crate) fn kinds_of(crd: &Value) -> Result<Vec<Arc<Kind>>, Vec<Cause>> {
    type Known = (String, Value, Vec<Arc<Kind>>);
    static KNOWN: Mutex<VecDeque<Known>> = Mutex::new(VecDeque::new());
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let (name, spec) = (object::name(crd), crd.get("spec").unwrap_or(&Value::Null));
    if let Some((.., kinds)) = lock().iter().find(|(known, of, _)| known == name && of == spec) {
        return Ok(kinds.clone());
    }
    let kinds: Vec<Arc<Kind>> = compiled_kinds_of(crd)?.into_iter().map(Arc::new).collect();
    let mut known = lock();
    known.truncate(MOST_KNOWN - 1);
    known.push_front((name.to_owned(), spec.clone(), kinds.clone()));
    Ok(kinds)
}

/// So many definitions are kept compiled.
const MOST_KNOWN: usize = 8;

fn compiled_kinds_of(crd: &Value) -> Result<Vec<Kind>, Vec<Cause>> {
    let mut kinds = Vec::new();
    let mut causes = name_problems(crd);
    for (index, version) in object::list(crd, &["spec", "versions"]).iter().enumerate() {
        match kind_of(crd, version, &format!("spec.versions[{index}]")) {
            Ok(kind) if version.get("served").and_then(Value::as_bool) == Some(true) => kinds.push(kind),
            Ok(_) => {}
            Err(found) => causes.extend(found),
        }
    }
    if causes.is_empty() { Ok(kinds) } else { Err(causes) }
}

fn name_problems(crd: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let wanted = format!(
        "{}.{}",
        object::text(crd, &["spec", "names", "plural"]),
        object::text(crd, &["spec", "group"])
    );
    if object::name(crd) != wanted {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(object::name(crd)), why));
    }
    let is_stored = |version: &&Value| version.get("storage").and_then(Value::as_bool) == Some(true);
    if object::list(crd, &["spec", "versions"]).iter().filter(is_stored).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid_without_value("spec.versions", why));
    }
    for field in ["plural", "kind"] {
        if object::text(crd, &["spec", "names", field]).is_empty() {
            causes.push(Cause::required(format!("spec.names.{field}"), ""));
        }
    }
    causes
}

fn kind_of(crd: &Value, version: &Value, path: &str) -> Result<Kind, Vec<Cause>> {
    let group = object::text(crd, &["spec", "group"]).to_owned();
    let name = object::text(version, &["name"]).to_owned();
    let names = |field: &str| object::text(crd, &["spec", "names", field]).to_owned();
    let list = |field: &str| -> Vec<String> {
        let listed = object::list(crd, &["spec", "names", field]);
        listed.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    let Some(openapi) = object::at(version, &["schema", "openAPIV3Schema"]) else {
        return Err(vec![Cause::required(schema_path, "schemas are required")]);
    };
    let mut causes = rule_problems(openapi, &schema_path);
    let schema =
        compile_root(openapi).map_err(|why| vec![Cause::invalid_without_value(&schema_path, why)])?;
    let columns = columns(version, path).unwrap_or_else(|cause| {
        causes.push(cause);
        Vec::new()
    });
    if !causes.is_empty() {
        return Err(causes);
    }
    let (plural, kind) = (names("plural"), names("kind"));
    let reversed: Vec<&str> = group.rsplit('.').collect();
    let definition = format!("{}.{name}.{kind}", reversed.join("."));
    let api_version = format!("{group}/{name}");
    Ok(Kind {
        storage: format!("{plural}.{group}"),
        singular: Some(names("singular")).filter(|s| !s.is_empty()).unwrap_or_else(|| kind.to_lowercase()),
        short_names: list("shortNames"),
        categories: list("categories"),
        namespaced: object::text(crd, &["spec", "scope"]) == "Namespaced",
        verbs: ALL_VERBS,
        status: object::at(version, &["subresources", "status"]).is_some(),
        scale: object::at(version, &["subresources", "scale"]).map(scale_paths),
        generation: true,
        schema: Arc::new(schema),
        definition,
        selectable: object::list(version, &["selectableFields"])
            .iter()
            .map(|field| object::text(field, &["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
        conversion: Conversion::None,
        custom: Some(Custom {
            rules: compile_schema(openapi),
            openapi: openapi.clone(),
            columns,
            ruled: ruled_fields(openapi),
            root: RootContext { api_version, api_group: group.clone(), kind: kind.clone() },
        }),
        plural,
        kind,
        version: name,
        group,
    })
}

/// A custom resource's schema with what every object has beside it.
fn compile_root(openapi: &Value) -> Result<Schema, String> {
    let mut schema = compile(openapi, &Map::new())?;
    let text =
        || Arc::new(Schema { kind: Type::String, nullable: false, keep_unknown: false, ..Schema::any() });
    schema.properties.insert("apiVersion".to_owned(), text());
    schema.properties.insert("kind".to_owned(), text());
    schema.properties.insert("metadata".to_owned(), Arc::clone(&builtin::OBJECT_META));
    Ok(schema)
}

fn scale_paths(scale: &Value) -> ScalePaths {
    let path = |field: &str| -> Vec<String> {
        let text = object::text(scale, &[field]);
        text.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
    };
    let selector = path("labelSelectorPath");
    ScalePaths {
        spec_replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        selector: if selector.is_empty() { ScaleSelector::None } else { ScaleSelector::Text(selector) },
    }
}

fn columns(version: &Value, path: &str) -> Result<Vec<Column>, Cause> {
    let listed = object::list(version, &["additionalPrinterColumns"]).iter().enumerate();
    let column = |(index, column): (usize, &Value)| {
        let text = |field: &str| object::text(column, &[field]).to_owned();
        let field = format!("{path}.additionalPrinterColumns[{index}].jsonPath");
        let compiled = JsonPath::parse(&text("jsonPath"))
            .map_err(|why| Cause::invalid(field, &json!(text("jsonPath")), why))?;
        Ok(Column {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            description: text("description"),
            priority: object::integer(column, &["priority"]).unwrap_or(0),
            path: compiled,
        })
    };
    listed.map(column).collect()
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.contains_key("x-kubernetes-validations") || fields.values().any(has_rules)
        }
        Value::Array(entries) => entries.iter().any(has_rules),
        _ => false,
    }
}

fn ruled_fields(openapi: &Value) -> Option<Vec<String>> {
    if openapi.get("x-kubernetes-validations").is_some() {
        return None;
    }
    let fields = openapi.get("properties").and_then(Value::as_object).into_iter().flatten();
    Some(fields.filter(|(_, schema)| has_rules(schema)).map(|(field, _)| field.clone()).collect())
}

/// The CEL rules that do not compile, each with its path.
fn rule_problems(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (index, rule) in object::list(schema, &["x-kubernetes-validations"]).iter().enumerate() {
        let alone = compile_schema(&json!({"x-kubernetes-validations": [rule]}));
        for problem in alone.validations.iter().filter_map(|validation| validation.as_ref().err()) {
            let field = format!("{path}.x-kubernetes-validations[{index}].rule");
            let text = json!(object::text(rule, &["rule"]));
            causes.push(Cause::invalid(field, &text, format!("compilation failed: {problem}")));
        }
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        causes.extend(rule_problems(field, &format!("{path}.properties[{name}]")));
    }
    for nested in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(nested) {
            causes.extend(rule_problems(inner, &format!("{path}.{nested}")));
        }
    }
    causes
}

/// The status that the server gives a CRD as soon as it serves it.
pub(crate) fn established_status(crd: &Value, now: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message});
    let known = |kind: &str, new: Value| {
        object::entry(crd, &["status", "conditions"], "type", kind).cloned().unwrap_or(new)
    };
    let mut names = object::at(crd, &["spec", "names"]).cloned().unwrap_or_default();
    let kind = object::text(&names, &["kind"]).to_owned();
    object::set_default(&mut names, &["singular"], kind.to_lowercase());
    object::set_default(&mut names, &["listKind"], format!("{kind}List"));
    let versions = object::list(crd, &["spec", "versions"]).iter();
    let stored: Vec<&str> = versions
        .filter(|version| version.get("storage").and_then(Value::as_bool) == Some(true))
        .map(|version| object::text(version, &["name"]))
        .collect();
    json!({
        "acceptedNames": names,
        "conditions": [
            known("NamesAccepted", condition("NamesAccepted", "NoConflicts", "no conflicts found")),
            known("Established", condition("Established", "InitialNamesAccepted", "the initial names have been accepted")),
        ],
        "storedVersions": stored,
    })
}
