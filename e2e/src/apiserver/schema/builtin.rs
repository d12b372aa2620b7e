//! The schemas of the built-in kinds, as `k8s-openapi` describes them, with what it leaves out: how lists and maps
//! are merged and owned.

use std::sync::{Arc, LazyLock};

use k8s_openapi::api::{
    apps::v1 as apps, authorization::v1 as authorization, autoscaling::v2 as autoscaling,
    coordination::v1 as coordination, core::v1 as core, events::v1 as events, policy::v1 as policy,
    rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Schema, compile};
use crate::apiserver::object;

/// The schemas of all built-in kinds as OpenAPI v3 components, by their definitions' names.
pub(crate) static DEFINITIONS: LazyLock<Map<String, Value>> = LazyLock::new(definitions);

/// The compiled schema of `definition`, e.g. `io.k8s.api.core.v1.Pod`; allows anything where there is none.
pub(crate) fn schema(definition: &str) -> Arc<Schema> {
    let reference = json!({"$ref": format!("#/components/schemas/{definition}")});
    Arc::new(compile(&reference, &DEFINITIONS).unwrap_or_else(|_| Schema::any()))
}

/// The schema of `metadata`, common to all kinds.
pub(crate) static OBJECT_META: LazyLock<Arc<Schema>> =
    LazyLock::new(|| schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));

fn definitions() -> Map<String, Value> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    add::<core::Namespace>(&mut generator);
    add::<core::Pod>(&mut generator);
    add::<core::Event>(&mut generator);
    add::<core::ConfigMap>(&mut generator);
    add::<core::Service>(&mut generator);
    add::<core::ServiceAccount>(&mut generator);
    add::<core::Secret>(&mut generator);
    add::<core::Node>(&mut generator);
    add::<rbac::Role>(&mut generator);
    add::<rbac::RoleBinding>(&mut generator);
    add::<rbac::ClusterRole>(&mut generator);
    add::<rbac::ClusterRoleBinding>(&mut generator);
    add::<events::Event>(&mut generator);
    add::<coordination::Lease>(&mut generator);
    add::<apps::Deployment>(&mut generator);
    add::<apps::ReplicaSet>(&mut generator);
    add::<apps::StatefulSet>(&mut generator);
    add::<autoscaling::HorizontalPodAutoscaler>(&mut generator);
    add::<policy::PodDisruptionBudget>(&mut generator);
    add::<authorization::SelfSubjectAccessReview>(&mut generator);
    add::<apiextensions::CustomResourceDefinition>(&mut generator);
    let mut definitions = generator.take_definitions(true);
    annotate(&mut definitions);
    definitions
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

fn annotate(definitions: &mut Map<String, Value>) {
    // Objects whose fields the schema does not name, such as FieldsV1, hold anything.
    for schema in definitions.values_mut() {
        let is_open = object::text(schema, &["type"]) == "object"
            && schema.get("properties").is_none()
            && schema.get("additionalProperties").is_none();
        if is_open {
            object::set(schema, &["x-kubernetes-preserve-unknown-fields"], true);
        }
    }
    for (definition, field, keys, merge_key) in LISTS {
        let extensions = json!({
            "x-kubernetes-list-type": if keys.is_empty() { "set" } else { "map" },
            "x-kubernetes-list-map-keys": keys,
            "x-kubernetes-patch-strategy": "merge",
            "x-kubernetes-patch-merge-key": merge_key,
        });
        extend(definitions, definition, field, &extensions);
    }
    for definition in ["core.v1/ContainerPort", "core.v1/ServicePort"] {
        // Part of the ports' key, so that an applied port without it is the same port.
        extend(definitions, definition, "protocol", &json!({"default": "TCP"}));
    }
    for (definition, field) in ATOMIC_MAPS {
        extend(definitions, definition, field, &json!({"x-kubernetes-map-type": "atomic"}));
    }
    for definition in ATOMIC_STRUCTS {
        if let Some(schema) = definitions.get_mut(&full_name(definition)) {
            object::set(schema, &["x-kubernetes-map-type"], "atomic");
        }
    }
}

fn extend(definitions: &mut Map<String, Value>, definition: &str, field: &str, extensions: &Value) {
    let Some(schema) = definitions.get_mut(&full_name(definition)) else { return };
    for (key, value) in extensions.as_object().into_iter().flatten() {
        let is_empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            object::set(schema, &["properties", field, key], value.clone());
        }
    }
}

fn full_name(definition: &str) -> String {
    match definition.split_once('/') {
        Some(("meta", kind)) => format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"),
        Some(("apiextensions", kind)) => {
            format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.{kind}")
        }
        Some((group, kind)) => format!("io.k8s.api.{group}.{kind}"),
        None => definition.to_owned(),
    }
}

