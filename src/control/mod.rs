//! The decision: from signals to a count, with its explanation.

mod advice;
mod compile;
mod conditions;
mod decide;
mod decision;
mod deficit;
mod demand;
mod diagnosis;
mod floor;
mod forecasts;
mod guard;
mod headroom;
mod history;
mod limits;
mod memory;
mod net;
mod observation;
mod overwritten;
mod policy;
mod rate;
mod reason;
mod scalability;
mod scale_in;
mod schedules;
mod settle;
mod slo;
mod stabilization;
mod trail;
mod trend;
mod window;
mod zones;

pub use decide::decide;
pub use decision::{
    CeilingReport, Condition, ConditionStatus, ConditionType, Decision, Drain, Footprint, Limit,
    ScalabilityReport, SignalReport, StartUp, Step, StepName,
};
pub use deficit::Deficit;
pub use forecasts::{ForecastPhase, ForecastReport, Forecasting, Foreseen};
pub use guard::{Activation, GuardReport, GuardState};
pub use headroom::{CalibratedHeadroom, HeadroomReport};
pub use history::{Change, History, PastCounts, Recollection};
pub use memory::Memory;
pub use observation::{
    BudgetShare, CountOrPercent, Departed, Lesson, Observation, Override, Overrides, Pod, PodId, Recall,
    Rival, Rollout, ScalabilitySample, ScalabilityView, Target, TargetFault, TargetFaultKind, UpdateStrategy,
    Workload,
};
pub use policy::{
    Compat, ConnectionSource, Connections, Fallback, FitRules, Guard, Held, LeadCompensation, MaxConcurrent,
    Policy, PolicyError, Rate, Rules, Scalability, ScalabilityLaw, Signal, WarmUp,
};
pub use reason::Reason;
pub use scalability::RecalledScalability;
pub(crate) use scalability::significant;
pub use schedules::ScheduleReport;
pub use slo::{BURN_WINDOWS, Slo, SloReport, SloState};
pub use trail::spelled;
pub use zones::ZoneLossReport;

/// A moment as people and machines read it, RFC 3339 to the second.
pub(crate) fn moment(time: crate::time::Time) -> String {
    jiff::Timestamp::from_second(time.millis().div_euclid(1000))
        .map_or_else(|_| "never".to_owned(), |at| at.to_string())
}
