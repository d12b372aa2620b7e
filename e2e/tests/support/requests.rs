//! The requests by which the double is held against a real server.

#![allow(clippy::too_many_lines, reason = "the tables are long")]

use serde_json::{Value, json};

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub(crate) const WIDGETS: &str = "/apis/test.dev/v1/namespaces/default/widgets";

/// A request; `{rv}` in its path and body stands for the resourceVersion that the server answered last, `{uid}` for
/// the uid.
pub(crate) struct Step {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

fn step(method: &'static str, path: impl Into<String>, content_type: &'static str, body: &Value) -> Step {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Step { method, path: path.into(), content_type, body }
}

fn get(path: impl Into<String>) -> Step {
    step("GET", path, JSON, &Value::Null)
}

fn deployment(name: &str, change: &Value) -> Value {
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "c",
                    "image": "nginx:1",
                    "ports": [{"containerPort": 80}],
                    "env": [{"name": "A", "value": "1"}],
                    "readinessProbe": {"httpGet": {"port": 80}},
                }]},
            },
        },
    });
    json_patch::merge(&mut deployment, change);
    deployment
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

pub(crate) fn errors() -> Vec<Step> {
    let web = format!("{DEPLOYMENTS}/web");
    let scale = format!("{web}/scale");
    vec![
        get(format!("{DEPLOYMENTS}/nope")),
        get("/apis/apps/v1/namespaces/default/nokind"),
        get("/apis/nogroup.dev/v1/things"),
        get("/nothing"),
        step("POST", DEPLOYMENTS, JSON, &deployment("web", &json!({}))),
        step("POST", DEPLOYMENTS, JSON, &deployment("web", &json!({}))),
        step("POST", DEPLOYMENTS, JSON, &deployment("Bad_Name", &json!({"spec": {"replicas": -1}}))),
        step(
            "POST",
            DEPLOYMENTS,
            JSON,
            &deployment("x", &json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}})),
        ),
        step("POST", DEPLOYMENTS, JSON, &deployment("x", &json!({"spec": {"selector": null}}))),
        step(
            "POST",
            DEPLOYMENTS,
            JSON,
            &deployment("x", &json!({"spec": {"template": {"spec": {"containers": []}}}})),
        ),
        step(
            "POST",
            DEPLOYMENTS,
            JSON,
            &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}}),
        ),
        step("POST", DEPLOYMENTS, JSON, &deployment("x", &json!({"metadata": {"namespace": "other"}}))),
        step("POST", DEPLOYMENTS, JSON, &deployment("x", &json!({"metadata": {"resourceVersion": "5"}}))),
        step("POST", "/apis/apps/v1/namespaces/gone/deployments", JSON, &deployment("x", &json!({}))),
        step(
            "POST",
            format!("{DEPLOYMENTS}?fieldValidation=Strict"),
            JSON,
            &deployment("x", &json!({"spec": {"foo": 1, "template": {"spec": {"bar": 2}}}})),
        ),
        step(
            "POST",
            format!("{DEPLOYMENTS}?dryRun=All"),
            JSON,
            &deployment("x", &json!({"spec": {"foo": 1}})),
        ),
        step(
            "POST",
            format!("{DEPLOYMENTS}?fieldValidation=Ignore&dryRun=All"),
            JSON,
            &deployment("x", &json!({"foo": 1})),
        ),
        get(format!("{DEPLOYMENTS}/x")),
        step("PUT", format!("{DEPLOYMENTS}/nope"), JSON, &deployment("nope", &json!({}))),
        step("PUT", web.clone(), JSON, &deployment("web2", &json!({}))),
        step("PUT", web.clone(), JSON, &deployment("web", &json!({"metadata": {"resourceVersion": "1"}}))),
        step("PUT", web.clone(), JSON, &deployment("web", &json!({"metadata": {"uid": "other"}}))),
        step("PATCH", web.clone(), MERGE, &json!({"metadata": {"resourceVersion": "1"}})),
        step("PATCH", web.clone(), MERGE, &json!({"metadata": {"uid": "1"}})),
        step("PATCH", web.clone(), MERGE, &json!({"metadata": {"name": "other"}})),
        step("PATCH", web.clone(), MERGE, &json!({"spec": {"selector": {"matchLabels": {"b": "c"}}}})),
        step("PATCH", format!("{DEPLOYMENTS}/nope"), MERGE, &json!({})),
        step(
            "PATCH",
            web.clone(),
            JSON_PATCH,
            &json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]),
        ),
        step(
            "PATCH",
            web.clone(),
            STRATEGIC,
            &json!({"spec": {"template": {"spec": {"containers": [
                {"name": "c", "env": [{"name": "B", "value": "2"}, {"name": "A", "$patch": "delete"}]},
                {"name": "d", "image": "sidecar"},
            ]}}}}),
        ),
        step(
            "PATCH",
            web.clone(),
            MERGE,
            &json!({"status": {"replicas": 7}, "metadata": {"labels": {"x": "y"}}}),
        ),
        step(
            "PATCH",
            format!("{web}/status"),
            MERGE,
            &json!({
                "status": {"replicas": 7, "conditions": [{
                    "type": "Available", "status": "True",
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z",
                }]},
                "spec": {"replicas": 50},
                "metadata": {"labels": {"q": "r"}},
            }),
        ),
        get(scale.clone()),
        step(
            "PUT",
            scale.clone(),
            JSON,
            &json!({"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 5}}),
        ),
        step(
            "PUT",
            scale.clone(),
            JSON,
            &json!({
                "apiVersion": "autoscaling/v1", "kind": "Scale",
                "metadata": {"name": "web", "namespace": "default", "resourceVersion": "{rv}"}, "spec": {"replicas": 5},
            }),
        ),
        step("PUT", scale.clone(), JSON, &json!({"metadata": {"name": "web2"}, "spec": {"replicas": 5}})),
        step("PATCH", scale.clone(), MERGE, &json!({"spec": {"replicas": 6}})),
        step("PATCH", scale.clone(), MERGE, &json!({"spec": {"replicas": 6}})),
        step(
            "PATCH",
            scale.clone(),
            MERGE,
            &json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 6}}),
        ),
        step(
            "PATCH",
            scale.clone(),
            MERGE,
            &json!({"metadata": {"resourceVersion": "{rv}"}, "spec": {"replicas": 8}}),
        ),
        step("PATCH", scale.clone(), MERGE, &json!({"spec": {"replicas": -6}})),
        step("PATCH", scale.clone(), MERGE, &json!({"spec": {"replicas": 0}})),
        step("PATCH", format!("{DEPLOYMENTS}/nope/scale"), MERGE, &json!({"spec": {"replicas": 0}})),
        get(format!("{DEPLOYMENTS}/nope/scale")),
        get(web.clone()),
        step("DELETE", web.clone(), JSON, &json!({"preconditions": {"uid": "other"}})),
        step("DELETE", web.clone(), JSON, &json!({"preconditions": {"resourceVersion": "1"}})),
        step("DELETE", web.clone(), JSON, &Value::Null),
        step("DELETE", web, JSON, &Value::Null),
    ]
}

