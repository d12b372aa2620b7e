//! Symmetric systems of three equations.

/// Three numbers: one for each coefficient.
pub(super) type Vector = [f64; 3];

/// A symmetric 3×3 matrix.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Symmetric {
    diagonal: Vector,
    /// Entries (0,1), (0,2) and (1,2).
    beside: Vector,
}

impl Symmetric {
    /// Adds `weight` · v·vᵀ.
    pub(super) fn add_outer(&mut self, v: &Vector, weight: f64) {
        let [a, b, c] = *v;
        let [aa, bb, cc] = self.diagonal;
        let [ab, ac, bc] = self.beside;
        self.diagonal = [aa + weight * a * a, bb + weight * b * b, cc + weight * c * c];
        self.beside = [ab + weight * a * b, ac + weight * a * c, bc + weight * b * c];
    }

    /// The system in which only the coefficients marked `free` may move, its diagonal raised by the share `damping`.
    pub(super) fn restricted(&self, free: [bool; 3], damping: f64) -> Self {
        let [a, b, c] = free;
        let own = |free: bool, value: f64| if free { value * (1.0 + damping) } else { 1.0 };
        let shared = |one: bool, other: bool, value: f64| if one && other { value } else { 0.0 };
        Self {
            diagonal: [own(a, self.diagonal[0]), own(b, self.diagonal[1]), own(c, self.diagonal[2])],
            beside: [
                shared(a, b, self.beside[0]),
                shared(a, c, self.beside[1]),
                shared(b, c, self.beside[2]),
            ],
        }
    }

    /// Solves M·x = `right` by Cholesky; none where the matrix is not clearly positive definite.
    pub(super) fn solve(&self, right: &Vector) -> Option<Vector> {
        let [aa, bb, cc] = self.diagonal;
        let [ab, ac, bc] = self.beside;
        let l00 = root(aa, aa)?;
        let l10 = ab / l00;
        let l20 = ac / l00;
        let l11 = root(bb - l10 * l10, bb)?;
        let l21 = (bc - l20 * l10) / l11;
        let l22 = root(cc - l20 * l20 - l21 * l21, cc)?;
        let y0 = right[0] / l00;
        let y1 = (right[1] - l10 * y0) / l11;
        let y2 = (right[2] - l20 * y0 - l21 * y1) / l22;
        let x2 = y2 / l22;
        let x1 = (y1 - l21 * x2) / l11;
        let x0 = (y0 - l10 * x1 - l20 * x2) / l00;
        [x0, x1, x2].iter().all(|x| x.is_finite()).then_some([x0, x1, x2])
    }

    /// The columns of the inverse; none where there is none.
    pub(super) fn inverse(&self) -> Option<[Vector; 3]> {
        Some([self.solve(&[1.0, 0.0, 0.0])?, self.solve(&[0.0, 1.0, 0.0])?, self.solve(&[0.0, 0.0, 1.0])?])
    }
}

/// √`rest`, unless cancellation has eaten what was `whole`.
fn root(rest: f64, whole: f64) -> Option<f64> {
    (rest > 1e-13 * whole && whole > 0.0).then(|| rest.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_and_its_inverse_found() {
        let mut matrix = Symmetric::default();
        for v in [[1.0, 2.0, 3.0], [0.0, 1.0, -1.0], [4.0, 0.0, 1.0]] {
            matrix.add_outer(&v, 2.0);
        }
        // x = (1, −2, 3): the right side is the sum of 2·v·(vᵀx).
        let x = matrix.solve(&[2.0 * 6.0 + 8.0 * 7.0, 24.0 - 10.0, 36.0 + 10.0 + 14.0]).unwrap();
        for (found, expected) in x.iter().zip([1.0, -2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-9, "{x:?}");
        }
        let inverse = matrix.inverse().unwrap();
        assert!((inverse[0][1] - inverse[1][0]).abs() < 1e-12);
    }

    #[test]
    fn a_singular_system_has_no_solution() {
        let mut matrix = Symmetric::default();
        matrix.add_outer(&[1.0, 2.0, 3.0], 1.0);
        matrix.add_outer(&[1.0, 2.0, 3.0], 5.0);
        assert_eq!(matrix.solve(&[1.0, 1.0, 1.0]), None);
        assert!(Symmetric::default().inverse().is_none());
    }

    #[test]
    fn what_is_not_free_does_not_move() {
        let mut matrix = Symmetric::default();
        for v in [[1.0, 2.0, 3.0], [0.0, 1.0, -1.0], [4.0, 0.0, 1.0]] {
            matrix.add_outer(&v, 1.0);
        }
        let x = matrix.restricted([true, false, true], 0.0).solve(&[5.0, 0.0, 7.0]).unwrap();
        assert!(x[1].abs() < f64::EPSILON, "{x:?}");
    }
}
