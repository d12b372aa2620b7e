//! What a run came to: a table for people, JSON for programs, and whether it proves anything.

use std::fmt;

use plimsoll::ceiling::usl::Fit;
use serde::Serialize;

use super::course::{Course, Phase, TOO_MUCH};
use super::meter::percentile;
use super::sample::Sample;
use super::shop::{Ceiling, MAX_REPLICAS};
use super::sweep::{Row, best};
use crate::orders::report::title;
use crate::orders::tally::real;
use crate::orders::{BASELINE, PLIMSOLL};

/// The most that the largest size may carry of what the best one does: with more, there would be nothing to lose.
const MOST_BEYOND_PEAK: f64 = 0.85;
/// The most that the baseline may make of what Plimsoll's side makes, where there is too much.
const MOST_OF_BASELINE: f64 = 0.9;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How long the course lasted.
    pub seconds: f64,
    /// Requests a second that arrived in the sweep, and where there was too much.
    pub too_much: f64,
    /// Where the ceiling's law comes from.
    pub ceiling: Ceiling,
    /// Fixed sizes.
    pub sweep: Vec<Row>,
    /// The law of the sweep.
    pub law: LawFigures,
    /// The baseline and Plimsoll.
    pub sides: Vec<SideOutcome>,
    /// What `kubectl` shows of the policy while there is too much.
    #[serde(skip)]
    pub described: Option<String>,
}

/// A fitted law in figures.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LawFigures {
    /// Requests a second of one pod.
    pub lambda: f64,
    /// Contention.
    pub alpha: f64,
    /// Coherency.
    pub beta: f64,
    /// The size with the greatest throughput.
    pub peak: Option<f64>,
    /// Where that can be, at 95 % confidence.
    pub peak_from: f64,
    /// Up to where.
    pub peak_until: Option<f64>,
    /// The residual standard error, as a share.
    pub residual: f64,
}

impl From<&Fit> for LawFigures {
    fn from(fit: &Fit) -> Self {
        Self {
            lambda: fit.law.lambda,
            alpha: fit.law.alpha,
            beta: fit.law.beta,
            peak: fit.law.peak(),
            peak_from: fit.peak_interval.lower,
            peak_until: fit.peak_interval.upper,
            residual: fit.residual_standard_error,
        }
    }
}

/// What one side came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SideOutcome {
    /// The autoscaler's name.
    pub name: &'static str,
    /// While there was too much.
    pub too_much: Figures,
    /// Afterwards.
    pub afterwards: Figures,
    /// Every second.
    pub samples: Vec<Sample>,
}

/// A phase of one side.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Requests a second that arrived.
    pub asked: f64,
    /// Requests a second that were made.
    pub throughput: f64,
    /// Half of the requests that a pod took ended within so many seconds,
    pub p50_seconds: Option<f64>,
    /// and 99 of 100 within so many.
    pub p99_seconds: Option<f64>,
    /// The fewest replicas.
    pub fewest_replicas: u32,
    /// The most.
    pub most_replicas: u32,
}

impl SideOutcome {
    /// Sums a side up.
    pub fn new(name: &'static str, course: &Course, samples: Vec<Sample>) -> Self {
        let figures = |phase| Figures::of(course.measured(phase), &samples);
        let (too_much, afterwards) = (figures(Phase::TooMuch), figures(Phase::Afterwards));
        Self { name, too_much, afterwards, samples }
    }
}

impl Figures {
    fn of((from, until): (f64, f64), samples: &[Sample]) -> Self {
        let within = || samples.iter().filter(|sample| (from..=until).contains(&sample.seconds));
        let rate = |count: fn(&Sample) -> u64| match (within().next(), within().next_back()) {
            (Some(first), Some(last)) if last.seconds > first.seconds => {
                real(count(last) - count(first)) / (last.seconds - first.seconds)
            }
            _ => 0.0,
        };
        let ended = || within().skip(1).flat_map(|sample| sample.ended_seconds.iter().copied()).collect();
        let replicas = || within().map(|sample| sample.replicas);
        Self {
            asked: rate(|sample| sample.asked),
            throughput: rate(|sample| sample.done),
            p50_seconds: percentile(ended(), 50.0),
            p99_seconds: percentile(ended(), 99.0),
            fewest_replicas: replicas().min().unwrap_or(0),
            most_replicas: replicas().max().unwrap_or(0),
        }
    }
}

impl Outcome {
    /// Sums a run up.
    pub fn new(
        course: &Course,
        ceiling: Ceiling,
        sweep: Vec<Row>,
        fit: &Fit,
        sides: Vec<SideOutcome>,
    ) -> Self {
        Self {
            seconds: course.duration.as_secs_f64(),
            too_much: TOO_MUCH,
            ceiling,
            sweep,
            law: fit.into(),
            sides,
            described: None,
        }
    }

