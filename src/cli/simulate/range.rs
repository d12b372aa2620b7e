//! Load as Prometheus remembers it.

use std::path::PathBuf;

use clap::Args;

use super::super::cluster::block_on;
use crate::cluster::moment;
use crate::prometheus::{Config, Evaluation, Servers};
use crate::signal::{Answer, Moments, Reading};
use crate::simulate::{Load, parse_span};
use crate::time::{Span, Time};

/// The most moments that are asked for: 69 days of minutes.
const MOST: u32 = 100_000;

/// A query over a range of time.
#[derive(Clone, Debug, Args)]
pub(super) struct PrometheusRange {
    /// In place of --load: what --query yielded on this Prometheus server, in requests per second
    #[arg(long, value_name = "URL", requires = "query", conflicts_with = "load")]
    prometheus: Option<String>,
    /// The same from a server of a configuration, with its credentials, as plimsoll run --config reads it
    #[arg(long, value_name = "FILE", requires = "query", conflicts_with_all = ["load", "prometheus"])]
    prometheus_config: Option<PathBuf>,
    /// With --prometheus-config: name of the server
    #[arg(long, value_name = "NAME", default_value = "main", requires = "prometheus_config")]
    server: String,
    /// PromQL that yields one series, as 'sum(rate(http_requests_total{service="checkout"}[1m]))'
    #[arg(long, value_name = "PROMQL")]
    query: Option<String>,
    /// Where the range begins: RFC 3339, seconds since 1970, now, or now-7d
    #[arg(long, value_name = "TIME", default_value = "now-1d", value_parser = parse_moment, requires = "query")]
    from: When,
    /// Where it ends
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = parse_moment, requires = "query")]
    to: When,
    /// Time between two values
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_span, requires = "query")]
    step: Span,
}

/// A moment as it is written on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    At(Time),
    BeforeNow(Span),
}

impl When {
    fn given(self, now: Time) -> Time {
        match self {
            Self::At(at) => at,
            Self::BeforeNow(span) => now - span,
        }
    }
}

fn parse_moment(text: &str) -> Result<When, String> {
    let fault = || {
        format!("{text:?} is not a moment: write for example 2026-11-20T08:00:00Z, 1763625600, now or now-7d")
    };
    if text == "now" {
        return Ok(When::BeforeNow(Span::ZERO));
    }
    if let Some(span) = text.strip_prefix("now-") {
        return parse_span(span).map(When::BeforeNow).map_err(|_| fault());
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(When::At(Time::from_seconds(seconds)));
    }
    text.parse().map(|at| When::At(moment(at))).map_err(|_| fault())
}

impl PrometheusRange {
    /// What the load is called; none if it does not come from Prometheus.
    pub(super) fn name(&self) -> Option<&str> {
        self.query.as_deref().filter(|_| self.prometheus.is_some() || self.prometheus_config.is_some())
    }

    /// The load, and what was made of values that are none.
    pub(super) fn load(&self, namespace: &str, assumptions: &mut Vec<String>) -> Result<Load, String> {
        let now = moment(jiff::Timestamp::now());
        let (from, to) = (self.from.given(now), self.to.given(now));
        if self.step < Span::from_seconds(1) {
            return Err("--step must be 1s or longer".to_owned());
        }
        if to <= from {
            return Err("--from does not lie before --to: there is no range between them".to_owned());
        }
        let moments = Moments::within(from, to, self.step);
        if moments.count < 2 || moments.count > MOST {
            return Err(format!(
                "--from, --to and --step make {} values: choose a --step that makes 2 to {MOST} of them",
                moments.count
            ));
        }
        let config = match (&self.prometheus_config, &self.prometheus) {
            (Some(path), _) => Config::read(path).map_err(|error| error.to_string())?,
            (None, Some(url)) => Config::single(url),
            (None, None) => return Err("--query needs --prometheus URL".to_owned()),
        };
        let servers = Servers::new(config).map_err(|error| error.to_string())?;
        let question = Evaluation {
            query: self.query.clone().unwrap_or_default(),
            freshness_query: None,
            max_age: Span::from_seconds(60),
            coverage: false,
            ask_age: false,
            newer_than: None,
        };
        let readings = block_on(servers.history(&self.server, namespace, &question, moments))?;
        let (rates, missing) = rates(&readings, moments)?;
        if missing > 0 {
            assumptions.push(format!(
                "{missing} of the {} values were missing or no rates: the one before holds",
                moments.count
            ));
        }
        let warnings = readings.first().map(|reading| reading.warnings.clone()).unwrap_or_default();
        assumptions.extend(warnings.into_iter().map(|warning| format!("Prometheus warns: {warning}")));
        Ok(Load::of(self.step, rates))
    }
}

