//! The walk from signals to a count.

use super::advice;
use super::conditions;
use super::decision::{Decision, Drain, Footprint, StartUp};
use super::deficit::deficit;
use super::demand::{Demand, Fitness, Ground, demand};
use super::diagnosis::Evidence;
use super::floor::{self, Floor};
use super::forecasts::{self, ForecastReport};
use super::guard::{self, Guards, StepDown};
use super::headroom::LeadTime;
use super::limits::{Limits, limits, rollout_shape};
use super::memory::{Asked, Memory, Past};
use super::observation::{Observation, Rollout, Target, TargetFault, Workload};
use super::policy::{Compat, Policy};
use super::reason::Reason;
use super::scale_in::{Scene, hold_scale_in};
use super::schedules::{self, ScheduleReport};
use super::settle::{Orders, Outcome, Wish, settle, settle_as_hpa};
use super::slo;
use super::stabilization::{FLAPPING_REVERSALS, flapping, kept, look_ahead, stabilize};
use super::trail::Trail;
use super::zones;
use crate::api::{FallbackBehavior, Mode, WarmUpSource};
use crate::capacity::{Counts, Yardstick, count};
use crate::ceiling::connections::{Assume, pods_beside};
use crate::time::{Span, Time};

/// A measured warm-up is never longer.
const LONGEST_WARM_UP: Span = Span::from_seconds(600);
/// A pod that takes this many times the usual start-up is failing.
const START_UP_PATIENCE: u64 = 5;
/// However fast its siblings start, a pod is given this long.
const LEAST_PATIENCE: Span = Span::from_seconds(60);
/// Decides what count a workload should have, and explains it. Pure: the same arguments give the same result.
///
/// `memory` is what the call before returned, empty at first. A decision that was not written must be dropped
/// together with the memory that came with it, or its write must be tried: a change counts once it is seen to have
/// landed.
pub fn decide(
    policy: &Policy,
    observation: &Observation,
    mut memory: Memory,
    now: Time,
) -> (Decision, Memory) {
    let decision = match &observation.target {
        Target::Seen(workload) => {
            let zones = memory.zones.see(workload.zones, now);
            let mut decision = weigh(&policy.seeing(zones), observation, workload, &mut memory, now);
            forecasts::tell(&mut decision);
            decision
        }
        Target::Unseen(fault) => {
            memory.note_sound(policy, &observation.readings, now);
            let guards =
                guard::watch(policy, &observation.guards, &mut memory, &Counts::default(), None, now);
            let schedules = schedules::reports(policy, now);
            Decision { guards: guards.reports(), schedules, ..unseen(policy, fault, now) }
        }
    };
    (decision, memory)
}

fn unseen(policy: &Policy, fault: &TargetFault, now: Time) -> Decision {
    Decision {
        time: now,
        from: None,
        write: None,
        desired: None,
        reason: Reason::FailedGetScale,
        message: fault.message.clone(),
        need: None,
        effective_max: policy.max,
        limited_by: None,
        unmet: 0,
        steps: Vec::new(),
        signals: Vec::new(),
        ceilings: Vec::new(),
        guards: Vec::new(),
        schedules: Vec::new(),
        forecasts: Vec::new(),
        zone_loss: None,
        slo: None,
        advice: Vec::new(),
        deficit: None,
        counts: None,
        start_up: None,
        drain: None,
        reversals: Vec::new(),
        scalability: None,
        conditions: conditions::unseen(fault),
        wants_age: false,
        footprint: None,
    }
}

