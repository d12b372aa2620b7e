//! What stands where on the screen.

use plimsoll::control::Decision;

use super::canvas::{Line, Style, wrapped};
use super::chart;
use crate::demo::stage::{Note, NoteKind, Stage, clock};
use crate::demo::world::Scene;

/// Nothing is drawn wider than this; longer lines would only be harder to read.
const WIDEST: usize = 130;
/// Rows that the chart takes at least and at most, its heading left out.
const CHART_ROWS: (usize, usize) = (3, 12);
/// Rows of the feed at least.
const FEED_ROWS: usize = 3;

/// The screen: exactly `height` lines.
pub(super) fn frame(stage: &Stage, width: usize, height: usize) -> Vec<Line> {
    let Some(scene) = stage.scene() else { return Vec::new() };
    let width = width.min(WIDEST);
    let mut lines = vec![title(stage, scene, width)];
    let is_roomy = height >= 24;
    if is_roomy {
        lines.push(Line::new());
    }
    lines.extend(figures(stage, scene, width));
    let footer = footer(stage, width);
    let left = height.saturating_sub(lines.len()).saturating_sub(footer.len());
    // The chart has a heading, the feed a blank line before it.
    let chart_rows = left.saturating_sub(FEED_ROWS + 2).min(CHART_ROWS.1);
    if chart_rows >= CHART_ROWS.0 {
        lines.extend(chart_of_the_day(stage, width, chart_rows));
    }
    if is_roomy {
        lines.push(Line::new());
    }
    let feed_rows = height.saturating_sub(lines.len()).saturating_sub(footer.len());
    lines.extend(feed(stage, width, feed_rows));
    lines.extend(footer);
    lines.truncate(height);
    lines
}

fn title(stage: &Stage, scene: &Scene, width: usize) -> Line {
    let left = format!(" Plimsoll  {}", scene.chapter.name());
    let remaining = stage.duration().saturating_sub(scene.now);
    let right = format!("{} left  q ends ", clock(remaining));
    let gap = width.saturating_sub(left.chars().count()).saturating_sub(right.chars().count());
    Line::new().with(Style::Bar, format!("{left}{}{right}", " ".repeat(gap)))
}

/// The present moment.
fn figures(stage: &Stage, scene: &Scene, width: usize) -> Vec<Line> {
    let mut lines = vec![load(stage, scene, width), service(scene), signal(stage), replicas(scene)];
    lines.push(database(scene, width));
    lines.push(ceiling(stage.decision()));
    lines.push(hpa(stage, scene));
    lines.extend(reason(stage.decision(), width));
    lines
}

fn load(stage: &Stage, scene: &Scene, width: usize) -> Line {
    let values: Vec<f64> = stage.history().iter().map(|moment| moment.load).collect();
    let room = width.saturating_sub(25);
    // The whole day in one line.
    let step = values.len().div_ceil(room.max(1)).max(1);
    let values: Vec<f64> =
        values.chunks(step).map(|chunk| chunk.iter().copied().fold(0.0, f64::max)).collect();
    Line::labelled("load")
        .with(Style::Bold, format!("{:>6.0}/s  ", scene.load))
        .with(Style::Load, chart::sparkline(&values, room))
}

fn service(scene: &Scene) -> Line {
    let share = if scene.load > 0.0 { scene.served / scene.load } else { 1.0 };
    let style = if share < 0.995 { Style::Warn } else { Style::Good };
    let unserved = scene.load - scene.served;
    let mut line = Line::labelled("served")
        .with(Style::Bold, format!("{:>6.0}/s  ", scene.served))
        .with(style, format!("{:.0} %", share * 100.0));
    if share < 0.995 {
        line.push(style, format!(", {unserved:.0}/s turned away"));
    }
    let p99 =
        if scene.p99 < 1.0 { format!("{:.0} ms", scene.p99 * 1000.0) } else { format!("{:.1} s", scene.p99) };
    line.with(Style::Plain, format!("   p99 {p99}"))
}

