//! Where the operator's signals come from: a real Prometheus, or the test bed's own query endpoint.

use std::net::SocketAddr;

use super::DemoError;
use super::query::QueryEndpoint;
use crate::real::{Prometheus, StartError, Target};

/// Where the operator's signals come from.
pub enum Source {
    /// A real Prometheus.
    Prometheus(Box<Prometheus>),
    /// The test bed's own query endpoint, where there is no Prometheus.
    StandIn(QueryEndpoint),
    /// The same, because somebody asked for it.
    Chosen(QueryEndpoint),
}

impl Source {
    /// A Prometheus that scrapes `exporter` each second, or what stands in for it where none is installed.
    pub async fn start(exporter: SocketAddr, without_prometheus: bool) -> Result<Self, DemoError> {
        if without_prometheus {
            return Ok(Self::Chosen(QueryEndpoint::start(exporter)?));
        }
        match Prometheus::start(&[Target::new("ingress", exporter)]).await {
            Ok(prometheus) => Ok(Self::Prometheus(Box::new(prometheus))),
            Err(StartError::Missing(_)) => Ok(Self::StandIn(QueryEndpoint::start(exporter)?)),
            Err(error) => Err(error.into()),
        }
    }

    /// The server's base URL.
    pub fn url(&self) -> String {
        match self {
            Self::Prometheus(prometheus) => prometheus.url(),
            Self::StandIn(endpoint) | Self::Chosen(endpoint) => endpoint.url(),
        }
    }

    /// What it is, as the rest of a sentence.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "a real Prometheus",
            Self::StandIn(_) => "the test bed's own query endpoint: Prometheus is not installed",
            Self::Chosen(_) => "the test bed's own query endpoint, as asked for",
        }
    }
}
