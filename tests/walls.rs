//! The wall between the rooms that think and the rooms that touch: what decides knows no network, no clock, no cluster.

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

use std::path::{Path, PathBuf};

/// Rooms that think. `number` and `time` are their tools.
const THINKING: [&str; 14] = [
    "src/api",
    "src/audit",
    "src/signal",
    "src/capacity",
    "src/ceiling",
    "src/control",
    "src/budget",
    "src/election",
    "src/forecast",
    "src/simulate",
    "src/report",
    "src/planning",
    "src/schedule",
    "src/number.rs",
    "src/time.rs",
];

/// What no thinking room may name, and why.
const FORBIDDEN: [(&str, &str); 18] = [
    ("crate::prometheus", "a room that touches"),
    ("crate::cluster", "a room that touches"),
    ("crate::operator", "a room that touches"),
    ("crate::telemetry", "a room that touches"),
    ("crate::cli", "a room that touches"),
    ("crate::{", "write one path a line, so that this test can read it"),
    ("tokio", "input and output"),
    ("futures", "input and output"),
    ("async ", "input and output"),
    ("reqwest", "input and output"),
    ("axum", "input and output"),
    ("std::fs", "input and output"),
    ("std::net", "input and output"),
    ("std::env", "input and output"),
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("::now()", "a clock"),
    ("rand::", "chance"),
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// Lines of code: comments left out, and what is only compiled for tests.
fn code(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = source.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn rooms_that_think_name_nothing_that_touches() {
    let mut breaches = Vec::new();
    let mut files = 0;
    for room in THINKING {
        for path in sources(Path::new(room)) {
            files += 1;
            let source = std::fs::read_to_string(&path).unwrap();
            for (line, text) in code(&source) {
                for (word, why) in FORBIDDEN {
                    if text.contains(word) {
                        breaches.push(format!("{}:{line}: {word} ({why})", path.display()));
                    }
                }
                // The types that users write are kube's to derive; a client is nobody's business here.
                let names_kube = text.contains("kube::") && !text.contains("kube::KubeSchema");
                if names_kube
                    && (!path.starts_with("src/api") || text.contains("Client") || text.contains("Api<"))
                {
                    breaches.push(format!("{}:{line}: kube", path.display()));
                }
            }
        }
    }
    assert!(files > 20, "only {files} files were read");
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn rooms_that_touch_leave_deciding_to_decide() {
    let mut breaches = Vec::new();
    let rooms = ["src/prometheus", "src/cluster", "src/operator", "src/inspect", "src/telemetry", "src/cli"];
    for room in rooms {
        for path in sources(Path::new(room)) {
            let source = std::fs::read_to_string(&path).unwrap();
            for (line, text) in code(&source) {
                for word in ["crate::ceiling", "crate::capacity::count", "crate::simulate"] {
                    // The command line hands a simulation its input and prints what comes of it.
                    let shown = word == "crate::simulate" && path.starts_with("src/cli");
                    if text.contains(word) && !shown {
                        breaches.push(format!("{}:{line}: {word}", path.display()));
                    }
                }
            }
        }
    }
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}
