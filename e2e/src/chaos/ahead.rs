//! An objective and a forecast beside the signal: looked at, shown, and without a say in the count.

use serde_json::{Value, json};

use super::dice::Dice;

/// The share of bad events, in every window.
pub const BAD_EVENTS: f64 = 0.0005;

/// Gives some of the policies an objective, and some a forecast.
pub fn look_ahead(dice: Dice, name: &str, spec: &mut Value) {
    if dice.of("objective").falls(0.15) {
        let query = format!(
            "(sum(rate(failures_total{{app=\"{name}\"}}[$window])) or vector(0)) / sum(rate(requests_total{{app=\"{name}\"}}[$window]))"
        );
        let slo = json!({"slo": {"objectivePercent": "99.9", "prometheus": {"query": query}, "enforcement": "Observe"}});
        json_patch::merge(spec, &slo);
    }
    if dice.of("forecast").falls(0.15) {
        json_patch::merge(spec, &json!({"forecast": {"mode": "ForecastOnly"}}));
    }
}

/// Whether a query asks for the share of bad events.
pub fn asks_for_bad_events(query: &str) -> bool {
    query.contains("failures_total")
}
