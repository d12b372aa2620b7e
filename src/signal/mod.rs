//! Is this number fit to use? Quality, smoothing and lag of one signal.

mod reading;

pub use reading::{Age, Answer, Reading};
