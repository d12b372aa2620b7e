//! PromQL: what a query reads, how old that is, and a query confined to one tenant's series.
//!
//! Every change is made on the parsed tree, never on text, and the text that goes out is written anew from that tree.

mod lexical;
mod position;
mod render;

use std::fmt;
use std::panic::catch_unwind;
use std::time::Duration;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, Offset, VectorSelector};

use crate::time::Span;

/// What the parser says when the grammar does not fit, without saying where.
const GRAMMAR_ERROR: &str = "invalid promql query";
/// No duration in a query may be longer.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);
const TOO_LONG: &str = "a duration in the query is longer than 100 years";
const NO_RANGE: &str =
    "a range or a step of 0 in square brackets reads nothing; write a longer one, such as [5m]";

/// A query in PromQL.
#[derive(Clone, Debug)]
pub struct Query {
    expr: Expr,
}

/// Why a text is not a query that this room asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// How to learn the age of the newest sample behind a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgeQuery {
    /// The query reads no stored samples.
    NotSampled,
    /// This query answers with the age in seconds: of every selector behind the query that has samples within the
    /// server's look-back, its newest sample; of these the oldest. It answers with no series if none has samples.
    Ask(String),
}

impl ParseError {
    fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render::expression(&self.expr))
    }
}

impl Query {
    /// Reads `text`, which must yield numbers at one moment: an instant vector or a scalar.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let lexed = lexical::lex(text)?;
        lexical::refuse_endless_durations(&lexed)?;
        let mut expr = parse(&lexed.text).map_err(|words| position::locate(&words, &lexed, text))?;
        drop_empty_offsets(&mut expr);
        refuse_what_cannot_be_asked(&expr)?;
        match expr.value_type() {
            ValueType::Vector | ValueType::Scalar => Ok(Self { expr }),
            ValueType::Matrix => Err(ParseError::new(RETURNS_A_RANGE)),
            ValueType::String => Err(ParseError::new(RETURNS_A_STRING)),
        }
    }

    /// Puts `label="value"` on every selector, beside the matchers that are there.
    ///
    /// Refuses functions that read series no selector names.
    pub fn inject_matcher(&mut self, label: &str, value: &str) -> Result<(), ParseError> {
        let mut implicit = None;
        visit(&mut self.expr, &mut |expr| match expr {
            Expr::VectorSelector(selector) => confine(selector, label, value),
            Expr::MatrixSelector(matrix) => confine(&mut matrix.vs, label, value),
            Expr::Call(call) if call.func.name == "info" => implicit = Some(call.func.name),
            _ => {}
        });
        match implicit {
            Some(name) => Err(ParseError::new(format!(
                "{name}() reads series that no selector in the query names, so it cannot be confined to {label}=\"{value}\"; \
                 join the info metric with * on (...) group_left (...) instead"
            ))),
            None => Ok(()),
        }
    }

    /// The query as text, read again to make sure that it says the same.
    pub fn verified_text(&self) -> Result<String, ParseError> {
        let text = self.to_string();
        match parse(&text) {
            Ok(expr) if expr == self.expr => Ok(text),
            _ => Err(ParseError::new("the query cannot be confined safely; write it in a simpler way")),
        }
    }

    /// The plain selectors behind the query, each once, in the order in which they appear: without range, offset
    /// and `@`.
    pub fn selectors(&self) -> Vec<String> {
        self.plain_selectors().iter().map(render::selector).collect()
    }

    /// How to learn the age of the newest sample behind this query, in one question.
    pub fn age_query(&self) -> AgeQuery {
        let selectors = self.selectors();
        let age = |selector: &String| format!("time() - max(timestamp({selector}))");
        match selectors.as_slice() {
            [] => AgeQuery::NotSampled,
            [selector] => AgeQuery::Ask(age(selector)),
            // Each age without labels of its own would hide the others behind the first `or`.
            several => {
                let parts: Vec<String> = several
                    .iter()
                    .enumerate()
                    .map(|(index, selector)| {
                        format!("label_replace({}, \"selector\", \"{index}\", \"\", \"\")", age(selector))
                    })
                    .collect();
                AgeQuery::Ask(format!("max({})", parts.join(" or ")))
            }
        }
    }

    /// A query for the number of pods with a sample not older than `max_age` behind this query: the distinct values
    /// of `pod`, or those of `instance` where no series has a `pod`. None if the query reads no stored samples.
    pub fn coverage_query(&self, max_age: Span) -> Option<String> {
        let selectors = self.plain_selectors();
        if selectors.is_empty() {
            return None;
        }
        let distinct = |label: &str| {
            let parts: Vec<String> = selectors
                .iter()
                .map(|selector| {
                    let mut labelled = selector.clone();
                    labelled.matchers.matchers.push(Matcher::new(MatchOp::NotEqual, label, ""));
                    let selector = render::selector(&labelled);
                    format!("count by ({label}) (timestamp({selector}) >= time() - {})", max_age.seconds())
                })
                .collect();
            format!("count({})", parts.join(" or "))
        };
        Some(format!("{} or {}", distinct("pod"), distinct("instance")))
    }

    fn plain_selectors(&self) -> Vec<VectorSelector> {
        let mut selectors: Vec<VectorSelector> = Vec::new();
        let mut keep = |selector: &VectorSelector| {
            let plain = VectorSelector { offset: None, at: None, ..selector.clone() };
            if !selectors.contains(&plain) {
                selectors.push(plain);
            }
        };
        visit(&mut self.expr.clone(), &mut |expr| match expr {
            Expr::VectorSelector(selector) => keep(selector),
            Expr::MatrixSelector(matrix) => keep(&matrix.vs),
            _ => {}
        });
        selectors
    }
}

