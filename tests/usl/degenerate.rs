//! Whatever is measured, nothing panics, and what tells nothing caps nothing. A failing case is printed and kept in
//! `tests/proptest-regressions/`.

use plimsoll::ceiling::usl::{
    Assessment, Estimator, FitError, Load, Measurement, Noise, Settings, Window, fit,
};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

/// Numbers that break things.
fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 1.0..1e4_f64,
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN_POSITIVE),
        1 => Just(-1.0),
        1 => Just(1e-9),
        1 => Just(1e15),
        1 => any::<f64>(),
    ]
}

/// Numbers that are allowed, however odd.
fn allowed() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 1.0..1e3_f64,
        1 => (0.0..9.3_f64).prop_map(|exponent| 10.0_f64.powf(exponent)),
        1 => Just(1.0),
        1 => Just(2_147_483_647.0),
    ]
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 1..60_u32, 1 => Just(0), 1 => Just(1), 1 => Just(u32::MAX), 1 => any::<u32>()]
}

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        Just(Load::Saturated),
        (0.4..1.2_f64).prop_map(Load::Utilization),
        hostile().prop_map(Load::Utilization)
    ]
}

prop_compose! {
    fn window()(
        later in prop_oneof![8 => 60_000..600_000_i64, 1 => any::<i64>()],
        length in prop_oneof![8 => Just(60_000_u64), 1 => any::<u64>()],
        size in size(),
        more in prop_oneof![6 => Just(0_u32), 1 => any::<u32>()],
        rollout in prop::bool::weighted(0.05),
        load in load(),
        throughput in hostile(),
        objective_met in any::<bool>(),
        revision in prop_oneof![40 => Just("a"), 1 => Just("b")],
    ) -> (i64, Window) {
        let window = Window {
            end: Time::default(),
            length: Span::from_millis(length),
            revision: revision.to_owned(),
            fewest_ready: size,
            most_ready: size.saturating_add(more),
            rollout,
            load,
            throughput,
            objective_met,
        };
        (later, window)
    }
}

/// What the windows come to, one after the other.
fn assessed(windows: Vec<(i64, Window)>, settings: &Settings) -> (Estimator, Assessment) {
    let mut estimator = Estimator::default();
    let mut now = 1_700_000_000_000_i64;
    for (later, window) in windows {
        now = now.wrapping_add(later);
        let _ = estimator.observe(&Window { end: Time::from_millis(now), ..window });
    }
    let assessment = estimator.assess(Time::from_millis(now), settings);
    (estimator, assessment)
}

