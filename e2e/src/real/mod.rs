//! The floor of real servers: `etcd`, `kube-apiserver` and `kube-controller-manager` with a fake kubelet, and, for
//! every floor with a running clock, a real Prometheus that scrapes a real exporter.
//!
//! All servers listen on loopback ports of their own, live in a temporary directory, and end with the value that
//! started them, or with the process that did, however that one ends.

pub mod access;
pub mod audit;
pub mod cluster;
pub mod course;
pub mod exporter;
pub mod helm;
pub mod kubectl;
pub mod kubelet;
pub mod loopback;
pub mod node;
pub mod past;
pub mod postgres;
pub mod postgres_exporter;
pub mod process;
pub mod program;
pub mod prometheus_proxy;
pub mod prometheus_server;
pub mod suite;

pub use access::User;
pub use cluster::{Cluster, ClusterOptions};
pub use course::{Course, Record};
pub use exporter::Exporter;
pub use kubelet::{Kubelet, PodTiming};
pub use node::Node;
pub use past::ServicePast;
pub use postgres::Postgres;
pub use postgres_exporter::PostgresExporter;
pub use process::StartError;
pub use program::Missing;
pub use prometheus_proxy::{Lie, PrometheusProxy};
pub use prometheus_server::{Prometheus, PrometheusOptions, QueryClient, Target};
pub use suite::Suite;

use std::time::Duration;

/// How long anything in the test bed may take before it counts as failed: generous, for a busy machine.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// What was started, or `None` after one plain line that says what is not installed and how to get it, or that it needs
/// root.
pub fn unless_missing<T>(started: Result<T, StartError>) -> Result<Option<T>, StartError> {
    match started {
        Ok(started) => Ok(Some(started)),
        Err(missing @ (StartError::Missing(_) | StartError::Unprivileged(_))) => {
            println!("skipped: {missing}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Chooses ring as this process's TLS provider, which `reqwest` and `kube` need before their first client.
pub(crate) fn choose_tls_provider() {
    // An error means that somebody chose before us, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for servers on loopback: it asks no proxy of the environment, and keeps no connection, because one
/// would outlive the server or the runtime that it belongs to.
pub fn loopback_client() -> std::io::Result<reqwest::Client> {
    choose_tls_provider();
    reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(DEADLINE)
        // The controller manager makes its own certificate, and is told nothing but hello.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(std::io::Error::other)
}
