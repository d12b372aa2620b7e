//! Windows of time, once or again and again.

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::zone::{Repeated, Zone};
use crate::time::{Span, Time};

/// Windows of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// Again and again, by the wall clock of a zone. A wall clock time that a night leaves out comes when the clocks leap;
    /// of one that a night repeats a window begins at the first and ends at the last.
    Recurring {
        /// When windows begin.
        start: Cron,
        /// When they end.
        end: End,
        /// Whose wall clock.
        zone: Zone,
    },
    /// Once.
    Once(Bounds),
}

/// When a window ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// At the next of these times.
    At(Cron),
    /// So long after its beginning, whatever the clocks do meanwhile.
    After(Span),
}

/// Beginning and end of a window. The end is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// When it begins.
    pub start: Time,
    /// When it ends.
    pub end: Time,
}

/// The windows around a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The last that has begun; it may have ended.
    pub begun: Option<Bounds>,
    /// The first that has not.
    pub next: Option<Bounds>,
}

impl Window {
    /// The windows around a moment. A window that has begun by then has begun.
    pub fn around(&self, now: Time) -> Around {
        match self {
            Self::Once(bounds) if bounds.start <= now => Around { begun: Some(*bounds), next: None },
            Self::Once(bounds) => Around { begun: None, next: Some(*bounds) },
            Self::Recurring { start, end, zone } => {
                let bounds = |begins: super::zone::Occurrence| {
                    let ends = match end {
                        End::At(end) => zone.first_following(end, Repeated::Last, begins)?.at,
                        End::After(length) => begins.later(*length),
                    };
                    Some(Bounds { start: begins.at, end: ends })
                };
                Around {
                    begun: zone.last_until(start, Repeated::First, now).and_then(bounds),
                    next: zone.first_after(start, Repeated::First, now).and_then(bounds),
                }
            }
        }
    }
}
