//! Moments and spans as the thinking rooms know them: numbers handed in, never read from a clock.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

/// A span of time, in milliseconds; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Time {
    /// The moment `milliseconds` after the Unix epoch.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// The moment `seconds` after the Unix epoch; saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The span from `earlier` to this moment; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Span {
        let difference = self.0.saturating_sub(earlier.0);
        Span(if difference > 0 { difference.unsigned_abs() } else { 0 })
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// A span of whole seconds; saturates.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The span in milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The span in whole seconds, rounded to the nearest.
    pub const fn rounded_seconds(self) -> u64 {
        self.0.saturating_add(500) / 1000
    }

    /// The span in whole seconds, rounded up.
    pub const fn seconds_rounded_up(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// The span in seconds.
    pub fn seconds(self) -> f64 {
        crate::number::from_u64(self.0) / 1000.0
    }

    /// This span `factor` times; saturates.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// What is left of this span after `other`; zero if nothing is.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Span {
    /// As people say it: `45 s`, `12 min`, `3 h`; below ten seconds with one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..10_000 if !self.0.is_multiple_of(1000) => write!(f, "{:.1} s", self.seconds()),
            0..600_000 => write!(f, "{} s", self.rounded_seconds()),
            600_000..36_000_000 => write!(f, "{} min", self.rounded_seconds() / 60),
            _ => write!(f, "{} h", self.rounded_seconds() / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments_saturate() {
        let end = Time::from_millis(i64::MAX);
        assert_eq!(end + Span::from_seconds(u64::MAX), end);
        assert_eq!(Time::from_millis(i64::MIN) - Span::from_seconds(1), Time::from_millis(i64::MIN));
        assert_eq!(Time::from_seconds(5).since(Time::from_seconds(9)), Span::ZERO);
        assert_eq!(end.since(Time::from_millis(i64::MIN)), Span::from_millis(i64::MAX.unsigned_abs()));
    }

    #[test]
    fn spans_read_as_people_say_them() {
        for (milliseconds, text) in [
            (0, "0 s"),
            (1_500, "1.5 s"),
            (45_400, "45 s"),
            (599_000, "599 s"),
            (600_000, "10 min"),
            (36_000_000, "10 h"),
        ] {
            assert_eq!(Span::from_millis(milliseconds).to_string(), text);
        }
    }
}
