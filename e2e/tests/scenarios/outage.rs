//! Without a number that is fit to use the count stays where it is, and the policy says what is wrong.

use std::sync::Arc;

use e2e::bed::{Bed, Operator, OperatorOptions, Stage, Workload};
use e2e::real::{Prometheus, Target};
use serde_json::json;

/// More evaluations than the scale-in window of the usual policy has seconds.
const MORE_THAN_A_WINDOW: u64 = 8;

pub(crate) async fn stopped(bed: Arc<Bed>) {
    let mut private = Private::set(&bed, "stopped").await;
    private.prometheus.kill();
    let message = private.is_blind().await;
    let url = private.prometheus.url();
    let address = url.strip_prefix("http://").unwrap();
    assert_eq!(
        message,
        format!(
            "rps is Missing: Prometheus server \"main\" ({address}): it refused the connection; is the server running, and the \
             port right?"
        )
    );
    private.is_tempted_in_vain().await;
    private.stage.load(60.0).await.unwrap();
    private.prometheus.start_again().await.unwrap();
    private.recovers().await;
}

pub(crate) async fn hung(bed: Arc<Bed>) {
    let private = Private::set(&bed, "hung").await;
    private.prometheus.suspend();
    let message = private.is_blind().await;
    assert!(message.contains("no answer within 1 s (timeoutSeconds)"), "{message}");
    private.is_tempted_in_vain().await;
    private.stage.load(60.0).await.unwrap();
    private.prometheus.resume();
    private.recovers().await;
}

/// Four replicas at exactly their load, and a Prometheus of their own that may be ill-treated.
struct Private {
    stage: Stage,
    operator: Operator,
    prometheus: Prometheus,
}

impl Private {
    async fn set(bed: &Arc<Bed>, name: &str) -> Self {
        let prometheus =
            Prometheus::start(&[Target::new("service", bed.exporter().address())]).await.unwrap();
        let stage = Stage::set(bed, name, Workload::of(4)).await.unwrap();
        stage.load(40.0).await.unwrap();
        prometheus.wait_for(&stage.query(), |values| values == ["40"]).await.unwrap();
        stage.declare(&json!({})).await.unwrap();
        let operator = stage.operator_with(OperatorOptions::new(name, &prometheus.url())).await.unwrap();
        stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();
        Self { stage, operator, prometheus }
    }

    async fn is_blind(&self) -> String {
        let message =
            self.stage.until_condition("ScalingActive", "False", "FailedGetExternalMetric").await.unwrap();
        let ready = self.stage.until_condition("Ready", "False", "FailedGetExternalMetric").await.unwrap();
        assert_eq!(ready, format!("4 replicas are kept: no leading signal is fit to use: {message}"));
        message
    }

    /// The load that nobody sees falls and rises.
    async fn is_tempted_in_vain(&self) {
        for load in [10.0, 190.0] {
            self.stage.bed.exporter().gauge("load", &[("namespace", &self.stage.namespace)], load);
            self.operator.evaluations(MORE_THAN_A_WINDOW).await.unwrap();
        }
        assert_eq!(self.stage.course.counts(), [4], "{}", self.stage.course.record());
    }

    async fn recovers(&self) {
        self.stage.until_condition("Ready", "True", "Ready").await.unwrap();
        self.stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();
        self.stage.settled(6).await.unwrap();
        self.stage.load(40.0).await.unwrap();
        self.stage.settled(4).await.unwrap();
        assert_eq!(self.stage.course.counts(), [4, 6, 4], "{}", self.stage.course.record());
    }
}

pub(crate) async fn empty(bed: Arc<Bed>) {
    odd(
        bed,
        "empty",
        None,
        "rps is Missing: the query matched no series: check its metric name and labels, and that the target is scraped",
    )
    .await;
}

pub(crate) async fn not_a_number(bed: Arc<Bed>) {
    odd(
        bed,
        "not-a-number",
        Some(f64::NAN),
        "rps is Suspect: the value is NaN, often 0 divided by 0: guard the division, for example with `> 0`",
    )
    .await;
}

pub(crate) async fn negative(bed: Arc<Bed>) {
    odd(
        bed,
        "negative",
        Some(-500.0),
        "rps is Suspect: the value is -500, below 0: if that can be true write negative: Data, else check the query",
    )
    .await;
}

pub(crate) async fn absurd(bed: Arc<Bed>) {
    odd(
        bed,
        "absurd",
        Some(1e18),
        "rps is Suspect: 1e18 would need more replicas than can exist: check the query's unit",
    )
    .await;
}

pub(crate) async fn zero(bed: Arc<Bed>) {
    odd(
        bed,
        "zero",
        Some(0.0),
        "rps is Suspect: exactly 0 while 4 pods serve: if that can be true write zero: Data, else check the metric's pipeline",
    )
    .await;
}

/// The load becomes `value`, or nothing at all, and then a load again.
async fn odd(bed: Arc<Bed>, name: &str, value: Option<f64>, sentence: &str) {
    let stage = Stage::set(&bed, name, Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();

    match value {
        Some(value) => stage.load(value).await.unwrap(),
        None => bed.exporter().remove("load", &[("namespace", name)]),
    }
    let message = stage.until_condition("ScalingActive", "False", "FailedGetExternalMetric").await.unwrap();
    assert_eq!(message, sentence);
    operator.evaluations(MORE_THAN_A_WINDOW).await.unwrap();
    let status = stage.seen().await.unwrap().status.unwrap();
    assert_eq!(status.targets.as_deref(), Some("rps ?/10 each"));
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());

    stage.load(60.0).await.unwrap();
    stage.until_condition("ScalingActive", "True", "ValidMetricFound").await.unwrap();
    stage.settled(6).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 6], "{}", stage.course.record());
}
