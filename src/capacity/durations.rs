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
    /// Durations of which only the median, the 90th percentile, the longest and the number are left. What lies between
    /// is taken to be as long as it may have been.
    pub fn recalled(p50: Span, p90: Span, longest: Span, samples: u32) -> Self {
        let kept = usize::try_from(samples).unwrap_or(CAPACITY).min(CAPACITY);
        let (half, most) = (rank(kept, 50), rank(kept, 90));
        let p90 = p90.max(p50);
        let mut recalled = Self::default();
        // Identities from the end of what there is: real ones are hashes of the same width.
        for (position, id) in (1..=kept).zip((0..=u64::MAX).rev()) {
            let duration = if position <= half {
                p50
            } else if position <= most {
                p90
            } else {
                longest.max(p90)
            };
            recalled.learn(PodId(id), duration);
        }
        recalled
    }

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
        self.sorted.get(rank(self.sorted.len(), percent).checked_sub(1)?).copied()
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

/// The nearest rank of a percentile, counted from 1.
fn rank(length: usize, percent: usize) -> usize {
    length.saturating_mul(percent).div_ceil(100).max(1)
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

    #[test]
    fn what_is_recalled_has_the_same_quantiles_and_makes_way_for_what_is_new() {
        let seconds = Span::from_seconds;
        for (samples, kept) in [(0, 0), (1, 1), (2, 2), (5, 5), (9, 9), (64, 64), (1000, 64)] {
            let recalled = Durations::recalled(seconds(3), seconds(7), seconds(40), samples);
            assert_eq!(recalled.len(), kept);
            if kept >= 10 {
                assert_eq!(recalled.quantile(50), Some(seconds(3)));
                assert_eq!(recalled.quantile(90), Some(seconds(7)));
            }
            if kept >= 2 {
                assert!(recalled.longest() >= Some(seconds(7)), "{samples}");
            }
        }
        let mut durations = Durations::recalled(seconds(3), seconds(7), seconds(40), 64);
        assert_eq!(durations.longest(), Some(seconds(40)));
        (0..64).for_each(|id| durations.learn(PodId(id), seconds(1)));
        assert_eq!(durations.longest(), Some(seconds(1)));
    }
}
