//! The disruption controller: how many pods of each budget may be evicted right now.

use serde_json::{Value, json};

use super::{Controllers, conditions};
use crate::apiserver::{Failure, Key, label_selector_matches, object};

impl Controllers {
    /// Brings a budget's status up to date.
    pub(super) fn sync_budget(&mut self, key: &Key) -> Result<(), Failure> {
        let Some(budget) = self.budgets.get(key).cloned() else { return Ok(()) };
        let budget = &budget.value;
        let selector = object::at(budget, &["spec", "selector"]).cloned().unwrap_or_default();
        let covered: Vec<_> = self
            .pods
            .in_namespace(&key.0)
            .filter(|pod| label_selector_matches(&selector, &pod.value))
            .collect();
        let healthy = covered
            .iter()
            .filter(|pod| conditions::is_true(&pod.value, "Ready") && !object::is_terminating(&pod.value))
            .count();
        let healthy = plimsoll::number::count_of(healthy);
        let mut owners: Vec<&str> = covered
            .iter()
            .filter_map(|pod| object::controller(&pod.value).map(|owner| object::text(owner, &["uid"])))
            .collect();
        owners.sort_unstable();
        owners.dedup();
        let expected: u32 = owners.iter().map(|uid| self.size_of(uid)).sum();
        let desired = desired_healthy(budget, expected);
        let status = json!({
            "observedGeneration": object::integer(budget, &["metadata", "generation"]).unwrap_or(0),
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": healthy.saturating_sub(desired),
        });
        if budget.get("status") == Some(&status) {
            return Ok(());
        }
        let mut changed = budget.clone();
        object::set(&mut changed, &["status"], status);
        self.budgets.collection().update_status(&key.0, changed)?;
        Ok(())
    }

    /// How many pods the workload `uid` is to have.
    fn size_of(&self, uid: &str) -> u32 {
        [&self.replica_sets, &self.stateful_sets]
            .into_iter()
            .find_map(|mirror| mirror.get(&mirror.by_uid(uid)?))
            .map_or(0, |workload| object::count(&workload.value, &["spec", "replicas"]))
    }
}

fn desired_healthy(budget: &Value, expected: u32) -> u32 {
    let share = |value: &Value| match value {
        Value::String(text) => {
            let percent = text.trim_end_matches('%').parse().unwrap_or(0);
            plimsoll::number::percent_rounded_up(expected, percent)
        }
        number => number.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
    };
    match (object::at(budget, &["spec", "minAvailable"]), object::at(budget, &["spec", "maxUnavailable"])) {
        (Some(least), _) => share(least),
        (None, Some(most)) => expected.saturating_sub(share(most)),
        (None, None) => 0,
    }
}
