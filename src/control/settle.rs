//! Who wins: people, ceilings, floors and demand, in this order, and how fast the count may move.

mod floors;
mod guards;

use super::decision::{Limit, StepName};
use super::floor::Floor;
use super::guard::Guards;
use super::limits::{Bound, Limits};
use super::memory::Memory;
use super::observation::{Observation, Override, Rival, Rollout, Workload};
use super::policy::{Held, Policy};
use super::reason::Reason;
use super::trail::Trail;
use crate::api::{Mode, SelectPolicy};
use crate::capacity::Counts;
use crate::time::{Span, Time};

/// What demand and floors ask for, before rates and limits.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// What demand asks for, headroom included; the present count while nothing is known.
    pub(super) demanded: u32,
    /// No leading signal is fit to use.
    pub(super) blind: bool,
    /// The fallback may raise to this.
    pub(super) fallback_floor: Option<u32>,
    /// The fallback goes to exactly this.
    pub(super) fallback_count: Option<u32>,
    /// What demand may not go below, besides `minReplicas`.
    pub(super) floors: Vec<Floor>,
    /// How long no leading signal has been fit to use.
    pub(super) without_signal: Span,
    /// Demand may not add pods.
    pub(super) scale_up_paused: bool,
    /// The rollout under way; one that makes no progress counts as stalled.
    pub(super) rollout: Rollout,
    /// Nothing but its own rules keeps a guard from taking pods away.
    pub(super) may_step_down: bool,
}

/// What people and modes order.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// The lowest emergency cap in force.
    pub(super) emergency_max: Option<Held>,
    /// The count to hold.
    pub(super) frozen: Option<Held>,
    /// Nothing is written: a dry run.
    pub(super) dry_run: bool,
    /// Nothing is written: another autoscaler acts.
    pub(super) rival: Option<Rival>,
}

impl Orders {
    /// Reads spec and annotations; what has ended by itself no longer counts.
    pub(super) fn read(policy: &Policy, observation: &Observation, now: Time) -> Self {
        let in_force = |held: &Held| held.until.is_none_or(|until| now < until);
        let held = |over: &Override| Held {
            replicas: over.replicas.max(1),
            until: over.until,
            reason: over.reason.clone(),
        };
        let overrides = &observation.overrides;
        let caps = policy.emergency_max.iter().cloned().chain(overrides.emergency_max.iter().map(held));
        let frozen = policy.frozen.clone().filter(|_| policy.mode == Mode::Frozen);
        Self {
            emergency_max: caps.filter(in_force).min_by_key(|cap| cap.replicas),
            frozen: overrides.freeze.as_ref().map(held).filter(in_force).or_else(|| frozen.filter(in_force)),
            dry_run: policy.mode == Mode::DryRun,
            rival: observation.rivals.first().cloned(),
        }
    }

    pub(super) fn may_write(&self) -> bool {
        !self.dry_run && self.rival.is_none()
    }
}

/// The count and what made it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) replicas: u32,
    /// What demand and floors ask for; none while nothing is known.
    pub(super) need: Option<u32>,
    pub(super) limited_by: Option<Limit>,
    pub(super) unmet: u32,
    /// What the ScalingLimited condition says.
    pub(super) limited: Reason,
    pub(super) reason: Reason,
    pub(super) message: String,
}

struct Ruling {
    replicas: u32,
    reason: Reason,
    message: String,
}

/// Settles the count. The first order that applies wins; each of them is one function below, in this order.
#[allow(clippy::too_many_arguments, reason = "everything that has a say")]
pub(super) fn settle(
    policy: &Policy,
    workload: &Workload,
    counts: &Counts,
    limits: &Limits,
    guards: &Guards<'_>,
    wish: &Wish,
    orders: &Orders,
    memory: &Memory,
    now: Time,
    trail: &mut Trail,
) -> Outcome {
    let spec = workload.spec_replicas;
    let mut growth = limits.growth.clone();
    // A count that a person holds is no matter of guards.
    if let Some(guard) = guards.growth(policy.min).filter(|_| orders.frozen.is_none()) {
        growth.lower(guard.replicas, &guard.limit);
    }
    let case = Case { policy, workload, counts, limits, growth, guards, wish, orders, memory, now };
    let ruling = case
        .hands_off()
        .or_else(|| case.emergency())
        .or_else(|| case.hard_ceiling())
        .or_else(|| case.frozen(trail))
        .unwrap_or_else(|| case.by_need(trail));
    if !matches!(ruling.reason, Reason::Unchanged) {
        note_ruling(spec, &ruling, trail);
    }
    case.outcome(ruling, trail)
}

