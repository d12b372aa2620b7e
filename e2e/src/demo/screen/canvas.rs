//! Lines with styles, cut to a terminal's width.

use std::fmt::Write as _;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// As everything.
    #[default]
    Plain,
    /// Less important.
    Dim,
    /// More important.
    Bold,
    /// As it should be.
    Good,
    /// At a limit.
    Warn,
    /// Beyond a limit.
    Bad,
    /// What arrives.
    Load,
    /// A bar across the screen.
    Bar,
}

impl Style {
    const fn codes(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Load => "36",
            Self::Bar => "7",
        }
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    spans: Vec<(Style, String)>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A line that begins with `label` in a column of its own.
    pub(super) fn labelled(label: &str) -> Self {
        Self::new().with(Style::Dim, format!(" {label:<9} "))
    }

    #[must_use]
    pub(super) fn with(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.push(style, text);
        self
    }

    pub(super) fn push(&mut self, style: Style, text: impl AsRef<str>) {
        // What a policy's author wrote may end up here, and must not command the terminal.
        let text = text.as_ref().chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
        self.spans.push((style, text));
    }

    pub(super) fn width(&self) -> usize {
        self.spans.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// The line as a terminal takes it: cut to `width`, with an ellipsis where something is missing.
    pub(super) fn text(&self, width: usize, is_coloured: bool) -> String {
        let is_cut = self.width() > width;
        let mut left = if is_cut { width.saturating_sub(1) } else { width };
        let mut text = String::new();
        for (style, span) in &self.spans {
            let shown: String = span.chars().take(left).collect();
            left = left.saturating_sub(shown.chars().count());
            if is_coloured && *style != Style::Plain && !shown.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(text, "\x1b[{}m{shown}\x1b[0m", style.codes());
            } else {
                text.push_str(&shown);
            }
        }
        if is_cut && width > 0 {
            text.push('…');
        }
        text
    }
}

/// `text` in lines of at most `width`, broken at spaces where there are some; at most `most` lines, the last one cut.
pub(super) fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &String| line.chars().count() + 1 + word.chars().count() <= width;
        let is_last = lines.len() >= most;
        match lines.last_mut() {
            Some(line) if is_last || fits(line) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_the_width_and_says_so() {
        let line = Line::new().with(Style::Plain, "load ").with(Style::Bad, "1500/s");
        assert_eq!(line.text(11, false), "load 1500/s");
        assert_eq!(line.text(8, false), "load 15…");
        assert_eq!(line.text(8, true), "load \x1b[31m15\x1b[0m…");
        assert_eq!(line.text(0, true), "");
    }

    #[test]
    fn nothing_that_is_shown_commands_the_terminal() {
        let line = Line::new().with(Style::Plain, "a\x1b[2Jb\nc");
        assert_eq!(line.text(80, false), "a [2Jb c");
    }

    #[test]
    fn long_sentences_are_broken_at_spaces() {
        assert_eq!(wrapped("needs 30, held at 16", 9, 9), ["needs 30,", "held at", "16"]);
        assert_eq!(wrapped("needs 30, held at 16", 9, 2), ["needs 30,", "held at 16"]);
        assert!(wrapped("", 9, 2).is_empty());
    }
}