/// Said of a range, be it found in the query or in the answer.
pub(super) const RETURNS_A_RANGE: &str =
    "the query returns a range; wrap it in an aggregation over time such as rate(...) or avg_over_time(...)";
/// Said of a string, be it found in the query or in the answer.
pub(super) const RETURNS_A_STRING: &str = "the query returns a string; a signal must be a number";

/// Whether `text` is a label name that every version of Prometheus reads without quotes.
pub(super) fn is_label_name(text: &str) -> bool {
    let mut signs = text.chars();
    signs.next().is_some_and(|sign| sign.is_ascii_alphabetic() || sign == '_')
        && signs.all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
}

/// A panic in the parser must not end the operator; those that are known are refused before they come here.
fn parse(text: &str) -> Result<Expr, String> {
    catch_unwind(|| promql_parser::parser::parse(text))
        .unwrap_or_else(|_| Err("a number or duration in the query is out of range".to_owned()))
}

fn confine(selector: &mut VectorSelector, label: &str, value: &str) {
    selector.matchers.matchers.push(Matcher::new(MatchOp::Equal, label, value));
}

/// Some versions of Prometheus refuse `offset 0`, and it says nothing.
fn drop_empty_offsets(expr: &mut Expr) {
    visit(expr, &mut |expr| {
        let offset = match expr {
            Expr::VectorSelector(selector) => &mut selector.offset,
            Expr::MatrixSelector(matrix) => &mut matrix.vs.offset,
            Expr::Subquery(subquery) => &mut subquery.offset,
            _ => return,
        };
        offset.take_if(|offset| matches!(offset, Offset::Pos(Duration::ZERO) | Offset::Neg(Duration::ZERO)));
    });
}

fn refuse_what_cannot_be_asked(expr: &Expr) -> Result<(), ParseError> {
    let mut fault = None;
    visit(&mut expr.clone(), &mut |expr| match expr {
        Expr::VectorSelector(selector) => fault = fault.take().or_else(|| selector_fault(selector)),
        Expr::MatrixSelector(matrix) => {
            let range = || range_fault(matrix.range);
            fault = fault.take().or_else(range).or_else(|| selector_fault(&matrix.vs));
        }
        Expr::Subquery(subquery) => {
            let ranges = [Some(subquery.range), subquery.step].into_iter().flatten();
            let offset = shift(subquery.offset.as_ref());
            fault = fault.take().or_else(|| {
                ranges.map(range_fault).chain([offset.and_then(duration_fault)]).flatten().next()
            });
        }
        _ => {}
    });
    fault.map_or(Ok(()), |sentence| Err(ParseError::new(sentence)))
}

fn selector_fault(selector: &VectorSelector) -> Option<String> {
    if !selector.matchers.or_matchers.is_empty() {
        return Some(
            "Prometheus knows no `or` between label matchers; write a regular expression such as \
             {code=~\"500|503\"}, or two selectors with `or` between them"
                .to_owned(),
        );
    }
    shift(selector.offset.as_ref()).and_then(duration_fault)
}

fn range_fault(range: Duration) -> Option<String> {
    if range.is_zero() { Some(NO_RANGE.to_owned()) } else { duration_fault(range) }
}

fn shift(offset: Option<&Offset>) -> Option<Duration> {
    match offset? {
        Offset::Pos(distance) | Offset::Neg(distance) => Some(*distance),
    }
}

fn duration_fault(duration: Duration) -> Option<String> {
    if duration > LONGEST {
        Some(TOO_LONG.to_owned())
    } else if duration.subsec_nanos().checked_rem(1_000_000) != Some(0) {
        Some("a duration in the query is not a whole number of milliseconds".to_owned())
    } else {
        None
    }
}

/// Calls `see` with every part of `expr`, parameters of aggregations included, outermost first.
fn visit(expr: &mut Expr, see: &mut impl FnMut(&mut Expr)) {
    see(expr);
    match expr {
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &mut aggregate.param {
                visit(parameter, see);
            }
            visit(&mut aggregate.expr, see);
        }
        Expr::Unary(unary) => visit(&mut unary.expr, see),
        Expr::Binary(binary) => {
            visit(&mut binary.lhs, see);
            visit(&mut binary.rhs, see);
        }
        Expr::Paren(paren) => visit(&mut paren.expr, see),
        Expr::Subquery(subquery) => visit(&mut subquery.expr, see),
        Expr::Call(call) => call.args.args.iter_mut().for_each(|argument| visit(argument, see)),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => {}
    }
}

#[cfg(test)]
mod tests;
