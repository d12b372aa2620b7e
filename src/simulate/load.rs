//! Offered load as a function of time.

use crate::number::{count_of, floor_count, from_count};
use crate::time::Span;

/// Offered load: requests per second that hold from one moment to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Since when, in milliseconds from the start, ascending from 0; and how much, 0 or more.
    points: Vec<(u64, f64)>,
    span: Span,
}

/// Why there is no load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No row.
    #[error(
        "there is no row: write a line t_seconds,requests_per_second and then one row a step, for example 0,120"
    )]
    Empty,
    /// A row that cannot be read.
    #[error("line {line}: {text:?} is not a row: write t_seconds,requests_per_second, for example 60,130.5")]
    Row {
        /// Which, counted from 1.
        line: u32,
        /// What it says.
        text: String,
    },
    /// A time that does not move on.
    #[error(
        "line {line}: t_seconds {seconds} does not lie after the row before: sort the rows by time, each time once"
    )]
    Order {
        /// Which, counted from 1.
        line: u32,
        /// What it says.
        seconds: String,
    },
    /// A rate that is none.
    #[error("line {line}: {rate} is not a rate: write requests per second, 0 or more")]
    Rate {
        /// Which, counted from 1.
        line: u32,
        /// What it says.
        rate: String,
    },
    /// A single row.
    #[error("there is one row: write at least two, so that it is known how long each holds")]
    Single,
    /// Too long to be simulated.
    #[error("the rows span more than ten years: t_seconds counts seconds from the first row")]
    TooLong,
}

/// The largest rate, in requests per second: more is nobody's load, and a slip of the pen.
pub(super) const MOST_REQUESTS: f64 = 1e12;
/// No load lasts longer, in milliseconds.
const LONGEST: u64 = 10 * 366 * 86_400 * 1000;

impl Load {
    /// From rates that each hold for `step`.
    pub fn of(step: Span, rates: impl IntoIterator<Item = f64>) -> Self {
        let mut points = Vec::new();
        let mut at = 0_u64;
        for rate in rates {
            points.push((at, rate));
            at = at.saturating_add(step.millis());
        }
        Self { points, span: Span::from_millis(at) }
    }

    /// Reads `t_seconds,requests_per_second`, with or without that header. Each rate holds until the next row, the last
    /// one as long as the one before it. Time counts from the first row.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let mut points: Vec<(u64, f64)> = Vec::new();
        let mut first = None;
        for (number, text) in (1_u32..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') || (points.is_empty() && is_header(text)) {
                continue;
            }
            let (seconds, rate) = row(number, text)?;
            let first = *first.get_or_insert(seconds);
            let order = || LoadError::Order { line: number, seconds: format!("{seconds}") };
            let since = (seconds - first) * 1000.0;
            if since < 0.0 {
                return Err(order());
            }
            let millis = milliseconds(since).filter(|at| *at <= LONGEST).ok_or(LoadError::TooLong)?;
            if points.last().is_some_and(|(last, _)| *last >= millis) {
                return Err(order());
            }
            points.push((millis, rate));
        }
        let span = match points.as_slice() {
            [] => return Err(LoadError::Empty),
            [_] => return Err(LoadError::Single),
            [.., (before, _), (last, _)] => last.saturating_add(last.saturating_sub(*before)),
        };
        Ok(Self { points, span: Span::from_millis(span) })
    }

    /// How long it lasts.
    pub const fn span(&self) -> Span {
        self.span
    }

    /// The rates, each with the moment from the start since which it holds.
    pub fn points(&self) -> impl Iterator<Item = (Span, f64)> {
        self.points.iter().map(|(at, rate)| (Span::from_millis(*at), *rate))
    }

    /// How much the largest rate is; 0 without load.
    pub fn peak(&self) -> f64 {
        self.points.iter().fold(0.0, |peak, (_, rate)| rate.max(peak))
    }

    /// The mean over time.
    pub fn mean(&self) -> f64 {
        let ends = self.points.iter().skip(1).map(|(at, _)| *at).chain([self.span.millis()]);
        let sum: f64 = self
            .points
            .iter()
            .zip(ends)
            .map(|((at, rate), end)| rate * Span::from_millis(end.saturating_sub(*at)).seconds())
            .sum();
        if self.span == Span::ZERO { 0.0 } else { sum / self.span.seconds() }
    }

    /// The same shape, `factor` times as much.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Self {
        for (_, rate) in &mut self.points {
            *rate *= factor;
        }
        self
    }

    /// Its first part.
    #[must_use]
    pub fn first(mut self, span: Span) -> Self {
        if span < self.span {
            self.points.retain(|(at, _)| *at < span.millis());
            self.span = span;
        }
        self
    }

    /// The rate at a moment from the start; before the first row and after the last one as there.
    pub fn at(&self, since: Span) -> f64 {
        let after = self.points.partition_point(|(at, _)| *at <= since.millis());
        self.points.get(after.saturating_sub(1)).map_or(0.0, |(_, rate)| *rate)
    }

    /// Reads it in order of time.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { load: self, next: 0, rate: 0.0 }
    }
}

