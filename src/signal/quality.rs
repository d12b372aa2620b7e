//! Is this number fit to use?

use std::fmt::Write as _;

use super::{Age, Answer, Reading, SignalState};
use crate::api::{Absent, Coverage, Role, Warnings, Zero};
use crate::control::{Reason, Signal};
use crate::number::from_count;
use crate::time::{Span, Time};

/// The least share of serving pods that must stand behind a value that is built from one series per pod.
const LEAST_COVERAGE: f64 = 0.8;

/// A reading as judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Fit to use, or why not.
    pub state: SignalState,
    /// What was found.
    pub reason: Reason,
    /// What is wrong and what to do; empty if nothing is.
    pub message: String,
    /// The value; finite.
    pub value: Option<f64>,
    /// Age of the newest sample behind the query, as far as it is known.
    pub age: Option<Span>,
    /// Whether that age is proven for this very moment and not only assumed from an earlier evaluation.
    pub age_proven: bool,
}

impl Judged {
    /// A reading as HPA takes it: any number is as good as another.
    pub fn unquestioned(reading: &Reading) -> Self {
        let value = match &reading.answer {
            Answer::Value(value) if value.is_finite() => Some(*value),
            _ => None,
        };
        let (state, reason) = match value {
            Some(_) => (SignalState::Fresh, Reason::Fresh),
            None => (SignalState::Missing, Reason::QueryFailed),
        };
        Self { state, reason, message: String::new(), value, age: None, age_proven: true }
    }

    /// Whether growth may act on it.
    pub fn is_fresh(&self) -> bool {
        self.state == SignalState::Fresh
    }
}

/// What judging one signal remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    accepted: Option<f64>,
    unconfirmed: Option<Leap>,
    covered_pods: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leap {
    Rise,
    Fall,
}

/// What a reading is judged against besides its signal.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Ready pods.
    pub serving: u32,
    /// The largest value from which a count can still be computed.
    pub largest_value: f64,
    /// The moment.
    pub now: Time,
}

struct Fault(SignalState, Reason, String);

impl Quality {
    /// Judges a reading. The first fault found, from "there is no number" to "the number is not believable", counts.
    pub fn judge(&mut self, signal: &Signal, reading: &Reading, surroundings: &Surroundings) -> Judged {
        let (age, age_proven) = known_age(&reading.age, signal.max_age, surroundings.now);
        self.covered_pods = reading.covered_pods.or(self.covered_pods);
        let value = match &reading.answer {
            Answer::Value(value) if value.is_finite() => Some(*value),
            _ => None,
        };
        let judged = |state, reason, message| Judged { state, reason, message, value, age, age_proven };
        if signal.role == Role::SafetyNet
            && signal.absent == Absent::Healthy
            && reading.answer == Answer::NoSeries
        {
            return Judged {
                age_proven: true,
                ..judged(SignalState::Fresh, Reason::AbsentIsHealthy, String::new())
            };
        }
        match number(signal, reading)
            .and_then(|value| sound(signal, reading).map(|()| value))
            .and_then(|value| self.covered(signal, surroundings).map(|()| value))
            .and_then(|value| self.believable(signal, value, surroundings))
        {
            Ok(value) => {
                self.accepted = Some(value);
                self.unconfirmed = None;
                judged(SignalState::Fresh, Reason::Fresh, String::new())
            }
            Err(Fault(state, reason, message)) => judged(state, reason, message),
        }
    }

    fn covered(&self, signal: &Signal, surroundings: &Surroundings) -> Result<(), Fault> {
        if signal.coverage == Coverage::None || surroundings.serving == 0 {
            return Ok(());
        }
        let serving = surroundings.serving;
        match self.covered_pods {
            Some(covered) if from_count(covered) >= LEAST_COVERAGE * from_count(serving) => Ok(()),
            Some(covered) => suspect(
                Reason::LowCoverage,
                format!("only {covered} of {serving} serving pods stand behind the value: check that all pods are scraped"),
            ),
            None => suspect(
                Reason::LowCoverage,
                "coverage is PerPod, but the pods behind the value could not be counted: the series need a label pod or instance"
                    .to_owned(),
            ),
        }
    }

