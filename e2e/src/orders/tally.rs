//! What the pods of one service said that happened.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Counts since the beginning.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Connections asked for.
    pub attempts: u64,
    /// Those that the database refused because it had no more.
    pub refused: u64,
    /// Those that failed otherwise.
    pub unreachable: u64,
    /// Queries that arrived.
    pub asked: u64,
    /// Those that were made.
    pub done: u64,
    /// How long they took, their waiting included.
    pub latencies: Vec<Duration>,
    /// How long was waited for those that were given up.
    pub given_up: Vec<Duration>,
    /// Queries for which no pod had room.
    pub turned_away: u64,
    /// What the database said when it refused, and how often.
    pub refusals: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds another service's.
    pub fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.refused += other.refused;
        self.unreachable += other.unreachable;
        self.asked += other.asked;
        self.done += other.done;
        self.latencies.extend_from_slice(&other.latencies);
        self.given_up.extend_from_slice(&other.given_up);
        self.turned_away += other.turned_away;
        for (words, count) in &other.refusals {
            *self.refusals.entry(words.clone()).or_insert(0) += count;
        }
    }

    /// Its figures.
    pub fn figures(mut self) -> Figures {
        self.latencies.sort_unstable();
        let milliseconds = |percent: usize| {
            let rank = self.latencies.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
            self.latencies.get(rank).map(|latency| (latency.as_secs_f64() * 1000.0).round())
        };
        Figures {
            attempts: self.attempts,
            refused: self.refused,
            refused_percent: percent(self.refused, self.attempts),
            unreachable: self.unreachable,
            asked: self.asked,
            done: self.done,
            done_percent: percent(self.done, self.asked),
            p50_milliseconds: milliseconds(50),
            p99_milliseconds: milliseconds(99),
            refusals: self.refusals,
        }
    }
}

/// A part in percent of all; 0 of nothing.
pub fn percent(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { real(part) * 100.0 / real(all) }
}

/// A count as a real number; no run counts as far as this is not exact.
pub fn real(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What a tally comes to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Connections asked for.
    pub attempts: u64,
    /// Those that the database refused because it had no more.
    pub refused: u64,
    /// Their share of the attempts.
    pub refused_percent: f64,
    /// Those that failed otherwise.
    pub unreachable: u64,
    /// Queries that arrived.
    pub asked: u64,
    /// Those that were made within the time that somebody waits.
    pub done: u64,
    /// Their share of what arrived.
    pub done_percent: f64,
    /// The median of how long they took, their waiting included.
    pub p50_milliseconds: Option<f64>,
    /// Of a hundred, one took longer.
    pub p99_milliseconds: Option<f64>,
    /// What the database said when it refused, and how often.
    pub refusals: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_to_shares_and_percentiles() {
        let latencies = (1..=200).rev().map(Duration::from_millis).collect();
        let tally = Tally { attempts: 400, refused: 4, asked: 400, done: 200, latencies, ..Tally::default() };
        let figures = tally.figures();
        assert_eq!((figures.refused_percent, figures.done_percent), (1.0, 50.0));
        assert_eq!((figures.p50_milliseconds, figures.p99_milliseconds), (Some(100.0), Some(198.0)));
        let nothing = Tally::default().figures();
        assert_eq!((nothing.refused_percent, nothing.p99_milliseconds), (0.0, None));
    }
}
