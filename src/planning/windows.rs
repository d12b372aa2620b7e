//! Windows of a workload's past, told apart and judged as the operator does while the workload runs.

use std::collections::BTreeMap;

use crate::ceiling::usl::{Assessment, Estimator, Load, Measurement, Refused, Settings, Window};
use crate::number::{count_of, floor_count, from_count};
use crate::time::{Span, Time};

/// Samples of one window.
pub const SAMPLES: u32 = 8;

/// What was read of a workload at one moment; none where nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    /// Work done per second by all replicas together.
    pub throughput: Option<f64>,
    /// Ready replicas.
    pub replicas: Option<f64>,
    /// The share of the limiting resource in use, 0 to 1.
    pub utilization: Option<f64>,
    /// The workload took all that it could.
    pub full: bool,
}

/// What came of the windows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Windows {
    /// Length of one.
    pub(super) length: Span,
    /// All of them.
    pub(super) all: u32,
    /// Sizes with the windows that count and the capacity that they tell, in order.
    pub(super) sizes: Vec<(u32, u32, f64)>,
    /// Why the others do not count, with how many there are, the most first.
    pub(super) left_out: Vec<(String, u32)>,
    pub(super) assessment: Assessment,
}

impl Windows {
    /// Sorts samples, the first at `first` and `length` / 8 apart, into windows on a grid of `length`. The last of them is
    /// taken for the present: all windows count the same.
    pub(super) fn of(samples: &[Observed], first: Time, length: Span) -> Self {
        let step = Span::from_millis(length.millis().div_euclid(SAMPLES.into()).max(1));
        let mut sorting = Sorting { length, before: None, left_out: BTreeMap::new(), found: Vec::new() };
        let mut open: Vec<Observed> = Vec::new();
        let (mut at, mut all) = (first, 0_u32);
        for sample in samples {
            open.push(*sample);
            if at.millis().rem_euclid(i64::try_from(length.millis().max(1)).unwrap_or(i64::MAX)) == 0 {
                let window = std::mem::take(&mut open);
                // The range began within the first one.
                if count_of(window.len()) >= SAMPLES {
                    all += 1;
                    sorting.sort(&window, at);
                }
            }
            at = at + step;
        }
        let Sorting { left_out, found, .. } = sorting;
        let mut estimator = Estimator::default();
        let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for window in &found {
            if let (Ok((size, capacity)), Ok(())) = (window.capacity(), estimator.observe(window)) {
                by_size.entry(size).or_default().push(capacity);
            }
        }
        let end = found.last().map_or(first, |window| window.end);
        let long = Span::from_seconds(100 * 365 * 86_400);
        let settings = Settings { half_life: long, expires_after: long, ..Settings::default() };
        let sizes = by_size.into_iter().map(|(size, capacities)| {
            let count = count_of(capacities.len());
            (size, count, capacities.iter().sum::<f64>() / from_count(count.max(1)))
        });
        let mut left_out: Vec<_> = left_out.into_iter().map(|(why, count)| (why.to_owned(), count)).collect();
        left_out.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self { length, all, sizes: sizes.collect(), left_out, assessment: estimator.assess(end, &settings) }
    }

    /// One measurement a size, as heavy as its windows are many.
    pub(super) fn measurements(&self) -> Vec<Measurement> {
        let measurement = |(size, count, capacity): &(u32, u32, f64)| Measurement {
            weight: from_count(*count),
            ..Measurement::new(from_count(*size), *capacity)
        };
        self.sizes.iter().map(measurement).collect()
    }

    /// How many there are and how many count, in words.
    pub(super) fn text(&self) -> String {
        let counted = self.sizes.iter().fold(0_u32, |sum, (_, count, _)| sum.saturating_add(*count));
        let range = match (self.sizes.first(), self.sizes.last()) {
            (Some((smallest, ..)), Some((largest, ..))) => {
                format!(", at {} sizes, {smallest} to {largest} replicas", self.sizes.len())
            }
            _ => String::new(),
        };
        let mut lines = vec![format!("{} windows of {}: {counted} count{range}", self.all, self.length)];
        lines.extend(self.left_out.iter().map(|(why, count)| format!("{count} do not: {why}")));
        let (used, outliers) = (self.assessment.windows, self.assessment.outliers);
        if used + outliers < counted {
            lines.push(format!(
                "{} are fitted, spread over the sizes, as the operator keeps them",
                used + outliers
            ));
        }
        if outliers > 0 {
            lines.push(format!("{outliers} of these are left out: they agree with none of the others"));
        }
        lines.join("\n  ")
    }
}

/// The fewest and the most Ready replicas of a window.
type Sizes = (u32, u32);

struct Sorting {
    length: Span,
    before: Option<Sizes>,
    left_out: BTreeMap<&'static str, u32>,
    found: Vec<Window>,
}

impl Sorting {
    fn sort(&mut self, samples: &[Observed], end: Time) {
        let sizes = sizes(samples);
        let before = std::mem::replace(&mut self.before, sizes);
        match self.window(samples, sizes, before, end) {
            Ok(window) => self.found.push(window),
            Err(why) => *self.left_out.entry(why).or_default() += 1,
        }
    }

    fn window(
        &self,
        samples: &[Observed],
        sizes: Option<Sizes>,
        before: Option<Sizes>,
        end: Time,
    ) -> Result<Window, &'static str> {
        const MISSING: &str = "a value is missing";
        let ((fewest, most), throughput) =
            sizes.zip(mean(samples, |sample| sample.throughput)).ok_or(MISSING)?;
        let load = if samples.iter().all(|sample| sample.full) {
            Load::Saturated
        } else if samples.iter().any(|sample| sample.utilization.is_some()) {
            Load::Utilization(mean(samples, |sample| sample.utilization).ok_or(MISSING)?)
        } else {
            return Err("the workload was not full all the time");
        };
        // Pods are warm when they were there in the window before.
        let before = before.ok_or("nothing is known of the window before")?;
        let window = Window {
            end,
            length: self.length,
            revision: String::new(),
            fewest_ready: fewest.min(before.0),
            most_ready: most.max(before.1),
            rollout: false,
            load,
            throughput,
            objective_met: true,
        };
        match window.capacity() {
            Ok(_) => Ok(window),
            Err(Refused::SizeChanged { .. }) => Err("the count moved, then or in the window before"),
            Err(Refused::NoReplicas) => Err("no replica was Ready"),
            Err(Refused::TooIdle(_)) => Err("less than half of the resource was in use"),
            Err(Refused::Utilization(_)) => {
                Err("the utilization is no share from 0 to 1: divide by 100 what is in percent")
            }
            Err(_) => Err("nothing was done, or less than nothing"),
        }
    }
}

fn sizes(samples: &[Observed]) -> Option<Sizes> {
    let ready: Option<Vec<u32>> =
        samples.iter().map(|sample| sample.replicas.map(|ready| floor_count(ready.round()))).collect();
    let ready = ready?;
    Some((ready.iter().copied().min()?, ready.iter().copied().max()?))
}

fn mean(samples: &[Observed], of: impl Fn(&Observed) -> Option<f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = samples.iter().map(of).collect();
    let values = values?;
    Some(values.iter().sum::<f64>() / from_count(count_of(values.len()).max(1)))
}
