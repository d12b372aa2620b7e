//! The law itself.

use crate::ceiling::scalability::{self, Coefficients};
use crate::number::{MAX_COUNT, floor_count, from_count};

/// The Universal Scalability Law with its coefficients: X(N) = λN / (1 + α(N−1) + βN(N−1)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Law {
    /// λ: throughput at size 1, in the unit of the measurements; above 0.
    pub lambda: f64,
    /// α: contention, the serial share of the work, 0 to 1.
    pub alpha: f64,
    /// β: coherency, the cost of each pair keeping in step, 0 or more.
    pub beta: f64,
}

impl Law {
    /// Throughput at `size`, X(N).
    pub fn throughput(&self, size: f64) -> f64 {
        self.lambda * scalability::relative_capacity(&self.coefficients(), size)
    }

    /// The size at which throughput peaks, N* = √((1−α)/β), at least 1; none where β is 0.
    pub fn peak(&self) -> Option<f64> {
        scalability::peak(&self.coefficients()).map(|peak| peak.max(1.0))
    }

    /// The whole size with the greatest throughput; none where β is 0.
    pub fn best_size(&self) -> Option<u32> {
        let below = floor_count(self.peak()?).max(1);
        let above = below.saturating_add(1);
        let rises = self.throughput(from_count(above)) > self.throughput(from_count(below));
        Some(if rises { above } else { below })
    }

    /// What throughput tends to as size grows where β is 0: λ/α (Amdahl). None with a peak, and without contention.
    pub fn limit(&self) -> Option<f64> {
        (self.beta <= 0.0 && self.alpha > 0.0).then(|| self.lambda / self.alpha)
    }

    /// The largest size whose last replica still added at least `gain` of the first one's throughput; at least 1.
    pub fn knee(&self, gain: f64) -> u32 {
        scalability::knee(&self.coefficients(), gain)
    }

    /// The smallest whole size that carries `throughput`; none where no size does.
    pub fn smallest_size_for(&self, throughput: f64) -> Option<u32> {
        let largest = self.best_size().unwrap_or(MAX_COUNT);
        let carries = |size: u32| self.throughput(from_count(size)) >= throughput;
        if !carries(largest) {
            return None;
        }
        // Throughput rises up to the best size, so halving finds the edge.
        let (mut too_few, mut enough) = (0, largest);
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few).wrapping_div(2);
            if carries(middle) {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        Some(enough)
    }

    const fn coefficients(&self) -> Coefficients {
        Coefficients { alpha: self.alpha, beta: self.beta }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Law = Law { lambda: 100.0, alpha: 0.03, beta: 0.0008 };

    #[test]
    fn the_best_whole_size_is_beside_the_peak() {
        for beta in [0.02, 0.003, 0.0008, 0.000_01] {
            let law = Law { beta, ..MEASURED };
            let best = law.best_size().unwrap();
            let at = |size: u32| law.throughput(f64::from(size));
            assert!(at(best) >= at(best - 1) && at(best) >= at(best + 1), "{beta}: {best}");
        }
        assert_eq!(Law { beta: 0.0, ..MEASURED }.best_size(), None);
        assert_eq!(Law { alpha: 1.0, beta: 0.5, ..MEASURED }.best_size(), Some(1));
    }

    #[test]
    fn the_smallest_size_for_a_throughput_carries_it_and_one_less_does_not() {
        for throughput in [0.0, 1.0, 99.0, 100.0, 100.1, 700.0, 1100.0] {
            let size = MEASURED.smallest_size_for(throughput).unwrap();
            assert!(MEASURED.throughput(f64::from(size)) >= throughput);
            assert!(size == 1 || MEASURED.throughput(f64::from(size - 1)) < throughput);
        }
        assert_eq!(MEASURED.smallest_size_for(1e6), None);
        assert_eq!(MEASURED.smallest_size_for(f64::NAN), None);
    }

    #[test]
    fn without_coherency_throughput_tends_to_a_limit() {
        // raytracer: λ 21.849, α .05777 → 378.2, as published.
        let raytracer = Law { lambda: 21.849, alpha: 0.057_77, beta: 0.0 };
        assert!((raytracer.limit().unwrap() - 378.2).abs() < 0.05);
        assert_eq!(MEASURED.limit(), None);
        assert_eq!(Law { alpha: 0.0, ..raytracer }.limit(), None);
    }
}
