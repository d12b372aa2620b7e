//! The test bed: an API server double with the workloads that run on it, so that the operator meets in milliseconds
//! what it would meet in hours on a cluster; and real servers, so that what holds on the double is known to hold.

pub mod apiserver;
pub mod bed;
pub mod chaos;
pub mod clock;
pub mod cost;
pub mod demo;
pub mod gameday;
pub mod hot_row;
pub mod mutants;
pub mod orders;
pub mod plant;
pub mod random;
pub mod real;
pub mod reference;
