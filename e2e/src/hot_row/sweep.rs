//! The service at fixed sizes under more load than any of them carries: where throughput peaks.

use std::time::Duration;

use plimsoll::ceiling::usl::{Fit, FitError, Measurement, Noise, fit};
use serde::Serialize;

/// Throughput at one size.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Pods.
    pub size: u32,
    /// Requests made in a second, on each side.
    pub throughput: [f64; 2],
    /// The 95th percentile of how long those took that were taken, on each side; in seconds.
    pub p95_seconds: [Option<f64>; 2],
}

impl Row {
    /// Throughput of both sides' mean.
    pub fn mean(&self) -> f64 {
        let [one, other] = self.throughput;
        f64::midpoint(one, other)
    }
}

/// How a sweep goes.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// The sizes, ascending: so that no pod that was there before ends.
    pub sizes: Vec<u32>,
    /// How long a size is left to itself before it is measured.
    pub settle: Duration,
    /// How long it is measured.
    pub measure: Duration,
}

/// The row with the greatest throughput.
pub fn best(rows: &[Row]) -> Option<&Row> {
    rows.iter().max_by(|one, other| one.mean().total_cmp(&other.mean()))
}

/// The scalability law of a sweep; both sides' throughputs count as measured apart.
pub fn law(rows: &[Row]) -> Result<Fit, FitError> {
    let measured = rows
        .iter()
        .flat_map(|row| row.throughput.map(|throughput| Measurement::new(f64::from(row.size), throughput)));
    fit(&measured.collect::<Vec<_>>(), Noise::Proportional)
}
