//! What do we really have? Pods counted honestly: what carries load, what is on its way, what still holds on.

mod pods;

pub use pods::{Counts, Yardstick, count};
