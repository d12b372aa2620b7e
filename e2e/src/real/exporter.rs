//! A metrics exporter whose series the test sets, and which fails in the ways exporters fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use super::loopback::LoopbackServer;

/// How an exporter fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExporterFault {
    /// It does not: it answers with its series.
    #[default]
    None,
    /// It accepts connections and does not answer until the fault is over.
    Hang,
    /// It answers with status 500.
    Error,
}

/// A running exporter of `GET /metrics`; its series are whatever was last set.
pub struct Exporter {
    series: Series,
    fault: watch::Sender<ExporterFault>,
    server: LoopbackServer,
}

/// The values, by the name of their metric and then by their labels as they are written.
type Series = Arc<Mutex<BTreeMap<String, Family>>>;

#[derive(Clone, Debug)]
struct Family {
    kind: &'static str,
    values: BTreeMap<String, f64>,
}

impl Exporter {
    /// Starts an exporter without series.
    pub fn start() -> io::Result<Self> {
        let series = Series::default();
        let (fault, faults) = watch::channel(ExporterFault::None);
        let shown = Arc::clone(&series);
        let server = LoopbackServer::start(move || {
            let (series, faults) = (Arc::clone(&shown), faults.clone());
            Router::new().route("/metrics", get(move || answer(Arc::clone(&series), faults.clone())))
        })?;
        Ok(Self { series, fault, server })
    }

    /// Where it listens, also while it is stopped.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Sets a gauge to any value, NaN and infinities included.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.change(name, "gauge", |values| {
            values.insert(written(labels), value);
        });
    }

    /// Sets a counter; a smaller value than before is a reset.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.change(name, "counter", |values| {
            values.insert(written(labels), value);
        });
    }

    /// Adds to a counter, which starts at 0.
    pub fn add(&self, name: &str, labels: &[(&str, &str)], increase: f64) {
        self.change(name, "counter", |values| {
            *values.entry(written(labels)).or_insert(0.0) += increase;
        });
    }

    /// Removes one series.
    pub fn remove(&self, name: &str, labels: &[(&str, &str)]) {
        if let Some(family) = self.lock().get_mut(name) {
            family.values.remove(&written(labels));
        }
    }

    /// Removes every series of a metric.
    pub fn remove_metric(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Fails in a way, or no longer, from now on; requests that hang are answered when the fault changes.
    pub fn fail(&self, fault: ExporterFault) {
        self.fault.send_replace(fault);
    }

    /// Refuses connections until [`resume`](Self::resume).
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Accepts connections again.
    pub fn resume(&self) -> io::Result<()> {
        self.server.resume()
    }

    fn change(&self, name: &str, kind: &'static str, change: impl FnOnce(&mut BTreeMap<String, f64>)) {
        let mut series = self.lock();
        let family =
            series.entry(name.to_owned()).or_insert_with(|| Family { kind, values: BTreeMap::new() });
        family.kind = kind;
        change(&mut family.values);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Family>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(series: Series, mut faults: watch::Receiver<ExporterFault>) -> Response {
    // The sender ends with the exporter, and this request with it.
    let Ok(fault) = faults.wait_for(|fault| *fault != ExporterFault::Hang).await.map(|fault| fault.clone())
    else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if fault == ExporterFault::Error {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the exporter fails as it was told to").into_response();
    }
    let text = exposition(&series.lock().unwrap_or_else(PoisonError::into_inner));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// The series in Prometheus' text format.
fn exposition(series: &BTreeMap<String, Family>) -> String {
    let mut text = String::new();
    for (name, Family { kind, values }) in series {
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {}", number(*value));
        }
    }
    text
}

/// A value as Prometheus writes it.
pub(crate) fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn written(labels: &[(&str, &str)]) -> String {
    let mut labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    labels.sort_unstable();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_written_as_prometheus_reads_them() {
        let exporter = Exporter::start().unwrap();
        exporter.gauge("queue_depth", &[], f64::NAN);
        exporter.gauge("headroom", &[("pool", "a \"b\" \\c\n")], f64::NEG_INFINITY);
        exporter.add("requests_total", &[("pod", "p"), ("code", "200")], 1.5);
        exporter.add("requests_total", &[("code", "200"), ("pod", "p")], 2.0);
        exporter.counter("gone_total", &[], 1.0);
        exporter.remove_metric("gone_total");
        let text = exposition(&exporter.lock());
        assert_eq!(
            text,
            "# TYPE headroom gauge\nheadroom{pool=\"a \\\"b\\\" \\\\c\\n\"} -Inf\n\
             # TYPE queue_depth gauge\nqueue_depth NaN\n\
             # TYPE requests_total counter\nrequests_total{code=\"200\",pod=\"p\"} 3.5\n"
        );
    }
}
