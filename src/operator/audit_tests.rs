use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::testing::{World, condition};
use crate::cluster::TargetKey;

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn sound() -> Value {
    json!({
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
        "containers": [{
            "name": "web", "image": "web:1", "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "1"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}
        }]
    })
}

/// The workload web with 4 replicas, as an edit left it.
fn put(world: &World, generation: i64, pod: &Value) {
    let deployment = json!({
        "metadata": {"uid": "web", "name": "web", "namespace": "shop", "resourceVersion": "41", "generation": generation},
        "spec": {"replicas": 4, "selector": {}, "template": {"spec": pod},
                 "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}},
        "status": {"observedGeneration": generation, "replicas": 4, "updatedReplicas": 4}
    });
    let key = TargetKey::new("apps/v1", "Deployment", "shop", "web");
    world.context.index.put_deployment(key, &serde_json::from_value(deployment).unwrap());
}

async fn world(pod: &Value) -> World {
    let world = World::new(|_| None).await;
    world.told.set("web", 4.0, Duration::ZERO);
    put(&world, 1, pod);
    world.put_policy("web", 1, &json!({}));
    seconds(1).await;
    world
}

fn audited(world: &World) -> (String, String) {
    let status = world.status("web");
    let condition = condition(&status, "WorkloadAudited");
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    (format!("{} {}", text("status"), text("reason")), text("message"))
}

#[tokio::test(start_paused = true)]
async fn a_workload_is_audited_from_what_the_watch_has_told_and_nothing_is_asked_for_it() {
    let mut pod = sound();
    pod["containers"][0]["readinessProbe"] = Value::Null;
    pod["containers"][0]["lifecycle"] = Value::Null;
    let world = world(&pod).await;
    let (state, message) = audited(&world);
    assert_eq!(state, "False AuditFindings");
    assert!(message.starts_with("1 error, 1 warning: web has no readiness probe"), "{message}");
    let findings = world.status("web")["findings"].clone();
    assert_eq!(
        (&findings[0]["rule"], &findings[0]["level"]),
        (&json!("no-readiness-probe"), &json!("Error"))
    );
    assert!(findings[0]["remedy"].as_str().unwrap().starts_with("readinessProbe:"), "{findings}");
    assert_eq!(findings.as_array().unwrap().len(), 2);
    let text = world.context.metrics.text().unwrap();
    for line in [
        r#"plimsoll_workload_findings{namespace="shop",policy="web",level="error"} 1"#,
        r#"plimsoll_workload_findings{namespace="shop",policy="web",level="note"} 0"#,
        r#"plimsoll_condition{namespace="shop",policy="web",type="WorkloadAudited",reason="AuditFindings"} 0"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(world.events().is_empty(), "what it always was is no news: {:?}", world.events());
    let asked = world.log.all().len();
    seconds(600).await;
    assert_eq!(world.log.all().len(), asked, "a workload that stays as it is costs no request");
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_template_is_audited_and_told_once() {
    let world = world(&sound()).await;
    assert_eq!(audited(&world).0, "True AuditPassed");
    assert_eq!(world.status("web")["findings"], Value::Null);
    let mut pod = sound();
    pod["terminationGracePeriodSeconds"] = json!(5);
    put(&world, 2, &pod);
    seconds(120).await;
    assert_eq!(audited(&world).0, "False AuditFindings");
    assert_eq!(world.events(), ["AuditFindings"]);
    let written = world.log.about("/status").len();
    put(&world, 3, &sound());
    seconds(120).await;
    assert_eq!(audited(&world).0, "True AuditPassed");
    assert_eq!((world.log.about("/status").len(), world.events().len()), (written + 1, 2));
}

#[tokio::test(start_paused = true)]
async fn of_a_workload_that_cannot_be_seen_nothing_is_said() {
    let world = World::new(|_| None).await;
    world.told.set("web", 4.0, Duration::ZERO);
    world.put_policy("web", 1, &json!({}));
    seconds(1).await;
    let status = world.status("web");
    assert_eq!(*condition(&status, "WorkloadAudited"), Value::Null);
    assert!(!world.context.metrics.text().unwrap().contains("plimsoll_workload_findings{"));
}
