//! The Universal Scalability Law fitted to measurements, in words, numbers and a picture.

use std::fmt::Write as _;

use serde::Serialize;

use super::windows::{Observed, Windows};
pub use crate::ceiling::usl::Noise;
use crate::ceiling::usl::{Fit, Interval, Measurement, Verdict, fit};
use crate::number::{ceil_count, from_count};
use crate::report::scatter;
use crate::time::{Span, Time};

/// A fit that people can read.
#[derive(Clone, Debug)]
pub struct FitReport {
    measurements: Vec<Measurement>,
    fit: Fit,
    noise: Noise,
    /// Of a running workload; none for a table.
    windows: Option<Windows>,
}

/// The numbers of a fit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FitNumbers {
    /// λ: throughput at size 1.
    pub lambda: f64,
    /// α: contention.
    pub alpha: f64,
    /// β: coherency.
    pub beta: f64,
    /// 95 % confidence of λ, α, β and the peak's size; the upper end is absent where the measurements set none.
    pub intervals: [(f64, Option<f64>); 4],
    /// N*, where throughput peaks.
    pub peak_size: Option<f64>,
    /// X(N*).
    pub peak_throughput: Option<f64>,
    /// The size from which one more adds less than a tenth of the first.
    pub knee: u32,
    /// Residual standard error.
    pub residual_standard_error: f64,
    /// Distinct sizes.
    pub sizes: u32,
    /// What it supports.
    pub verdict: String,
    /// The ceiling that the operator would take from it; only of a running workload's windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<u32>,
    /// Windows that were fitted; only of a running workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<u32>,
}

/// Reads a table of `replicas,throughput`, or with a third column `weight`, and fits the law.
pub fn fit_table(text: &str, noise: Noise) -> Result<FitReport, String> {
    let measurements = measurements(text)?;
    let fit = fit(&measurements, noise).map_err(|error| error.to_string())?;
    Ok(FitReport { measurements, fit, noise, windows: None })
}

/// Fits the law to what was read of a running workload, the first sample at `first` and then one every eighth of a
/// `window`. What windows count, and what they support, is judged as by the operator.
pub fn fit_observed(samples: &[Observed], first: Time, window: Span) -> Result<FitReport, String> {
    let windows = Windows::of(samples, first, window);
    let Some(fit) = windows.assessment.fit.clone() else {
        return Err(format!("no law can be fitted: {}\n{}", missing(&windows), windows.text()));
    };
    let measurements = windows.measurements();
    Ok(FitReport { measurements, fit, noise: Noise::Proportional, windows: Some(windows) })
}