fn is_header(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
}

fn row(line: u32, text: &str) -> Result<(f64, f64), LoadError> {
    let unreadable = || LoadError::Row { line, text: text.chars().take(80).collect() };
    let mut fields = text.split([',', ';', '\t']).map(str::trim);
    let (Some(seconds), Some(rate), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(unreadable());
    };
    let seconds: f64 = seconds.parse().map_err(|_| unreadable())?;
    let rate_text = rate;
    let rate: f64 = rate.parse().map_err(|_| unreadable())?;
    if !seconds.is_finite() {
        return Err(unreadable());
    }
    if !(0.0..=MOST_REQUESTS).contains(&rate) {
        return Err(LoadError::Rate { line, rate: rate_text.to_owned() });
    }
    Ok((seconds, rate))
}

/// Whole milliseconds; none for what no clock counts to.
fn milliseconds(value: f64) -> Option<u64> {
    let seconds = (value / 1000.0).floor();
    let rest = value - seconds * 1000.0;
    (seconds < f64::from(u32::MAX))
        .then(|| u64::from(floor_count(seconds)) * 1000 + u64::from(floor_count(rest.round())))
}

/// Reads a load in order of time.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    load: &'a Load,
    next: usize,
    rate: f64,
}

impl Cursor<'_> {
    /// The rate at a moment from the start, not before the one asked for last.
    pub fn at(&mut self, since: Span) -> f64 {
        while let Some((_, rate)) = self.load.points.get(self.next).filter(|(at, _)| *at <= since.millis()) {
            self.rate = *rate;
            self.next += 1;
        }
        self.rate
    }
}

/// How many whole steps fit into a span; at least one.
pub(super) fn steps(span: Span, step: Span) -> u32 {
    count_of(usize::try_from(span.millis().checked_div(step.millis()).unwrap_or(0)).unwrap_or(usize::MAX))
        .max(1)
}

/// The moment of a step.
pub(super) fn moment_of(step: u32, each: Span) -> f64 {
    from_count(step) * each.seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_with_its_header_and_each_rate_holds_until_the_next() {
        let load = Load::parse("t_seconds,requests_per_second\n100,10\n160,20\n400,0\n").unwrap();
        assert_eq!(load.span(), Span::from_seconds(540));
        assert!((load.peak() - 20.0).abs() < 1e-12);
        assert!((load.mean() - (60.0 * 10.0 + 240.0 * 20.0) / 540.0).abs() < 1e-12);
        let mut cursor = load.cursor();
        let at: Vec<f64> = [0, 59, 60, 299, 300, 1000].map(|at| cursor.at(Span::from_seconds(at))).to_vec();
        assert_eq!(at, [10.0, 10.0, 20.0, 20.0, 0.0, 0.0]);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_refused_with_its_line_and_what_to_write() {
        for (text, words) in [
            ("", "there is no row"),
            ("t_seconds,requests_per_second\n", "there is no row"),
            ("0,1\n", "one row"),
            ("0,1\n60\n", "line 2: \"60\" is not a row"),
            ("0,1\n60,2,3\n", "line 2"),
            ("0,1\nsixty,2\n", "line 2: \"sixty,2\" is not a row"),
            ("0,1\n60,-2\n", "line 2: -2 is not a rate"),
            ("0,1\n60,NaN\n", "line 2: NaN is not a rate"),
            ("0,1\n60,2\n60,3\n", "line 3: t_seconds 60 does not lie after"),
            ("60,1\n0,2\n", "line 2: t_seconds 0 does not lie after"),
            ("0,1\n1e300,2\n", "more than ten years"),
            ("0,1\ninf,2\n", "line 2"),
        ] {
            let fault = Load::parse(text).unwrap_err().to_string();
            assert!(fault.contains(words), "{text:?}: {fault}");
        }
    }
}
