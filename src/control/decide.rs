//! The walk from signals to a count.

use super::{Decision, Memory, Observation, Policy};
use crate::time::Time;

/// Decides.
pub fn decide(_policy: &Policy, _observation: &Observation, _memory: Memory, _now: Time) -> (Decision, Memory) {
    todo!()
}
