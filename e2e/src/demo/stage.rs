//! What a person sees of the demo, whichever way it is shown.

use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::path::Path;
use std::time::Duration;

use plimsoll::control::{Decision, Policy, Signal};
use plimsoll::operator::Record;

use super::cluster::{Event, NAME, NAMESPACE};
use super::ledger::hpa_connections;
use super::story::Chapter;
use super::world::Scene;

/// Moments remembered in a second.
const MOMENTS_PER_SECOND: f64 = 4.0;
/// Notes remembered.
const FEED: usize = 200;

/// What a person sees.
#[derive(Debug)]
pub struct Stage {
    duration: Duration,
    source: &'static str,
    command: String,
    has_kubectl: bool,
    signal: Option<Signal>,
    scene: Option<Scene>,
    hpa: u32,
    decision: Option<Decision>,
    history: Vec<Moment>,
    feed: VecDeque<Note>,
    told: u64,
    known_events: BTreeSet<String>,
}

/// What is remembered of a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Time since the beginning.
    pub at: Duration,
    /// Requests a second that arrived.
    pub load: f64,
    /// Replicas asked for.
    pub asked: u32,
    /// Replicas that an HPA would have asked for.
    pub hpa: u32,
    /// The most replicas that all limits allowed.
    pub ceiling: Option<u32>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Time since the beginning.
    pub at: Duration,
    /// Who says so.
    pub kind: NoteKind,
    /// What happened.
    pub text: String,
}

/// Who tells of something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// The story.
    Story,
    /// An event of the policy.
    Event,
    /// An event of the policy at which somebody should look.
    Warning,
}

impl Stage {
    /// An empty stage.
    pub fn new(duration: Duration, kubeconfig: &Path, source: &'static str, policy: &Policy) -> Self {
        let kubeconfig = kubeconfig.display();
        Self {
            duration,
            source,
            command: format!("kubectl --kubeconfig {kubeconfig} -n {NAMESPACE} describe sp {NAME}"),
            has_kubectl: is_installed("kubectl"),
            signal: policy.signals.first().cloned(),
            scene: None,
            hpa: 0,
            decision: None,
            history: Vec::new(),
            feed: VecDeque::new(),
            told: 0,
            known_events: BTreeSet::new(),
        }
    }

    /// What is said before the day begins.
    pub fn introduce(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "Plimsoll scales a shop's checkout through a day squeezed into {:.0} seconds.",
                self.duration.as_secs_f64()
            ),
            format!("Signals come from {}.", self.source),
            "It begins in a few seconds; q or Ctrl-C ends it. Meanwhile, try:".to_owned(),
            self.command.clone(),
        ];
        if !self.has_kubectl {
            lines.push("(kubectl is not installed; the demo does without it.)".to_owned());
        }
        lines
    }

    /// Takes note of an evaluation.
    pub fn evaluated(&mut self, record: &Record) {
        self.decision = Some(record.decision.clone());
    }

    /// Shows a moment, with the replicas that an HPA would ask for at it and all events of the policy until then.
    pub fn show(&mut self, scene: &Scene, hpa: u32, events: Vec<Event>) {
        self.hpa = hpa;
        let before = self.scene.replace(*scene);
        if before.map(|before| before.chapter) != Some(scene.chapter) {
            self.chapter(scene);
        }
        if scene.has_rolled_out && before.is_some_and(|before| !before.has_rolled_out) {
            self.note(
                scene.now,
                NoteKind::Story,
                "a new version is rolled out in the middle of it".to_owned(),
            );
        }
        for event in events {
            self.event(scene.now, event);
        }
        let due = f64::from(plimsoll::number::count_of(self.history.len())) / MOMENTS_PER_SECOND;
        if scene.now.as_secs_f64() >= due {
            self.history.push(Moment {
                at: scene.now,
                load: scene.load,
                asked: scene.asked,
                hpa,
                ceiling: self.decision.as_ref().map(|decision| decision.effective_max),
            });
        }
    }

    fn chapter(&mut self, scene: &Scene) {
        let returns = scene.chapter == Chapter::Afternoon
            && self.feed.iter().any(|note| note.text == Chapter::Outage.headline());
        let text = if returns { "the metric is back" } else { scene.chapter.headline() };
        self.note(scene.now, NoteKind::Story, text.to_owned());
    }

    fn event(&mut self, now: Duration, event: Event) {
        if self.known_events.insert(event.name) {
            let kind = if event.warning { NoteKind::Warning } else { NoteKind::Event };
            self.note(now, kind, format!("{}: {}", event.reason, event.message));
        }
    }

    fn note(&mut self, at: Duration, kind: NoteKind, text: String) {
        if self.feed.len() >= FEED {
            self.feed.pop_front();
        }
        self.feed.push_back(Note { at, kind, text });
        self.told += 1;
    }

    /// How long the day is.
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The command that shows the policy.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Whether that command can be tried.
    pub const fn has_kubectl(&self) -> bool {
        self.has_kubectl
    }

    /// The signal that drives the count.
    pub const fn signal(&self) -> Option<&Signal> {
        self.signal.as_ref()
    }

    /// The world at the present moment.
    pub const fn scene(&self) -> Option<&Scene> {
        self.scene.as_ref()
    }

    /// The last decision.
    pub const fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// What an HPA would ask for now.
    pub const fn hpa(&self) -> u32 {
        self.hpa
    }

    /// The connections that an HPA would want now.
    pub fn hpa_connections(&self) -> u32 {
        self.scene.map_or(0, |scene| hpa_connections(self.hpa, &scene.connections))
    }

    /// The day so far.
    pub fn history(&self) -> &[Moment] {
        &self.history
    }

    /// How many moments the history of a whole day has.
    pub fn moments_in_a_day(&self) -> u32 {
        plimsoll::number::ceil_count(self.duration.as_secs_f64() * MOMENTS_PER_SECOND)
    }

    /// What happened, oldest first.
    pub const fn feed(&self) -> &VecDeque<Note> {
        &self.feed
    }

    /// How much has happened.
    pub const fn told(&self) -> u64 {
        self.told
    }
}

/// A moment as minutes and seconds.
pub fn clock(moment: Duration) -> String {
    let seconds = moment.as_secs();
    format!("{}:{:02}", seconds.wrapping_div(60), seconds % 60)
}

fn is_installed(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|place| place.join(program).is_file()))
}
