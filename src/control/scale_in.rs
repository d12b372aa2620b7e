//! What keeps a scale-in that demand asks for.

use super::decision::StepName;
use super::demand::{Demand, Ground};
use super::guard::Guards;
use super::moment;
use super::observation::Rollout;
use super::overwritten::Contest;
use super::policy::Compat;
use super::reason::Reason;
use super::trail::Trail;
use crate::api::SelectPolicy;

/// What a scale-in heeds beside demand and pods.
pub(super) struct Scene<'a> {
    pub(super) guards: &'a Guards<'a>,
    pub(super) spec_replicas: u32,
    /// The count stays at or above this anyway.
    pub(super) floor: u32,
    pub(super) rollout: Rollout,
    pub(super) contest: Option<Contest>,
    pub(super) history_awaited: bool,
    pub(super) may_write: bool,
}

/// Holds a scale-in for which the world is not fit. Works on the base. Also tells whether nothing but a proven age
/// is missing.
pub(super) fn hold_scale_in(
    ground: &Ground<'_>,
    demand: &Demand,
    scene: &Scene<'_>,
    stabilized: u32,
    trail: &mut Trail,
) -> (u32, bool) {
    let (policy, base, pending) = (ground.policy, ground.base, ground.counts.ordered);
    if stabilized >= base || policy.compat == Compat::Hpa {
        return (stabilized, false);
    }
    let hold = demand
        .no_scale_down
        .clone()
        .or_else(|| {
            (ground.counts.serving == 0)
                .then(|| (Reason::NoReadyPods, "nothing is removed while no pod serves".to_owned()))
        })
        // A rollout explains the pods that are still to come.
        .or_else(|| {
            (scene.rollout == Rollout::Progressing).then(|| {
                (Reason::RolloutInProgress, "nothing is removed while a rollout is under way".to_owned())
            })
        })
        .or_else(|| {
            (pending > 0).then(|| {
                let pods = if pending == 1 { "1 pod is".to_owned() } else { format!("{pending} pods are") };
                (Reason::PodsStarting, format!("nothing is removed while {pods} still to come or to warm up"))
            })
        })
        .or_else(|| {
            policy
                .scale_down_paused
                .then(|| (Reason::Paused, "scale-down is paused by the policy".to_owned()))
        })
        .or_else(|| {
            scene.contest.map(|contest| {
                let until = moment(contest.until);
                let message = format!(
                    "somebody else sets the count to {} again and again: nothing is removed before {until}",
                    contest.theirs
                );
                (Reason::ReplicasOverwritten, message)
            })
        })
        .or_else(|| {
            scene.history_awaited.then(|| {
                let message = "nothing is removed before the history of the signals is read";
                (Reason::HistoryPending, message.to_owned())
            })
        })
        .or_else(|| {
            let (floor, reason, message) = scene.guards.floor()?;
            let floor = floor.saturating_sub(policy.headroom_replicas);
            (floor >= base).then_some((reason, message))
        })
        .or_else(|| {
            // Where nothing is written, or a floor or a rate keeps the count anyway, no age is waited for, or what status
            // says would change each time that it is asked.
            let floored = stabilized.saturating_add(policy.headroom_replicas).max(scene.floor);
            let falls = scene.may_write
                && floored < scene.spec_replicas
                && policy.scale_down.select != SelectPolicy::Disabled;
            (falls && !demand.ages_proven).then(|| {
                (
                    Reason::AgeUnconfirmed,
                    "nothing is removed before the data's age is measured anew".to_owned(),
                )
            })
        });
    let Some((reason, message)) = hold else { return (stabilized, false) };
    trail.note(StepName::ScaleDownGuard, stabilized, base, reason, message);
    (base, reason == Reason::AgeUnconfirmed)
}
