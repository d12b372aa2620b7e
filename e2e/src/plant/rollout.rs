//! Rolling updates: new pods come and old ones go, within surge and unavailability.

use serde_json::Value;

use super::Controllers;
use super::deployment::{
    DESIRED, desired, max_surge, max_unavailable, replicas, revision, same_template, status_count,
};
use crate::apiserver::{Failure, Object, object};

/// A Deployment's ReplicaSets: the one for its present template, and the others, oldest first.
pub(super) struct Sets {
    pub(super) new: Option<Object>,
    pub(super) old: Vec<Object>,
}

impl Sets {
    pub(super) fn sort(deployment: &Value, mut owned: Vec<Object>) -> Self {
        owned.retain(|set| !object::is_terminating(&set.value));
        owned.sort_by_cached_key(|set| {
            let created = object::text(&set.value, &["metadata", "creationTimestamp"]).to_owned();
            (created, revision(set), object::name(&set.value).to_owned())
        });
        let new =
            owned.iter().position(|set| same_template(&set.value, deployment)).map(|at| owned.remove(at));
        Self { new, old: owned }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Object> {
        self.new.iter().chain(&self.old)
    }

    pub(super) fn available(&self) -> u32 {
        self.all().map(|set| status_count(set, "availableReplicas")).sum()
    }

    /// The revision of a ReplicaSet that is to be made.
    pub(super) fn next_revision(&self) -> u64 {
        self.old.iter().map(revision).max().unwrap_or(0).saturating_add(1)
    }

    /// The revision that the present ReplicaSet must have: newer than all others.
    pub(super) fn current_revision(&self) -> u64 {
        self.new.as_ref().map_or(0, revision).max(self.next_revision())
    }

    /// Whether the Deployment was resized since its ReplicaSets were sized.
    pub(super) fn is_resized(&self, deployment: &Value) -> bool {
        let wanted = desired(deployment).to_string();
        let differs =
            |set: &&Object| object::annotation(&set.value, DESIRED).is_some_and(|sized| sized != wanted);
        self.all().filter(|set| replicas(set) > 0).any(|set| differs(&set))
    }
}

impl Controllers {
    /// One step of a rolling update; true if something was written.
    pub(super) fn roll(&mut self, deployment: &Value, sets: &Sets) -> Result<bool, Failure> {
        let total: u32 = sets.all().map(replicas).sum();
        let room = desired(deployment).saturating_add(max_surge(deployment)).saturating_sub(total);
        let Some(new) = &sets.new else {
            self.create_set(deployment, sets, desired(deployment).min(room))?;
            return Ok(true);
        };
        if self.adopt_revision(deployment, sets, new)? {
            return Ok(true);
        }
        let size = replicas(new);
        let wanted = if size > desired(deployment) {
            desired(deployment)
        } else {
            size.saturating_add(room.min(desired(deployment).saturating_sub(size)))
        };
        if wanted != size {
            self.scale_set(deployment, new, wanted)?;
            return Ok(true);
        }
        self.shrink_old(deployment, sets, new)
    }

    /// Takes pods from old ReplicaSets: first those that do not serve, then as many as may be missing.
    fn shrink_old(&mut self, deployment: &Value, sets: &Sets, new: &Object) -> Result<bool, Failure> {
        let least = desired(deployment).saturating_sub(max_unavailable(deployment));
        let total: u32 = sets.all().map(replicas).sum();
        let unavailable = replicas(new).saturating_sub(status_count(new, "availableReplicas"));
        let mut budget = total.saturating_sub(least).saturating_sub(unavailable);
        if budget == 0 {
            return Ok(false);
        }
        let mut acted = false;
        let mut sizes: Vec<(&Object, u32)> = sets.old.iter().map(|set| (set, replicas(set))).collect();
        for (set, size) in &mut sizes {
            let broken = size.saturating_sub(status_count(set, "availableReplicas"));
            let step = broken.min(budget);
            (*size, budget) = (size.saturating_sub(step), budget.saturating_sub(step));
        }
        let mut surplus = sets.available().saturating_sub(least);
        for (_, size) in &mut sizes {
            let step = (*size).min(surplus);
            (*size, surplus) = (size.saturating_sub(step), surplus.saturating_sub(step));
        }
        for (set, size) in sizes.into_iter().filter(|(set, size)| replicas(set) != *size) {
            self.scale_set(deployment, set, size)?;
            acted = true;
        }
        Ok(acted)
    }

    /// Follows a changed count: the one active ReplicaSet takes it all, several share it by size.
    pub(super) fn resize(&mut self, deployment: &Value, sets: &Sets) -> Result<bool, Failure> {
        let active: Vec<&Object> = sets.all().filter(|set| replicas(set) > 0).collect();
        match active.as_slice() {
            [] => self.resize_idle(deployment, sets),
            [one] => self.resize_one(deployment, one, desired(deployment)),
            several => self.share(deployment, several),
        }
    }

    fn resize_idle(&mut self, deployment: &Value, sets: &Sets) -> Result<bool, Failure> {
        match sets.new.as_ref().or_else(|| sets.old.last()) {
            Some(set) => self.resize_one(deployment, set, desired(deployment)),
            None => Ok(false),
        }
    }

    fn resize_one(&mut self, deployment: &Value, set: &Object, count: u32) -> Result<bool, Failure> {
        let is_noted =
            object::annotation(&set.value, DESIRED) == Some(desired(deployment).to_string().as_str());
        if replicas(set) == count && is_noted {
            return Ok(false);
        }
        self.scale_set(deployment, set, count)?;
        Ok(true)
    }

    /// In the middle of a rollout every ReplicaSet gets its share of what is to be added or taken away.
    fn share(&mut self, deployment: &Value, sets: &[&Object]) -> Result<bool, Failure> {
        let total: u32 = sets.iter().map(|set| replicas(set)).sum();
        let allowed = desired(deployment).saturating_add(max_surge(deployment));
        let grows = allowed > total;
        let mut left = allowed.abs_diff(total);
        let mut by_size: Vec<&&Object> = sets.iter().collect();
        // The largest first; of equals, the newest when growing and the oldest when shrinking.
        by_size.sort_by_key(|set| std::cmp::Reverse(replicas(set)));
        if grows {
            by_size.sort_by_key(|set| (std::cmp::Reverse(replicas(set)), std::cmp::Reverse(revision(set))));
        }
        let mut sizes: Vec<(&Object, u32)> = Vec::new();
        for set in by_size {
            let share = proportion(replicas(set), deployment, set, allowed).min(left);
            left = left.saturating_sub(share);
            let size =
                if grows { replicas(set).saturating_add(share) } else { replicas(set).saturating_sub(share) };
            sizes.push((set, size));
        }
        if let Some((_, size)) = sizes.first_mut() {
            // What rounding left over goes to the largest.
            *size = if grows { size.saturating_add(left) } else { size.saturating_sub(left) };
        }
        for (set, size) in sizes {
            self.scale_set(deployment, set, size)?;
        }
        Ok(true)
    }
}

/// How many pods a ReplicaSet of `size` gains or loses when the most that may exist becomes `allowed`.
fn proportion(size: u32, deployment: &Value, set: &Object, allowed: u32) -> u32 {
    let sized_for = object::annotation(&set.value, "deployment.kubernetes.io/max-replicas");
    let before: u32 =
        sized_for.and_then(|text| text.parse().ok()).unwrap_or_else(|| desired(deployment)).max(1);
    let after = f64::from(size) * f64::from(allowed) / f64::from(before);
    plimsoll::number::floor_count(after.round()).abs_diff(size)
}
