//! Rules of the operator, each with a way to break it. `make mutants` breaks one after the other in a copy of the tree: a rule
//! whose absence nothing notices is not tested.

pub mod budgets;
pub mod operator;
pub mod scenarios;

/// A rule, and how to break it.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// The rule.
    pub rule: &'static str,
    /// The file that holds it.
    pub file: &'static str,
    /// Its text, which the file holds exactly once.
    pub text: &'static str,
    /// What takes its place.
    pub instead: &'static str,
}
