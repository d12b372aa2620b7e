//! PromQL of the few forms that the demo asks: selectors, `rate`, `timestamp`, `time`, `sum`, `max`, `min`, arithmetic.

use promql_parser::parser::token::{T_ADD, T_DIV, T_MAX, T_MIN, T_MUL, T_SUB, T_SUM, TokenType};
use promql_parser::parser::{AggregateExpr, BinaryExpr, Call, Expr, VectorSelector, parse};

use super::samples::{Labels, Sample, Samples};

/// A series that ends, or begins, this many sample distances from a range's end is taken to end, or begin, there.
const EXTRAPOLATION_THRESHOLD: f64 = 1.1;

/// An expression's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// A scalar.
    Number(f64),
    /// A value for each series.
    Vector(Vec<(Labels, f64)>),
}

/// What `query` comes to at a moment, in seconds since 1970; the error is a sentence.
pub(super) fn evaluate(query: &str, samples: &Samples, at: f64) -> Result<Answer, String> {
    let expression = parse(query)?;
    Evaluation { samples, at }.expression(&expression)
}

struct Evaluation<'a> {
    samples: &'a Samples,
    at: f64,
}

impl Evaluation<'_> {
    fn expression(&self, expression: &Expr) -> Result<Answer, String> {
        match expression {
            Expr::NumberLiteral(number) => Ok(Answer::Number(number.val)),
            Expr::Paren(paren) => self.expression(&paren.expr),
            Expr::VectorSelector(selector) => {
                let series = self.samples.instant(plain(selector)?, self.at);
                Ok(Answer::Vector(series.into_iter().map(|(labels, (_, value))| (labels, value)).collect()))
            }
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            other => Err(unknown(other)),
        }
    }

    fn call(&self, call: &Call) -> Result<Answer, String> {
        let argument = call.args.args.first().map(AsRef::as_ref);
        match (call.func.name, argument) {
            ("time", None) => Ok(Answer::Number(self.at)),
            ("timestamp", Some(Expr::VectorSelector(selector))) => {
                let series = self.samples.instant(plain(selector)?, self.at);
                Ok(Answer::Vector(series.into_iter().map(|(labels, (at, _))| (labels, at)).collect()))
            }
            ("rate", Some(Expr::MatrixSelector(matrix))) => {
                let range = matrix.range.as_secs_f64();
                let series = self.samples.range(plain(&matrix.vs)?, self.at, range).into_iter();
                let rates = series.filter_map(|(labels, samples)| {
                    rate(&samples, self.at - range, self.at).map(|rate| (labels, rate))
                });
                Ok(Answer::Vector(rates.collect()))
            }
            _ => Err(unknown(call)),
        }
    }

    fn aggregate(&self, aggregate: &AggregateExpr) -> Result<Answer, String> {
        if aggregate.modifier.is_some() || aggregate.param.is_some() {
            return Err(unknown(aggregate));
        }
        let Answer::Vector(series) = self.expression(&aggregate.expr)? else {
            return Err(unknown(aggregate));
        };
        let fold: fn(f64, f64) -> f64 = match aggregate.op.id() {
            T_SUM => |one, other| one + other,
            T_MAX => f64::max,
            T_MIN => f64::min,
            _ => return Err(unknown(aggregate)),
        };
        let folded = series.into_iter().map(|(_, value)| value).reduce(fold);
        Ok(Answer::Vector(folded.map(|value| (Labels::new(), value)).into_iter().collect()))
    }

    fn binary(&self, binary: &BinaryExpr) -> Result<Answer, String> {
        let act = arithmetic(binary.op).ok_or_else(|| unknown(binary))?;
        match (self.expression(&binary.lhs)?, self.expression(&binary.rhs)?) {
            (Answer::Number(left), Answer::Number(right)) => Ok(Answer::Number(act(left, right))),
            (Answer::Number(left), Answer::Vector(right)) => Ok(Answer::Vector(
                right.into_iter().map(|(labels, value)| (labels, act(left, value))).collect(),
            )),
            (Answer::Vector(left), Answer::Number(right)) => Ok(Answer::Vector(
                left.into_iter().map(|(labels, value)| (labels, act(value, right))).collect(),
            )),
            (Answer::Vector(_), Answer::Vector(_)) => Err(unknown(binary)),
        }
    }
}

fn arithmetic(op: TokenType) -> Option<fn(f64, f64) -> f64> {
    match op.id() {
        T_ADD => Some(|left, right| left + right),
        T_SUB => Some(|left, right| left - right),
        T_MUL => Some(|left, right| left * right),
        T_DIV => Some(|left, right| left / right),
        _ => None,
    }
}

