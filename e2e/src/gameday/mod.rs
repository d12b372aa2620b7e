//! Game days: the failure modes of the runbook, made on purpose. The whole operator runs on the API server double in virtual
//! time, a story is told to it second by second, and what it shows is printed as it comes.

mod scrape;
mod stories;
mod watch;

pub use stories::ALL;

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::bed::{BedError, SimulatedBed};
use scrape::scrape;
use watch::Watch;

/// Time for the workloads of a story to be there before it begins.
const BEFORE: Duration = Duration::from_mins(4);
/// How often metrics are read, in seconds of the story.
const SCRAPE_SECONDS: u64 = 5;

/// One failure mode to practise.
pub struct Gameday {
    /// What it is called, as its page in the runbook.
    pub name: &'static str,
    /// What happens, in a sentence.
    pub story: &'static str,
    /// What an operator shows of it; all of it must be seen.
    pub shows: &'static [Sign],
    seconds: u64,
    set: fn(&SimulatedBed) -> Result<(), BedError>,
    step: fn(&mut World<'_>) -> Result<(), BedError>,
}

/// Something that can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    /// A condition of a policy: type, status, reason.
    Condition(&'static str, &'static str, &'static str),
    /// An event about a policy, by its reason.
    Event(&'static str),
    /// A metric's name, a part of its labels, and the range that its value comes to lie in.
    Metric(&'static str, &'static str, f64, f64),
    /// A part of the message of `Ready`, as the column shows it.
    Says(&'static str),
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition(kind, status, reason) => write!(f, "condition {kind}={status}, reason {reason}"),
            Self::Event(reason) => write!(f, "event {reason}"),
            Self::Metric(name, "", ..) => write!(f, "metric {name}"),
            Self::Metric(name, label, ..) => write!(f, "metric {name}{{{label}}}"),
            Self::Says(words) => write!(f, "the sentence “… {words} …”"),
        }
    }
}

/// A second of a story.
pub struct World<'a> {
    /// Seconds since the story began.
    pub second: u64,
    /// The cluster.
    pub bed: &'a SimulatedBed,
    watch: &'a Watch,
    notes: Vec<String>,
    broken: Vec<String>,
}

impl World<'_> {
    /// Tells who looks on what happens now, at a moment of the story.
    fn at(&mut self, second: u64, note: &str) -> bool {
        let now = self.second == second;
        if now {
            self.notes.push(note.to_owned());
        }
        now
    }

    /// What must hold in every second.
    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }

    fn replicas(&self, workload: &str) -> u32 {
        self.watch.counts(workload).asked
    }

    fn ready(&self, workload: &str) -> u32 {
        self.watch.counts(workload).ready
    }

    /// Pods that exist, those included that start or drain.
    fn pods(&self) -> u32 {
        watch::pods(self.bed)
    }
}

/// What became of a game day.
pub struct Outcome {
    /// Signs with whether they were seen.
    pub signs: Vec<(Sign, bool)>,
    /// What must never have been.
    pub broken: Vec<String>,
}

impl Outcome {
    /// Whether everything was shown, and nothing happened that must not.
    pub fn passed(&self) -> bool {
        self.broken.is_empty() && self.signs.iter().all(|(_, seen)| *seen)
    }
}

impl Gameday {
    /// By its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|one| one.name == name)
    }

    /// Plays it; `tell` gets each line. Needs a paused clock.
    pub async fn play(&self, mut tell: impl FnMut(&str)) -> Result<Outcome, BedError> {
        let bed = SimulatedBed::new()?;
        (self.set)(&bed)?;
        sleep(BEFORE).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let operator = bed.operator_listening(Some(listener), None, &stop);
        let mut watch = Watch::default();
        let mut outcome =
            Outcome { signs: self.shows.iter().map(|sign| (*sign, false)).collect(), broken: Vec::new() };
        for second in 0..=self.seconds {
            let mut world = World { second, bed: &bed, watch: &watch, notes: Vec::new(), broken: Vec::new() };
            (self.step)(&mut world)?;
            let World { notes, broken, .. } = world;
            let clock = format!("{:3}:{:02}", second / 60, second % 60);
            for note in notes {
                tell(&format!("{clock}  ── {note}"));
            }
            for fault in broken {
                if !outcome.broken.contains(&fault) {
                    tell(&format!("{clock}  !! {fault}"));
                    outcome.broken.push(fault);
                }
            }
            for line in watch.look(&bed) {
                tell(&format!("{clock}     {line}"));
            }
            let metrics = if second % SCRAPE_SECONDS == 0 { scrape(address).await? } else { String::new() };
            for (sign, seen) in &mut outcome.signs {
                *seen = *seen || watch.shows(sign, &metrics);
            }
            sleep(Duration::from_secs(1)).await;
        }
        stop.cancel();
        // How it ends is no part of the story.
        let _ = operator.await;
        Ok(outcome)
    }
}
