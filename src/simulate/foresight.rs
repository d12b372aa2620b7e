//! Forecasts in a simulation, made of what its metrics have told so far.

use crate::control::{Forecasting, Foreseen, Policy, Signal};
use crate::forecast::{ForecastState, STEP, Unforeseen};
use crate::signal::{Answer, Moments, Reading};
use crate::time::{Span, Time};

/// From one fit to the next, as in the operator.
const EACH: Span = Span::from_seconds(3600);

/// What is known of what the metrics will do.
#[derive(Clone, Debug)]
pub(super) struct Foresight {
    rules: Forecasting,
    metrics: Vec<Metric>,
    last_sample: Option<Time>,
    next_fit: Time,
}

#[derive(Clone, Debug)]
struct Metric {
    signal: usize,
    name: String,
    state: ForecastState,
    foreseen: Option<Foreseen>,
}

impl Foresight {
    /// For a policy that asks for forecasts; none for others.
    pub(super) fn of(policy: &Policy, now: Time) -> Option<Self> {
        let rules = policy.forecast.clone()?;
        let about = |(at, signal): (usize, &Signal)| {
            let name = signal.name.clone();
            rules.is_about(signal).then(|| Metric {
                signal: at,
                name,
                state: ForecastState::default(),
                foreseen: None,
            })
        };
        let metrics = policy.signals.iter().enumerate().filter_map(about).collect();
        Some(Self { rules, metrics, last_sample: None, next_fit: now + EACH })
    }

    /// Takes note of what was read, and fits anew where an hour has passed. Tells what is known.
    pub(super) fn observe(&mut self, policy: &Policy, readings: &[Reading], now: Time) -> Vec<Foreseen> {
        let newest = Moments::within(now - STEP + Span::from_millis(1), now, STEP);
        if newest.count == 1 && self.last_sample.is_none_or(|last| newest.first > last) {
            self.last_sample = Some(newest.first);
            for metric in &mut self.metrics {
                let need = || match (policy.signals.get(metric.signal)?, &readings.get(metric.signal)?.answer)
                {
                    (signal, Answer::Value(value)) => Some(value / signal.target),
                    _ => None,
                };
                metric.state.learn(&self.rules.rules, newest, [need()]);
            }
        }
        if now >= self.next_fit {
            self.next_fit = now + EACH;
            for metric in &mut self.metrics {
                let fitted: Result<_, Unforeseen> = metric.state.fit(&self.rules.rules, now);
                let before = metric.foreseen.take().and_then(|foreseen| foreseen.outlook);
                let (outlook, fault) = match fitted {
                    Ok(outlook) => (Some(outlook), None),
                    Err(fault) => (before, Some(fault)),
                };
                metric.foreseen = Some(Foreseen { metric: metric.name.clone(), outlook, fault });
            }
        }
        self.metrics.iter().filter_map(|metric| metric.foreseen.clone()).collect()
    }
}