fn note_ruling(spec: u32, ruling: &Ruling, trail: &mut Trail) {
    let step = match ruling.reason {
        Reason::ScalingDisabled | Reason::EmergencyMax | Reason::Frozen => StepName::Override,
        Reason::HardCeiling | Reason::CeilingFell => StepName::Ceiling,
        _ => return,
    };
    trail.note(step, spec, ruling.replicas, ruling.reason, ruling.message.clone());
}

struct Case<'a> {
    policy: &'a Policy,
    workload: &'a Workload,
    counts: &'a Counts,
    limits: &'a Limits,
    /// Growth by need ends here: the lowest of limits and guards.
    growth: Bound,
    guards: &'a Guards<'a>,
    wish: &'a Wish,
    orders: &'a Orders,
    memory: &'a Memory,
    now: Time,
}

impl Case<'_> {
    fn spec(&self) -> u32 {
        self.workload.spec_replicas
    }

    /// No computed ceiling writes below this.
    fn least(&self) -> u32 {
        self.policy.min.max(1)
    }

    /// Row 1: somebody set 0, which we never do.
    fn hands_off(&self) -> Option<Ruling> {
        (self.spec() == 0).then(|| Ruling {
            replicas: 0,
            reason: Reason::ScalingDisabled,
            message: "somebody set replicas to 0: hands off until it is 1 or more".to_owned(),
        })
    }

    /// Row 2: a person's emergency cap, also below `minReplicas`, never 0. A hard ceiling below it counts at once.
    fn emergency(&self) -> Option<Ruling> {
        let cap = self.orders.emergency_max.as_ref().filter(|cap| self.spec() > cap.replicas)?;
        let replicas = cap.replicas.max(1).min(self.hard_bound().unwrap_or(u32::MAX));
        Some(Ruling {
            replicas,
            reason: Reason::EmergencyMax,
            message: format!("cut to {replicas} under the emergency cap of {}{}", cap.replicas, because(cap)),
        })
    }

    fn hard_bound(&self) -> Option<u32> {
        self.limits.hard.as_ref().map(|hard| hard.replicas.max(self.least()))
    }

    /// Row 3: a hard ceiling is cut to at once.
    fn hard_ceiling(&self) -> Option<Ruling> {
        let hard = self.limits.hard.as_ref()?;
        let replicas = hard.replicas.max(self.least()).min(self.spec());
        (self.spec() > replicas).then(|| Ruling {
            replicas,
            reason: Reason::HardCeiling,
            message: format!("cut to {replicas}, what {} allows", hard.limit.in_words()),
        })
    }

    /// Row 4: frozen at a count, within the bounds, and never raised past what growth may reach.
    fn frozen(&self, trail: &mut Trail) -> Option<Ruling> {
        let frozen = self.orders.frozen.as_ref()?;
        let wanted = frozen.replicas.clamp(self.least(), self.policy.max.max(self.least()));
        let replicas = self.bounded_growth(wanted, trail);
        let held =
            if replicas < wanted { format!(", {replicas} are what the limits allow") } else { String::new() };
        Some(Ruling {
            replicas,
            reason: Reason::Frozen,
            message: format!("frozen at {wanted}{held}{}", because(frozen)),
        })
    }

    /// Rows 5 to 8: a ceiling that fell below the count, guards, floors, demand.
    fn by_need(&self, trail: &mut Trail) -> Ruling {
        let spec = self.spec();
        let wanted = self.wanted(trail);
        let rated = self.rated(wanted, trail);
        if let Some(walk) = self.walk_down(rated) {
            return walk;
        }
        let guarded = self.guarded(rated, trail);
        if let Some(step) = self.step_down(trail) {
            return step;
        }
        let replicas = self.bounded_growth(guarded, trail);
        let (reason, message) = if replicas == spec {
            let last = trail.last_hold(spec);
            (last.map_or(Reason::WithinTolerance, |(reason, _)| reason), self.hold_sentence(trail))
        } else {
            let direction = if replicas > spec { Reason::AboveTarget } else { Reason::BelowTarget };
            (direction, format!("{spec} → {replicas}{}{}", self.headroom(), self.cause(trail, replicas)))
        };
        let falls_back = self.wish.fallback_floor.or(self.wish.fallback_count).is_some() && self.wish.blind;
        let reason = if falls_back && !matches!(reason, Reason::GuardActive | Reason::GuardExpired) {
            Reason::Fallback
        } else {
            reason
        };
        Ruling { replicas, reason, message }
    }

    fn cause(&self, trail: &Trail, replicas: u32) -> String {
        trail.cause(self.spec(), replicas).map(|cause| format!(": {cause}")).unwrap_or_default()
    }

    fn hold_sentence(&self, trail: &Trail) -> String {
        let spec = self.spec();
        trail.last_hold(spec).map_or_else(
            || format!("{spec} replicas are kept"),
            |(_, message)| format!("{spec} replicas are kept{}: {message}", self.headroom()),
        )
    }

    /// Sentences about demand speak of the count without the headroom's replicas.
    fn headroom(&self) -> String {
        match self.policy.headroom_replicas {
            0 => String::new(),
            1 => ", 1 of them headroom".to_owned(),
            more => format!(", {more} of them headroom"),
        }
    }

    /// Demand, raised to the floors, which are subject neither to the dead band nor to the windows.
    fn wanted(&self, trail: &mut Trail) -> u32 {
        let wish = self.wish;
        let demanded = match wish.fallback_count {
            Some(count) if !(wish.scale_up_paused && count > self.spec()) => count,
            _ if wish.scale_up_paused && wish.fallback_count.unwrap_or(wish.demanded) > self.spec() => {
                trail.note(
                    StepName::Floor,
                    wish.fallback_count.unwrap_or(wish.demanded),
                    self.spec(),
                    Reason::Paused,
                    "scale-up is paused by the policy".to_owned(),
                );
                self.spec()
            }
            _ => wish.demanded,
        };
        let floor = self.floor();
        let floors = [
            (wish.fallback_floor.filter(|_| !wish.scale_up_paused), Reason::Fallback),
            (
                floor.as_ref().map(|floor| floor.replicas),
                floor.as_ref().map_or(Reason::Unchanged, |floor| floor.reason),
            ),
            (Some(self.policy.min), Reason::TooFewReplicas),
        ];
        let (mut wanted, mut reason) = (demanded, Reason::Unchanged);
        for (floor, found) in floors {
            if let Some(floor) = floor.filter(|floor| *floor > wanted) {
                (wanted, reason) = (floor, found);
            }
        }
        if wish.fallback_count == Some(wanted) {
            reason = Reason::Fallback;
        }
        let message = match reason {
            found if floor.as_ref().is_some_and(|floor| floor.reason == found) => {
                floor.map(|floor| floor.message).unwrap_or_default()
            }
            Reason::Fallback => format!(
                "no leading signal has been fit to use for {}: the fallback of {wanted} acts",
                wish.without_signal
            ),
            Reason::TooFewReplicas => format!("minReplicas {} is more than demand asks for", self.policy.min),
            _ if self.policy.headroom_replicas > 0 && !wish.blind => {
                reason = Reason::HeadroomReplicas;
                format!("{} of {wanted} are headroom", self.policy.headroom_replicas)
            }
            _ => format!("no floor lies above {wanted}"),
        };
        trail.note(StepName::Floor, demanded, wanted, reason, message);
        wanted
    }

    /// What the rates, and the room for pods warming up, leave of it. `minReplicas` is reached at once.
    fn rated(&self, wanted: u32, trail: &mut Trail) -> u32 {
        let (spec, policy) = (self.spec(), self.policy);
        if wanted > spec {
            let limit =
                self.memory.changes.scale_up_limit(&policy.scale_up, spec, self.now).max(self.at_once());
            let rated = wanted.min(limit);
            let reason = if rated < wanted { Reason::ScaleUpLimit } else { Reason::Unchanged };
            trail.note(
                StepName::Rate,
                wanted,
                rated,
                reason,
                format!("the scale-up rate allows up to {limit} now"),
            );
            self.warming(rated, trail)
        } else if wanted < spec {
            let limit = self.memory.changes.scale_down_limit(&policy.removal(), spec, self.now);
            let rated = wanted.max(limit);
            let reason = if rated > wanted { Reason::ScaleDownLimit } else { Reason::Unchanged };
            let message = if policy.scale_down.select == SelectPolicy::Disabled {
                "scale-down is disabled by its selectPolicy".to_owned()
            } else {
                format!("the scale-down rate allows down to {limit} now")
            };
            trail.note(StepName::Rate, wanted, rated, reason, message);
            rated
        } else {
            spec
        }
    }

    /// At most so many pods warming up at once; floors are exempt.
    fn warming(&self, rated: u32, trail: &mut Trail) -> u32 {
        let spec = self.spec();
        let Some(most) = self.policy.warm_up.max_concurrent.map(|most| most.at(spec)) else { return rated };
        let warming = self.counts.ordered;
        let floor = self.at_once().max(self.wish.fallback_floor.unwrap_or(0));
        let room = spec.saturating_add(most.saturating_sub(warming)).max(floor.min(rated));
        if room >= rated {
            return rated;
        }
        let message = format!("{warming} pods are starting or warming up, {most} may at once");
        trail.note(StepName::WarmUp, rated, room, Reason::WarmUpLimit, message);
        room
    }

    /// Row 5: a count above a ceiling is walked down to it under the scale-down rate, whatever signals, windows and
    /// `Disabled` say; only a rollout that moves on is waited for. Demand may want to go lower still.
    fn walk_down(&self, rated: u32) -> Option<Ruling> {
        let (spec, soft) = (self.spec(), &self.limits.soft);
        let target = soft.replicas.max(self.least());
        if spec <= target {
            return None;
        }
        let above = format!("{spec} is above the {} that {} allows", soft.replicas, soft.limit.in_words());
        if self.wish.rollout == Rollout::Progressing {
            return Some(Ruling {
                replicas: spec,
                reason: Reason::RolloutInProgress,
                message: format!("{above}: waiting for the rollout"),
            });
        }
        let mut rules = self.policy.removal().into_owned();
        if rules.select == SelectPolicy::Disabled {
            rules.select = SelectPolicy::Max;
        }
        let step = self.memory.changes.scale_down_limit(&rules, spec, self.now);
        let replicas = target.max(step).min(rated);
        Some(Ruling {
            replicas,
            reason: Reason::CeilingFell,
            message: format!("{above}: walking down, now to {replicas}"),
        })
    }

    /// Growth ends at the lowest limit; a count above it never rises.
    fn bounded_growth(&self, wanted: u32, trail: &mut Trail) -> u32 {
        let spec = self.spec();
        if wanted <= spec {
            return wanted;
        }
        let growth = &self.limits.growth;
        let bounded = wanted.min(growth.replicas).max(spec);
        let reason = if bounded < wanted { limit_reason(&growth.limit) } else { Reason::Unchanged };
        let message = if bounded < wanted {
            format!("{} allows {} replicas", growth.limit.in_words(), growth.replicas)
        } else {
            format!("every limit allows {wanted}")
        };
        trail.note(StepName::Ceiling, wanted, bounded, reason, message);
        bounded
    }

    fn outcome(&self, ruling: Ruling, trail: &Trail) -> Outcome {
        let wish = self.wish;
        let kept = self.at_once();
        let floor = kept.max(wish.fallback_floor.unwrap_or(0));
        let wanted = wish.fallback_count.unwrap_or(wish.demanded).max(floor);
        let growth = &self.growth;
        // A floor beyond minReplicas is needed also while nothing is known of demand.
        let known = self.spec() > 0 && (!wish.blind || kept > wish.demanded.max(self.policy.min));
        // Growth may end below a count that is kept: in a rollout draining pods take room.
        let reach = growth.replicas.max(self.spec().min(self.limits.soft.replicas));
        let limited_by = (known && wanted > reach).then(|| growth.limit.clone());
        let unmet = if known { wanted.saturating_sub(reach) } else { 0 };
        let limited = match &limited_by {
            Some(limit) => limit_reason(limit),
            None => trail.rate_limit().unwrap_or_else(|| self.limited_by_floor(known)),
        };
        let message = match &limited_by {
            // Something else, such as a rate, ends the growth before the limit does.
            Some(limit) if ruling.replicas < reach && ruling.replicas >= self.spec() => {
                format!("{}; {} will allow {reach} of the {wanted} needed", ruling.message, limit.in_words())
            }
            Some(limit) if ruling.replicas >= self.spec() && ruling.reason != Reason::Frozen => {
                let held = if ruling.replicas > self.spec() {
                    format!("{} → {}, held there", self.spec(), ruling.replicas)
                } else {
                    format!("held at {}", ruling.replicas)
                };
                format!("needs {wanted}, {held} by {}", limit.in_words())
            }
            _ => ruling.message,
        };
        let reason = match &limited_by {
            Some(limit)
                if ruling.replicas == self.spec()
                    && ruling.replicas >= reach
                    && ruling.reason != Reason::Frozen =>
            {
                limit_reason(limit)
            }
            _ => ruling.reason,
        };
        Outcome {
            replicas: ruling.replicas,
            need: known.then_some(wanted),
            limited_by,
            unmet,
            limited,
            reason,
            message,
        }
    }
}