/// The rates, and how many values were none.
fn rates(readings: &[Reading], moments: Moments) -> Result<(Vec<f64>, u32), String> {
    let mut rates: Vec<Option<f64>> = Vec::with_capacity(readings.len());
    for (reading, at) in readings.iter().zip(moments.iter()) {
        rates.push(match &reading.answer {
            Answer::Value(value) if value.is_finite() && *value >= 0.0 => Some(*value),
            Answer::Value(_) | Answer::NoSeries => None,
            Answer::ManySeries(series) => {
                return Err(format!(
                    "the query yields {series} series at {}: make one of them, for example with sum(...)",
                    crate::cluster::timestamp(at)
                ));
            }
            Answer::Failed(sentence) => return Err(sentence.clone()),
        });
    }
    let missing = crate::number::count_of(rates.iter().filter(|rate| rate.is_none()).count());
    let first = rates.iter().flatten().next().copied().ok_or(
        "the query yields nothing in this range: run it in Prometheus, and compare --from and --to with its retention",
    )?;
    let mut last = first;
    let filled = rates.into_iter().map(|rate| {
        last = rate.unwrap_or(last);
        last
    });
    Ok((filled.collect(), missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Age;

    fn readings(answers: &[Answer]) -> Vec<Reading> {
        let reading = |answer: &Answer| Reading {
            answer: answer.clone(),
            warnings: Vec::new(),
            age: Age::NotSampled,
            covered_pods: None,
        };
        answers.iter().map(reading).collect()
    }

    fn of(answers: &[Answer]) -> Result<(Vec<f64>, u32), String> {
        let count = crate::number::count_of(answers.len());
        let moments = Moments { first: Time::from_seconds(60), step: Span::from_seconds(60), count };
        rates(&readings(answers), moments)
    }

    #[test]
    fn a_gap_is_filled_with_what_stands_before_it_and_counted() {
        let (missing, value) = (Answer::NoSeries, Answer::Value);
        assert_eq!(
            of(&[missing.clone(), value(3.0), missing, value(f64::NAN), value(-1.0), value(5.0)]),
            Ok((vec![3.0, 3.0, 3.0, 3.0, 3.0, 5.0], 4))
        );
    }

    #[test]
    fn what_is_no_load_is_refused_with_what_to_do() {
        assert!(of(&[Answer::NoSeries]).unwrap_err().contains("yields nothing in this range"));
        let many = of(&[Answer::Value(1.0), Answer::ManySeries(3)]).unwrap_err();
        assert_eq!(
            many,
            "the query yields 3 series at 1970-01-01T00:02:00Z: make one of them, for example with sum(...)"
        );
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        for (text, at) in [
            ("now", When::BeforeNow(Span::ZERO)),
            ("now-1h30m", When::BeforeNow(Span::from_seconds(5400))),
            ("90", When::At(Time::from_seconds(90))),
            ("1970-01-01T01:00:00+01:00", When::At(Time::from_seconds(0))),
        ] {
            assert_eq!(parse_moment(text), Ok(at), "{text}");
        }
        for text in ["yesterday", "now-", "2026-11-20", ""] {
            assert!(parse_moment(text).unwrap_err().contains("now-7d"), "{text}");
        }
    }
}
