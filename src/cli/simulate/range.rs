//! Load as Prometheus remembers it.

use clap::Args;

use super::super::past::{Past, Question};
use crate::simulate::{Load, parse_span};
use crate::time::Span;

/// A query over a range of time, in place of --load.
#[derive(Clone, Debug, Args)]
pub(super) struct PrometheusRange {
    #[command(flatten)]
    past: Past,
    /// In place of --load: PromQL that yields one series of requests per second, as
    /// 'sum(rate(http_requests_total{service="checkout"}[1m]))'
    #[arg(long, value_name = "PROMQL", conflicts_with = "load")]
    query: Option<String>,
    /// Time between two values
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span, requires = "query")]
    step: Span,
}

impl PrometheusRange {
    /// What the load is called; none if it does not come from Prometheus.
    pub(super) fn name(&self) -> Result<Option<&str>, String> {
        match (self.query.as_deref(), self.past.is_named()) {
            (None, true) => {
                Err("--prometheus needs --query PROMQL, which yields requests per second".to_owned())
            }
            (Some(_), false) => Err("--query needs --prometheus URL".to_owned()),
            (query, _) => Ok(query),
        }
    }

    /// The load, and what was made of values that are none.
    pub(super) fn load(&self, namespace: &str, assumptions: &mut Vec<String>) -> Result<Load, String> {
        if self.step < Span::from_seconds(1) {
            return Err("--step must be 1s or longer".to_owned());
        }
        let moments = self.past.moments(self.step, "--step")?;
        let question = Question { option: "--query", query: self.query.as_deref().unwrap_or_default() };
        let remembered = self.past.ask("main", namespace, &[question], moments)?;
        let (rates, missing) = rates(remembered.values.first().map_or(&[], Vec::as_slice))?;
        if missing > 0 {
            assumptions.push(format!(
                "{missing} of the {} values were missing or no rates: the one before holds",
                moments.count
            ));
        }
        assumptions.extend(remembered.warnings.iter().map(|warning| format!("Prometheus warns: {warning}")));
        Ok(Load::of(self.step, rates))
    }
}

/// The rates, and how many values were none.
fn rates(values: &[Option<f64>]) -> Result<(Vec<f64>, u32), String> {
    let rate = |value: &Option<f64>| value.filter(|value| *value >= 0.0);
    let missing = crate::number::count_of(values.iter().filter(|value| rate(value).is_none()).count());
    let mut last = values
        .iter()
        .find_map(rate)
        .ok_or("--query: no value is a rate of requests: all are below 0 or missing")?;
    let filled = values.iter().map(|value| {
        last = rate(value).unwrap_or(last);
        last
    });
    Ok((filled.collect(), missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_filled_with_what_stands_before_it_and_counted() {
        let values = [None, Some(3.0), None, Some(-1.0), Some(5.0)];
        assert_eq!(rates(&values), Ok((vec![3.0, 3.0, 3.0, 3.0, 5.0], 3)));
        assert!(rates(&[Some(-1.0), None]).unwrap_err().contains("no value is a rate"));
    }
}
