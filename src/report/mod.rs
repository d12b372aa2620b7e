//! Simulated courses as a page for people: one HTML file that needs no network, and its charts as SVG.

mod chart;
mod fleet;
mod page;

use std::fmt::Write as _;

use chart::{Chart, Marker, Series, Shape, escape, room_for_markers, short, when};
pub use fleet::{FleetReport, Scaled, SharedBudget};
use page::{charts_alone, figure, page, style_alone};
use serde_json::{Value, json};

use crate::number::from_count;
use crate::simulate::{Event, Run, Sample};

/// Points of each course that the page can show under the pointer.
const POINTS: usize = 1500;
/// Rows of the table of changes.
const LISTED: usize = 200;
/// Colours of courses that share a chart.
const COLOURS: [&str; 5] = ["main", "second", "third", "fourth", "fifth"];

/// Courses to show side by side; the first one is the policy in question.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Name of the policy.
    pub title: String,
    /// Where the load is from.
    pub load: String,
    /// What was assumed, one sentence each.
    pub assumptions: Vec<String>,
    /// Connections that the database gives, and how many one pod opens.
    pub connections: Option<(u32, u32)>,
    /// Seconds within which 99 of 100 requests shall be answered.
    pub latency_objective: Option<f64>,
    /// The figures shown: what each is called, and its value for each course.
    pub figures: Vec<(String, Vec<String>)>,
    /// The courses, with samples and events.
    pub runs: &'a [Run],
}

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let subtitle = format!("Simulated on {}", self.load);
        page(&self.title, &subtitle, &self.body(""), &[self.data()])
    }

    /// The charts alone, one below the other.
    pub fn svg(&self) -> String {
        charts_alone(&self.all_charts())
    }

    fn all_charts(&self) -> Vec<Chart> {
        self.charts().into_iter().chain(self.comparison()).collect()
    }

    /// Everything below the title; `prefix` tells the ids of its elements from those of others on the page.
    fn body(&self, prefix: &str) -> String {
        let mut body = format!("<section class=\"policy\">{}", self.cards());
        for chart in self.charts() {
            body.push_str(&figure(&chart, prefix, 240.0));
        }
        if self.runs.len() > 1 {
            body.push_str("<h2>Side by side</h2><p class=\"note\">Replicas, and load that went unserved, each course on the same scale.</p><div class=\"grid2\">");
            for chart in self.comparison() {
                body.push_str(&figure(&chart, prefix, 170.0));
            }
            body.push_str("</div>");
        }
        body.push_str(&self.table(prefix));
        body.push_str(&self.changes(prefix));
        body.push_str("<h2>Assumptions</h2><ul>");
        for assumption in &self.assumptions {
            let _ = write!(body, "<li>{}</li>", escape(assumption));
        }
        body.push_str("</ul></section>");
        body
    }

    fn first(&self) -> Option<&Run> {
        self.runs.first()
    }

    fn span(&self) -> f64 {
        let samples = self.first().map_or(&[][..], |run| &run.samples);
        samples.last().map_or(1.0, |last| last.seconds) + 15.0
    }

    fn cards(&self) -> String {
        let Some(run) = self.first() else { return String::new() };
        let figures = &run.figures;
        let cost = figures.cost_over_oracle.map_or_else(
            || ("cost", short(figures.replica_hours), "replica-hours"),
            |cost| ("cost", format!("{cost:.2}×"), "of what an oracle would pay"),
        );
        let cards = [
            ("unserved", format!("{} %", short(figures.unserved_percent)), "of all requests"),
            cost,
            ("SLO violated", format!("{} s", short(figures.slo_violation_seconds)), "in all"),
            ("changes", figures.scale_actions.to_string(), "of the replica count"),
            ("ceiling", format!("{} s", short(figures.ceiling_seconds)), "held below the need"),
        ];
        let mut html = "<section class=\"cards\">".to_owned();
        for (name, value, unit) in cards {
            let _ = write!(
                html,
                "<div class=\"card\"><span>{name}</span><b data-card=\"{name}\">{value}</b><small>{unit}</small></div>"
            );
        }
        html.push_str("</section>");
        html
    }

    fn charts(&self) -> Vec<Chart> {
        let Some(run) = self.first() else { return Vec::new() };
        let span = self.span();
        let mut charts = vec![load_chart(run, span), Self::replica_chart(run, span)];
        charts.extend(signal_chart(run, span));
        charts.extend(self.connection_chart(span));
        charts.push(self.latency_chart(run, span));
        charts
    }

    fn replica_chart(run: &Run, span: f64) -> Chart {
        let mut series = vec![
            of(run, "pods that the load needs", "need", Shape::Area, |sample| from_count(sample.demand)),
            of(run, "Ready", "ready", Shape::Step, |sample| from_count(sample.ready)),
            of(run, "asked for", "main", Shape::Step, |sample| from_count(sample.replicas)),
        ];
        let most =
            series.iter().flat_map(|series| &series.points).fold(1.0_f64, |most, point| most.max(point.1));
        let ceiling =
            of(run, "ceiling", "limit", Shape::Step, |sample| from_count(sample.ceiling.unwrap_or(0)));
        // A ceiling far above tells nothing and would flatten the rest.
        if ceiling.points.iter().any(|point| point.1 <= most * 1.6) {
            series.push(ceiling);
        }
        let marked: Vec<_> = if room_for_markers(1000, run.events.len()) {
            run.events.iter().collect()
        } else {
            let mut largest: Vec<_> = run.events.iter().collect();
            largest.sort_by_key(|event| std::cmp::Reverse(event.from.abs_diff(event.to)));
            largest.truncate(300);
            largest
        };
        let left_out = run.events.len() - marked.len();
        let title = if left_out > 0 {
            format!(
                "Replicas, and what bound them ({} largest changes marked, of {})",
                marked.len(),
                run.events.len()
            )
        } else {
            "Replicas, and what bound them".to_owned()
        };
        Chart {
            id: "replicas".to_owned(),
            title,
            unit: "pods",
            top: Some(most * 1.1),
            series,
            markers: marked.into_iter().map(marker).collect(),
            span,
        }
    }

    fn connection_chart(&self, span: f64) -> Option<Chart> {
        let (limit, per_pod) = self.connections?;
        let mut series: Vec<_> = self
            .runs
            .iter()
            .zip(COLOURS)
            .map(|(run, class)| {
                of(run, &run.name, class, Shape::Step, |sample| {
                    from_count(sample.existing.saturating_mul(per_pod))
                })
            })
            .collect();
        series.push(Series {
            label: format!("limit {limit}"),
            class: "limit",
            shape: Shape::Line,
            points: vec![(0.0, from_count(limit)), (span, from_count(limit))],
        });
        Some(Chart {
            id: "connections".to_owned(),
            title: "Connections that pods can hold, against the database's limit".to_owned(),
            unit: "connections",
            series,
            markers: Vec::new(),
            span,
            top: None,
        })
    }

    fn latency_chart(&self, run: &Run, span: f64) -> Chart {
        let mut series =
            vec![of(run, "99th percentile", "main", Shape::Line, |sample| sample.p99_latency * 1000.0)];
        if let Some(objective) = self.latency_objective {
            let points = vec![(0.0, objective * 1000.0), (span, objective * 1000.0)];
            series.push(Series { label: "objective".to_owned(), class: "limit", shape: Shape::Line, points });
        }
        Chart {
            id: "latency".to_owned(),
            title: "Latency".to_owned(),
            unit: "ms",
            series,
            markers: Vec::new(),
            span,
            top: None,
        }
    }

    fn comparison(&self) -> Vec<Chart> {
        if self.runs.len() < 2 {
            return Vec::new();
        }
        let span = self.span();
        let most = self
            .runs
            .iter()
            .flat_map(|run| &run.samples)
            .map(|sample| sample.existing.max(sample.demand))
            .max();
        let chart = |(index, run): (usize, &Run)| {
            let figures = &run.figures;
            let cost = figures
                .cost_over_oracle
                .map_or_else(String::new, |cost| format!(", {cost:.2}× the oracle's cost"));
            Chart {
                id: format!("course-{index}"),
                title: format!("{}: {} % unserved{cost}", run.name, short(figures.unserved_percent)),
                unit: "pods",
                series: vec![
                    of(run, "pods that the load needs", "need", Shape::Area, |sample| {
                        from_count(sample.demand)
                    }),
                    of(run, "missing", "lost", Shape::Area, |sample| {
                        from_count(sample.demand.saturating_sub(sample.ready))
                    }),
                    of(run, "Ready", "main", Shape::Step, |sample| from_count(sample.ready)),
                ],
                markers: Vec::new(),
                span,
                top: most.map(|most| from_count(most) * 1.05),
            }
        };
        self.runs.iter().enumerate().map(chart).collect()
    }

    fn table(&self, prefix: &str) -> String {
        let names: Vec<_> = self.runs.iter().map(|run| run.name.as_str()).collect();
        format!("<h2>Figures</h2>{}", table(&format!("{prefix}figures"), &names, &self.figures))
    }

    fn changes(&self, prefix: &str) -> String {
        let Some(run) = self.first().filter(|run| !run.events.is_empty()) else { return String::new() };
        let mut html = format!(
            "<details><summary>Changes and why ({})</summary><div class=\"scroll\"><table id=\"{prefix}events\"><thead><tr><th>when</th><th>count</th><th class=\"text\">why</th></tr></thead><tbody>",
            run.events.len()
        );
        for event in run.events.iter().take(LISTED) {
            let held = event
                .limited_by
                .as_ref()
                .map_or_else(String::new, |limit| format!(" <em>held by {}</em>", escape(limit)));
            let _ = write!(
                html,
                "<tr><td>{}</td><td>{} → {}</td><td class=\"text\" title=\"{}\">{}{held}</td></tr>",
                when(event.seconds),
                event.from,
                event.to,
                escape(&event.steps.join("\n")),
                escape(&event.message)
            );
        }
        html.push_str("</tbody></table></div>");
        if run.events.len() > LISTED {
            let _ = write!(
                html,
                "<p class=\"note\">The first {LISTED} are listed; each is marked in the chart where there is room.</p>"
            );
        }
        html.push_str("</details>");
        html
    }

    /// What the pointer shows: the first course in full, of the others the replicas.
    fn data(&self) -> Value {
        let Some(run) = self.first() else { return json!({}) };
        let each = run.samples.len().div_ceil(POINTS).max(1);
        let kept: Vec<&Sample> = run.samples.iter().step_by(each).collect();
        json!({
            "span": self.span(),
            "events": run.events.len(),
            "perPod": self.connections.map(|connections| connections.1),
            "signal": run.signal,
            "seconds": kept.iter().map(|sample| sample.seconds).collect::<Vec<_>>(),
            "load": kept.iter().map(|sample| short(sample.load)).collect::<Vec<_>>(),
            "capacity": kept.iter().map(|sample| short(sample.capacity)).collect::<Vec<_>>(),
            "demand": kept.iter().map(|sample| sample.demand).collect::<Vec<_>>(),
            "replicas": kept.iter().map(|sample| sample.replicas).collect::<Vec<_>>(),
            "ready": kept.iter().map(|sample| sample.ready).collect::<Vec<_>>(),
            "existing": kept.iter().map(|sample| sample.existing).collect::<Vec<_>>(),
            "ceiling": kept.iter().map(|sample| sample.ceiling).collect::<Vec<_>>(),
            "value": kept.iter().map(|sample| sample.value.map(short)).collect::<Vec<_>>(),
            "latency": kept.iter().map(|sample| short(sample.p99_latency * 1000.0)).collect::<Vec<_>>(),
        })
    }
}

