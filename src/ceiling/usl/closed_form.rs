//! A first estimate by closed form: N/X is linear in 1/λ, α/λ and β/λ.

use super::matrix::{Symmetric, Vector};
use super::regression::{Noise, Regression};

/// Which of α and β may differ from 0.
const ACTIVE_SETS: [[bool; 3]; 4] =
    [[true, true, true], [true, false, true], [true, true, false], [true, false, false]];

/// The non-negative least squares estimate [ln λ, α, β] in scaled coordinates: the best of the four active sets
/// that is feasible; exact, since there are only four. None where no set has a solution.
///
/// An error in X becomes one in N/X that is N/X² as large, so the weights are X⁴/N² (X²/N² for proportional noise).
pub(super) fn start(regression: &Regression) -> Option<Vector> {
    let mut system = Symmetric::default();
    let mut right = [0.0; 3];
    let rows = || {
        regression.points.iter().map(|point| {
            let slowness = point.size / point.throughput;
            let weight = match regression.noise {
                Noise::Constant => point.throughput.powi(2) / slowness.powi(2),
                Noise::Proportional => slowness.powi(-2),
            };
            ([1.0, point.u, point.v], slowness, weight * point.weight)
        })
    };
    for (row, slowness, weight) in rows() {
        system.add_outer(&row, weight);
        for (sum, value) in right.iter_mut().zip(row) {
            *sum += weight * value * slowness;
        }
    }
    let sum_of_squares = |at: &Vector| -> f64 {
        rows()
            .map(|(row, slowness, weight)| {
                let predicted: f64 = row.iter().zip(at).map(|(value, coefficient)| value * coefficient).sum();
                weight * (slowness - predicted).powi(2)
            })
            .sum()
    };
    let solutions = ACTIVE_SETS.iter().filter_map(|free| {
        let mut restricted = right;
        for (value, free) in restricted.iter_mut().zip(free) {
            if !free {
                *value = 0.0;
            }
        }
        system.restricted(*free, 0.0).solve(&restricted)
    });
    solutions
        .filter(|[slowness, alpha, beta]| *slowness > 0.0 && *alpha >= 0.0 && *beta >= 0.0)
        .map(|at| (sum_of_squares(&at), at))
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, [slowness, alpha, beta])| [-slowness.ln(), alpha / slowness, beta / slowness])
}