pub(crate) fn custom_resources() -> Vec<Step> {
    let c = format!("{WIDGETS}/c");
    let post = |spec: Value| step("POST", WIDGETS, JSON, &widget("b", &spec));
    vec![
        get(format!("{WIDGETS}/nope")),
        step("POST", WIDGETS, JSON, &widget("a", &json!({"name": "ok"}))),
        post(json!({"name": "X", "replicas": -1, "mode": "Foo", "tags": [], "minReplicas": 20})),
        post(json!({"name": "toolongname", "replicas": 101, "tags": ["abcdefg", "b", "c"]})),
        post(json!({"name": 5, "replicas": "3", "labels": {"a": 1}, "surge": true})),
        post(json!({"name": "X1", "minReplicas": 0})),
        post(json!({})),
        post(json!({"name": null})),
        post(json!({"name": "ok", "mode": null, "free": null})),
        step("DELETE", format!("{WIDGETS}/b"), JSON, &Value::Null),
        step(
            "POST",
            WIDGETS,
            JSON,
            &json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "n"}}),
        ),
        post(json!({"name": "ok", "minReplicas": 20})),
        post(json!({"name": "ok", "replicas": 13})),
        post(json!({"name": "ok", "ports": [{"port": 1}, {"port": 1}]})),
        post(json!({"name": "ok", "unique": ["x", "x"]})),
        step(
            "POST",
            format!("{WIDGETS}?fieldValidation=Strict"),
            JSON,
            &widget("b", &json!({"name": "ok", "foo": 1, "ports": [{"port": 1, "bar": 1}]})),
        ),
        step("POST", format!("{WIDGETS}?dryRun=All"), JSON, &widget("b", &json!({"name": "ok", "foo": 1}))),
        step(
            "POST",
            format!("{WIDGETS}?fieldManager=m1"),
            JSON,
            &widget(
                "c",
                &json!({
                    "name": "ok", "unknown": 1, "free": {"x": {"y": []}}, "ports": [{"port": 1}], "replicas": 2, "surge": "25%",
                    "unique": ["p", "q"], "tags": ["t"], "labels": {"k": "v"},
                }),
            ),
        ),
        step("PATCH", c.clone(), MERGE, &json!({"spec": {"name": "no"}})),
        step("PATCH", c.clone(), MERGE, &json!({"status": {"replicas": 3}})),
        step(
            "PATCH",
            c.clone(),
            MERGE,
            &json!({"spec": {"mode": "DryRun"}, "metadata": {"annotations": {"a": "b"}}}),
        ),
        step(
            "PATCH",
            format!("{c}/status"),
            MERGE,
            &json!({"status": {"replicas": 3, "selector": "a=b"}, "spec": {"replicas": 50}, "metadata": {"labels": {"z": "z"}}}),
        ),
        step("PATCH", c.clone(), STRATEGIC, &json!({})),
        get(format!("{c}/scale")),
        get(format!("{WIDGETS}/a/scale")),
        step("PATCH", format!("{c}/scale"), MERGE, &json!({"spec": {"replicas": 8}})),
        step("PATCH", format!("{c}/scale"), MERGE, &json!({"spec": {"replicas": -1}})),
        step("PATCH", format!("{c}/scale"), MERGE, &json!({"spec": {"replicas": 101}})),
        step("PATCH", format!("{c}/scale"), MERGE, &json!({"spec": {"replicas": 13}})),
        step(
            "PUT",
            format!("{c}/scale"),
            JSON,
            &json!({
                "apiVersion": "autoscaling/v1", "kind": "Scale",
                "metadata": {"name": "c", "namespace": "default", "resourceVersion": "1"}, "spec": {"replicas": 5},
            }),
        ),
        step("PUT", c.clone(), JSON, &widget("c", &json!({"name": "ok"}))),
        step(
            "PUT",
            c.clone(),
            JSON,
            &json!({
                "apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "c", "resourceVersion": "1"}, "spec": {"name": "ok"},
            }),
        ),
        get(c.clone()),
        step(
            "PUT",
            c.clone(),
            JSON,
            &json!({
                "apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "c", "resourceVersion": "{rv}"},
                "spec": {"name": "ok", "ports": [{"port": 2, "name": "two"}, {"port": 1}]},
            }),
        ),
        step("PATCH", c.clone(), MERGE, &json!({"metadata": {"finalizers": ["test.dev/hold"]}})),
        step("DELETE", c.clone(), JSON, &Value::Null),
        step("PATCH", c.clone(), MERGE, &json!({"spec": {"replicas": 9}})),
        step("PATCH", c.clone(), MERGE, &json!({"metadata": {"finalizers": null}})),
        get(c),
        get(format!("{WIDGETS}?fieldSelector=spec.foo%3D1")),
        get(format!("{WIDGETS}?labelSelector=a%20in")),
        get(format!("{WIDGETS}?resourceVersion=abc")),
        get(format!("{WIDGETS}?watch=true&resourceVersion=abc")),
        get(format!("{WIDGETS}?labelSelector=a%3Db")),
        get(WIDGETS),
    ]
}

