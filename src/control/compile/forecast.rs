//! The forecast, from the spec to what `decide` reads.

use super::Faults;
use crate::api::{Role, ScalingPolicySpec, TargetKind};
use crate::control::forecasts::{Forecasting, acts};
use crate::forecast::ForecastRules;
use crate::number::from_count;
use crate::time::Span;

impl Faults {
    pub(super) fn forecast(&mut self, spec: &ScalingPolicySpec) -> Option<Forecasting> {
        let forecast = spec.forecast.as_ref()?;
        let about = spec.metrics.iter().any(|metric| {
            metric.role == Role::Leading
                && metric.target.kind == TargetKind::AverageValue
                && forecast.metric.as_ref().is_none_or(|name| *name == metric.name)
        });
        self.require(about, || {
            "forecast is about load that comes from outside: name in forecast.metric a Leading metric with an AverageValue target, \
             such as a request rate"
                .to_owned()
        });
        let (shortest, longest) = (3600, 1_209_600);
        self.require(
            forecast.season_seconds.is_none_or(|season| (shortest..=longest).contains(&season)),
            || format!("forecast.seasonSeconds: write {shortest} to {longest}, for example 86400 for a day"),
        );
        self.require((2..=28).contains(&forecast.history_days), || {
            "forecast.historyDays: write 2 to 28".to_owned()
        });
        self.require((50..=99).contains(&forecast.percentile), || {
            "forecast.percentile: write 50 to 99".to_owned()
        });
        let history = Span::from_seconds(86_400).times(forecast.history_days.into());
        let season = forecast.season_seconds.map(|season| Span::from_seconds(season.into()));
        self.require(season.is_none_or(|season| season <= history), || {
            "forecast.seasonSeconds is longer than historyDays: raise historyDays to two seasons".to_owned()
        });
        Some(Forecasting {
            acts: acts(forecast.mode),
            metric: forecast.metric.clone(),
            rules: ForecastRules { season, history, quantile: from_count(forecast.percentile) / 100.0 },
            buffer: Span::from_seconds(forecast.scheduling_buffer_seconds.into()),
        })
    }
}
