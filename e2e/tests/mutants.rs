//! What keeps the table of rules that `make mutants` breaks up to date with the code.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;

use e2e::mutants::{budgets, operator, scenarios};

#[test]
fn every_rule_that_is_broken_for_a_check_is_found_exactly_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for mutant in [operator::MUTANTS, scenarios::MUTANTS, budgets::MUTANTS].concat() {
        let text = std::fs::read_to_string(root.join(mutant.file)).unwrap();
        assert_eq!(
            text.matches(mutant.text).count(),
            1,
            "{}: {} in {}",
            mutant.rule,
            mutant.text,
            mutant.file
        );
        assert_ne!(mutant.text, mutant.instead, "{}", mutant.rule);
    }
}
