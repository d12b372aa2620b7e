//! The loop that joins the rooms: observe, decide, act, report. It decides nothing itself.

mod budgets;
mod burn_rates;
mod clock;
mod evaluation;
mod forecasts;
mod history;
mod leader;
mod lessons;
mod notices;
mod options;
mod recalled;
mod record;
mod replay;
mod report;
mod run;
mod samples;
mod schedule;
mod signals;
mod spans;
mod supervisor;
mod task;

#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod loop_tests;
#[cfg(test)]
mod testing;

pub use clock::{Clock, ClockError};
pub use leader::Election;
pub use options::Options;
pub use recalled::Recalled;
pub use record::{RECORD_VERSION, Record, Recorder};
pub use replay::{Replay, Replayed};
pub use run::{RunError, run};
pub use signals::Signals;
