//! Reading what users hand in, and writing what they get.

use std::io::{self, Read as _, Write};
use std::path::Path;

use serde::Deserialize;

use crate::api::ScalingPolicy;
use crate::control::Policy;

/// No file that is read is larger: it would not be what it is taken for.
const LARGEST: u64 = 256 << 20;

/// Reads a text file; `-` is standard input.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    let name = path.display();
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(LARGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text))
    };
    match read {
        // What spreadsheets put in front of a text says how it is encoded, and is no part of it.
        Ok(_) => Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        Err(error) if path.as_os_str().is_empty() => {
            Err(format!("a file without a name cannot be read: {error}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("there is no file {name}")),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(format!("{name} is not a text file")),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}

/// Writes a file in full or not at all.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Prints; a reader who has seen enough, as with `| head`, is no fault.
pub(super) fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout();
    // The last line of a drawing has no end that would flush it.
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("the result cannot be printed: {error}")),
    }
}

/// What kind of object a document is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kind {
    #[serde(default)]
    pub(super) kind: String,
}

/// The documents of a YAML file, each with its kind; empty ones left out.
pub(super) fn documents(text: &str) -> impl Iterator<Item = (String, Kind)> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    let blank =
        |text: &str| text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    documents.into_iter().filter(move |text| !blank(text)).map(|text| {
        let kind = serde_saphyr::from_str(&text).unwrap_or_default();
        (text, kind)
    })
}

/// Reads the one ScalingPolicy of a file.
pub(super) fn read_policy(path: &Path) -> Result<(ScalingPolicy, Policy), String> {
    let name = path.display().to_string();
    policy_of(&read_text(path)?).map_err(|fault| format!("{name}: {fault}"))
}

/// A number on the command line.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is not a number: write for example 250 or 0.5"))
}

/// The one ScalingPolicy of a text.
pub(super) fn policy_of(text: &str) -> Result<(ScalingPolicy, Policy), String> {
    let mut kinds = Vec::new();
    let mut policies = Vec::new();
    for (text, kind) in documents(text) {
        if kind.kind == "ScalingPolicy" {
            policies.push(text);
        } else {
            if kind.kind.is_empty() {
                serde_saphyr::from_str::<serde_json::Value>(&text)
                    .map_err(|error| format!("it is no YAML: {error}"))?;
            }
            kinds.push(if kind.kind.is_empty() { "a document without kind".to_owned() } else { kind.kind });
        }
    }
    let text = match policies.as_slice() {
        [one] => one,
        [] if kinds.is_empty() => return Err("the file is empty: write a ScalingPolicy".to_owned()),
        [] => return Err(format!("there is no ScalingPolicy, only {}", kinds.join(", "))),
        many => return Err(format!("there are {} policies: write one a file", many.len())),
    };
    let object: ScalingPolicy =
        serde_saphyr::from_str(text).map_err(|error| format!("the policy cannot be read: {error}"))?;
    let policy = Policy::compile(&object.spec).map_err(|error| error.to_string())?;
    Ok((object, policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "apiVersion: plimsoll.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: a}\nspec: {scaleTargetRef: {name: a}, maxReplicas: 5, metrics: [{name: rps, prometheus: {query: a}, target: {type: AverageValue, averageValue: 9}}]}\n";

    #[test]
    fn one_policy_is_found_among_other_documents() {
        let text = format!("# mine\n---\nkind: Deployment\n---\n{VALID}---\n");
        assert_eq!(policy_of(&text).unwrap().1.max, 5);
    }

    #[test]
    fn a_file_without_a_usable_policy_is_refused_with_what_is_wrong() {
        for (text, words) in [
            (String::new(), "the file is empty"),
            (
                "kind: Deployment\n---\na: 1\n".to_owned(),
                "no ScalingPolicy, only Deployment, a document without kind",
            ),
            (format!("{VALID}---\n{VALID}"), "there are 2 policies"),
            (VALID.replace("maxReplicas: 5", "maxReplica: 5"), "maxReplica"),
            (VALID.replace("maxReplicas: 5", "maxReplicas: 0"), "maxReplicas is 0"),
            (VALID.replace("averageValue: 9", "averageValue: 0"), "above 0"),
        ] {
            let fault = policy_of(&text).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
        let fault = read_policy(Path::new("/does/not/exist.yaml")).unwrap_err();
        assert_eq!(fault, "there is no file /does/not/exist.yaml");
    }
}
