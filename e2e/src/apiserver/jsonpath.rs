//! The part of JSONPath that printer columns use: fields, indices, `[*]` and filters on one field.

use serde_json::Value;

/// A compiled path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    Each,
    /// `[?(@.path=="value")]`
    Where {
        path: Vec<String>,
        equal: bool,
        value: String,
    },
}

impl JsonPath {
    /// Reads paths such as `.status.conditions[?(@.type=="Ready")].status`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        while !rest.is_empty() {
            let (step, left) = match rest.strip_prefix('[') {
                Some(inner) => bracket(inner, text)?,
                None => field(rest.strip_prefix('.').unwrap_or(rest)),
            };
            steps.extend(step);
            rest = left;
        }
        Ok(Self(steps))
    }

    /// The values that the path finds.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.0
            .iter()
            .fold(vec![value], |found, step| found.into_iter().flat_map(|value| step.find(value)).collect())
    }
}

impl Step {
    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let index = match usize::try_from(*index) {
                    Ok(index) => Some(index),
                    Err(_) => {
                        usize::try_from(index.unsigned_abs()).ok().and_then(|i| entries.len().checked_sub(i))
                    }
                };
                index.and_then(|index| entries.get(index)).into_iter().collect()
            }
            Self::Each => match value {
                Value::Array(entries) => entries.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where { path, equal, value: wanted } => {
                let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let holds = |entry: &&Value| {
                    let found = path.iter().try_fold(*entry, |value, step| value.get(step));
                    let found =
                        found.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                    found.is_some_and(|found| (found == *wanted) == *equal)
                };
                entries.iter().filter(holds).collect()
            }
        }
    }
}

fn field(rest: &str) -> (Option<Step>, &str) {
    let mut name = String::new();
    let mut letters = rest.char_indices();
    let mut left = "";
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' => {
                left = rest.get(at..).unwrap_or_default();
                break;
            }
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            letter => name.push(letter),
        }
    }
    let step = match name.as_str() {
        "" => None,
        "*" => Some(Step::Each),
        _ => Some(Step::Field(name)),
    };
    (step, left)
}

fn bracket<'a>(inner: &'a str, whole: &str) -> Result<(Option<Step>, &'a str), String> {
    let unclosed = || format!("unterminated array in {whole:?}");
    if let Some(filter) = inner.strip_prefix("?(") {
        let (condition, left) = filter.split_once(")]").ok_or_else(unclosed)?;
        return Ok((Some(filter_step(condition, whole)?), left));
    }
    let (content, left) = inner.split_once(']').ok_or_else(unclosed)?;
    let step = match content.trim() {
        "*" => Step::Each,
        quoted if quoted.starts_with(['\'', '"']) => Step::Field(unquoted(quoted).to_owned()),
        number => {
            Step::Index(number.parse().map_err(|_| format!("invalid array index {number} in {whole:?}"))?)
        }
    };
    Ok((Some(step), left))
}

fn filter_step(condition: &str, whole: &str) -> Result<Step, String> {
    let (left, right, equal) = match (condition.split_once("=="), condition.split_once("!=")) {
        (Some((left, right)), _) => (left, right, true),
        (None, Some((left, right))) => (left, right, false),
        (None, None) => return Err(format!("unsupported filter {condition:?} in {whole:?}")),
    };
    let path = left.trim().trim_start_matches('@');
    Ok(Step::Where {
        path: path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect(),
        equal,
        value: unquoted(right.trim()).to_owned(),
    })
}

fn unquoted(text: &str) -> &str {
    text.trim_matches(['\'', '"'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns_find_their_values() {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"replicas": 3, "ports": [{"port": 80}, {"port": 443}]},
            "status": {"conditions": [{"type": "Live", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, found) in [
            (".spec.replicas", vec![json!(3)]),
            ("{.spec.replicas}", vec![json!(3)]),
            (".spec.ports[*].port", vec![json!(80), json!(443)]),
            (".spec.ports[-1].port", vec![json!(443)]),
            (".spec.ports[5].port", vec![]),
            (".status.conditions[?(@.type==\"Ready\")].status", vec![json!("True")]),
            (".status.conditions[?(@.type!='Ready')].type", vec![json!("Live")]),
            (".metadata.labels.app\\.kubernetes\\.io/name", vec![json!("web")]),
            (".metadata.labels['app.kubernetes.io/name']", vec![json!("web")]),
            (".spec.none.deep", vec![]),
        ] {
            let parsed = JsonPath::parse(path).unwrap();
            assert_eq!(parsed.find(&object).into_iter().cloned().collect::<Vec<_>>(), found, "{path}");
        }
        for broken in [".a[", ".a[x]", ".a[?(@.b>1)]"] {
            assert!(JsonPath::parse(broken).is_err(), "{broken}");
        }
    }
}