pub(crate) fn applying() -> Vec<Step> {
    let apply = |path: &str, query: &str, body: Value| step("PATCH", format!("{path}?{query}"), APPLY, &body);
    let s = format!("{WIDGETS}/s");
    let status = format!("{s}/status");
    let web = format!("{DEPLOYMENTS}/applied");
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    let of_status = |status: Value| json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "s"}, "status": status});
    let of_web = |spec: Value| json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "applied"}, "spec": spec});
    vec![
        apply(&status, "fieldManager=op", of_status(json!({"replicas": 1}))),
        apply(
            &s,
            "fieldManager=user",
            widget(
                "s",
                &json!({"name": "ok", "ports": [{"port": 80}, {"port": 81, "name": "x"}], "labels": {"a": "1", "b": "2"}}),
            ),
        ),
        apply(
            &s,
            "fieldManager=user",
            widget(
                "s",
                &json!({"name": "ok", "ports": [{"port": 80}, {"port": 81, "name": "x"}], "labels": {"a": "1", "b": "2"}}),
            ),
        ),
        apply(
            &s,
            "fieldManager=other",
            widget("s", &json!({"ports": [{"port": 82}], "labels": {"b": "3", "c": "4"}})),
        ),
        apply(
            &s,
            "fieldManager=other&force=true",
            widget(
                "s",
                &json!({"ports": [{"port": 82}, {"port": 80}], "labels": {"b": "3", "c": "4"}, "unique": ["x"]}),
            ),
        ),
        apply(
            &s,
            "fieldManager=user",
            widget("s", &json!({"name": "ok", "ports": [{"port": 81}], "unique": ["y"]})),
        ),
        apply(&s, "fieldManager=other", widget("s", &json!({"ports": [{"port": 82}]}))),
        apply(&s, "fieldManager=other", widget("s", &json!({}))),
        apply(
            &status,
            "fieldManager=op&force=true",
            of_status(json!({"conditions": [condition("Ready", "True")], "observedGeneration": 1})),
        ),
        apply(
            &status,
            "fieldManager=op&force=true",
            of_status(json!({"conditions": [condition("Ready", "True")], "observedGeneration": 1})),
        ),
        apply(
            &status,
            "fieldManager=op2",
            of_status(json!({"conditions": [condition("Ready", "False"), condition("Live", "True")]})),
        ),
        apply(&status, "fieldManager=op2", of_status(json!({"conditions": [condition("Live", "True")]}))),
        apply(&status, "fieldManager=op", of_status(json!({"observedGeneration": 2}))),
        apply(
            &status,
            "fieldManager=op",
            json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "s"}}),
        ),
        step(
            "PATCH",
            status.clone(),
            MERGE,
            &json!({"status": {"conditions": [{"type": "Live", "status": "False"}], "replicas": 4}}),
        ),
        step("PATCH", s.clone(), MERGE, &json!({"spec": {"labels": {"new": "n"}, "replicas": 3}})),
        apply(&s, "fieldManager=user&force=true", widget("s", &json!({"name": "ok", "replicas": 4}))),
        apply(&s, "fieldManager=user&dryRun=All", widget("s", &json!({"name": "ok", "replicas": 5}))),
        apply(&s, "fieldManager=user", widget("t", &json!({"name": "ok"}))),
        apply(&s, "", widget("s", &json!({"name": "ok"}))),
        apply(
            &s,
            "fieldManager=user",
            json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "s", "managedFields": [{"manager": "x"}]}}),
        ),
        apply(
            &s,
            "fieldManager=user",
            json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "s", "resourceVersion": "1"}, "spec": {"name": "ok", "replicas": 9}}),
        ),
        step("PATCH", format!("{s}?force=true"), MERGE, &json!({})),
        get(s),
        step("POST", format!("{DEPLOYMENTS}?fieldManager=creator"), JSON, &deployment("applied", &json!({}))),
        apply(&web, "fieldManager=me", of_web(json!({"replicas": 9}))),
        apply(&web, "fieldManager=me&force=true", of_web(json!({"replicas": 9}))),
        apply(
            &web,
            "fieldManager=me",
            of_web(
                json!({"replicas": 9, "template": {"spec": {"containers": [{"name": "c", "env": [{"name": "N", "value": "1"}], "ports": [{"containerPort": 80}, {"containerPort": 90}]}]}}}),
            ),
        ),
        step("PATCH", format!("{web}/scale?fieldManager=scaler"), MERGE, &json!({"spec": {"replicas": 4}})),
        apply(&web, "fieldManager=me", of_web(json!({"replicas": 9}))),
        apply(&web, "fieldManager=me", of_web(json!({}))),
        apply(
            &format!("{web}/scale"),
            "fieldManager=applier&force=true",
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 7}}),
        ),
        step(
            "PATCH",
            format!("{web}/status?fieldManager=controller"),
            MERGE,
            &json!({"status": {"replicas": 2, "conditions": [{
                "type": "Available", "status": "True", "reason": "R", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z",
            }]}}),
        ),
        step(
            "PATCH",
            format!("{web}?fieldManager=labeller"),
            STRATEGIC,
            &json!({"metadata": {"labels": {"l": "1"}, "annotations": {"n": "1"}}}),
        ),
        get(web),
    ]
}

pub(crate) fn small_kinds() -> Vec<Step> {
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

/// All requests, in groups that do not touch each other's objects.
pub(crate) fn all() -> Vec<Step> {
    [errors(), custom_resources(), applying(), small_kinds()].into_iter().flatten().collect()
}
