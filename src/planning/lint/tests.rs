//! Each rule, found where it applies and silent where it does not.

use super::*;

const POLICY: &str = "\
apiVersion: plimsoll.dev/v1alpha1
kind: ScalingPolicy
metadata: {name: checkout, namespace: shop}
spec:
  scaleTargetRef: {name: checkout}
  minReplicas: 3
  maxReplicas: 10
  metrics:
  - name: rps
    prometheus: {query: 'sum(rate(requests_total[1m]))'}
    target: {type: AverageValue, averageValue: 90}
  - name: p99
    role: SafetyNet
    prometheus: {query: 'histogram_quantile(0.99, sum by (le) (rate(d_bucket[1m])))'}
    target: {type: Value, value: 300m}
  headroom: {replicas: 2}
  fallback: {replicas: 5}
  ceilings: {connections: [{name: db, inline: {maxConnections: 500, reserved: 10}, perPod: 10}]}
";

const WORKLOAD: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout, namespace: shop}
spec:
  selector: {matchLabels: {app: checkout}}
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: checkout}}
    spec:
      terminationGracePeriodSeconds: 45
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
      containers:
      - name: web
        image: web
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: 8080}}
        lifecycle: {preStop: {sleep: {seconds: 10}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: checkout}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: checkout}}}
";

fn found(text: &str) -> Vec<Finding> {
    lint(&[File { name: "a.yaml".to_owned(), text: text.to_owned() }])
}

fn rules(text: &str) -> Vec<&'static str> {
    found(text).into_iter().map(|finding| finding.rule).collect()
}

fn both() -> String {
    format!("{POLICY}---\n{WORKLOAD}")
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(&both()), []);
}

#[test]
fn every_rule_is_found_where_it_applies() {
    for (was, is, rule) in [
        ("minReplicas: 3", "minReplicas: 1", "one-replica"),
        ("maxReplicas: 10", "maxReplicas: 2", "policy-invalid"),
        ("maxReplicas: 10", "maxReplica: 10", "unreadable"),
        (
            "metadata: {name: checkout, namespace: shop}\nspec:\n  scale",
            "metadata: {name: [\nspec:\n  scale",
            "unreadable",
        ),
        ("headroom: {replicas: 2}", "headroom: {}", "no-headroom"),
        ("  fallback: {replicas: 5}\n", "", "no-fallback"),
        ("headroom:", "mode: DryRun\n  headroom:", "not-active"),
        ("headroom:", "emergencyMax: {replicas: 5}\n  headroom:", "no-expiry"),
        (
            "headroom:",
            "behavior: {scaleDown: {stabilizationWindowSeconds: 10}}\n  headroom:",
            "short-scale-down-window",
        ),
        ("headroom:", "behavior: {scaleDown: {selectPolicy: Disabled}}\n  headroom:", "never-scales-in"),
        ("headroom:", "behavior: {scaleUp: {stabilizationWindowSeconds: 300}}\n  headroom:", "slow-scale-up"),
        ("sum(rate(requests_total[1m]))", "sum(rate(requests_total[1m])", "query-invalid"),
        ("requests_total[1m]", "requests_total[30s]", "short-range"),
        ("(requests_total[1m]))", "(requests_total[1m])) or vector(0)", "made-up-zero"),
        ("sum(rate(requests_total[1m]))", "avg(request_latency_seconds)", "lagging-leading"),
        (
            "type: AverageValue, averageValue: 90",
            "type: Utilization, averageUtilization: 90",
            "target-too-high",
        ),
        ("type: AverageValue, averageValue: 90", "type: Utilization, averageUtilization: 70", "no-requests"),
        (
            "  ceilings: {connections: [{name: db, inline: {maxConnections: 500, reserved: 10}, perPod: 10}]}\n",
            "",
            "no-ceiling",
        ),
        ("maxConnections: 500", "maxConnections: 50", "budget-infeasible"),
        ("maxConnections: 500", "maxConnections: 130", "max-not-reachable"),
        ("perPod: 10", "perPod: 10, enforcement: Observe", "ceiling-observed"),
        ("        readinessProbe: {httpGet: {path: /ready, port: 8080}}\n", "", "no-readiness-probe"),
        ("path: /ready", "path: /ping", "shallow-readiness"),
        (
            "        lifecycle:",
            "        livenessProbe: {httpGet: {path: /ready, port: 8080}}\n        lifecycle:",
            "same-probes",
        ),
        ("        lifecycle: {preStop: {sleep: {seconds: 10}}}\n", "", "no-pre-stop"),
        ("seconds: 10", "seconds: 60", "grace-shorter-than-drain"),
        (
            "preStop: {sleep: {seconds: 10}}",
            "preStop: {exec: {command: [sh, -c, 'sleep 90']}}",
            "grace-shorter-than-drain",
        ),
        ("terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 5", "short-grace"),
        ("maxSurge: 25%", "maxSurge: 0", "no-surge"),
        ("maxUnavailable: 0", "maxUnavailable: 25%", "max-unavailable-dips"),
        ("{rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}", "{type: Recreate}", "recreate"),
        ("{maxUnavailable: 1, sel", "{maxUnavailable: 0, sel", "blocks-drains"),
        (
            "selector: {matchLabels: {app: checkout}}}",
            "selector: {matchLabels: {app: other}}}",
            "no-pod-disruption-budget",
        ),
        ("  strategy:", "  replicas: 5\n  strategy:", "replicas-in-manifest"),
        (
            "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]\n",
            "",
            "not-spread",
        ),
        ("headroom: {replicas: 2}", "headroom: {replicas: 2, surviveZones: 1}", "zones-not-spread"),
    ] {
        let text = both();
        assert!(text.contains(was), "{was}");
        let rules = rules(&text.replacen(was, is, 1));
        assert!(rules.contains(&rule), "{rule}: {rules:?}");
    }
}

