//! What ceiling the windows support, if any.

use std::collections::BTreeMap;

use super::bins::{Bin, Binned, bins, fit_bins};
use super::estimator::{Estimator, Sample};
use super::fit::{Fit, Fitted};
use super::readiness::{FittedCeiling, NotReady, Seen};
use super::regression::{Form, Noise, Regression};
use super::verdict::{LEAST_RANGE, LEAST_SIZES, reaches};
use crate::number::{ceil_count, count_of, floor_count, from_count};
use crate::time::{Span, Time};

/// Windows below which nothing is said.
const LEAST_WINDOWS: u32 = 30;
/// Windows that make a size really seen.
const WINDOWS_THAT_SHOW: usize = 3;
/// The chance that the peak lies above the bound the ceiling is taken from: a false ceiling causes an outage.
const TAIL_OF_CEILING: f64 = 1e-6;
/// The chance that throughput still rises at a size taken for past the peak.
const TAIL_OF_RISING: f64 = 0.05;
/// How far above the fitted peak that bound may be.
const WIDEST_BOUND: f64 = 2.0;
/// A residual this many standard deviations from the median is of another world.
const OUTLIER: f64 = 3.0;
/// How far, as a share, the sizes' capacities may lie from the law beyond what their scatter explains.
const MOST_MISFIT: f64 = 0.06;
/// The difference of two sizes' capacities, in standard errors, that shows a falling branch; there are many pairs.
const FALL: f64 = 4.5;

/// What to ask of the windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The ceiling as a share of the peak, above 0 to 1.
    pub safety: f64,
    /// The age at which a window counts half.
    pub half_life: Span,
    /// The age at which a window counts no more.
    pub expires_after: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            safety: 0.8,
            half_life: Span::from_seconds(3 * 86_400),
            expires_after: Span::from_seconds(14 * 86_400),
        }
    }
}

/// What is known of the peak now.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// Windows that counted.
    pub windows: u32,
    /// Windows left out because they do not agree with the others at all.
    pub outliers: u32,
    /// The fit, where there is one; its noise is a share of the throughput.
    pub fit: Option<Fit>,
    /// The ceiling that may be enforced, or all that stands in its way.
    pub ceiling: Result<FittedCeiling, Vec<NotReady>>,
}

impl Estimator {
    /// What ceiling the windows support at the moment `now`. Without side effects: ask as often as you like.
    pub fn assess(&self, now: Time, settings: &Settings) -> Assessment {
        let counts = |sample: &&Sample| now.since(sample.end) <= settings.expires_after;
        let recent: Vec<Sample> = self.samples().iter().filter(counts).copied().collect();
        let newest = self.samples().iter().map(|sample| sample.end).max();
        let mut missing = Vec::new();
        if let (Some(newest), true) = (newest, recent.is_empty()) {
            missing.push(NotReady::Expired { age: now.since(newest), after: settings.expires_after });
        }
        missing.extend(self.too_little(&recent));
        let weigh = |sample: &Sample| weight(now.since(sample.end), settings.half_life);
        let Sorted { kept, clipped } = without_outliers(&recent, weigh);
        let fitted = fit_bins(&bins(&kept, weigh), clipped);
        let ceiling = match &fitted {
            Ok(Binned { misfit, .. }) if *misfit > MOST_MISFIT => {
                Err(vec![NotReady::PoorFit { misfit: *misfit }])
            }
            Ok(Binned { fitted, .. }) => ceiling(fitted, &kept, &recent, settings, weigh),
            // Too little is already said in other words.
            Err(_) if !missing.is_empty() => Err(Vec::new()),
            Err(error) => Err(vec![NotReady::NotFitted(error.clone())]),
        };
        let ceiling = match ceiling {
            Ok(ceiling) if missing.is_empty() => Ok(ceiling),
            Ok(_) => Err(missing),
            Err(more) => {
                missing.extend(more);
                Err(missing)
            }
        };
        Assessment {
            windows: count_of(kept.len()),
            outliers: count_of(recent.len().saturating_sub(kept.len())),
            fit: fitted.ok().map(|binned| binned.fitted.fit),
            ceiling,
        }
    }

