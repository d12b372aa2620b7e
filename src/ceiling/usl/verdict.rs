//! What a fit supports, in words.

use std::fmt;

use super::fit::Fit;

/// Distinct sizes below which no peak is believed.
pub(super) const LEAST_SIZES: u32 = 6;
/// How many times the smallest size the largest must be.
pub(super) const LEAST_RANGE: f64 = 3.0;
/// The share of the peak that must have been measured.
pub(super) const NEAR_PEAK: f64 = 0.9;
/// How wide the interval of the peak may be, upper over lower end.
const WIDEST: f64 = 2.5;

/// What a fit supports.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Throughput peaks at the fitted size: it, or nine tenths of it, was measured.
    Peak,
    /// Throughput does not peak at any size measured.
    NoPeakYet {
        /// How throughput grows so far.
        shape: Shape,
        /// The smallest size at which the peak can be.
        at_least: f64,
    },
    /// The measurements do not tell.
    NotIdentified(Unidentified),
}

/// How throughput grows where there is no peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// α and β are 0: twice the size carries twice as much.
    Linear,
    /// β is 0: throughput tends to λ/α (Amdahl).
    Amdahl,
    /// β is above 0, but not significantly.
    Unclear,
}

/// Why the measurements do not tell where throughput peaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Unidentified {
    /// Too few distinct sizes.
    TooFewSizes {
        /// Distinct sizes measured.
        have: u32,
        /// Distinct sizes needed.
        need: u32,
    },
    /// The sizes are too close to each other.
    RangeTooNarrow {
        /// The smallest size measured.
        smallest: f64,
        /// The largest size measured.
        largest: f64,
    },
    /// Throughput grows better than linearly, which the law does not know.
    Superlinear,
    /// α is at its upper bound: throughput does not grow from the first replica on.
    NoGrowth,
    /// The fitted peak lies beyond what was measured.
    Extrapolated {
        /// The largest size measured.
        largest: f64,
        /// The fitted peak.
        peak: f64,
    },
    /// The peak can be at sizes too far apart.
    IntervalTooWide {
        /// The smallest size at which it can be.
        lower: f64,
        /// The largest; none: there may be no peak at all.
        upper: Option<f64>,
    },
}

impl Verdict {
    pub(super) const fn unknown() -> Self {
        Self::NotIdentified(Unidentified::TooFewSizes { have: 0, need: LEAST_SIZES })
    }

    pub(super) fn of(fit: &Fit) -> Self {
        Self::judge(fit).unwrap_or_else(Self::NotIdentified)
    }

    fn judge(fit: &Fit) -> Result<Self, Unidentified> {
        let (smallest, largest) = (fit.smallest, fit.largest);
        if fit.sizes < LEAST_SIZES {
            return Err(Unidentified::TooFewSizes { have: fit.sizes, need: LEAST_SIZES });
        }
        if largest < LEAST_RANGE * smallest {
            return Err(Unidentified::RangeTooNarrow { smallest, largest });
        }
        if fit.superlinear {
            return Err(Unidentified::Superlinear);
        }
        if fit.law.alpha >= 1.0 {
            return Err(Unidentified::NoGrowth);
        }
        let (lower, upper) = (fit.peak_interval.lower, fit.peak_interval.upper);
        let (Some(peak), Some(highest)) = (fit.peak.map(|peak| peak.size), upper) else {
            if lower < largest {
                return Err(Unidentified::IntervalTooWide { lower, upper: None });
            }
            let shape = match (fit.law.alpha > 0.0, fit.law.beta > 0.0) {
                (_, true) => Shape::Unclear,
                (true, false) => Shape::Amdahl,
                (false, false) => Shape::Linear,
            };
            // Schwartz: nothing is known beyond twice what was measured.
            return Ok(Self::NoPeakYet { shape, at_least: lower.min(2.0 * largest) });
        };
        if !reaches(largest, peak) {
            return Err(Unidentified::Extrapolated { largest, peak });
        }
        if highest > WIDEST * lower {
            return Err(Unidentified::IntervalTooWide { lower, upper });
        }
        Ok(Self::Peak)
    }
}

/// Whether `size` is near enough to `peak`, to the nearest replica.
pub(super) fn reaches(size: f64, peak: f64) -> bool {
    size >= (NEAR_PEAK * peak).round()
}

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewSizes { have, need } => write!(f, "too few distinct sizes: {have}, {need} are needed"),
            Self::RangeTooNarrow { smallest, largest } => write!(
                f,
                "the range of sizes is too narrow: {smallest:.0} to {largest:.0}, the largest must be {LEAST_RANGE} times the smallest"
            ),
            Self::Superlinear => f.write_str(
                "throughput grows better than linearly, which the law does not explain: the smallest sizes may run under other conditions"
            ),
            Self::NoGrowth => f.write_str("throughput does not grow with size at all"),
            Self::Extrapolated { largest, peak } => write!(
                f,
                "the peak would be at {peak:.0}, but sizes were measured only up to {largest:.0}"
            ),
            Self::IntervalTooWide { lower, upper: Some(upper) } => write!(
                f,
                "the peak can be anywhere from {lower:.0} to {upper:.0}: the interval is too wide"
            ),
            Self::IntervalTooWide { lower, upper: None } => write!(
                f,
                "the peak can be anywhere from {lower:.0} on, or nowhere: the interval is too wide"
            ),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peak => f.write_str("the peak is identified"),
            Self::NoPeakYet { at_least, .. } => {
                write!(f, "no peak found yet: if there is one, it is at {at_least:.0} or more")
            }
            Self::NotIdentified(why) => write!(f, "the peak is not identified: {why}"),
        }
    }
}
