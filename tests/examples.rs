//! What people can copy is right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use plimsoll::api::{ConnectionBudget, ScalingPolicy, ScalingPolicySpec, WINDOW};
use plimsoll::control::Policy;
use plimsoll::prometheus::{Config, Servers};

#[test]
fn every_example_policy_is_valid_and_its_queries_are_promql() {
    let servers = Servers::new(Config::single("http://127.0.0.1:9090")).unwrap();
    let mut policies = 0;
    for entry in std::fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !text.contains("kind: ScalingPolicy") {
            continue;
        }
        let policy: ScalingPolicy =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Policy::compile(&policy.spec).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
        let check = |server: &str, query: &str| {
            servers
                .check(server, namespace, query)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        };
        for metric in &policy.spec.metrics {
            check(&metric.prometheus.server, &metric.prometheus.query);
        }
        let scalability = policy.spec.ceilings.as_ref().and_then(|ceilings| ceilings.scalability.as_ref());
        if let Some(fit) = scalability.and_then(|scalability| scalability.fit.as_ref()) {
            let saturation = fit.saturation.as_ref().map(|saturation| &saturation.query);
            let objective = fit.objective.as_ref().map(|objective| &objective.query);
            let always = [&fit.throughput_query, &fit.ready_replicas_query];
            for query in always.into_iter().chain(&fit.utilization_query).chain(saturation).chain(objective) {
                check(&fit.server, query);
            }
        }
        if let Some(slo) = &policy.spec.slo {
            let asked = [Some(&slo.prometheus.query), slo.freshness.query.as_ref()];
            for query in asked.into_iter().flatten() {
                check(&slo.prometheus.server, &query.replace(WINDOW, "5m"));
            }
        }
        for guard in &policy.spec.guards {
            let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
            servers
                .check(&guard.prometheus.server, namespace, &guard.prometheus.query)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        policies += 1;
    }
    assert!(policies > 0);
}

/// Each query and guard that the page about guards shows in a block of YAML.
#[test]
fn every_guard_that_the_documentation_shows_is_valid_and_its_query_is_promql() {
    let servers = Servers::new(Config::single("http://127.0.0.1:9090")).unwrap();
    let page = std::fs::read_to_string("docs/guards.md").unwrap();
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut guards = 0;
    for block in blocks {
        let spec = format!(
            "scaleTargetRef: {{name: checkout}}\nmaxReplicas: 10\nmetrics: [{{name: rps, prometheus: {{query: up}}, target: {{type: \
             Value, value: 1}}}}]\n{block}"
        );
        let spec: ScalingPolicySpec =
            serde_saphyr::from_str(&spec).unwrap_or_else(|error| panic!("{error}\n{block}"));
        Policy::compile(&spec).unwrap_or_else(|error| panic!("{error}\n{block}"));
        for guard in &spec.guards {
            servers
                .check(&guard.prometheus.server, "default", &guard.prometheus.query)
                .unwrap_or_else(|error| panic!("{}: {error}", guard.name));
            guards += 1;
        }
    }
    assert!(guards >= 6, "{guards}");
}

#[test]
fn every_example_budget_is_read_and_its_queries_are_promql() {
    let servers = Servers::new(Config::single("http://127.0.0.1:9090")).unwrap();
    let mut budgets = 0;
    for entry in std::fs::read_dir("examples/budgets").unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let budget: ConnectionBudget =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let spec = &budget.spec;
        assert!(
            spec.limit.max_connections.is_some() != spec.limit.prometheus.is_some(),
            "{}",
            path.display()
        );
        let others = spec.others.iter().filter_map(|others| others.prometheus.as_ref());
        let in_use = spec.in_use.iter().map(|in_use| &in_use.prometheus);
        for query in spec.limit.prometheus.iter().chain(others).chain(in_use) {
            servers
                .check(&query.server, "", &query.query)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        budgets += 1;
    }
    assert!(budgets >= 5, "{budgets}");
}

#[test]
fn the_example_configuration_is_read() {
    let text = std::fs::read_to_string("examples/servers.yaml").unwrap();
    assert_eq!(Config::from_yaml(&text).unwrap().prometheus.len(), 2);
}
