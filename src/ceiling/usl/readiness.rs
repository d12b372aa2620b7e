//! The ceiling, or what stands in its way, in words.

use std::fmt;

use super::fit::FitError;
use super::verdict::LEAST_RANGE;
use crate::time::Span;

/// A ceiling that may be enforced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FittedCeiling {
    /// The ceiling: the larger of the next two.
    pub replicas: u32,
    /// The share of the peak's upper bound that is thought safe.
    pub below_peak: u32,
    /// The largest size that is known to have carried load well: met its objective while throughput still rose, or
    /// carried more than a smaller size could. None where no window met its objective.
    pub carried_well: Option<u32>,
    /// The upper bound of the peak.
    pub at_most: f64,
    /// What makes it believed.
    pub seen: Seen,
}

/// What makes a peak believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The workload ran near the peak, or beyond it.
    NearPeak,
    /// One size clearly carried less than a smaller one.
    Falling {
        /// The smaller size.
        from: u32,
        /// The larger size, which carried less.
        to: u32,
    },
}

/// Why no ceiling may be enforced.
#[derive(Clone, Debug, PartialEq)]
pub enum NotReady {
    /// Too few windows.
    TooFewWindows {
        /// Windows that count.
        have: u32,
        /// Windows needed.
        need: u32,
    },
    /// Too few windows of this revision; those of the one before do not count.
    NewRevision {
        /// Windows of this revision.
        windows: u32,
        /// Windows needed.
        need: u32,
    },
    /// Too few distinct sizes.
    TooFewSizes {
        /// Distinct sizes seen.
        have: u32,
        /// Distinct sizes needed.
        need: u32,
    },
    /// The sizes are too close to each other.
    RangeTooNarrow {
        /// The smallest size seen.
        smallest: u32,
        /// The largest size seen.
        largest: u32,
    },
    /// The fitted peak lies beyond what was seen.
    NeverNearPeak {
        /// The largest size seen.
        largest: u32,
        /// The fitted peak.
        peak: u32,
    },
    /// There is no peak in what was seen.
    NoPeakYet {
        /// The smallest size at which there can be one.
        at_least: u32,
    },
    /// The peak can be at sizes too far apart.
    IntervalTooWide {
        /// The smallest size at which it can be.
        lower: u32,
        /// The largest; none: there may be no peak at all.
        upper: Option<u32>,
    },
    /// The law does not describe what was measured.
    PoorFit {
        /// How far the sizes' capacities lie from it, as a share, beyond what their scatter explains.
        misfit: f64,
    },
    /// The ceiling would be smaller than all that was seen.
    BelowAllSeen {
        /// What the ceiling would be.
        ceiling: u32,
        /// The smallest size seen.
        smallest: u32,
    },
    /// Throughput grows better than linearly.
    Superlinear,
    /// Throughput does not grow at all.
    NoGrowth,
    /// What was seen is too old.
    Expired {
        /// The age of the newest window.
        age: Span,
        /// The age at which windows count no more.
        after: Span,
    },
    /// The windows fit no law.
    NotFitted(FitError),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewWindows { have, need } => {
                write!(f, "too few windows: {have} of {need} with constant size and enough load")
            }
            Self::NewRevision { windows, need } => {
                write!(f, "new revision: {windows} of {need} windows; those of the revision before do not count")
            }
            Self::TooFewSizes { have, need } => {
                write!(f, "too few distinct sizes: {have} of {need} replica counts seen under load")
            }
            Self::RangeTooNarrow { smallest, largest } => write!(
                f,
                "range too narrow: seen {smallest} to {largest} replicas, the largest must be {LEAST_RANGE} times the smallest"
            ),
            Self::NeverNearPeak { largest, peak } => write!(
                f,
                "never near N*: the peak would be at {peak} replicas, at most {largest} were seen under load"
            ),
            Self::NoPeakYet { at_least } => {
                write!(f, "no peak yet: if there is one, it is at {at_least} replicas or more")
            }
            Self::IntervalTooWide { lower, upper: Some(upper) } => {
                write!(f, "interval too wide: the peak can be anywhere from {lower} to {upper} replicas")
            }
            Self::IntervalTooWide { lower, upper: None } => {
                write!(f, "interval too wide: the peak can be anywhere from {lower} replicas on, or nowhere")
            }
            Self::PoorFit { misfit } => write!(
                f,
                "the law does not hold: capacities lie {:.0} % from it, as with a limit that sets in at once",
                100.0 * misfit
            ),
            Self::BelowAllSeen { ceiling, smallest } => write!(
                f,
                "only beyond N*: the ceiling would be {ceiling} replicas, but fewer than {smallest} were never seen under load"
            ),
            Self::Superlinear => f.write_str(
                "throughput grows better than linearly: the smallest sizes may run under other conditions, or the utilization is not of the limiting resource"
            ),
            Self::NoGrowth => f.write_str(
                "throughput does not grow with replicas at all: something behind the workload limits it"
            ),
            Self::Expired { age, after } => {
                write!(f, "expired: the newest window is {age} old, they count for {after}")
            }
            Self::NotFitted(error) => error.fmt(f),
        }
    }
}
