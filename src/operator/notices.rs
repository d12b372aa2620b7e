//! Which changes become events, and how many.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::report::Acted;
use crate::cluster::{ApiErrorKind, Notice};
use crate::control::{BudgetShare, Decision, Recall};
use crate::time::{Span, Time};

/// Reasons of a bad condition that somebody asked for.
const INTENDED: [&str; 4] = ["DryRun", "Frozen", "ScalingDisabled", "Paused"];
/// Limits that a person may want to move. The others pass by themselves.
const HOLDING: [&str; 4] = ["TooManyReplicas", "ConnectionBudget", "ScalabilityCeiling", "EmergencyMax"];

/// Events about what was done.
pub(super) fn action_notice(decision: &Decision, acted: &Acted, already_failing: bool) -> Option<Notice> {
    match acted {
        Acted::Rescaled { to, .. } => Some(Notice {
            warning: false,
            reason: "SuccessfulRescale".to_owned(),
            action: "Rescale",
            note: format!("New size: {to}; reason: {}", decision.message),
        }),
        Acted::Failed(error)
            if !already_failing
                && !matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotLeading) =>
        {
            Some(Notice {
                warning: true,
                reason: "FailedRescale".to_owned(),
                action: "Rescale",
                note: format!(
                    "New size: {}; reason: {}; error: {error}",
                    decision.write.unwrap_or_default(),
                    decision.message
                ),
            })
        }
        Acted::Failed(_) | Acted::Nothing => None,
    }
}

/// Events about budgets that have begun to ask connections back, or whose deadline for it has passed.
pub(super) fn recall_notices(before: &[BudgetShare], now: &[BudgetShare]) -> Vec<Notice> {
    let recalled = |shares: &[BudgetShare], budget: &str| {
        shares.iter().find(|share| share.budget == budget).and_then(|share| share.recall)
    };
    let news =
        now.iter().filter(|share| share.recall.is_some() && recalled(before, &share.budget) != share.recall);
    let notice = |share: &BudgetShare| Notice {
        warning: share.recall == Some(Recall::Hard),
        reason: match share.recall {
            Some(Recall::Hard) => "ConnectionsRecallOverdue",
            _ => "ConnectionsRecalled",
        }
        .to_owned(),
        action: "Evaluate",
        note: format!("ConnectionBudget {}: {}", share.budget, share.message),
    };
    news.map(notice).collect()
}

/// Events about conditions that changed their status or reason.
pub(super) fn condition_notices(before: &[Condition], now: &[Condition]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    // Ready repeats the others; it is told only where it alone changed.
    let (ready, others): (Vec<_>, Vec<_>) = now.iter().partition(|condition| condition.type_ == "Ready");
    for condition in others.into_iter().chain(ready) {
        let was = before.iter().find(|was| was.type_ == condition.type_);
        if let Some(notice) = notice(was, condition)
            && (condition.type_ != "Ready" || notices.is_empty())
            && notices.iter().all(|other| other.note != notice.note)
        {
            notices.push(notice);
        }
    }
    notices
}

fn notice(was: Option<&Condition>, is: &Condition) -> Option<Notice> {
    if was.is_some_and(|was| was.status == is.status && (was.reason == is.reason || good(is))) {
        return None;
    }
    // What a workload always was is no news; what an edit made of it is.
    if is.type_ == "WorkloadAudited" && was.is_none() {
        return None;
    }
    // A write that failed is told as such, with the count.
    if is.reason == "FailedUpdateScale" {
        return None;
    }
    // At the beginning only trouble is news; later, what was trouble and is none any more.
    if good(is) && was.is_none_or(|was| good(was) || passing(was)) || passing(is) {
        return None;
    }
    Some(Notice {
        warning: !good(is) && !INTENDED.contains(&is.reason.as_str()) && !to_be_earned(is),
        reason: is.reason.clone(),
        action: "Evaluate",
        note: is.message.clone(),
    })
}

