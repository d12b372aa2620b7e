//! Traces of evaluations. Where the environment names a collector of OpenTelemetry, spans go to it by OTLP over HTTP, as
//! long as the program was built with the feature `otel`.

use std::env;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The target of spans that are meant for traces; none of them is written into logs.
pub const SPANS: &str = "plimsoll::spans";

/// Either of them names a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The first that is set counts.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The one protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// Traces cannot be sent as asked.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A protocol that is not spoken.
    #[error("traces are sent by {PROTOCOL} alone, not by {0}: unset {first} and {second}", first = PROTOCOLS[0], second = PROTOCOLS[1])]
    Protocol(String),
    /// The collector's address or another variable is not understood.
    #[error("traces cannot be sent: {0}; the variables OTEL_EXPORTER_OTLP_… say where and how")]
    Exporter(String),
}

/// Whether the environment asks for traces.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, TracesError> {
    let named = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let off = named("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || named("OTEL_TRACES_EXPORTER").is_some_and(|value| value != "otlp");
    if off || !ENDPOINTS.iter().any(|name| named(name).is_some()) {
        return Ok(false);
    }
    match PROTOCOLS.iter().find_map(|name| named(name)) {
        Some(protocol) if protocol != PROTOCOL => Err(TracesError::Protocol(protocol)),
        _ => Ok(true),
    }
}

/// Traces on their way to a collector, or none.
#[derive(Debug)]
pub struct Traces {
    wanted: bool,
    #[cfg(feature = "otel")]
    exporter: Option<super::otlp::Exporter>,
}

impl Traces {
    /// As the environment asks for them.
    pub fn start() -> Result<Self, TracesError> {
        let wanted = wanted(|name| env::var(name).ok())?;
        Ok(Self {
            wanted,
            #[cfg(feature = "otel")]
            exporter: wanted.then(super::otlp::Exporter::start).transpose()?,
        })
    }

    /// What takes spans from the program; none where nobody wants them.
    #[cfg_attr(not(feature = "otel"), allow(clippy::unused_self, reason = "it holds no exporter then"))]
    pub(super) fn layer<S>(&self) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        #[cfg(feature = "otel")]
        return self.exporter.as_ref().map(super::otlp::Exporter::layer);
        #[cfg(not(feature = "otel"))]
        None
    }

    /// Says where traces go, or that they are asked for in vain.
    pub(super) fn announce(&self) {
        if !self.wanted {
            return;
        }
        if cfg!(feature = "otel") {
            tracing::info!("traces of evaluations are sent as the variables OTEL_… say");
        } else {
            let remedy = "unset OTEL_EXPORTER_OTLP_ENDPOINT, or build the program with --features otel";
            tracing::warn!(remedy, "the environment asks for traces, which this program cannot send");
        }
    }

    /// Sends what is left, within a bound.
    pub fn finish(self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = self.exporter {
            exporter.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_wanted_where_a_collector_is_named_and_nothing_switches_them_off() {
        let (all, traces) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let url = "http://collector:4318";
        for (environment, expected) in [
            (&[][..], false),
            (&[("OTEL_SERVICE_NAME", "plimsoll")], false),
            (&[(all, "")], false),
            (&[(all, url)], true),
            (&[(traces, url)], true),
            (&[(all, url), ("OTEL_TRACES_EXPORTER", "otlp")], true),
            (&[(all, url), ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[(all, url), ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[(all, url), ("OTEL_SDK_DISABLED", "false")], true),
            (&[(all, url), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], true),
        ] {
            let told = wanted(|name| {
                environment.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
            });
            assert_eq!(told.unwrap(), expected, "{environment:?}");
        }
    }

    #[test]
    fn a_protocol_that_is_not_spoken_is_refused() {
        let environment = |name: &str| {
            let grpc = name == "OTEL_EXPORTER_OTLP_PROTOCOL";
            Some(if grpc { "grpc" } else { "" }.to_owned()).filter(|_| grpc).or_else(|| {
                (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://collector:4317".to_owned())
            })
        };
        let fault = wanted(environment).unwrap_err().to_string();
        assert!(
            fault.starts_with("traces are sent by http/protobuf alone, not by grpc: unset OTEL_"),
            "{fault}"
        );
    }
}
