//! The course of a Deployment's replicas: every change that the API server showed, in order, with its moment.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::DEADLINE;

/// A Deployment's replicas from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When it was seen, since the recording began.
    pub at: Duration,
    /// The wanted count, `spec.replicas`.
    pub wanted: i32,
    /// The pods there are, surge included and terminating ones not, `status.replicas`.
    pub pods: i32,
    /// Those of the newest revision, `status.updatedReplicas`.
    pub updated: i32,
    /// Those that are ready, `status.readyReplicas`.
    pub ready: i32,
    /// Those that were ready for `minReadySeconds`, `status.availableReplicas`.
    pub available: i32,
    /// Those that are on their way out, `status.terminatingReplicas`; 0 where the server does not tell.
    pub terminating: i32,
    /// Whether the Deployment controller has seen the newest specification.
    pub observed: bool,
}

/// All moments recorded so far; prints as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    moments: Vec<Moment>,
}

/// A recording that goes on in the background until it is dropped.
#[derive(Debug)]
pub struct Course {
    name: String,
    start: Instant,
    record: watch::Receiver<Record>,
    recorder: JoinHandle<()>,
}

/// What was waited for did not come; prints the whole record.
#[derive(Debug, thiserror::Error)]
#[error("{name}: not within {deadline:?}; its course was\n{record}")]
pub struct CourseError {
    name: String,
    deadline: Duration,
    record: Record,
}

impl Course {
    /// Starts to record the Deployment `name`, once it is there.
    pub async fn watch(client: Client, namespace: &str, name: &str) -> Result<Self, Box<CourseError>> {
        let api = Api::namespaced(client, namespace);
        let (sender, record) = watch::channel(Record::default());
        let start = Instant::now();
        let recorder = tokio::spawn(record_changes(api, name.to_owned(), start, sender));
        let course = Self { name: format!("{namespace}/{name}"), start, record, recorder };
        course.wait_for(|record| record.last().is_some(), DEADLINE).await?;
        Ok(course)
    }

    /// How long it has been recorded: the present moment as [`Moment::at`] tells moments.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Everything recorded so far.
    pub fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// The wanted counts in the order in which they were set, without repetition.
    pub fn counts(&self) -> Vec<i32> {
        self.record.borrow().counts()
    }

    /// Waits until the record satisfies `condition` and returns it.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&Record) -> bool,
        deadline: Duration,
    ) -> Result<Record, Box<CourseError>> {
        let mut record = self.record.clone();
        let satisfied = timeout(deadline, record.wait_for(|record| condition(record))).await;
        if let Ok(Ok(record)) = satisfied {
            return Ok(record.clone());
        }
        Err(Box::new(CourseError { name: self.name.clone(), deadline, record: self.record() }))
    }

    /// Waits until the Deployment is settled at `count` pods, all of them ready and up to date.
    pub async fn settles_at(&self, count: i32) -> Result<Record, Box<CourseError>> {
        self.wait_for(|record| record.last().is_some_and(|last| last.is_settled_at(count)), DEADLINE).await
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        self.recorder.abort();
    }
}

impl Record {
    /// The moments, the oldest first.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// The newest moment.
    pub fn last(&self) -> Option<&Moment> {
        self.moments.last()
    }

    /// The wanted counts in the order in which they were set, without repetition.
    pub fn counts(&self) -> Vec<i32> {
        let mut counts: Vec<i32> = self.moments.iter().map(|moment| moment.wanted).collect();
        counts.dedup();
        counts
    }

    /// The most pods there were at any moment, terminating ones included.
    pub fn most_pods(&self) -> i32 {
        self.moments.iter().map(|moment| moment.pods.saturating_add(moment.terminating)).max().unwrap_or(0)
    }
}

impl Moment {
    /// Whether `count` pods are wanted, there, ready and up to date, and no others.
    pub const fn is_settled_at(&self, count: i32) -> bool {
        self.observed
            && self.wanted == count
            && self.pods == count
            && self.updated == count
            && self.ready == count
            && self.terminating == 0
    }

    fn of(deployment: &Deployment, at: Duration) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let [pods, updated, ready, available, terminating] = [
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
            status.available_replicas,
            status.terminating_replicas,
        ]
        .map(Option::unwrap_or_default);
        let observed = status.observed_generation == deployment.metadata.generation;
        Self { at, wanted, pods, updated, ready, available, terminating, observed }
    }

    const fn is_same_but_later(&self, other: &Self) -> bool {
        self.wanted == other.wanted
            && self.pods == other.pods
            && self.updated == other.updated
            && self.ready == other.ready
            && self.available == other.available
            && self.terminating == other.terminating
            && self.observed == other.observed
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "      at  wanted    pods updated   ready available terminating")?;
        for moment in &self.moments {
            let Moment { at, wanted, pods, updated, ready, available, terminating, observed } = moment;
            let at = at.as_secs_f64();
            write!(f, "{at:7.2}s {wanted:7} {pods:7} {updated:7} {ready:7} {available:9} {terminating:11}")?;
            writeln!(f, "{}", if *observed { "" } else { "  not yet observed" })?;
        }
        Ok(())
    }
}

async fn record_changes(api: Api<Deployment>, name: String, start: Instant, sender: watch::Sender<Record>) {
    let config = Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(api, config).boxed();
    while let Some(event) = events.next().await {
        let deployment = match event {
            Ok(Event::Apply(deployment) | Event::InitApply(deployment)) => deployment,
            Ok(Event::Delete(_) | Event::Init | Event::InitDone) => continue,
            Err(error) => {
                tracing::warn!(%error, name, "the course is not seen");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let moment = Moment::of(&deployment, start.elapsed());
        sender.send_if_modified(|record| {
            let changed = record.last().is_none_or(|last| !last.is_same_but_later(&moment));
            if changed {
                record.moments.push(moment);
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: u64, wanted: i32, ready: i32) -> Moment {
        let at = Duration::from_millis(at);
        let observed = wanted == ready;
        Moment {
            at,
            wanted,
            pods: wanted,
            updated: wanted,
            ready,
            available: ready,
            terminating: 0,
            observed,
        }
    }

    #[test]
    fn counts_are_told_in_order_and_without_repetition() {
        let moments = vec![moment(0, 1, 1), moment(10, 5, 1), moment(20, 5, 5), moment(30, 1, 1)];
        assert_eq!(Record { moments }.counts(), [1, 5, 1]);
    }

    #[test]
    fn a_record_reads_as_a_table() {
        let record = Record { moments: vec![moment(0, 1, 1), moment(1_250, 5, 1)] };
        assert_eq!(
            record.to_string(),
            "      at  wanted    pods updated   ready available terminating
   0.00s       1       1       1       1         1           0
   1.25s       5       5       5       1         1           0  not yet observed
"
        );
    }
}
