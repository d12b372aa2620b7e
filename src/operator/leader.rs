//! Taking part in the election of a leader, and telling the rest of the process whether it may write.

use std::time::Duration;

use tokio::sync::watch::Sender;
use tokio::time::{Instant, sleep_until};

use super::clock::{Clock, span};
use crate::cluster::{Authority, Grant, Leases};
use crate::election::{Candidate, Step, Terms};
use crate::time::{Span, Time};

/// The Lease that the operators of one installation share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// What this process is called in it: another for each process, restarts included.
    pub identity: String,
}

/// This process's part in the election.
pub(super) struct Elector {
    candidate: Candidate,
    leases: Leases,
    clock: Clock,
    origin: Instant,
    grant: Sender<Option<Grant>>,
    /// The wall clock's time when the last write of the record began.
    wall_began: Time,
    /// Whoever led when it was last told.
    told: Option<String>,
}

impl Elector {
    /// A candidate under this name, and what it lets the process do.
    pub(super) fn new(election: Election, client: kube::Client, clock: Clock) -> (Self, Authority) {
        let (grant, authority) = Authority::granted(clock.clone());
        let elector = Self {
            candidate: Candidate::new(election.identity, Terms::default()),
            leases: Leases::new(client, election.namespace, election.name),
            wall_began: clock.now(),
            clock,
            origin: Instant::now(),
            grant,
            told: None,
        };
        (elector, authority)
    }

    /// Waits until this process leads.
    pub(super) async fn lead(&mut self) {
        while !self.candidate.leads(self.now()) {
            self.step().await;
            self.tell();
        }
        tracing::info!("this process leads");
    }

    /// Stays leader for as long as that goes.
    pub(super) async fn stay(&mut self) {
        while self.candidate.leads(self.now()) {
            let end = self.candidate.leads_until().map_or(self.origin, |until| self.origin + duration(until));
            // A request about the lease must not outlast the leadership.
            let _ = tokio::time::timeout_at(end, self.step()).await;
        }
        self.candidate.give_up();
        self.publish();
        tracing::warn!("this process leads no more: its lease was not renewed in time, or taken by another");
    }

    /// Gives the lease back, so that a successor need not wait. Only after the last write.
    pub(super) async fn resign(&mut self) {
        let given_back = self.candidate.release(self.now(), self.clock.now());
        self.publish();
        if let Some((record, version)) = given_back
            && let (_, Some(error)) = self.leases.write(&record, Some(&version)).await
        {
            tracing::info!(%error, "the lease was not given back; a successor waits until it has run out");
        }
    }

    async fn step(&mut self) {
        match self.candidate.next(self.now(), self.clock.now()) {
            Step::Wait(until) => sleep_until(self.origin + duration(until)).await,
            Step::Read => match self.leases.read().await {
                Ok(found) => self.candidate.read(found, self.now()),
                Err(error) => {
                    tracing::warn!(%error, "the lease could not be read; it is tried again");
                    self.candidate.not_read(self.now());
                }
            },
            Step::Write { record, version } => {
                let began = self.now();
                self.wall_began = self.clock.now();
                // If this is given up on the way, nobody knows whether it landed.
                self.candidate.writing();
                let (outcome, error) = self.leases.write(&record, version.as_deref()).await;
                if let Some(error) = error {
                    tracing::warn!(%error, "the lease could not be written; it is tried again");
                }
                self.candidate.written(record, outcome, began, self.now());
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let grant = self.candidate.may_write_until().map(|until| Grant {
            until: self.origin + duration(until),
            until_wall: self.wall_began + Terms::default().write_until(),
        });
        self.grant.send_replace(grant);
    }

    /// Tells who leads, once.
    fn tell(&mut self) {
        let holder = self.candidate.holder();
        if holder != self.told.as_deref() && !self.candidate.leads(self.now()) {
            if let Some(holder) = holder {
                tracing::info!(holder, "another process leads; this one is ready to take over");
            }
            self.told = holder.map(str::to_owned);
        }
    }

    /// Time on a clock that never jumps.
    fn now(&self) -> Span {
        span(self.origin.elapsed())
    }
}

const fn duration(span: Span) -> Duration {
    Duration::from_millis(span.millis())
}
