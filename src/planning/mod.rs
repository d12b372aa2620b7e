//! What is worked out before anything runs: sizes, fits of measurements, what is wrong with a manifest, and policies from
//! other autoscalers' objects.

pub mod fit;
pub mod lint;
pub mod migrate;
pub mod plan;
pub mod windows;
