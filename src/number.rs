//! Conversions between counts and reals that saturate instead of wrapping: the only place that converts.

/// The largest count Kubernetes can name (`int32`).
pub const MAX_COUNT: u32 = i32::MAX.unsigned_abs();

/// A count as a real number; exact.
pub fn from_count(count: u32) -> f64 {
    f64::from(count)
}

/// A 64-bit count as a real number; exact below 2^53, else the nearest.
#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "rounding above 2^53 is what is documented"
)]
pub const fn from_u64(value: u64) -> f64 {
    value as f64
}

/// A length as a count; saturates at [`MAX_COUNT`].
pub fn count_of(length: usize) -> u32 {
    u32::try_from(length).map_or(MAX_COUNT, |count| count.min(MAX_COUNT))
}

/// The largest count not above `value`: 0 for NaN and negatives, [`MAX_COUNT`] for what no count can hold.
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float-to-int cast saturates and sends NaN to 0"
)]
pub fn floor_count(value: f64) -> u32 {
    (value.floor() as u32).min(MAX_COUNT)
}

/// The smallest count not below `value`: 0 for NaN and negatives, [`MAX_COUNT`] for what no count can hold.
pub fn ceil_count(value: f64) -> u32 {
    floor_count(value.ceil())
}

/// The smallest count not below `value`, forgiving a rounding error of one part in 10⁹, so that 9 × 90 / 90
/// needs nine pods and not ten.
pub fn ceil_count_forgiving(value: f64) -> u32 {
    let nearest = value.round();
    if (value - nearest).abs() <= 1e-9 * nearest.abs().max(1.0) {
        floor_count(nearest)
    } else {
        ceil_count(value)
    }
}

/// `percent` of `count`, rounded up, as Kubernetes rounds `maxSurge`.
pub fn percent_rounded_up(count: u32, percent: u32) -> u32 {
    saturate(u64::from(count).saturating_mul(u64::from(percent)).div_ceil(100))
}

/// `percent` of `count`, rounded down, as Kubernetes rounds `maxUnavailable`.
pub fn percent_rounded_down(count: u32, percent: u32) -> u32 {
    saturate(u64::from(count).saturating_mul(u64::from(percent)).wrapping_div(100))
}

/// A 64-bit count as a count; saturates at [`MAX_COUNT`].
pub fn saturate(value: u64) -> u32 {
    u32::try_from(value).map_or(MAX_COUNT, |count| count.min(MAX_COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_saturate_and_nan_is_zero() {
        for (value, floor, ceil) in [
            (f64::NAN, 0, 0),
            (f64::INFINITY, MAX_COUNT, MAX_COUNT),
            (f64::NEG_INFINITY, 0, 0),
            (-0.0, 0, 0),
            (-3.2, 0, 0),
            (2.1, 2, 3),
            (1e308, MAX_COUNT, MAX_COUNT),
            (2_147_483_647.5, MAX_COUNT, MAX_COUNT),
        ] {
            assert_eq!((floor_count(value), ceil_count(value)), (floor, ceil), "{value}");
        }
    }

    #[test]
    fn a_rounding_error_does_not_cost_a_pod() {
        assert_eq!(ceil_count_forgiving(0.1 * 3.0 / 0.1), 3);
        assert_eq!(ceil_count_forgiving(3.001), 4);
        assert_eq!(ceil_count_forgiving(f64::INFINITY), MAX_COUNT);
        assert_eq!(ceil_count_forgiving(f64::NAN), 0);
    }

    #[test]
    fn percentages_round_as_kubernetes_rounds_them() {
        assert_eq!((percent_rounded_up(10, 25), percent_rounded_down(10, 25)), (3, 2));
        assert_eq!(percent_rounded_up(u32::MAX, u32::MAX), MAX_COUNT);
    }
}
