//! Student's t distribution: quantiles far into the tail, for real degrees of freedom.

/// Lanczos' coefficients for g = 7.
const LANCZOS: [f64; 8] = [
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

/// The t for which P(T > t) = `tail`, with `degrees` of freedom. `tail` from 1e-12 to below ½, `degrees` at least 1;
/// both are held to that.
pub(super) fn upper_quantile(tail: f64, degrees: f64) -> f64 {
    let tail = if tail.is_nan() { 0.025 } else { tail.clamp(1e-12, 0.499) };
    let degrees = if degrees.is_nan() { 1.0 } else { degrees.clamp(1.0, 1e6) };
    // ln P falls ever faster with ln t, so that Newton's method, once right of the root, comes down to it.
    let mut log_t = 0.0_f64;
    for _ in 0..200 {
        let t = log_t.exp();
        let beyond = probability_beyond(t, degrees);
        let slope = -density(t, degrees) * t / beyond;
        let step = (beyond.ln() - tail.ln()) / slope;
        log_t -= step.clamp(-1.0, 1.0);
        if step.abs() < 1e-10 {
            break;
        }
    }
    log_t.exp()
}

/// P(T > t) for t above 0: half the regularized incomplete beta function I(ν/(ν+t²); ν/2, ½).
fn probability_beyond(t: f64, degrees: f64) -> f64 {
    0.5 * incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5)
}

fn density(t: f64, degrees: f64) -> f64 {
    let log = ln_gamma(0.5 * (degrees + 1.0))
        - ln_gamma(0.5 * degrees)
        - 0.5 * (degrees * std::f64::consts::PI).ln()
        - 0.5 * (degrees + 1.0) * (t * t / degrees).ln_1p();
    log.exp()
}

/// The regularized incomplete beta function by its continued fraction, where that converges.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let log = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    log.exp() * beta_fraction(x, a, b) / a
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut above = 1.0;
    let mut below = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = below;
    let mut step = 0.0;
    for _ in 0..500 {
        step += 1.0;
        let place = a + 2.0 * step;
        let even = step * (b - step) * x / ((place - 1.0) * place);
        let odd = -(a + step) * (a + b + step) * x / (place * (place + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            below = 1.0 / away_from_zero(1.0 + term * below);
            above = away_from_zero(1.0 + term / above);
            change = above * below;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    fraction
}

/// ln Γ(x) for x of at least ½ (Lanczos).
fn ln_gamma(x: f64) -> f64 {
    let x = x - 1.0;
    let mut divisor = x;
    let mut sum = 0.999_999_999_999_809_9;
    for coefficient in LANCZOS {
        divisor += 1.0;
        sum += coefficient / divisor;
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (tail, degrees, expected) in [
            (0.025, 1.0, 12.706_2),
            (0.025, 4.0, 2.776_445),
            (0.025, 8.0, 2.306_004),
            (0.025, 29.0, 2.045_23),
            (0.05, 10.0, 1.812_461),
            (0.1, 3.0, 1.637_744),
            (0.005, 30.0, 2.749_996),
            (0.000_5, 20.0, 3.849_516),
            (0.025, 1e6, 1.959_966),
            // The normal distribution's, far out.
            (1e-5, 1e6, 4.264_9),
        ] {
            let t = upper_quantile(tail, degrees);
            assert!((t / expected - 1.0).abs() < 2e-5, "{tail} {degrees}: {t}, not {expected}");
        }
    }

    #[test]
    fn odd_arguments_give_a_number() {
        for (tail, degrees) in [(0.0, 0.0), (f64::NAN, f64::NAN), (0.9, -1.0), (1e-300, f64::INFINITY)] {
            assert!(upper_quantile(tail, degrees).is_finite(), "{tail} {degrees}");
        }
    }
}
