//! The smaller kinds: ConfigMaps, leases, autoscalers, events, namespaces.

use serde_json::json;

use super::{APPLY, JSON, MERGE, Step, get, step};

pub(super) fn small_kinds() -> Vec<Step> {
    let maps = "/api/v1/namespaces/default/configmaps";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let hpas = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let event = |name: &str| {
        json!({
            "metadata": {"name": name}, "regarding": {"kind": "Deployment", "name": "web", "namespace": "default", "apiVersion": "apps/v1"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "Rescaled", "action": "Scale", "note": "from 1 to 2",
            "reportingController": "test.dev/op", "reportingInstance": "op-1",
        })
    };
    vec![
        step(
            "POST",
            maps,
            JSON,
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}}),
        ),
        step("PATCH", format!("{maps}/m"), MERGE, &json!({"data": {"a": null, "c": "3"}})),
        step(
            "PATCH",
            format!("{maps}/m?fieldManager=x"),
            APPLY,
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"c": "4", "d": "5"}}),
        ),
        step("PUT", format!("{maps}/m"), JSON, &json!({"metadata": {"name": "m"}, "data": {"z": "1"}})),
        step("POST", maps, JSON, &json!({"metadata": {"generateName": "gen-"}, "data": {}})),
        step(
            "POST",
            leases,
            JSON,
            &json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z"}}),
        ),
        step(
            "PUT",
            format!("{leases}/l"),
            JSON,
            &json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "b"}}),
        ),
        step(
            "PUT",
            format!("{leases}/l"),
            JSON,
            &json!({"metadata": {"name": "l", "resourceVersion": "1"}, "spec": {"holderIdentity": "b"}}),
        ),
        get(format!("{leases}/l")),
        step(
            "PUT",
            format!("{leases}/l"),
            JSON,
            &json!({"metadata": {"name": "l", "resourceVersion": "{rv}"}, "spec": {"holderIdentity": ""}}),
        ),
        step(
            "POST",
            hpas,
            JSON,
            &json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 0}}),
        ),
        step(
            "POST",
            hpas,
            JSON,
            &json!({"metadata": {"name": "h"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 5, "maxReplicas": 3}}),
        ),
        step("POST", "/apis/events.k8s.io/v1/namespaces/default/events", JSON, &event("e1")),
        get("/api/v1/namespaces/default/events/e1"),
        get("/apis/events.k8s.io/v1/namespaces/default/events/e1"),
        step(
            "PATCH",
            "/apis/events.k8s.io/v1/namespaces/default/events/e1",
            MERGE,
            &json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}),
        ),
        get("/api/v1/namespaces/default/events/e1"),
        step("POST", "/api/v1/namespaces", JSON, &json!({"metadata": {"name": "fresh"}})),
        step("PATCH", "/api/v1/namespaces/fresh", MERGE, &json!({"metadata": {"labels": {"a": "b"}}})),
        step(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            JSON,
            &json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}},
            }),
        ),
        step(
            "POST",
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            JSON,
            &json!({
                "metadata": {"name": "b"}, "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}},
            }),
        ),
    ]
}
