//! The demo without a terminal: a line for each change, and one every few seconds.

use std::io::{self, Write};
use std::time::Duration;

use super::stage::{NoteKind, Stage, clock};

/// At least one line in this time.
const EVERY: Duration = Duration::from_secs(5);

/// Tells a stage in lines.
#[derive(Debug, Default)]
pub struct Lines {
    told: u64,
    asked: Option<u32>,
    last: Option<Duration>,
}

impl Lines {
    /// Prints what is new.
    pub fn show(&mut self, stage: &Stage) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let fresh = stage.told().saturating_sub(std::mem::replace(&mut self.told, stage.told()));
        let known = stage.feed().len().saturating_sub(usize::try_from(fresh).unwrap_or(usize::MAX));
        for note in stage.feed().iter().skip(known) {
            let mark = match note.kind {
                NoteKind::Story => "--",
                NoteKind::Event => "  ",
                NoteKind::Warning => "! ",
            };
            writeln!(out, "{:>5} {mark} {}", clock(note.at), note.text)?;
        }
        let Some(scene) = stage.scene() else { return Ok(()) };
        let is_due = self.last.is_none_or(|last| scene.now.saturating_sub(last) >= EVERY);
        if is_due || self.asked != Some(scene.asked) {
            writeln!(out, "{:>5}    {}", clock(scene.now), status(stage))?;
            self.asked = Some(scene.asked);
            self.last = Some(scene.now);
        }
        out.flush()
    }
}

/// The present moment in one line.
fn status(stage: &Stage) -> String {
    let Some(scene) = stage.scene() else { return String::new() };
    let (pods, connections) = (scene.pods, scene.connections);
    let limited = stage.decision().and_then(|decision| {
        let limit = decision.limited_by.as_ref()?;
        Some(format!(", {} more held back by {limit}", decision.unmet))
    });
    format!(
        "load {:.0}/s, served {:.0}/s; replicas {}: {} ready, {} starting, {} terminating; connections {}/{}, {} refused; an HPA: \
         {} replicas, {} connections{}",
        scene.load,
        scene.served,
        scene.asked,
        pods.ready,
        pods.starting,
        pods.terminating,
        connections.used,
        connections.limit,
        connections.refused,
        stage.hpa(),
        stage.hpa_connections(),
        limited.unwrap_or_default()
    )
}
