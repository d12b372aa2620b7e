//! x

pub mod real;
