//! Windows gathered over days: few, spread over the sizes, of one revision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::window::{Refused, Window};
use crate::time::{Span, Time};

/// How many windows are kept. Written as JSON they take about 8 KB.
const MOST_SAMPLES: usize = 192;
/// A window that ends earlier than one already counted: late by less than this it is a repetition, by more the clock
/// was set back.
const CLOCK_JUMP: Span = Span::from_seconds(3600);
/// The longest revision that is told from others; Kubernetes' labels are shorter.
const LONGEST_REVISION: usize = 253;

/// What is known of a workload's capacity at the sizes it ran at: what to keep and to restore over a restart.
///
/// Its size is bounded: when it is full, the oldest window of the size with the most windows goes, so that sizes seldom
/// visited are remembered the longest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Stored")]
pub struct Estimator {
    /// The revision the samples are of.
    revision: Option<String>,
    /// Whether samples of another revision were dropped for this one.
    follows_another: bool,
    /// In order of time.
    samples: Vec<Sample>,
}

/// An [`Estimator`] as it was written down, and perhaps changed since.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    revision: Option<String>,
    follows_another: bool,
    samples: Vec<Sample>,
}

impl From<Stored> for Estimator {
    /// Keeps what can have been written by an estimator.
    fn from(stored: Stored) -> Self {
        let mut samples = stored.samples;
        samples.retain(Sample::is_sound);
        samples.sort_by_key(|sample| sample.end);
        let surplus = samples.len().saturating_sub(MOST_SAMPLES);
        samples.drain(..surplus);
        let revision = stored.revision.map(|revision| revision.chars().take(LONGEST_REVISION).collect());
        Self { revision, follows_another: stored.follows_another, samples }
    }
}

/// One accepted window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i64, u32, f64, f64, bool)", into = "(i64, u32, f64, f64, bool)")]
pub(super) struct Sample {
    pub(super) end: Time,
    pub(super) size: u32,
    pub(super) throughput: f64,
    pub(super) capacity: f64,
    pub(super) objective_met: bool,
}

impl From<(i64, u32, f64, f64, bool)> for Sample {
    fn from((end, size, throughput, capacity, objective_met): (i64, u32, f64, f64, bool)) -> Self {
        Self { end: Time::from_millis(end), size, throughput, capacity, objective_met }
    }
}

impl From<Sample> for (i64, u32, f64, f64, bool) {
    fn from(sample: Sample) -> Self {
        (sample.end.millis(), sample.size, sample.throughput, sample.capacity, sample.objective_met)
    }
}

impl Sample {
    /// Whether it can have been accepted: what was stored may have been changed by hand.
    fn is_sound(&self) -> bool {
        let plausible = 1e-9..=1e16;
        (1..=crate::number::MAX_COUNT).contains(&self.size)
            && plausible.contains(&self.throughput)
            && plausible.contains(&self.capacity)
    }
}

impl Estimator {
    /// Counts `window`, or says why not. One of another revision starts anew: the ceiling is to be earned again.
    pub fn observe(&mut self, window: &Window) -> Result<(), Refused> {
        let (size, capacity) = window.capacity()?;
        self.follow(&window.revision);
        if let Some(last) = self.samples.last() {
            if last.end.since(window.end) > CLOCK_JUMP {
                self.samples.retain(|sample| sample.end <= window.start());
            } else if window.start() < last.end {
                return Err(Refused::Overlaps);
            }
        }
        self.samples.push(Sample {
            end: window.end,
            size,
            throughput: five_digits(window.throughput),
            capacity: five_digits(capacity),
            objective_met: window.objective_met,
        });
        self.make_room();
        Ok(())
    }

    /// Starts anew if `revision` is another than that of the windows held.
    pub fn follow(&mut self, revision: &str) {
        let revision: String = revision.chars().take(LONGEST_REVISION).collect();
        if self.revision.as_ref() != Some(&revision) {
            self.follows_another = self.revision.is_some();
            self.revision = Some(revision);
            self.samples.clear();
        }
    }

