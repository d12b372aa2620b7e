//! Guards, from the spec to what `decide` reads.

use super::Faults;
use crate::api::{
    self, Absent, AveragedOver, Comparison, Coverage, Quantity, Role, ScalingPolicySpec, TargetKind, Zero,
};
use crate::control::policy::{Guard, Signal};
use crate::time::Span;

impl Faults {
    pub(super) fn guards(&mut self, spec: &ScalingPolicySpec) -> Vec<Guard> {
        spec.guards.iter().enumerate().map(|(at, guard)| self.guard(at, guard)).collect()
    }

    fn guard(&mut self, at: usize, guard: &api::Guard) -> Guard {
        let field = format!("guards[{at}] ({})", guard.name);
        let mut number = |name: &str, quantity: &Quantity| {
            self.quantity(
                &format!("{field}.{name}"),
                quantity,
                |_| true,
                "write a number in the query's own unit",
            )
        };
        let threshold = number("threshold", &guard.threshold);
        let release = guard.release_threshold.as_ref().map(|release| number("releaseThreshold", release));
        self.require(
            release.is_none_or(|release| match guard.comparison {
                Comparison::GreaterThan => release < threshold,
                Comparison::LessThan => release > threshold,
            }),
            || match guard.comparison {
                Comparison::GreaterThan => format!(
                    "{field}.releaseThreshold must lie below threshold; for what is bad when low write comparison: LessThan"
                ),
                Comparison::LessThan => {
                    format!("{field}.releaseThreshold must lie above threshold, since comparison is LessThan")
                }
            },
        );
        self.require(guard.max_duration_seconds > guard.hold_seconds, || {
            format!("{field}.maxDurationSeconds must be longer than holdSeconds")
        });
        Guard {
            signal: Signal {
                name: guard.name.clone(),
                role: Role::SafetyNet,
                kind: TargetKind::Value,
                target: threshold,
                max_age: Span::from_seconds(guard.freshness.max_age_seconds.into()),
                coverage: Coverage::None,
                // No lock waits and no lag are what is hoped for, and what a guard watches may leap.
                zero: Zero::Data,
                negative: Zero::Data,
                warnings: guard.warnings,
                averaged_over: AveragedOver::Serving,
                max_rise: f64::INFINITY,
                max_drop: f64::INFINITY,
                scale_up_tolerance: 0.0,
                scale_down_tolerance: 0.0,
                max_step_percent: 0,
                max_add_percent: 0,
                absent: Absent::Unknown,
            },
            comparison: guard.comparison,
            release: release.unwrap_or(threshold),
            action: guard.action,
            hold: Span::from_seconds(guard.hold_seconds.into()),
            longest: Span::from_seconds(guard.max_duration_seconds.into()),
            on_missing: guard.on_missing,
        }
    }
}