fn signal(stage: &Stage) -> Line {
    let Some((decision, signal)) = stage.decision().zip(stage.signal()) else {
        return Line::labelled("signal").with(Style::Dim, "not read yet");
    };
    let line = Line::labelled("signal");
    let Some(report) = decision.signals.first() else { return line };
    match (report.state == plimsoll::signal::SignalState::Fresh, report.value) {
        (true, Some(value)) => line.with(Style::Bold, format!("{value:>6.0}    ")).with(
            Style::Plain,
            format!(
                "{}: {:.0} for each replica, needs {}",
                signal.name,
                signal.target,
                report.need.unwrap_or(0)
            ),
        ),
        _ => line.with(Style::Bad, format!("{:>6}    ", "?")).with(Style::Bad, report.message.clone()),
    }
}

fn replicas(scene: &Scene) -> Line {
    let pods = scene.pods;
    let mut line = Line::labelled("replicas")
        .with(Style::Bold, format!("{:>6}    ", scene.asked))
        .with(Style::Good, sign_of('●', pods.ready))
        .with(Style::Warn, sign_of('◐', pods.starting))
        .with(Style::Dim, sign_of('○', pods.terminating))
        .with(Style::Plain, format!(" {} ready", pods.ready));
    if pods.starting > 0 {
        line.push(Style::Warn, format!(", {} starting", pods.starting));
    }
    if pods.terminating > 0 {
        line.push(Style::Dim, format!(", {} terminating", pods.terminating));
    }
    line
}

fn sign_of(sign: char, count: u32) -> String {
    std::iter::repeat_n(sign, usize::try_from(count).unwrap_or(0)).collect()
}

fn database(scene: &Scene, width: usize) -> Line {
    let connections = scene.connections;
    let style = match connections {
        all if all.refused > 0 => Style::Bad,
        all if all.used >= all.limit => Style::Warn,
        _ => Style::Good,
    };
    let mut text = format!(" of {} connections", connections.limit);
    if connections.refused > 0 {
        text = format!("{text}, {} attempts refused", connections.refused);
    }
    let room = width.saturating_sub(21).saturating_sub(text.chars().count()).min(50);
    let own = connections.used.saturating_sub(connections.others);
    let parts = [(Style::Dim, '▒', connections.others), (style, '█', own)];
    let mut line = Line::labelled("database").with(Style::Bold, format!("{:>6}    ", connections.used));
    for (style, text) in chart::gauge(&parts, connections.limit, room) {
        line.push(style, text);
    }
    line.with(if style == Style::Good { Style::Plain } else { style }, text)
}

fn ceiling(decision: Option<&Decision>) -> Line {
    let line = Line::labelled("ceiling");
    let Some(decision) = decision else { return line };
    let line = line.with(Style::Bold, format!("{:>6}    ", decision.effective_max));
    match &decision.limited_by {
        Some(limit) => line
            .with(Style::Warn, format!("{limit} binds"))
            .with(Style::Plain, format!(", {} more are needed", decision.unmet)),
        None => line.with(Style::Plain, "no limit binds"),
    }
}

fn hpa(stage: &Stage, scene: &Scene) -> Line {
    let (connections, limit) = (stage.hpa_connections(), scene.connections.limit);
    let line = Line::labelled("an HPA")
        .with(Style::Bold, format!("{:>6}    ", stage.hpa()))
        .with(Style::Plain, format!("would take {connections} connections"));
    match connections.checked_sub(limit) {
        Some(beyond) if beyond > 0 => line.with(Style::Bad, format!(", {beyond} more than there are")),
        _ => line,
    }
}

fn reason(decision: Option<&Decision>, width: usize) -> Vec<Line> {
    const ROWS: usize = 2;
    let message = decision.map(|decision| decision.message.as_str()).unwrap_or_default();
    let mut texts = wrapped(message, width.saturating_sub(12), ROWS).into_iter();
    // Always as many rows, so that what is below does not jump.
    (0..ROWS)
        .map(|row| {
            Line::labelled(if row == 0 { "because" } else { "" })
                .with(Style::Plain, texts.next().unwrap_or_default())
        })
        .collect()
}

fn chart_of_the_day(stage: &Stage, width: usize, rows: usize) -> Vec<Line> {
    let heading = Line::new()
        .with(Style::Dim, " replicas through the day   ")
        .with(Style::Good, "█ asked for   ")
        .with(Style::Warn, "─ ceiling   ")
        .with(Style::Bad, "• an HPA");
    let day = usize::try_from(stage.moments_in_a_day()).unwrap_or(usize::MAX);
    let mut lines = vec![heading];
    lines.extend(chart::replicas(stage.history(), day, width.saturating_sub(1), rows));
    lines
}

