//! Plimsoll scales a workload with its load, and never past what stands behind it can carry.
//!
//! Two kinds of rooms: those that think (`api`, `signal`, `capacity`, `ceiling`, `forecast`, `control`, `audit`, `election`) are pure and
//! know no clock and no network; those that touch (`prometheus`, `cluster`, `operator`, `inspect`, `telemetry`) decide nothing.

pub mod api;
pub mod audit;
pub mod budget;
pub mod capacity;
pub mod ceiling;
pub mod cli;
pub mod cluster;
pub mod control;
pub mod election;
pub mod forecast;
pub mod inspect;
pub mod number;
pub mod operator;
pub mod planning;
pub mod prometheus;
pub mod report;
pub mod schedule;
pub mod signal;
pub mod simulate;
pub mod telemetry;
pub mod time;
