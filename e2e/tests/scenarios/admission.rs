//! The API server refuses what one object can get wrong, with a sentence that says what to write instead.

use std::sync::Arc;

use e2e::bed::{Bed, Floor};
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, ResourceExt};
use plimsoll::api::ScalingPolicy;
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
    /// Whether the structural schema refuses it, whose sentences are the API server's own.
    #[serde(default)]
    schema: bool,
}

pub(crate) async fn every_rule(bed: Arc<Bed>) {
    let table: Table =
        serde_saphyr::from_str(include_str!("../../../tests/data/policies/rules.yaml")).unwrap();
    bed.namespace("admission").await.unwrap();
    let client = bed.client().await.unwrap();
    let policies: Api<DynamicObject> =
        Api::namespaced_with(client, "admission", &ApiResource::erase::<ScalingPolicy>(&()));
    let merged = |patch: &Value| {
        let mut policy = table.base.clone();
        json_patch::merge(&mut policy, patch);
        policy["metadata"]["namespace"] = "admission".into();
        policy
    };
    let read = |policy: Value| serde_json::from_value::<DynamicObject>(policy).unwrap();
    let trial = PostParams { dry_run: true, ..PostParams::default() };
    let before =
        policies.create(&PostParams::default(), &read(merged(&serde_json::json!({})))).await.unwrap();
    let mut faults = Vec::new();
    for case in &table.cases {
        let mut object = merged(&case.patch);
        let answer = if case.before.is_some() {
            object["metadata"]["resourceVersion"] = before.resource_version().into();
            policies.replace(&before.name_any(), &trial, &read(object)).await
        } else {
            object["metadata"]["name"] = "another".into();
            policies.create(&trial, &read(object)).await
        };
        match (&case.refused, answer) {
            (None, Ok(_)) => {}
            (Some(sentence), Err(kube::Error::Api(status))) if status.code == 422 => {
                let exact = bed.floor() == Floor::Real || !case.schema;
                if exact && !status.message.contains(sentence.as_str()) {
                    faults.push(format!("{}: {}", case.name, status.message));
                }
            }
            (expected, answer) => {
                faults.push(format!("{}: expected {expected:?}, got {answer:?}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(table.cases.iter().filter(|case| case.refused.is_some()).count() >= 35);
    let stored = policies.list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(stored, 1, "nothing that was tried is stored");
}
