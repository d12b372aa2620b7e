//! Recordings decided once more: the same code must come to the same decisions.

use super::recalled::Recalled;
use super::record::{RECORD_VERSION, Record};
use crate::api::ScalingPolicySpec;
use crate::control::{Decision, Memory, Observation, Policy, Recollection, ScalabilityView, Target, decide};
use crate::time::Time;

/// One policy's recording, line by line, in the order in which it was written.
#[derive(Default)]
pub struct Replay {
    course: Option<Course>,
}

/// What became of one line.
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed {
    /// It was decided as recorded.
    Same,
    /// It is decided in another way now.
    Different(Box<Decision>),
    /// What was remembered before it is not in the recording.
    WithoutBeginning,
}

/// Since a process began.
struct Course {
    memory: Memory,
    /// Evaluations since history was asked for, until it is answered.
    lived: Option<Vec<(Time, Observation)>>,
    compiled: Option<(ScalingPolicySpec, Policy)>,
}

impl Replay {
    /// Decides a line once more. The error is a sentence: the line cannot be decided by this version.
    pub fn decide(&mut self, record: &Record) -> Result<Replayed, String> {
        if record.version != RECORD_VERSION {
            return Err(format!(
                "it was recorded in version {} of the format, and this program reads version {RECORD_VERSION}: replay it \
                 with the program that recorded it",
                record.version
            ));
        }
        if record.first {
            let memory = Recalled::recorded(record).memory();
            self.course = Some(Course { memory, lived: None, compiled: None });
        }
        let Some(course) = &mut self.course else { return Ok(Replayed::WithoutBeginning) };
        let decision = course.decide(record)?;
        Ok(if decision == record.decision { Replayed::Same } else { Replayed::Different(Box::new(decision)) })
    }
}

impl Course {
    fn decide(&mut self, record: &Record) -> Result<Decision, String> {
        let policy = self.policy(record)?;
        self.recollect(record, &policy);
        let memory = std::mem::take(&mut self.memory);
        let (decision, mut memory) = decide(&policy, &record.observation, memory, record.now);
        if record.written {
            memory.note_written();
        }
        self.memory = memory;
        if let Some(lived) = &mut self.lived {
            let seen = Observation { scalability: ScalabilityView::default(), ..record.observation.clone() };
            lived.push((record.now, seen));
        }
        Ok(decision)
    }

    fn policy(&mut self, record: &Record) -> Result<Policy, String> {
        if let Some((spec, policy)) = &self.compiled
            && *spec == record.spec
            && policy.seed == record.seed
        {
            return Ok(policy.clone());
        }
        let policy = Policy::compile(&record.spec)
            .map(|policy| Policy { seed: record.seed, ..policy })
            .map_err(|error| format!("its policy cannot be read by this program: {error}"))?;
        self.compiled = Some((record.spec.clone(), policy.clone()));
        Ok(policy)
    }

    /// What became of the question about the time before.
    fn recollect(&mut self, record: &Record, policy: &Policy) {
        let Some(recollection) = &record.recollection else { return };
        // An answer that was there before the first decision is recorded in place of the question.
        let lived = self.lived.take().unwrap_or_else(|| {
            self.memory.await_history();
            Vec::new()
        });
        match (recollection, &record.observation.target) {
            (Recollection::Known(history), Target::Seen(workload)) => {
                let memory = std::mem::take(&mut self.memory);
                self.memory = memory.with_history(policy, history, &lived, workload, record.now);
            }
            (Recollection::Refused(sentence), _) => self.memory.without_history(sentence),
            (Recollection::Awaited | Recollection::Known(_), _) => self.lived = Some(lived),
        }
    }
}
