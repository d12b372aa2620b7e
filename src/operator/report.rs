//! Telling what was decided and done: logs, metrics, status, events.

use super::evaluation::Evaluated;
use super::notices::{action_notice, condition_notices, recall_notices};
use super::task::PolicyTask;
use crate::api::ScalingPolicyStatus;
use crate::audit;
use crate::cluster::{
    ApiError, ApiErrorKind, CHANGES, Notice, PolicyRecord, Report, change, invalid_status, write_status,
};
use crate::control::{BudgetShare, Condition, ConditionStatus, ConditionType, Decision, Reason};
use crate::telemetry::PolicyFigures;
use crate::time::Time;

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Acted {
    /// Nothing was to be written.
    Nothing,
    /// The count was written.
    Rescaled {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// The count could not be written, or nobody knows whether it was.
    Failed(ApiError),
}

impl PolicyTask {
    /// Reports a decision and what became of it.
    pub(super) async fn report(&mut self, record: &PolicyRecord, evaluated: Evaluated) {
        let Evaluated { policy, decision, acted, flaws } = evaluated;
        let now = decision.time;
        log(record, &decision, &acted);
        if let Acted::Rescaled { from, to } = acted {
            self.state.changes.push_front(change(&decision, from, to));
            self.state.changes.truncate(CHANGES);
        }
        let current = match acted {
            Acted::Rescaled { to, .. } => Some(to),
            Acted::Nothing | Acted::Failed(_) => decision.from,
        };
        if !self.gone.is_cancelled() || self.context.stop.is_cancelled() {
            let figures = PolicyFigures::new(&policy, &decision, current);
            self.context.metrics.show(&record.key, figures.audited(flaws.as_deref()));
        }
        let failing =
            self.state.written.conditions().iter().any(|condition| condition.reason == "FailedUpdateScale");
        if let Some(notice) = action_notice(&decision, &acted, failing) {
            self.publish(record, &notice, now);
        }
        let mut conditions = conditions(&decision, &acted);
        conditions.extend(flaws.as_deref().map(audit::condition));
        let status = Report {
            decision: &decision,
            conditions: &conditions,
            flaws: flaws.as_deref().unwrap_or_default(),
            generation: record.generation,
            current,
            changes: &self.state.changes,
            before: self.state.written.last(),
        }
        .status();
        let rescaled = matches!(acted, Acted::Rescaled { .. });
        self.write_status(record, status, rescaled, now).await;
    }

    /// Publishes what budgets began to ask back. What was asked back before a restart is no news.
    pub(super) fn tell_of_recalls(&mut self, record: &PolicyRecord, shares: &[BudgetShare], now: Time) {
        let before = self.state.recalls.replace(shares.to_vec());
        for notice in before.iter().flat_map(|before| recall_notices(before, shares)) {
            self.publish(record, &notice, now);
        }
    }

    /// Reports a policy that cannot be evaluated.
    pub(super) async fn report_invalid(&mut self, record: &PolicyRecord, fault: &str) {
        let now = self.context.clock.now();
        self.context.metrics.decided(Reason::InvalidPolicy);
        self.context.metrics.forget(&record.key);
        let condition = |kind| Condition {
            kind,
            status: ConditionStatus::False,
            reason: Reason::InvalidPolicy,
            message: fault.to_owned(),
        };
        let conditions = [condition(ConditionType::Ready), condition(ConditionType::ScalingActive)];
        let before = self.state.written.last();
        let status = invalid_status(&conditions, before, record.generation, &self.state.changes, now);
        self.write_status(record, status, false, now).await;
    }

    /// Writes status where it is worth a write, and tells of conditions that changed.
    async fn write_status(
        &mut self,
        record: &PolicyRecord,
        status: ScalingPolicyStatus,
        rescaled: bool,
        now: Time,
    ) {
        let Some(occasion) = self.state.written.occasion(&status, rescaled, now) else { return };
        let notices = condition_notices(self.state.written.conditions(), &status.conditions);
        let written = write_status(&self.context.client, &self.context.authority, &record.key, &status).await;
        self.context
            .metrics
            .status_written(written.as_ref().map(|()| occasion.label()).map_err(|error| error.kind));
        match written {
            Ok(()) => {
                tracing::debug!(policy = %record.key, occasion = occasion.label(), "status written");
                for notice in &notices {
                    self.publish(record, notice, now);
                }
                self.state.written.note(status);
            }
            // The policy went meanwhile, or another process reports.
            Err(error) if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::NotLeading) => {}
            Err(error) => {
                self.context.metrics.api_failed("patch status", error.kind);
                if error.kind.may_have_been_carried_out() {
                    self.state.written.note_unanswered();
                }
                tracing::warn!(policy = %record.key, %error, "status was not written");
            }
        }
    }

    fn publish(&mut self, record: &PolicyRecord, notice: &Notice, now: Time) {
        if notice.warning {
            tracing::warn!(policy = %record.key, reason = notice.reason, "{}", notice.note);
        }
        let context = &self.context;
        if !self.state.budget.take(now) || !context.events.publish(record, &context.instance, notice, now) {
            context.metrics.event_dropped();
        }
    }
}

/// The decision's conditions, with a write that failed among them.
fn conditions(decision: &Decision, acted: &Acted) -> Vec<Condition> {
    let Acted::Failed(error) = acted else { return decision.conditions.clone() };
    // A workload that changes faster than it can be read is busy, not broken.
    if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotLeading) {
        return decision.conditions.clone();
    }
    let failed = |kind| Condition {
        kind,
        status: ConditionStatus::False,
        reason: Reason::FailedUpdateScale,
        message: error.to_string(),
    };
    let mut conditions = decision.conditions.clone();
    conditions
        .retain(|condition| !matches!(condition.kind, ConditionType::AbleToScale | ConditionType::Ready));
    conditions.extend([failed(ConditionType::AbleToScale), failed(ConditionType::Ready)]);
    conditions
}

/// One line for each change of a count, made or failed.
fn log(record: &PolicyRecord, decision: &Decision, acted: &Acted) {
    let (policy, reason) = (&record.key, decision.reason);
    let limited_by = decision.limited_by.as_ref().map(ToString::to_string);
    match acted {
        Acted::Rescaled { from, to } => {
            tracing::info!(%policy, from, to, %reason, limited_by, "{}", decision.message);
        }
        Acted::Failed(error) => {
            tracing::warn!(%policy, from = decision.from, to = decision.write, %reason, limited_by, %error, "the count was not written");
        }
        Acted::Nothing => {
            tracing::debug!(%policy, replicas = decision.from, desired = decision.desired, %reason, limited_by, "{}", decision.message);
        }
    }
}
