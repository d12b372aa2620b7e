//! Where in a query the parser stumbled: its own words do not say.

use super::lexical::Lexed;
use super::{GRAMMAR_ERROR, ParseError, parse};

/// The parser's `words` as a sentence with the line and column in `original`.
pub(super) fn locate(words: &str, lexed: &Lexed, original: &str) -> ParseError {
    if words != GRAMMAR_ERROR {
        let place =
            named_part(words, original).map(|offset| format!(", {}", line_and_column(original, offset)));
        return ParseError::new(format!("{words}{}", place.unwrap_or_default()));
    }
    match first_misfit(lexed) {
        Some((offset, token)) => {
            let offset = lexed.original_offset(offset);
            let shown: String = token.chars().take(40).collect();
            ParseError::new(format!("{words}: unexpected `{shown}`, {}", line_and_column(original, offset)))
        }
        None => ParseError::new(format!("{words}: it ends before it is complete")),
    }
}

fn line_and_column(text: &str, offset: usize) -> String {
    let (before, _) = text.split_at_checked(offset).unwrap_or((text, ""));
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// Where the part of the query stands that the parser's words put in quotes, if it is there just once.
fn named_part(words: &str, original: &str) -> Option<usize> {
    let name = words.split('\'').nth(1).filter(|name| !name.is_empty())?;
    let mut places = original.match_indices(name);
    let (offset, _) = places.next()?;
    places.next().is_none().then_some(offset)
}

/// The first token that no continuation could make part of a query. Whether tokens can begin a query is monotone,
/// so halving finds it.
fn first_misfit(lexed: &Lexed) -> Option<(usize, &str)> {
    let fits = |count: usize| can_be_completed(lexed, count);
    if fits(lexed.tokens.len()) {
        return None;
    }
    let (mut fitting, mut misfit) = (0, lexed.tokens.len());
    while misfit - fitting > 1 {
        let middle = fitting.midpoint(misfit);
        if fits(middle) {
            fitting = middle;
        } else {
            misfit = middle;
        }
    }
    let token = lexed.tokens.get(fitting)?;
    Some((token.start, lexed.text.get(token.start..token.end)?))
}

/// Whether the first `count` tokens begin something that the grammar takes; types do not matter here.
fn can_be_completed(lexed: &Lexed, count: usize) -> bool {
    let Some(last) = count.checked_sub(1).and_then(|index| lexed.tokens.get(index)) else { return true };
    let begun = lexed.text.get(..last.end).unwrap_or_default();
    let mut open = Vec::new();
    for token in lexed.tokens.iter().take(count) {
        match token.bracket {
            Some(bracket @ ('(' | '[' | '{')) => open.push(bracket),
            Some(_) => drop(open.pop()),
            None => {}
        }
    }
    let innermost: &[&str] = match open.last() {
        Some('{') => &["}", "x=\"y\"}", "=\"y\"}", "\"y\"}"],
        Some('[') => &["]", "5m]", ":]"],
        _ => &["", " x", "(x)", "(x)(x)", "(x) x", " 5m", " 1", "()"],
    };
    if matches!(open.last(), Some('{' | '[')) {
        open.pop();
    }
    let parentheses = open.iter().filter(|bracket| **bracket == '(').count();
    innermost.iter().any(|inner| {
        // A list of labels ends in the innermost parenthesis and may need its operand after it.
        ["", " x", "(x)"].iter().any(|after| {
            let text = match parentheses.checked_sub(1) {
                Some(outer) => format!("{begun}{inner}){after}{}", ")".repeat(outer)),
                None => format!("{begun}{inner}"),
            };
            grammar_takes(&text)
        })
    })
}

fn grammar_takes(text: &str) -> bool {
    promql_parser::parser::lexer(text).is_ok() && !matches!(parse(text), Err(words) if words == GRAMMAR_ERROR)
}
