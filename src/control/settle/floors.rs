//! Row 7: floors.

use super::Case;
use crate::control::floor::{self, Floor};
use crate::control::reason::Reason;

impl Case<'_> {
    /// The largest floor that is in force. A person who paused growth paused floors as well, `minReplicas` excepted.
    pub(super) fn floor(&self) -> Option<Floor> {
        let floor = floor::largest(&self.wish.floors)?;
        let paused = self.wish.scale_up_paused && floor.replicas > self.spec();
        let replicas = if paused { self.spec() } else { floor.replicas };
        Some(Floor { replicas, ..floor.clone() })
    }

    /// This is reached at once, under no rate and no limit of pods warming up.
    pub(super) fn at_once(&self) -> u32 {
        self.floor().map_or(self.policy.min, |floor| floor.replicas.max(self.policy.min))
    }

    /// Whether a floor holds the count above demand, and which.
    pub(super) fn limited_by_floor(&self, known: bool) -> Reason {
        let demanded = self.wish.demanded;
        match self.floor().filter(|floor| floor.replicas > demanded.max(self.policy.min)) {
            Some(floor) if known => floor.reason,
            _ if known && demanded < self.policy.min => Reason::TooFewReplicas,
            _ => Reason::DesiredWithinRange,
        }
    }
}
