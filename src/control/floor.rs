//! Counts that demand may not go below: neither the dead band nor windows hold them up, and ceilings bound them.

use super::reason::Reason;

/// A count that demand may not go below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    /// The count.
    pub(super) replicas: u32,
    /// What sets it.
    pub(super) reason: Reason,
    /// One sentence: what sets it, and until when.
    pub(super) message: String,
}

/// The largest of floors; of equal ones the first.
pub(super) fn largest(floors: &[Floor]) -> Option<&Floor> {
    floors.iter().rev().max_by_key(|floor| floor.replicas)
}
