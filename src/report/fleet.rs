//! Several policies that share budgets, on one page.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::chart::{Chart, Series, Shape, escape, short};
use super::page::{charts_alone, figure, page};
use super::{COLOURS, Report, table};
use crate::number::from_count;
use crate::simulate::BudgetFigures;

/// Policies that share budgets, and what became of both.
#[derive(Clone, Debug)]
pub struct FleetReport<'a> {
    /// A section each.
    pub policies: Vec<Report<'a>>,
    /// What they share.
    pub budgets: Vec<SharedBudget>,
}

/// A budget, and what was drawn from it.
#[derive(Clone, Debug)]
pub struct SharedBudget {
    /// Under each kind of scaler; the policies themselves come first.
    pub scaled: Vec<Scaled>,
}

/// A budget under one kind of scaler.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// What scales.
    pub by: String,
    /// What became of the budget, with its course.
    pub figures: BudgetFigures,
}

impl FleetReport<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let mut body = "<section class=\"policy\">".to_owned();
        body.push_str(&self.cards());
        for chart in self.charts() {
            body.push_str(&figure(&chart, "", 260.0));
        }
        for budget in &self.budgets {
            body.push_str(&budget.table());
        }
        body.push_str("</section><nav><h2>Policies</h2><ul>");
        for (number, policy) in self.policies.iter().enumerate() {
            let _ = write!(body, "<li><a href=\"#policy-{number}\">{}</a></li>", escape(&policy.title));
        }
        body.push_str("</ul></nav>");
        for (number, policy) in self.policies.iter().enumerate() {
            let _ = write!(
                body,
                "<header id=\"policy-{number}\" class=\"of-policy\"><h1>{}</h1><p>Simulated on {}</p></header>{}",
                escape(&policy.title),
                escape(&policy.load),
                policy.body(&format!("policy-{number}-"))
            );
        }
        let data: Vec<Value> =
            std::iter::once(self.data()).chain(self.policies.iter().map(Report::data)).collect();
        page(&self.title(), "Simulated side by side, as services of the same database", &body, &data)
    }

    /// The charts alone, one below the other.
    pub fn svg(&self) -> String {
        let of_policies = self.policies.iter().flat_map(|policy| {
            let prefix = format!("{}: ", policy.title);
            let titled = move |chart: Chart| {
                if chart.title.starts_with(&prefix) {
                    return chart;
                }
                Chart { title: format!("{prefix}{}", chart.title), ..chart }
            };
            policy.all_charts().into_iter().map(titled)
        });
        charts_alone(&self.charts().into_iter().chain(of_policies).collect::<Vec<_>>())
    }

    fn title(&self) -> String {
        self.policies.iter().map(|policy| policy.title.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn span(&self) -> f64 {
        self.policies.first().map_or(1.0, Report::span)
    }

    fn cards(&self) -> String {
        let mut html = "<section class=\"cards\">".to_owned();
        let mut card = |name: &str, key: &str, value: &str, unit: &str| {
            let _ = write!(
                html,
                "<div class=\"card\"><span>{}</span><b data-card=\"{key}\">{value}</b><small>{unit}</small></div>",
                escape(name)
            );
        };
        for budget in &self.budgets {
            let Some(first) = budget.scaled.first() else { continue };
            let figures = &first.figures;
            card(
                &format!("connections of {}", figures.budget),
                "peak-connections",
                &format!("{} of {}", figures.peak_connections, figures.limit),
                "at the peak",
            );
            card(
                "over the limit",
                "over-limit",
                &format!("{} s", short(figures.over_limit_seconds)),
                "in all",
            );
            card("asked back", "recalls", &figures.recalls.to_string(), "times, for others");
        }
        let first = |policy: &Report<'_>| policy.runs.first().map(|run| run.figures);
        let hours: f64 = self.policies.iter().filter_map(first).map(|figures| figures.replica_hours).sum();
        card("cost", "replica-hours", &short(hours), "replica-hours of all");
        let unserved = self
            .policies
            .iter()
            .filter_map(first)
            .map(|figures| figures.unserved_percent)
            .fold(0.0, f64::max);
        card("unserved", "unserved", &format!("{} %", short(unserved)), "of the requests of the worst");
        html.push_str("</section>");
        html
    }

    fn charts(&self) -> Vec<Chart> {
        let names: Vec<_> = self.policies.iter().map(|policy| policy.title.as_str()).collect();
        self.budgets
            .iter()
            .enumerate()
            .filter_map(|(number, budget)| budget.chart(number, &names, self.span()))
            .collect()
    }

    /// What the pointer shows in the budgets' charts.
    fn data(&self) -> Value {
        let budgets = self.budgets.iter().map(|budget| {
            let Some(first) = budget.scaled.first() else { return json!({}) };
            let course = thinned(&first.figures.course);
            json!({
                "seconds": course.iter().map(|held| held.seconds).collect::<Vec<_>>(),
                "wanted": course.iter().map(|held| held.wanted.clone()).collect::<Vec<_>>(),
                "granted": course.iter().map(|held| held.granted).collect::<Vec<_>>(),
                "limit": first.figures.limit,
            })
        });
        json!({
            "span": self.span(),
            "seconds": [],
            "names": self.policies.iter().map(|policy| policy.title.as_str()).collect::<Vec<_>>(),
            "budgets": budgets.collect::<Vec<_>>(),
        })
    }
}

/// So many of the changes as the pointer can tell apart.
fn thinned<T>(course: &[T]) -> Vec<&T> {
    course.iter().step_by(course.len().div_ceil(super::POINTS).max(1)).collect()
}

impl SharedBudget {
    /// What each service holds, one on top of the other, against what the budget gives.
    fn chart(&self, number: usize, names: &[&str], span: f64) -> Option<Chart> {
        let (first, others) = self.scaled.split_first()?;
        let figures = &first.figures;
        let mut series = Vec::new();
        // The last one's area is drawn first, from the sum of all down: what is below covers it.
        for (at, name) in names.iter().enumerate().rev() {
            let up_to = |wanted: &[u32]| {
                wanted.iter().take(at + 1).fold(0, |sum: u32, more| sum.saturating_add(*more))
            };
            series.push(Series {
                label: (*name).to_owned(),
                class: COLOURS.into_iter().cycle().nth(at)?,
                shape: Shape::Area,
                points: points(figures, span, |wanted| from_count(up_to(wanted))),
            });
        }
        for other in others {
            series.push(Series {
                label: format!("all, scaled by {}", other.by),
                class: "need line",
                shape: Shape::Step,
                points: points(&other.figures, span, |wanted| {
                    from_count(wanted.iter().fold(0, |sum: u32, more| sum.saturating_add(*more)))
                }),
            });
        }
        series.push(Series {
            label: "granted in all".to_owned(),
            class: "granted",
            shape: Shape::Step,
            points: figures
                .course
                .iter()
                .map(|held| (held.seconds, from_count(held.granted)))
                .chain(figures.course.last().map(|held| (span, from_count(held.granted))))
                .collect(),
        });
        series.push(Series {
            label: format!("limit {}", figures.limit),
            class: "limit",
            shape: Shape::Line,
            points: vec![(0.0, from_count(figures.limit)), (span, from_count(figures.limit))],
        });
        Some(Chart {
            id: format!("budget-{number}"),
            title: format!("Connections of all pods, against the budget {}", figures.budget),
            unit: "connections",
            series,
            markers: Vec::new(),
            span,
            top: None,
        })
    }

    fn table(&self) -> String {
        type Row = (&'static str, fn(&BudgetFigures) -> String);
        const ROWS: [Row; 5] = [
            ("connections it gives", |figures| figures.limit.to_string()),
            ("peak connections", |figures| figures.peak_connections.to_string()),
            ("over the limit, seconds", |figures| short(figures.over_limit_seconds)),
            ("peak of all grants", |figures| figures.peak_granted.to_string()),
            ("asked back", |figures| figures.recalls.to_string()),
        ];
        let Some(first) = self.scaled.first() else { return String::new() };
        let names: Vec<_> = self.scaled.iter().map(|scaled| scaled.by.as_str()).collect();
        let rows = ROWS.map(|(name, value)| {
            (name.to_owned(), self.scaled.iter().map(|scaled| value(&scaled.figures)).collect())
        });
        format!(
            "<h2>Budget {}</h2>{}",
            escape(&first.figures.budget),
            table(&format!("budget-{}-figures", escape(&first.figures.budget)), &names, &rows)
        )
    }
}

fn points(figures: &BudgetFigures, span: f64, value: impl Fn(&[u32]) -> f64) -> Vec<(f64, f64)> {
    let last = figures.course.last().map(|held| (span, value(&held.wanted)));
    figures.course.iter().map(|held| (held.seconds, value(&held.wanted))).chain(last).collect()
}
