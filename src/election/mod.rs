//! Who leads, after the rules of client-go's leader election: a candidate believes only time that passed on its own
//! clock since it saw the record change, never the times in the record.
//!
//! A leader may begin a write until [`Terms::write_until`] after the *start* of its last successful renewal, and no
//! write lasts longer than [`Terms::longest_write`]. A candidate takes the record over at the earliest
//! [`Terms::lease`] after it saw it change, which is after that renewal. So when a successor begins, every write of its
//! predecessor has landed or was given up.
//!
//! Moments are spans since the candidate began, on a clock that never jumps.

use crate::time::{Span, Time};

/// How long things may take. The defaults are client-go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// A record that has not changed for so long may be taken over.
    pub lease: Span,
    /// A leader that could not renew for so long leads no more.
    pub renew_deadline: Span,
    /// Time between two tries.
    pub retry: Span,
    /// A write may take so long.
    pub longest_write: Span,
    /// How far two clocks may drift apart within one lease.
    pub drift: Span,
}

impl Terms {
    /// How long after the start of its last renewal a leader may begin a write.
    pub const fn write_until(&self) -> Span {
        let last = self.lease.minus(self.longest_write).minus(self.drift);
        if last.millis() < self.renew_deadline.millis() { last } else { self.renew_deadline }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Span::from_seconds(15),
            renew_deadline: Span::from_seconds(10),
            retry: Span::from_seconds(2),
            longest_write: Span::from_seconds(5),
            drift: Span::from_seconds(1),
        }
    }
}

/// What the shared record says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// Who leads; none if the last leader gave it back.
    pub holder: Option<String>,
    /// How long the holder asks others to wait after a change of the record.
    pub lease: Span,
    /// When the holder became leader, by its own clock. For people to read.
    pub acquired: Time,
    /// When the holder last renewed, by its own clock. For people to read.
    pub renewed: Time,
    /// How often the holder changed.
    pub transitions: u32,
}

/// The record in a version that a write can name, so that only one of two writers wins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versioned {
    /// What it says.
    pub record: Record,
    /// Which version it is.
    pub version: String,
}

/// What a candidate should do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until this moment.
    Wait(Span),
    /// Read the record.
    Read,
    /// Write the record, if it still has the version; create it if there is none.
    Write {
        /// What to write.
        record: Record,
        /// The version that the write must name.
        version: Option<String>,
    },
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It landed, and made this version.
    Landed(String),
    /// Another write came first, or the record is not there to be written.
    Refused,
    /// Nobody knows: no answer, or an answer that says nothing about the record.
    Unknown,
}

/// One process that would lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    identity: String,
    terms: Terms,
    /// The record as last seen or written, and when that version was first seen.
    seen: Option<Seen>,
    /// When the last successful write of the record began, while it is ours.
    renewed: Option<Span>,
    /// The record must be read before it is written.
    stale: bool,
    /// When a record that had been there was first missed: its holder may still believe in it.
    missed: Option<Span>,
    due: Span,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    versioned: Versioned,
    since: Span,
}

impl Candidate {
    /// A candidate that has seen nothing. `identity` must be another for each process, restarts included.
    pub const fn new(identity: String, terms: Terms) -> Self {
        Self { identity, terms, seen: None, renewed: None, stale: true, missed: None, due: Span::ZERO }
    }

    /// Whether this candidate leads.
    pub fn leads(&self, now: Span) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// Until when this candidate leads unless it renews; none if it does not lead.
    pub fn leads_until(&self) -> Option<Span> {
        self.renewed.map(|renewed| renewed + self.terms.renew_deadline)
    }

    /// Until when a write may begin; none if this candidate does not lead.
    pub fn may_write_until(&self) -> Option<Span> {
        self.renewed.map(|renewed| renewed + self.terms.write_until())
    }

