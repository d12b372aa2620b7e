//! Least squares under bounds: Levenberg and Marquardt's method, each step projected back.

use super::matrix::{Symmetric, Vector};
use super::regression::{Form, Regression};

const MOST_STEPS: usize = 200;
const LEAST_DAMPING: f64 = 1e-9;
const MOST_DAMPING: f64 = 1e12;

/// What coefficients may be. Equal bounds fix one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: Vector,
    pub(super) high: Vector,
}

/// Where the sum of squares is least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Minimum {
    pub(super) at: Vector,
    /// The weighted sum of squared residuals.
    pub(super) sum: f64,
}

/// The least sum of squares that is found downhill from `start`. Never worse than the start; where the numbers give
/// out, the best so far.
pub(super) fn minimize(regression: &Regression, form: Form, start: Vector, bounds: &Bounds) -> Minimum {
    let start = project(start, bounds);
    let mut best = Minimum { at: start, sum: sum_of_squares(regression, form, &start) };
    let mut damping = 1e-4;
    for _ in 0..MOST_STEPS {
        let (information, downhill) = gradient(regression, form, &best.at);
        let free = free(&best.at, &downhill, bounds);
        let mut wanted = downhill;
        for (value, free) in wanted.iter_mut().zip(free) {
            if !free {
                *value = 0.0;
            }
        }
        let Some(improved) =
            step(regression, form, &best, &information.restricted(free, 0.0), &wanted, bounds, &mut damping)
        else {
            return best;
        };
        let gain = best.sum - improved.sum;
        let moved = best.at.iter().zip(improved.at).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
        let settled = gain <= 1e-12 * best.sum && moved <= 1e-7;
        best = improved;
        if settled {
            return best;
        }
    }
    best
}

/// One step that lowers the sum, damped as much as that takes; none where no step does.
fn step(
    regression: &Regression,
    form: Form,
    from: &Minimum,
    information: &Symmetric,
    downhill: &Vector,
    bounds: &Bounds,
    damping: &mut f64,
) -> Option<Minimum> {
    while *damping <= MOST_DAMPING {
        if let Some(delta) = information.restricted([true; 3], *damping).solve(downhill) {
            let mut at = from.at;
            for (value, delta) in at.iter_mut().zip(delta) {
                *value += delta;
            }
            let at = project(at, bounds);
            let sum = sum_of_squares(regression, form, &at);
            if sum < from.sum {
                *damping = (*damping * 0.1).max(LEAST_DAMPING);
                return Some(Minimum { at, sum });
            }
            if at.iter().zip(from.at).all(|(to, from)| to.total_cmp(&from).is_eq()) {
                return None;
            }
        }
        *damping *= 8.0;
    }
    None
}

/// Coefficients that may move: not at a bound, or pulled inwards from it.
fn free(at: &Vector, downhill: &Vector, bounds: &Bounds) -> [bool; 3] {
    let mut free = [true; 3];
    let limits = bounds.low.iter().zip(bounds.high);
    for (((free, value), pull), (low, high)) in free.iter_mut().zip(at).zip(downhill).zip(limits) {
        let held_low = *value <= *low && *pull <= 0.0;
        let held_high = *value >= high && *pull >= 0.0;
        *free = *low < high && !held_low && !held_high;
    }
    free
}

fn project(at: Vector, bounds: &Bounds) -> Vector {
    let mut inside = at;
    for (value, (low, high)) in inside.iter_mut().zip(bounds.low.iter().zip(bounds.high)) {
        *value = value.max(*low).min(high);
    }
    inside
}

/// The weighted sum of squared residuals; infinite where it is no number.
fn sum_of_squares(regression: &Regression, form: Form, at: &Vector) -> f64 {
    let sum: f64 = regression
        .points
        .iter()
        .map(|point| point.weight * regression.residual(form, at, point).value.powi(2))
        .sum();
    if sum.is_nan() { f64::INFINITY } else { sum }
}

/// JᵀWJ and JᵀWr.
fn gradient(regression: &Regression, form: Form, at: &Vector) -> (Symmetric, Vector) {
    let mut information = Symmetric::default();
    let mut downhill = [0.0; 3];
    for point in &regression.points {
        let residual = regression.residual(form, at, point);
        information.add_outer(&residual.slopes, point.weight);
        for (sum, slope) in downhill.iter_mut().zip(residual.slopes) {
            *sum += point.weight * slope * residual.value;
        }
    }
    (information, downhill)
}