    /// The revision the windows are of; none before the first.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// How many windows are held.
    pub fn windows(&self) -> usize {
        self.samples.len()
    }

    pub(super) const fn follows_another(&self) -> bool {
        self.follows_another
    }

    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn make_room(&mut self) {
        while self.samples.len() > MOST_SAMPLES {
            let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
            for sample in &self.samples {
                *counts.entry(sample.size).or_default() += 1;
            }
            let most = counts.values().max().copied().unwrap_or_default();
            let oldest = self.samples.iter().position(|sample| counts.get(&sample.size) == Some(&most));
            self.samples.remove(oldest.unwrap_or_default());
        }
    }
}

/// `value` to five significant digits: more was not measured, and the state stays small.
fn five_digits(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::usl::Load;

    fn window(minute: i64, size: u32) -> Window {
        Window {
            end: Time::from_seconds(60 * minute),
            length: Span::from_seconds(60),
            revision: "a".to_owned(),
            fewest_ready: size,
            most_ready: size,
            rollout: false,
            load: Load::Utilization(0.7),
            throughput: 123.456_789,
            objective_met: true,
        }
    }

    #[test]
    fn sizes_seldom_visited_are_remembered_the_longest() {
        let mut estimator = Estimator::default();
        for minute in 0..10 {
            estimator.observe(&window(minute, 40)).unwrap();
        }
        for minute in 10..2_000 {
            estimator.observe(&window(minute, 5)).unwrap();
        }
        assert_eq!(estimator.windows(), MOST_SAMPLES);
        assert_eq!(estimator.samples().iter().filter(|sample| sample.size == 40).count(), 10);
    }

    #[test]
    fn the_state_stays_small_and_is_restored_as_it_was() {
        let mut estimator = Estimator::default();
        for minute in 0..1_000_i64 {
            let size = u32::try_from(minute % 60).unwrap() + 1;
            estimator.observe(&window(29_000_000 + minute, size)).unwrap();
        }
        let state = serde_json::to_string(&estimator).unwrap();
        assert!(state.len() < 9_000, "{} bytes", state.len());
        assert_eq!(serde_json::from_str::<Estimator>(&state).unwrap(), estimator);
    }

    #[test]
    fn a_window_counts_once() {
        let mut estimator = Estimator::default();
        estimator.observe(&window(100, 5)).unwrap();
        assert_eq!(estimator.observe(&window(100, 5)), Err(Refused::Overlaps));
        assert_eq!(estimator.observe(&window(99, 5)), Err(Refused::Overlaps));
        estimator.observe(&window(101, 5)).unwrap();
        assert_eq!(estimator.windows(), 2);
    }

    #[test]
    fn a_clock_set_back_does_not_stop_the_counting() {
        let mut estimator = Estimator::default();
        estimator.observe(&window(100, 5)).unwrap();
        estimator.observe(&window(90_000, 6)).unwrap();
        estimator.observe(&window(101, 7)).unwrap();
        let sizes: Vec<_> = estimator.samples().iter().map(|sample| sample.size).collect();
        assert_eq!(sizes, [5, 7], "what seems to lie in the future is forgotten");
    }

    #[test]
    fn another_revision_starts_anew() {
        let mut estimator = Estimator::default();
        estimator.observe(&window(1, 5)).unwrap();
        assert!(!estimator.follows_another());
        estimator.observe(&Window { revision: "b".to_owned(), ..window(2, 5) }).unwrap();
        assert_eq!((estimator.revision(), estimator.windows()), (Some("b"), 1));
        assert!(estimator.follows_another());
        // A window of no use does not throw away what is known.
        let useless = Window { revision: "c".to_owned(), rollout: true, ..window(3, 5) };
        assert_eq!(estimator.observe(&useless), Err(Refused::Rollout));
        assert_eq!(estimator.revision(), Some("b"));
    }
}
