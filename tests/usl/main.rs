//! The Universal Scalability Law: published fits reproduced, misleading measurements not believed, and online a ceiling
//! that in thousands of simulated workloads never lies below what is safe.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod degenerate;
mod online;
mod published;
mod world;
