//! The operator's own metrics.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::policies::{Policies, PolicyFigures};
use crate::cluster::{ApiErrorKind, PolicyKey};
use crate::control::Reason;
use crate::number::from_u64;
use crate::prometheus::{ServerStatistics, Statistics};

type Labels = Vec<(&'static str, String)>;

/// What is told of each connection budget.
const BUDGET_FIGURES: [&str; 6] = ["limit", "reserved", "others", "granted", "free", "overcommitted"];

/// The operator's own metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    policies: Policies,
    evaluation_duration: Histogram,
    evaluation_lag: Histogram,
    decisions: Family<Labels, Counter>,
    scale_writes: Family<Labels, Counter>,
    status_writes: Family<Labels, Counter>,
    events: Family<Labels, Counter>,
    api_errors: Family<Labels, Counter>,
    watch_errors: Family<Labels, Counter>,
    budget_connections: Family<Labels, Gauge>,
    leader: Gauge,
    panics: Counter,
    unrecorded: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("plimsoll")),
            policies: Policies::default(),
            evaluation_duration: Histogram::new([
                0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ]),
            evaluation_lag: Histogram::new([0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0]),
            budget_connections: Family::default(),
            decisions: Family::default(),
            scale_writes: Family::default(),
            status_writes: Family::default(),
            events: Family::default(),
            api_errors: Family::default(),
            watch_errors: Family::default(),
            leader: Gauge::default(),
            panics: Counter::default(),
            unrecorded: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let build = Family::<Labels, Gauge>::default();
        build.get_or_create_owned(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
        registry.register("build_info", "The version that runs; always 1", build);
        registry.register(
            "budget_connections",
            "What a connection budget comes to: its limit, what is reserved, taken by others, granted, free, overcommitted",
            self.budget_connections.clone(),
        );
        registry.register("leader", "1 while this process leads and scales, else 0", self.leader.clone());
        registry.register_with_unit(
            "evaluation_duration",
            "Time from the start of an evaluation to its last write",
            Unit::Seconds,
            self.evaluation_duration.clone(),
        );
        registry.register_with_unit(
            "evaluation_lag",
            "How late evaluations begin",
            Unit::Seconds,
            self.evaluation_lag.clone(),
        );
        registry.register("decisions", "Decisions by their reason", self.decisions.clone());
        registry.register("scale_writes", "Writes of a count by their outcome", self.scale_writes.clone());
        registry.register(
            "status_writes",
            "Writes of status by what called for them, or by how they failed",
            self.status_writes.clone(),
        );
        registry.register("events", "Kubernetes events by their outcome", self.events.clone());
        registry.register(
            "api_request_errors",
            "Requests to the API server that failed",
            self.api_errors.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that broke off or could not begin",
            self.watch_errors.clone(),
        );
        registry.register(
            "evaluation_panics",
            "Evaluations that ended in a defect of the operator",
            self.panics.clone(),
        );
        registry.register(
            "unrecorded_decisions",
            "Decisions that could not be recorded",
            self.unrecorded.clone(),
        );
        registry.register_collector(Box::new(self.policies.clone()));
    }

    /// Publishes what the Prometheus room counts.
    pub fn publish_queries(&self, statistics: impl Fn() -> Statistics + Send + Sync + 'static) {
        let collector = Queries(Box::new(statistics));
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(Box::new(collector));
    }

    /// All metrics as OpenMetrics text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }

    /// An evaluation took so long, and began so late.
    pub fn evaluated(&self, took: Duration, late: Duration) {
        self.evaluation_duration.observe(took.as_secs_f64());
        self.evaluation_lag.observe(late.as_secs_f64());
    }

    /// A decision was taken for this reason.
    pub fn decided(&self, reason: Reason) {
        count(&self.decisions, &vec![("reason", reason.to_string())]);
    }

    /// A count was written, or not.
    pub fn scale_written(&self, result: Result<(), ApiErrorKind>) {
        count(&self.scale_writes, &vec![("outcome", outcome(result))]);
    }

    /// Status was written for this reason, or not.
    pub fn status_written(&self, result: Result<&str, ApiErrorKind>) {
        let outcome = result.map_or_else(|kind| kind.label().to_owned(), str::to_owned);
        count(&self.status_writes, &vec![("outcome", outcome)]);
    }

    /// An event was published, or not.
    pub fn event_published(&self, result: Result<(), ApiErrorKind>) {
        count(&self.events, &vec![("outcome", outcome(result))]);
    }

    /// What a connection budget comes to, by kind: `limit`, `reserved`, `others`, `granted`, `free`, `overcommitted`.
    pub fn show_budget(&self, budget: &str, figures: &[(&'static str, u32)]) {
        for (kind, connections) in figures {
            let labels = vec![("budget", budget.to_owned()), ("kind", (*kind).to_owned())];
            self.budget_connections.get_or_create_owned(&labels).set(i64::from(*connections));
        }
    }

    /// A budget went.
    pub fn forget_budget(&self, budget: &str) {
        for kind in BUDGET_FIGURES {
            let labels = vec![("budget", budget.to_owned()), ("kind", kind.to_owned())];
            self.budget_connections.remove(&labels);
        }
    }

    /// An event was dropped, since too many wait.
    pub fn event_dropped(&self) {
        count(&self.events, &vec![("outcome", "dropped".to_owned())]);
    }

    /// A request to the API server failed.
    pub fn api_failed(&self, request: &'static str, kind: ApiErrorKind) {
        count(&self.api_errors, &vec![("request", request.to_owned()), ("reason", kind.label().to_owned())]);
    }

    /// A watch broke off or could not begin.
    pub fn watch_failed(&self, resource: &str, kind: ApiErrorKind) {
        count(
            &self.watch_errors,
            &vec![("resource", resource.to_owned()), ("reason", kind.label().to_owned())],
        );
    }

    /// An evaluation ended in a defect.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A decision could not be recorded.
    pub fn unrecorded(&self) {
        self.unrecorded.inc();
    }

    /// Shows a policy's figures.
    pub fn show(&self, policy: &PolicyKey, figures: PolicyFigures) {
        self.policies.set(policy, figures);
    }

    /// This process leads, or does so no more; then it has no figures of policies to show.
    pub fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.policies.clear();
        }
    }

    /// Shows a policy's figures no longer.
    pub fn forget(&self, policy: &PolicyKey) {
        self.policies.remove(policy);
    }
}

