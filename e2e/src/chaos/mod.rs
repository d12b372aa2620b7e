//! The operator under fire: from one number come a world, people, and faults of everything that the operator relies
//! on; the real operator lives through it in virtual time, and oracles that know nothing of its code judge what it did.

pub mod ahead;
pub mod budgets;
pub mod demand;
pub mod dice;
pub mod fault;
pub mod leases;
pub mod ledger;
pub mod metrics;
pub mod oracle;
mod people;
mod processes;
pub mod run;
pub mod scenario;
pub mod soak;
pub mod storm;
mod stream;
mod wire;

pub use run::{Outcome, run};
pub use scenario::Scenario;
