//! The dashboard as a picture: its own panels, in their places, with what a Prometheus server answers to their queries.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use plimsoll::number::count_of;
use regex::{Captures, Regex};
use serde_json::Value;

/// A cell of Grafana's grid, in pixels.
const CELL: (f64, f64) = (46.0, 30.0);
const COLORS: [&str; 6] = ["#0072b2", "#e69f00", "#d1242f", "#8c959f", "#009e73", "#cc79a7"];
const INK: &str = "#24292f";
const QUIET: &str = "#8c959f";

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    labels: BTreeMap<String, String>,
    /// Moments in seconds, and values.
    points: Vec<(f64, f64)>,
}

/// The series in an answer to a range query; none if it holds nothing of the kind.
pub fn series(answer: &Value) -> Vec<Series> {
    let result = answer.pointer("/data/result").and_then(Value::as_array).into_iter().flatten();
    result
        .map(|one| {
            let labels = one.get("metric").and_then(Value::as_object).into_iter().flatten();
            let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            let points = one.get("values").and_then(Value::as_array).into_iter().flatten();
            let point = |pair: &Value| Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_str()?.parse().ok()?));
            let points = points.filter_map(point).filter(|(_, value): &(f64, f64)| value.is_finite());
            Series { labels: labels.collect(), points: points.collect() }
        })
        .collect()
}

/// The picture as SVG. `answer` tells what a query, as the dashboard spells it, brings.
pub fn svg(dashboard: &Value, mut answer: impl FnMut(&str) -> Vec<Series>) -> String {
    let panels = || dashboard.get("panels").and_then(Value::as_array).into_iter().flatten();
    let bottom = panels().map(|panel| grid(panel, "y") + grid(panel, "h")).fold(0.0, f64::max);
    let (width, height) = (24.0 * CELL.0, bottom * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#f6f8fa\"/>\n"
    );
    for panel in panels() {
        let targets = panel.get("targets").and_then(Value::as_array).into_iter().flatten();
        let lines: Vec<Line> = targets
            .flat_map(|target| {
                let format = text(target, "/legendFormat").to_owned();
                let found = answer(text(target, "/expr")).into_iter();
                found.map(move |series| Line { name: legend(&format, &series), series })
            })
            .filter(|line| !line.series.points.is_empty())
            .collect();
        Frame::of(panel).draw(&mut svg, panel, &lines);
    }
    svg.push_str("</svg>\n");
    svg
}

struct Line {
    name: String,
    series: Series,
}

impl Line {
    fn last(&self) -> f64 {
        self.series.points.last().map_or(f64::NAN, |(_, value)| *value)
    }
}