    fn too_little(&self, recent: &[Sample]) -> Vec<NotReady> {
        let mut missing = Vec::new();
        let windows = count_of(recent.len());
        if windows < LEAST_WINDOWS {
            missing.push(if self.follows_another() {
                NotReady::NewRevision { windows, need: LEAST_WINDOWS }
            } else {
                NotReady::TooFewWindows { have: windows, need: LEAST_WINDOWS }
            });
        }
        let mut sizes: Vec<u32> = recent.iter().map(|sample| sample.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        if count_of(sizes.len()) < LEAST_SIZES {
            missing.push(NotReady::TooFewSizes { have: count_of(sizes.len()), need: LEAST_SIZES });
        }
        if let (Some(&smallest), Some(&largest)) = (sizes.first(), sizes.last())
            && from_count(largest) < LEAST_RANGE * from_count(smallest)
        {
            missing.push(NotReady::RangeTooNarrow { smallest, largest });
        }
        missing
    }
}

/// 2^(−age/half-life).
fn weight(age: Span, half_life: Span) -> f64 {
    // A half-life of nothing would count nothing.
    (-age.seconds() / half_life.seconds().max(1.0)).exp2().max(1e-9)
}

/// Samples, the outliers among them left out.
struct Sorted {
    kept: Vec<Sample>,
    /// The weighted sum of squares of the outliers, each as if it had been just within. Without it, what was left out by
    /// mistake would make the rest look surer than it is.
    clipped: f64,
}

/// Samples that agree with the law fitted to the medians of the sizes, within what most of them do.
fn without_outliers(samples: &[Sample], weigh: impl Fn(&Sample) -> f64) -> Sorted {
    let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        by_size.entry(sample.size).or_default().push(sample.capacity.ln());
    }
    if by_size.len() < 4 {
        return Sorted { kept: samples.to_vec(), clipped: 0.0 };
    }
    let rows: Vec<_> = by_size
        .into_iter()
        .map(|(size, mut values)| {
            let count = from_count(count_of(values.len()));
            (from_count(size), median(&mut values).exp(), count)
        })
        .collect();
    let regression = Regression::new(&rows, Noise::Proportional);
    let law = regression.law(&robust(&regression));
    let residual = |sample: &Sample| sample.capacity.ln() - law.throughput(from_count(sample.size)).ln();
    let mut residuals: Vec<f64> = samples.iter().map(residual).collect();
    let middle = median(&mut residuals);
    let mut distances: Vec<f64> = residuals.iter().map(|residual| (residual - middle).abs()).collect();
    // 1.4826 · MAD is the standard deviation of a normal distribution.
    let deviation = (1.482_6 * median(&mut distances)).max(1e-9);
    let furthest = OUTLIER * deviation;
    let (kept, outliers): (Vec<Sample>, Vec<Sample>) =
        samples.iter().partition(|sample| (residual(sample) - middle).abs() <= furthest);
    let clipped = outliers.iter().map(|outlier| weigh(outlier) * furthest * furthest).sum();
    Sorted { kept, clipped }
}

/// The coefficients after a few rounds in which what is far off counts less (Huber).
fn robust(regression: &Regression) -> [f64; 3] {
    let mut regression = regression.clone();
    let counts: Vec<f64> = regression.points.iter().map(|point| point.weight).collect();
    let mut at = regression.best().at;
    for _ in 0..4 {
        let residuals: Vec<f64> = regression
            .points
            .iter()
            .map(|point| regression.residual(Form::Coherency, &at, point).value)
            .collect();
        let mut distances: Vec<f64> = residuals.iter().map(|residual| residual.abs()).collect();
        let deviation = (1.482_6 * median(&mut distances)).max(1e-9);
        for ((point, residual), count) in regression.points.iter_mut().zip(&residuals).zip(&counts) {
            point.weight = count * (1.345 * deviation / residual.abs().max(1e-12)).min(1.0);
        }
        at = regression.best().at;
    }
    at
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len().wrapping_div(2);
    let lower = values.len().saturating_sub(1).wrapping_div(2);
    match (values.get(lower), values.get(upper)) {
        (Some(low), Some(high)) => 0.5 * (low + high),
        _ => 0.0,
    }
}