fn because(held: &Held) -> String {
    held.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
}

/// The reason code of a limit that binds.
pub(super) fn limit_reason(limit: &Limit) -> Reason {
    match limit {
        Limit::MaxReplicas => Reason::TooManyReplicas,
        Limit::Connections(_) => Reason::ConnectionBudget,
        Limit::Scalability => Reason::ScalabilityCeiling,
        Limit::EmergencyMax => Reason::EmergencyMax,
        Limit::Guard(_) => Reason::GuardActive,
    }
}

/// HPA v2's own order: bounds at once and before anything else, then rates with the bounds inside.
pub(super) fn settle_as_hpa(
    policy: &Policy,
    spec: u32,
    wish: &Wish,
    memory: &Memory,
    now: Time,
    trail: &mut Trail,
) -> Outcome {
    let (replicas, limited) = if spec > policy.max {
        (policy.max, Reason::TooManyReplicas)
    } else if spec < policy.min {
        (policy.min, Reason::TooFewReplicas)
    } else if wish.demanded > spec {
        let rate = memory.changes.scale_up_limit(&policy.scale_up, spec, now);
        let (most, reason) = if policy.max > rate {
            (rate, Reason::ScaleUpLimit)
        } else {
            (policy.max, Reason::TooManyReplicas)
        };
        if wish.demanded > most { (most, reason) } else { (wish.demanded, Reason::DesiredWithinRange) }
    } else if wish.demanded < spec {
        let rate = memory.changes.scale_down_limit(&policy.scale_down, spec, now);
        let (least, reason) = if policy.min < rate {
            (rate, Reason::ScaleDownLimit)
        } else {
            (policy.min, Reason::TooFewReplicas)
        };
        if wish.demanded < least { (least, reason) } else { (wish.demanded, Reason::DesiredWithinRange) }
    } else {
        (spec, Reason::DesiredWithinRange)
    };
    trail.note(StepName::Rate, wish.demanded, replicas, limited, String::new());
    Outcome {
        replicas,
        need: Some(wish.demanded),
        limited_by: None,
        unmet: 0,
        limited,
        reason: limited,
        message: String::new(),
    }
}