fn grid(panel: &Value, field: &str) -> f64 {
    panel.pointer(&format!("/gridPos/{field}")).and_then(Value::as_f64).unwrap_or_default()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What Grafana writes beside a line: labels stand in double braces.
fn legend(format: &str, series: &Series) -> String {
    let Ok(label) = Regex::new(r"\{\{\s*(\w+)\s*\}\}") else { return format.to_owned() };
    let value =
        |found: &Captures<'_>| found.get(1).and_then(|name| series.labels.get(name.as_str()).cloned());
    label.replace_all(format, |found: &Captures<'_>| value(found).unwrap_or_default()).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn number(value: f64, unit: &str) -> String {
    let (value, suffix) = match unit {
        "percentunit" => (value * 100.0, " %"),
        "s" => (value, " s"),
        _ => (value, ""),
    };
    let digits = if value.fract().abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") };
    digits + suffix
}

/// A panel's place, in pixels.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn of(panel: &Value) -> Self {
        Self {
            left: grid(panel, "x") * CELL.0 + 3.0,
            top: grid(panel, "y") * CELL.1 + 3.0,
            width: grid(panel, "w") * CELL.0 - 6.0,
            height: grid(panel, "h") * CELL.1 - 6.0,
        }
    }

    fn draw(&self, svg: &mut String, panel: &Value, lines: &[Line]) {
        let Self { left, top, width, height } = self;
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"3\" fill=\"white\" stroke=\"#d0d7de\"/>"
        );
        write(svg, (left + 8.0, top + 16.0), 11, INK, text(panel, "/title"));
        let unit = text(panel, "/fieldConfig/defaults/unit");
        if text(panel, "/type") == "stat" {
            self.values(svg, panel, lines, unit);
        } else {
            self.courses(svg, lines, unit);
        }
    }

    /// The last value of each line, large.
    fn values(&self, svg: &mut String, panel: &Value, lines: &[Line], unit: &str) {
        let names = text(panel, "/options/textMode") == "name";
        let told = lines.iter().map(|line| match (names, line.name.is_empty()) {
            (true, _) => line.name.clone(),
            (false, true) => number(line.last(), unit),
            (false, false) => format!("{} {}", line.name, number(line.last(), unit)),
        });
        let told: Vec<String> = told.collect();
        let nothing = text(panel, "/fieldConfig/defaults/noValue").to_owned();
        let told = if told.is_empty() { nothing } else { told.join("  ") };
        let size = match told.chars().count() {
            0..=9 => 24,
            10..=20 => 14,
            _ => 11,
        };
        write(svg, (self.left + 8.0, self.top + self.height - 14.0), size, INK, &told);
    }

    /// Lines over time.
    fn courses(&self, svg: &mut String, lines: &[Line], unit: &str) {
        let points = || lines.iter().flat_map(|line| &line.series.points);
        let first = points().map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
        let last = points().map(|(at, _)| *at).fold(f64::NEG_INFINITY, f64::max);
        let most = points().map(|(_, value)| *value).fold(0.0, f64::max).max(1e-3) * 1.08;
        let (left, right) = (self.left + 46.0, self.left + self.width - 10.0);
        let (top, bottom) = (self.top + 28.0, self.top + self.height - 40.0);
        for share in [0.0, 0.5, 1.0] {
            let y = bottom - share * (bottom - top);
            let _ =
                writeln!(svg, "<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"#eaeef2\" fill=\"none\"/>");
            write(svg, (self.left + 8.0, y + 4.0), 10, QUIET, &number(share * most, unit));
        }
        let across = (last - first).max(1.0);
        let mut x_of_name = left;
        for (place, line) in lines.iter().enumerate() {
            let color = COLORS.get(place % COLORS.len()).copied().unwrap_or(INK);
            let dash = if line.name.ends_with(" needed") { " stroke-dasharray=\"6 4\"" } else { "" };
            let course: Vec<String> = line
                .series
                .points
                .iter()
                .map(|(at, value)| {
                    let x = left + (at - first) / across * (right - left);
                    format!("{x:.1},{:.1}", bottom - value / most * (bottom - top))
                })
                .collect();
            let course = course.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{course}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\"{dash}/>"
            );
            let width = 6.2 * f64::from(count_of(line.name.chars().count())) + 12.0;
            if x_of_name + width < right + 10.0 {
                write(svg, (x_of_name, bottom + 28.0), 10, color, &line.name);
                x_of_name += width;
            }
        }
        if last > first {
            write(svg, (right - 40.0, bottom + 14.0), 10, QUIET, &format!("{:.0} s", last - first));
        }
    }
}

fn write(svg: &mut String, (x, y): (f64, f64), size: u32, color: &str, text: &str) {
    let text = escaped(text);
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{color}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_panel_is_drawn_in_its_place_with_what_its_query_brings() {
        let panel = |kind: &str, x: u32, title: &str| {
            json!({"type": kind, "title": title, "gridPos": {"x": x, "y": 0, "w": 12, "h": 9},
                "fieldConfig": {"defaults": {"unit": "percentunit", "noValue": "–"}},
                "targets": [{"expr": title, "legendFormat": "{{policy}} needed"}]})
        };
        let dashboard = json!({"panels": [panel("stat", 0, "burn <1"), panel("timeseries", 12, "load"), panel("stat", 0, "none")]});
        let answer = json!({"data": {"result": [{"metric": {"policy": "checkout"}, "values": [[10, "0.25"], [20, "0.5"], [30, "NaN"]]}]}});
        let picture = svg(&dashboard, |query| if query == "none" { Vec::new() } else { series(&answer) });
        for there in ["burn &lt;1", "checkout needed 50 %", "stroke-dasharray=\"6 4\"", ">10 s<", ">–<"] {
            assert!(picture.contains(there), "{there} in\n{picture}");
        }
        assert_eq!(picture.matches("<polyline").count(), 1);
    }
}
