//! The same decision without a cluster: a workload in virtual time.

mod course;
mod plant;

pub use course::{Course, Tick};
pub use plant::{Plant, PlantSettings};
