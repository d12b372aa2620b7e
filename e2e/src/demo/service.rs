//! The simulated service: what its pods carry together, and how long requests take.

use plimsoll::ceiling::scalability::{Coefficients, relative_capacity};
use plimsoll::number::from_count;

/// Requests a second that one pod alone carries.
const ONE_POD: f64 = 80.0;
/// Contention and coherency of the Universal Scalability Law.
const LAW: Coefficients = Coefficients { alpha: 0.01, beta: 0.0003 };
/// 99 of 100 requests take less than this in an idle service, in seconds.
const IDLE_LATENCY: f64 = 0.04;
/// Callers give up after this, in seconds.
const TIMEOUT: f64 = 2.0;

/// Requests a second that `pods` pods carry together.
pub fn capacity(pods: u32) -> f64 {
    if pods == 0 { 0.0 } else { ONE_POD * relative_capacity(&LAW, from_count(pods)) }
}

/// The 99th percentile of latency in seconds when `load` meets `capacity`, both in requests a second.
pub fn latency(load: f64, capacity: f64) -> f64 {
    let utilization = load / capacity;
    if utilization < 1.0 { (IDLE_LATENCY / (1.0 - utilization)).min(TIMEOUT) } else { TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_adds_less_than_the_one_before() {
        let gain = |pods| capacity(pods) - capacity(pods - 1);
        assert!((2..50).all(|pods| gain(pods) < gain(pods - 1)));
        assert!((capacity(1) - ONE_POD).abs() < 1e-9);
        assert!(capacity(60) < capacity(57), "beyond the peak more pods carry less");
    }

    #[test]
    fn latency_grows_with_utilization_up_to_the_timeout() {
        assert!((latency(0.0, 100.0) - IDLE_LATENCY).abs() < 1e-9);
        assert!(latency(50.0, 100.0) < latency(90.0, 100.0));
        for (load, capacity) in [(100.0, 100.0), (200.0, 100.0), (1.0, 0.0), (0.0, 0.0)] {
            assert!((latency(load, capacity) - TIMEOUT).abs() < 1e-9, "{load} {capacity}");
        }
    }
}
