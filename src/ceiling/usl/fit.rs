//! The offline fit: a table of sizes and throughputs in, the law with its uncertainty out.

use super::law::Law;
use super::matrix::Vector;
use super::minimize::Minimum;
use super::regression::{Form, Noise, Regression};
use super::student::upper_quantile;
use super::verdict::Verdict;
use crate::number::{MAX_COUNT, count_of, from_count};

/// Throughput measured at one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Replicas or concurrency, at least 1; need not be whole.
    pub size: f64,
    /// Throughput, in any unit; above 0.
    pub throughput: f64,
    /// How much it counts, above 0: the inverse of its variance, in any unit.
    pub weight: f64,
}

impl Measurement {
    /// A measurement that counts as much as any other.
    pub const fn new(size: f64, throughput: f64) -> Self {
        Self { size, throughput, weight: 1.0 }
    }
}

/// Why there is nothing to fit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Three coefficients and their uncertainty need four measurements.
    #[error(
        "{have} measurements cannot give three coefficients and how sure they are: measure at least 4, at 6 sizes or more"
    )]
    TooFewMeasurements {
        /// How many there are.
        have: u32,
    },
    /// A size that is none.
    #[error("measurement {number}: {} is not a size: give a number from 1 to 2147483647", plainly(*size))]
    Size {
        /// Which measurement, counted from 1.
        number: u32,
        /// What it said.
        size: f64,
    },
    /// A throughput that is none.
    #[error(
        "measurement {number}: {} is not a throughput: leave out what was not measured, and give numbers above 0",
        plainly(*throughput)
    )]
    Throughput {
        /// Which measurement, counted from 1.
        number: u32,
        /// What it said.
        throughput: f64,
    },
    /// A weight that is none.
    #[error("measurement {number}: {} is not a weight: give a number above 0, for example 1", plainly(*weight))]
    Weight {
        /// Which measurement, counted from 1.
        number: u32,
        /// What it said.
        weight: f64,
    },
    /// Fewer sizes than coefficients.
    #[error(
        "the measurements are of {have} distinct size{}: three coefficients need at least 3, and a peak needs 6",
        if *have == 1 { "" } else { "s" }
    )]
    TooFewSizes {
        /// How many distinct sizes there are.
        have: u32,
    },
    /// The numbers gave out.
    #[error(
        "no coefficients fit these measurements: look for sizes or throughputs that are wrong by orders of magnitude"
    )]
    NoSolution,
}

/// A number in no more letters than a line has.
fn plainly(value: f64) -> String {
    if value.is_finite() && value.abs() >= 1e15 { format!("{value:e}") } else { value.to_string() }
}

/// An interval of confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub lower: f64,
    /// Its upper end; none where the measurements set none.
    pub upper: Option<f64>,
}

/// Standard errors of the coefficients; each infinite where the measurements do not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandardErrors {
    /// Of λ, in its unit.
    pub lambda: f64,
    /// Of α.
    pub alpha: f64,
    /// Of β.
    pub beta: f64,
}

/// Where throughput peaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// N*, the size.
    pub size: f64,
    /// X(N*), the throughput there.
    pub throughput: f64,
}

/// The law fitted to measurements, and how sure it is. Intervals are of 95 % confidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The coefficients that fit best with 0 ≤ α ≤ 1 and β ≥ 0.
    pub law: Law,
    /// Their standard errors, s·√diag((JᵀWJ)⁻¹).
    pub standard_errors: StandardErrors,
    /// λ ± t·SE.
    pub lambda_interval: Interval,
    /// α ± t·SE, not below 0.
    pub alpha_interval: Interval,
    /// β ± t·SE, not below 0.
    pub beta_interval: Interval,
    /// The correlation of α and β; near −1 they are told apart badly.
    pub correlation: f64,
    /// The peak; none where β is 0.
    pub peak: Option<Peak>,
    /// Sizes at which the peak can be: all that fit not significantly worse (profile likelihood). There also where
    /// no peak was found: then its lower end is what is known.
    pub peak_interval: Interval,
    /// s: the residual standard error, in the throughput's unit, or as a share where noise is proportional.
    pub residual_standard_error: f64,
    /// Measurements less coefficients.
    pub degrees_of_freedom: f64,
    /// Distinct sizes measured.
    pub sizes: u32,
    /// The smallest size measured.
    pub smallest: f64,
    /// The largest size measured.
    pub largest: f64,
    /// Whether throughput grows significantly better than linearly somewhere, which no α of at least 0 explains.
    pub superlinear: bool,
    /// What the fit supports.
    pub verdict: Verdict,
}

/// Fits the law by weighted least squares with 0 ≤ α ≤ 1 and β ≥ 0.
pub fn fit(measurements: &[Measurement], noise: Noise) -> Result<Fit, FitError> {
    for (index, measurement) in measurements.iter().enumerate() {
        check(count_of(index).saturating_add(1), measurement)?;
    }
    let have = count_of(measurements.len());
    if have < 4 {
        return Err(FitError::TooFewMeasurements { have });
    }
    let heaviest = measurements.iter().fold(0.0_f64, |most, measurement| most.max(measurement.weight));
    let rows: Vec<_> =
        measurements.iter().map(|row| (row.size, row.throughput, row.weight / heaviest)).collect();
    let scatter = Scatter::Pooled { within: 0.0, degrees: from_count(have) - 3.0 };
    Fitted::new(&rows, noise, scatter).map(|fitted| fitted.fit)
}

