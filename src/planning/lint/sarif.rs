//! Findings as SARIF 2.1.0, which code hosts show beside the lines.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Finding, Level};

/// Findings as SARIF 2.1.0.
pub fn sarif(findings: &[Finding]) -> Value {
    let rules: BTreeSet<_> = findings.iter().map(|finding| finding.rule).collect();
    let rules: Vec<_> = rules.into_iter().map(|rule| json!({"id": rule})).collect();
    let results: Vec<_> = findings
        .iter()
        .map(|finding| {
            let level = match finding.level {
                Level::Note => "note",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            json!({
                "ruleId": finding.rule,
                "level": level,
                "message": {"text": format!("{}: {}. Write: {}", finding.object, finding.why, finding.instead)},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": finding.file},
                    "region": {"startLine": finding.line},
                }}],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "plimsoll lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}
