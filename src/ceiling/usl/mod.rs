//! The Universal Scalability Law fitted to measurements: X(N) = λN / (1 + α(N−1) + βN(N−1)) (Gunther, *Guerrilla
//! Capacity Planning*; practice after Schwartz, *Practical Scalability Analysis with the Universal Scalability Law*).
//!
//! Offline, [`fit`] takes a table of sizes and throughputs. Online, [`Estimator`] gathers windows of a running workload
//! and [`Estimator::assess`] says what ceiling they support, if any. A false ceiling causes an outage and a missed one
//! costs money: whatever the measurements leave open is answered with no ceiling.

mod assess;
mod bins;
mod closed_form;
mod estimator;
mod fit;
mod law;
mod matrix;
mod minimize;
mod profile;
mod readiness;
mod regression;
mod student;
mod verdict;
mod window;

pub use assess::{Assessment, Settings};
pub use estimator::Estimator;
pub use fit::{Fit, FitError, Interval, Measurement, Peak, StandardErrors, fit};
pub use law::Law;
pub use readiness::{FittedCeiling, NotReady, Seen};
pub use regression::Noise;
pub use verdict::{Shape, Unidentified, Verdict};
pub use window::{Load, Refused, Window};
