//! Queries that a policy may hold, confined to its namespace.

use std::panic::catch_unwind;

use plimsoll::prometheus::promql::{AgeQuery, Query};
use plimsoll::time::Span;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, VectorSelector, parse};

pub(crate) const WORDS: &[&str] = &[
    "sum by (pod) (",
    "rate(x[5m])",
    "{__name__=~\".+\"}",
    " offset -5m",
    " @ end()",
    "[1h:1m]",
    " or ",
    " unless ",
    " and on (a) group_left (b) ",
    "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")",
    "topk(3, x)",
    "info(x)",
    "'\\''",
    "`\"`",
    "\"\\\"}\"",
    "#",
    "\n",
    "{\"a.b\"}",
    "namespace",
    "namespace=\"victim\"",
    "bool",
    "atan2",
    "0x1F",
    "1e9",
    "-",
    "^",
    ")",
    "{",
    "}",
    "vector(0)",
    "time()",
    "absent(x)",
    "histogram_quantile(0.9, x)",
    "\\u0000",
    "\u{2028}",
];

/// The namespaces a query is confined to, some of which try to end the string that they are put into; no name of a
/// real namespace does.
const NAMESPACES: [&str; 4] = ["shop", "a\"} or {x=\"", "`'\\", "\n\u{0}é"];

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The first digit, if there is one, chooses the namespace.
    let (namespace, text) = match text.split_at_checked(1) {
        Some((digit, rest)) if digit.parse::<usize>().is_ok() => (digit.parse().unwrap_or_default(), rest),
        _ => (0, text),
    };
    let Ok(query) = Query::parse(text) else { return };
    let written = query.to_string();
    let again =
        Query::parse(&written).unwrap_or_else(|fault| panic!("{text:?} was written as {written:?}: {fault}"));
    assert_eq!(written, again.to_string(), "{text:?} was not written as it was read");
    confine(query, text, NAMESPACES[namespace % NAMESPACES.len()]);
}

fn confine(mut query: Query, text: &str, namespace: &str) {
    let unconfined = selectors(&query.to_string());
    if query.inject_matcher("namespace", namespace).is_err() {
        return;
    }
    let Ok(confined) = query.verified_text() else { return };
    let found = selectors(&confined);
    assert_eq!(found.len(), unconfined.len(), "{text:?} became {confined:?}");
    let matcher = Matcher::new(MatchOp::Equal, "namespace", namespace);
    all_carry(&found, &matcher, &confined);
    let ages = match query.age_query() {
        AgeQuery::Ask(age) => Some(age),
        AgeQuery::NotSampled => {
            assert!(found.is_empty(), "{confined:?} reads samples");
            None
        }
    };
    for question in ages.into_iter().chain(query.coverage_query(Span::from_seconds(60))) {
        // A question may ask more than is allowed of a query; then it is refused where it is asked.
        let asked = selectors(&question);
        assert!(!asked.is_empty(), "{question:?}");
        all_carry(&asked, &matcher, &question);
    }
}

fn all_carry(selectors: &[VectorSelector], matcher: &Matcher, text: &str) {
    for selector in selectors {
        assert!(selector.matchers.or_matchers.is_empty(), "{text:?}");
        assert!(selector.matchers.matchers.contains(matcher), "{selector:?} in {text:?} is not confined");
    }
}

/// Every selector in `text`, found by a walk of its own.
fn selectors(text: &str) -> Vec<VectorSelector> {
    let parsed = catch_unwind(|| parse(text)).unwrap_or_else(|_| panic!("the parser panics at {text:?}"));
    let mut pending = vec![parsed.unwrap_or_else(|fault| panic!("{text:?} cannot be read: {fault}"))];
    let mut found = Vec::new();
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::VectorSelector(selector) => found.push(selector),
            Expr::MatrixSelector(matrix) => found.push(matrix.vs),
            Expr::Aggregate(aggregate) => {
                pending.extend(aggregate.param.map(|parameter| *parameter));
                pending.push(*aggregate.expr);
            }
            Expr::Unary(unary) => pending.push(*unary.expr),
            Expr::Binary(binary) => pending.extend([*binary.lhs, *binary.rhs]),
            Expr::Paren(paren) => pending.push(*paren.expr),
            Expr::Subquery(subquery) => pending.push(*subquery.expr),
            Expr::Call(call) => pending.extend(call.args.args.into_iter().map(|argument| *argument)),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
            Expr::Extension(_) => panic!("{text:?} holds what no query holds"),
        }
    }
    found
}
