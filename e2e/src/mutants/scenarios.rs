//! Rules of the whole operator that matter in a course which a thousand seeds seldom take, or that outlasts every storm. A
//! scenario takes it on purpose, and must notice the absence of the rule.

use super::Mutant;

/// The tests of `e2e` with such scenarios.
pub const TESTS: [&str; 2] = ["budgets", "operator"];

/// Each rule.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        rule: "watches that have been dead are not believed",
        file: "src/cluster/view.rs",
        text: "if let Some(blind) = self.health.blind() {",
        instead: "if let Some(blind) = self.health.blind().filter(String::is_empty) {",
    },
    Mutant {
        rule: "growth is entered in the books before it is sent",
        file: "src/operator/evaluation.rs",
        text: "if let Err(refused) = self.context.budgets.begin(&self.context.index, workload, to) {",
        instead: "if let Err(refused) = Err::<(), crate::budget::Refused>(crate::budget::Refused { budget: String::new(), \
                  reach: to.spec, granted: 0, excess: 0 }).or(Ok::<(), crate::budget::Refused>(())) {",
    },
    Mutant {
        rule: "raises rest on proof",
        file: "src/operator/budgets/arbiter.rs",
        text: "let all_seen = self.prove(budget).await;",
        instead: "let all_seen = true;",
    },
    Mutant {
        rule: "who could not be looked at is looked at again",
        file: "src/operator/budgets/arbiter.rs",
        text: "books.ledger.trust(name, true);",
        instead: "let _ = name;",
    },
    Mutant {
        rule: "a new leader waits for what its predecessor sent",
        file: "src/operator/budgets/observe.rs",
        text: "Lending::default(), self.began + SETTLE);",
        instead: "Lending::default(), self.began);",
    },
];
