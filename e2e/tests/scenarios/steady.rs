//! Noise is not worth a write.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, OPERATOR, Stage, Workload};
use e2e::random::Random;
use serde_json::json;

/// Longer than the interval at which values that drift would be written.
const EVALUATIONS: u64 = 75;

pub(crate) async fn noise(bed: Arc<Bed>) {
    let seed = 20_261_122;
    println!("seed {seed} of the noise");
    let stage = Stage::set(&bed, "noise", Workload::of(5)).await.unwrap();
    let labels = [("namespace", stage.namespace.clone())];
    stage.load(50.0).await.unwrap();
    bed.exporter().gauge("level", &[("namespace", &stage.namespace)], 200.0);
    let mut policy = stage.policy(&json!({}));
    policy["spec"]["metrics"].as_array_mut().unwrap().push(json!({
        "name": "p99",
        "role": "SafetyNet",
        "prometheus": {"query": format!("max(level{{namespace=\"{}\"}})", stage.namespace)},
        "target": {"type": "Value", "value": "250"},
    }));
    stage.create(policy).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();
    operator.evaluations(5).await.unwrap();

    let writes = || {
        let requests = bed.requests().unwrap().into_iter();
        let own = requests.filter(|request| request.user == OPERATOR && request.namespace == "noise");
        own.filter(e2e::real::audit::Request::writes).collect::<Vec<_>>()
    };
    let before = writes();
    assert!(!before.is_empty(), "the first status was written and seen");
    let exporter = Arc::clone(&bed);
    let noise = tokio::spawn(async move {
        let mut random = Random::seeded(seed);
        let mut jitter = |value: f64| value * (0.97 + 0.06 * random.unit());
        let [(name, namespace)] = labels;
        loop {
            exporter.exporter().gauge("load", &[(name, &namespace)], jitter(50.0));
            exporter.exporter().gauge("level", &[(name, &namespace)], jitter(200.0));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    operator.evaluations(EVALUATIONS).await.unwrap();
    noise.abort();
    let after = writes();
    assert_eq!(after.len(), before.len(), "{:#?}", after.get(before.len()..));
    assert_eq!(stage.course.counts(), [5], "{}", stage.course.record());
}
