//! An answer of the query API, decoded. Memory is bounded by what is kept: of a million series one is.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::failure::{FailureKind, presentable};
use super::promql::{RETURNS_A_RANGE, RETURNS_A_STRING};
use crate::signal::Answer;

mod range;

pub(super) use range::AnsweredRange;

/// The most warnings kept of one answer; one more line counts the rest.
const MAX_WARNINGS: usize = 10;
/// The longest sentence of a server that is kept, in characters.
pub(super) const LONGEST_WORDS: usize = 300;
/// Prometheus 2.48 to 2.52 sent informational notes among the warnings, marked so.
const INFO_MARK: &str = "PromQL info:";

/// An answer to a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Never [`Answer::Failed`].
    pub answer: Answer,
    /// What makes the answer doubtful.
    pub warnings: Vec<String>,
    /// What its author may want to know; says nothing about the answer's quality.
    pub infos: Vec<String>,
}

/// Why a body is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecoded {
    /// It is not the query API's JSON; what is wrong with it.
    NotPrometheus(String),
    /// It is, and says that the query failed.
    Error {
        /// Of what kind the failure is.
        kind: FailureKind,
        /// What happened, as the rest of a sentence that begins with the server.
        words: String,
    },
}

/// What the body of an answer is read as.
pub(super) trait Decoded: Sized {
    /// Decodes a body, whatever its HTTP status.
    fn decode(body: &[u8]) -> Result<Self, Undecoded>;

    /// Adds a warning to those of the server.
    fn warn(&mut self, warning: String);

    /// What the query's author may want to know.
    fn infos(&self) -> &[String];
}

impl Decoded for Answered {
    fn decode(body: &[u8]) -> Result<Self, Undecoded> {
        decode(body)
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn infos(&self) -> &[String] {
        &self.infos
    }
}

/// Decodes the body of an answer, whatever its HTTP status.
pub fn decode(body: &[u8]) -> Result<Answered, Undecoded> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Undecoded::NotPrometheus("no JSON object".into()));
    }
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| Undecoded::NotPrometheus(presentable(&error.to_string(), LONGEST_WORDS)))?;
    match envelope.status.as_str() {
        "success" => {}
        "error" => return Err(server_error(&envelope)),
        other => {
            let status = presentable(other, 40);
            return Err(Undecoded::NotPrometheus(format!("the field status is {status:?}")));
        }
    }
    let answer = envelope.data.unwrap_or_default().answer()?;
    let (warnings, infos) = told_apart(envelope.warnings, envelope.infos);
    Ok(Answered { answer, warnings, infos })
}

/// What makes an answer doubtful, and what does not.
fn told_apart(warnings: Option<Notes>, infos: Option<Notes>) -> (Vec<String>, Vec<String>) {
    let (warnings, infos) = (warnings.unwrap_or_default(), infos.unwrap_or_default());
    let informing = [warnings.infos, infos.warnings, infos.infos].map(Lines::into_vec).concat();
    (warnings.warnings.into_vec(), informing)
}

fn server_error<D>(envelope: &Envelope<D>) -> Undecoded {
    let words = presentable(envelope.error.as_deref().unwrap_or("it gave no reason"), LONGEST_WORDS);
    let (kind, words) = match envelope.error_type.as_deref() {
        // VictoriaMetrics puts the HTTP status where Prometheus has a word.
        Some("bad_data" | "400") => (FailureKind::QueryRefused, format!("refused the query: {words}")),
        Some("execution" | "422") => {
            (FailureKind::QueryRefused, format!("could not evaluate the query: {words}"))
        }
        Some("timeout") => (
            FailureKind::Timeout,
            format!(
                "gave the query up: {words}; make it cheaper, for example by a recording rule, or raise timeoutSeconds"
            ),
        ),
        Some("canceled") => (FailureKind::Unavailable, format!("cancelled the query: {words}")),
        Some(other) => {
            (FailureKind::Unavailable, format!("could not answer ({}): {words}", presentable(other, 40)))
        }
        None => (FailureKind::Unavailable, format!("could not answer: {words}")),
    };
    Undecoded::Error { kind, words }
}

#[derive(Deserialize)]
struct Envelope<D = Data> {
    status: String,
    data: Option<D>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Notes>,
    infos: Option<Notes>,
}

#[derive(Default)]
struct Data {
    result_type: Option<String>,
    result: Option<Item>,
}

impl Data {
    fn answer(self) -> Result<Answer, Undecoded> {
        let (Some(result_type), Some(result)) = (self.result_type, self.result) else {
            return Err(Undecoded::NotPrometheus("the field data holds no resultType and result".into()));
        };
        match (result_type.as_str(), result) {
            ("vector", Item::List(list)) => match (list.length, list.first.map(|first| *first)) {
                (0, _) => Ok(Answer::NoSeries),
                (1, Some(Item::Object(series))) => series.answer(),
                (1, _) => Err(Undecoded::NotPrometheus("the series in the result is not an object".into())),
                (several, _) => Ok(Answer::ManySeries(several)),
            },
            ("scalar", Item::List(pair)) => pair.sample_value().map(Answer::Value),
            ("vector" | "scalar", _) => Err(Undecoded::NotPrometheus("the result is not a list".into())),
            ("matrix", _) => Err(unsupported(format!("answered, but {RETURNS_A_RANGE}"))),
            ("string", _) => Err(unsupported(format!("answered, but {RETURNS_A_STRING}"))),
            (other, _) => {
                Err(unsupported(format!("answered with the unknown type {:?}", presentable(other, 40))))
            }
        }
    }
}

