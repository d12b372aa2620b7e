//! A terminal that is drawn on in place, and given back as it was.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The other screen, where what was printed before stays untouched; no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Ctrl-C and Ctrl-D, which come as bytes while keys are read one by one.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// What happened while somebody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// They have seen enough, or are to see no more.
    End,
    /// The terminal has another size.
    Resized,
}

/// The terminal while it is drawn on; dropped, it is as before.
pub(super) struct Live {
    /// How keys came before; none where they do not come from a terminal.
    before: Option<Termios>,
    keys: mpsc::Receiver<u8>,
    resized: Signal,
    ended: [Signal; 3],
}

impl Live {
    /// Takes the terminal.
    pub(super) fn begin() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        let resized = listen(SignalKind::window_change())?;
        let ended = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ];
        let before = if io::stdin().is_terminal() { Some(one_by_one()?) } else { None };
        let keys = if before.is_some() { listen_to_keys() } else { mpsc::channel(1).1 };
        let live = Self { before, keys, resized, ended };
        draw(ENTER);
        Ok(live)
    }

    /// Waits until something happens.
    pub(super) async fn next(&mut self) -> Happening {
        let [interrupt, terminate, hangup] = &mut self.ended;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Happening::End,
                _ = terminate.recv() => return Happening::End,
                _ = hangup.recv() => return Happening::End,
                _ = self.resized.recv() => return Happening::Resized,
                Some(key) = self.keys.recv() => {
                    if matches!(key, b'q' | b'Q' | CTRL_C | CTRL_D) {
                        return Happening::End;
                    }
                }
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        draw(LEAVE);
        if let Some(before) = &self.before {
            // Nothing more can be done for a terminal that is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// Keys come as they are pressed, unseen, and none of them stops the program. Returns how it was before.
fn one_by_one() -> Result<Termios, String> {
    let fault = |error| format!("the terminal's keys cannot be read: {error}");
    let before = tcgetattr(io::stdin()).map_err(fault)?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(io::stdin(), OptionalActions::Now, &modes).map_err(fault)?;
    Ok(before)
}

/// Reads keys for as long as the program runs: nothing else can end a read from a terminal.
fn listen_to_keys() -> mpsc::Receiver<u8> {
    let (send, receive) = mpsc::channel(16);
    thread::spawn(move || {
        for key in io::stdin().lock().bytes() {
            let Ok(key) = key else { return };
            if send.blocking_send(key).is_err() {
                return;
            }
        }
    });
    receive
}

fn draw(text: &str) {
    // A terminal that is gone need not be drawn on.
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}
