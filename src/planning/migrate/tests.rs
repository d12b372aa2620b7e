//! Objects as people have them, and what becomes of them.

use super::*;
use crate::api::{Mode, Role, TargetKind};

fn one(text: &str) -> (ScalingPolicy, Migrated) {
    let migrated = migrate(&[text.to_owned()]).unwrap().pop().unwrap();
    let policy = serde_saphyr::from_str(&migrated.policy)
        .unwrap_or_else(|error| panic!("{error}\n{}", migrated.policy));
    (policy, migrated)
}

const HPA: &str = r#"
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: "web", namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 3
  maxReplicas: 30
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}
  - {type: ContainerResource, containerResource: {name: memory, container: app, target: {type: AverageValue, averageValue: 500Mi}}}
  - {type: Pods, pods: {metric: {name: http_requests}, target: {type: AverageValue, averageValue: 1500m}}}
  - {type: Object, object: {metric: {name: depth}, describedObject: {kind: Queue, name: "it's"}, target: {type: Value, value: "10"}}}
  - {type: External, external: {metric: {name: jobs, selector: {matchLabels: {queue: mail}}}, target: {type: AverageValue, averageValue: "5"}}}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 120, policies: [{type: Percent, value: 10, periodSeconds: 60}], selectPolicy: Min, tolerance: 50m}
    scaleUp: {}
"#;

#[test]
fn an_hpa_becomes_a_policy_with_the_same_bounds_metrics_and_behavior() {
    use TargetKind::{AverageValue, Utilization, Value};
    let (policy, migrated) = one(HPA);
    let spec = &policy.spec;
    assert_eq!((spec.min_replicas, spec.max_replicas, spec.mode), (3, 30, Mode::DryRun));
    let kinds: Vec<_> = spec.metrics.iter().map(|metric| metric.target.kind).collect();
    assert_eq!(kinds, [Utilization, AverageValue, AverageValue, Value, AverageValue]);
    assert!(spec.metrics.iter().all(|metric| metric.role == Role::Leading));
    let cpu = &spec.metrics[0].prometheus.query;
    assert!(
        cpu.contains("100 * sum(rate(container_cpu_usage_seconds_total{namespace=\"shop\",pod=~\"web-.*\""),
        "{cpu}"
    );
    assert_eq!(spec.metrics[4].prometheus.query, "sum(jobs{queue=\"mail\"})");
    for metric in &spec.metrics {
        promql_parser::parser::parse(&metric.prometheus.query).unwrap();
    }
    let down = spec.behavior.clone().unwrap().scale_down.unwrap();
    assert_eq!(down.stabilization_window_seconds, Some(120));
    assert_eq!(down.policies.unwrap()[0].value, 10);
    let remarks = migrated.remarks.join("\n");
    for words in ["http_requests is a guess", "jobs is a guess", "Queue it's", "ceilings.connections"] {
        assert!(remarks.contains(words), "{words}: {remarks}");
    }
    assert!(migrated.policy.contains("# check this query"));
}

const SCALED_OBJECT: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: worker}
spec:
  scaleTargetRef: {name: worker}
  minReplicaCount: 0
  maxReplicaCount: 20
  cooldownPeriod: 300
  fallback: {failureThreshold: 4, replicas: 6}
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleUp: {stabilizationWindowSeconds: 30}}}}
  triggers:
  - {type: prometheus, name: "Rate of: orders", metadata: {serverAddress: "http://prom:9090", query: 'sum(rate(o{a="b"}[2m]))', threshold: "90.5", activationThreshold: "5"}}
  - {type: cpu, metricType: Utilization, metadata: {value: "60"}}
  - {type: cron, metadata: {timezone: Europe/Berlin, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: "10"}}
  - {type: cron, metadata: {timezone: America/New_York, start: 0 8 * * 1-5, end: 0 18 * * 1-5, desiredReplicas: 90}}
  - {type: cron, name: bad, metadata: {timezone: Mars/Olympus, start: 0 8 * * *, end: 0 18 * * *, desiredReplicas: "10"}}
  - {type: cron, name: worse, metadata: {timezone: UTC, start: 0 8 * * *, end: 0 18 * *, desiredReplicas: "10"}}
  - {type: kafka, metadata: {lagThreshold: "50"}}
