//! The explanation, written step by step.

use super::decision::{Step, StepName};
use super::reason::Reason;

/// The steps taken so far.
#[derive(Debug)]
pub(super) struct Trail {
    steps: Vec<Step>,
}

impl Trail {
    pub(super) fn new() -> Self {
        Self { steps: Vec::with_capacity(16) }
    }

    pub(super) fn note(&mut self, step: StepName, before: u32, after: u32, reason: Reason, message: String) {
        self.steps.push(Step { step, before, after, reason, message });
    }

    /// The last step that kept a change from happening: it ended at `replicas` and did not begin there, or found that
    /// nothing needs to change.
    pub(super) fn last_hold(&self, replicas: u32) -> Option<(Reason, &str)> {
        let held = |step: &&Step| {
            step.before != step.after
                || matches!(step.reason, Reason::WithinTolerance | Reason::NoFreshSignal)
        };
        let found = self.steps.iter().rev().filter(|step| step.step != StepName::Need).find(held)?;
        let _ = replicas;
        Some((found.reason, &found.message))
    }

    /// Why the count moves from `from` to `to`: the last step that moved it that way.
    pub(super) fn cause(&self, from: u32, to: u32) -> Option<&str> {
        let towards = |step: &&Step| {
            matches!(step.step, StepName::Tolerance | StepName::SafetyNet | StepName::Floor)
                && (step.after > step.before) == (to > from)
                && step.after != step.before
        };
        self.steps.iter().rev().find(towards).map(|step| step.message.as_str())
    }

    /// A rate, or the room for pods warming up, that holds the count.
    pub(super) fn rate_limit(&self) -> Option<Reason> {
        let reasons = self.steps.iter().rev().map(|step| step.reason);
        reasons.into_iter().find(|reason| {
            matches!(reason, Reason::ScaleUpLimit | Reason::ScaleDownLimit | Reason::WarmUpLimit)
        })
    }

    /// Whether a step of this name found this.
    pub(super) fn found(&self, step: StepName, reason: Reason) -> bool {
        self.steps.iter().any(|taken| taken.step == step && taken.reason == reason)
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

/// A number as people read it: up to three significant decimals, thousandths as Kubernetes writes them (`212m`).
pub fn spelled(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if !(0.001..1e9).contains(&size) {
        format!("{value:.2e}")
    } else if size < 1.0 {
        format!("{}m", trimmed(value * 1000.0, if size < 0.01 { 2 } else { 0 }))
    } else {
        trimmed(value, if size < 10.0 { 2 } else { usize::from(size < 1000.0) })
    }
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (0.0, "0"),
            (0.3, "300m"),
            (0.2124, "212m"),
            (0.0053, "5.3m"),
            (1.5, "1.5"),
            (8.0, "8"),
            (84.34, "84.3"),
            (5738.19, "5738"),
            (1e18, "1.00e18"),
            (-500.0, "-500"),
        ] {
            assert_eq!(spelled(value), text);
        }
    }
}
