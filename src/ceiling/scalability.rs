//! The Universal Scalability Law (Gunther): C(N) = λN / (1 + α(N−1) + βN(N−1)).

use serde::{Deserialize, Serialize};

use crate::number::{MAX_COUNT, floor_count, from_count};

/// The coefficients that give the law its shape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coefficients {
    /// Contention α: the serial share of the work, 0 to 1.
    pub alpha: f64,
    /// Coherency β: the cost of each pair of replicas keeping in step, 0 or more.
    pub beta: f64,
}

/// Throughput of `replicas` in units of one replica's, C(N)/λ.
pub fn relative_capacity(law: &Coefficients, replicas: f64) -> f64 {
    let n = replicas;
    n / (1.0 + law.alpha * (n - 1.0) + law.beta * n * (n - 1.0))
}

/// The real-valued count at which throughput peaks, N* = √((1−α)/β); none where β is 0 (Amdahl: no peak).
pub fn peak(law: &Coefficients) -> Option<f64> {
    (law.beta > 0.0).then(|| ((1.0 - law.alpha) / law.beta).sqrt())
}

/// The largest count from which each replica still added at least `gain` of the first one's throughput:
/// C(N) − C(N−1) ≥ gain · C(1). At least 1.
pub fn knee(law: &Coefficients, gain: f64) -> u32 {
    let worth_it = |count: u32| {
        let n = from_count(count);
        relative_capacity(law, n) - relative_capacity(law, n - 1.0) >= gain
    };
    // Up to the peak the gain falls with every replica, beyond it the gain is negative: halving finds the edge.
    let (mut enough, mut too_many) =
        (1_u32, peak(law).map_or(MAX_COUNT, |peak| floor_count(peak).saturating_add(2)));
    while too_many.saturating_sub(enough) > 1 {
        let middle = enough + (too_many - enough).wrapping_div(2);
        if worth_it(middle) {
            enough = middle;
        } else {
            too_many = middle;
        }
    }
    enough
}

/// The ceiling: the share `safety` of the peak, or the knee of `marginal_gain` where it is asked for, whichever is lower;
/// at least 1, none where neither exists.
pub fn ceiling(law: &Coefficients, safety: f64, marginal_gain: Option<f64>) -> Option<u32> {
    let below_peak = peak(law).map(|peak| floor_count(safety * peak).max(1));
    let knee = marginal_gain.map(|gain| knee(law, gain));
    below_peak.into_iter().chain(knee).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usl(alpha: f64, beta: f64) -> Coefficients {
        Coefficients { alpha, beta }
    }

    #[test]
    fn published_peaks_are_reproduced() {
        // SPEC SDM91 (R package usl), Cisco/MySQL (Schwartz), and an exact synthetic set.
        for (alpha, beta, expected) in
            [(0.027_728_5, 0.000_104_4, 96.52), (0.026_715_91, 0.000_769_094_5, 35.57), (0.05, 0.02, 6.89)]
        {
            let peak = peak(&usl(alpha, beta)).unwrap();
            assert!((peak - expected).abs() < 0.02, "{alpha} {beta}: {peak}");
        }
    }

    #[test]
    fn throughput_falls_beyond_the_peak_and_the_ceiling_lies_below_it() {
        let law = usl(0.03, 0.0008);
        let at = |n| relative_capacity(&law, n);
        assert!(at(34.0) > at(33.0) && at(36.0) < at(35.0), "the peak is at 34.8");
        assert_eq!(ceiling(&law, 0.8, None), Some(27), "80 % of 34.8");
    }

    #[test]
    fn published_knees_are_reproduced() {
        // anchors: specsdm91 g = .2 → 35, .1 → 51, .05 → 66; Cisco .2 → 20, .1 → 26, .05 → 30; there the smallest N whose
        // next replica is not worth it, which is the last one that was.
        for (alpha, beta, gain, expected) in [
            (0.027_728_5, 0.000_104_4, 0.2, 35),
            (0.027_728_5, 0.000_104_4, 0.1, 51),
            (0.027_728_5, 0.000_104_4, 0.05, 66),
            (0.026_715_91, 0.000_769_094_5, 0.2, 20),
            (0.026_715_91, 0.000_769_094_5, 0.1, 26),
            (0.026_715_91, 0.000_769_094_5, 0.05, 30),
        ] {
            assert_eq!(knee(&usl(alpha, beta), gain), expected, "{alpha} {beta} {gain}");
        }
    }

    #[test]
    fn without_coherency_only_the_knee_caps() {
        let amdahl = usl(0.05, 0.0);
        assert_eq!(peak(&amdahl), None);
        assert_eq!(ceiling(&amdahl, 0.8, None), None);
        // Closed form 1 + (√((1−α)/g) − 1)/α = 42.6 for the derivative; the difference of whole replicas lies half a replica above.
        assert_eq!(ceiling(&amdahl, 0.8, Some(0.1)), Some(43));
    }

    #[test]
    fn odd_coefficients_saturate() {
        assert_eq!(ceiling(&usl(0.99, 1e9), 0.8, None), Some(1));
        assert_eq!(ceiling(&usl(0.0, f64::MIN_POSITIVE), 0.8, None), Some(MAX_COUNT));
        assert_eq!(ceiling(&usl(0.0, 0.0), 0.8, Some(0.5)), Some(MAX_COUNT - 1));
    }
}
