//! A look at a query's characters before the parser sees them: bounds it, and spells raw strings in the one way that
//! the parser reads as Prometheus does.

use super::ParseError;

/// The longest query, in bytes.
pub(super) const MAX_BYTES: usize = 16 * 1024;
/// The most words, numbers, strings and signs in one query. The parser and every walk over what it returns recurse,
/// so this is what keeps a hostile query from exhausting the stack.
pub(super) const MAX_TOKENS: usize = 1000;

/// A query's text, cut into tokens.
pub(super) struct Lexed {
    /// The query without comments and with every raw string (between back-ticks) as a double-quoted one.
    pub(super) text: String,
    /// Where each token ends in `text`, and the bracket that it opens or closes.
    pub(super) tokens: Vec<Token>,
    /// Offsets in `text` from which on it runs parallel to the original, with the original's offset.
    parallels: Vec<(usize, usize)>,
}

pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) bracket: Option<char>,
}

impl Lexed {
    /// The offset in the query as written that `offset` in `text` came from.
    pub(super) fn original_offset(&self, offset: usize) -> usize {
        self.parallels
            .iter()
            .rev()
            .find(|(here, _)| *here <= offset)
            .map_or(offset, |(here, there)| there + (offset - here))
    }
}

/// Cuts `query` into tokens.
pub(super) fn lex(query: &str) -> Result<Lexed, ParseError> {
    if query.len() > MAX_BYTES {
        return Err(ParseError::new(format!(
            "the query is {} bytes long, more than {MAX_BYTES}; move parts of it into recording rules",
            query.len()
        )));
    }
    let mut cut = Cut {
        rest: query,
        lexed: Lexed { text: String::with_capacity(query.len()), tokens: Vec::new(), parallels: Vec::new() },
        length: query.len(),
    };
    while let Some(first) = cut.rest.chars().next() {
        cut.token(first);
        if cut.lexed.tokens.len() > MAX_TOKENS {
            return Err(ParseError::new(format!(
                "the query has more than {MAX_TOKENS} words and signs; move parts of it into recording rules"
            )));
        }
    }
    Ok(cut.lexed)
}

/// Refuses durations written as numbers that no clock can hold: the parser panics on them.
pub(super) fn refuse_endless_durations(lexed: &Lexed) -> Result<(), ParseError> {
    let words =
        || lexed.tokens.iter().map(|token| lexed.text.get(token.start..token.end).unwrap_or_default());
    let mut duration_follows = false;
    for word in words() {
        let number = word.parse::<f64>().ok().filter(|_| duration_follows);
        if number.is_some_and(|seconds| !seconds.is_finite() || seconds > super::LONGEST.as_secs_f64()) {
            return Err(ParseError::new(super::TOO_LONG));
        }
        duration_follows = match word {
            "[" | ":" => true,
            "+" | "-" => duration_follows,
            _ => word.eq_ignore_ascii_case("offset"),
        };
    }
    Ok(())
}

struct Cut<'a> {
    rest: &'a str,
    lexed: Lexed,
    length: usize,
}

impl Cut<'_> {
    fn token(&mut self, first: char) {
        match first {
            '#' => self.comment(),
            '`' => self.raw_string(),
            '"' | '\'' => {
                let length = quoted_length(self.rest, first);
                self.copy(length);
            }
            _ if first.is_ascii_whitespace() => self.copy_blank(first.len_utf8()),
            _ if is_word(first) => {
                let length = self.rest.find(|sign| !is_word(sign)).unwrap_or(self.rest.len());
                self.copy(length);
            }
            _ => {
                let two = ["!=", "!~", "=~", "==", "<=", ">="].iter().any(|sign| self.rest.starts_with(sign));
                let length = if two { 2 } else { first.len_utf8() };
                self.copy(length);
            }
        }
    }

    fn comment(&mut self) {
        let length = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        self.skip(length);
        self.lexed.text.push(' ');
        self.mark();
    }

    /// Between back-ticks Prometheus knows no escapes; the parser does, and so would misread `\d` and `` \` ``.
    fn raw_string(&mut self) {
        let inner = self.rest.strip_prefix('`').unwrap_or_default();
        let Some((value, _)) = inner.split_once('`') else {
            self.copy(self.rest.len());
            return;
        };
        let start = self.lexed.text.len();
        super::render::string(value, &mut self.lexed.text);
        self.lexed.tokens.push(Token { start, end: self.lexed.text.len(), bracket: None });
        self.skip(value.len() + 2);
        self.mark();
    }

    fn copy(&mut self, length: usize) {
        let start = self.lexed.text.len();
        self.copy_blank(length);
        let end = self.lexed.text.len();
        let bracket = self.lexed.text.get(start..end).and_then(only_bracket);
        self.lexed.tokens.push(Token { start, end, bracket });
    }

    fn copy_blank(&mut self, length: usize) {
        let (taken, _) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.lexed.text.push_str(taken);
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    fn mark(&mut self) {
        self.lexed.parallels.push((self.lexed.text.len(), self.length - self.rest.len()));
    }
}

fn is_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '_' | ':' | '.')
}

fn only_bracket(token: &str) -> Option<char> {
    token.chars().next().filter(|sign| token.len() == 1 && "()[]{}".contains(*sign))
}

/// The length of the quoted string at the start of `text`, quotes included; all of `text` if the string never ends.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (offset, sign) in text.char_indices().skip(1) {
        match sign {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if sign == quote => return offset + sign.len_utf8(),
            _ => {}
        }
    }
    text.len()
}
