//! Logs: for people on a terminal, for machines elsewhere.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::traces::Traces;

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

/// Writes logs to stderr from now on, and hands spans to `traces`. `level` is a level or a filter of logs; where it is
/// absent, `RUST_LOG` counts, then `info`.
pub fn init_logs(format: LogFormat, level: Option<&str>, traces: &Traces) -> Result<(), LogsError> {
    let declared = level.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok());
    let filter = filter(declared.filter(|level| !level.is_empty()).as_deref().unwrap_or("info"))?;
    let json = match format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.with_target(false).with_ansi(stderr().is_terminal()).boxed()
    };
    // Spans are for traces: what nobody collects is not even made.
    let lines = lines.with_filter(filter.and(filter_fn(|metadata| !metadata.is_span())));
    let registry = tracing_subscriber::registry().with(lines).with(traces.layer());
    registry.try_init().map_err(|_| LogsError::Taken)?;
    traces.announce();
    Ok(())
}

/// The level or filter as asked for; libraries whose errors we tell ourselves are silent unless they are named.
fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let refused = |fault: String| LogsError::Level { level: level.to_owned(), fault };
    let plain = level.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']) && !part.is_empty());
    for word in plain {
        // A word that is no level would be taken for the name of a module, and silence everything else.
        word.parse::<LevelFilter>().map_err(|_| refused(format!("{word} is no level")))?;
    }
    EnvFilter::builder().parse(format!("{LIBRARIES},{level}")).map_err(|fault| refused(fault.to_string()))
}

const LIBRARIES: &str = "kube_client=off,kube_runtime=off,hyper_util=warn,tower=warn,h2=warn,rustls=warn,reqwest=warn,rustls_platform_verifier=warn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_taken_and_misspelt_levels_are_not() {
        for level in [
            "info",
            "WARN",
            "plimsoll=debug",
            "info,plimsoll::operator=trace",
            "debug,kube_client=debug",
            "off",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["loud", "info,verbose", "plimsoll=loud"] {
            let fault = filter(level).unwrap_err().to_string();
            assert!(fault.contains("write error, warn, info, debug or trace"), "{fault}");
        }
    }

    #[test]
    fn what_is_asked_for_outweighs_our_own_silence() {
        let text = filter("debug,kube_client=trace").unwrap().to_string();
        assert!(text.contains("kube_client=trace") && !text.contains("kube_client=off"), "{text}");
        assert!(text.contains("kube_runtime=off") && text.contains("debug"), "{text}");
    }
}
