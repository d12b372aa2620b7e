//! PromQL's text from its tree. The parser's own writer loses some trees on the way (`offset 0`, `@ -1`, durations
//! below a millisecond), and text that decides who may read what should be written by code that is tested for it.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use promql_parser::label::{Labels, Matcher};
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinModifier, Expr, LabelModifier, Offset, SubqueryExpr,
    VectorMatchCardinality, VectorSelector,
};

/// `expr` as PromQL.
pub(super) fn expression(expr: &Expr) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write_expression(expr, &mut text);
    text
}

/// `selector` as PromQL.
pub(super) fn selector(selector: &VectorSelector) -> String {
    let mut text = String::new();
    let _ = write_selector(selector, None, &mut text);
    text
}

/// Appends `value` as a double-quoted string. Whatever is not printable ASCII is escaped, so that no reader of the
/// text can take it for anything else.
pub(super) fn string(value: &str, text: &mut String) {
    text.push('"');
    for sign in value.chars() {
        let _ = match sign {
            '"' | '\\' => write!(text, "\\{sign}"),
            '\n' => write!(text, "\\n"),
            ' '..='~' => write!(text, "{sign}"),
            _ if u32::from(sign) <= 0xffff => write!(text, "\\u{:04x}", u32::from(sign)),
            _ => write!(text, "\\U{:08x}", u32::from(sign)),
        };
    }
    text.push('"');
}

fn write_expression(expr: &Expr, text: &mut String) -> fmt::Result {
    match expr {
        Expr::Aggregate(aggregate) => write_aggregate(aggregate, text),
        Expr::Unary(unary) => {
            text.push('-');
            write_expression(&unary.expr, text)
        }
        Expr::Binary(binary) => {
            write_expression(&binary.lhs, text)?;
            write!(text, " {}", binary.op)?;
            if let Some(modifier) = &binary.modifier {
                write_modifier(modifier, text)?;
            }
            text.push(' ');
            write_expression(&binary.rhs, text)
        }
        Expr::Paren(paren) => {
            text.push('(');
            write_expression(&paren.expr, text)?;
            text.push(')');
            Ok(())
        }
        Expr::Subquery(subquery) => write_subquery(subquery, text),
        Expr::NumberLiteral(number) => write_number(number.val, text),
        Expr::StringLiteral(literal) => {
            string(&literal.val, text);
            Ok(())
        }
        Expr::VectorSelector(selector) => write_selector(selector, None, text),
        Expr::MatrixSelector(matrix) => write_selector(&matrix.vs, Some(matrix.range), text),
        Expr::Call(call) => {
            write!(text, "{}(", call.func.name)?;
            for (index, argument) in call.args.args.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_expression(argument, text)?;
            }
            text.push(')');
            Ok(())
        }
        // The parser never makes one.
        Expr::Extension(_) => Err(fmt::Error),
    }
}

fn write_aggregate(aggregate: &AggregateExpr, text: &mut String) -> fmt::Result {
    write!(text, "{}", aggregate.op)?;
    match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) => write_labels(" by ", labels, text),
        Some(LabelModifier::Exclude(labels)) => write_labels(" without ", labels, text),
        None => {}
    }
    text.push_str(if aggregate.modifier.is_some() { " (" } else { "(" });
    if let Some(parameter) = &aggregate.param {
        write_expression(parameter, text)?;
        text.push_str(", ");
    }
    write_expression(&aggregate.expr, text)?;
    text.push(')');
    Ok(())
}

