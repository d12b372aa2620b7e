//! The demo on a terminal: one screen, drawn anew five times a second.

mod canvas;
mod chart;
mod layout;
mod terminal;

use std::env;
use std::io;

use tokio_util::sync::CancellationToken;

use super::stage::Stage;
use terminal::Terminal;

/// The live view; the terminal is as before once this is dropped.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal,
    is_coloured: bool,
}

impl Screen {
    /// Takes the terminal over. The key q cancels `stop`.
    pub fn open(stop: CancellationToken) -> io::Result<Self> {
        // https://no-color.org: any value but an empty one.
        let is_coloured = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Self { terminal: Terminal::open(stop)?, is_coloured })
    }

    /// Whether a live view can be shown: both ends are a terminal that understands its codes.
    pub fn is_possible() -> bool {
        Terminal::is_possible()
    }

    /// Draws the stage.
    pub fn draw(&mut self, stage: &Stage) -> io::Result<()> {
        let (width, height) = self.terminal.size();
        let lines = layout::frame(stage, width, height);
        let lines: Vec<String> = lines.iter().map(|line| line.text(width, self.is_coloured)).collect();
        self.terminal.draw(&lines)
    }
}
