//! What a fit comes to.

use serde::{Deserialize, Serialize};

use super::accuracy::{Accuracy, Verdict};
use super::model::Model;
use crate::signal::Moments;
use crate::time::{Span, Time};

/// Need in the next hours, in replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// How it came about, and what it is worth.
    pub standing: Standing,
    /// The moments that it is about.
    pub moments: Moments,
    /// Need at each of them, as likely to be passed as not.
    pub expected: Vec<f64>,
    /// Need at each of them that is passed as rarely as the quantile says.
    pub upper: Vec<f64>,
}

/// How a forecast came about, and what it is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What made it.
    pub model: Model,
    /// After these times the load comes again, the shortest first.
    pub seasons: Vec<Span>,
    /// When it was fitted.
    pub fitted: Time,
    /// How much of the past it rests on.
    pub observed: Span,
    /// The largest upper quantile of the next day.
    pub peak: Peak,
    /// How far forecasts of the last day were off; none before enough of them could be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// Whether it may raise a floor.
    pub verdict: Verdict,
}

/// A need that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peak {
    /// When.
    pub at: Time,
    /// In replicas.
    pub replicas: f64,
}

/// Why there is no forecast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unforeseen {
    /// What kind of reason.
    pub kind: UnforeseenKind,
    /// One sentence: what is missing and what to do.
    pub message: String,
}

/// Kinds of reasons for which there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnforeseenKind {
    /// The past is being read.
    Pending,
    /// The past could not be read.
    Unreadable,
    /// Too little of it is known.
    TooShort,
    /// Too much of it is missing.
    TooManyGaps,
    /// Nothing in it comes again.
    NoSeason,
    /// No model fits it.
    NotFitted,
}

impl Unforeseen {
    /// A reason with its sentence.
    pub fn new(kind: UnforeseenKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
