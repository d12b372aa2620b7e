//! Label selectors as `/scale` reports them, matched against hashed labels.

use super::pod::text_hash;

/// A label: the hashes of its key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    key: u64,
    value: u64,
}

impl Label {
    pub(super) fn new(key: &str, value: &str) -> Self {
        Self { key: text_hash(key), value: text_hash(value) }
    }

    /// The hash of its value, if it has this key.
    pub(super) fn value_of(self, key: &str) -> Option<u64> {
        (self.key == text_hash(key)).then_some(self.value)
    }
}

/// A label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(u64, Vec<u64>),
    NotIn(u64, Vec<u64>),
    Exists(u64),
    Absent(u64),
}

impl Selector {
    /// Reads the form that label queries use: `app=web,tier in (a,b),!canary`. None if it is empty, which would
    /// select every pod there is, or not in that form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let requirements = split(text).map(requirement).collect::<Option<Vec<_>>>()?;
        (!requirements.is_empty()).then_some(Self(requirements))
    }

    /// Whether an object with these labels is selected.
    pub(super) fn matches(&self, labels: &[Label]) -> bool {
        let value = |key: u64| labels.iter().find(|label| label.key == key).map(|label| label.value);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => value(*key).is_some_and(|value| values.contains(&value)),
            Requirement::NotIn(key, values) => value(*key).is_none_or(|value| !values.contains(&value)),
            Requirement::Exists(key) => value(*key).is_some(),
            Requirement::Absent(key) => value(*key).is_none(),
        })
    }
}

/// The parts between commas that stand outside of parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |sign: char| {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        sign == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

fn requirement(text: &str) -> Option<Requirement> {
    if let Some(key) = text.strip_prefix('!') {
        return Some(Requirement::Absent(text_hash(name(key)?)));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(text_hash(name(key)?), vec![text_hash(value.trim())]));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Requirement::In(text_hash(name(key)?), vec![text_hash(value.trim())]));
    }
    let Some((head, values)) = text.split_once('(') else {
        return Some(Requirement::Exists(text_hash(name(text)?)));
    };
    let values = values.strip_suffix(')')?.split(',').map(|value| text_hash(value.trim())).collect();
    match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        [key, "in"] => Some(Requirement::In(text_hash(key), values)),
        [key, "notin"] => Some(Requirement::NotIn(text_hash(key), values)),
        _ => None,
    }
}

fn name(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && !text.contains(char::is_whitespace)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select_what_kubernetes_selects() {
        let labels = [Label::new("app", "web"), Label::new("tier", "front"), Label::new("canary", "")];
        for (selector, selected) in [
            ("app=web", true),
            ("app==web", true),
            ("app=api", false),
            ("app=web,tier in (front,back)", true),
            ("app=web,tier in (back)", false),
            ("tier notin (back,middle),app", true),
            ("missing notin (x)", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("canary", true),
            ("!canary", false),
            ("!missing", true),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(&labels), selected, "{selector}");
        }
    }

    #[test]
    fn a_selector_that_cannot_be_read_selects_nothing() {
        for text in ["", " , ", "a b", "x in front", "x in (a", "x within (a)", "!"] {
            assert_eq!(Selector::parse(text), None, "{text}");
        }
    }
}
