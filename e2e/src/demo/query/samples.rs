//! What was scraped, and when.

use std::collections::{BTreeMap, VecDeque};

use promql_parser::label::Matchers;
use promql_parser::parser::{Expr, VectorSelector, parse};

/// Scrapes kept.
const CAPACITY: usize = 600;
/// A value counts for this long after it was scraped, in seconds, as in Prometheus.
const LOOKBACK: f64 = 300.0;

/// A series' labels without its name.
pub(super) type Labels = BTreeMap<String, String>;

/// The last scrapes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Samples {
    scrapes: VecDeque<Scrape>,
}

#[derive(Debug)]
struct Scrape {
    at: f64,
    series: Vec<Series>,
}

#[derive(Clone, Debug, PartialEq)]
struct Series {
    name: String,
    labels: Labels,
    value: f64,
}

/// One sample: when it was scraped, in seconds since 1970, and its value.
pub(super) type Sample = (f64, f64);

impl Samples {
    /// Takes what was scraped `at`, in Prometheus' text format.
    pub(super) fn take(&mut self, at: f64, text: &str) {
        while self.scrapes.len() >= CAPACITY {
            self.scrapes.pop_front();
        }
        let series = text.lines().filter_map(series).collect();
        self.scrapes.push_back(Scrape { at, series });
    }

    /// The series that `selector` matches at a moment, each with its sample. One that was not in the last scrape is
    /// stale.
    pub(super) fn instant(&self, selector: &VectorSelector, at: f64) -> Vec<(Labels, Sample)> {
        let Some(scrape) = self.scrapes.iter().rev().find(|scrape| scrape.at <= at) else {
            return Vec::new();
        };
        if at - scrape.at > LOOKBACK {
            return Vec::new();
        }
        let matching = scrape.series.iter().filter(|series| is_selected(series, selector));
        matching.map(|series| (series.labels.clone(), (scrape.at, series.value))).collect()
    }

    /// The samples of each series that `selector` matches in the `range` seconds before a moment, oldest first.
    pub(super) fn range(&self, selector: &VectorSelector, at: f64, range: f64) -> Vec<(Labels, Vec<Sample>)> {
        let mut found: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        for scrape in self.scrapes.iter().filter(|scrape| scrape.at <= at && scrape.at >= at - range) {
            for series in scrape.series.iter().filter(|series| is_selected(series, selector)) {
                found.entry(series.labels.clone()).or_default().push((scrape.at, series.value));
            }
        }
        found.into_iter().collect()
    }
}

/// A line of the text format; a selector with equality matchers is written in the same way.
fn series(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    let Ok(Expr::VectorSelector(selector)) = parse(series) else { return None };
    let labels = selector.matchers.matchers.into_iter().map(|matcher| (matcher.name, matcher.value));
    Some(Series { name: selector.name?, labels: labels.collect(), value: value.parse().ok()? })
}

fn is_selected(series: &Series, selector: &VectorSelector) -> bool {
    let Matchers { matchers, or_matchers } = &selector.matchers;
    selector.name.as_ref().is_none_or(|name| *name == series.name)
        && or_matchers.is_empty()
        && matchers.iter().all(|matcher| {
            let value = match matcher.name.as_str() {
                "__name__" => series.name.as_str(),
                label => series.labels.get(label).map_or("", String::as_str),
            };
            matcher.is_match(value)
        })
}
