//! Row 6: guards.

use super::{Case, Ruling};
use crate::control::decision::StepName;
use crate::control::guard::StepDown;
use crate::control::observation::Rollout;
use crate::control::reason::Reason;
use crate::control::trail::Trail;

impl Case<'_> {
    /// Row 6: what each active guard leaves of it. None holds the count below `minReplicas`.
    pub(super) fn guarded(&self, rated: u32, trail: &mut Trail) -> u32 {
        let mut guarded = rated;
        for (before, after, reason, message) in self.guards.each_leaves(rated, self.policy.min) {
            trail.note(StepName::Guard, before, after, reason, message);
            guarded = after;
        }
        guarded
    }

    /// Row 6 as well: a guard that steps down removes pods under the scale-down rate, never below a floor, and in no
    /// rollout.
    pub(super) fn step_down(&self, trail: &mut Trail) -> Option<Ruling> {
        let StepDown::To(target, name) = self.guards.step_down() else { return None };
        if !self.wish.may_step_down || self.wish.rollout == Rollout::Progressing {
            return None;
        }
        let spec = self.spec();
        let floor = self.least().max(self.at_once()).max(self.wish.fallback_floor.unwrap_or(0));
        let rate = self.memory.changes.scale_down_limit(&self.policy.removal(), spec, self.now);
        let replicas = target.max(floor).max(rate);
        if replicas >= spec {
            return None;
        }
        let message =
            format!("{spec} → {replicas}: guard {name} steps down while its value is beyond its threshold");
        trail.note(StepName::Guard, spec, replicas, Reason::GuardStepDown, message.clone());
        Some(Ruling { replicas, reason: Reason::GuardStepDown, message })
    }
}
