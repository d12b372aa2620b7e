//! Is this number fit to use? Quality, smoothing and lag of one signal.

mod moments;
mod quality;
mod reading;
mod smoothing;

use serde::{Deserialize, Serialize};

pub use moments::Moments;
pub use quality::{Judged, Quality, Surroundings, is_sound};
pub use reading::{Age, Answer, Reading};
pub use smoothing::MovingAverage;

/// Whether a signal is fit to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalState {
    /// Fit to use.
    Fresh,
    /// Its newest sample is too old.
    Stale,
    /// There is no value.
    Missing,
    /// There is a value that cannot be trusted.
    Suspect,
}