    fn believable(&mut self, signal: &Signal, value: f64, surroundings: &Surroundings) -> Result<f64, Fault> {
        if value == 0.0 && signal.zero == Zero::Suspect && surroundings.serving > 0 {
            return suspect(
                Reason::SuddenZero,
                format!(
                    "exactly 0 while {} pods serve: if that can be true write zero: Data, else check the metric's pipeline",
                    surroundings.serving
                ),
            );
        }
        if value > surroundings.largest_value {
            return suspect(
                Reason::Absurd,
                format!("{value:e} would need more replicas than can exist: check the query's unit"),
            );
        }
        let Some(accepted) = self.accepted.filter(|accepted| *accepted > 0.0) else { return Ok(value) };
        let leap = if value > accepted * signal.max_rise {
            Leap::Rise
        } else if value < accepted * (1.0 - signal.max_drop) {
            Leap::Fall
        } else {
            return Ok(value);
        };
        if self.unconfirmed == Some(leap) {
            return Ok(value);
        }
        self.unconfirmed = Some(leap);
        match leap {
            Leap::Rise => suspect(
                Reason::UnconfirmedRise,
                format!(
                    "rose from {accepted} to {value}, more than {}-fold: waiting for a second evaluation to confirm it",
                    signal.max_rise
                ),
            ),
            Leap::Fall => suspect(
                Reason::DemandCollapsed,
                format!(
                    "fell from {accepted} to {value}, by more than {} %: waiting for a second evaluation to confirm it",
                    (signal.max_drop * 100.0).round()
                ),
            ),
        }
    }
}

/// Whether a reading is a number, complete and young enough, whatever else is known.
pub fn is_sound(signal: &Signal, reading: &Reading) -> bool {
    number(signal, reading).is_ok() && sound(signal, reading).is_ok()
}

fn suspect<T>(reason: Reason, message: String) -> Result<T, Fault> {
    Err(Fault(SignalState::Suspect, reason, message))
}

fn missing<T>(reason: Reason, message: String) -> Result<T, Fault> {
    Err(Fault(SignalState::Missing, reason, message))
}

/// The answer as a number that arithmetic can bear.
fn number(signal: &Signal, reading: &Reading) -> Result<f64, Fault> {
    match &reading.answer {
        Answer::Failed(message) => missing(Reason::QueryFailed, message.clone()),
        Answer::NoSeries => missing(
            Reason::NoSeries,
            "the query matched no series: check its metric name and labels, and that the target is scraped"
                .to_owned(),
        ),
        Answer::ManySeries(count) => suspect(
            Reason::SeveralSeries,
            format!("the query returned {count} series where one is due: wrap it in sum(...) or max(...)"),
        ),
        Answer::Value(value) if value.is_nan() => suspect(
            Reason::NotANumber,
            "the value is NaN, often 0 divided by 0: guard the division, for example with `> 0`".to_owned(),
        ),
        Answer::Value(value) if value.is_infinite() => suspect(
            Reason::Infinite,
            "the value is infinite, often a division by 0: guard the division".to_owned(),
        ),
        Answer::Value(value) if *value < 0.0 && signal.negative == Zero::Suspect => suspect(
            Reason::Negative,
            format!(
                "the value is {value}, below 0: if that can be true write negative: Data, else check the query"
            ),
        ),
        Answer::Value(value) => Ok(*value),
    }
}

/// Whether the answer is complete and young enough.
fn sound(signal: &Signal, reading: &Reading) -> Result<(), Fault> {
    if signal.warnings == Warnings::Suspect && !reading.warnings.is_empty() {
        let mut message = "the server warns that the answer may be incomplete:".to_owned();
        for warning in reading.warnings.iter().take(3) {
            // Writing to a String cannot fail.
            let _ = write!(message, " {warning};");
        }
        return suspect(
            Reason::PartialAnswer,
            format!("{message} write warnings: Ignore to use it all the same"),
        );
    }
    let too_old = |age: Span| {
        Err(Fault(
            SignalState::Stale,
            Reason::Stale,
            format!(
                "the newest sample is {age} old, more than the {} allowed: check that the target is still scraped",
                signal.max_age
            ),
        ))
    };
    match &reading.age {
        Age::Measured(age) | Age::Earlier { age, .. } if *age > signal.max_age => too_old(*age),
        Age::Measured(_) | Age::Earlier { .. } | Age::NotSampled => Ok(()),
        Age::NoSample => Err(Fault(
            SignalState::Stale,
            Reason::Stale,
            "the series behind the query have ended: what it returns is left over in its range, such as [5m], or made up, for \
             example by `or vector(0)`; check that the target is still scraped"
                .to_owned(),
        )),
        Age::Unknown(message) => suspect(Reason::AgeUnknown, format!("the age of the data is not known: {message}")),
    }
}

/// The age as far as it is known, and whether it holds for this very moment.
fn known_age(age: &Age, max_age: Span, now: Time) -> (Option<Span>, bool) {
    match age {
        Age::Measured(age) => (Some(*age), true),
        Age::Earlier { age, at } => (Some(*age), *age + now.since(*at) <= max_age),
        Age::NotSampled => (Some(Span::ZERO), true),
        Age::NoSample | Age::Unknown(_) => (None, false),
    }
}
