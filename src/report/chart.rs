//! Charts as SVG, drawn once for each width so that letters keep their size.

use std::fmt::Write as _;

use crate::number::{ceil_count, count_of, floor_count, from_count};

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// From point to point.
    Line,
    /// A value holds until the next.
    Step,
    /// Filled down to nothing.
    Area,
}

/// One quantity over time.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// What the legend says.
    pub(super) label: String,
    /// What its colour and stroke are called in the style sheet.
    pub(super) class: &'static str,
    pub(super) shape: Shape,
    /// Seconds and value, in order of time.
    pub(super) points: Vec<(f64, f64)>,
}

/// Something that happened at one moment.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) seconds: f64,
    pub(super) value: f64,
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) series: Vec<Series>,
    pub(super) markers: Vec<Marker>,
    /// How long it is, in seconds.
    pub(super) span: f64,
    /// The top of the value axis at least; what lies above is cut where `cut` says so.
    pub(super) top: Option<f64>,
}

const LEFT: f64 = 52.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

impl Chart {
    /// As one SVG element of this size.
    pub(super) fn draw(&self, width: f64, height: f64) -> String {
        let values = self.series.iter().flat_map(|series| &series.points).map(|point| point.1);
        let found = values.fold(0.0_f64, f64::max).max(1e-9);
        let (top, step) = scale(self.top.unwrap_or(found));
        let frame = Frame { width, height, span: self.span.max(1.0), top };
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\" data-left=\"{LEFT}\" data-right=\"{RIGHT}\">",
            escape(&self.title)
        );
        Self::axes(&mut svg, &frame, step);
        for series in &self.series {
            series.draw(&mut svg, &frame);
        }
        for marker in &self.markers {
            marker.draw(&mut svg, &frame);
        }
        svg.push_str("<line class=\"cross\" y1=\"10\" y2=\"10\" x1=\"0\" x2=\"0\"/></svg>");
        svg
    }

    fn axes(svg: &mut String, frame: &Frame, step: f64) {
        let lines = floor_count(frame.top / step + 0.5);
        for line in 0..=lines {
            let value = from_count(line) * step;
            let y = frame.y(value);
            // Writing to a String cannot fail.
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                frame.width - RIGHT,
                LEFT - 6.0,
                y + 4.0,
                short(value)
            );
        }
        let each = time_step(frame.span, if frame.width < 500.0 { 4.0 } else { 9.0 });
        for tick in 0..=floor_count(frame.span / each) {
            let seconds = from_count(tick) * each;
            let x = frame.x(seconds);
            let anchor = if x > frame.width - 40.0 {
                "end"
            } else if tick == 0 {
                "start"
            } else {
                "middle"
            };
            let _ = write!(
                svg,
                "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                frame.height - BOTTOM,
                frame.height - BOTTOM + 4.0,
                frame.height - 7.0,
                clock(seconds, each)
            );
        }
    }

    /// What its colours mean.
    pub(super) fn legend(&self) -> String {
        let keys = self.series.iter().map(|series| {
            let area = if series.shape == Shape::Area { " fill" } else { "" };
            format!(
                "<span class=\"key\"><i class=\"{}{area}\"></i>{}</span>",
                series.class,
                escape(&series.label)
            )
        });
        keys.collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    width: f64,
    height: f64,
    span: f64,
    top: f64,
}

impl Frame {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (self.width - LEFT - RIGHT) * (seconds / self.span).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (self.height - TOP - BOTTOM) * (1.0 - (value / self.top).clamp(0.0, 1.0))
    }
}

