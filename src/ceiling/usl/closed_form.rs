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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::usl::Law;

    /// The start for throughputs without noise, in the measurements' units.
    fn found(law: Law) -> Law {
        let rows: Vec<_> =
            [1.0, 2.0, 4.0, 7.0, 11.0, 20.0].iter().map(|size| (*size, law.throughput(*size), 1.0)).collect();
        let regression = Regression::new(&rows, Noise::Constant);
        regression.law(&start(&regression).unwrap())
    }

    #[test]
    fn without_noise_the_closed_form_is_exact() {
        for (alpha, beta) in [(0.05, 0.02), (0.0, 0.003), (0.1, 0.0), (0.0, 0.0)] {
            let found = found(Law { lambda: 1800.0, alpha, beta });
            assert!((found.lambda / 1800.0 - 1.0).abs() < 1e-6, "{found:?}");
            assert!((found.alpha - alpha).abs() < 1e-6 && (found.beta - beta).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn what_would_be_negative_is_held_at_zero() {
        let found = found(Law { lambda: 1800.0, alpha: -0.02, beta: 0.003 });
        assert!(found.alpha.abs() < 1e-12 && found.beta > 0.0, "{found:?}");
    }
}
