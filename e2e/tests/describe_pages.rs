//! The pages in `docs/describe` show what the custom resource definition still has.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::path::Path;

use plimsoll::api::definitions;
use serde_json::Value;

/// The pages, each with a sentence that it is about.
const PAGES: [(&str, &str); 9] = [
    ("healthy", "9 replicas are kept, 2 of them headroom: rps needs "),
    ("at-its-ceiling", "needs 42, held at 2"),
    ("metric-gone", "9 replicas are kept, 2 of them headroom: no leading signal is fit to use: rps is "),
    ("rollout-under-way", "nothing is removed while a rollout is under way"),
    ("guard-active", "needs 20, held at 9 by guard db-cpu"),
    ("bottleneck-moved", "the bottleneck lies behind this workload"),
    ("scalability-not-ready", "no ceiling yet: range too narrow"),
    ("scalability-observed", "CeilingEarned"),
    ("scalability-enforced", "by the scalability ceiling (USL)"),
];

fn page(name: &str) -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/describe").join(name).with_extension("txt");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make docs`", path.display()))
}

fn schema() -> Value {
    let definition = serde_json::to_value(&definitions()[0]).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The path of each field in the sections Spec and Status, as `kubectl` prints fields.
fn fields(page: &str) -> Vec<Vec<String>> {
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut fields = Vec::new();
    let body =
        page.lines().skip_while(|line| *line != "Spec:").take_while(|line| !line.starts_with("Events:"));
    // A list of moments has a line for each, and no field in it.
    let is_field = |line: &&str| !line.trim_start().starts_with(|sign: char| sign.is_ascii_digit());
    for line in body.filter(is_field) {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} has no field"));
        let depth = name.len() - name.trim_start().len();
        path.retain(|(above, _)| *above < depth);
        path.push((depth, name.trim().to_owned()));
        fields.push(path.iter().map(|(_, name)| name.clone()).collect());
    }
    fields
}

/// `scaleTargetRef` as `kubectl describe` prints it, `Scale Target Ref`; a name with a digit stays as it is.
fn label(field: &str) -> String {
    let mut label = String::new();
    for letter in field.chars() {
        if letter.is_uppercase() && !label.is_empty() && !field.contains(|sign: char| sign.is_ascii_digit()) {
            label.push(' ');
        }
        if label.is_empty() && !field.contains(|sign: char| sign.is_ascii_digit()) {
            label.extend(letter.to_uppercase());
        } else {
            label.push(letter);
        }
    }
    label.replace("Api ", "API ")
}

fn has(schema: &Value, path: &[String]) -> bool {
    let [name, rest @ ..] = path else { return true };
    let schema = if schema["items"].is_object() { &schema["items"] } else { schema };
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten().any(|(field, below)| label(field) == *name && has(below, rest))
}

#[test]
fn every_field_on_a_page_exists() {
    let schema = schema();
    for (name, _) in PAGES {
        let fields = fields(&page(name));
        assert!(fields.len() > 100, "{name}: {}", fields.len());
        // A list of sentences has a line for each, and no field in it.
        let sentences = ["Status".to_owned(), "Advice".to_owned()];
        let is_sentence = |path: &&Vec<String>| path.len() > 2 && path.starts_with(&sentences);
        let unknown: Vec<_> =
            fields.iter().filter(|path| !is_sentence(path) && !has(&schema, path)).collect();
        assert!(unknown.is_empty(), "{name} shows {unknown:?}; run `make docs`");
    }
}

#[test]
fn every_page_is_about_what_it_says() {
    for (name, sentence) in PAGES {
        let page = page(name);
        // Each of these is told by a condition of its own.
        let kind = match name {
            "bottleneck-moved" => "BottleneckMoved",
            "scalability-not-ready" | "scalability-observed" => "ScalabilityFitted",
            _ => "Ready",
        };
        let is_it = format!("Type:                  {kind}\n");
        let told = page.split("Last Transition Time").find(|condition| condition.contains(&is_it));
        assert!(told.unwrap().contains(sentence), "{name}: {told:?}; run `make docs`");
    }
}

#[test]
fn the_page_about_a_budget_shows_fields_that_exist_and_who_holds_what() {
    let definition = serde_json::to_value(&definitions()[1]).unwrap();
    let schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let page = page("sharing-a-database");
    assert!(page.starts_with("$ kubectl get cb\n"), "{page}");
    let fields = fields(&page);
    let unknown: Vec<_> = fields.iter().filter(|path| !has(&schema, path)).collect();
    assert!(unknown.is_empty() && fields.len() > 40, "it shows {unknown:?}; run `make docs`");
    for told in
        ["Waits For:", "shop-beside/checkout holds ", "needs 42, held at ", "Recall Deadline Seconds:"]
    {
        assert!(page.contains(told), "{told:?} is not there; run `make docs`");
    }
}

#[test]
fn a_field_that_does_not_exist_is_noticed() {
    let page =
        "Spec:\n  Min Replicas:  1\n  Metrics:\n    Nmae:  rps\nStatus:\n  Min Replicas:  1\nEvents:\n";
    let schema = schema();
    let unknown: Vec<_> = fields(page).into_iter().filter(|path| !has(&schema, path)).collect();
    assert_eq!(unknown, [vec!["Spec", "Metrics", "Nmae"], vec!["Status", "Min Replicas"]]);
}
