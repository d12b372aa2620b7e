//! What forecasts ask for, as a status tells it.

use crate::api::{ForecastStatus, ScalingPolicyStatus};
use crate::cluster::moment;
use crate::control::Foreseen;
use crate::forecast::{Model, Outlook, Peak, Standing, Unforeseen, UnforeseenKind, Verdict};
use crate::number::from_count;
use crate::signal::Moments;
use crate::time::{Span, Time};

/// From one moment to the next.
const NEXT: Span = Span::from_seconds(60);
/// What a status tells of the coming lead time is taken to hold for so many.
const HOLDS: u32 = 60;

/// The forecasts of a status: what they ask for now, for the next hour.
pub(super) fn foreseen(status: &ScalingPolicyStatus, now: Time) -> Vec<Foreseen> {
    status.forecasts.iter().map(|forecast| of(forecast, now)).collect()
}

fn of(forecast: &ForecastStatus, now: Time) -> Foreseen {
    let outlook = forecast.replicas.map(|replicas| {
        let at = now + NEXT;
        let replicas = from_count(replicas);
        Outlook {
            standing: Standing {
                model: Model::Mstl,
                seasons: forecast.season_seconds.iter().map(|season| Span::from_seconds(*season)).collect(),
                fitted: forecast.fitted_at.as_ref().map_or(now, |at| moment(at.0)),
                observed: Span::from_seconds(3600).times(forecast.observed_hours.unwrap_or(0)),
                peak: Peak { at, replicas },
                accuracy: None,
                verdict: match forecast.state.as_str() {
                    "Acting" | "Shown" => Verdict::Trusted,
                    "Unproven" => Verdict::Unproven,
                    _ => Verdict::NoBetterThanNaive,
                },
            },
            moments: Moments { first: at, step: NEXT, count: HOLDS },
            expected: Vec::new(),
            upper: (0..HOLDS).map(|_| replicas).collect(),
        }
    });
    let fault =
        (outlook.is_none()).then(|| Unforeseen::new(UnforeseenKind::Pending, forecast.message.clone()));
    Foreseen { metric: forecast.metric.clone(), outlook, fault }
}