fn check(number: u32, measurement: &Measurement) -> Result<(), FitError> {
    let Measurement { size, throughput, weight } = *measurement;
    if !(1.0..=from_count(MAX_COUNT)).contains(&size) {
        return Err(FitError::Size { number, size });
    }
    // Beyond these the squares of a ratio would not be numbers.
    if !(1e-30..=1e30).contains(&throughput) {
        return Err(FitError::Throughput { number, throughput });
    }
    if !(1e-30..=1e30).contains(&weight) {
        return Err(FitError::Weight { number, weight });
    }
    Ok(())
}

/// What is known of the scatter beside the rows themselves. Sums and variances are in the residuals' unit.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scatter {
    /// The rows scatter as what they are means of: `within` is the weighted sum of squares that they no longer show,
    /// `degrees` the degrees of freedom of both.
    Pooled { within: f64, degrees: f64 },
    /// Only how the rows lie tells, and they scatter no less than `least`.
    OfSizes { least: f64 },
}

/// A fit that can still be asked for bounds of the peak at other confidences.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    pub(super) fit: Fit,
    regression: Regression,
    best: Minimum,
    /// s² in scaled units.
    variance: f64,
}

impl Fitted {
    /// From rows (size, throughput, weight) already checked.
    pub(super) fn new(rows: &[(f64, f64, f64)], noise: Noise, scatter: Scatter) -> Result<Self, FitError> {
        let mut distinct: Vec<f64> = rows.iter().map(|row| row.0).collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let sizes = count_of(distinct.len());
        let (Some(&smallest), Some(&largest), true) = (distinct.first(), distinct.last(), sizes >= 3) else {
            return Err(FitError::TooFewSizes { have: sizes });
        };
        let regression = Regression::new(rows, noise);
        let best = regression.best();
        if !best.sum.is_finite() || !best.at.iter().all(|value| value.is_finite()) {
            return Err(FitError::NoSolution);
        }
        let (variance, degrees_of_freedom) = match scatter {
            Scatter::Pooled { within, degrees } => ((best.sum + within) / degrees, degrees),
            Scatter::OfSizes { least } => {
                let degrees = (from_count(count_of(rows.len())) - 3.0).max(1.0);
                ((best.sum / degrees).max(least), degrees)
            }
        };
        // Rounding leaves a scatter of its own.
        let variance = variance.max(1e-18);
        let law = regression.law(&best.at);
        let information = regression.information(Form::Coherency, &best.at);
        let (errors, correlation) = uncertainty(&regression, information.inverse(), variance, law.lambda);
        let t = upper_quantile(0.025, degrees_of_freedom);
        let beyond = regression.best_beyond_linear(&best);
        let one_sided = upper_quantile(0.005, degrees_of_freedom);
        let superlinear = beyond.at[1] < 0.0 && best.sum - beyond.sum > one_sided * one_sided * variance;
        let about = |value: f64, error: f64, least: f64| Interval {
            lower: (value - t * error).max(least),
            upper: Some(value + t * error).filter(|upper| upper.is_finite()),
        };
        let fit = Fit {
            law,
            standard_errors: errors,
            lambda_interval: about(law.lambda, errors.lambda, 0.0),
            alpha_interval: about(law.alpha, errors.alpha, 0.0),
            beta_interval: about(law.beta, errors.beta, 0.0),
            correlation,
            peak: law.peak().map(|size| Peak { size, throughput: law.throughput(size) }),
            peak_interval: Interval { lower: 1.0, upper: None },
            residual_standard_error: regression.unscaled(variance.sqrt()),
            degrees_of_freedom,
            sizes,
            smallest,
            largest,
            superlinear,
            verdict: Verdict::unknown(),
        };
        let mut fitted = Self { fit, regression, best, variance };
        fitted.fit.peak_interval =
            Interval { lower: fitted.peak_at_least(0.025), upper: fitted.peak_at_most(0.025) };
        fitted.fit.verdict = Verdict::of(&fitted.fit);
        Ok(fitted)
    }

    pub(super) const fn regression(&self) -> &Regression {
        &self.regression
    }

    /// The coefficients that fit best, scaled.
    pub(super) const fn coefficients(&self) -> Vector {
        self.best.at
    }

    /// The least weighted sum of squares, scaled.
    pub(super) const fn least_sum(&self) -> f64 {
        self.best.sum
    }

    /// s², scaled.
    pub(super) const fn variance(&self) -> f64 {
        self.variance
    }
}

/// Standard errors, and the correlation of α and β.
fn uncertainty(
    regression: &Regression,
    inverse: Option<[Vector; 3]>,
    variance: f64,
    lambda: f64,
) -> (StandardErrors, f64) {
    let Some([[of_lambda, ..], [_, of_alpha, both], [.., of_beta]]) = inverse else {
        let unknown = StandardErrors { lambda: f64::INFINITY, alpha: f64::INFINITY, beta: f64::INFINITY };
        return (unknown, -1.0);
    };
    let [relative, alpha, beta] = regression.units();
    let errors = StandardErrors {
        lambda: (variance * of_lambda).sqrt() * relative * lambda,
        alpha: (variance * of_alpha).sqrt() * alpha,
        beta: (variance * of_beta).sqrt() * beta,
    };
    (errors, both / (of_alpha * of_beta).sqrt())
}
