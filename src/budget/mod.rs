//! Several workloads, one database: who may open how many connections. The protocol and what it guarantees are written
//! down in `docs/design/connection-budgets.md`; the rules are numbered as there.

mod account;
mod claim;
mod fill;
mod held;
mod ledger;
mod limit;
mod plan;

pub use account::{Grant, Standing};
pub use claim::{Claim, Draw, Sight, Workload};
pub use fill::{Filling, fill};
pub use ledger::{Ledger, Outcome, Refused, Share};
pub use limit::{Figure, LimitSeen, LimitTracker, OnMissing};
pub use plan::{Lending, Plan, Shortage};

#[cfg(test)]
mod tests;
