//! What the operator tells about itself: logs, metrics, and whether it is well.

mod health;
mod logs;
mod metrics;
#[cfg(feature = "otel")]
mod otlp;
mod policies;
mod server;
mod traces;

pub use health::Health;
pub use logs::{LogFormat, LogsError, init_logs};
pub use metrics::Metrics;
pub use policies::PolicyFigures;
pub use server::serve;
pub use traces::{SPANS, Traces, TracesError};
