//! A run as a picture: replicas, connections against what there is, and refused connections, both sides beside each other.

use std::fmt::Write as _;

use plimsoll::number::{ceil_count, count_of};

use super::report::{Outcome, SideOutcome, title};
use super::sample::Sample;
use super::tally::real;

pub(crate) const PANEL: (f64, f64) = (440.0, 150.0);
pub(crate) const LEFT: f64 = 52.0;
pub(crate) const TOP: f64 = 92.0;
pub(crate) const GAP: (f64, f64) = (44.0, 46.0);
const COLORS: [&str; 3] = ["#0072b2", "#e69f00", "#009e73"];
pub(crate) const INK: &str = "#24292f";
pub(crate) const QUIET: &str = "#8c959f";
pub(crate) const LIMIT: &str = "#d1242f";

/// The picture as SVG.
pub fn svg(outcome: &Outcome) -> String {
    let width = LEFT + 2.0 * PANEL.0 + GAP.0 + 20.0;
    let height = TOP + 3.0 * PANEL.1 + 2.0 * GAP.1 + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    text(&mut svg, (LEFT, 24.0), 15, INK, "Three services on one PostgreSQL: the same load, two autoscalers");
    legend(&mut svg, outcome);
    let most = |value: &dyn Fn(&Sample) -> f64| {
        let samples = outcome.sides.iter().flat_map(|side| &side.samples);
        samples.map(value).fold(1.0, f64::max)
    };
    let replicas = most(&|sample| sample.replicas.values().copied().max().map_or(0.0, f64::from)) + 1.0;
    let refused = outcome.sides.iter().flat_map(refusals).map(|(_, count)| count).fold(4.0, f64::max);
    for (column, side) in outcome.sides.iter().enumerate() {
        let left = LEFT + f64::from(count_of(column)) * (PANEL.0 + GAP.0);
        text(&mut svg, (left, TOP - 12.0), 13, INK, title(side.name));
        let panel = |row: u32, most: f64| Panel {
            left,
            top: TOP + f64::from(row) * (PANEL.1 + GAP.1),
            seconds: outcome.seconds,
            most,
        };
        draw_replicas(&mut svg, &panel(0, replicas), side);
        draw_connections(&mut svg, &panel(1, f64::from(outcome.max_connections) + 10.0), side, outcome);
        draw_refusals(&mut svg, &panel(2, refused), side);
        let rows = [panel(0, 1.0), panel(1, 1.0), panel(2, 1.0)];
        for (number, event) in outcome.events.iter().enumerate() {
            let number = (number + 1).to_string();
            for panel in &rows {
                let x = panel.x(event.seconds);
                line(&mut svg, (x, panel.top), (x, panel.bottom()), QUIET, "stroke-dasharray=\"1 3\"");
            }
            text(&mut svg, (panel(0, 1.0).x(event.seconds) - 3.0, TOP - 1.0), 9, QUIET, &number);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, outcome: &Outcome) {
    let mut words: Vec<String> = Vec::new();
    for (number, event) in outcome.events.iter().enumerate() {
        words.push(format!("{} {}", number + 1, event.label));
    }
    text(svg, (LEFT, 62.0), 10, QUIET, &words.join(" · "));
    let services = outcome.sides.first().map(|side| side.services.keys()).into_iter().flatten();
    let mut left = LEFT;
    for (name, color) in services.zip(COLORS) {
        line(svg, (left, 40.0), (left + 18.0, 40.0), color, "stroke-width=\"2\"");
        text(svg, (left + 23.0, 44.0), 11, INK, name);
        left += 90.0;
    }
    line(svg, (left, 40.0), (left + 18.0, 40.0), LIMIT, "stroke-dasharray=\"5 3\"");
    text(svg, (left + 23.0, 44.0), 11, INK, "what is declared for the services");
}

/// Where a chart is, and what its axes are worth.
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) seconds: f64,
    pub(crate) most: f64,
}

impl Panel {
    pub(crate) fn x(&self, seconds: f64) -> f64 {
        self.left + PANEL.0 * (seconds / self.seconds).clamp(0.0, 1.0)
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        self.bottom() - PANEL.1 * (value / self.most).clamp(0.0, 1.0)
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + PANEL.1
    }

