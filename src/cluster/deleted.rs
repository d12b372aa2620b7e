//! Policies that were deleted, or point elsewhere now: nothing else tells what the pods that they leave behind take of
//! connection budgets.

use std::collections::VecDeque;
use std::sync::Arc;

use super::identity::TargetKey;
use super::policy::PolicyRecord;

/// Kept at most; the oldest go first.
const MOST: usize = 1000;

/// The last policy that each workload without one had, where it drew on a budget.
#[derive(Debug, Default)]
pub(super) struct DeletedPolicies(VecDeque<Arc<PolicyRecord>>);

impl DeletedPolicies {
    pub(super) fn note(&mut self, record: Arc<PolicyRecord>) {
        let Some(target) = record.target.as_ref().filter(|_| record.budgets().next().is_some()) else {
            return;
        };
        self.forget(target);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(record);
    }

    pub(super) fn forget(&mut self, target: &TargetKey) {
        self.0.retain(|record| record.target.as_ref() != Some(target));
    }

    pub(super) fn of(&self, target: &TargetKey) -> Option<Arc<PolicyRecord>> {
        self.0.iter().find(|record| record.target.as_ref() == Some(target)).cloned()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<PolicyRecord>> {
        self.0.iter()
    }

    /// Keeps those of the workloads that are left.
    pub(super) fn retain(&mut self, is_left: impl Fn(&TargetKey) -> bool) {
        self.0.retain(|record| record.target.as_ref().is_some_and(&is_left));
    }
}
