//! Pods that are gone, and how long they took: kept for a while, for whoever has not been told yet.

use std::collections::{HashMap, VecDeque};

use super::identity::Uid;
use crate::control::Departed;
use crate::time::{Span, Time};

/// Kept per workload at most; a drain time is known well from far fewer.
const MOST: usize = 128;
/// Kept at most this long: twice the longest interval between evaluations.
const LONGEST: Span = Span::from_seconds(7200);

/// Departures by workload, numbered in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Departures {
    latest: u64,
    of: HashMap<Uid, VecDeque<(u64, Time, Departed)>>,
}

impl Departures {
    pub(super) fn note(&mut self, workload: Uid, departed: Departed, now: Time) {
        self.latest += 1;
        let queue = self.of.entry(workload).or_default();
        while queue.len() >= MOST || queue.front().is_some_and(|(_, seen, _)| now.since(*seen) > LONGEST) {
            queue.pop_front();
        }
        queue.push_back((self.latest, now, departed));
    }

    /// The departures numbered above `told`, and the number of the newest.
    pub(super) fn after(&self, workload: Uid, told: u64) -> (Vec<Departed>, u64) {
        let queue = self.of.get(&workload).into_iter().flatten();
        (queue.filter(|(number, ..)| *number > told).map(|(.., departed)| *departed).collect(), self.latest)
    }

    pub(super) fn forget(&mut self, workload: Uid) {
        self.of.remove(&workload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::PodId;

    fn departed(id: u64) -> Departed {
        Departed { id: PodId(id), drain: Span::from_seconds(id) }
    }

    #[test]
    fn each_departure_is_told_once_to_everyone_who_asks() {
        let (web, mut departures) = (Uid(1), Departures::default());
        departures.note(web, departed(1), Time::from_seconds(0));
        departures.note(Uid(2), departed(9), Time::from_seconds(0));
        let (first, told) = departures.after(web, 0);
        assert_eq!(first, [departed(1)]);
        departures.note(web, departed(2), Time::from_seconds(1));
        assert_eq!(departures.after(web, told).0, [departed(2)]);
        assert_eq!(departures.after(web, 0).0, [departed(1), departed(2)]);
    }

    #[test]
    fn departures_are_bounded_in_number_and_age() {
        let (web, mut departures) = (Uid(1), Departures::default());
        (0..1000).for_each(|id| departures.note(web, departed(id), Time::from_seconds(0)));
        assert_eq!(departures.after(web, 0).0.len(), MOST);
        departures.note(web, departed(1000), Time::from_seconds(0) + LONGEST + Span::from_seconds(1));
        assert_eq!(departures.after(web, 0).0, [departed(1000)]);
        departures.forget(web);
        assert!(departures.after(web, 0).0.is_empty());
    }
}