fn ceiling(
    fitted: &Fitted,
    kept: &[Sample],
    recent: &[Sample],
    settings: &Settings,
    weigh: impl Fn(&Sample) -> f64,
) -> Result<FittedCeiling, Vec<NotReady>> {
    let fit = &fitted.fit;
    if fit.superlinear {
        return Err(vec![NotReady::Superlinear]);
    }
    if fit.law.alpha >= 1.0 {
        return Err(vec![NotReady::NoGrowth]);
    }
    let lower = floor_count(fit.peak_interval.lower.min(2.0 * fit.largest));
    let (Some(peak), Some(_)) = (fit.peak.map(|peak| peak.size), fit.peak_interval.upper) else {
        return Err(vec![if fit.peak_interval.lower < fit.largest {
            NotReady::IntervalTooWide { lower, upper: None }
        } else {
            NotReady::NoPeakYet { at_least: lower }
        }]);
    };
    let mut missing = Vec::new();
    let near = kept.iter().filter(|sample| reaches(from_count(sample.size), peak)).count();
    let seen = match falling(&bins(kept, weigh), fitted) {
        Some((from, to)) => Some(Seen::Falling { from, to }),
        None => (near >= WINDOWS_THAT_SHOW).then_some(Seen::NearPeak),
    };
    if seen.is_none() {
        missing.push(NotReady::NeverNearPeak { largest: floor_count(fit.largest), peak: floor_count(peak) });
    }
    let bound = fitted.peak_at_most(TAIL_OF_CEILING).filter(|bound| *bound <= WIDEST_BOUND * peak);
    let (Some(at_most), Some(seen)) = (bound, seen) else {
        if bound.is_none() {
            missing.push(NotReady::IntervalTooWide {
                lower,
                upper: fitted.peak_at_most(TAIL_OF_CEILING).map(floor_count),
            });
        }
        return Err(missing);
    };
    let rising = fitted.peak_at_most(TAIL_OF_RISING).unwrap_or(at_most);
    let carried_well = carried_well(fitted, recent, rising);
    // Rounded up: rounding down could cost the replica that the safe share of the true peak still needs.
    let below_peak = ceil_count(settings.safety.clamp(0.01, 1.0) * at_most).max(1);
    let replicas = below_peak.max(carried_well.unwrap_or(0));
    let smallest = floor_count(fit.smallest);
    if replicas < smallest {
        return Err(vec![NotReady::BelowAllSeen { ceiling: replicas, smallest }]);
    }
    Ok(FittedCeiling { replicas, below_peak, carried_well, at_most, seen })
}

/// The largest size that met the objective while throughput rose, or that carried more than a smaller size could.
fn carried_well(fitted: &Fitted, samples: &[Sample], rising: f64) -> Option<u32> {
    // A throughput by chance above the law is no reason for a larger size.
    let doubt = (-2.0 * fitted.fit.residual_standard_error).exp();
    let smallest = floor_count(fitted.fit.smallest);
    let needed = |sample: &Sample| {
        if from_count(sample.size) <= rising {
            return sample.size;
        }
        let carries = fitted.fit.law.smallest_size_for(sample.throughput * doubt);
        carries.map_or(sample.size, |size| size.max(smallest).min(sample.size))
    };
    samples.iter().filter(|sample| sample.objective_met).map(needed).max()
}

/// Two sizes, the larger of which clearly carries less, whatever the law says.
fn falling(bins: &BTreeMap<u32, Bin>, fitted: &Fitted) -> Option<(u32, u32)> {
    let deviation = fitted.fit.residual_standard_error;
    let shown = || bins.iter().filter(|(_, bin)| bin.count >= WINDOWS_THAT_SHOW);
    let best = shown().max_by(|one, other| one.1.mean.total_cmp(&other.1.mean))?;
    let error = |bin: &Bin| bin.weight_squared / (bin.weight * bin.weight);
    shown()
        .filter(|(size, _)| *size > best.0)
        .find(|(_, bin)| best.1.mean - bin.mean > FALL * deviation * (error(best.1) + error(bin)).sqrt())
        .map(|(size, _)| (*best.0, *size))
}
