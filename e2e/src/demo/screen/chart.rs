//! Sparklines, gauges and the chart of the day.

use plimsoll::number::{ceil_count, count_of, floor_count};

use super::canvas::{Line, Style};
use crate::demo::stage::Moment;

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last values as a sparkline of at most `width` signs, scaled to the largest of all.
pub(super) fn sparkline(values: &[f64], width: usize) -> String {
    let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let skip = values.len().saturating_sub(width);
    values.iter().skip(skip).map(|value| eighth(value / most)).collect()
}

/// A share of 0 to 1 as a sign; the smallest one is for nothing.
fn eighth(share: f64) -> char {
    let at = floor_count((share * 7.0).round().clamp(0.0, 7.0));
    usize::try_from(at).ok().and_then(|at| EIGHTHS.get(at)).copied().unwrap_or('█')
}

/// A gauge of `width` signs: each part with its style, the rest empty.
pub(super) fn gauge(parts: &[(Style, char, u32)], total: u32, width: usize) -> Vec<(Style, String)> {
    let width = f64::from(count_of(width));
    let column = |amount: u32| floor_count((f64::from(amount) / f64::from(total.max(1)) * width).round());
    let (mut sum, mut drawn) = (0_u32, 0_u32);
    let mut spans = Vec::new();
    for (style, sign, amount) in parts {
        sum = sum.saturating_add(*amount);
        let until = column(sum).min(floor_count(width));
        spans.push((*style, repeat(*sign, until.saturating_sub(drawn))));
        drawn = until.max(drawn);
    }
    spans.push((Style::Dim, repeat('·', floor_count(width).saturating_sub(drawn))));
    spans
}

fn repeat(sign: char, count: u32) -> String {
    std::iter::repeat_n(sign, usize::try_from(count).unwrap_or(0)).collect()
}

/// One column of the chart.
#[derive(Clone, Copy, Debug)]
struct Column {
    asked: u32,
    hpa: u32,
    ceiling: Option<u32>,
}

/// The day's replicas as a chart of `width` times `height`: what was asked for as bars, the ceiling as a line, and what
/// an HPA would have asked for as dots. The whole day is `day` moments long.
pub(super) fn replicas(history: &[Moment], day: usize, width: usize, height: usize) -> Vec<Line> {
    const SCALE: usize = 4;
    let columns = columns(history, day, width.saturating_sub(SCALE));
    let most = history.iter().map(|moment| moment.asked.max(moment.hpa)).max().unwrap_or(0).max(20);
    let rows = count_of(height.max(1));
    let per_row = f64::from(most) / f64::from(rows);
    (0..rows)
        .rev()
        .map(|row| {
            let (low, high) = (f64::from(row) * per_row, f64::from(row + 1) * per_row);
            let is_labelled = row + 1 == rows || row == 0 || row * 2 == rows;
            let label = if row == 0 { 0 } else { ceil_count(high) };
            let label = if is_labelled { format!("{label:>3} ") } else { " ".repeat(SCALE) };
            let mut line = Line::new().with(Style::Dim, label);
            for column in &columns {
                let (style, sign) = cell(column.as_ref(), low, high);
                line.push(style, sign.to_string());
            }
            line
        })
        .collect()
}

fn columns(history: &[Moment], day: usize, width: usize) -> Vec<Option<Column>> {
    let per_column = f64::from(count_of(day)) / f64::from(count_of(width.max(1)));
    let at = |column: usize| {
        let index = f64::from(count_of(column)) * per_column;
        usize::try_from(floor_count(index)).unwrap_or(usize::MAX)
    };
    (0..width)
        .map(|column| {
            let until = at(column.saturating_add(1)).max(at(column).saturating_add(1));
            let moments = history.get(at(column)..until.min(history.len()))?;
            Some(Column {
                asked: moments.iter().map(|moment| moment.asked).max()?,
                hpa: moments.iter().map(|moment| moment.hpa).max()?,
                ceiling: moments.iter().filter_map(|moment| moment.ceiling).min(),
            })
        })
        .collect()
}

/// What stands in the part of a column between `low` and `high` replicas.
fn cell(column: Option<&Column>, low: f64, high: f64) -> (Style, char) {
    let Some(column) = column else { return (Style::Plain, ' ') };
    let asked = f64::from(column.asked);
    let is_here = |replicas: u32| {
        let replicas = f64::from(replicas);
        replicas > low && replicas <= high
    };
    let beyond = column.ceiling.is_some_and(|ceiling| column.hpa > ceiling);
    if is_here(column.hpa) && (column.hpa > column.asked) {
        (if beyond { Style::Bad } else { Style::Dim }, '•')
    } else if column.ceiling.is_some_and(is_here) && asked <= low {
        (Style::Warn, '─')
    } else if asked >= high {
        (Style::Good, '█')
    } else if asked > low {
        (Style::Good, eighth_of_a_cell((asked - low) / (high - low)))
    } else {
        (Style::Plain, ' ')
    }
}

/// A share above 0 of a cell, filled from below.
fn eighth_of_a_cell(share: f64) -> char {
    let at = ceil_count(share * 8.0).saturating_sub(1);
    usize::try_from(at).ok().and_then(|at| EIGHTHS.get(at)).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sparkline_shows_the_last_values_scaled_to_the_largest() {
        assert_eq!(sparkline(&[0.0, 50.0, 100.0], 10), "▁▅█");
        assert_eq!(sparkline(&[100.0, 0.0, 50.0], 2), "▁▅");
        assert_eq!(sparkline(&[], 5), "");
    }

    #[test]
    fn a_gauge_is_as_wide_as_asked_whatever_its_parts_come_to() {
        for (one, other) in [(0, 0), (3, 4), (10, 0), (7, 9), (u32::MAX, u32::MAX)] {
            let spans = gauge(&[(Style::Good, '#', one), (Style::Bad, '+', other)], 10, 10);
            let text: String = spans.into_iter().map(|(_, text)| text).collect();
            assert_eq!(text.chars().count(), 10, "{one} {other}: {text}");
        }
        let text: String = gauge(&[(Style::Good, '#', 3), (Style::Bad, '+', 4)], 10, 10)
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(text, "###++++···");
    }

    #[test]
    fn the_chart_shows_bars_up_to_the_ceiling_and_the_hpa_beyond() {
        let moment = |asked, hpa| Moment { at: Duration::ZERO, load: 0.0, asked, hpa, ceiling: Some(16) };
        let history = [moment(5, 5), moment(16, 20)];
        let lines: Vec<String> =
            replicas(&history, 4, 8, 5).iter().map(|line| line.text(80, false)).collect();
        assert_eq!(lines, [" 20  •  ", "    ─█  ", "     █  ", "    ▂█  ", "  0 ██  "]);
    }
}
