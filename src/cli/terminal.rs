//! What the terminal can do, and what is only for it.

use std::env;
use std::io::{self, IsTerminal as _};

use crate::inspect::Paint;

/// Colours on a terminal, unless NO_COLOR is set or the terminal has none.
pub(super) fn paint() -> Paint {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    Paint::when(io::stdout().is_terminal() && !set("NO_COLOR") && !is_dumb())
}

/// Whether what is printed can be drawn anew in place.
pub(super) fn is_live() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Columns and rows of the terminal; none if there is none.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}