/// Windows of these sizes and throughputs, saturated.
fn saturated(rows: impl Iterator<Item = (u32, f64)>) -> Assessment {
    let windows = rows.map(|(size, throughput)| {
        let window = Window {
            end: Time::default(),
            length: Span::from_seconds(60),
            revision: "a".to_owned(),
            fewest_ready: size,
            most_ready: size,
            rollout: false,
            load: Load::Saturated,
            throughput,
            objective_met: false,
        };
        (120_000, window)
    });
    assessed(windows.collect(), &Settings::default()).1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_measurements_panic_and_what_is_no_number_is_named(
        rows in prop::collection::vec((hostile(), hostile(), hostile()), 0..40),
        proportional in any::<bool>(),
    ) {
        let noise = if proportional { Noise::Proportional } else { Noise::Constant };
        let rows: Vec<_> =
            rows.into_iter().map(|(size, throughput, weight)| Measurement { size, throughput, weight }).collect();
        let wrong = |row: &Measurement| {
            let size = (1.0..=2_147_483_647.0).contains(&row.size);
            let finite = row.throughput.is_finite() && row.weight.is_finite();
            !size || !finite || row.throughput <= 0.0 || row.weight <= 0.0
        };
        match fit(&rows, noise) {
            Ok(_) => prop_assert!(!rows.iter().any(wrong)),
            Err(error) => prop_assert!(error.to_string().len() > 20),
        }
    }

    #[test]
    fn whatever_is_allowed_gives_numbers(
        rows in prop::collection::vec((allowed(), allowed()), 4..40),
        proportional in any::<bool>(),
    ) {
        let noise = if proportional { Noise::Proportional } else { Noise::Constant };
        let rows: Vec<_> = rows.into_iter().map(|(size, throughput)| Measurement::new(size, throughput)).collect();
        match fit(&rows, noise) {
            Ok(fit) => {
                let law = fit.law;
                prop_assert!(law.lambda > 0.0 && law.lambda.is_finite(), "{fit:?}");
                prop_assert!((0.0..=1.0).contains(&law.alpha) && law.beta >= 0.0 && law.beta.is_finite(), "{fit:?}");
                prop_assert!(fit.residual_standard_error.is_finite(), "{fit:?}");
                prop_assert!(fit.peak_interval.lower >= 1.0, "{fit:?}");
                if let (Some(peak), Some(upper)) = (fit.peak, fit.peak_interval.upper) {
                    prop_assert!(upper >= 0.999 * peak.size && fit.peak_interval.lower <= 1.001 * peak.size, "{fit:?}");
                }
                prop_assert!(!fit.verdict.to_string().is_empty());
            }
            Err(error) => prop_assert!(matches!(error, FitError::TooFewSizes { .. } | FitError::NoSolution), "{error}"),
        }
    }

    #[test]
    fn no_windows_panic_and_no_ceiling_lies_below_what_was_carried(
        windows in prop::collection::vec(window(), 0..250),
        safety in hostile(),
        half_life in any::<u64>(),
        expires_after in any::<u64>(),
    ) {
        let settings = Settings {
            safety,
            half_life: Span::from_millis(half_life),
            expires_after: Span::from_millis(expires_after),
        };
        let (estimator, assessment) = assessed(windows, &settings);
        prop_assert!(estimator.windows() <= 192);
        match assessment.ceiling {
            Ok(ceiling) => prop_assert!(ceiling.replicas >= 1 && ceiling.at_most >= 1.0),
            Err(reasons) => {
                prop_assert!(!reasons.is_empty());
                prop_assert!(reasons.iter().all(|reason| reason.to_string().len() > 20));
            }
        }
        let stored = serde_json::to_string(&estimator).unwrap();
        prop_assert!(stored.len() < 10_000, "{} bytes", stored.len());
        prop_assert_eq!(serde_json::from_str::<Estimator>(&stored).unwrap(), estimator);
    }

    #[test]
    fn fewer_than_six_sizes_or_thirty_windows_never_cap(
        sizes in prop::collection::vec(1..100_u32, 1..=5),
        windows in prop::collection::vec((any::<prop::sample::Index>(), 1.0..1e4_f64), 0..190),
        few in prop::collection::vec((1..100_u32, 1.0..1e4_f64), 0..30),
    ) {
        let rows = windows.iter().map(|(index, throughput)| (*index.get(&sizes), *throughput));
        prop_assert!(saturated(rows).ceiling.is_err());
        prop_assert!(saturated(few.into_iter()).ceiling.is_err());
    }

    #[test]
    fn throughput_that_does_not_depend_on_size_never_caps(
        sizes in prop::collection::vec(1..100_u32, 0..190),
        throughput in 1e-6..1e12_f64,
        noise in prop::collection::vec(-1.0..1.0_f64, 190),
        scatter in prop_oneof![Just(0.0), Just(1e-6), 0.0..2.0_f64],
    ) {
        let noisy: Vec<_> =
            sizes.iter().zip(&noise).map(|(size, noise)| (*size, throughput * (scatter * noise).exp())).collect();
        let assessment = saturated(noisy.into_iter());
        prop_assert!(assessment.ceiling.is_err(), "{assessment:?}");
    }

    #[test]
    fn throughput_in_proportion_to_size_never_caps(
        sizes in prop::collection::vec(prop_oneof![1..100_u32, Just(2_000_000_000_u32)], 0..190),
        each in 1e-6..1e3_f64,
        noise in prop::collection::vec(-1.0..1.0_f64, 190),
        scatter in prop_oneof![Just(0.0), Just(1e-6), 0.0..0.3_f64],
    ) {
        let noisy = sizes
            .iter()
            .zip(&noise)
            .map(|(size, noise)| (*size, each * f64::from(*size) * (scatter * noise).exp()));
        let assessment = saturated(noisy);
        prop_assert!(assessment.ceiling.is_err(), "{assessment:?}");
    }

    #[test]
    fn a_state_changed_by_hand_does_no_harm(
        samples in prop::collection::vec((any::<i64>(), any::<u32>(), hostile(), hostile(), any::<bool>()), 0..400),
    ) {
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        let samples: Vec<_> = samples
            .into_iter()
            .map(|(end, size, throughput, capacity, met)| (end, size, finite(throughput), finite(capacity), met))
            .collect();
        let stored = serde_json::json!({ "revision": "a", "samples": samples });
        let estimator: Estimator = serde_json::from_value(stored).unwrap();
        prop_assert!(estimator.windows() <= 192);
        let _ = estimator.assess(Time::from_seconds(1_700_000_000), &Settings::default());
    }
}

#[test]
fn sizes_too_large_for_a_count_and_single_points_are_refused_in_words() {
    let row = Measurement::new;
    for (rows, said) in [
        (vec![], "0 measurements cannot give three coefficients"),
        (vec![row(1.0, 10.0)], "1 measurements cannot give"),
        (vec![row(4.0, 10.0); 20], "the measurements are of 1 distinct size:"),
        (vec![row(0.0, 10.0)], "measurement 1: 0 is not a size"),
        (vec![row(1.0, 10.0), row(1e10, 10.0)], "measurement 2: 10000000000 is not a size"),
        (vec![row(f64::NAN, 10.0)], "measurement 1: NaN is not a size"),
        (vec![row(1.0, f64::INFINITY)], "measurement 1: inf is not a throughput"),
        (vec![row(1.0, 0.0)], "measurement 1: 0 is not a throughput"),
        (vec![Measurement { weight: -1.0, ..row(1.0, 5.0) }], "measurement 1: -1 is not a weight"),
    ] {
        let error = fit(&rows, Noise::Constant).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}
