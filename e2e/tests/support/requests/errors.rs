//! Deployments: what is refused and in which words, patches, `/status` and `/scale`.

use serde_json::{Value, json};

use super::{DEPLOYMENTS, JSON, JSON_PATCH, MERGE, STRATEGIC, Step, deployment, get, step};

pub(super) fn errors() -> Vec<Step> {
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