impl Series {
    fn draw(&self, svg: &mut String, frame: &Frame) {
        let points = thinned(&self.points, floor_count(frame.width));
        let mut path = String::new();
        let base = frame.y(0.0);
        // A line that runs above the frame is not drawn along its edge: it would tell a value that is none.
        let mut lifted = true;
        for (index, (seconds, value)) in points.iter().enumerate() {
            let (x, y) = (frame.x(*seconds), frame.y(*value));
            if self.shape != Shape::Area {
                let above = *value > frame.top * 1.000_001;
                if above || lifted {
                    let _ = match (lifted, above, self.shape) {
                        (true, true, _) => Ok(()),
                        (true, false, _) => write!(path, "M{x:.1} {y:.1}"),
                        (false, _, Shape::Line) => write!(path, "L{x:.1} {y:.1}"),
                        (false, ..) => write!(path, "H{x:.1}V{y:.1}"),
                    };
                    lifted = above;
                    continue;
                }
            }
            let _ = match (index, self.shape) {
                (0, Shape::Area) => write!(path, "M{x:.1} {base:.1}L{x:.1} {y:.1}"),
                (_, Shape::Line) => write!(path, "L{x:.1} {y:.1}"),
                (_, Shape::Step | Shape::Area) => write!(path, "H{x:.1}V{y:.1}"),
            };
        }
        if self.shape == Shape::Area {
            let end = points.last().map_or(0.0, |(seconds, _)| frame.x(*seconds));
            let _ = write!(path, "H{end:.1}V{base:.1}Z");
        }
        let area = if self.shape == Shape::Area { " fill" } else { "" };
        let _ = write!(svg, "<path class=\"series {}{area}\" d=\"{path}\"/>", self.class);
    }
}

impl Marker {
    fn draw(&self, svg: &mut String, frame: &Frame) {
        let (x, y) = (frame.x(self.seconds), frame.y(self.value));
        let _ = write!(
            svg,
            "<circle class=\"event {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" tabindex=\"0\"><title>{}</title></circle>",
            self.class,
            escape(&self.text)
        );
    }
}

/// Measurements as dots and a law as a curve; `peak` is marked.
pub(super) fn scatter(
    title: &str,
    points: &[(f64, f64)],
    curve: &[(f64, f64)],
    peak: Option<f64>,
    style: &str,
) -> String {
    let all = || points.iter().chain(curve);
    let (top, step) = scale(all().fold(1e-9_f64, |most, point| most.max(point.1)));
    let (end, each) = scale(all().fold(1.0_f64, |most, point| most.max(point.0)));
    let frame = Frame { width: 760.0, height: 420.0, span: end, top };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"450\" viewBox=\"0 0 760 450\" font-family=\"system-ui, sans-serif\"><style>{style}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/><text class=\"title\" x=\"{LEFT}\" y=\"22\">{}</text><svg y=\"30\" width=\"760\" height=\"420\">",
        escape(title)
    );
    for line in 0..=floor_count(top / step + 0.5) {
        let value = from_count(line) * step;
        let y = frame.y(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"750\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    for tick in 0..=floor_count(end / each + 0.5) {
        let value = from_count(tick) * each;
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"413\" text-anchor=\"middle\">{}</text>",
            frame.x(value),
            short(value)
        );
    }
    if let Some(peak) = peak {
        let x = frame.x(peak);
        let _ = write!(
            svg,
            "<line class=\"series limit\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"24\">N* = {}</text>",
            frame.y(0.0),
            x + 6.0,
            short(peak)
        );
    }
    let path = curve.iter().enumerate().map(|(index, (size, value))| {
        format!("{}{:.1} {:.1}", if index == 0 { "M" } else { "L" }, frame.x(*size), frame.y(*value))
    });
    let _ = write!(svg, "<path class=\"series main\" d=\"{}\"/>", path.collect::<String>());
    for (size, value) in points {
        let _ = write!(
            svg,
            "<circle class=\"event held\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{} → {}</title></circle>",
            frame.x(*size),
            frame.y(*value),
            short(*size),
            short(*value)
        );
    }
    svg.push_str("</svg></svg>\n");
    svg
}

/// So few points that each column of pixels has its smallest and its largest value, in order.
fn thinned(points: &[(f64, f64)], columns: u32) -> Vec<(f64, f64)> {
    let most = usize::try_from(columns.max(1)).unwrap_or(1);
    if points.len() <= most * 2 {
        return points.to_vec();
    }
    let each = points.len().div_ceil(most);
    let mut thin = Vec::new();
    for chunk in points.chunks(each) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (chunk.iter().min_by(by_value), chunk.iter().max_by(by_value));
        let (Some(low), Some(high)) = (low, high) else { continue };
        if low.0 <= high.0 {
            thin.extend([*low, *high]);
        } else {
            thin.extend([*high, *low]);
        }
    }
    thin
}

/// A round top for an axis that shows `most`, and the step of its lines.
fn scale(most: f64) -> (f64, f64) {
    let rough = most / 4.0;
    let magnitude = 10.0_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|step| step * magnitude >= rough * 0.999).unwrap_or(10.0)
            * magnitude;
    (from_count(ceil_count(most / step - 1e-9).max(1)) * step, step)
}

