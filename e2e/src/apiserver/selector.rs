//! Label and field selectors.

use serde_json::Value;

use super::object;
use super::status::Failure;

/// Which objects a list or watch wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    NotIn(Vec<String>),
}

#[derive(Clone, Debug)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads the two query parameters; `selectable` lists the field labels that the kind knows beside name and
    /// namespace.
    pub(crate) fn parse(labels: &str, fields: &str, selectable: &[String]) -> Result<Self, Failure> {
        Ok(Self { labels: parse_labels(labels)?, fields: parse_fields(fields, selectable)? })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether `object`, as stored, is wanted.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|requirement| requirement.matches(object))
            && self.fields.iter().all(|requirement| requirement.matches(object))
    }
}

/// Whether `object`'s labels match a `LabelSelector` (matchLabels and matchExpressions); an empty one matches all.
pub(crate) fn label_selector_matches(selector: &Value, object: &Value) -> bool {
    label_requirements(selector).iter().all(|requirement| requirement.matches(object))
}

/// A `LabelSelector` in the form of a query parameter, as `status.selector` of a Scale shows it.
pub(crate) fn label_selector_text(selector: &Value) -> String {
    let mut requirements = label_requirements(selector);
    requirements.sort_by(|a, b| a.key.cmp(&b.key));
    let one_of = |requirement: &Requirement| match &requirement.operator {
        Operator::Exists => requirement.key.clone(),
        Operator::DoesNotExist => format!("!{}", requirement.key),
        Operator::In(values) => match values.as_slice() {
            [value] => format!("{}={value}", requirement.key),
            values => format!("{} in ({})", requirement.key, values.join(",")),
        },
        Operator::NotIn(values) => format!("{} notin ({})", requirement.key, values.join(",")),
    };
    requirements.iter().map(one_of).collect::<Vec<_>>().join(",")
}

fn label_requirements(selector: &Value) -> Vec<Requirement> {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let equalities = labels.map(|(key, value)| Requirement {
        key: key.clone(),
        operator: Operator::In(vec![value.as_str().unwrap_or_default().to_owned()]),
    });
    let expressions = object::list(selector, &["matchExpressions"]).iter().map(|expression| {
        let mut values: Vec<String> = object::list(expression, &["values"])
            .iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect();
        values.sort();
        let operator = match object::text(expression, &["operator"]) {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            _ => Operator::DoesNotExist,
        };
        Requirement { key: object::text(expression, &["key"]).to_owned(), operator }
    });
    equalities.chain(expressions).collect()
}

impl Requirement {
    fn matches(&self, object: &Value) -> bool {
        let value = object::label(object, &self.key);
        let is_among = |values: &[String]| value.is_some_and(|value| values.iter().any(|v| v == value));
        match &self.operator {
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::In(values) => is_among(values),
            Operator::NotIn(values) => !is_among(values),
        }
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Value) -> bool {
        let path: Vec<&str> = self.path.split('.').collect();
        let found = match object::at(object, &path) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        (found == self.value) == self.equal
    }
}

fn parse_fields(text: &str, selectable: &[String]) -> Result<Vec<FieldRequirement>, Failure> {
    text.split(',').filter(|term| !term.is_empty()).map(|term| parse_field(term, selectable)).collect()
}

