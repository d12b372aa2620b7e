//! Annotations that anybody with the right to edit a policy may write.

use std::collections::BTreeMap;

use plimsoll::cluster::{EMERGENCY_MAX, FREEZE, overrides};

pub(crate) const WORDS: &[&str] = &[
    "10",
    " until ",
    " because ",
    "2026-12-01T06:00:00Z",
    "+01:00",
    "9999-12-31T23:59:60Z",
    "-009999-01-01",
    "[Europe/Berlin]",
];

/// What is said of an annotation is part of a condition, which everybody reads.
const LONGEST_SENTENCE: usize = 2_000;

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let annotations = BTreeMap::from([(EMERGENCY_MAX.to_owned(), text.clone()), (FREEZE.to_owned(), text)]);
    let read = overrides(Some(&annotations));
    assert_eq!(read.emergency_max, read.freeze);
    assert_eq!(read.emergency_max.is_none(), read.unreadable.is_some(), "one or the other");
    if let Some(cap) = read.emergency_max {
        assert!((1..=plimsoll::number::MAX_COUNT).contains(&cap.replicas), "{cap:?}");
        assert!(
            cap.reason.as_ref().is_none_or(|reason| !reason.is_empty() && reason.len() <= LONGEST_SENTENCE)
        );
    }
    assert!(read.unreadable.is_none_or(|sentence| sentence.len() <= LONGEST_SENTENCE));
}
