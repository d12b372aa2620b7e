//! Time windows with a time zone, and the floors that they set: known peaks, met before they come.
//!
//! Nothing here reads a clock or a file: `now` is an argument, and the time zones are part of the program.

mod cron;
mod floor;
mod window;
mod zone;

pub use cron::Cron;
pub use floor::{Phase, Schedule, ScheduleState};
pub use window::{Around, Bounds, End, Window};
pub use zone::Zone;