"#;

#[test]
fn a_scaled_object_becomes_a_policy_and_what_has_no_equal_is_listed() {
    let (policy, migrated) = one(SCALED_OBJECT);
    let spec = &policy.spec;
    assert_eq!((spec.min_replicas, spec.max_replicas, spec.polling_interval), (1, 20, 30));
    let fallback = spec.fallback.as_ref().unwrap();
    assert_eq!((fallback.after_seconds, fallback.replicas), (120, 6));
    let names: Vec<_> = spec.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["rate-of--orders", "cpu"]);
    assert_eq!(spec.metrics[0].target.average_value.as_ref().unwrap().as_str(), "90.5");
    assert_eq!(
        spec.behavior.as_ref().unwrap().scale_up.as_ref().unwrap().stabilization_window_seconds,
        Some(30)
    );
    let schedules: Vec<_> = spec
        .schedules
        .iter()
        .map(|schedule| (schedule.name.as_str(), schedule.start.as_deref().unwrap(), schedule.min_replicas))
        .collect();
    assert_eq!(schedules, [("cron", "0 8 * * *", 10), ("cron-2", "0 8 * * 1-5", 20)]);
    assert_eq!(spec.schedules[0].time_zone.as_deref(), Some("Europe/Berlin"));
    let remarks = migrated.remarks.join("\n");
    for words in [
        "scale to zero does not exist",
        "cron (0 8 * * * to 0 18 * * *, Mars/Olympus: 10 replicas) is left out: there is no time zone Mars/Olympus",
        "Olympus: 10 replicas) is left out",
        "is left out: a cron expression has five fields",
        "cron (0 8 * * 1-5 to 0 18 * * 1-5): 90 replicas lie outside of minReplicas and maxReplicas: 20 are written",
        "the trigger kafka has no equal",
        "asks http://prom:9090",
        "cooldownPeriod is about scaling to zero",
        "KEDA took a missing metric for 0",
    ] {
        assert!(remarks.contains(words), "{words}: {remarks}");
    }
}

#[test]
fn what_users_wrote_cannot_break_out_of_its_place() {
    for name in ["a: b", "# c", "true", "1e3", "it's", "x\ny", "- z", "{d}", "é"] {
        let yaml = format!("name: {}\n", quoted(name));
        let read: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read["name"], name, "{yaml}");
    }
}

#[test]
fn what_cannot_become_a_policy_is_refused_with_why() {
    let only_kafka = "kind: ScaledObject\nmetadata: {name: a}\nspec: {scaleTargetRef: {name: a}, triggers: [{type: kafka}]}\n";
    for (text, words) in [
        ("kind: Deployment\n", "neither a HorizontalPodAutoscaler nor a ScaledObject, only Deployment"),
        (only_kafka, "none of its metrics has an equal"),
        (
            "kind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec: {maxReplicas: many}\n",
            "cannot be read as autoscaling/v2",
        ),
        ("kind: ScaledObject\nmetadata: {name: a}\n", "no spec.scaleTargetRef.name"),
        ("kind: [", "cannot be read"),
    ] {
        let fault = migrate(&[text.to_owned()]).unwrap_err();
        assert!(fault.contains(words), "{fault}");
    }
    let old = "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec: {maxReplicas: 4, scaleTargetRef: {kind: Deployment, name: a}, targetCPUUtilizationPercentage: 50}\n";
    assert!(migrate(&[old.to_owned()]).unwrap_err().contains("kubectl get hpa.v2.autoscaling"));
    let (_, migrated) = one(&old.replace("/v1", "/v2").replace(", targetCPUUtilizationPercentage: 50", ""));
    assert!(
        migrated.remarks.iter().any(|remark| remark.contains("its default is CPU at 80 %")),
        "{:?}",
        migrated.remarks
    );
}
