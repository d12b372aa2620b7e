//! Custom resources: schema, defaults, rules, `/status`, `/scale`, finalizers.

use serde_json::{Value, json};

use super::{JSON, MERGE, STRATEGIC, Step, WIDGETS, get, step, widget};

pub(super) fn custom_resources() -> Vec<Step> {
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
