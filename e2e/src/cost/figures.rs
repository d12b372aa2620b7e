//! The figures, and how they are printed.

use std::fmt;
use std::time::Duration;

use super::{Asked, Size};

/// What one run measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The floor in words.
    pub floor: String,
    /// How many policies and pods there were.
    pub size: Size,
    /// How long the steady state was looked at.
    pub window: Duration,
    /// From the start of the process until every policy had been evaluated.
    pub cold_start: Duration,
    /// What was asked in the window.
    pub asked: Asked,
    /// How late evaluations began in the window.
    pub lag: Histogram,
    /// Processor time used in the window.
    pub processor: Duration,
    /// Memory at the end of the window, in KiB.
    pub resident_kib: u64,
    /// The most memory until then, in KiB.
    pub peak_kib: u64,
    /// The most memory after every watch had listed anew, in KiB.
    pub peak_relisted_kib: Option<u64>,
    /// From the moment at which all demand doubled until every count was written; none if that took too long.
    pub mass_step: Option<Duration>,
}

impl fmt::Display for Figures {
    /// A table in Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let evaluations = self.lag.count.max(1);
        let each = |count: u64| format!("{:.3}", ratio(count, evaluations));
        let minutes = self.window.as_secs_f64() / 60.0;
        let mib = |kib: u64| format!("{:.0} MiB", ratio(kib, 1024));
        let rows = [
            ("evaluations", self.lag.count.to_string()),
            (
                "processor time per evaluation",
                format!("{:.0} µs", self.processor.as_secs_f64() * 1e6 / ratio(evaluations, 1)),
            ),
            ("processor time per minute", format!("{:.2} s", self.processor.as_secs_f64() / minutes)),
            ("value queries per evaluation", each(self.asked.values)),
            ("age queries per evaluation", each(self.asked.ages)),
            (
                "API requests per minute (watches; the lease's left out)",
                format!("{:.1}", ratio(self.asked.requests, 1) / minutes),
            ),
            (
                "API writes per minute (the lease's left out)",
                format!("{:.1}", ratio(self.asked.writes, 1) / minutes),
            ),
            ("lease requests per minute", format!("{:.1}", ratio(self.asked.lease, 1) / minutes)),
            ("evaluation lag, p50", self.lag.quantile(0.5)),
            ("evaluation lag, p99", self.lag.quantile(0.99)),
            ("memory in steady state", mib(self.resident_kib)),
            ("peak memory since the start", mib(self.peak_kib)),
            (
                "peak memory after a relist of everything",
                self.peak_relisted_kib.map_or_else(|| "not measured".to_owned(), mib),
            ),
            (
                "cold start until every policy was evaluated",
                format!("{:.1} s", self.cold_start.as_secs_f64()),
            ),
            (
                "mass step: all demand doubles, until every count is written",
                self.mass_step.map_or_else(
                    || "not within the time given".to_owned(),
                    |took| format!("{:.1} s", took.as_secs_f64()),
                ),
            ),
        ];
        writeln!(
            f,
            "{} policies, {} pods, on {}, {} s of steady state:\n",
            self.size.policies,
            self.size.policies.saturating_mul(self.size.pods),
            self.floor,
            self.window.as_secs()
        )?;
        writeln!(f, "| figure | value |\n|---|---|")?;
        rows.iter().try_for_each(|(figure, value)| writeln!(f, "| {figure} | {value} |"))
    }
}

fn ratio(count: u64, of: u64) -> f64 {
    let float = |count: u64| count.to_string().parse::<f64>().unwrap_or(f64::NAN);
    float(count) / float(of)
}

/// A Prometheus histogram, as read from an exposition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds in seconds, and how many values lie at or below each.
    buckets: Vec<(f64, u64)>,
    /// All values.
    pub count: u64,
}

impl Histogram {
    /// Reads the histogram `name`; empty if it is not there.
    pub fn read(exposition: &str, name: &str) -> Self {
        let mut histogram = Self::default();
        for line in exposition.lines().filter_map(|line| line.strip_prefix(name)) {
            let Some((what, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse() else { continue };
            if what == "_count" {
                histogram.count = value;
            } else if let Some(bound) =
                what.strip_prefix("_bucket{le=\"").and_then(|bound| bound.strip_suffix("\"}"))
            {
                histogram.buckets.push((bound.parse().unwrap_or(f64::INFINITY), value));
            }
        }
        histogram
    }

    /// What came since `before`.
    #[must_use]
    pub fn minus(&self, before: &Self) -> Self {
        let earlier = |bound: f64| {
            before.buckets.iter().find(|(other, _)| *other >= bound).map_or(0, |(_, count)| *count)
        };
        Self {
            buckets: self
                .buckets
                .iter()
                .map(|(bound, count)| (*bound, count.saturating_sub(earlier(*bound))))
                .collect(),
            count: self.count.saturating_sub(before.count),
        }
    }

    /// The bucket in which the quantile lies, in words.
    pub fn quantile(&self, quantile: f64) -> String {
        let wanted = ratio(self.count, 1) * quantile;
        let found = self.buckets.iter().find(|(_, count)| ratio(*count, 1) >= wanted);
        match found {
            Some((bound, _)) if bound.is_finite() => format!("at most {bound} s"),
            _ => "beyond the last bucket".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_and_its_quantiles_are_buckets() {
        let text = |few: u64, most: u64, all: u64| {
            format!(
                "lag_bucket{{le=\"0.1\"}} {few}\nlag_bucket{{le=\"1.0\"}} {most}\nlag_bucket{{le=\"+Inf\"}} {all}\nlag_sum 9.0\nlag_count {all}\n"
            )
        };
        let (before, after) =
            (Histogram::read(&text(0, 90, 100), "lag"), Histogram::read(&text(60, 189, 200), "lag"));
        let window = after.minus(&before);
        assert_eq!(window.count, 100);
        assert_eq!(
            (window.quantile(0.5), window.quantile(0.99)),
            ("at most 0.1 s".to_owned(), "at most 1 s".to_owned())
        );
        assert_eq!(before.quantile(0.99), "beyond the last bucket");
    }
}
