//! A run as a picture: throughput, latency and replicas, both sides beside each other.

use std::fmt::Write as _;

use plimsoll::number::{count_of, from_count};

use super::course::Course;
use super::report::{Outcome, SideOutcome};
use super::sample::Sample;
use super::shop::{MAX_REPLICAS, OBJECTIVE};
use crate::orders::chart::{GAP, INK, LEFT, LIMIT, PANEL, Panel, QUIET, TOP, line, text};
use crate::orders::report::title;
use crate::orders::tally::real;

const MADE: &str = "#0072b2";
/// Throughput is told over so many seconds.
const SMOOTHING: f64 = 5.0;
const DASHED: &str = "stroke-width=\"1.5\" stroke-dasharray=\"5 3\"";

/// The picture as SVG.
pub fn svg(outcome: &Outcome) -> String {
    let width = LEFT + 2.0 * PANEL.0 + GAP.0 + 20.0;
    let height = TOP + 3.0 * PANEL.1 + 2.0 * GAP.1 + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(&mut svg, (LEFT, 24.0), 15, INK, "One hot row in PostgreSQL: the same load, two autoscalers");
    legend(&mut svg);
    let course =
        Course { duration: std::time::Duration::from_secs_f64(outcome.seconds), best: outcome.best() };
    let slowest = outcome.sides.iter().flat_map(|side| &side.samples).filter_map(|sample| sample.p99_seconds);
    let slowest = slowest.fold(1.0, f64::max) * 1.1;
    for (column, side) in outcome.sides.iter().enumerate() {
        let left = LEFT + from_count(count_of(column)) * (PANEL.0 + GAP.0);
        text(&mut svg, (left, TOP - 12.0), 13, INK, title(side.name));
        let panel = |row: u32, most: f64| Panel {
            left,
            top: TOP + f64::from(row) * (PANEL.1 + GAP.1),
            seconds: outcome.seconds,
            most,
        };
        draw_throughput(&mut svg, &panel(0, outcome.too_much * 1.1), side, &course);
        draw_latency(&mut svg, &panel(1, slowest), side);
        draw_replicas(&mut svg, &panel(2, f64::from(MAX_REPLICAS) + 2.0), side, outcome);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String) {
    let entries = [
        (QUIET, "stroke-width=\"1.6\"", "requests that arrive"),
        (MADE, "stroke-width=\"2\"", "made"),
        ("#009e73", DASHED, "best fixed size"),
        (LIMIT, DASHED, "objective; ceiling"),
        (QUIET, "stroke-dasharray=\"1 3\"", "fitted peak"),
    ];
    let mut left = LEFT;
    for (color, style, words) in entries {
        line(svg, (left, 46.0), (left + 18.0, 46.0), color, style);
        text(svg, (left + 23.0, 50.0), 11, INK, words);
        left += 150.0;
    }
}

fn draw_throughput(svg: &mut String, panel: &Panel, side: &SideOutcome, course: &Course) {
    panel.axes(svg, "requests a second");
    let arrive: Vec<_> = side
        .samples
        .iter()
        .map(|sample| (sample.seconds, course.load(std::time::Duration::from_secs_f64(sample.seconds))))
        .collect();
    curve(svg, panel, &arrive, QUIET);
    level(svg, panel, course.best, "#009e73");
    curve(svg, panel, &throughput(&side.samples), MADE);
}

fn draw_latency(svg: &mut String, panel: &Panel, side: &SideOutcome) {
    panel.axes(svg, "99th percentile in seconds, of 5 s");
    level(svg, panel, OBJECTIVE, LIMIT);
    let points: Vec<_> = side
        .samples
        .iter()
        .filter_map(|sample| sample.p99_seconds.map(|latency| (sample.seconds, latency)))
        .collect();
    curve(svg, panel, &points, INK);
}

fn draw_replicas(svg: &mut String, panel: &Panel, side: &SideOutcome, outcome: &Outcome) {
    panel.axes(svg, "replicas asked for");
    if let Some(peak) = outcome.law.peak {
        let y = panel.y(peak);
        line(svg, (panel.x(0.0), y), (panel.x(panel.seconds), y), QUIET, "stroke-dasharray=\"1 3\"");
    }
    let ceilings: Vec<_> = side
        .samples
        .iter()
        .filter_map(|sample| sample.ceiling.map(|ceiling| (sample.seconds, f64::from(ceiling))))
        .collect();
    for pair in ceilings.windows(2) {
        let [(from, ceiling), (until, _)] = pair else { continue };
        line(
            svg,
            (panel.x(*from), panel.y(*ceiling)),
            (panel.x(*until), panel.y(*ceiling)),
            LIMIT,
            "stroke-width=\"1.5\"",
        );
    }
    let replicas: Vec<_> =
        side.samples.iter().map(|sample| (sample.seconds, f64::from(sample.replicas))).collect();
    panel.steps(svg, &replicas, INK);
}

/// Requests made in a second, over the seconds before.
fn throughput(samples: &[Sample]) -> Vec<(f64, f64)> {
    let rate = |sample: &Sample| {
        let before = samples.iter().rfind(|other| other.seconds <= sample.seconds - SMOOTHING)?;
        let passed = sample.seconds - before.seconds;
        Some((sample.seconds, real(sample.done.saturating_sub(before.done)) / passed))
    };
    samples.iter().filter_map(rate).collect()
}

fn curve(svg: &mut String, panel: &Panel, points: &[(f64, f64)], color: &str) {
    let mut path = String::new();
    for (seconds, value) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", panel.x(*seconds), panel.y(*value));
    }
    let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\"/>");
}

fn level(svg: &mut String, panel: &Panel, value: f64, color: &str) {
    line(svg, (panel.x(0.0), panel.y(value)), (panel.x(panel.seconds), panel.y(value)), color, DASHED);
}
