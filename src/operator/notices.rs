//! Which changes become events, and how many.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::report::Acted;
use crate::cluster::Notice;
use crate::control::Decision;
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
        Acted::Failed(error) if !already_failing && error.kind != crate::cluster::ApiErrorKind::Conflict => {
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
    // A write that failed is told as such, with the count.
    if is.reason == "FailedUpdateScale" {
        return None;
    }
    // At the beginning only trouble is news; later, what was trouble and is none any more.
    if good(is) && was.is_none_or(|was| good(was) || passing(was)) || passing(is) {
        return None;
    }
    Some(Notice {
        warning: !good(is) && !INTENDED.contains(&is.reason.as_str()),
        reason: is.reason.clone(),
        action: "Evaluate",
        note: is.message.clone(),
    })
}

/// A limit that passes by itself.
fn passing(condition: &Condition) -> bool {
    condition.type_ == "ScalingLimited"
        && condition.status == "True"
        && !HOLDING.contains(&condition.reason.as_str())
}

fn good(condition: &Condition) -> bool {
    let wanted = match condition.type_.as_str() {
        "ScalingLimited" | "BudgetInfeasible" | "Flapping" => "False",
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
        let since = *self.since.get_or_insert(now);
        let earned = now.since(since).millis().div_euclid(Self::REFILL.millis());
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(self.left).min(Self::BURST);
            self.since = Some(since + Self::REFILL.times(earned));
        }
        self.left.checked_sub(1).inspect(|left| self.left = *left).is_some()
    }
}