fn weigh(
    policy: &Policy,
    observation: &Observation,
    workload: &Workload,
    memory: &mut Memory,
    now: Time,
) -> Decision {
    let mut trail = Trail::new();
    let spec = workload.spec_replicas;
    memory.begin(policy, spec, now);
    learn(policy, observation, workload, memory, now);
    let yardstick = yardstick(policy, workload, memory);
    let mut counts = counts(policy, workload, yardstick, now);
    let missing = expire_missing(&mut counts, yardstick, memory, now);
    let rollout = rollout(workload, memory, now);
    let mut limits = limits(policy, workload, &observation.shares, memory);
    counts.reachable = reachable(policy, workload, memory);
    let guards = guard::watch(policy, &observation.guards, memory, &counts, Some(spec), now);

    // The headroom's replicas serve nobody: demand is compared with the rest.
    let base = spec.saturating_sub(policy.headroom_replicas).max(1);
    let (turns, reversals, scale_down_window) = flapping(policy, memory, now);
    let slo = slo::track(policy, &observation.slo, guards.first(), &mut memory.slo, now);
    let ground = Ground {
        policy,
        counts: &counts,
        asked: spec,
        base,
        scale_down_window,
        keep: kept(policy),
        lead_time: lead_time(policy, memory, yardstick),
        ahead: ahead(policy, memory),
        teaches: rollout == Rollout::Settled && guards.first().is_none() && spec < limits.soft.replicas,
        guarded_by: guards.first(),
        target_share: slo::share(slo.as_ref()),
        now,
    };
    let demand = demand(&ground, &observation.readings, memory, &mut trail);
    if demand.leading != Fitness::None {
        memory.last_fresh = Some(now);
    }
    let stabilized = stabilize(&ground, &demand, memory, &mut trail);
    forget_while_held_at_zero(policy, spec, memory);
    let safe = look_ahead(&ground, &demand, stabilized, &mut trail);
    let contest = memory.overwritten.contest(now).filter(|_| policy.compat == Compat::None);
    let orders = Orders::read(policy, observation, now);
    let (schedules, forecasts, floors) = floors(policy, observation, &ground);
    let scene = Scene {
        spec_replicas: spec,
        floor: floor::largest(&floors).map_or(policy.min, |floor| floor.replicas.max(policy.min)),
        rollout,
        contest,
        history_awaited: memory.past == Past::Awaited,
        may_write: orders.may_write(),
        guards: &guards,
    };
    let (steady, wants_age) = hold_scale_in(&ground, &demand, &scene, safe, &mut trail);
    let may_step_down = !policy.scale_down_paused && contest.is_none() && counts.serving > 0;
    let wish =
        Wish { floors, rollout, may_step_down, ..wish(policy, spec, base, steady, &demand, memory, now) };
    if let Some(cap) = &orders.emergency_max {
        limits.cap(cap.replicas);
    }
    let outcome = match policy.compat {
        Compat::None => {
            settle(policy, workload, &counts, &limits, &guards, &wish, &orders, memory, now, &mut trail)
        }
        Compat::Hpa => settle_as_hpa(policy, spec, &wish, memory, now, &mut trail),
    };
    let writes = orders.may_write() && outcome.replicas != spec;
    if writes {
        note_asked(memory, Asked { at: now, from: spec, to: outcome.replicas });
    }
    let guarded = guards.reports();
    let evidence = Evidence {
        policy,
        signals: &demand.signals,
        guards: &guarded,
        serving: counts.serving,
        outcome: &outcome,
        trail: &trail,
        now,
    };
    let bottleneck = evidence.condition(&mut memory.bottleneck);
    let conditions = conditions::seen(&conditions::Seen {
        policy,
        counts: &counts,
        pods: workload.pods.len(),
        spec_replicas: spec,
        demand: &demand,
        guards: &guarded,
        slo: slo.as_ref(),
        bottleneck,
        stabilized,
        unknown_past: memory.unknown_past(scale_down_window, now),
        limits: &limits,
        scalability: memory.scalability_condition(policy),
        outcome: &outcome,
        orders: &orders,
        reversals: (reversals >= FLAPPING_REVERSALS).then_some((reversals, scale_down_window)),
        missing,
        deadline: yardstick.deadline,
        stalled: rollout == Rollout::Stalled,
        contest,
        unreadable: observation.overrides.unreadable.as_deref(),
    });
    let lasting = (start_up(memory), drain(memory), turns);
    let movable = orders.may_write() && orders.frozen.is_none() && contest.is_none() && spec > 0;
    let wanted = wanted(policy, &orders, &outcome, &guards, &limits, spec);
    let footprint = footprint(workload, memory, wanted, movable);
    let advice = advice::Case {
        policy,
        outcome: &outcome,
        guards: &guarded,
        footprint: &footprint,
        shares: &observation.shares,
        peak: memory.scalability_peak(policy),
        moved: memory.bottleneck.moved,
    }
    .sentences();
    let deficit = deficit(policy, &demand.signals, counts.capacity);
    let zone_loss =
        zones::report(policy, memory.zones, &demand.signals, ground.target_share, outcome.replicas);
    let slo = slo::weighed(slo, &demand.signals);
    let wants_age = wants_age || may_step_down && guards.step_down() == StepDown::AwaitsAge;
    let decision =
        report(now, spec, writes, wants_age, trail, demand, limits, counts, outcome, conditions, lasting);
    Decision {
        footprint: Some(footprint),
        guards: guarded,
        schedules,
        forecasts,
        zone_loss,
        slo,
        advice,
        deficit,
        scalability: memory.scalability_report(policy),
        ..decision
    }
}