fn write_modifier(modifier: &BinModifier, text: &mut String) -> fmt::Result {
    if modifier.return_bool {
        text.push_str(" bool");
    }
    match &modifier.matching {
        Some(LabelModifier::Include(labels)) => write_labels(" on ", labels, text),
        Some(LabelModifier::Exclude(labels)) => write_labels(" ignoring ", labels, text),
        None => {}
    }
    match &modifier.card {
        VectorMatchCardinality::ManyToOne(labels) => write_labels(" group_left ", labels, text),
        VectorMatchCardinality::OneToMany(labels) => write_labels(" group_right ", labels, text),
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {}
    }
    for (keyword, value) in
        [("fill_left", modifier.fill_values.lhs), ("fill_right", modifier.fill_values.rhs)]
    {
        if let Some(value) = value {
            write!(text, " {keyword} (")?;
            write_number(value, text)?;
            text.push(')');
        }
    }
    Ok(())
}

fn write_labels(keyword: &str, labels: &Labels, text: &mut String) {
    text.push_str(keyword);
    text.push('(');
    for (index, label) in labels.labels.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { ", " });
        write_label(label, text);
    }
    text.push(')');
}

fn write_label(label: &str, text: &mut String) {
    if super::is_label_name(label) {
        text.push_str(label);
    } else {
        string(label, text);
    }
}

fn write_subquery(subquery: &SubqueryExpr, text: &mut String) -> fmt::Result {
    write_expression(&subquery.expr, text)?;
    text.push('[');
    write_duration(subquery.range, text)?;
    text.push(':');
    if let Some(step) = subquery.step {
        write_duration(step, text)?;
    }
    text.push(']');
    write_shift(subquery.at.as_ref(), subquery.offset.as_ref(), text)
}

fn write_selector(selector: &VectorSelector, range: Option<Duration>, text: &mut String) -> fmt::Result {
    text.push_str(selector.name.as_deref().unwrap_or_default());
    let matchers = &selector.matchers.matchers;
    if !matchers.is_empty() || selector.name.is_none() {
        text.push('{');
        for (index, matcher) in matchers.iter().enumerate() {
            text.push_str(if index == 0 { "" } else { "," });
            write_matcher(matcher, text)?;
        }
        text.push('}');
    }
    if let Some(range) = range {
        text.push('[');
        write_duration(range, text)?;
        text.push(']');
    }
    write_shift(selector.at.as_ref(), selector.offset.as_ref(), text)
}

fn write_matcher(matcher: &Matcher, text: &mut String) -> fmt::Result {
    write_label(&matcher.name, text);
    write!(text, "{}", matcher.op)?;
    string(&matcher.value, text);
    Ok(())
}

fn write_shift(at: Option<&AtModifier>, offset: Option<&Offset>, text: &mut String) -> fmt::Result {
    match at {
        Some(AtModifier::Start) => text.push_str(" @ start()"),
        Some(AtModifier::End) => text.push_str(" @ end()"),
        Some(AtModifier::At(time)) => {
            let (sign, distance) = match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => ("", after),
                Err(_) => ("-", UNIX_EPOCH.duration_since(*time).unwrap_or_default()),
            };
            write!(text, " @ {sign}{}.{:03}", distance.as_secs(), distance.subsec_millis())?;
        }
        None => {}
    }
    match offset {
        Some(Offset::Pos(distance)) => {
            text.push_str(" offset ");
            write_duration(*distance, text)
        }
        Some(Offset::Neg(distance)) => {
            text.push_str(" offset -");
            write_duration(*distance, text)
        }
        None => Ok(()),
    }
}

/// In the largest unit that holds it exactly.
fn write_duration(duration: Duration, text: &mut String) -> fmt::Result {
    let milliseconds = duration.as_millis();
    let units = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    for (unit, length) in units {
        if let Some(0) = milliseconds.checked_rem(length) {
            return write!(text, "{}{unit}", milliseconds.checked_div(length).unwrap_or_default());
        }
    }
    write!(text, "{milliseconds}ms")
}

fn write_number(value: f64, text: &mut String) -> fmt::Result {
    if value.is_nan() {
        text.push_str("NaN");
        Ok(())
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "Inf" } else { "-Inf" });
        Ok(())
    } else {
        write!(text, "{value}")
    }
}
