//! What the room counts about itself, for whoever publishes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::failure::FailureKind;
use crate::time::Span;

/// Counts since the start, by server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// By the server's name.
    pub servers: BTreeMap<String, ServerStatistics>,
}

/// One server's counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStatistics {
    /// Questions that were put to the server, or would have been had a slot or connection come free in time.
    pub requests: u64,
    /// Of these, the ones that brought no answer; kinds that never occurred are there with 0.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Questions answered by the answer to an identical one.
    pub coalesced: u64,
    /// The time that `requests` took together, waiting for a slot included; failures included.
    pub latency_sum: Span,
    /// How many requests `latency_sum` is over: those that have ended.
    pub latency_count: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    coalesced: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
    latency_microseconds: AtomicU64,
    ended: AtomicU64,
}

impl Counters {
    pub(super) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, took: Duration, failure: Option<FailureKind>) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_microseconds.fetch_add(microseconds, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
        for (kind, counter) in FailureKind::ALL.iter().zip(&self.failures) {
            if failure == Some(*kind) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn coalesce(&self) {
        self.coalesced.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> ServerStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerStatistics {
            requests: read(&self.requests),
            failures: FailureKind::ALL.into_iter().zip(self.failures.iter().map(read)).collect(),
            coalesced: read(&self.coalesced),
            latency_sum: Span::from_millis(read(&self.latency_microseconds).wrapping_div(1000)),
            latency_count: read(&self.ended),
        }
    }
}
