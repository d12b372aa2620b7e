//! Measurements in scaled coordinates, and the best coefficients for them.

use super::closed_form;
use super::law::Law;
use super::matrix::{Symmetric, Vector};
use super::minimize::{Bounds, Minimum, minimize};

/// How far measurements scatter about the law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// By the same amount at every size, as published fits assume.
    Constant,
    /// By the same share of the throughput at every size, as throughput in production does.
    Proportional,
}

/// What the third coefficient is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// β.
    Coherency,
    /// γ = β/(1−α) = 1/N*²: 0 where there is no peak. The form for intervals of N*.
    InversePeak,
}

/// One measurement. With sizes up to M: u = (N−1)/(M−1), v = N(N−1)/(M(M−1)), so that all coefficients are of order 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) size: f64,
    log_size: f64,
    pub(super) u: f64,
    pub(super) v: f64,
    /// Throughput in units of the greatest X/N.
    pub(super) throughput: f64,
    log_throughput: f64,
    pub(super) weight: f64,
}

/// A regression of throughput on size. Coefficients are [ln λ, α·(M−1), third·M(M−1)], λ in scaled units.
#[derive(Clone, Debug)]
pub(super) struct Regression {
    pub(super) points: Vec<Point>,
    pub(super) noise: Noise,
    /// The greatest X/N.
    unit: f64,
    /// M − 1 and M(M−1).
    spans: (f64, f64),
}

/// A residual and its derivatives by the coefficients, turned around (of the prediction).
pub(super) struct Residual {
    pub(super) value: f64,
    pub(super) slopes: Vector,
}

impl Regression {
    /// From (size, throughput, weight): sizes at least 1 and not all equal, all finite and positive.
    pub(super) fn new(rows: &[(f64, f64, f64)], noise: Noise) -> Self {
        let largest = rows.iter().fold(1.0_f64, |most, row| most.max(row.0));
        let unit = rows.iter().fold(0.0_f64, |most, row| most.max(row.1 / row.0));
        let spans = (largest - 1.0, largest * (largest - 1.0));
        let point = |&(size, throughput, weight): &(f64, f64, f64)| Point {
            size,
            log_size: size.ln(),
            u: (size - 1.0) / spans.0,
            v: size * (size - 1.0) / spans.1,
            throughput: throughput / unit,
            log_throughput: (throughput / unit).ln(),
            weight,
        };
        Self { points: rows.iter().map(point).collect(), noise, unit, spans }
    }

    /// The coefficients that fit best with 0 ≤ α ≤ 1 and β ≥ 0.
    pub(super) fn best(&self) -> Minimum {
        self.best_within(Form::Coherency, &self.feasible())
    }

    /// What the law's coefficients may be.
    pub(super) const fn feasible(&self) -> Bounds {
        Bounds { low: [-700.0, 0.0, 0.0], high: [700.0, self.spans.0, f64::INFINITY] }
    }

    /// The same with α allowed a little below 0: better than linear.
    pub(super) fn best_beyond_linear(&self, from: &Minimum) -> Minimum {
        // At −0.9 the denominator is still positive at the largest size.
        let bounds = Bounds { low: [-700.0, -0.9, 0.0], ..self.feasible() };
        minimize(self, Form::Coherency, from.at, &bounds)
    }

    fn best_within(&self, form: Form, bounds: &Bounds) -> Minimum {
        let plain = minimize(self, form, [0.0, 0.1, 0.1], bounds);
        match closed_form::start(self) {
            None => plain,
            Some(start) => {
                let found = minimize(self, form, start, bounds);
                if found.sum <= plain.sum { found } else { plain }
            }
        }
    }

    /// The least sum of squares at a given scaled γ, searched from `start`.
    pub(super) fn best_at(&self, inverse_peak: f64, start: Vector) -> Minimum {
        let feasible = self.feasible();
        let [low, low_contention, _] = feasible.low;
        let [high, high_contention, _] = feasible.high;
        let bounds =
            Bounds { low: [low, low_contention, inverse_peak], high: [high, high_contention, inverse_peak] };
        minimize(self, Form::InversePeak, [start[0], start[1], inverse_peak], &bounds)
    }

    /// The residual of `point`, what was measured less what the law says.
    pub(super) fn residual(&self, form: Form, at: &Vector, point: &Point) -> Residual {
        let [log_lambda, contention, third] = *at;
        let (by_contention, by_third) = match form {
            Form::Coherency => (point.u, point.v),
            Form::InversePeak => {
                let alpha = contention / self.spans.0;
                (point.u - third * point.v / self.spans.0, (1.0 - alpha) * point.v)
            }
        };
        let denominator = 1.0 + contention * point.u + third * by_third;
        let log = log_lambda + point.log_size - denominator.ln();
        let (value, scale) = match self.noise {
            Noise::Proportional => (point.log_throughput - log, 1.0),
            Noise::Constant => {
                let throughput = log.exp();
                (point.throughput - throughput, throughput)
            }
        };
        let slopes = [scale, -scale * by_contention / denominator, -scale * by_third / denominator];
        Residual { value, slopes }
    }

    /// JᵀWJ at `at`.
    pub(super) fn information(&self, form: Form, at: &Vector) -> Symmetric {
        let mut information = Symmetric::default();
        for point in &self.points {
            information.add_outer(&self.residual(form, at, point).slopes, point.weight);
        }
        information
    }

    /// The law with these coefficients, in the measurements' units.
    pub(super) fn law(&self, at: &Vector) -> Law {
        Law { lambda: at[0].exp() * self.unit, alpha: at[1] / self.spans.0, beta: at[2] / self.spans.1 }
    }

    /// One unit of each coefficient in the measurements' units, λ's relative to itself.
    pub(super) const fn units(&self) -> Vector {
        [1.0, 1.0 / self.spans.0, 1.0 / self.spans.1]
    }

    /// The scaled γ of a peak at `size`.
    pub(super) fn inverse_peak_of(&self, size: f64) -> f64 {
        self.spans.1 / (size * size)
    }

    /// The peak of a scaled γ above 0.
    pub(super) fn peak_of(&self, inverse_peak: f64) -> f64 {
        (self.spans.1 / inverse_peak).sqrt()
    }

    /// A residual in the measurements' units, or as a share of the throughput where noise is proportional.
    pub(super) const fn unscaled(&self, residual: f64) -> f64 {
        match self.noise {
            Noise::Constant => residual * self.unit,
            Noise::Proportional => residual,
        }
    }
}