fn plain(selector: &VectorSelector) -> Result<&VectorSelector, String> {
    if selector.offset.is_some() || selector.at.is_some() { Err(unknown(selector)) } else { Ok(selector) }
}

fn unknown(part: &dyn std::fmt::Display) -> String {
    format!(
        "the demo's own query endpoint cannot evaluate `{part}`; it knows selectors, rate(), timestamp(), time(), sum(), \
         max(), min() and arithmetic with numbers: install Prometheus to use all of PromQL"
    )
}

/// The per-second increase of a counter over a range, extrapolated to the range's ends as Prometheus does.
fn rate(samples: &[Sample], from: f64, to: f64) -> Option<f64> {
    let ((first_at, first), (last_at, last)) = (*samples.first()?, *samples.last()?);
    let intervals = samples.len().checked_sub(1).filter(|intervals| *intervals > 0)?;
    let resets: f64 = samples
        .iter()
        .zip(samples.iter().skip(1))
        .filter(|((_, before), (_, after))| after < before)
        .map(|((_, before), _)| before)
        .sum();
    let increase = last - first + resets;
    let span = last_at - first_at;
    let distance = span / f64::from(plimsoll::number::count_of(intervals));
    let reach = |gap: f64| if gap >= distance * EXTRAPOLATION_THRESHOLD { distance / 2.0 } else { gap };
    // A counter was never below zero.
    let to_zero = if increase > 0.0 && first >= 0.0 { span * first / increase } else { f64::INFINITY };
    let before = reach(first_at - from).min(to_zero);
    let covered = span + before + reach(to - last_at);
    Some(increase * covered / span / (to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A counter that grows by 10 a second, scraped at 100, 101, … 109, and a gauge that is gone since 105.
    fn samples() -> Samples {
        let mut samples = Samples::default();
        for second in 0..10 {
            let at = f64::from(100 + second);
            let gauge = if second < 5 { "depth{queue=\"mail\"} 7\n" } else { "" };
            let text = format!(
                "# TYPE x_total counter\nx_total{{app=\"a\"}} {}\nx_total{{app=\"b\"}} {}\n{gauge}",
                1000 + 10 * second,
                1000 + 20 * second
            );
            samples.take(at, &text);
        }
        samples
    }

    fn value(query: &str, at: f64) -> Vec<f64> {
        match evaluate(query, &samples(), at).unwrap() {
            Answer::Number(value) => vec![value],
            Answer::Vector(series) => series.into_iter().map(|(_, value)| value).collect(),
        }
    }

    #[test]
    fn the_demos_expressions_are_evaluated_as_prometheus_does() {
        for (query, at, expected) in [
            ("sum(rate(x_total[3s]))", 109.0, vec![30.0]),
            ("sum(rate(x_total{app=\"a\"}[3s]))", 108.5, vec![10.0]),
            ("rate(x_total{app=~\"b|c\"}[3s])", 109.0, vec![20.0]),
            ("time() - max(timestamp(x_total))", 109.5, vec![0.5]),
            ("depth{queue=\"mail\"}", 104.5, vec![7.0]),
            ("depth", 105.5, vec![]),
            ("sum(rate(depth[3s]))", 109.0, vec![]),
            ("sum(rate(nothing[3s]))", 109.0, vec![]),
            ("x_total{app=\"a\"} * 2", 100.0, vec![2000.0]),
            ("min(x_total) / 2", 109.0, vec![545.0]),
            ("x_total", 500.0, vec![]),
            ("1 + 2", 0.0, vec![3.0]),
        ] {
            assert_eq!(value(query, at), expected, "{query} at {at}");
        }
    }

    #[test]
    fn a_range_whose_end_is_empty_is_extrapolated_by_half_a_distance() {
        let rates = value("rate(x_total{app=\"a\"}[4s])", 111.0);
        assert_eq!(rates.len(), 1);
        assert!((rates[0] - 10.0 * 2.5 / 4.0).abs() < 1e-9, "{rates:?}");
    }

    #[test]
    fn what_is_not_known_is_refused_with_a_sentence_and_never_guessed() {
        for query in [
            "histogram_quantile(0.9, x_total)",
            "sum by (app) (x_total)",
            "x_total offset 1m",
            "x_total and depth",
            "x_total > 3",
            "x_total + x_total",
            "max_over_time(x_total[1m])",
            "-x_total",
        ] {
            let refusal = evaluate(query, &samples(), 109.0).unwrap_err();
            assert!(refusal.contains("cannot evaluate"), "{query}: {refusal}");
        }
        assert!(evaluate("sum(", &samples(), 109.0).is_err());
    }
}
