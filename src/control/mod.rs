//! The decision: from signals to a count, with its explanation.

mod decide;
mod decision;
mod memory;
mod observation;
mod policy;
mod reason;

pub use decide::decide;
pub use decision::{
    CeilingReport, Condition, ConditionStatus, ConditionType, Decision, Limit, SignalReport, StartUp, Step, StepName,
};
pub use memory::Memory;
pub use observation::{
    CountOrPercent, Departed, Observation, Override, Overrides, Pod, PodId, Rival, Rollout, Target, TargetFault,
    TargetFaultKind, UpdateStrategy, Workload,
};
pub use policy::{
    Compat, Connections, Fallback, Held, MaxConcurrent, Policy, PolicyError, Rate, Rules, Scalability, Signal, WarmUp,
};
pub use reason::Reason;
