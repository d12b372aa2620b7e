//! The docs are current: generated pages, links, commands and manifests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use e2e::real::helm::repository;
use plimsoll::api::{ConnectionBudget, ScalingPolicy};
use plimsoll::cli::Arguments;
use regex::Regex;
use serde_json::Value;

/// What a block says of itself where no machine without Docker, a cluster or somebody's own names can run it.
const NOT_RUN: [&str; 3] = ["# needs Docker", "# needs a cluster", "# with your own names"];

fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    let mut directories = vec![repository().join("docs")];
    for page in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "e2e/README.md"] {
        pages.push(repository().join(page));
    }
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Fenced blocks of a page, with what they are written in.
fn blocks(page: &str) -> Vec<(String, String)> {
    let fenced = Regex::new(r"(?ms)^```(\w*)\n(.*?)^```$").unwrap();
    fenced.captures_iter(page).map(|block| (block[1].to_owned(), block[2].to_owned())).collect()
}

#[test]
fn the_field_reference_is_what_the_types_say() {
    let written = fs::read_to_string(repository().join("docs/reference.md")).unwrap();
    assert!(written == e2e::reference::page(), "docs/reference.md is not current: run `make reference`");
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    for (path, page) in pages() {
        for found in link.captures_iter(&page) {
            let target = found[1].split('#').next().unwrap().to_owned();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let target: PathBuf = path.parent().unwrap_or_else(|| Path::new("")).join(&target);
            assert!(target.exists(), "{}: {}", path.display(), &found[1]);
        }
    }
}

#[test]
fn every_make_target_in_the_docs_exists() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let defined = Regex::new(r"(?m)^([a-z][a-z0-9-]*):").unwrap();
    let defined: BTreeSet<String> = defined.captures_iter(&makefile).map(|one| one[1].to_owned()).collect();
    let named = Regex::new(r"(?m)(?:^\s{4}|`|^)make ([a-z][a-z0-9-]*)").unwrap();
    for (path, page) in pages() {
        for found in named.captures_iter(&page) {
            assert!(defined.contains(&found[1]), "{}: make {}", path.display(), &found[1]);
        }
    }
}

#[test]
fn every_manifest_in_the_docs_is_one_that_the_operator_reads() {
    let mut read = 0;
    for (path, page) in pages() {
        for (_, text) in blocks(&page).into_iter().filter(|(language, _)| language == "yaml") {
            for document in text.split("\n---\n").filter(|one| one.contains("plimsoll.dev/v1alpha1")) {
                let object: Value = serde_saphyr::from_str(document).unwrap();
                let fault = match object["kind"].as_str().unwrap() {
                    "ScalingPolicy" => serde_json::from_value::<ScalingPolicy>(object).err(),
                    "ConnectionBudget" => serde_json::from_value::<ConnectionBudget>(object).err(),
                    kind => panic!("{}: {kind}", path.display()),
                };
                assert!(fault.is_none(), "{}: {fault:?}\n{document}", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 3, "{read} manifests");
}

#[test]
fn every_plimsoll_command_in_the_docs_is_one_that_the_program_takes() {
    let mut read = 0;
    Arguments::command().debug_assert();
    for (path, page) in pages() {
        let indented = page.lines().filter_map(|line| line.strip_prefix("    "));
        let fenced: Vec<String> = blocks(&page)
            .into_iter()
            .filter(|(language, _)| ["sh", "bash", "console"].contains(&language.as_str()))
            .map(|(_, text)| text)
            .collect();
        let commands = indented.chain(fenced.iter().flat_map(|text| text.lines())).map(str::trim);
        for command in commands.filter(|line| line.starts_with("plimsoll ") && !line.ends_with('\\')) {
            let command = command.split(" | ").next().unwrap().split(" > ").next().unwrap();
            let command = command.split("   #").next().unwrap().split(" 2>").next().unwrap();
            if command.contains('…') || command.contains("--help") || command.contains(" $(") {
                continue;
            }
            let words = command.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
            let taken = Arguments::try_parse_from(words);
            assert!(taken.is_ok(), "{}: {command}\n{}", path.display(), taken.err().unwrap());
            read += 1;
        }
    }
    assert!(read > 8, "{read} commands");
}

#[test]
fn every_block_of_commands_says_what_it_needs() {
    for name in ["quick-start", "tutorial", "migration", "kind"] {
        let path = repository().join("docs").join(name).with_extension("md");
        let page = fs::read_to_string(&path).unwrap();
        let shells: Vec<_> = blocks(&page).into_iter().filter(|(language, _)| language == "sh").collect();
        assert!(!shells.is_empty(), "{name}");
        for (_, text) in shells {
            let runs_anywhere = text.lines().all(|line| {
                line.is_empty()
                    || line.starts_with('#')
                    || line.starts_with("make ")
                    || line.starts_with("plimsoll ")
                    || line.starts_with("cargo ")
            });
            assert!(
                runs_anywhere || NOT_RUN.iter().any(|mark| text.starts_with(mark)),
                "{name}: begin with one of {NOT_RUN:?}:\n{text}"
            );
        }
    }
}
