//! What users write and read: the types behind the custom resource definitions, their schema and their rules.

mod behavior;
mod budget;
mod capacity;
mod ceilings;
mod definition;
mod forecast;
mod guard;
mod metric;
mod policy;
mod quantity;
mod scalability;
mod schedule;
mod slo;
mod status;

pub use behavior::{Behavior, PolicyKind, ScalingPolicyRule, ScalingRules, SelectPolicy};
pub use budget::{
    BudgetLimit, ConnectionBudget, ConnectionBudgetSpec, ConnectionBudgetStatus, HolderStatus, InUse,
    LendingRules, OtherClients,
};
pub use capacity::{
    CalibratedHeadroom, CountOrPercentText, EmergencyMax, Fallback, FallbackBehavior, Frozen, Headroom,
    HeadroomEnforcement, LeadCompensation, Ramp, Smoothing, WarmUp, WarmUpSource,
};
pub use ceilings::{BudgetRef, Ceilings, ConnectionCeiling, ConnectionLimit, Enforcement, RolloutOverlap};
pub use definition::{definition_yaml, definitions};
pub use forecast::{Forecast, ForecastMode};
pub use guard::{Comparison, Guard, GuardAction, OnMissing};
pub use metric::{
    Absent, AveragedOver, Coverage, Freshness, Metric, MetricTolerance, PrometheusQuery, Role, Target,
    TargetKind, Warnings, Zero,
};
pub use policy::{Direction, Mode, ScaleTargetRef, ScalingPolicy, ScalingPolicySpec};
pub use quantity::{Quantity, QuantityError};
pub use scalability::{Objective, Saturation, ScalabilityCeiling, ScalabilityFit};
pub use schedule::Schedule;
pub use slo::{Slo, TargetPercent, WINDOW};
pub use status::{
    CeilingStatus, ChangeStatus, DecisionStatus, DeficitStatus, DrainStatus, FindingStatus,
    ForecastAccuracyStatus, ForecastPeakStatus, ForecastStatus, GuardStatus, HeadroomStatus, MetricStatus,
    PodCounts, ScalabilityStatus, ScalingPolicyStatus, ScheduleStatus, SloStatus, StartUpStatus, StepStatus,
    ZoneLossStatus,
};
