//! What a workload's pods hold of one budget: the highest reach of the recent past (rule 3).

use std::collections::VecDeque;

use crate::time::{Span, Time};

/// The highest of the recent past: what has gone counts for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Held {
    /// When each value was last seen; each newer entry is lower than the one before it.
    entries: VecDeque<(Time, u32)>,
}

impl Held {
    /// A reach seen `now`; what was seen before stays for `linger` since it was last true.
    pub(super) fn see(&mut self, reach: u32, now: Time, linger: Span) {
        for (at, _) in &mut self.entries {
            *at = (*at).min(now);
        }
        // Until this moment the value before was true.
        if let Some((at, _)) = self.entries.back_mut() {
            *at = now;
        }
        while self.entries.front().is_some_and(|(at, _)| *at + linger < now) {
            self.entries.pop_front();
        }
        while self.entries.back().is_some_and(|(_, earlier)| *earlier <= reach) {
            self.entries.pop_back();
        }
        self.entries.push_back((now, reach));
    }

    /// The highest reach that may still hold connections.
    pub(super) fn most(&self, now: Time, linger: Span) -> u32 {
        let newest = self.entries.back().map_or(0, |(_, reach)| *reach);
        let lingering = self.entries.iter().filter(|(at, _)| *at + linger >= now);
        lingering.map(|(_, reach)| *reach).max().unwrap_or(0).max(newest)
    }
}
