//! The only room that speaks to Prometheus. It asks, decodes and reports; it decides nothing.
//!
//! A policy names a server of the operator's [`Config`] and a query; [`Servers::evaluate`] makes a
//! [`Reading`](crate::signal::Reading) of them. Every question has a deadline, every answer a bound, and a server that
//! is slow or lies delays and misleads only those who ask it.

mod answer;
mod config;
mod credentials;
mod failure;
mod history;
mod plan;
pub mod promql;
mod server;
mod servers;
mod sharing;
mod statistics;
mod transport;

pub use answer::{Answered, Undecoded, decode};
pub use config::{Auth, BasicAuth, Config, ConfigError, ServerConfig, Tls};
pub use failure::FailureKind;
pub use servers::{Evaluation, Servers};
pub use statistics::{ServerStatistics, Statistics};
pub use transport::{Broken, Transport};
