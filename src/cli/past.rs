//! What a Prometheus server remembers, asked by a command.

use std::path::PathBuf;

use clap::Args;
use futures::future::try_join_all;

use super::cluster::block_on;
use crate::cluster::{moment, timestamp};
use crate::prometheus::{Config, Evaluation, Servers};
use crate::signal::{Answer, Moments, Reading};
use crate::simulate::parse_span;
use crate::time::{Span, Time};

/// The most moments that are asked for: 69 days of minutes.
const MOST: u32 = 100_000;
/// What the one server is called that --prometheus names.
const MAIN: &str = "main";

/// Which server, and which part of the past.
#[derive(Clone, Debug, Args)]
pub(super) struct Past {
    /// Ask this Prometheus server
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// Ask a server of a configuration, with its credentials, as plimsoll run --config reads it
    #[arg(long, value_name = "FILE", conflicts_with = "prometheus")]
    prometheus_config: Option<PathBuf>,
    /// With --prometheus-config: name of the server; default: main
    #[arg(long, value_name = "NAME", requires = "prometheus_config", conflicts_with = "prometheus")]
    server: Option<String>,
    /// Where the range begins: RFC 3339, seconds since 1970, now, or now-7d
    #[arg(long, value_name = "TIME", default_value = "now-1d", value_parser = parse_moment)]
    from: When,
    /// Where it ends
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = parse_moment)]
    to: When,
}

/// A question about the past: the option that asks it, and PromQL.
pub(super) struct Question<'a> {
    pub(super) option: &'a str,
    pub(super) query: &'a str,
}

/// What questions were answered at each moment; none where there was no number.
pub(super) struct Remembered {
    pub(super) values: Vec<Vec<Option<f64>>>,
    pub(super) warnings: Vec<String>,
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
        // Beyond the year 9999 it is no date, and would not fit into milliseconds.
        let sound = (0..=253_402_300_799).contains(&seconds);
        return if sound { Ok(When::At(Time::from_seconds(seconds))) } else { Err(fault()) };
    }
    text.parse().map(|at| When::At(moment(at))).map_err(|_| fault())
}

impl Past {
    /// Whether a server is named.
    pub(super) fn is_named(&self) -> bool {
        self.prometheus.is_some() || self.prometheus_config.is_some()
    }

    /// The moments of the range, `step` apart; `option` is what sets the step.
    pub(super) fn moments(&self, step: Span, option: &str) -> Result<Moments, String> {
        let now = moment(jiff::Timestamp::now());
        let (from, to) = (self.from.given(now), self.to.given(now));
        if to <= from {
            return Err("--from does not lie before --to: there is no range between them".to_owned());
        }
        let moments = Moments::within(from, to, step);
        if moments.count < 2 || moments.count > MOST {
            return Err(format!(
                "--from, --to and {option} make {} values: choose a {option} that makes 2 to {MOST} of them",
                moments.count
            ));
        }
        Ok(moments)
    }

    /// Asks for all of it, in pieces with a deadline each. `server` is the one to ask where --server names none.
    pub(super) fn ask(
        &self,
        server: &str,
        namespace: &str,
        questions: &[Question<'_>],
        moments: Moments,
    ) -> Result<Remembered, String> {
        let (config, server) = match (&self.prometheus_config, &self.prometheus) {
            (Some(path), _) => {
                let config = Config::read(path).map_err(|error| error.to_string())?;
                (config, self.server.as_deref().unwrap_or(server))
            }
            (None, Some(url)) => (Config::single(url), MAIN),
            (None, None) => return Err("no server is named: write --prometheus URL".to_owned()),
        };
        let servers = Servers::new(config).map_err(|error| error.to_string())?;
        let asked = questions.iter().map(|question| {
            let evaluation = Evaluation {
                query: question.query.to_owned(),
                freshness_query: None,
                max_age: Span::from_seconds(60),
                coverage: false,
                ask_age: false,
                newer_than: None,
            };
            let servers = &servers;
            async move {
                let readings = servers.history(server, namespace, &evaluation, moments).await;
                readings.map_err(|fault| format!("{}: {fault}", question.option))
            }
        });
        let answers = block_on(try_join_all(asked))?;
        let mut remembered = Remembered { values: Vec::new(), warnings: Vec::new() };
        for (readings, question) in answers.iter().zip(questions) {
            let found = values(readings, moments).map_err(|fault| format!("{}: {fault}", question.option))?;
            remembered.values.push(found);
            // All of one answer have the same.
            for warning in readings.first().iter().flat_map(|reading| &reading.warnings) {
                if !remembered.warnings.contains(warning) {
                    remembered.warnings.push(warning.clone());
                }
            }
        }
        Ok(remembered)
    }
}

/// The number at each moment; none where there is none.
fn values(readings: &[Reading], moments: Moments) -> Result<Vec<Option<f64>>, String> {
    let value = |(reading, at): (&Reading, Time)| match &reading.answer {
        Answer::Value(value) if value.is_finite() => Ok(Some(*value)),
        Answer::Value(_) | Answer::NoSeries => Ok(None),
        Answer::ManySeries(series) => Err(format!(
            "the query yields {series} series at {}: make one of them, for example with sum(...)",
            timestamp(at)
        )),
        Answer::Failed(sentence) => Err(sentence.clone()),
    };
    let values: Vec<_> = readings.iter().zip(moments.iter()).map(value).collect::<Result<_, _>>()?;
    if values.iter().all(Option::is_none) {
        return Err("the query yields nothing in this range: run it in Prometheus, and compare --from and --to with its retention".to_owned());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Age;

    fn of(answers: &[Answer]) -> Result<Vec<Option<f64>>, String> {
        let reading = |answer: &Answer| Reading {
            answer: answer.clone(),
            warnings: Vec::new(),
            age: Age::NotSampled,
            covered_pods: None,
        };
        let readings: Vec<_> = answers.iter().map(reading).collect();
        let count = crate::number::count_of(answers.len());
        let moments = Moments { first: Time::from_seconds(60), step: Span::from_seconds(60), count };
        values(&readings, moments)
    }

    #[test]
    fn what_is_no_number_is_none() {
        let value = Answer::Value;
        assert_eq!(
            of(&[Answer::NoSeries, value(3.0), value(f64::NAN), value(-1.0), value(f64::INFINITY)]),
            Ok(vec![None, Some(3.0), None, Some(-1.0), None])
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_do() {
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
        for text in ["yesterday", "now-", "2026-11-20", "", "-5", "9223372036854775807", "1e9"] {
            assert!(parse_moment(text).unwrap_err().contains("now-7d"), "{text}");
        }
    }
}
