//! The floor that a schedule sets at a moment.

use serde::{Deserialize, Serialize};

use super::window::{Bounds, Window};
use crate::number::saturate;
use crate::time::{Span, Time};

/// A floor for certain times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Name of the schedule.
    pub name: String,
    /// When.
    pub window: Window,
    /// The floor within its windows.
    pub replicas: u32,
    /// The floor rises for so long before a window, and is all there when it begins.
    pub ramp_in: Span,
    /// The floor falls for so long after a window.
    pub ramp_out: Span,
}

/// What a schedule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A window is to come.
    Waiting,
    /// A window is near, and the floor rises.
    RampingUp,
    /// A window is open.
    Active,
    /// A window is over, and the floor falls.
    RampingDown,
    /// No window will come any more.
    Over,
}

/// A schedule at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// What it does.
    pub phase: Phase,
    /// The floor; none while it sets none.
    pub floor: Option<u32>,
    /// The window that sets the floor.
    pub window: Option<Bounds>,
    /// The next window to begin.
    pub next: Option<Bounds>,
}

impl Schedule {
    /// What the schedule asks for `now`. Ramps begin and end at `least`, the floor that is there anyway.
    pub fn at(&self, now: Time, least: u32) -> ScheduleState {
        let around = self.window.around(now);
        if let Some(open) = around.begun.filter(|window| now < window.end) {
            return ScheduleState {
                phase: Phase::Active,
                floor: Some(self.replicas),
                window: Some(open),
                next: around.next,
            };
        }
        let rising = around.next.and_then(|window| {
            let ahead = window.start.since(now);
            (ahead < self.ramp_in)
                .then(|| (self.ramped(self.ramp_in.minus(ahead), self.ramp_in, least), window))
        });
        let falling = around.begun.and_then(|window| {
            let past = now.since(window.end);
            (past < self.ramp_out)
                .then(|| (self.ramped(self.ramp_out.minus(past), self.ramp_out, least), window))
        });
        let (phase, ramp) = match (rising, falling) {
            (Some(up), Some(down)) if down.0 > up.0 => (Phase::RampingDown, Some(down)),
            (Some(up), _) => (Phase::RampingUp, Some(up)),
            (None, Some(down)) => (Phase::RampingDown, Some(down)),
            (None, None) if around.next.is_some() => (Phase::Waiting, None),
            (None, None) => (Phase::Over, None),
        };
        ScheduleState {
            phase,
            floor: ramp.map(|(floor, _)| floor),
            window: ramp.map(|(_, window)| window),
            next: around.next,
        }
    }

    /// The floor with so much of a ramp done, rounded up.
    fn ramped(&self, done: Span, ramp: Span, least: u32) -> u32 {
        let rise = u64::from(self.replicas.saturating_sub(least));
        let risen = rise.saturating_mul(done.millis()).div_ceil(ramp.millis().max(1));
        least.min(self.replicas).saturating_add(saturate(risen)).min(self.replicas)
    }
}
