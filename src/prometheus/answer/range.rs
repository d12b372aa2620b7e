//! An answer over a range of time, decoded. What is kept is a value and a number of series for each moment.

use std::fmt;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Decoded, Envelope, LONGEST_WORDS, Undecoded, decode, presentable, told_apart, unsupported};
use crate::prometheus::failure::FailureKind;
use crate::signal::{Answer, Moments};
use crate::time::Time;

/// An answer to a query over a range.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::prometheus) struct AnsweredRange {
    series: Vec<Vec<Sample>>,
    /// What makes the answer doubtful.
    pub(in crate::prometheus) warnings: Vec<String>,
    infos: Vec<String>,
}

impl AnsweredRange {
    /// What each of the moments would have been answered. Samples for other moments are left out.
    pub(in crate::prometheus) fn answers(&self, moments: Moments) -> Vec<Answer> {
        let mut answers = vec![Answer::NoSeries; usize::try_from(moments.count).unwrap_or(0)];
        for sample in self.series.iter().flatten() {
            let at = moments.position(sample.at).and_then(|at| usize::try_from(at).ok());
            let Some(answer) = at.and_then(|at| answers.get_mut(at)) else { continue };
            *answer = match answer {
                Answer::NoSeries => Answer::Value(sample.value),
                Answer::ManySeries(series) => Answer::ManySeries(series.saturating_add(1)),
                _ => Answer::ManySeries(2),
            };
        }
        answers
    }
}

impl Decoded for AnsweredRange {
    fn decode(body: &[u8]) -> Result<Self, Undecoded> {
        let envelope: Envelope<Matrix> = match serde_json::from_slice(body) {
            Ok(envelope) => envelope,
            // An error, or nothing of Prometheus's, is the same in both forms.
            Err(error) => {
                return Err(match decode(body) {
                    Err(undecoded @ (Undecoded::NotPrometheus(_) | Undecoded::Error { .. }))
                        if !is_unsupported(&undecoded) =>
                    {
                        undecoded
                    }
                    _ => Undecoded::NotPrometheus(presentable(&error.to_string(), LONGEST_WORDS)),
                });
            }
        };
        if envelope.status != "success" {
            return Err(decode(body).err().unwrap_or_else(|| super::server_error(&envelope)));
        }
        let (warnings, infos) = told_apart(envelope.warnings, envelope.infos);
        let matrix = envelope.data.ok_or_else(|| {
            Undecoded::NotPrometheus("the field data holds no resultType and result".into())
        })?;
        if matrix.result_type != "matrix" {
            let kind = presentable(&matrix.result_type, 40);
            return Err(unsupported(format!("answered a query over a range with the type {kind:?}")));
        }
        if matrix.result.iter().any(|series| series.histograms.is_some()) {
            return Err(unsupported("answered with native histograms, which are no numbers".into()));
        }
        let series = matrix.result.into_iter().map(|series| series.values).collect();
        Ok(Self { series, warnings, infos })
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn infos(&self) -> &[String] {
        &self.infos
    }
}

const fn is_unsupported(undecoded: &Undecoded) -> bool {
    matches!(undecoded, Undecoded::Error { kind: FailureKind::UnsupportedResult, .. })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Matrix {
    result_type: String,
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<Sample>,
    histograms: Option<IgnoredAny>,
}

/// A value at a moment, `[time, "value"]`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    at: Time,
    value: f64,
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SampleVisitor)
    }
}

struct SampleVisitor;

impl<'de> Visitor<'de> for SampleVisitor {
    type Value = Sample;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of time and value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Sample, A::Error> {
        let sample = elements.next_element::<f64>()?.zip(elements.next_element::<Text>()?);
        let (seconds, Text(value)) = sample.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        if elements.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_length(3, &self));
        }
        Ok(Sample {
            at: moment(seconds).ok_or_else(|| A::Error::custom("a sample's time is no time"))?,
            value,
        })
    }
}

/// A number written as a text.
struct Text(f64);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number written as a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
        text.parse()
            .map(Text)
            .map_err(|_| E::custom(format_args!("a sample's value is {:?}", presentable(text, 40))))
    }
}