/// All that stands in the way of a ceiling.
fn missing(windows: &Windows) -> String {
    let missing = windows.assessment.ceiling.as_ref().err().map(Vec::as_slice).unwrap_or_default();
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn measurements(text: &str) -> Result<Vec<Measurement>, String> {
    let mut found = Vec::new();
    for (line, text) in (1_u32..).zip(text.lines()) {
        let text = text.trim();
        let header = found.is_empty() && text.starts_with(|first: char| first.is_ascii_alphabetic());
        if text.is_empty() || text.starts_with('#') || header {
            continue;
        }
        let fault = || {
            let shown: String = text.chars().take(80).collect();
            format!(
                "line {line}: {shown:?} is not a measurement: write replicas,throughput, for example 4,380.5"
            )
        };
        let numbers: Result<Vec<f64>, _> =
            text.split([',', ';', '\t']).map(|field| field.trim().parse()).collect();
        match numbers.map_err(|_| fault())?.as_slice() {
            [size, throughput] => found.push(Measurement::new(*size, *throughput)),
            [size, throughput, weight] => {
                found.push(Measurement { weight: *weight, ..Measurement::new(*size, *throughput) });
            }
            _ => return Err(fault()),
        }
    }
    if found.is_empty() {
        return Err("there is no row: write replicas,throughput, one row a measurement".to_owned());
    }
    Ok(found)
}

impl FitReport {
    /// Its numbers.
    pub fn numbers(&self) -> FitNumbers {
        let fit = &self.fit;
        let ends = |interval: Interval| (interval.lower, interval.upper);
        FitNumbers {
            lambda: fit.law.lambda,
            alpha: fit.law.alpha,
            beta: fit.law.beta,
            intervals: [fit.lambda_interval, fit.alpha_interval, fit.beta_interval, fit.peak_interval]
                .map(ends),
            peak_size: fit.peak.map(|peak| peak.size),
            peak_throughput: fit.peak.map(|peak| peak.throughput),
            knee: fit.law.knee(0.1),
            residual_standard_error: fit.residual_standard_error,
            sizes: fit.sizes,
            verdict: self.verdict(),
            ceiling: self
                .windows
                .as_ref()
                .and_then(|windows| windows.assessment.ceiling.as_ref().ok().map(|ceiling| ceiling.replicas)),
            windows: self.windows.as_ref().map(|windows| windows.assessment.windows),
        }
    }

    fn verdict(&self) -> String {
        match &self.windows {
            None => self.fit.verdict.to_string(),
            Some(windows) => match &windows.assessment.ceiling {
                Ok(_) => "the peak is identified".to_owned(),
                Err(_) => format!("the peak is not identified: {}", missing(windows)),
            },
        }
    }

    /// As a terminal shows it.
    pub fn text(&self) -> String {
        let numbers = self.numbers();
        let range = |(lower, upper): (f64, Option<f64>)| {
            upper.map_or_else(
                || format!("{} or more", digits(lower)),
                |upper| format!("{} to {}", digits(lower), digits(upper)),
            )
        };
        let [lambda, alpha, beta, peak] = numbers.intervals;
        let of = self.windows.as_ref().map_or_else(
            || {
                format!(
                    "{} measurements at {} sizes, {} to {}",
                    self.measurements.len(),
                    numbers.sizes,
                    digits(self.fit.smallest),
                    digits(self.fit.largest)
                )
            },
            Windows::text,
        );
        let mut text = format!(
            "{of}\n\n\
             λ  {:>12}  {}  throughput of one\n\
             α  {:>12}  {}  contention\n\
             β  {:>12}  {}  coherency\n",
            digits(numbers.lambda),
            range(lambda),
            digits(numbers.alpha),
            range(alpha),
            digits(numbers.beta),
            range(beta)
        );
        // Writing to a String cannot fail.
        let _ = match (numbers.peak_size, numbers.peak_throughput) {
            (Some(size), Some(throughput)) => writeln!(
                text,
                "N* {:>12}  {}  where throughput peaks, at {}",
                digits(size),
                range(peak),
                digits(throughput)
            ),
            _ => writeln!(text, "N*         none  {}  no peak is found", range(peak)),
        };
        let _ = write!(
            text,
            "\nknee: from {} on one more adds less than a tenth of the first\nresidual standard error: {}; ranges are of 95 % confidence\n\n  size  measured    fitted\n",
            numbers.knee,
            match self.noise {
                Noise::Constant => digits(numbers.residual_standard_error),
                Noise::Proportional =>
                    format!("{} % of the throughput", digits(100.0 * numbers.residual_standard_error)),
            }
        );
        for row in &self.measurements {
            let _ = writeln!(
                text,
                "{:>6}  {:>8}  {:>8}",
                digits(row.size),
                digits(row.throughput),
                digits(self.fit.law.throughput(row.size))
            );
        }
        let _ = write!(text, "\n{}\n{}", capitalized(&numbers.verdict), self.advice(&numbers));
        text
    }

    /// What to write into a policy, or why nothing yet.
    fn advice(&self, numbers: &FitNumbers) -> String {
        let identified = match &self.windows {
            None => self.fit.verdict == Verdict::Peak,
            Some(windows) => windows.assessment.ceiling.is_ok(),
        };
        if !identified {
            return "No ceiling follows from these measurements: measure at more and larger sizes.\n"
                .to_owned();
        }
        let by_operator = numbers.ceiling.map_or_else(String::new, |ceiling| {
            format!("With these windows the operator's own fit allows {ceiling} replicas, at a safetyPercent of 80.\n")
        });
        format!(
            "{by_operator}In a policy:\n  ceilings:\n    scalability: {{alpha: \"{:.6}\", beta: \"{:.8}\", enforcement: Observe}}\n",
            numbers.alpha, numbers.beta
        )
    }

    /// As a picture.
    pub fn svg(&self) -> String {
        let points: Vec<_> = self.measurements.iter().map(|row| (row.size, row.throughput)).collect();
        let peak = self.fit.peak.map(|peak| peak.size);
        let end =
            peak.map_or(self.fit.largest, |peak| peak.min(self.fit.largest * 2.0)).max(self.fit.largest)
                * 1.1;
        let steps = ceil_count(200.0);
        let curve: Vec<_> = (0..=steps)
            .map(|step| {
                let size = 1.0 + (end - 1.0) * from_count(step) / from_count(steps);
                (size, self.fit.law.throughput(size))
            })
            .collect();
        scatter("Throughput by size, measured and fitted", &points, &curve, peak.filter(|peak| *peak <= end))
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A number with five digits that count.
fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = usize::try_from(4_i32.saturating_sub(magnitude(value))).unwrap_or(0).min(9);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The power of ten of a number's first digit.
fn magnitude(value: f64) -> i32 {
    let power = value.abs().log10().floor();
    let up = i32::try_from(crate::number::floor_count(power.max(0.0))).unwrap_or(0);
    let down = i32::try_from(ceil_count((-power).max(0.0))).unwrap_or(0);
    up - down
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDM: &str = "N,X\n1,64.9\n18,995.9\n36,1652.4\n72,1853.2\n108,1828.9\n144,1775.0\n216,1702.2\n";

    #[test]
    fn a_published_table_gives_its_published_numbers_and_a_picture() {
        let report = fit_table(SDM, Noise::Constant).unwrap();
        let numbers = report.numbers();
        assert!((numbers.alpha - 0.027_728_5).abs() < 1e-5 && (numbers.beta - 0.000_104_4).abs() < 1e-6);
        assert!((numbers.peak_size.unwrap() - 96.52).abs() < 0.05);
        let text = report.text();
        for words in ["N* ", "96.52", "0.027728", "The peak is identified", "scalability: {alpha: \"0.0277"] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(report.svg().starts_with("<svg") && report.svg().matches("<circle").count() == 7);
    }

    /// A workload under this law, `share` full, that grows from 2 to 24 replicas and stays an hour at each size; a sample
    /// every 15 s.
    fn grown(share: f64) -> Vec<Observed> {
        let law = |size: f64| 100.0 * size / (1.0 + 0.02 * (size - 1.0) + 0.004 * size * (size - 1.0));
        let sample = |at: u32| {
            let size = from_count(2 + 2 * at.div_euclid(240));
            let noise =
                1.0 + 0.02 * (from_count(at.wrapping_mul(2_654_435_761).rem_euclid(1000)) / 500.0 - 1.0);
            Observed {
                throughput: Some(law(size) * share * noise),
                replicas: Some(size),
                utilization: Some(share),
                full: false,
            }
        };
        (0..12 * 240).map(sample).collect()
    }

    fn observed(samples: &[Observed]) -> Result<FitReport, String> {
        fit_observed(samples, Time::from_seconds(15), Span::from_seconds(120))
    }

    #[test]
    fn windows_of_a_running_workload_give_its_law_and_the_operators_ceiling() {
        let report = observed(&grown(0.75)).unwrap();
        let numbers = report.numbers();
        // √((1 − 0.02) / 0.004)
        assert!((numbers.peak_size.unwrap() - 15.65).abs() < 0.3, "{numbers:?}");
        assert!((12..=16).contains(&numbers.ceiling.unwrap()), "{numbers:?}");
        let text = report.text();
        for words in [
            "360 windows of 120 s: 348 count, at 12 sizes, 2 to 24 replicas\n  11 do not: the count moved",
            "192 are fitted, spread over the sizes",
            "% of the throughput; ranges",
            "The peak is identified",
            "the operator's own fit allows",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn windows_that_tell_no_capacity_are_counted_with_the_reason() {
        let idle = observed(&grown(0.3)).unwrap_err();
        assert!(idle.contains("less than half of the resource was in use"), "{idle}");
        assert!(idle.starts_with("no law can be fitted: too few windows: 0 of 30"), "{idle}");
        let percent: Vec<_> =
            grown(0.7).iter().map(|sample| Observed { utilization: Some(70.0), ..*sample }).collect();
        assert!(observed(&percent).unwrap_err().contains("divide by 100"));
        let unknown: Vec<_> =
            grown(0.7).iter().map(|sample| Observed { utilization: None, ..*sample }).collect();
        assert!(observed(&unknown).unwrap_err().contains("the workload was not full all the time"));
        let full: Vec<_> = unknown.iter().map(|sample| Observed { full: true, ..*sample }).collect();
        assert!((observed(&full).unwrap().numbers().lambda - 70.0).abs() < 2.0, "as a load test tells it");
        assert!(observed(&[]).unwrap_err().contains("0 windows of 120 s"));
        let short = observed(&grown(0.75)[..4 * 240]).unwrap();
        let (text, numbers) = (short.text(), short.numbers());
        assert!(text.contains("The peak is not identified: too few distinct sizes: 4 of 6"), "{text}");
        assert!(text.contains("No ceiling follows") && numbers.ceiling.is_none(), "{text}");
    }

    #[test]
    fn a_table_that_cannot_be_fitted_is_refused_with_its_line() {
        for (text, words) in [
            ("", "there is no row"),
            ("n,x\n1,2\nfour,5\n", "line 3: \"four,5\" is not a measurement"),
            ("1,2\n2,4\n3,6\n", "measure at least 4"),
            ("1,2\n2,4\n3,-6\n4,8\n", "measurement 3: -6 is not a throughput"),
            ("0,2\n2,4\n3,6\n4,8\n", "measurement 1: 0 is not a size"),
            ("1\n", "line 1"),
        ] {
            let fault = fit_table(text, Noise::Constant).unwrap_err();
            assert!(fault.contains(words), "{text:?}: {fault}");
        }
    }
}