#[test]
fn other_autoscalers_sticky_services_and_budgets_without_reserve_are_found() {
    for (more, rule) in [
        (
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: x, namespace: shop}\nspec: {maxReplicas: 5, scaleTargetRef: {kind: Deployment, name: checkout}}\n",
            "two-autoscalers",
        ),
        (
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: x}\nspec: {scaleTargetRef: {name: checkout}}\n",
            "two-autoscalers",
        ),
        (POLICY, "two-autoscalers"),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {sessionAffinity: ClientIP}\n",
            "sticky-sessions",
        ),
        (
            "apiVersion: plimsoll.dev/v1alpha1\nkind: ConnectionBudget\nmetadata: {name: x}\nspec: {limit: {maxConnections: 100}, allowedNamespaces: {}}\n",
            "no-reserve",
        ),
    ] {
        let rules = rules(&format!("{}---\n{more}", both()));
        assert_eq!(rules, [rule], "{more}");
    }
    let single = POLICY.replace("role: SafetyNet", "role: Leading");
    assert!(!rules(&single).contains(&"single-signal"), "two lead");
    assert_eq!(rules("kind: ConfigMap\n"), ["nothing-to-lint"]);
    assert_eq!(rules(""), ["nothing-to-lint"]);
}

#[test]
fn a_finding_names_its_line_and_is_shown_as_text_and_as_sarif() {
    let text = both().replacen("maxSurge: 25%", "maxSurge: 0", 1);
    let findings = found(&text);
    let line = text.lines().position(|line| line.contains("maxSurge: 0")).unwrap() + 1;
    assert_eq!(findings.len(), 1);
    assert_eq!(usize::try_from(findings[0].line).unwrap(), line);
    let shown = super::text(&findings);
    assert!(
        shown.starts_with(&format!("a.yaml:{line}: warning [no-surge] Deployment checkout: maxSurge is 0")),
        "{shown}"
    );
    assert!(shown.contains("→ maxSurge: 25%"));
    let sarif = sarif(&findings);
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "no-surge");
    assert_eq!(
        sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"],
        line
    );
}

#[test]
fn pods_that_are_spread_over_zones_may_lose_one() {
    let text = both().replace("headroom: {replicas: 2}", "headroom: {replicas: 2, surviveZones: 1}").replace(
        "topologyKey: zone, whenUnsatisfiable: ScheduleAnyway",
        "topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule",
    );
    assert_eq!(rules(&text), Vec::<&str>::new());
}