/// Seconds since the epoch, to the nearest millisecond.
fn moment(seconds: f64) -> Option<Time> {
    let since = std::time::Duration::try_from_secs_f64(seconds + 0.000_5).ok()?;
    i64::try_from(since.as_millis()).ok().map(Time::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    const MOMENTS: Moments =
        Moments { first: Time::from_seconds(60), step: Span::from_seconds(15), count: 4 };

    fn answers(result: &str) -> Result<Vec<Answer>, Undecoded> {
        let body = format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{result}]}}}}"
        );
        AnsweredRange::decode(body.as_bytes()).map(|answered| answered.answers(MOMENTS))
    }

    #[test]
    fn each_moment_is_answered_as_it_would_have_been_by_itself() {
        let gap = "{\"metric\":{\"pod\":\"a\"},\"values\":[[60,\"1\"],[90.000,\"NaN\"]]}";
        let other = "{\"metric\":{\"pod\":\"b\"},\"values\":[[60,\"3\"],[75,\"+Inf\"]]}";
        let third = "{\"metric\":{\"pod\":\"c\"},\"values\":[[60,\"5\"]]}";
        let found = answers(&[gap, other, third].join(",")).unwrap();
        assert_eq!(found[0], Answer::ManySeries(3));
        assert_eq!(found[1], Answer::Value(f64::INFINITY));
        assert!(matches!(found[2], Answer::Value(value) if value.is_nan()));
        assert_eq!(found[3], Answer::NoSeries);
        assert_eq!(answers("").unwrap(), vec![Answer::NoSeries; 4]);
    }

    #[test]
    fn samples_of_other_moments_are_left_out() {
        let found =
            answers("{\"values\":[[45,\"1\"],[60.5,\"2\"],[75.0004,\"3\"],[120,\"4\"],[1e30,\"5\"]]}");
        assert!(found.is_err(), "no time: {found:?}");
        let found = answers("{\"values\":[[45,\"1\"],[60.5,\"2\"],[75.0004,\"3\"],[120,\"4\"]]}").unwrap();
        let expected = [Answer::NoSeries, Answer::Value(3.0), Answer::NoSeries, Answer::NoSeries];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_answer_over_a_range_is_named() {
        for (body, words) in [
            ("[]", "no JSON object"),
            ("<html>", "no JSON object"),
            (
                r#"{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points"}"#,
                "refused the query: exceeded maximum resolution",
            ),
            (
                r#"{"status":"error","errorType":"timeout","error":"late","data":[]}"#,
                "gave the query up: late",
            ),
            (r#"{"status":"maybe"}"#, "the field status is"),
            (r#"{"status":"success"}"#, "holds no resultType"),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
                "answered a query over a range with the type \"vector\"",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"histograms":[[1,{}]]}]}}"#,
                "native histograms",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,7]]}]}}"#,
                "a number written as a string",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"seven"]]}]}}"#,
                "a sample's value is \"seven\"",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1]]}]}}"#,
                "invalid length",
            ),
        ] {
            let words_found = match AnsweredRange::decode(body.as_bytes()) {
                Err(Undecoded::NotPrometheus(found) | Undecoded::Error { words: found, .. }) => found,
                Ok(answered) => panic!("{body}: {answered:?}"),
            };
            assert!(words_found.contains(words), "{body}: {words_found}");
        }
    }

    #[test]
    fn warnings_are_told_apart_from_notes() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[]},
            "warnings":["a store is gone","PromQL info: odd"],"infos":["odd too"]}"#;
        let answered = AnsweredRange::decode(body.as_bytes()).unwrap();
        assert_eq!(answered.warnings, ["a store is gone"]);
        assert_eq!(answered.infos(), ["PromQL info: odd", "odd too"]);
    }

    proptest::proptest! {
        #[test]
        fn no_body_is_too_odd(body in ".{0,200}", cut in 0_usize..140) {
            let _ = AnsweredRange::decode(body.as_bytes());
            let whole = "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[60,\"1\"],[75,\"2\"]]}]}}";
            let _ = AnsweredRange::decode(whole.as_bytes().get(..cut).unwrap_or_default());
        }
    }
}
