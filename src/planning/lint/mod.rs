//! What is wrong with policies and workloads before they run: why it matters, and what to write.

mod policy;
mod sarif;
mod workload;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{ConnectionBudget, ScalingPolicy};
use crate::audit::Flaw;

pub use crate::audit::Level;
pub use sarif::sarif;

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Name of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The object: kind and name.
    pub object: String,
    /// What is so, and why it matters.
    pub why: String,
    /// What to write.
    pub instead: String,
}

/// A file to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What it is called.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// One document of a file.
#[derive(Debug)]
struct Document<T> {
    file: String,
    /// The line that it begins with.
    first_line: u32,
    text: String,
    name: String,
    object: T,
}

impl<T> Document<T> {
    /// A finding about it, at the first line that says `anchor`, else where the document begins.
    fn finding(
        &self,
        rule: &'static str,
        level: Level,
        anchor: &str,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) -> Finding {
        let at =
            (0_u32..).zip(self.text.lines()).find(|(_, line)| !anchor.is_empty() && line.contains(anchor));
        Finding {
            rule,
            level,
            file: self.file.clone(),
            line: self.first_line.saturating_add(at.map_or(0, |(offset, _)| offset)),
            object: self.name.clone(),
            why: why.into(),
            instead: instead.into(),
        }
    }

    fn flaw(&self, flaw: &Flaw) -> Finding {
        self.finding(flaw.rule(), flaw.level(), &flaw.anchor(), flaw.why(), flaw.instead())
    }
}

/// Everything that was handed in, by kind.
#[derive(Debug, Default)]
struct World {
    policies: Vec<Document<ScalingPolicy>>,
    budgets: Vec<Document<ConnectionBudget>>,
    deployments: Vec<Document<Deployment>>,
    stateful_sets: Vec<Document<StatefulSet>>,
    disruption_budgets: Vec<Document<PodDisruptionBudget>>,
    services: Vec<Document<Service>>,
    autoscalers: Vec<Document<HorizontalPodAutoscaler>>,
    scaled_objects: Vec<Document<Value>>,
    findings: Vec<Finding>,
    read: u32,
}

/// Looks at files together, so that a policy is seen with its workload. What else a file holds is passed over.
pub fn lint(files: &[File]) -> Vec<Finding> {
    let mut world = World::default();
    for file in files {
        world.take(file);
    }
    policy::look(&mut world);
    workload::look(&mut world);
    let mut findings = world.findings;
    if world.read == 0 && findings.is_empty() {
        findings.push(Finding {
            rule: "nothing-to-lint",
            level: Level::Error,
            file: files.first().map_or_else(String::new, |file| file.name.clone()),
            line: 1,
            object: String::new(),
            why: "there is neither a policy nor a workload in these files".to_owned(),
            instead: "name files with a ScalingPolicy, ConnectionBudget, Deployment or StatefulSet"
                .to_owned(),
        });
    }
    findings.sort_by(|a, b| (&a.file, a.line, b.level, a.rule).cmp(&(&b.file, b.line, a.level, b.rule)));
    findings
}

impl World {
    fn take(&mut self, file: &File) {
        for (first_line, text) in documents(&file.text) {
            match serde_saphyr::from_str::<Value>(&text) {
                Ok(parsed) => self.take_document(file, first_line, text, &parsed),
                Err(error) => self.findings.push(unreadable(file, first_line, "", &error.to_string())),
            }
        }
    }

    fn take_document(&mut self, file: &File, first_line: u32, text: String, parsed: &Value) {
        if let Some(items) = parsed.get("items").and_then(Value::as_array) {
            // What kubectl prints of several objects. JSON is YAML.
            for item in items {
                self.take_document(file, first_line, item.to_string(), item);
            }
            return;
        }
        let word =
            |pointer: &str| parsed.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, name) = (word("/kind"), word("/metadata/name"));
        let place = Place { file, first_line, text, name: format!("{kind} {name}") };
        let findings = &mut self.findings;
        let known = match kind.as_str() {
            "ScalingPolicy" => place.read(&mut self.policies, findings),
            "ConnectionBudget" => place.read(&mut self.budgets, findings),
            "Deployment" => place.read(&mut self.deployments, findings),
            "StatefulSet" => place.read(&mut self.stateful_sets, findings),
            "PodDisruptionBudget" => place.read(&mut self.disruption_budgets, findings),
            "Service" => place.read(&mut self.services, findings),
            "HorizontalPodAutoscaler" => place.read(&mut self.autoscalers, findings),
            "ScaledObject" => place.read(&mut self.scaled_objects, findings),
            _ => false,
        };
        self.read += u32::from(known);
    }
}

struct Place<'a> {
    file: &'a File,
    first_line: u32,
    text: String,
    name: String,
}

impl Place<'_> {
    /// Reads the document as what it says it is; the first line of a fault is enough, what follows quotes the file.
    fn read<T: DeserializeOwned>(self, into: &mut Vec<Document<T>>, findings: &mut Vec<Finding>) -> bool {
        match serde_saphyr::from_str(&self.text) {
            Ok(object) => into.push(Document {
                file: self.file.name.clone(),
                first_line: self.first_line,
                text: self.text,
                name: self.name,
                object,
            }),
            Err(error) => {
                findings.push(unreadable(self.file, self.first_line, &self.name, &error.to_string()));
            }
        }
        true
    }
}

fn unreadable(file: &File, line: u32, object: &str, error: &str) -> Finding {
    Finding {
        rule: "unreadable",
        level: Level::Error,
        file: file.name.clone(),
        line,
        object: object.trim().to_owned(),
        why: format!("the API server would refuse it: {}", error.lines().next().unwrap_or_default()),
        instead: "compare the field's name and type with the documentation of its kind".to_owned(),
    }
}

/// The documents of a YAML file that hold something, each with the line that it begins with.
fn documents(text: &str) -> Vec<(u32, String)> {
    let mut documents = vec![(1_u32, String::new())];
    for (number, line) in (1_u32..).zip(text.lines()) {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push((number.saturating_add(1), String::new()));
        } else if let Some((_, last)) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let holds =
        |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    documents.retain(|(_, text)| holds(text));
    documents
}

/// Findings as a terminal shows them.
pub fn text(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let object = if finding.object.is_empty() { String::new() } else { format!("{}: ", finding.object) };
        format!(
            "{}:{}: {} [{}] {object}{}\n    → {}\n",
            finding.file, finding.line, finding.level, finding.rule, finding.why, finding.instead
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests;