/// A ceiling that is still to be earned is no trouble.
fn to_be_earned(condition: &Condition) -> bool {
    condition.type_ == "ScalabilityFitted" && condition.status == "False"
}

/// A limit that passes by itself, or a diagnosis that cannot be made for a reason that is told elsewhere.
fn passing(condition: &Condition) -> bool {
    let limit = condition.type_ == "ScalingLimited"
        && condition.status == "True"
        && !HOLDING.contains(&condition.reason.as_str());
    limit || condition.type_ == "BottleneckMoved" && condition.status == "Unknown"
}

fn good(condition: &Condition) -> bool {
    let wanted = match condition.type_.as_str() {
        "ScalingLimited"
        | "BottleneckMoved"
        | "BudgetInfeasible"
        | "Flapping"
        | "Guarded"
        | "PodsFailing"
        | "ReplicasOverwritten"
        | "RolloutStalled" => "False",
        _ => "True",
    };
    condition.status == wanted
}

/// How many events a policy may still publish: a burst, and then a few an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: u32,
    since: Option<Time>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Self::BURST, since: None }
    }
}

impl Budget {
    const BURST: u32 = 25;
    const REFILL: Span = Span::from_seconds(60);

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        // A clock that was set back must not keep events waiting until it is there again.
        let since = self.since.filter(|since| *since <= now).unwrap_or(now);
        self.since = Some(since);
        let earned = now.since(since).millis().div_euclid(Self::REFILL.millis());
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(self.left).min(Self::BURST);
            self.since = Some(since + Self::REFILL.times(earned));
        }
        self.left.checked_sub(1).inspect(|left| self.left = *left).is_some()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as MetaTime;

    use super::*;

    fn condition(text: &str) -> Condition {
        let [kind, status, reason] = text.split(' ').collect::<Vec<_>>()[..] else {
            panic!("three words: {text}")
        };
        Condition {
            last_transition_time: MetaTime(jiff::Timestamp::UNIX_EPOCH),
            message: format!("because of {reason}"),
            observed_generation: None,
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    }

    fn told(before: &[&str], now: &[&str]) -> Vec<String> {
        let conditions = |texts: &[&str]| texts.iter().map(|text| condition(text)).collect::<Vec<_>>();
        let notices = condition_notices(&conditions(before), &conditions(now));
        notices
            .iter()
            .map(|notice| format!("{}{}", notice.reason, if notice.warning { "!" } else { "" }))
            .collect()
    }

    #[test]
    fn what_goes_bad_is_a_warning_and_what_heals_is_told() {
        const ACTIVE: &str = "ScalingActive True ValidMetricFound";
        const UNFIT: &str = "ScalingActive False FailedGetExternalMetric";
        const FREE: &str = "ScalingLimited False DesiredWithinRange";
        const RATED: &str = "ScalingLimited True ScaleUpLimit";
        const HELD: &str = "ScalingLimited True ConnectionBudget";
        const READY: &str = "Ready True Ready";
        for (name, before, now, expected) in [
            ("a good beginning", &[][..], &[ACTIVE, FREE, READY][..], &[][..]),
            (
                "a bad beginning",
                &[],
                &[UNFIT, FREE, "Ready False FailedGetExternalMetric"],
                &["FailedGetExternalMetric!"],
            ),
            ("nothing new", &[UNFIT, HELD], &[UNFIT, HELD], &[]),
            ("signals go", &[ACTIVE, READY], &[UNFIT, READY], &["FailedGetExternalMetric!"]),
            ("signals come back", &[UNFIT], &[ACTIVE], &["ValidMetricFound"]),
            ("all good, for another reason", &[ACTIVE], &["ScalingActive True SomeMetricsUnfit"], &[]),
            ("a limit binds", &[FREE], &[HELD], &["ConnectionBudget!"]),
            ("another limit binds", &[HELD], &["ScalingLimited True TooManyReplicas"], &["TooManyReplicas!"]),
            ("a limit binds no more", &[HELD], &[FREE], &["DesiredWithinRange"]),
            ("a ceiling is to be earned", &[], &["ScalabilityFitted False TooFewSizes"], &["TooFewSizes"]),
            (
                "a ceiling cannot be told",
                &[],
                &["ScalabilityFitted Unknown WindowsUnreadable"],
                &["WindowsUnreadable!"],
            ),
            ("a rate is no news", &[FREE], &[RATED], &[]),
            ("nor is its end", &[RATED], &[FREE], &[]),
            (
                "the workload cannot be read",
                &["AbleToScale True ReadyForNewScale"],
                &["AbleToScale False FailedGetScale", "Ready False FailedGetScale"],
                &["FailedGetScale!"],
            ),
            (
                "a dry run is wanted",
                &["AbleToScale True ReadyForNewScale"],
                &["AbleToScale False DryRun"],
                &["DryRun"],
            ),
            (
                "a write failed, which is told with its count",
                &[READY],
                &["AbleToScale False FailedUpdateScale", "Ready False FailedUpdateScale"],
                &[],
            ),
            (
                "only Ready changed",
                &[ACTIVE, READY],
                &[ACTIVE, "Ready False RivalAutoscaler"],
                &["RivalAutoscaler!"],
            ),
            (
                "somebody else sets the count",
                &[READY],
                &["ReplicasOverwritten True ReplicasOverwritten", READY],
                &["ReplicasOverwritten!"],
            ),
            (
                "a guard acts",
                &["Guarded False NoGuardActive"],
                &["Guarded True GuardActive"],
                &["GuardActive!"],
            ),
            ("it expires", &["Guarded True GuardActive"], &["Guarded True GuardExpired"], &["GuardExpired!"]),
            ("it ends", &["Guarded True GuardExpired"], &["Guarded False NoGuardActive"], &["NoGuardActive"]),
            (
                "it is blind",
                &["Guarded False NoGuardActive"],
                &["Guarded Unknown GuardUnfit"],
                &["GuardUnfit!"],
            ),
            (
                "the bottleneck moves",
                &["BottleneckMoved False NoBottleneckBehind"],
                &["BottleneckMoved True BottleneckBehind"],
                &["BottleneckBehind!"],
            ),
            (
                "nobody knows, which is told of the signals",
                &["BottleneckMoved False NoBottleneckBehind"],
                &["BottleneckMoved Unknown BottleneckUnknown"],
                &[],
            ),
            ("pods fail", &[READY], &["PodsFailing True PodsNotReady", READY], &["PodsNotReady!"]),
            ("a workload was as it is", &[], &["WorkloadAudited False AuditFindings", READY], &[]),
            (
                "an edit makes it lose requests",
                &["WorkloadAudited True AuditPassed"],
                &["WorkloadAudited False AuditFindings"],
                &["AuditFindings!"],
            ),
            ("a rollout stalls", &[READY], &["RolloutStalled True RolloutStalled"], &["RolloutStalled!"]),
            (
                "an annotation is misspelt",
                &[READY],
                &["Ready False UnreadableAnnotation"],
                &["UnreadableAnnotation!"],
            ),
            (
                "it flaps",
                &["Flapping False Steady"],
                &["Flapping True TooManyReversals"],
                &["TooManyReversals!"],
            ),
        ] {
            assert_eq!(told(before, now), expected, "{name}");
        }
    }

    #[test]
    fn a_policy_publishes_a_burst_and_then_one_a_minute() {
        let start = Time::from_seconds(1_000_000);
        let mut budget = Budget::default();
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 25);
        let an_hour = (0..3600_u64).filter(|second| budget.take(start + Span::from_seconds(*second))).count();
        assert_eq!(an_hour, 59);
        assert_eq!((0..100).filter(|_| budget.take(start + Span::from_seconds(86_400))).count(), 25);
    }
}
