//! One task a policy: begun when it comes, ended when it goes, begun again when a defect ended it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::task::{Begin, Context, PolicyTask};
use crate::cluster::{PolicyKey, PolicyRecord, Uid};
use crate::telemetry::Health;

/// Time between signs of life.
pub(super) const TICK: Duration = Duration::from_secs(5);
/// Time before a policy whose evaluation ended in a defect is evaluated again.
const AFTER_DEFECT: Duration = Duration::from_secs(30);

/// Keeps one task for each policy.
pub(super) struct Supervisor {
    context: Arc<Context>,
    health: Arc<Health>,
    /// For policies to be looked at again later.
    again: UnboundedSender<PolicyKey>,
    news: UnboundedReceiver<PolicyKey>,
    running: HashMap<PolicyKey, Running>,
    tasks: JoinSet<()>,
    names: HashMap<Id, PolicyKey>,
}

struct Running {
    uid: Uid,
    task: Id,
    edited: Arc<Notify>,
    gone: CancellationToken,
}

impl Supervisor {
    pub(super) fn new(
        context: Arc<Context>,
        health: Arc<Health>,
        again: UnboundedSender<PolicyKey>,
        news: UnboundedReceiver<PolicyKey>,
    ) -> Self {
        let (running, tasks, names) = (HashMap::new(), JoinSet::new(), HashMap::new());
        Self { context, health, again, news, running, tasks, names }
    }

    /// Keeps tasks for ever.
    pub(super) async fn work(&mut self) {
        self.context.index.act();
        // What the first lists brought is begun on the grid, and not all at once as news.
        let policies = self.context.index.policies();
        tracing::info!(policies = policies.len(), "at work");
        for policy in &policies {
            self.look(policy, Begin::OnGrid);
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.health.tick(),
                Some(policy) = self.news.recv() => self.look(&policy, Begin::Soon),
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            }
        }
    }

    /// Waits until no task runs.
    pub(super) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Looks at a policy that came, changed or went.
    fn look(&mut self, policy: &PolicyKey, begin: Begin) {
        let record = self.context.index.policy(policy);
        match (self.running.get(policy), record) {
            (Some(running), Some(record)) if running.uid == record.uid => running.edited.notify_one(),
            (None, Some(record)) => self.begin(&record, begin),
            (Some(_), record) => {
                self.end(policy);
                if let Some(record) = record {
                    self.begin(&record, begin);
                }
            }
            (None, None) => {}
        }
    }

    fn begin(&mut self, record: &PolicyRecord, begin: Begin) {
        let (edited, gone) = (Arc::new(Notify::new()), self.context.stop.child_token());
        let task = PolicyTask::new(self.context.clone(), record, edited.clone(), gone.clone());
        let id = self.tasks.spawn(task.run(begin)).id();
        self.names.insert(id, record.key.clone());
        self.running.insert(record.key.clone(), Running { uid: record.uid, task: id, edited, gone });
    }

    fn end(&mut self, policy: &PolicyKey) {
        if let Some(running) = self.running.remove(policy) {
            running.gone.cancel();
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(policy) = self.names.remove(&id) else { return };
        let current = self.running.get(&policy).is_some_and(|running| running.task == id);
        if current {
            self.running.remove(&policy);
        }
        if !self.running.contains_key(&policy) {
            self.context.metrics.forget(&policy);
        }
        if let Err(error) = ended
            && error.is_panic()
        {
            self.context.metrics.panicked();
            tracing::error!(%policy, %error, "the evaluation ended in a defect of the operator; the count stays as it is until it is tried again");
        }
        if current {
            // A task of a policy that still exists does not end by itself.
            let again = self.again.clone();
            let stop = self.context.stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(AFTER_DEFECT) => {
                        let _ = again.send(policy);
                    }
                }
            });
        }
    }
}
