//! What pages have in common: the frame, the figures, and charts without a page.

use std::fmt::Write as _;

use serde_json::Value;

use super::chart::{Chart, Shape, escape};
use crate::number::{count_of, from_count};

const PAGE_STYLE: &str = include_str!("report.css");
const CHART_STYLE: &str = include_str!("chart.css");
const SCRIPT: &str = include_str!("report.js");
const WIDE: f64 = 1040.0;
const NARROW: f64 = 360.0;

/// A page; `data` has what the pointer shows, one entry a section of class `policy`.
pub(super) fn page(title: &str, subtitle: &str, body: &str, data: &[Value]) -> String {
    let title = escape(title);
    // What a name holds must not end the script.
    let data = Value::from(data).to_string().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title} · plimsoll simulate</title><style>{CHART_STYLE}{PAGE_STYLE}</style></head><body><main>\
         <header><h1>{title}</h1><p>{}</p></header>{body}</main><div id=\"tip\" role=\"status\"></div>\
         <script type=\"application/json\" id=\"data\">{data}</script><script>{SCRIPT}</script></body></html>\n",
        escape(subtitle)
    )
}

/// A chart with its title and legend, for wide windows and for narrow ones.
pub(super) fn figure(chart: &Chart, prefix: &str, height: f64) -> String {
    let unit = if chart.unit.is_empty() { String::new() } else { format!(" <small>{}</small>", chart.unit) };
    format!(
        "<figure id=\"{prefix}{0}\" data-chart=\"{0}\"><figcaption><h3>{1}{unit}</h3><div class=\"legend\">{2}</div></figcaption><div class=\"wide\">{3}</div><div class=\"narrow\">{4}</div></figure>",
        escape(&chart.id),
        escape(&chart.title),
        chart.legend(),
        chart.draw(if height < 200.0 { WIDE / 2.0 } else { WIDE }, height),
        chart.draw(NARROW, height * 0.8)
    )
}

/// How charts look that stand alone: programs that show SVG know colours, but neither variables nor a dark mode.
pub(super) fn style_alone() -> String {
    let light = PAGE_STYLE.lines().next().unwrap_or_default();
    let named = light.trim_start_matches(":root{").trim_end_matches('}').split(';');
    named
        .filter_map(|pair| pair.split_once(':'))
        .fold(CHART_STYLE.to_owned(), |style, (name, colour)| style.replace(&format!("var({name})"), colour))
}

/// Charts one below the other, as an SVG of their own.
pub(super) fn charts_alone(charts: &[Chart]) -> String {
    let each = 290.0;
    let height = from_count(count_of(charts.len())) * each + 20.0;
    let style = style_alone();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDE:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDE:.0} {height:.0}\" font-family=\"system-ui, sans-serif\"><style>{style}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/>"
    );
    for (index, chart) in charts.iter().enumerate() {
        let top = from_count(count_of(index)) * each + 16.0;
        let inner = chart.draw(WIDE, 230.0);
        let inner = inner.replacen(
            "<svg ",
            &format!("<svg y=\"{:.0}\" width=\"{WIDE}\" height=\"230\" ", top + 30.0),
            1,
        );
        let _ = write!(
            svg,
            "<text class=\"title\" x=\"12\" y=\"{:.0}\">{}</text>{}{inner}",
            top + 14.0,
            escape(&chart.title),
            legend(chart, top + 14.0)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(chart: &Chart, y: f64) -> String {
    let mut x = 1030.0;
    let mut svg = String::new();
    for series in chart.series.iter().rev() {
        let width = from_count(count_of(series.label.chars().count())) * 6.6 + 30.0;
        x -= width;
        // A filled area is told from a line.
        let stroke = if series.shape == Shape::Area { " style=\"stroke-width:8\"" } else { "" };
        let _ = write!(
            svg,
            "<line class=\"series {}\"{stroke} x1=\"{x:.0}\" x2=\"{:.0}\" y1=\"{:.0}\" y2=\"{:.0}\"/><text class=\"axis\" x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
            series.class,
            x + 16.0,
            y - 4.0,
            y - 4.0,
            x + 20.0,
            escape(&series.label)
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_alone_name_their_colours() {
        let svg = charts_alone(&[]);
        assert!(svg.contains(".paper{fill:#fbfbfa}") && svg.contains(".main{color:#1f5fbf}"), "{svg}");
        assert!(!svg.contains("var(") && !svg.contains("@media"), "what shows SVG may know neither: {svg}");
        assert!(CHART_STYLE.contains("var(--paper)") && PAGE_STYLE.starts_with(":root{--paper:#fbfbfa;"));
    }
}