/// Figures, one row each, with a column for each of the names.
fn table(id: &str, names: &[&str], figures: &[(String, Vec<String>)]) -> String {
    let mut html = format!("<div class=\"scroll\"><table class=\"figures\" id=\"{id}\"><thead><tr><th></th>");
    for name in names {
        let _ = write!(html, "<th>{}</th>", escape(name));
    }
    html.push_str("</tr></thead><tbody>");
    for (name, values) in figures {
        let _ = write!(html, "<tr data-figure=\"{0}\"><th>{0}</th>", escape(name));
        for value in values {
            let _ = write!(html, "<td>{}</td>", escape(value));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}

/// Measurements as dots and a law as a curve, as an SVG of its own; the size of the `peak` is marked.
pub fn scatter(title: &str, points: &[(f64, f64)], curve: &[(f64, f64)], peak: Option<f64>) -> String {
    chart::scatter(title, points, curve, peak, &style_alone())
}

fn of(run: &Run, label: &str, class: &'static str, shape: Shape, value: impl Fn(&Sample) -> f64) -> Series {
    let points = run.samples.iter().map(|sample| (sample.seconds, value(sample))).collect();
    Series { label: label.to_owned(), class, shape, points }
}

fn load_chart(run: &Run, span: f64) -> Chart {
    Chart {
        id: "load".to_owned(),
        title: "Load and capacity".to_owned(),
        unit: "requests per second",
        series: vec![
            of(run, "load", "need", Shape::Area, |sample| sample.load),
            of(run, "unserved", "lost", Shape::Area, |sample| sample.lost),
            of(run, "capacity of the Ready pods", "main", Shape::Step, |sample| sample.capacity),
        ],
        markers: Vec::new(),
        span,
        top: None,
    }
}

/// The first leading metric over its target, so that one line means the same whatever the unit.
fn signal_chart(run: &Run, span: f64) -> Option<Chart> {
    let name = run.signal.as_ref()?;
    let target = run.samples.last()?.target;
    let per_pod = |sample: &Sample| sample.value.unwrap_or(0.0);
    let total = run.samples.iter().any(|sample| per_pod(sample) > target * 3.0);
    let value = move |sample: &Sample| {
        if total { per_pod(sample) / from_count(sample.ready.max(1)) } else { per_pod(sample) }
    };
    Some(Chart {
        id: "signal".to_owned(),
        title: format!("Signal {name}{} against its target", if total { ", per Ready pod," } else { "" }),
        unit: "",
        series: vec![
            of(run, name, "main", Shape::Line, value),
            Series {
                label: format!("target {}", short(target)),
                class: "limit",
                shape: Shape::Line,
                points: vec![(0.0, target), (span, target)],
            },
        ],
        markers: Vec::new(),
        span,
        top: None,
    })
}

fn marker(event: &Event) -> Marker {
    let class = match event {
        event if event.limited_by.is_some() => "held",
        event if event.to >= event.from => "up",
        _ => "down",
    };
    let held = event.limited_by.as_ref().map_or_else(String::new, |limit| format!("\nheld by {limit}"));
    Marker {
        seconds: event.seconds,
        value: from_count(event.to),
        class,
        text: format!(
            "{}: {} → {} ({})\n{}{held}\n{}",
            when(event.seconds),
            event.from,
            event.to,
            event.reason,
            event.message,
            event.steps.join("\n")
        ),
    }
}
