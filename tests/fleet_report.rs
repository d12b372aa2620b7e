//! Several policies that share a budget, as a person simulates them: the page, its charts, and tuning.

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

use std::path::PathBuf;
use std::process::{Command, Output};

const FLEET: [&str; 11] = [
    "simulate",
    "examples/shared-database.yaml",
    "--policy",
    "examples/shared-database-search.yaml",
    "--budget",
    "orders-db=300",
    "--load",
    "spike:base=150,peak=800,at=20m,for=30m,length=2h",
    "--load",
    "spike:base=450,peak=2400,at=35m,for=40m,length=2h",
    "--drain=5s",
];

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().unwrap()
}

#[track_caller]
fn prints(arguments: &[&str]) -> String {
    let output = plimsoll(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refuses(arguments: &[&str], words: &str) {
    let output = plimsoll(arguments);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && fault.contains(words), "{arguments:?}: {fault}");
}

#[test]
fn several_policies_are_tuned_together() {
    let loads = [
        "--load",
        "sine:low=150,high=800,noise=10%,period=30m,length=1h",
        "--load",
        "ramp:from=450,to=900,at=5m,over=40m,length=1h",
    ];
    let tuned = |budget: &'static str, tolerate: &'static str| {
        prints(&[&FLEET[..4], &["--budget", budget], &loads, &["--tune", "--tolerate", tolerate]].concat())
    };
    let text = tuned("orders-db=900", "0.5");
    println!("{text}");
    for words in [
        "all aim at",
        "missed %, the worst",
        "Of those that miss at most 0.500 % of each policy's requests the cheapest",
        "  reports, at ",
        "  search, at ",
        "behavior: {scaleDown: {stabilizationWindowSeconds: ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let held = tuned("orders-db=120", "0.1");
    assert!(held.contains("what a limit holds takes a larger budget"), "{held}");
}

#[test]
fn what_several_policies_cannot_be_compared_with_is_refused() {
    for with in ["oracle", "static=4", "examples/checkout.yaml", "kpa"] {
        refuses(&[&FLEET[..], &["--compare", with]].concat(), &format!("--compare {with}"));
    }
    refuses(
        &[&FLEET[..], &["--policy", "examples/shared-database-search.yaml", "--load", "trace:nasa"]].concat(),
        "two policies are called search",
    );
}

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

#[test]
fn a_report_has_a_section_for_each_policy_and_the_connections_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let (report, svg) = (folder.path().join("fleet.html"), folder.path().join("fleet.svg"));
    let files = ["--json", "--report", report.to_str().unwrap(), "--svg", svg.to_str().unwrap()];
    let json = prints(&[&FLEET[..], &["--compare", "hpa"], &files].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let html = std::fs::read_to_string(&report).unwrap();
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        let found = html.match_indices(outside).next();
        assert!(found.is_none(), "{outside}: {found:?}");
    }
    let drawn = std::fs::read_to_string(&svg).unwrap();
    for title in ["against the budget orders-db", "reports: Load and capacity", "search: Latency"] {
        assert!(drawn.contains(title), "{title}");
    }
    assert!(!html.contains("id=\"policy-0-connections\""), "what is shared has a chart of its own");
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium or Chrome in PATH, so the report was not opened");
        return;
    };
    let page = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", report.display()))
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    // The script has run: it says how many points the pointer can show, of both policies.
    let points: u32 =
        page.split("data-points=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert!(
        points >= 960,
        "two hours of evaluations every 15 s, twice, and those that a grant woke: {points}"
    );
    let card =
        |name: &str| page.split(&format!("data-card=\"{name}\">")).nth(1).unwrap().split('<').next().unwrap();
    let budget = &json["fleets"][0]["budgets"][0];
    assert_eq!(card("peak-connections"), format!("{} of 300", budget["peakConnections"]));
    assert_eq!(card("over-limit"), "0 s");
    for id in ["budget-0", "policy-0-load", "policy-1-replicas", "policy-1-course-1"] {
        assert_eq!(page.matches(&format!("<figure id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(page.contains("scaled by HPA v2") && page.contains("href=\"#policy-1\""));
}
