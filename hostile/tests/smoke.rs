//! Every input of the corpora, and some thousands of small changes to them. The seed of the changes is printed; `SEED=…`
//! makes the same ones again, and `MUTANTS=…` makes more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hostile::mutation::{Random, mutant};
use hostile::{TARGETS, Target};

const MUTANTS: u64 = 3_000;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn directory(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target.name)
}

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(directory(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
}

fn holds(name: &str) {
    let target = target(name);
    let corpus = corpus(&target);
    assert!(corpus.len() >= 5, "the corpus of {name} is kept in fuzz/corpus/{name}");
    for (file, bytes) in &corpus {
        let checked = catch_unwind(|| (target.check)(bytes));
        assert!(checked.is_ok(), "{} breaks a promise", file.display());
    }
    let seed = number("SEED")
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos().into());
    println!("SEED={seed}");
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let mut random = Random::seeded(seed);
    for at in 0..number("MUTANTS").unwrap_or(MUTANTS) {
        let bytes = mutant(&mut random, &inputs, target.words);
        let checked = catch_unwind(AssertUnwindSafe(|| (target.check)(&bytes)));
        assert!(
            checked.is_ok(),
            "mutant {at} of SEED={seed} breaks a promise of {name}: {}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn answers_of_metrics_servers() {
    holds("answer");
}

#[test]
fn queries_confined_to_a_namespace() {
    holds("promql");
}

#[test]
fn specs_of_policies() {
    holds("policy");
}

#[test]
fn decisions_on_any_world() {
    holds("decision");
}

#[test]
fn configurations_and_kubeconfigs() {
    holds("configuration");
}

#[test]
fn annotations_for_emergencies() {
    holds("overrides");
}

#[test]
fn every_target_has_a_corpus_a_fuzz_target_and_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let names = |directory: &str| {
        let mut names: Vec<_> = fs::read_dir(root.join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let mut known: Vec<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    known.sort();
    assert_eq!(names("corpus"), known);
    assert_eq!(names("fuzz_targets"), known);
    for name in known {
        assert!(include_str!("smoke.rs").contains(&format!("holds(\"{name}\")")), "{name} has no test here");
    }
}
