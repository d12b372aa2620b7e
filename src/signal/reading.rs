//! What a metrics server answered, before anybody judges it.

use serde::{Deserialize, Serialize};

use crate::time::{Span, Time};

/// One evaluation of one metric's query, as the metrics server answered it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reading {
    /// The answer to the value query.
    pub answer: Answer,
    /// Warnings that came with the answer, as the server worded them; such an answer may be incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How old the newest sample behind the query is.
    pub age: Age,
    /// How many pods stand behind the value with a sample young enough; asked only where coverage is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_pods: Option<u32>,
}

/// The answer to a value query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Exactly one series or scalar. The number may still be NaN, infinite or absurd.
    Value(#[serde(with = "real")] f64),
    /// The query matched nothing.
    NoSeries,
    /// The query returned this many series where one is due.
    ManySeries(u32),
    /// The query was not answered; the sentence says why and what to do.
    Failed(String),
}

/// The age of the newest sample behind a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Age {
    /// Measured at this evaluation.
    Measured(Span),
    /// Measured at an earlier evaluation, `at`; since then the newest sample may have grown older by all that time.
    Earlier {
        /// The age as measured then.
        age: Span,
        /// When it was measured.
        at: Time,
    },
    /// The query reads no stored samples (a constant, `time()`), so there is nothing to grow old.
    NotSampled,
    /// No sample stands behind the query within the server's look-back: what it returns is left over in its range, or
    /// made up by the query itself, for example by `or vector(0)`.
    NoSample,
    /// The age could not be measured; the sentence says why.
    Unknown(String),
}

/// JSON has no NaN and no infinities; they are written as Prometheus writes them.
mod real {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Real {
        Number(f64),
        Text(String),
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's `with` passes a reference")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            serializer.serialize_f64(*value)
        } else if value.is_nan() {
            serializer.serialize_str("NaN")
        } else if *value > 0.0 {
            serializer.serialize_str("+Inf")
        } else {
            serializer.serialize_str("-Inf")
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match Real::deserialize(deserializer)? {
            Real::Number(value) => Ok(value),
            Real::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