#[allow(clippy::too_many_arguments, reason = "each is moved into one field of the decision")]
fn report(
    now: Time,
    spec: u32,
    writes: bool,
    wants_age: bool,
    trail: Trail,
    demand: Demand,
    limits: Limits,
    counts: Counts,
    outcome: Outcome,
    conditions: Vec<super::decision::Condition>,
    (start_up, drain, reversals): (Option<StartUp>, Option<Drain>, Vec<Time>),
) -> Decision {
    Decision {
        time: now,
        from: Some(spec),
        write: writes.then_some(outcome.replicas),
        desired: Some(outcome.replicas),
        reason: outcome.reason,
        message: outcome.message,
        need: outcome.need,
        effective_max: limits.soft.replicas,
        limited_by: outcome.limited_by,
        unmet: outcome.unmet,
        steps: trail.into_steps(),
        signals: demand.signals,
        ceilings: limits.reports,
        guards: Vec::new(),
        schedules: Vec::new(),
        forecasts: Vec::new(),
        zone_loss: None,
        slo: None,
        advice: Vec::new(),
        deficit: None,
        counts: Some(counts),
        start_up,
        drain,
        reversals,
        scalability: None,
        conditions,
        wants_age,
        footprint: None,
    }
}

/// While somebody holds 0, the present count with which a gap begins protects nothing: once they let go, the window begins
/// with the count that they set.
fn forget_while_held_at_zero(policy: &Policy, spec: u32, memory: &mut Memory) {
    if spec == 0 && policy.compat == Compat::None {
        memory.last_recommendation = None;
    }
}

/// When pods count as warm, and when as failing.
fn yardstick(policy: &Policy, workload: &Workload, memory: &Memory) -> Yardstick {
    let p90 = memory.known_start_up().and_then(|known| known.quantile(90));
    let warm_up = match policy.warm_up.source {
        WarmUpSource::Measured => p90.map_or(policy.warm_up.declared, |p90| p90.min(LONGEST_WARM_UP)),
        WarmUpSource::Declared => policy.warm_up.declared,
    };
    let deadline = match p90 {
        Some(p90) => p90.times(START_UP_PATIENCE).max(LEAST_PATIENCE).min(workload.progress_deadline),
        None => workload.progress_deadline,
    };
    Yardstick { warm_up, ramp: policy.warm_up.ramp, deadline }
}

/// Schedules, forecasts over the time that pods take to come, and what demand may not go below for them, besides `minReplicas`.
fn floors(
    policy: &Policy,
    observation: &Observation,
    ground: &Ground<'_>,
) -> (Vec<ScheduleReport>, Vec<ForecastReport>, Vec<Floor>) {
    let (lead, now) = (ground.ahead.horizon(), ground.now);
    let schedules = schedules::reports(policy, now);
    let forecasts = forecasts::reports(policy, &observation.forecasts, lead, ground.target_share, now);
    let floors = [schedules::floor(&schedules), forecasts::floor(policy, &forecasts), zones::floor(policy)];
    (schedules, forecasts, floors.into_iter().flatten().collect())
}

/// Takes note of a change that is about to be asked for.
fn note_asked(memory: &mut Memory, asked: Asked) {
    memory.asked = Some(asked);
    memory.overwritten.ask(asked.at);
    memory.note_step(asked.at);
}

/// The workload's pods, counted; HPA takes all that it asked for as serving.
fn counts(policy: &Policy, workload: &Workload, yardstick: Yardstick, now: Time) -> Counts {
    let spec = workload.spec_replicas;
    match policy.compat {
        Compat::None => count(&workload.pods, spec, yardstick, now),
        Compat::Hpa => Counts { serving: spec, warm: spec, ..Counts::default() },
    }
}

fn footprint(workload: &Workload, memory: &Memory, wanted: u32, movable: bool) -> Footprint {
    let shape = rollout_shape(workload, memory);
    Footprint { shape, beside: pods_beside(&workload.pods, workload.spec_replicas, &shape), wanted, movable }
}

/// Replicas for which connections are asked, if budgets were all that limits them.
fn wanted(
    policy: &Policy,
    orders: &Orders,
    outcome: &Outcome,
    guards: &Guards<'_>,
    limits: &Limits,
    spec: u32,
) -> u32 {
    if !orders.may_write() || spec == 0 {
        return spec;
    }
    let frozen = orders.frozen.as_ref().map(|frozen| frozen.replicas);
    // What is not used may serve somebody who waits.
    let need = outcome.need.filter(|_| !policy.scale_up_paused);
    let guarded = guards.growth(policy.min).map_or(u32::MAX, |guard| guard.replicas);
    frozen.or(need).unwrap_or(spec).min(guarded).max(outcome.replicas).min(limits.beside_budgets)
}

/// From asking for a pod until it is warm.
fn lead_time(policy: &Policy, memory: &Memory, yardstick: Yardstick) -> Span {
    let measured = memory.known_start_up().and_then(|known| known.quantile(90));
    measured.unwrap_or(policy.warm_up.declared) + yardstick.warm_up
}

