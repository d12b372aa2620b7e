//! One budget's book: what is granted to whom, as persisted and as in force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claim::Workload;
use super::limit::LimitSeen;
use super::plan::Lending;
use crate::time::Time;

/// What a workload was granted, as the budget's status keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Connections.
    pub connections: u32,
    /// Since when it has been at least so many.
    pub since: Time,
    /// Since when what its pods reach beyond it is asked back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled: Option<Time>,
}

impl Grant {
    /// The same by the clock of this process: what another one's clock dated in the future is from now on, or a lease would
    /// last for as long as the two clocks differ.
    pub(super) fn dated_by(self, now: Time) -> Self {
        Self { since: self.since.min(now), recalled: self.recalled.map(|recalled| recalled.min(now)), ..self }
    }
}

/// How a workload stands with a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its pods reach no more than it was granted.
    Held,
    /// Its pods reach more than it was granted, and nobody needs it back.
    Short,
    /// Its pods reach more than it was granted: walked down until the deadline, then cut.
    Recalled {
        /// When the walk turns into a cut.
        deadline: Time,
    },
}

/// One budget's book.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) limit: LimitSeen,
    pub(super) lending: Lending,
    /// The grants as the API server has acknowledged them.
    pub(super) persisted: BTreeMap<Workload, Grant>,
    /// Grants sent to the API server whose outcome is not known; charged, and not used where they are larger.
    pub(super) unclear: Option<BTreeMap<Workload, Grant>>,
    /// From then on every write of a predecessor has landed or failed (rule 6).
    pub(super) settled: Time,
    /// A workload could not be looked at (rule 5).
    pub(super) unproven: bool,
}

impl Account {
    /// What may be used: the smaller of what is persisted and what was sent (rules 1 and 2).
    pub(super) fn usable(&self, workload: &Workload) -> u32 {
        let persisted = connections(&self.persisted, workload);
        self.unclear.as_ref().map_or(persisted, |sent| persisted.min(connections(sent, workload)))
    }

    /// What is charged: the larger of both.
    pub(super) fn granted(&self, workload: &Workload) -> u32 {
        let persisted = connections(&self.persisted, workload);
        self.unclear.as_ref().map_or(persisted, |sent| persisted.max(connections(sent, workload)))
    }

    /// Everybody who has a grant.
    pub(super) fn holders(&self) -> impl Iterator<Item = &Workload> {
        self.persisted.keys().chain(self.unclear.iter().flat_map(BTreeMap::keys))
    }
}

fn connections(grants: &BTreeMap<Workload, Grant>, workload: &Workload) -> u32 {
    grants.get(workload).map_or(0, |grant| grant.connections)
}