/// Definition, field, keys of a list map (none: a set), merge key of strategic merge patches (none: not by key).
const LISTS: &[(&str, &str, &[&str], &str)] = &[
    ("meta/ObjectMeta", "finalizers", &[], ""),
    ("meta/ObjectMeta", "ownerReferences", &["uid"], "uid"),
    ("apps.v1/DeploymentStatus", "conditions", &["type"], "type"),
    ("apps.v1/ReplicaSetStatus", "conditions", &["type"], "type"),
    ("apps.v1/StatefulSetStatus", "conditions", &["type"], "type"),
    ("autoscaling.v2/HorizontalPodAutoscalerStatus", "conditions", &["type"], "type"),
    ("policy.v1/PodDisruptionBudgetStatus", "conditions", &["type"], "type"),
    ("apiextensions/CustomResourceDefinitionStatus", "conditions", &["type"], ""),
    ("core.v1/Container", "env", &["name"], "name"),
    ("core.v1/Container", "ports", &["containerPort", "protocol"], "containerPort"),
    ("core.v1/Container", "volumeDevices", &["devicePath"], "devicePath"),
    ("core.v1/Container", "volumeMounts", &["mountPath"], "mountPath"),
    ("core.v1/EphemeralContainer", "env", &["name"], "name"),
    ("core.v1/EphemeralContainer", "ports", &["containerPort", "protocol"], "containerPort"),
    ("core.v1/EphemeralContainer", "volumeMounts", &["mountPath"], "mountPath"),
    ("core.v1/NamespaceStatus", "conditions", &["type"], "type"),
    ("core.v1/NodeSpec", "podCIDRs", &[], ""),
    ("core.v1/NodeStatus", "addresses", &["type"], "type"),
    ("core.v1/NodeStatus", "conditions", &["type"], "type"),
    ("core.v1/PodSpec", "containers", &["name"], "name"),
    ("core.v1/PodSpec", "ephemeralContainers", &["name"], "name"),
    ("core.v1/PodSpec", "hostAliases", &["ip"], "ip"),
    ("core.v1/PodSpec", "imagePullSecrets", &["name"], "name"),
    ("core.v1/PodSpec", "initContainers", &["name"], "name"),
    ("core.v1/PodSpec", "resourceClaims", &["name"], "name"),
    ("core.v1/PodSpec", "schedulingGates", &["name"], "name"),
    ("core.v1/PodSpec", "topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], "topologyKey"),
    ("core.v1/PodSpec", "volumes", &["name"], "name"),
    ("core.v1/PodStatus", "conditions", &["type"], "type"),
    ("core.v1/PodStatus", "podIPs", &["ip"], "ip"),
    ("core.v1/ResourceRequirements", "claims", &["name"], ""),
    ("core.v1/ServiceAccount", "secrets", &["name"], "name"),
    ("core.v1/ServiceSpec", "ports", &["port", "protocol"], "port"),
    ("core.v1/ServiceStatus", "conditions", &["type"], "type"),
];

const ATOMIC_MAPS: &[(&str, &str)] =
    &[("core.v1/PodSpec", "nodeSelector"), ("core.v1/ServiceSpec", "selector")];

const ATOMIC_STRUCTS: &[&str] = &[
    "core.v1/ConfigMapKeySelector",
    "core.v1/FileKeySelector",
    "core.v1/LocalObjectReference",
    "core.v1/NodeSelector",
    "core.v1/NodeSelectorTerm",
    "core.v1/ObjectFieldSelector",
    "core.v1/ObjectReference",
    "core.v1/ResourceFieldSelector",
    "core.v1/SecretKeySelector",
    "core.v1/TypedLocalObjectReference",
    "meta/LabelSelector",
    "meta/OwnerReference",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::schema::{ListType, Type};

    #[test]
    fn every_row_of_the_tables_names_a_field_that_exists() {
        for (definition, field) in
            LISTS.iter().map(|(d, f, ..)| (d, f)).chain(ATOMIC_MAPS.iter().map(|(d, f)| (d, f)))
        {
            let schema = DEFINITIONS.get(&full_name(definition)).unwrap_or_else(|| panic!("{definition}"));
            assert!(schema.pointer(&format!("/properties/{field}/type")).is_some(), "{definition} {field}");
        }
        for definition in ATOMIC_STRUCTS {
            assert!(DEFINITIONS.contains_key(&full_name(definition)), "{definition}");
        }
    }

    #[test]
    fn a_deployments_containers_are_a_map_by_name_and_its_selector_is_one_value() {
        let deployment = schema("io.k8s.api.apps.v1.Deployment");
        let field = |schema: &Arc<Schema>, name: &str| Arc::clone(&schema.properties[name]);
        let spec = field(&deployment, "spec");
        assert!(field(&spec, "selector").atomic);
        assert_eq!(field(&spec, "replicas").kind, Type::Integer);
        let containers = field(&field(&field(&spec, "template"), "spec"), "containers");
        assert_eq!(containers.list, ListType::Map(vec!["name".to_owned()]));
        let surge = field(&field(&field(&spec, "strategy"), "rollingUpdate"), "maxSurge");
        assert_eq!(surge.kind, Type::IntOrString);
    }
}