/// Learns what the evaluation tells of the workload.
fn learn(policy: &Policy, observation: &Observation, workload: &Workload, memory: &mut Memory, now: Time) {
    memory.learn(workload, now);
    memory.learn_headroom(policy, &observation.lessons, &ahead(policy, memory));
    memory.learn_scalability(policy, &observation.scalability, workload, now);
}

/// The times by which need is looked at ahead.
fn ahead(policy: &Policy, memory: &Memory) -> LeadTime {
    let start_up = memory.known_start_up().and_then(|known| known.quantile(90));
    LeadTime {
        start_up: start_up.unwrap_or(policy.warm_up.declared).min(LONGEST_WARM_UP),
        polling_interval: policy.polling_interval,
        scale_down_window: policy.scale_down.window,
    }
}

/// Pods that were asked for and never appear (a quota, a webhook) stop counting as ordered when a pod would be given up:
/// nothing waits for them, and they take no room of those that warm up. Tells how many.
fn expire_missing(counts: &mut Counts, yardstick: Yardstick, memory: &mut Memory, now: Time) -> u32 {
    if counts.missing == 0 {
        memory.missing_since = None;
        return 0;
    }
    let since = *memory.missing_since.get_or_insert(now);
    if now.since(since) < yardstick.deadline {
        return 0;
    }
    counts.ordered = counts.ordered.saturating_sub(counts.missing);
    counts.missing
}

/// The rollout under way. Where no pod has come, turned Ready, begun to go or gone for as long as a pod may take to start
/// and to go, it makes no progress and counts as stalled, also where its controller never says so. Another revision is
/// another rollout.
fn rollout(workload: &Workload, memory: &mut Memory, now: Time) -> Rollout {
    if workload.rollout != Rollout::Progressing {
        memory.rollout_progress = None;
        return workload.rollout;
    }
    let known = memory.rollout_progress.filter(|(revision, _)| *revision == workload.revision);
    let signs = workload.pods.iter().flat_map(|pod| {
        [Some(pod.created), pod.ready_since, pod.terminating_since]
            .into_iter()
            .flatten()
            .filter(|at| *at <= now)
    });
    let gone = (!workload.departed.is_empty()).then_some(now);
    // Remembered, because a pod that goes takes its dates with it.
    let progress = signs.chain(gone).fold(known.map_or(now, |(_, last)| last), Time::max);
    memory.rollout_progress = Some((workload.revision, progress));
    let patience = workload.progress_deadline + workload.termination_grace;
    if now.since(progress) < patience { Rollout::Progressing } else { Rollout::Stalled }
}

/// The most pods that can hold connections at one moment.
fn reachable(policy: &Policy, workload: &Workload, memory: &Memory) -> u32 {
    let shape = rollout_shape(workload, memory);
    let beside = pods_beside(&workload.pods, workload.spec_replicas, &shape);
    let overlap = policy.connections.first().map(|connections| connections.overlap).unwrap_or_default();
    shape.reachable(workload.spec_replicas, overlap, Assume::Worst).saturating_add(beside)
}

/// What demand and floors ask for, before rates and limits.
fn wish(
    policy: &Policy,
    spec: u32,
    base: u32,
    steady: u32,
    demand: &Demand,
    memory: &Memory,
    now: Time,
) -> Wish {
    let blind = demand.leading == Fitness::None;
    let demanded =
        if blind && steady == base { spec } else { steady.saturating_add(policy.headroom_replicas) };
    let without = memory.last_fresh.map_or(Span::ZERO, |last| now.since(last));
    let fallback = policy.fallback.filter(|fallback| blind && without >= fallback.after);
    let floor = fallback.filter(|fallback| fallback.behavior == FallbackBehavior::AtLeast);
    Wish {
        demanded,
        blind,
        fallback_floor: floor.map(|fallback| fallback.replicas),
        fallback_count: fallback
            .filter(|fallback| fallback.behavior == FallbackBehavior::EvenIfLower)
            .map(|fallback| fallback.replicas),
        floors: Vec::new(),
        without_signal: without,
        scale_up_paused: policy.scale_up_paused && policy.mode != Mode::Frozen,
        rollout: Rollout::Settled,
        may_step_down: false,
    }
}

fn start_up(memory: &Memory) -> Option<StartUp> {
    Some(StartUp {
        p50: memory.start_up.quantile(50)?,
        p90: memory.start_up.quantile(90)?,
        samples: memory.start_up.len(),
    })
}

fn drain(memory: &Memory) -> Option<Drain> {
    Some(Drain {
        p50: memory.drain.quantile(50)?,
        p90: memory.drain.quantile(90)?,
        longest: memory.drain.longest()?,
        samples: memory.drain.len(),
    })
}
