//! Server-side apply: ownership, conflicts, fields that leave with their owner.

use serde_json::{Value, json};

use super::{APPLY, DEPLOYMENTS, JSON, MERGE, STRATEGIC, Step, WIDGETS, deployment, get, step, widget};

pub(super) fn applying() -> Vec<Step> {
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