    /// A side by its name.
    pub fn side(&self, name: &str) -> Option<&SideOutcome> {
        self.sides.iter().find(|side| side.name == name)
    }

    /// The throughput of the best fixed size.
    pub fn best(&self) -> f64 {
        best(&self.sweep).map_or(0.0, Row::mean)
    }

    /// What does not hold; empty if everything does. Plimsoll's side must make at least this share of what the best fixed
    /// size makes where there is too much.
    pub fn faults(&self, least_share: f64) -> Vec<String> {
        let mut faults = Vec::new();
        let largest = self.sweep.last().map_or(0.0, Row::mean);
        if largest > MOST_BEYOND_PEAK * self.best() {
            faults.push(format!(
                "the largest size carries {largest:.1} of {:.1} requests a second: the curve hardly falls, and the course \
                 proves nothing",
                self.best()
            ));
        }
        let (Some(hpa), Some(plimsoll)) = (self.side(BASELINE), self.side(PLIMSOLL)) else {
            faults.push("a side is missing".to_owned());
            return faults;
        };
        let (theirs, ours) = (&hpa.too_much, &plimsoll.too_much);
        if theirs.most_replicas < MAX_REPLICAS {
            faults.push(format!("the HPA's rules did not go beyond {} replicas", theirs.most_replicas));
        }
        if theirs.throughput > MOST_OF_BASELINE * ours.throughput {
            faults.push(format!(
                "the HPA's rules made {:.1} requests a second, Plimsoll {:.1}: the difference is too small",
                theirs.throughput, ours.throughput
            ));
        }
        if ours.throughput < least_share * self.best() {
            faults.push(format!(
                "Plimsoll made {:.1} requests a second, {:.1} % of what the best fixed size does",
                ours.throughput,
                100.0 * ours.throughput / self.best()
            ));
        }
        let measured = best(&self.sweep).map_or(0.0, |row| f64::from(row.size));
        // The whole size at the upper end of what the sweep leaves open.
        let peak = self.law.peak_until.or(self.law.peak).unwrap_or(0.0).max(measured).ceil();
        if f64::from(ours.most_replicas) > peak {
            faults.push(format!(
                "Plimsoll went to {} replicas, beyond the peak, which is at {peak:.0} at most",
                ours.most_replicas
            ));
        }
        faults
    }
}

impl fmt::Display for Outcome {
    /// Two tables in Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| pods | requests a second | | | fitted | 95th percentile ms |")?;
        writeln!(f, "| --: | --: | --: | --: | --: | --: |")?;
        let law = &self.law;
        let fitted = plimsoll::ceiling::usl::Law { lambda: law.lambda, alpha: law.alpha, beta: law.beta };
        for row in &self.sweep {
            let [one, other] = row.throughput;
            let (mean, share) = (row.mean(), 100.0 * row.mean() / self.best());
            let expected = fitted.throughput(f64::from(row.size));
            let [latency, another] = row.p95_seconds;
            let latency = milliseconds(latency.into_iter().chain(another).reduce(f64::max));
            writeln!(
                f,
                "| {} | {one:.1}, {other:.1} | {mean:.1} | {share:.0} % | {expected:.1} | {latency} |",
                row.size
            )?;
        }
        let until = law.peak_until.map_or_else(|| "any size".to_owned(), |until| format!("{until:.1}"));
        writeln!(
            f,
            "\nλ = {:.2}, α = {:.4}, β = {:.5}, residual {:.1} %; N* = {} (95 %: {:.1} to {until})\n",
            law.lambda,
            law.alpha,
            law.beta,
            100.0 * law.residual,
            law.peak.map_or_else(|| "none".to_owned(), |peak| format!("{peak:.1}")),
            law.peak_from,
        )?;
        writeln!(f, "| | | arrive/s | made/s | of the best fixed size | p50 ms | p99 ms | replicas |")?;
        writeln!(f, "| --- | --- | --: | --: | --: | --: | --: | --: |")?;
        for side in &self.sides {
            for (phase, figures) in [("too much", &side.too_much), ("afterwards", &side.afterwards)] {
                let share = match phase {
                    "too much" => format!("{:.1} %", 100.0 * figures.throughput / self.best()),
                    _ => "–".to_owned(),
                };
                writeln!(
                    f,
                    "| {} | {phase} | {:.1} | {:.1} | {share} | {} | {} | {} to {} |",
                    title(side.name),
                    figures.asked,
                    figures.throughput,
                    milliseconds(figures.p50_seconds),
                    milliseconds(figures.p99_seconds),
                    figures.fewest_replicas,
                    figures.most_replicas,
                )?;
            }
        }
        Ok(())
    }
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{:.0}", 1000.0 * seconds))
}
