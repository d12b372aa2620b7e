//! Each failure mode of the runbook can be practised, shows what its page says, and does no harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;

use e2e::gameday::{ALL, Gameday, Sign};
use e2e::real::helm::repository;

fn page(name: &str) -> String {
    let path = repository().join("docs/runbook").join(name).with_extension("md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn played(day: &Gameday) {
    let mut lines = Vec::new();
    let outcome = day.play(|line| lines.push(line.to_owned())).await.unwrap();
    let course = lines.join("\n");
    let unseen: Vec<String> =
        outcome.signs.iter().filter(|(_, seen)| !seen).map(|(sign, _)| sign.to_string()).collect();
    assert!(unseen.is_empty(), "{}: not seen: {}\n{course}", day.name, unseen.join("; "));
    assert!(outcome.broken.is_empty(), "{}: {}\n{course}", day.name, outcome.broken.join("; "));
}

macro_rules! days {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            played(Gameday::named($name).expect("a scenario")).await;
        })*

        #[test]
        fn every_scenario_is_played() {
            let names: Vec<_> = ALL.iter().map(|day| day.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

days! {
    flapping_is_detected_and_damped: "flapping",
    old_samples_remove_nothing: "metric-lag",
    pods_that_start_are_ordered_once: "cold-start",
    a_guard_holds_the_count: "downstream-saturation",
    connections_are_never_exceeded: "pool-exhaustion",
    many_services_shrink_in_steps: "scale-in-herd",
    few_pods_warm_up_at_a_time: "stampede",
    retries_are_not_fed_with_pods: "correlated-retries",
    a_smaller_database_is_walked_down_to: "database-at-its-ceiling",
    nothing_is_removed_without_a_metric: "metric-source-down",
}

#[test]
fn every_page_names_what_its_scenario_shows_and_how_to_practise_it() {
    for day in ALL {
        let page = page(day.name);
        assert!(page.contains(&format!("make gameday SCENARIO={}", day.name)), "{}", day.name);
        for heading in ["## Signature", "## What Plimsoll shows", "## What to do", "## Practise"] {
            assert!(page.contains(heading), "{}: {heading}", day.name);
        }
        for sign in day.shows {
            let words: Vec<&str> = match sign {
                Sign::Condition(kind, status, reason) => vec![kind, status, reason],
                Sign::Event(reason) => vec![reason],
                Sign::Metric(name, ..) => vec![name],
                Sign::Says(words) => vec![words.trim_start_matches("by ").split(' ').next().unwrap()],
            };
            for word in words {
                assert!(page.contains(word), "docs/runbook/{}.md does not name {word}: {sign}", day.name);
            }
        }
    }
}

#[test]
fn every_page_is_linked_and_every_alert_has_one() {
    let index = page("README");
    for day in ALL {
        assert!(index.contains(&format!("({}.md)", day.name)), "{}", day.name);
    }
    let alerts = fs::read_to_string(repository().join("charts/plimsoll/files/alerts.yaml")).unwrap();
    let pages: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: docs/runbook/")).collect();
    assert!(pages.len() > 15);
    for page in pages {
        assert!(repository().join("docs/runbook").join(page).exists(), "{page}");
    }
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let named = fs::read_dir(repository().join("docs/runbook"))
            .unwrap()
            .any(|page| fs::read_to_string(page.unwrap().path()).unwrap().contains(name));
        assert!(named, "no page of docs/runbook names {name}");
    }
}