    pub(crate) fn axes(&self, svg: &mut String, title: &str) {
        text(svg, (self.left + 4.0, self.top + 12.0), 10, QUIET, title);
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
        let step = step.into_iter().find(|step| self.most / step <= 6.0).unwrap_or(1000.0);
        for number in 0..=ceil_count(self.most / step) {
            let value = f64::from(number) * step;
            if value <= self.most {
                let y = self.y(value);
                line(svg, (self.left, y), (self.left + PANEL.0, y), "#eaeef2", "");
                let label = value.to_string();
                let _ = writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{:.1}\" font-size=\"9\" fill=\"{QUIET}\" text-anchor=\"end\">{label}</text>",
                    self.left - 5.0,
                    y + 3.0
                );
            }
        }
        let step = if self.seconds > 120.0 { 30.0 } else { 10.0 };
        for number in 0..=ceil_count(self.seconds / step) {
            let seconds = f64::from(number) * step;
            if seconds <= self.seconds {
                let words = format!("{seconds} s");
                text(svg, (self.x(seconds) - 6.0, self.bottom() + 13.0), 9, QUIET, &words);
            }
        }
    }

    pub(crate) fn steps(&self, svg: &mut String, points: &[(f64, f64)], color: &str) {
        let mut path = String::new();
        for (number, (seconds, value)) in points.iter().enumerate() {
            let same = |other: Option<&(f64, f64)>| {
                other.is_some_and(|(_, other)| (other - value).abs() < f64::EPSILON)
            };
            if same(number.checked_sub(1).and_then(|before| points.get(before)))
                && same(points.get(number + 1))
            {
                continue;
            }
            let (x, y) = (self.x(*seconds), self.y(*value));
            let _ =
                if path.is_empty() { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
        }
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\"/>");
    }
}

fn draw_replicas(svg: &mut String, panel: &Panel, side: &SideOutcome) {
    panel.axes(svg, "replicas asked for");
    for (name, color) in side.services.keys().zip(COLORS) {
        let count = |sample: &Sample| sample.replicas.get(name).copied().map_or(0.0, f64::from);
        let points: Vec<_> = side.samples.iter().map(|sample| (sample.seconds, count(sample))).collect();
        panel.steps(svg, &points, color);
    }
}

fn draw_connections(svg: &mut String, panel: &Panel, side: &SideOutcome, outcome: &Outcome) {
    panel.axes(svg, "connections of the services");
    let [before, after] = outcome.declared;
    let lowered = |label: &str| {
        let event = outcome.events.iter().find(|event| event.label == label);
        event.map_or(outcome.seconds, |event| event.seconds)
    };
    let limits = [(0.0, lowered("and enforced"), before), (lowered("and enforced"), outcome.seconds, after)];
    let points: Vec<_> =
        side.samples.iter().map(|sample| (sample.seconds, f64::from(sample.connections))).collect();
    panel.steps(svg, &points, INK);
    for (from, until, limit) in limits {
        let y = panel.y(f64::from(limit));
        let dashes = "stroke-width=\"1.5\" stroke-dasharray=\"5 3\"";
        line(svg, (panel.x(from), y), (panel.x(until), y), LIMIT, dashes);
    }
}

fn draw_refusals(svg: &mut String, panel: &Panel, side: &SideOutcome) {
    let (refused, attempts) = (side.all.refused, side.all.attempts);
    panel.axes(svg, &format!("connections refused each second: {refused} of {attempts} attempts in all"));
    for (second, count) in refusals(side) {
        if count > 0.0 {
            let (x, y) = (panel.x(second), panel.y(count));
            let width = (panel.x(second + 1.0) - x).max(0.5);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{LIMIT}\"/>",
                panel.bottom() - y
            );
        }
    }
}

/// Refused connections by second.
fn refusals(side: &SideOutcome) -> Vec<(f64, f64)> {
    let (mut seconds, mut before): (Vec<(f64, f64)>, u64) = (Vec::new(), 0);
    for sample in &side.samples {
        let (second, more) = (sample.seconds.floor(), real(sample.refused.saturating_sub(before)));
        before = sample.refused;
        match seconds.last_mut() {
            Some((last, count)) if *last >= second => *count += more,
            _ => seconds.push((second, more)),
        }
    }
    seconds
}

pub(crate) fn text(svg: &mut String, (x, y): (f64, f64), size: u32, color: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{color}\">{words}</text>");
}

pub(crate) fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str, style: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\" {style}/>"
    );
}
