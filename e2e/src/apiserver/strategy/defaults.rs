//! The defaults of built-in kinds.

use serde_json::{Value, json};

use crate::apiserver::kinds::Kind;
use crate::apiserver::object::{self, set_default};

/// Sets what the user left out, as the typed server does.
pub(crate) fn apply_defaults(kind: &Kind, object: &mut Value) {
    match kind.storage.as_str() {
        "pods." => pod_spec(object, &["spec"]),
        "deployments.apps" => deployment(object),
        "replicasets.apps" => {
            set_default(object, &["spec", "replicas"], 1);
            pod_spec(object, &["spec", "template", "spec"]);
        }
        "statefulsets.apps" => stateful_set(object),
        "events." => event(object),
        "services." => service(object),
        "horizontalpodautoscalers.autoscaling" => set_default(object, &["spec", "minReplicas"], 1),
        "customresourcedefinitions.apiextensions.k8s.io" => custom_resource_definition(object),
        _ => {}
    }
}

fn deployment(object: &mut Value) {
    set_default(object, &["spec", "replicas"], 1);
    set_default(object, &["spec", "revisionHistoryLimit"], 10);
    set_default(object, &["spec", "progressDeadlineSeconds"], 600);
    set_default(object, &["spec", "strategy", "type"], "RollingUpdate");
    if object::text(object, &["spec", "strategy", "type"]) == "RollingUpdate" {
        set_default(object, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], "25%");
        set_default(object, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
    }
    pod_spec(object, &["spec", "template", "spec"]);
}

fn stateful_set(object: &mut Value) {
    set_default(object, &["spec", "replicas"], 1);
    set_default(object, &["spec", "revisionHistoryLimit"], 10);
    set_default(object, &["spec", "podManagementPolicy"], "OrderedReady");
    set_default(object, &["spec", "updateStrategy", "type"], "RollingUpdate");
    if object::text(object, &["spec", "updateStrategy", "type"]) == "RollingUpdate" {
        set_default(object, &["spec", "updateStrategy", "rollingUpdate", "partition"], 0);
    }
    let retention = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
    set_default(object, &["spec", "persistentVolumeClaimRetentionPolicy"], retention);
    pod_spec(object, &["spec", "template", "spec"]);
}

fn pod_spec(object: &mut Value, path: &[&str]) {
    let Some(spec) = path.iter().try_fold(object, |value, step| value.get_mut(step)) else { return };
    set_default(spec, &["restartPolicy"], "Always");
    set_default(spec, &["terminationGracePeriodSeconds"], 30);
    set_default(spec, &["dnsPolicy"], "ClusterFirst");
    set_default(spec, &["securityContext"], json!({}));
    set_default(spec, &["schedulerName"], "default-scheduler");
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(container);
    }
}

fn container(container: &mut Value) {
    let image = object::text(container, &["image"]);
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let policy =
        if matches!(tag, None | Some("latest")) && !image.contains('@') { "Always" } else { "IfNotPresent" };
    set_default(container, &["imagePullPolicy"], policy);
    set_default(container, &["resources"], json!({}));
    set_default(container, &["terminationMessagePath"], "/dev/termination-log");
    set_default(container, &["terminationMessagePolicy"], "File");
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    ports.into_iter().flatten().for_each(|port| set_default(port, &["protocol"], "TCP"));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe) {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                set_default(probe, &[field], value);
            }
            if let Some(get) = probe.get_mut("httpGet") {
                set_default(get, &["path"], "/");
                set_default(get, &["scheme"], "HTTP");
            }
        }
    }
}

/// What every event carries, empty or not.
fn event(object: &mut Value) {
    for moment in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        set_default(object, &[moment], Value::Null);
    }
    for word in ["reportingComponent", "reportingInstance"] {
        set_default(object, &[word], "");
    }
    set_default(object, &["source"], json!({}));
}

fn service(object: &mut Value) {
    set_default(object, &["spec", "type"], "ClusterIP");
    set_default(object, &["spec", "sessionAffinity"], "None");
    set_default(object, &["spec", "internalTrafficPolicy"], "Cluster");
    set_default(object, &["spec", "ipFamilies"], json!(["IPv4"]));
    set_default(object, &["spec", "ipFamilyPolicy"], "SingleStack");
    let ports = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        set_default(port, &["protocol"], "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        set_default(port, &["targetPort"], number);
    }
}

fn custom_resource_definition(object: &mut Value) {
    let kind = object::text(object, &["spec", "names", "kind"]).to_owned();
    set_default(object, &["spec", "names", "singular"], kind.to_lowercase());
    set_default(object, &["spec", "names", "listKind"], format!("{kind}List"));
    set_default(object, &["spec", "conversion", "strategy"], "None");
}
