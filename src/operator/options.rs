//! What an operator is started with.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::clock::Clock;
use super::leader::Election;
use super::signals::Signals;

/// What an operator is started with.
pub struct Options {
    /// Where readings come from.
    pub signals: Arc<dyn Signals>,
    /// The namespaces to look at; the whole cluster if there are none.
    pub namespaces: Vec<String>,
    /// Where health and metrics are served, if they are.
    pub listener: Option<TcpListener>,
    /// What time it is.
    pub clock: Clock,
    /// Where every decision is recorded, if it is.
    pub record: Option<PathBuf>,
    /// What this process is called in events: the pod's name.
    pub instance: String,
    /// The election of the one process that acts; without it this one acts, and must be alone.
    pub election: Option<Election>,
}

impl Options {
    /// The whole cluster, by the wall clock, without endpoints and recordings.
    pub fn new(signals: Arc<dyn Signals>) -> Self {
        Self {
            signals,
            namespaces: Vec::new(),
            listener: None,
            clock: Clock::wall(),
            record: None,
            instance: "plimsoll".to_owned(),
            election: None,
        }
    }
}
