//! What a person at a terminal asks of a cluster: why a policy decided as it did, what it would decide otherwise, and how
//! all of them stand. Everything is read; nothing is written.

mod assumption;
mod explanation;
mod foreseen;
mod live;
mod overview;
mod paint;
mod what_if;

pub use assumption::Assumption;
pub use explanation::{Explanation, explain};
pub use live::live_files;
pub use overview::{Order, Overview, overview};
pub use paint::Paint;
pub use what_if::{Later, WhatIf, what_if};

use crate::cluster::{PolicyKey, PolicySeen, find_policy, list_policies};
use crate::time::Time;

/// The policy of this name, or a sentence with those that are there.
async fn policy(client: &kube::Client, key: &PolicyKey) -> Result<PolicySeen, String> {
    if let Some(found) = find_policy(client, key).await.map_err(|error| error.message)? {
        return Ok(found);
    }
    let others = list_policies(client, Some(&key.namespace)).await.map_err(|error| error.message)?;
    let names: Vec<_> = others.iter().map(|(record, _)| record.key.name.as_str()).collect();
    Err(match names.as_slice() {
        [] => format!(
            "there is no ScalingPolicy {key}, and no other in namespace {}: name its namespace with -n",
            key.namespace
        ),
        names => format!("there is no ScalingPolicy {key}: the namespace has {}", names.join(", ")),
    })
}

/// How long ago a moment is, as kubectl says it: `45s`, `12m`, `3h`, `2d`.
fn ago(at: Time, now: Time) -> String {
    let seconds = now.since(at).rounded_seconds();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds.div_euclid(60)),
        7200..172_800 => format!("{}h", seconds.div_euclid(3600)),
        _ => format!("{}d", seconds.div_euclid(86_400)),
    }
}

/// Columns side by side, each as wide as its widest cell; the last one as long as it is.
fn columns(indent: &str, rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter(|row| row.len() > column + 1)
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column + 1 == row.len() { cell.clone() } else { format!("{cell:<width$}") }
        });
        text.push_str(indent);
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_before_others() {
        let rows = [vec!["a", "long cell", "x"], vec!["bbb", "c", "a last cell that is long"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(columns("  ", &rows), "  a    long cell  x\n  bbb  c          a last cell that is long\n");
    }

    #[test]
    fn ages_are_told_as_kubectl_tells_them() {
        let now = Time::from_seconds(1_000_000);
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200_000, "2d")] {
            assert_eq!(ago(Time::from_seconds(1_000_000 - seconds), now), text);
        }
    }
}
