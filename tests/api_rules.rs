//! Each rule of the schema, accepted and refused, by the same table that real API servers are tried with; and the same
//! judgement by `Policy::compile`, for policies that never meet an API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

use plimsoll::api::{ScalingPolicy, definition_yaml, definitions};
use plimsoll::control::Policy;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Table {
    base: Value,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    patch: Value,
    before: Option<Value>,
    refused: Option<String>,
    #[serde(default)]
    schema: bool,
}

fn table() -> Table {
    serde_saphyr::from_str(include_str!("data/policies/rules.yaml")).unwrap()
}

/// RFC 7386.
fn merged(base: &Value, patch: &Value) -> Value {
    let (Value::Object(base), Value::Object(patch)) = (base, patch) else { return patch.clone() };
    let mut merged_object = base.clone();
    for (key, value) in patch {
        if value.is_null() {
            merged_object.remove(key);
        } else {
            let before = merged_object.get(key).cloned().unwrap_or(Value::Null);
            merged_object.insert(key.clone(), merged(&before, value));
        }
    }
    Value::Object(merged_object)
}

fn schema() -> Value {
    let definition = serde_json::to_value(&definitions()[0]).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn every_rule_accepts_and_refuses_as_the_table_says() {
    let table = table();
    let compiled = kube::core::cel::compile_schema(&schema());
    assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
    for case in table.cases.iter().filter(|case| !case.schema) {
        let object = merged(&table.base, &case.patch);
        let before = case.before.as_ref().map(|before| merged(&table.base, before));
        let result = kube::core::cel::validate_compiled(&compiled, &object, before.as_ref());
        match (&case.refused, result) {
            (None, Ok(())) => {}
            (Some(sentence), Err(errors)) => {
                let text = errors.to_string();
                assert!(text.contains(sentence.as_str()), "{}: {text}", case.name);
            }
            (expected, result) => panic!("{}: expected {expected:?}, got {result:?}", case.name),
        }
    }
}

#[test]
fn every_rule_of_the_schema_is_refused_by_some_case() {
    let table = table();
    let text = schema().to_string();
    let rules = text.matches("\"rule\":").count();
    let sentences: std::collections::BTreeSet<&str> = text
        .split("\"message\":\"")
        .skip(1)
        .filter_map(|rest| rest.split("\",").next().or(Some(rest)))
        .map(|rest| rest.split(['"', '\\']).next().unwrap_or(rest))
        .collect();
    assert!(rules >= sentences.len());
    for sentence in sentences {
        let stem: String = sentence.chars().take(40).collect();
        let refused = table.cases.iter().any(|case| {
            case.refused
                .as_ref()
                .is_some_and(|refused| refused.contains(&stem) || stem.contains(refused.as_str()))
        });
        assert!(refused, "no case is refused with: {sentence}");
    }
}

/// An API server takes a quantity as a string or a whole number only; nothing here would notice.
#[test]
fn no_case_that_is_accepted_writes_a_fraction_without_quotes() {
    fn fraction(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(values) => values.iter().any(fraction),
            Value::Object(fields) => fields.values().any(fraction),
            _ => false,
        }
    }
    for case in table().cases.iter().filter(|case| !case.schema) {
        assert!(!fraction(&case.patch), "{}: quote it", case.name);
    }
}

#[test]
fn a_policy_that_never_met_an_api_server_is_judged_the_same() {
    let table = table();
    for case in table.cases.iter().filter(|case| case.before.is_none()) {
        let object = merged(&table.base, &case.patch);
        let verdict = serde_json::from_value::<ScalingPolicy>(object)
            .map_err(|error| error.to_string())
            .and_then(|policy| Policy::compile(&policy.spec).map(drop).map_err(|error| error.to_string()));
        // Lengths and ranges that only bound the cost of validation are the API server's.
        let only_server = ["nine metrics", "a period of an hour"].contains(&case.name.as_str());
        assert_eq!(verdict.is_err(), case.refused.is_some() && !only_server, "{}: {verdict:?}", case.name);
    }
}

#[test]
fn a_pod_draws_on_a_budget_once() {
    let base = table().base;
    let draw =
        |name: &str| serde_json::json!({"name": name, "budgetRef": {"name": "orders-db"}, "perPod": 5});
    let compile = |ceilings: Value| {
        let object = merged(&base, &serde_json::json!({"spec": {"ceilings": {"connections": ceilings}}}));
        let policy: ScalingPolicy = serde_json::from_value(object).unwrap();
        Policy::compile(&policy.spec).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(compile(serde_json::json!([draw("a")])), Ok(()));
    let twice = compile(serde_json::json!([draw("a"), draw("b")])).unwrap_err();
    assert!(twice.contains("two of them draw on ConnectionBudget orders-db"), "{twice}");
}

#[test]
fn every_field_is_documented_and_every_string_and_list_is_bounded() {
    fn walk(schema: &Value, path: &str, faults: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                if property["description"].as_str().is_none_or(|text| text.len() < 8) {
                    faults.push(format!("{path} is not documented"));
                }
                let bounded = !path.starts_with(".spec")
                    || property["enum"].is_array()
                    || property["format"] == "date-time"
                    || match property["type"].as_str() {
                        Some("string") => property["maxLength"].is_u64(),
                        Some("array") => property["maxItems"].is_u64(),
                        Some("integer") => property["maximum"].is_number(),
                        _ => true,
                    };
                if !bounded {
                    faults.push(format!("{path} is not bounded"));
                }
                walk(property, &path, faults);
                walk(&property["items"], &format!("{path}[]"), faults);
            }
        }
    }
    let mut faults = Vec::new();
    walk(&schema(), "", &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_files_in_crds_are_what_the_code_says() {
    for definition in definitions() {
        let name = definition.metadata.name.clone().unwrap();
        let path = format!("crds/{name}.yaml");
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == definition_yaml(&definition).unwrap(), "{path} is out of date: run `make crds`");
    }
}