fn time_step(span: f64, most: f64) -> f64 {
    const STEPS: [f64; 14] = [
        60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0,
        172_800.0, 604_800.0,
    ];
    STEPS.into_iter().find(|step| span / step <= most).unwrap_or(2_419_200.0)
}

/// A moment as an axis shows it.
fn clock(seconds: f64, step: f64) -> String {
    let minutes = floor_count(seconds / 60.0 + 0.5);
    let (day, hour, minute) =
        (minutes.div_euclid(1440), minutes.div_euclid(60).rem_euclid(24), minutes.rem_euclid(60));
    if step >= 86_400.0 || day > 0 && hour == 0 && minute == 0 {
        format!("day {day}")
    } else {
        format!("{hour:02}:{minute:02}")
    }
}

/// A moment as people say it.
pub(super) fn when(seconds: f64) -> String {
    let whole = floor_count(seconds);
    let (day, rest) = (whole.div_euclid(86_400), whole.rem_euclid(86_400));
    let (hour, minute, second) =
        (rest.div_euclid(3600), rest.rem_euclid(3600).div_euclid(60), rest.rem_euclid(60));
    let day = if day > 0 { format!("day {day}, ") } else { String::new() };
    format!("{day}{hour:02}:{minute:02}:{second:02}")
}

/// A number in few letters.
pub(super) fn short(value: f64) -> String {
    let trimmed = |text: String| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match value.abs() {
        ..1e-9 => "0".to_owned(),
        ..1.0 => trimmed(format!("{value:.3}")),
        ..100.0 => trimmed(format!("{value:.2}")),
        ..10_000.0 => trimmed(format!("{value:.0}")),
        ..1e6 => format!("{}k", trimmed(format!("{:.1}", value / 1e3))),
        _ => format!("{}M", trimmed(format!("{:.1}", value / 1e6))),
    }
}

/// Text as HTML and SVG take it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// How many markers a chart bears before they hide it.
pub(super) fn room_for_markers(span_pixels: u32, markers: usize) -> bool {
    count_of(markers) <= span_pixels.div_euclid(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (most, top, step) in [
            (50.0, 60.0, 20.0),
            (1.0, 1.0, 0.25),
            (97.0, 100.0, 25.0),
            (4000.0, 4000.0, 1000.0),
            (0.003, 0.003, 0.001),
        ] {
            let found = scale(most);
            assert!(
                (found.0 / top - 1.0).abs() < 1e-9 && (found.1 / step - 1.0).abs() < 1e-9,
                "{most}: {found:?}"
            );
        }
        assert_eq!(
            (short(2500.0), short(0.25), short(12_500.0), short(0.0)),
            ("2500".into(), "0.25".into(), "12.5k".into(), "0".into())
        );
        assert_eq!(when(90_061.0), "day 1, 01:01:01");
    }

    #[test]
    fn what_runs_above_the_frame_is_not_drawn_along_its_edge() {
        let chart = |shape| Chart {
            id: "a".to_owned(),
            title: "a".to_owned(),
            unit: "",
            series: vec![Series {
                label: "limit".to_owned(),
                class: "limit",
                shape,
                points: vec![(0.0, 5.0), (10.0, 50.0), (20.0, 50.0), (30.0, 5.0), (40.0, 5.0)],
            }],
            markers: Vec::new(),
            span: 40.0,
            top: Some(10.0),
        };
        let path = |shape| {
            let svg = chart(shape).draw(102.0, 134.0);
            svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        };
        // Forty points wide, a hundred high, from 52 and 10.
        assert_eq!(path(Shape::Step), "M52.0 60.0H62.0V10.0M82.0 60.0H92.0V60.0");
        assert_eq!(path(Shape::Line), "M52.0 60.0L62.0 10.0M82.0 60.0L92.0 60.0");
    }

    #[test]
    fn a_spike_of_one_sample_survives_thinning() {
        let points: Vec<_> =
            (0..100_000).map(|at| (f64::from(at), if at == 77_777 { 9.0 } else { 1.0 })).collect();
        let thin = thinned(&points, 900);
        assert!(thin.len() <= 1800 && thin.iter().any(|(_, value)| *value > 8.0));
        assert!(thin.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn what_users_write_is_text_and_never_markup() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
    }
}
