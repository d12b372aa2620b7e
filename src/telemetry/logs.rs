//! Logs: for people on a terminal, for machines elsewhere.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs cannot be written as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The level is not understood.
    #[error(
        "the log level {level:?} is not understood ({fault}): write error, warn, info, debug or trace, or a filter such as plimsoll=debug"
    )]
    Level {
        /// As written.
        level: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Somebody else writes logs in this process.
    #[error("logs are being written already")]
    Taken,
}

/// Writes logs to stderr from now on. `level` is a level or a filter; where it is absent, `RUST_LOG` counts, then
/// `info`.
pub fn init_logs(format: LogFormat, level: Option<&str>) -> Result<(), LogsError> {
    let declared =
        level.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok()).filter(|level| !level.is_empty());
    let level = declared.unwrap_or_else(|| "info,kube_runtime=error,kube_client=error".to_owned());
    let filter = EnvFilter::builder()
        .parse(&level)
        .map_err(|fault| LogsError::Level { level: level.clone(), fault: fault.to_string() })?;
    let json = match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    if json {
        registry
            .with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false))
            .try_init()
    } else {
        registry.with(lines.with_target(false).with_ansi(stderr().is_terminal())).try_init()
    }
    .map_err(|_| LogsError::Taken)
}
