//! What a person asks for by annotation in an emergency, beside a spec that GitOps owns.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::identity::moment;
use crate::control::{Override, Overrides};
use crate::number::MAX_COUNT;

/// The annotation that caps the count.
pub const EMERGENCY_MAX: &str = "plimsoll.dev/emergency-max";
/// The annotation that holds the count.
pub const FREEZE: &str = "plimsoll.dev/freeze";

/// The longest reason that is kept, in characters; the spec's own may be as long.
const LONGEST_REASON: usize = 256;
/// So much is quoted of what is not understood, in characters.
const LONGEST_QUOTE: usize = 64;

/// Reads a policy's annotations.
pub fn overrides(annotations: Option<&BTreeMap<String, String>>) -> Overrides {
    let mut unreadable = Vec::new();
    let mut read = |name: &str| {
        let text = annotations?.get(name)?;
        let parsed = parse(text);
        if parsed.is_none() {
            let text = shortened(text, LONGEST_QUOTE);
            unreadable.push(format!(
                "annotation {name}: {text:?} is not understood: write a count of 1 or more, and if you like an end and \
                 a reason, for example \"10 until 2026-12-01T06:00:00Z because INC-1234\""
            ));
        }
        parsed
    };
    let (emergency_max, freeze) = (read(EMERGENCY_MAX), read(FREEZE));
    Overrides { emergency_max, freeze, unreadable: (!unreadable.is_empty()).then(|| unreadable.join("; ")) }
}

/// `10`, `10 until 2026-12-01T06:00:00Z`, each with ` because …`.
fn parse(text: &str) -> Option<Override> {
    let (head, reason) = match text.split_once(" because ") {
        Some((head, reason)) => {
            (head, Some(shortened(reason.trim(), LONGEST_REASON)).filter(|reason| !reason.is_empty()))
        }
        None => (text, None),
    };
    let (count, until) = match head.split_once(" until ") {
        Some((count, until)) => (count, Some(moment(until.trim().parse::<Timestamp>().ok()?))),
        None => (head, None),
    };
    let replicas = count.trim().parse::<u32>().ok().filter(|count| (1..=MAX_COUNT).contains(count))?;
    Some(Override { replicas, until, reason })
}

/// The first `longest` characters of `text`, marked if there are more.
fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Overrides {
        overrides(Some(&BTreeMap::from([(name.to_owned(), text.to_owned())])))
    }

    #[test]
    fn a_count_an_end_and_a_reason_are_read() {
        let until = Some(moment("2026-12-01T06:00:00Z".parse().unwrap()));
        for (text, replicas, until, reason) in [
            ("10", 10, None, None),
            (" 10 ", 10, None, None),
            ("10 until 2026-12-01T06:00:00Z", 10, until, None),
            ("10 until 2026-12-01T07:00:00+01:00 because INC-1234", 10, until, Some("INC-1234")),
            ("3 because the database is slow until noon", 3, None, Some("the database is slow until noon")),
        ] {
            let expected = Override { replicas, until, reason: reason.map(str::to_owned) };
            assert_eq!(read(EMERGENCY_MAX, text).emergency_max.as_ref(), Some(&expected), "{text}");
            assert_eq!(read(FREEZE, text).freeze.as_ref(), Some(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_an_example_and_does_nothing() {
        for text in [
            "",
            "ten",
            "0",
            "-1",
            "10%",
            "10 until",
            "10 until tomorrow",
            "10 until 2026-12-01",
            "99999999999",
        ] {
            let overrides = read(FREEZE, text);
            assert_eq!(overrides.freeze, None, "{text}");
            assert!(overrides.unreadable.unwrap().contains("plimsoll.dev/freeze"), "{text}");
        }
    }

    #[test]
    fn what_is_said_of_an_endless_annotation_is_short() {
        let endless = "é".repeat(100_000);
        let said = read(FREEZE, &endless).unreadable.unwrap();
        assert!(said.len() < 600, "{} bytes", said.len());
        assert!(said.contains("example"), "{said}");
        let reason = read(FREEZE, &format!("3 because {endless}")).freeze.unwrap().reason.unwrap();
        assert_eq!(reason.chars().count(), LONGEST_REASON + 1, "and a mark that there was more");
    }

    #[test]
    fn without_annotations_nothing_is_asked_for() {
        assert_eq!(overrides(None), Overrides::default());
        assert_eq!(overrides(Some(&BTreeMap::from([("other".into(), "x".into())]))), Overrides::default());
    }
}
