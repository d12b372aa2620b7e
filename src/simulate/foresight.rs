//! Forecasts in a simulation, made of what its metrics have told so far.

use crate::control::{Forecasting, Foreseen, Policy, Signal};
use crate::forecast::{ForecastState, REFIT, STEP};
use crate::signal::{Moments, Reading};
use crate::time::{Span, Time};

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
        Some(Self { rules, metrics, last_sample: None, next_fit: now + REFIT })
    }

    /// Takes note of what was read, and fits anew where an hour has passed. Tells what is known.
    pub(super) fn observe(&mut self, policy: &Policy, readings: &[Reading], now: Time) -> Vec<Foreseen> {
        let newest = Moments::within(now - STEP + Span::from_millis(1), now, STEP);
        if newest.count == 1 && self.last_sample.is_none_or(|last| newest.first > last) {
            self.last_sample = Some(newest.first);
            for metric in &mut self.metrics {
                let need = || {
                    let signal = policy.signals.get(metric.signal)?;
                    Some(signal.load(readings.get(metric.signal)?)? / signal.target)
                };
                metric.state.learn(&self.rules.rules, newest, [need()]);
            }
        }
        if now >= self.next_fit {
            self.next_fit = now + REFIT;
            for metric in &mut self.metrics {
                let fitted = metric.state.fit(&self.rules.rules, now);
                metric.foreseen = Some(Foreseen::after(metric.foreseen.take(), &metric.name, fitted));
            }
        }
        self.metrics.iter().filter_map(|metric| metric.foreseen.clone()).collect()
    }
}
