//! The spans of an evaluation, for traces; where nobody collects them they cost nothing. They hold names and numbers, never
//! a query, an address or what a server said.

use std::future::Future;

use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};

use super::report::Acted;
use crate::cluster::PolicyRecord;
use crate::control::Decision;
use crate::signal::{Answer, Reading};
use crate::telemetry::SPANS;

/// One evaluation of a policy: the root of a trace.
pub(super) fn evaluation(record: &PolicyRecord) -> Span {
    let target = record.spec.as_ref().ok().map(|spec| &spec.scale_target_ref);
    info_span!(
        target: SPANS,
        "evaluation",
        k8s.namespace.name = record.key.namespace.as_str(),
        plimsoll.policy = record.key.name.as_str(),
        plimsoll.target.kind = target.map(|target| target.kind.as_str()),
        plimsoll.target.name = target.map(|target| target.name.as_str()),
        plimsoll.reason = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// One signal, guard or window of an error budget, asked of a Prometheus server; its age is part of it.
pub(super) async fn query(
    about: &'static str,
    name: &str,
    server: &str,
    answer: impl Future<Output = Reading>,
) -> Reading {
    let span = info_span!(
        target: SPANS,
        "query",
        otel.kind = "client",
        plimsoll.query.about = about,
        plimsoll.query.name = name,
        plimsoll.prometheus.server = server,
        plimsoll.query.value = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    );
    let reading = answer.instrument(span.clone()).await;
    match &reading.answer {
        Answer::Value(value) => {
            span.record("plimsoll.query.value", *value);
        }
        Answer::NoSeries => failed(&span, "no_series"),
        Answer::ManySeries(_) => failed(&span, "many_series"),
        Answer::Failed(_) => failed(&span, "no_answer"),
    }
    reading
}

/// What was decided.
pub(super) fn decision<T>(decide: impl FnOnce() -> (Decision, T)) -> (Decision, T) {
    let span = info_span!(
        target: SPANS,
        "decision",
        plimsoll.reason = Empty,
        plimsoll.replicas.current = Empty,
        plimsoll.replicas.needed = Empty,
        plimsoll.replicas.desired = Empty,
        plimsoll.replicas.effective_max = Empty,
    );
    let decided = span.in_scope(decide);
    let decision = &decided.0;
    if !span.is_disabled() {
        span.record("plimsoll.reason", display(decision.reason));
        span.record("plimsoll.replicas.current", decision.from);
        span.record("plimsoll.replicas.needed", decision.need);
        span.record("plimsoll.replicas.desired", decision.desired);
        span.record("plimsoll.replicas.effective_max", decision.effective_max);
    }
    decided
}

/// What came of an evaluation.
pub(super) fn decided(span: &Span, decision: &Decision) {
    if !span.is_disabled() {
        span.record("plimsoll.reason", display(decision.reason));
    }
}

/// One write of a count.
pub(super) async fn write(from: u32, to: u32, written: impl Future<Output = Acted>) -> Acted {
    let span = info_span!(
        target: SPANS,
        "write",
        otel.kind = "client",
        plimsoll.replicas.from = from,
        plimsoll.replicas.to = to,
        error.type = Empty,
        otel.status_code = Empty,
    );
    let acted = written.instrument(span.clone()).await;
    if let Acted::Failed(error) = &acted {
        failed(&span, error.kind.label());
    }
    acted
}

/// A look at the workload and its pods.
pub(super) fn look() -> Span {
    info_span!(target: SPANS, "look")
}

/// The report of what was decided: logs, metrics, and status where it is worth a write.
pub(super) fn report() -> Span {
    info_span!(target: SPANS, "report")
}

/// Ends in an error of this type.
pub(super) fn failed(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}
