//! The terminal: taken over, drawn on, given back.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write, stdin, stdout};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio_util::sync::CancellationToken;

/// The other screen, without a cursor, without wrapping.
const TAKE_OVER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const GIVE_BACK: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Between these a terminal shows nothing half drawn; those that do not know them ignore them.
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[?2026l";
/// Where a terminal does not tell its size.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The terminal, taken over until this is dropped.
#[derive(Debug)]
pub(super) struct Terminal {
    before: Option<Termios>,
}

impl Terminal {
    pub(super) fn is_possible() -> bool {
        let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        stdin().is_terminal() && stdout().is_terminal() && !is_dumb
    }

    pub(super) fn open(stop: CancellationToken) -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut quiet = before.clone();
        // Keys are read one by one and not shown; Ctrl-C and Ctrl-Z stay what they are.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        tcsetattr(stdin(), OptionalActions::Now, &quiet)?;
        let terminal = Self { before: Some(before) };
        write(TAKE_OVER)?;
        // The thread ends with the process: nothing can take it away from its read.
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            for key in stdin().lock().bytes() {
                if matches!(key, Ok(b'q' | b'Q')) {
                    stop.cancel();
                }
            }
        })?;
        Ok(terminal)
    }

    /// Columns and rows now.
    #[allow(clippy::unused_self, reason = "only a terminal that was taken over is asked")]
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => USUAL_SIZE,
        }
    }

    /// Draws lines from the top, as many as there are rows.
    #[allow(clippy::unused_self, reason = "only a terminal that was taken over is drawn on")]
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let mut screen = BEGIN.to_owned();
        for (row, line) in lines.iter().enumerate() {
            // Erased before it is written: after a full line the cursor stands on its last sign. Writing to a String
            // cannot fail.
            let _ = write!(screen, "\x1b[{};1H\x1b[2K{line}", row.saturating_add(1));
        }
        screen.push_str(END);
        write(&screen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody left to tell of an error.
        let _ = write(GIVE_BACK);
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(stdin(), OptionalActions::Flush, &before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