/// What happened last, the newest at the bottom.
fn feed(stage: &Stage, width: usize, rows: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for note in stage.feed().iter().rev() {
        let entry = note_lines(note, width);
        if lines.len() + entry.len() > rows {
            break;
        }
        lines.splice(0..0, entry);
    }
    lines.resize(rows, Line::new());
    lines
}

fn note_lines(note: &Note, width: usize) -> Vec<Line> {
    let style = match note.kind {
        NoteKind::Story => Style::Bold,
        NoteKind::Event => Style::Plain,
        NoteKind::Warning => Style::Warn,
    };
    let time = clock(note.at);
    wrapped(&note.text, width.saturating_sub(8), 2)
        .into_iter()
        .enumerate()
        .map(|(row, text)| {
            let time = if row == 0 { time.as_str() } else { "" };
            Line::new().with(Style::Dim, format!(" {time:>5}  ")).with(style, text)
        })
        .collect()
}

/// What can be tried meanwhile; whole, so that it can be copied.
fn footer(stage: &Stage, width: usize) -> Vec<Line> {
    let command = stage.command();
    let texts = if command.chars().count() < width {
        vec![command.to_owned()]
    } else {
        wrapped(command, width.saturating_sub(1), 3)
    };
    let mut lines: Vec<Line> =
        texts.into_iter().map(|text| Line::new().with(Style::Load, format!(" {text}"))).collect();
    if !stage.has_kubectl() {
        lines.push(Line::new().with(Style::Dim, " (kubectl is not installed)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::cluster::Event;
    use crate::demo::story::Chapter;
    use crate::demo::world::{Connections, PodCounts};
    use std::path::Path;
    use std::time::Duration;

    fn stage() -> Stage {
        let document: plimsoll::api::ScalingPolicy = serde_saphyr::from_str(crate::demo::POLICY).unwrap();
        let policy = plimsoll::control::Policy::compile(&document.spec).unwrap();
        let directory = Path::new("/tmp/plimsoll-abcd/kubeconfig");
        let mut stage = Stage::new(Duration::from_mins(2), directory, "a real Prometheus", &policy);
        for second in 0..60 {
            let scene = Scene {
                now: Duration::from_secs(second),
                step: Duration::from_secs(1),
                chapter: Chapter::Lunch,
                load: 1500.0,
                served: 1047.0,
                p99: 2.0,
                has_rolled_out: second > 30,
                asked: 16,
                pods: PodCounts { starting: 3, ready: 14, terminating: 5 },
                connections: Connections {
                    used: 250,
                    others: 40,
                    limit: 280,
                    peak: 260,
                    peak_wanted: 300,
                    refused: 20,
                    per_pod: 10,
                },
            };
            let event = Event {
                name: format!("event-{second}"),
                warning: second % 2 == 0,
                reason: "SuccessfulRescale".to_owned(),
                message: "New size: 16; reason: needs 31, 14 → 16, held there by database connections"
                    .to_owned(),
            };
            stage.show(&scene, 30, vec![event]);
        }
        stage
    }

    #[test]
    fn every_size_is_filled_exactly_and_never_overrun() {
        let stage = stage();
        for width in [1, 20, 40, 79, 80, 81, 120, 300] {
            for height in [1, 5, 10, 23, 24, 25, 40, 100] {
                let lines = frame(&stage, width, height);
                assert_eq!(lines.len(), height, "{width} × {height}");
                for line in lines {
                    assert!(line.text(width, false).chars().count() <= width, "{width} × {height}");
                }
            }
        }
    }

    #[test]
    fn eighty_columns_and_twenty_four_rows_show_everything_whole() {
        let text: Vec<String> = frame(&stage(), 80, 24).iter().map(|line| line.text(80, false)).collect();
        let text = text.join("\n");
        for part in [
            "lunch peak",
            "1:01 left",
            "1500/s",
            "453/s turned away",
            "14 ready, 3 starting, 5 terminating",
            "of 280 connections, 20 attempts refused",
            "340 connections, 60 more than there are",
            "• an HPA",
            "kubectl --kubeconfig /tmp/plimsoll-abcd/kubeconfig -n shop describe sp checkout",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains('…'), "{text}");
    }
}
