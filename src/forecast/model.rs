//! Models of a load that comes again.

use augurs::ets::AutoETS;
use augurs::ets::trend::AutoETSTrendModel;
use augurs::mstl::MSTLModel;
use augurs::{Fit as _, Predict as _};
use serde::{Deserialize, Serialize};

/// What made a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Seasonal and trend decomposition with several seasons, its trend by exponential smoothing.
    Mstl,
    /// The same moment of the season before.
    SeasonalNaive,
}

/// A model of a load that comes again.
pub trait Forecaster {
    /// Its name.
    fn model(&self) -> Model;

    /// The next values after a past without gaps, with these seasons in steps. The error says why there are none.
    fn forecast(&self, past: &[f64], seasons: &[usize], steps: usize) -> Result<Vec<f64>, String>;
}

/// Seasonal and trend decomposition by Loess, one season after the other; what is left of the load is continued by the
/// exponential smoothing that fits it best. Takes two of each season.
#[derive(Clone, Copy, Debug)]
pub struct Mstl;

impl Forecaster for Mstl {
    fn model(&self) -> Model {
        Model::Mstl
    }

    fn forecast(&self, past: &[f64], seasons: &[usize], steps: usize) -> Result<Vec<f64>, String> {
        if seasons.iter().any(|season| past.len() < season.saturating_mul(2)) || seasons.is_empty() {
            return Err("MSTL takes two of each season".to_owned());
        }
        let trend = AutoETSTrendModel::from(AutoETS::non_seasonal());
        let fitted = MSTLModel::new(seasons.to_vec(), trend).fit(past).map_err(|error| error.to_string())?;
        let forecast = fitted.predict(steps, None).map_err(|error| error.to_string())?;
        if forecast.point.len() != steps || forecast.point.iter().any(|value| !value.is_finite()) {
            return Err("MSTL gave no numbers".to_owned());
        }
        Ok(forecast.point)
    }
}

/// The same moment of the season before; of several seasons the longest that is known.
#[derive(Clone, Copy, Debug)]
pub struct SeasonalNaive;

impl Forecaster for SeasonalNaive {
    fn model(&self) -> Model {
        Model::SeasonalNaive
    }

    fn forecast(&self, past: &[f64], seasons: &[usize], steps: usize) -> Result<Vec<f64>, String> {
        let known = seasons.iter().filter(|season| **season > 0 && past.len() >= **season).max();
        let before = known.and_then(|season| past.get(past.len().saturating_sub(*season)..));
        let before = before.ok_or_else(|| "no whole season is known".to_owned())?;
        Ok(before.iter().copied().cycle().take(steps).collect())
    }
}

/// The first of the models that can forecast, with what it says; never below zero.
pub(super) fn forecast(past: &[f64], seasons: &[usize], steps: usize) -> Result<(Model, Vec<f64>), String> {
    let models: [&dyn Forecaster; 2] = [&Mstl, &SeasonalNaive];
    let mut faults = Vec::new();
    for model in models {
        match model.forecast(past, seasons, steps) {
            Ok(values) => {
                return Ok((model.model(), values.into_iter().map(|value| value.max(0.0)).collect()));
            }
            Err(fault) => faults.push(fault),
        }
    }
    Err(faults.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::from_count;

    fn daily(many: u32) -> Vec<f64> {
        let angle = |at: u32| from_count(at % 48) / 48.0 * std::f64::consts::TAU;
        (0..many).map(|at| 20.0 + 10.0 * angle(at).sin()).collect()
    }

    #[test]
    fn mstl_continues_what_comes_again_and_says_when_it_cannot() {
        let forecast = Mstl.forecast(&daily(480), &[48], 96).unwrap();
        let truth = daily(576);
        for (at, (forecast, truth)) in forecast.iter().zip(&truth[480..]).enumerate() {
            assert!((forecast - truth).abs() < 0.5, "{at}: {forecast} for {truth}");
        }
        for (past, seasons) in [
            (daily(95), vec![48]),
            (daily(480), vec![48, 336]),
            (daily(480), vec![]),
            (vec![f64::NAN; 480], vec![48]),
        ] {
            assert!(Mstl.forecast(&past, &seasons, 5).is_err(), "{} {seasons:?}", past.len());
        }
    }

    #[test]
    fn where_mstl_cannot_the_season_before_is_repeated() {
        let past = daily(60);
        let (model, values) = forecast(&past, &[48], 100).unwrap();
        assert_eq!((model, values.len()), (Model::SeasonalNaive, 100));
        assert!((values[0] - past[12]).abs() < 1e-9 && (values[48] - values[0]).abs() < 1e-9);
        let refused = forecast(&past[..40], &[48], 3).unwrap_err();
        assert_eq!(refused, "MSTL takes two of each season; no whole season is known");
    }

    #[test]
    fn odd_pasts_give_numbers_or_a_reason_but_never_a_panic() {
        let flat = vec![0.0; 480];
        let spiky: Vec<f64> = (0..480).map(|at| if at % 48 == 7 { 1e9 } else { 0.0 }).collect();
        let tiny = vec![1e-30; 480];
        for past in [flat, spiky, tiny, vec![f64::MAX; 480], vec![], vec![1.0]] {
            if let Ok((_, values)) = forecast(&past, &[48], 12) {
                assert!(values.iter().all(|value| *value >= 0.0), "{values:?}");
            }
        }
    }
}
