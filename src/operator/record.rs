//! Recordings: every observation with its decision, so that any of them can be looked at, and decided again, later.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::api::ScalingPolicySpec;
use crate::cluster::PolicyKey;
use crate::control::{Decision, Observation};
use crate::time::Time;

/// The format's version; a reader refuses others.
pub const RECORD_VERSION: u32 = 1;

/// A file is put aside when it has grown to this size, in bytes; the one put aside before goes.
const LARGEST_FILE: u64 = 32 << 20;
/// Lines that may wait to be written; what comes beyond is dropped and counted.
const QUEUE: usize = 4096;
/// Files kept open.
const OPEN_FILES: usize = 256;

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The policy, as `namespace/name`.
    pub policy: String,
    /// Nothing was remembered before this evaluation but the changes listed in `recalled`.
    pub first: bool,
    /// Changes of the count known from before, oldest first; only with `first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<Recalled>,
    /// When it was decided.
    pub now: Time,
    /// What the policy asked for.
    pub spec: ScalingPolicySpec,
    /// What was seen.
    pub observation: Observation,
    /// What was decided.
    pub decision: Decision,
}

/// A change of the count known from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recalled {
    /// When it was written.
    pub time: Time,
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
}

/// Where records are handed in; never waits.
#[derive(Clone, Debug)]
pub struct Recorder(SyncSender<(PolicyKey, Vec<u8>)>);

impl Recorder {
    /// Records into a directory, one file a policy, on a thread of its own that ends with the last recorder.
    pub fn start(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let (sender, queue) = sync_channel(QUEUE);
        let files = Files { directory: directory.to_owned(), open: HashMap::new() };
        thread::Builder::new().name("recorder".to_owned()).spawn(move || files.run(&queue))?;
        Ok(Self(sender))
    }

    /// Hands in a record; false if it cannot be taken.
    pub fn record(&self, policy: &PolicyKey, record: &Record) -> bool {
        let Ok(mut line) = serde_json::to_vec(record) else { return false };
        line.push(b'\n');
        self.0.try_send((policy.clone(), line)).is_ok()
    }
}

struct Files {
    directory: PathBuf,
    open: HashMap<PolicyKey, (File, u64)>,
}

impl Files {
    fn run(mut self, queue: &Receiver<(PolicyKey, Vec<u8>)>) {
        let mut failed = false;
        for (policy, line) in queue {
            match self.write(&policy, &line) {
                Ok(()) => failed = false,
                Err(error) => {
                    self.open.remove(&policy);
                    // Said once, not at every line: a full disk stays full for a while.
                    if !std::mem::replace(&mut failed, true) {
                        tracing::error!(%policy, %error, directory = %self.directory.display(), "cannot record decisions");
                    }
                }
            }
        }
    }

    fn write(&mut self, policy: &PolicyKey, line: &[u8]) -> io::Result<()> {
        if self.open.len() >= OPEN_FILES && !self.open.contains_key(policy) {
            self.open.clear();
        }
        // Neither part of the name can hold an underscore or a slash.
        let path = self.directory.join(format!("{}_{}.jsonl", policy.namespace, policy.name));
        let (file, size) = match self.open.remove(policy) {
            Some((_, size)) if size >= LARGEST_FILE => {
                fs::rename(&path, path.with_extension("1.jsonl"))?;
                open(&path)?
            }
            Some(open) => open,
            None => open(&path)?,
        };
        let (file, size) = self.open.entry(policy.clone()).insert_entry((file, size)).into_mut();
        file.write_all(line)?;
        *size += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}
