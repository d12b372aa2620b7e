//! The only room that speaks to Kubernetes: what is there, what is asked of it, and what is told about it. It decides
//! nothing.

mod authority;
mod budget;
mod call;
mod deleted;
mod departed;
mod event;
mod identity;
mod index;
mod lease;
mod live;
mod overrides;
mod pace;
mod pod;
mod policy;
mod preflight;
mod scale;
mod selector;
mod status;
mod status_rule;
mod status_write;
mod statuses;
mod survey;
#[cfg(test)]
pub(crate) mod testing;
mod view;
mod watch;
mod watched;
mod workload;

pub use authority::{Authority, Grant};
pub use budget::{BudgetRecord, list_budgets, selected_namespaces, write_budget_status};
pub use call::{ApiError, ApiErrorKind, Call, DEADLINE};
pub use event::{Events, Notice, Publisher};
pub use identity::{PolicyKey, TargetKey, Uid, hash, moment, timestamp};
pub use index::{Found, Index};
pub use lease::Leases;
pub use overrides::{EMERGENCY_MAX, FREEZE, overrides};
pub use policy::PolicyRecord;
pub use preflight::{Preflight, preflight};
pub use scale::{SCALE_MANAGER, ScaleSeen, Scales};
pub use status::{
    CHANGES, Report, activation, change, drain_times, earned_scalability, invalid_status, start_up_times,
};
pub use status_rule::{Occasion, Written};
pub use status_write::{STATUS_MANAGER, write_status};
pub use statuses::read_statuses;
pub use survey::{PolicySeen, Survey, find_policy, list_policies, objects, policy_events, survey, told_at};
pub use view::{Look, View, Viewer};
pub use watch::{WatchHealth, Watches};