    /// Who leads as far as this candidate knows.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().and_then(|seen| seen.versioned.record.holder.as_deref())
    }

    /// What to do next. `wall` is the wall clock's time, which is only written down.
    pub fn next(&self, now: Span, wall: Time) -> Step {
        if now < self.due {
            return Step::Wait(self.due);
        }
        match &self.seen {
            _ if self.stale => Step::Read,
            Some(seen) if !self.may_take(seen, now) => Step::Read,
            seen => {
                let before = seen.as_ref().map(|seen| &seen.versioned);
                Step::Write {
                    record: self.claim(before.map(|before| &before.record), wall),
                    version: before.map(|before| before.version.clone()),
                }
            }
        }
    }

    /// The record was read; none if it does not exist.
    pub fn read(&mut self, found: Option<Versioned>, now: Span) {
        match found {
            None => {
                if self.seen.take().is_some() {
                    self.missed = Some(now);
                }
            }
            Some(versioned) => {
                self.missed = None;
                if self.seen.as_ref().is_none_or(|seen| seen.versioned.version != versioned.version) {
                    self.seen = Some(Seen { versioned, since: now });
                }
            }
        }
        if self.holder() != Some(&self.identity) {
            self.renewed = None;
        }
        let must_wait = match &self.seen {
            Some(seen) => !self.may_take(seen, now),
            None => self.missed.is_some_and(|missed| now < missed + self.terms.lease),
        };
        self.stale = must_wait;
        if must_wait {
            self.wait(now);
        } else {
            self.due = now;
        }
    }

    /// The record could not be read.
    pub fn not_read(&mut self, now: Span) {
        self.wait(now);
    }

    /// A write of the record begins. Until its end is known, so is nothing else.
    pub const fn writing(&mut self) {
        self.stale = true;
    }

    /// This candidate leads no more, whatever the record says.
    pub const fn give_up(&mut self) {
        self.renewed = None;
        self.stale = true;
    }

    /// A write of `record` that began at `began` ended.
    pub fn written(&mut self, record: Record, outcome: Outcome, began: Span, now: Span) {
        match outcome {
            Outcome::Landed(version) => {
                self.seen = Some(Seen { versioned: Versioned { record, version }, since: now });
                self.renewed = Some(began);
                self.stale = false;
                self.due = began + self.terms.retry;
            }
            // It may be an edit by hand, and a leader's time is short.
            Outcome::Refused => {
                self.stale = true;
                self.due = now + Span::from_millis(self.terms.retry.millis() / 4);
            }
            Outcome::Unknown => {
                self.stale = true;
                self.wait(now);
            }
        }
    }

    /// The record with which a leader gives its lease back, so that nobody has to wait; only after its last write.
    pub fn release(&mut self, now: Span, wall: Time) -> Option<(Record, String)> {
        if !self.leads(now) || self.stale {
            return None;
        }
        self.renewed = None;
        let Versioned { record, version } = &self.seen.as_ref()?.versioned;
        let record = Record { holder: None, lease: Span::from_seconds(1), renewed: wall, ..record.clone() };
        Some((record, version.clone()))
    }

    /// Whether the record is ours, free, or has not changed for too long.
    fn may_take(&self, seen: &Seen, now: Span) -> bool {
        let record = &seen.versioned.record;
        match record.holder.as_deref() {
            None | Some("") => true,
            Some(holder) if holder == self.identity => true,
            Some(_) => now >= seen.since + record.lease.max(self.terms.lease),
        }
    }

    fn claim(&self, before: Option<&Record>, wall: Time) -> Record {
        let ours = before.is_some_and(|before| before.holder.as_deref() == Some(&self.identity));
        let transitions = before.map_or(0, |before| before.transitions);
        Record {
            holder: Some(self.identity.clone()),
            lease: self.terms.lease,
            acquired: before.filter(|_| ours).map_or(wall, |before| before.acquired),
            renewed: wall,
            transitions: if ours || before.is_none() { transitions } else { transitions.saturating_add(1) },
        }
    }

    /// Waits for the next try; candidates that do not lead spread out, so that they do not meet again and again.
    fn wait(&mut self, now: Span) {
        let spread = if self.renewed.is_some() { 0 } else { self.spread(now) };
        self.due = now + self.terms.retry + Span::from_millis(spread);
    }

    /// Up to the time between two tries, in milliseconds; another for each identity and moment.
    fn spread(&self, now: Span) -> u64 {
        let seed = self
            .identity
            .bytes()
            .fold(now.millis(), |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        mixed % self.terms.retry.millis().max(1)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
