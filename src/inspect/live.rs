//! A cluster's policies and what stands around them, as files for those who look at files.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Client;
use kube::api::{ApiResource, DynamicObject, TypeMeta};

use crate::api::{ConnectionBudget, ScalingPolicy};
use crate::cluster::{ApiErrorKind, list_policies, objects};
use crate::planning::lint::File;

/// Kinds that policies name as their workload.
const WORKLOADS: [&str; 2] = ["Deployment", "StatefulSet"];

/// The policies of a namespace, or of the whole cluster, each a file, with the workloads that they name and what stands
/// around these: disruption budgets, services, other autoscalers. The error is a sentence.
pub async fn live_files(client: &Client, namespace: Option<&str>) -> Result<Vec<File>, String> {
    let policies = list_policies(client, namespace).await.map_err(|error| error.message)?;
    if policies.is_empty() {
        let place = namespace.map_or_else(
            || "the cluster".to_owned(),
            |namespace| format!("namespace {namespace}; name another with -n, or all with -A"),
        );
        return Err(format!("there is no ScalingPolicy in {place}"));
    }
    let targets: BTreeSet<_> = policies
        .iter()
        .filter_map(|(record, _)| record.target.as_ref())
        .map(|target| (target.kind.clone(), target.namespace.clone(), target.name.clone()))
        .collect();
    let scaled_objects = ApiResource {
        group: "keda.sh".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "keda.sh/v1alpha1".to_owned(),
        kind: "ScaledObject".to_owned(),
        plural: "scaledobjects".to_owned(),
    };
    let namespaced = [
        ApiResource::erase::<ScalingPolicy>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        scaled_objects.clone(),
    ];
    let budgets = ApiResource::erase::<ConnectionBudget>(&());
    let kinds = namespaced.iter().map(|kind| (kind, namespace)).chain([(&budgets, None)]);
    let lists = kinds.map(|(kind, namespace)| async move {
        match objects(client, kind, namespace).await {
            // Not everybody may see another scaler's objects, and its own rules tell of it.
            Err(error) if error.kind == ApiErrorKind::Forbidden && kind.group == "keda.sh" => {
                Ok((kind, Vec::new()))
            }
            listed => listed.map(|found| (kind, found)).map_err(|error| error.message),
        }
    });
    let mut files = Vec::new();
    for (kind, found) in try_join_all(lists).await? {
        let named = |object: &DynamicObject| {
            let name = |text: &Option<String>| text.clone().unwrap_or_default();
            let metadata = &object.metadata;
            targets.contains(&(kind.kind.clone(), name(&metadata.namespace), name(&metadata.name)))
        };
        let wanted =
            found.into_iter().filter(|object| !WORKLOADS.contains(&kind.kind.as_str()) || named(object));
        files.extend(wanted.filter_map(|object| file(kind, object)));
    }
    Ok(files)
}

/// An object as it would stand in a file: without what only the cluster adds.
fn file(kind: &ApiResource, mut object: DynamicObject) -> Option<File> {
    object.metadata.managed_fields = None;
    if WORKLOADS.contains(&kind.kind.as_str())
        && let Some(spec) = object.data.pointer_mut("/spec").and_then(serde_json::Value::as_object_mut)
    {
        // The cluster always has a count; whether a manifest does cannot be seen there.
        spec.remove("replicas");
    }
    object.types = Some(TypeMeta { api_version: kind.api_version.clone(), kind: kind.kind.clone() });
    let name = object.metadata.name.as_deref()?;
    let place =
        object.metadata.namespace.as_deref().map_or_else(String::new, |namespace| format!("{namespace}/"));
    let name = format!("{place}{}/{name}", kind.plural);
    // JSON is YAML.
    Some(File { name, text: serde_json::to_string(&object).ok()? })
}
