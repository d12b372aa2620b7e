//! `plimsoll replay`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::files::{print, read_text};
use crate::control::Decision;
use crate::operator::{Record, Replay, Replayed};

/// Decides a recording once more, evaluation by evaluation, and stops where this program decides otherwise.
#[derive(Debug, Args)]
#[command(
    after_help = "plimsoll run --record DIR writes a file NAMESPACE_NAME.jsonl a policy; one that has grown large is put aside as \
    NAMESPACE_NAME.1.jsonl: name it first.\n\nThe exit code is 1 where a decision differs, or nothing could be decided.\n\n\
    Example:\n  plimsoll replay record/shop_checkout.1.jsonl record/shop_checkout.jsonl"
)]
pub(super) struct ReplayCommand {
    /// Recordings, the oldest first; - is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    same: u32,
    without_beginning: u32,
}

impl ReplayCommand {
    pub(super) fn execute(self) -> Result<(), String> {
        let mut replays: BTreeMap<String, Replay> = BTreeMap::new();
        let mut tally = Tally::default();
        for path in &self.files {
            replay(path, &read_text(path)?, &mut replays, &mut tally)?;
        }
        let skipped = match tally.without_beginning {
            0 => String::new(),
            count => format!(
                "; {count} before them could not be decided again: what the operator remembered then is in an earlier file"
            ),
        };
        if tally.same == 0 {
            return Err(match tally.without_beginning {
                0 => "there is no evaluation in these files".to_owned(),
                _ => "no operator starts in these files, so what it remembered is not known: name the earlier file, \
                      NAMESPACE_NAME.1.jsonl, first"
                    .to_owned(),
            });
        }
        print(&format!("{} decided as recorded{skipped}\n", super::count(tally.same, "evaluation")))
    }
}

fn replay(
    path: &Path,
    text: &str,
    replays: &mut BTreeMap<String, Replay>,
    tally: &mut Tally,
) -> Result<(), String> {
    let name = path.display();
    for (number, line) in (1_u32..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let record: Record = serde_json::from_str(line).map_err(|error| {
            format!("{name}, line {number} is not what plimsoll run --record writes: {error}")
        })?;
        let replay = replays.entry(record.policy.clone()).or_default();
        match replay.decide(&record).map_err(|fault| format!("{name}, line {number}: {fault}"))? {
            Replayed::Same => tally.same += 1,
            Replayed::WithoutBeginning => tally.without_beginning += 1,
            Replayed::Different(decision) => {
                print(&difference(&record, &decision))?;
                return Err(format!(
                    "{name}, line {number}: this program decides otherwise, after {} as recorded",
                    super::count(tally.same, "evaluation")
                ));
            }
        }
    }
    Ok(())
}

/// What differs: the outcome, and the fields in which the two are not the same.
fn difference(record: &Record, decision: &Decision) -> String {
    let shown = |decision: &Decision| {
        let from = decision.from.map_or_else(|| "?".to_owned(), |from| from.to_string());
        let to = decision.desired.map_or_else(|| "?".to_owned(), |to| to.to_string());
        format!("{from} → {to} ({}): {}", decision.reason, decision.message)
    };
    let at = crate::cluster::timestamp(record.now);
    let mut text = format!(
        "{} at {at}\n  recorded: {}\n  now:      {}\n",
        record.policy,
        shown(&record.decision),
        shown(decision)
    );
    let fields = |decision: &Decision| serde_json::to_value(decision).unwrap_or_default();
    let (recorded, now) = (fields(&record.decision), fields(decision));
    let names = recorded.as_object().into_iter().chain(now.as_object()).flat_map(|fields| fields.keys());
    let names: std::collections::BTreeSet<_> = names.collect();
    for field in names.into_iter().filter(|field| recorded.get(field.as_str()) != now.get(field.as_str())) {
        let part = |value: &serde_json::Value| {
            let text = value.get(field.as_str()).map_or_else(|| "absent".to_owned(), ToString::to_string);
            text.chars().take(300).collect::<String>()
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "  {field}\n    recorded: {}\n    now:      {}\n", part(&recorded), part(&now));
    }
    text
}
