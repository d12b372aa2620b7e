//! Bodies that a metrics server may send.

use plimsoll::prometheus::{Undecoded, decode};
use plimsoll::signal::Answer;
use serde_json::Value;

pub(crate) const WORDS: &[&str] = &[
    "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[0,\"1\"]}]}}",
    "\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"x\"",
    "\"warnings\":[\"PromQL info: x\"]",
    "\"infos\":[]",
    "\"matrix\"",
    "\"scalar\"",
    "\"string\"",
    "\"histogram\"",
    "[0,\"NaN\"]",
    "[0,\"+Inf\"]",
    "\"1e309\"",
    "\"0x1p4\"",
    "null",
    "true",
    "[[[[[[",
    "\\ud800",
    "-0",
    "1e400",
];

/// The most that is kept of a server's sentence, in characters, with the words around it.
const LONGEST_SENTENCE: usize = 600;

pub(crate) fn check(body: &[u8]) {
    match decode(body) {
        Ok(answered) => {
            for lines in [&answered.warnings, &answered.infos] {
                // Two fields may bring informational notes, each with ten of them and a line that counts the rest.
                assert!(lines.len() <= 3 * 11, "{} lines are kept", lines.len());
                for line in lines {
                    presentable(line);
                }
            }
            assert!(!matches!(answered.answer, Answer::Failed(_)));
            if let Some(expected) = answer_in(body) {
                assert!(same(&expected, &answered.answer), "{expected:?} was read as {:?}", answered.answer);
            }
        }
        Err(Undecoded::NotPrometheus(words) | Undecoded::Error { words, .. }) => presentable(&words),
    }
}

fn presentable(words: &str) {
    assert!(words.chars().count() <= LONGEST_SENTENCE, "{} characters are kept", words.chars().count());
    assert!(!words.chars().any(char::is_control), "{words:?}");
}

/// What the body says to a reader that keeps everything.
fn answer_in(body: &[u8]) -> Option<Answer> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let data = &body["data"];
    let result = data["result"].as_array()?;
    let value = |sample: &Value| Some(Answer::Value(sample.get(1)?.as_str()?.parse().ok()?));
    match (data["resultType"].as_str()?, result.as_slice()) {
        ("vector", []) => Some(Answer::NoSeries),
        ("vector", [series]) => value(series.get("value")?),
        ("vector", several) => Some(Answer::ManySeries(u32::try_from(several.len()).unwrap())),
        ("scalar", _) => value(&data["result"]),
        _ => None,
    }
}

fn same(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Answer::Value(one), Answer::Value(other)) => {
            one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
        }
        _ => one == other,
    }
}