fn count(family: &Family<Labels, Counter>, labels: &Labels) {
    family.get_or_create_owned(labels).inc();
}

fn outcome(result: Result<(), ApiErrorKind>) -> String {
    result.map_or_else(ApiErrorKind::label, |()| "ok").to_owned()
}

/// What the Prometheus room counts.
struct Queries(Box<dyn Fn() -> Statistics + Send + Sync>);

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queries")
    }
}

impl Collector for Queries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let servers = (self.0)().servers;
        for of in QUERY_COUNTERS {
            let mut family = encoder.encode_descriptor(of.name, of.help, None, MetricType::Counter)?;
            for (server, statistics) in &servers {
                let labels = [("server", server.as_str())];
                ConstCounter::new((of.value)(statistics)).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Questions that brought no answer";
        let mut family = encoder.encode_descriptor("prometheus_failures", help, None, MetricType::Counter)?;
        for (server, statistics) in &servers {
            for (kind, failures) in &statistics.failures {
                let labels = [("server", server.as_str()), ("reason", kind.name())];
                ConstCounter::new(*failures).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

struct QueryCounter {
    name: &'static str,
    help: &'static str,
    value: fn(&ServerStatistics) -> f64,
}

const QUERY_COUNTERS: [QueryCounter; 4] = [
    QueryCounter {
        name: "prometheus_requests",
        help: "Questions put to a Prometheus server",
        value: |of| from_u64(of.requests),
    },
    QueryCounter {
        name: "prometheus_coalesced",
        help: "Questions answered by the answer to an identical one",
        value: |of| from_u64(of.coalesced),
    },
    QueryCounter {
        name: "prometheus_requests_ended",
        help: "Questions that have been answered or given up",
        value: |of| from_u64(of.latency_count),
    },
    QueryCounter {
        name: "prometheus_request_seconds",
        help: "Time that ended questions took together",
        value: |of| of.latency_sum.seconds(),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_is_ours_and_has_words() {
        let metrics = Metrics::new();
        metrics.publish_queries(Statistics::default);
        let text = metrics.text().unwrap();
        let named = |kind: &str| -> BTreeSet<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
            lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        };
        let (helps, types) = (named("# HELP "), named("# TYPE "));
        assert_eq!(helps, types);
        assert!(helps.len() > 25 && helps.iter().all(|name| name.starts_with("plimsoll_")), "{helps:?}");
    }

    #[test]
    fn the_reference_page_has_every_metric_with_its_type_and_words_and_no_other() {
        let page = include_str!("../../docs/metrics.md");
        let metrics = Metrics::new();
        metrics.publish_queries(Statistics::default);
        // What has never happened is not exposed.
        metrics.decided(Reason::Ready);
        metrics.scale_written(Ok(()));
        metrics.status_written(Ok("decision"));
        metrics.event_published(Ok(()));
        metrics.api_failed("list", ApiErrorKind::Timeout);
        metrics.watch_failed("pods", ApiErrorKind::Timeout);
        metrics.show_budget("orders-db", &[("limit", 1)]);
        let text = metrics.text().unwrap();
        let described = |kind: &str| -> Vec<(String, String)> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.split_once(' '));
            lines.map(|(name, words)| (name.to_owned(), words.to_owned())).collect()
        };
        let kinds = described("# TYPE ");
        for ((name, help), (_, kind)) in described("# HELP ").into_iter().zip(&kinds) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let row = format!("| `{name}{suffix}` | {kind} |");
            // The format ends each help text with a full stop.
            let help = help.trim_end_matches('.');
            let found =
                page.lines().any(|line| line.starts_with(&row) && line.ends_with(&format!("| {help} |")));
            assert!(found, "docs/metrics.md lacks: {row} … | {help} |");
        }
        let rows = page.lines().filter(|line| line.starts_with("| `plimsoll_")).count();
        assert_eq!(rows, kinds.len(), "docs/metrics.md has a metric that is not exposed");
    }

    #[test]
    fn a_policys_figures_go_with_it_and_names_are_escaped() {
        let metrics = Metrics::new();
        let policy = PolicyKey { namespace: "shop".to_owned(), name: "we\"b".to_owned() };
        metrics.show(&policy, PolicyFigures::of_unmet(3));
        let line = "plimsoll_unmet_replicas{namespace=\"shop\",policy=\"we\\\"b\"} 3.0";
        assert!(metrics.text().unwrap().contains(line), "{}", metrics.text().unwrap());
        metrics.forget(&policy);
        assert!(!metrics.text().unwrap().contains("namespace="));
    }
}
