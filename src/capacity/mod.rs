//! What do we really have? Pods counted honestly: what carries load, what is on its way, what still holds on.

mod durations;
mod pods;
mod zones;

pub use durations::Durations;
pub use pods::{Counts, Yardstick, count};
pub use zones::{ZONE_LABEL, Zones};