fn parse_field(term: &str, selectable: &[String]) -> Result<FieldRequirement, Failure> {
    let parts = [("!=", false), ("==", true), ("=", true)]
        .into_iter()
        .find_map(|(operator, equal)| term.split_once(operator).map(|(path, value)| (path, value, equal)));
    let Some((path, value, equal)) = parts else {
        return Err(Failure::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")));
    };
    let known =
        matches!(path, "metadata.name" | "metadata.namespace") || selectable.iter().any(|s| s == path);
    if !known {
        return Err(Failure::bad_request(format!("field label not supported: {path}")));
    }
    Ok(FieldRequirement { path: path.to_owned(), value: value.to_owned(), equal })
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, Failure> {
    let tokens = tokens(text);
    let mut parser = LabelParser { tokens: tokens.iter().map(String::as_str).collect(), next: 0 };
    let mut requirements = Vec::new();
    while parser.peek().is_some() {
        requirements.push(parser.requirement()?);
        match parser.take() {
            None => break,
            Some(",") => {}
            Some(other) => return Err(unparsable(other, "',' or 'end of string'")),
        }
    }
    Ok(requirements)
}

fn unparsable(found: &str, expected: &str) -> Failure {
    Failure::bad_request(format!("unable to parse requirement: found '{found}', expected: {expected}"))
}

/// Words, and the signs `( ) , ! = == !=`.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let is_sign = matches!(letter, '(' | ')' | ',' | '!' | '=');
        if !is_sign && !letter.is_whitespace() {
            word.push(letter);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if is_sign {
            let doubled = matches!(letter, '!' | '=') && letters.next_if_eq(&'=').is_some();
            tokens.push(if doubled { format!("{letter}=") } else { letter.to_string() });
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

struct LabelParser<'a> {
    tokens: Vec<&'a str>,
    next: usize,
}

impl<'a> LabelParser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        let token = self.peek();
        self.next = self.next.saturating_add(1);
        token
    }

    fn requirement(&mut self) -> Result<Requirement, Failure> {
        if self.peek() == Some("!") {
            self.take();
            return Ok(Requirement { key: self.word()?.to_owned(), operator: Operator::DoesNotExist });
        }
        let key = self.word()?.to_owned();
        let operator = match self.peek() {
            None | Some(",") => Operator::Exists,
            Some(sign) => {
                self.take();
                match sign {
                    "=" | "==" => Operator::In(vec![self.value()]),
                    "!=" => Operator::NotIn(vec![self.value()]),
                    "in" => Operator::In(self.values()?),
                    "notin" => Operator::NotIn(self.values()?),
                    other => return Err(unparsable(other, "in, notin, =, ==, !=, gt, lt")),
                }
            }
        };
        Ok(Requirement { key, operator })
    }

    fn word(&mut self) -> Result<&'a str, Failure> {
        match self.take() {
            Some(word) if !is_sign(word) => Ok(word),
            other => Err(unparsable(other.unwrap_or_default(), "identifier")),
        }
    }

    /// The value after a sign; nothing there means the empty string.
    fn value(&mut self) -> String {
        match self.peek() {
            Some(word) if !is_sign(word) => {
                self.take();
                word.to_owned()
            }
            _ => String::new(),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, Failure> {
        match self.take() {
            Some("(") => {}
            other => {
                let found = other.unwrap_or_default();
                let message = format!("unable to parse requirement: found '{found}' expected: '('");
                return Err(Failure::bad_request(message));
            }
        }
        let mut values = vec![self.value()];
        loop {
            match self.take() {
                Some(",") => values.push(self.value()),
                Some(")") => return Ok(values),
                other => return Err(unparsable(other.unwrap_or_default(), "',' or ')'")),
            }
        }
    }
}

fn is_sign(token: &str) -> bool {
    matches!(token, "(" | ")" | "," | "!" | "=" | "==" | "!=")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match_as_kubernetes_documents_them() {
        let pod = json!({"metadata": {"name": "p", "labels": {"app": "web", "tier": "front"}}});
        for (selector, matches) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app", true),
            ("!app", false),
            ("!canary", true),
            ("app in (web, api)", true),
            ("app notin (web)", false),
            ("canary notin (yes)", true),
            ("app=", false),
            ("app=web,tier in (back)", false),
        ] {
            let parsed = Selector::parse(selector, "", &[]).unwrap();
            assert_eq!(parsed.matches(&pod), matches, "{selector}");
        }
        for broken in ["app in", "app in (a", "=x", "app=web tier=front", "app gt"] {
            assert!(Selector::parse(broken, "", &[]).is_err(), "{broken}");
        }
    }

    #[test]
    fn field_selectors_know_only_their_kinds_fields() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "node-1"}});
        let node = vec!["spec.nodeName".to_owned()];
        let parse = |text: &str| Selector::parse("", text, &node);
        assert!(parse("metadata.name=p,spec.nodeName!=node-2").unwrap().matches(&pod));
        assert!(!parse("spec.nodeName=").unwrap().matches(&pod));
        assert_eq!(parse("spec.image=x").unwrap_err().message, "field label not supported: spec.image");
    }

    #[test]
    fn a_scales_selector_reads_as_a_query_parameter() {
        let selector = json!({
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "Exists"}],
        });
        assert_eq!(label_selector_text(&selector), "a=1,b=2,c in (x,y),d");
        assert!(!label_selector_matches(&selector, &json!({"metadata": {"labels": {"a": "1"}}})));
    }
}
