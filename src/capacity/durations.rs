//! How long pods take to start and to drain, learnt from the pods themselves.

use std::collections::VecDeque;

use crate::control::PodId;
use crate::number::count_of;
use crate::time::Span;

/// Most durations kept; older ones make way.
const CAPACITY: usize = 64;

/// The latest durations of one kind, each pod counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Newest last.
    samples: VecDeque<(PodId, Span)>,
    /// The same, sorted; kept beside so that a quantile costs nothing.
    sorted: Vec<Span>,
}

impl Durations {
    /// Takes a pod's duration, unless it is known already.
    pub fn learn(&mut self, pod: PodId, duration: Span) {
        if self.samples.iter().any(|(known, _)| *known == pod) {
            return;
        }
        if self.samples.len() >= CAPACITY
            && let Some((_, oldest)) = self.samples.pop_front()
            && let Ok(at) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(at);
        }
        self.samples.push_back((pod, duration));
        let at = self.sorted.partition_point(|sorted| *sorted <= duration);
        self.sorted.insert(at, duration);
    }

    /// How many are known.
    pub fn len(&self) -> u32 {
        count_of(self.samples.len())
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The smallest duration that at least `percent` of 100 durations do not exceed (nearest rank).
    pub fn quantile(&self, percent: usize) -> Option<Span> {
        let rank = self.sorted.len().saturating_mul(percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied()
    }

    /// The shortest.
    pub fn shortest(&self) -> Option<Span> {
        self.sorted.first().copied()
    }

    /// The longest.
    pub fn longest(&self) -> Option<Span> {
        self.sorted.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_latest_pods_each_counted_once() {
        let mut durations = Durations::default();
        assert_eq!(durations.quantile(90), None);
        for id in 0..200 {
            for _ in 0..2 {
                durations.learn(PodId(id), Span::from_seconds(id));
            }
        }
        assert_eq!(durations.len(), 64);
        assert_eq!(durations.shortest(), Some(Span::from_seconds(136)));
        assert_eq!(durations.longest(), Some(Span::from_seconds(199)));
        assert_eq!(durations.quantile(50), Some(Span::from_seconds(167)));
        assert_eq!(durations.quantile(100), Some(Span::from_seconds(199)));
    }
}
