//! Windows by size, and the fit to them.

use std::collections::BTreeMap;

use super::estimator::Sample;
use super::fit::{FitError, Fitted, Scatter};
use super::regression::Noise;
use crate::number::{count_of, floor_count, from_count};

/// How many standard deviations of chance the sizes may lie further from the law than their windows scatter. Low, since
/// taking chance for an error in common only widens the interval.
const MOST_EXCESS: f64 = 1.28;

/// All samples of one size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    pub(super) count: usize,
    pub(super) weight: f64,
    pub(super) weight_squared: f64,
    /// Weighted mean of ln C.
    pub(super) mean: f64,
    /// Weighted sum of squares about it.
    within: f64,
}

/// Samples by size; means of ln C carry all that a fit with proportional noise can use.
pub(super) fn bins(samples: &[Sample], weigh: impl Fn(&Sample) -> f64) -> BTreeMap<u32, Bin> {
    let mut bins: BTreeMap<u32, Bin> = BTreeMap::new();
    for sample in samples {
        let bin = bins.entry(sample.size).or_default();
        let (weight, value) = (weigh(sample), sample.capacity.ln());
        bin.count += 1;
        bin.weight += weight;
        bin.weight_squared += weight * weight;
        let off = value - bin.mean;
        bin.mean += off * weight / bin.weight;
        bin.within += weight * off * (value - bin.mean);
    }
    bins
}

/// The law fitted to bins.
pub(super) struct Binned {
    pub(super) fitted: Fitted,
    /// How far the sizes lie from it, as a share, beyond what their windows' scatter explains.
    pub(super) misfit: f64,
}

/// Fits the law to bins. `clipped` is a weighted sum of squares of samples that were left out.
///
/// Windows of one size have more in common than their size: the hour, the mix of requests, the law's own error. Where
/// the sizes lie further from the law than their windows scatter, each size is given that error as well (analysis of
/// variance, after DerSimonian and Laird), so that many windows of one size do not count as much as many sizes.
pub(super) fn fit_bins(bins: &BTreeMap<u32, Bin>, clipped: f64) -> Result<Binned, FitError> {
    let (weight, squared) = bins
        .values()
        .fold((0.0, 0.0), |(sum, squares), bin| (sum + bin.weight, squares + bin.weight_squared));
    // Kish: so many windows of equal weight would tell as much.
    let windows = if squared > 0.0 { weight * weight / squared } else { 0.0 };
    if windows < 4.0 {
        return Err(FitError::TooFewMeasurements { have: floor_count(windows) });
    }
    let scale = windows / weight;
    let weights: Vec<f64> = bins.values().map(|bin| bin.weight * scale).collect();
    let fit = |weights: &[f64], scatter: Scatter| {
        let rows: Vec<_> = bins
            .iter()
            .zip(weights)
            .map(|((size, bin), weight)| (from_count(*size), bin.mean.exp(), *weight))
            .collect();
        Fitted::new(&rows, Noise::Proportional, scatter)
    };
    let within = bins.values().fold(clipped, |sum, bin| sum + bin.within) * scale;
    let fitted = fit(&weights, Scatter::Pooled { within, degrees: windows - 3.0 })?;
    let sizes = from_count(count_of(bins.len()));
    let repeated = windows - sizes;
    if repeated < 1.0 || sizes < 4.0 {
        return Ok(Binned { fitted, misfit: 0.0 });
    }
    let variance = (within / repeated).max(1e-12);
    let excess = fitted.least_sum() / (sizes - 3.0) / variance;
    // The variance of χ²/ν is 2/ν.
    if excess <= 1.0 + MOST_EXCESS * (2.0 / (sizes - 3.0)).sqrt() {
        return Ok(Binned { fitted, misfit: 0.0 });
    }
    let of_squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    let shared = variance * (excess - 1.0) * (sizes - 3.0) / (windows - of_squares / windows).max(1e-9);
    let capped: Vec<f64> = weights.iter().map(|weight| 1.0 / (1.0 / weight + shared / variance)).collect();
    let fitted = fit(&capped, Scatter::OfSizes { least: variance })?;
    Ok(Binned { fitted, misfit: shared.sqrt() })
}
