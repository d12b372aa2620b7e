//! What people can copy is right.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use plimsoll::api::ScalingPolicy;
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
        for metric in &policy.spec.metrics {
            let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
            servers
                .check(&metric.prometheus.server, namespace, &metric.prometheus.query)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        policies += 1;
    }
    assert!(policies > 0);
}

#[test]
fn the_example_configuration_is_read() {
    let text = std::fs::read_to_string("examples/servers.yaml").unwrap();
    assert_eq!(Config::from_yaml(&text).unwrap().prometheus.len(), 2);
}
