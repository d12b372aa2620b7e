//! Where load comes from: a table, a trace, a sentence, or Prometheus.

use std::path::PathBuf;

use super::super::files::read_text;
use super::super::table::figure;
use super::Simulate;
use crate::number::from_count;
use crate::simulate::{GRAMMAR, Load, Overload, Service, ServiceSettings, Trace, generate};
use crate::time::Span;

impl Simulate {
    pub(super) fn scaled_load(
        &self,
        namespace: &str,
        capacity: f64,
        assumptions: &mut Vec<String>,
    ) -> Result<Load, String> {
        let load = match self.range.name()? {
            Some(_) => self.range.load(namespace, assumptions)?,
            None => read_load(self.load_name(), self.seed)?,
        };
        let load = match self.first {
            Some(first) if first == Span::ZERO => return Err("--first must be longer than 0s".to_owned()),
            Some(first) => load.first(first),
            None => load,
        };
        let Some(replicas) = self.scale_to_peak else { return Ok(load) };
        if load.peak() <= 0.0 {
            return Err("--scale-to-peak: the load is 0 throughout, and has no peak".to_owned());
        }
        let law = Service::new(ServiceSettings {
            capacity_per_pod: capacity,
            scalability: self.usl,
            service_time: 1.0,
            overload: Overload::Dropped,
            late_after: 1.0,
        });
        let factor = law.capacity(from_count(replicas.max(1))) / load.peak();
        assumptions.push(format!(
            "the load is taken {} times, so that its peak takes {replicas} replicas at full utilization",
            figure(factor)
        ));
        Ok(load.times(factor))
    }

    /// What the load is called.
    pub(super) fn load_name(&self) -> &str {
        let asked = self.range.name().ok().flatten();
        asked.or_else(|| self.load.first().map(String::as_str)).unwrap_or_default()
    }
}

/// A load as the command line names it.
pub(super) fn read_load(load: &str, seed: u64) -> Result<Load, String> {
    if let Some(name) = load.strip_prefix("trace:") {
        return Trace::named(name)?.load();
    }
    if load.is_empty() {
        return Err(format!("the load is empty: write a file, trace:NAME, or one of\n{GRAMMAR}"));
    }
    let path = PathBuf::from(load);
    let is_sentence = GRAMMAR
        .lines()
        .any(|line| line.split_once(':').is_some_and(|(kind, _)| load.split(':').next() == Some(kind)));
    if (is_sentence || load.contains('=')) && !path.exists() {
        return generate(load, seed);
    }
    Load::parse(&read_text(&path)?).map_err(|error| format!("{load}: {error}"))
}
