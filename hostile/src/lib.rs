//! What must hold whatever the bytes are: the bodies of the fuzz targets, which an ordinary test calls too.
//!
//! Each target takes bytes and panics when one of its promises is broken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise is told by a panic, as in tests"
)]

mod answer;
mod configuration;
mod decision;
pub mod mutation;
mod overrides;
mod policy;
mod promql;
mod world;

/// A kind of input and the promises that are kept for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of the fuzz target and of its corpus.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub check: fn(&[u8]),
    /// Words of the input's language, for mutations.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: [Target; 6] = [
    Target { name: "answer", check: answer::check, words: answer::WORDS },
    Target { name: "promql", check: promql::check, words: promql::WORDS },
    Target { name: "policy", check: policy::check, words: policy::WORDS },
    Target { name: "decision", check: decision::check, words: &[] },
    Target { name: "configuration", check: configuration::check, words: configuration::WORDS },
    Target { name: "overrides", check: overrides::check, words: overrides::WORDS },
];

/// Checks `bytes` by the promises of the target called `name`.
///
/// # Panics
///
/// If a promise is broken, or there is no such target.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target's name");
    (target.check)(bytes);
}
