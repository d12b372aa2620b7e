//! The operator under fire, by seed, and what keeps that honest.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::thread::available_parallelism;

use e2e::chaos::soak::{Soak, report};
use e2e::chaos::{Scenario, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// So many seeds are run at each test; `make soak SEEDS=100000` runs more.
const SEEDS: u64 = 1000;

#[test]
fn a_thousand_seeds_end_without_a_violation_and_meet_every_fault() {
    let threads = available_parallelism().map_or(2, usize::from);
    let soak = Soak { first: 0, seeds: SEEDS, threads, most_failures: 5 };
    let summary = soak.run(|_, outcome| {
        if !outcome.violations.is_empty() {
            println!("{}", report(outcome));
        }
    });
    println!("{}", summary.table());
    if let Some(first) = summary.failures.first() {
        println!("what happened in seed {}:\n{}", first.seed, first.timeline);
    }
    assert!(summary.failures.is_empty(), "{} seeds with violations", summary.failures.len());
    assert_eq!(summary.missing(), Vec::<&str>::new(), "faults that never occurred");
}

#[test]
fn a_seed_comes_to_the_same_end_again() {
    // The runtime's own choice between things that are ready at the same instant is not the seed's.
    for seed in [1, 7, 31, 52, 150] {
        let (one, other) = (run(Scenario::draw(seed)), run(Scenario::draw(seed)));
        assert_eq!((one.violations, one.replicas), (other.violations, other.replicas), "seed {seed}");
    }
}

#[test]
fn without_faults_people_alone_bring_about_no_violation() {
    for seed in 0..40 {
        let outcome = run(Scenario::draw(seed).without_faults());
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}:\n{}", outcome.timeline);
    }
}
