//! Recordings: every observation with its decision, so that any of them can be looked at, and decided again, later.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use crate::api::ScalingPolicySpec;
use crate::cluster::PolicyKey;
use crate::control::{
    Activation, Change, Decision, Drain, Observation, RecalledScalability, Recollection, StartUp,
};
use crate::time::Time;

/// The format's version; a reader refuses others.
pub const RECORD_VERSION: u32 = 2;

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
    pub recalled: Vec<Change>,
    /// Reversals known from before, oldest first; only with `first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reversals: Vec<Time>,
    /// Start-up times known from before, and until when they were taken; only with `first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_up: Option<(StartUp, Time)>,
    /// Drain times known from before; only with `first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// Where an error budget had moved the targets before, in whole percent; only with `first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_percent: Option<u32>,
    /// Zones that pods were in before; only with `first`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<u32>,
    /// The scalability ceiling known from before, with the first decision of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability: Option<RecalledScalability>,
    /// Guards known to have been active before, by name; only with `first`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<(String, Activation)>,
    /// The bottleneck was known to lie behind the workload; only with `first`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bottleneck_moved: bool,
    /// What became, before this evaluation, of the question about the time before the operator began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recollection: Option<Recollection>,
    /// When it was decided.
    pub now: Time,
    /// What the policy asked for.
    pub spec: ScalingPolicySpec,
    /// What was seen.
    pub observation: Observation,
    /// What was decided.
    pub decision: Decision,
    /// What tells the policy from others.
    pub seed: u64,
    /// A count was written, and accepted.
    pub written: bool,
}

/// Where records are handed in; never waits.
#[derive(Clone, Debug)]
pub struct Recorder(SyncSender<(PolicyKey, Vec<u8>)>);

impl Recorder {
    /// Records into a directory, one file a policy, on a thread of its own that ends after the last recorder is gone.
    pub fn start(directory: &Path) -> io::Result<(Self, JoinHandle<()>)> {
        fs::create_dir_all(directory)?;
        let (sender, queue) = sync_channel(QUEUE);
        let files = Files { directory: directory.to_owned(), open: HashMap::new() };
        let writer = thread::Builder::new().name("recorder".to_owned()).spawn(move || files.run(&queue))?;
        Ok((Self(sender), writer))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Memory, Policy, Target, TargetFault, TargetFaultKind, decide};
    use crate::signal::{Age, Answer, Reading};
    use crate::time::Span;

    fn spec() -> ScalingPolicySpec {
        serde_json::from_value(serde_json::json!({
            "scaleTargetRef": {"name": "web"}, "maxReplicas": 90, "metrics": [{
                "name": "rps", "prometheus": {"query": "q"}, "target": {"type": "AverageValue", "averageValue": "9.7"}}]
        }))
        .unwrap()
    }

    fn observation(value: f64) -> Observation {
        let workload = serde_json::from_value(serde_json::json!({
            "specReplicas": 4, "rollout": "Settled", "update": "replace", "terminationGrace": 30_000, "progressDeadline": 600_000,
            "pods": (0..4).map(|id| serde_json::json!({"id": id, "created": 0, "readySince": 5})).collect::<Vec<_>>()
        }));
        Observation {
            readings: vec![Reading {
                answer: Answer::Value(value),
                warnings: Vec::new(),
                age: Age::Measured(Span::ZERO),
                covered_pods: None,
            }],
            target: workload.map_or_else(
                |error| {
                    Target::Unseen(TargetFault {
                        kind: TargetFaultKind::NotFound,
                        message: error.to_string(),
                    })
                },
                Target::Seen,
            ),
            overrides: crate::control::Overrides::default(),
            guards: Vec::new(),
            shares: Vec::new(),
            scalability: crate::control::ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: Vec::new(),
        }
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn key() -> PolicyKey {
        PolicyKey { namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    #[test]
    fn decided_again_from_a_recording_everything_is_the_same() {
        let directory = directory();
        let (recorder, writer) = Recorder::start(directory.path()).unwrap();
        let policy = Policy::compile(&spec()).unwrap();
        let mut memory = Memory::default();
        // Values with no short decimal form: a digit lost would be found.
        let values = (1..200_u32).map(|at| 100.0 / 3.0 + f64::from(at * at % 97) / 7.0);
        let mut expected = Vec::new();
        for (at, value) in (0_i64..).zip(values.chain([f64::NAN, f64::INFINITY])) {
            let (observation, now) = (observation(value), Time::from_seconds(1_790_000_000 + 15 * at));
            let (decision, next) = decide(&policy, &observation, memory, now);
            memory = next;
            let record = Record {
                version: RECORD_VERSION,
                policy: key().to_string(),
                first: at == 0,
                recalled: Vec::new(),
                reversals: Vec::new(),
                start_up: None,
                drain: None,
                target_percent: None,
                zones: None,
                scalability: None,
                guards: Vec::new(),
                bottleneck_moved: false,
                recollection: None,
                now,
                spec: spec(),
                observation,
                decision: decision.clone(),
                seed: 0,
                written: false,
            };
            assert!(recorder.record(&key(), &record));
            expected.push(decision);
        }
        drop(recorder);
        writer.join().unwrap();
        let text = fs::read_to_string(directory.path().join("shop_web.jsonl")).unwrap();
        assert_eq!(text.lines().count(), expected.len());
        let mut memory = Memory::default();
        for (line, expected) in text.lines().zip(expected) {
            let record: Record = serde_json::from_str(line).unwrap();
            assert_eq!(record.decision, expected);
            let policy = Policy::compile(&record.spec).unwrap();
            let (decision, next) = decide(&policy, &record.observation, memory, record.now);
            assert_eq!(decision, expected);
            memory = next;
        }
    }

    #[test]
    fn a_file_that_has_grown_large_is_put_aside() {
        let directory = directory();
        let mut files = Files { directory: directory.path().to_owned(), open: HashMap::new() };
        let half = LARGEST_FILE >> 1;
        let line = vec![b'x'; usize::try_from(half).unwrap()];
        for _ in 0..5 {
            files.write(&key(), &line).unwrap();
        }
        let size = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
        assert_eq!((size("shop_web.1.jsonl"), size("shop_web.jsonl")), (LARGEST_FILE, half));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_the_start() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Recorder::start(file.path()).is_err());
    }
}