fn unsupported(words: String) -> Undecoded {
    Undecoded::Error { kind: FailureKind::UnsupportedResult, words }
}

/// Beside an error some servers send data that is no object; it is read as empty.
impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor).map(|item| match item {
            Item::Object(object) => Self { result_type: object.result_type, result: object.result },
            _ => Self::default(),
        })
    }
}

/// What is kept of an object: the fields of `data` and those of a series. A series' labels are not.
#[derive(Default)]
struct Object {
    result_type: Option<String>,
    result: Option<Item>,
    value: Option<Item>,
    histogram: bool,
}

impl Object {
    /// The answer if this is the one series of a vector.
    fn answer(self) -> Result<Answer, Undecoded> {
        match (self.value, self.histogram) {
            (Some(Item::List(pair)), _) => pair.sample_value().map(Answer::Value),
            (Some(_), _) => Err(Undecoded::NotPrometheus("the sample is not a list of time and value".into())),
            (None, true) => Err(unsupported(
                "answered with a native histogram, which is no number; wrap the query in histogram_quantile(...), \
                 histogram_count(...) or histogram_sum(...)"
                    .into(),
            )),
            (None, false) => Err(Undecoded::NotPrometheus("the series in the result has no value".into())),
        }
    }
}

/// Any JSON, of which only what an answer can need is kept.
enum Item {
    Number,
    Text(String),
    List(List),
    Object(Box<Object>),
    Other,
}

struct List {
    length: u32,
    first: Option<Box<Item>>,
    second: Option<Box<Item>>,
}

impl List {
    /// The value of a sample, `[time, "value"]`.
    fn sample_value(self) -> Result<f64, Undecoded> {
        let first = self.first.map(|first| *first);
        let fault = match (self.length, first, self.second.map(|second| *second)) {
            (2, Some(Item::Number), Some(Item::Text(text))) if text.chars().count() > LONGEST_WORDS => {
                "the sample's value is longer than any number".into()
            }
            (2, Some(Item::Number), Some(Item::Text(text))) => match text.parse() {
                Ok(value) => return Ok(value),
                Err(_) => format!("the sample's value is {:?}", presentable(&text, 40)),
            },
            (2, Some(Item::Number), Some(Item::Number)) => {
                "the sample's value is a JSON number, where Prometheus writes a string".into()
            }
            _ => "the sample is not a list of time and value".into(),
        };
        Err(Undecoded::NotPrometheus(fault))
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_unit<E>(self) -> Result<Item, E> {
        Ok(Item::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Item, E> {
        Ok(Item::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
        Ok(Item::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
        Ok(Item::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        // One sign more tells that there was more.
        Ok(Item::Text(text.chars().take(LONGEST_WORDS + 1).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Item, A::Error> {
        let mut list = List { length: 0, first: elements.next_element()?.map(Box::new), second: None };
        if list.first.is_some() {
            list.second = elements.next_element()?.map(Box::new);
            list.length = if list.second.is_some() { 2 } else { 1 };
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {
            list.length = list.length.saturating_add(1);
        }
        Ok(Item::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Item, A::Error> {
        let mut object = Object::default();
        while let Some(field) = fields.next_key::<String>()? {
            match field.as_str() {
                "resultType" => object.result_type = Some(fields.next_value()?),
                "result" => object.result = Some(fields.next_value()?),
                "value" => object.value = Some(fields.next_value()?),
                "histogram" => object.histogram = fields.next_value::<IgnoredAny>().map(|_| true)?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Item::Object(Box::new(object)))
    }
}

/// A list of a server's sentences, told apart.
#[derive(Default)]
struct Notes {
    warnings: Lines,
    infos: Lines,
}

/// Sentences, the first few of which are kept.
#[derive(Default)]
struct Lines {
    kept: Vec<String>,
    left_out: usize,
}

impl Lines {
    fn keep(&mut self, words: &str) {
        if self.kept.len() < MAX_WARNINGS {
            self.kept.push(presentable(words, LONGEST_WORDS));
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn into_vec(self) -> Vec<String> {
        let rest = (self.left_out > 0).then(|| format!("and {} more", self.left_out));
        self.kept.into_iter().chain(rest).collect()
    }
}

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(NotesVisitor)
    }
}

struct NotesVisitor;

impl<'de> Visitor<'de> for NotesVisitor {
    type Value = Notes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sentences")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Notes, A::Error> {
        let mut notes = Notes::default();
        while let Some(element) = elements.next_element::<Item>()? {
            match element {
                Item::Text(words) if words.starts_with(INFO_MARK) => notes.infos.keep(&words),
                Item::Text(words) => notes.warnings.keep(&words),
                _ => notes.warnings.keep("a note that is not text"),
            }
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests;
