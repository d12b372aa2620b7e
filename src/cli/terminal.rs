//! What the terminal can do, and what is only for it.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::inspect::Paint;

/// Shorter work needs no word.
const PATIENCE: Duration = Duration::from_millis(700);

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

/// How far long work has come, on standard error and only where that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    begun: Instant,
    shown: bool,
    wanted: bool,
}

impl Progress {
    /// For work that is called `what`, as in `12 of 33 settings`.
    pub(super) fn of(what: &'static str) -> Self {
        let wanted = io::stderr().is_terminal() && !is_dumb();
        Self { what, begun: Instant::now(), shown: false, wanted }
    }

    /// So much is done.
    pub(super) fn tell(&mut self, done: usize, all: usize) {
        if self.wanted && self.begun.elapsed() >= PATIENCE && done < all {
            self.shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{done} of {all} {}", self.what);
            let _ = io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    /// What was told is taken back: it is no result.
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
            let _ = io::stderr().flush();
        }
    }
}
