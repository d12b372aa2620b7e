//! What the signals ask for: judging, need, dead band, safety nets and look-ahead.

use super::decision::{SignalReport, StepName};
use super::headroom::{HeadroomReport, LeadTime};
use super::memory::{Memory, SignalMemory};
use super::net::{self, NetSituation};
use super::policy::{Compat, Policy, Signal};
use super::reason::Reason;
use super::trail::{Trail, spelled};
use crate::api::{AveragedOver, Role, TargetKind};
use crate::capacity::Counts;
use crate::number::{MAX_COUNT, ceil_count_forgiving, from_count};
use crate::signal::{Age, Answer, Judged, Reading, Surroundings};
use crate::time::{Span, Time};

/// A smoothed need within this share of the raw one is taken as the raw one: an average never quite arrives, and its
/// tail would cost a pod.
const SMOOTHING_TAIL: f64 = 0.01;

/// What the signals ask for.
#[derive(Debug)]
pub(super) struct Demand {
    /// Each signal as judged.
    pub(super) signals: Vec<SignalReport>,
    /// How many of the leading signals are fit to use.
    pub(super) leading: Fitness,
    /// The count recommended; the base where nothing is.
    pub(super) replicas: u32,
    /// The smallest count at which no signal would be back over its scale-out edge, and the signal that would.
    pub(super) safe: Option<(u32, String)>,
    /// The first reason not to remove anything, if there is one.
    pub(super) no_scale_down: Option<(Reason, String)>,
    /// Every age is proven for this very moment.
    pub(super) ages_proven: bool,
}

/// How many signals are fit to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitness {
    All,
    Some,
    None,
}

/// What demand is worked out from besides the readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub(super) policy: &'a Policy,
    pub(super) counts: &'a Counts,
    /// Replicas asked for.
    pub(super) asked: u32,
    /// The count that serves demand: replicas asked for, less the headroom's.
    pub(super) base: u32,
    /// How far back a scale-in looks.
    pub(super) scale_down_window: Span,
    /// How long past needs are kept.
    pub(super) keep: Span,
    /// How long it takes until an added pod shows in a signal.
    pub(super) lead_time: Span,
    /// How far ahead a count has to be right.
    pub(super) ahead: LeadTime,
    /// What load does now tells how it goes with this workload: nothing holds the count, and no rollout is under way.
    pub(super) teaches: bool,
    /// The guard under which safety nets are silent, if there is one.
    pub(super) guarded_by: Option<&'a str>,
    /// The share of themselves at which targets are held, above 0: an error budget moves them.
    pub(super) target_share: f64,
    pub(super) now: Time,
}

impl Ground<'_> {
    /// The pods that a level is an average over.
    fn averaged(&self, signal: &Signal) -> u32 {
        match signal.averaged_over {
            AveragedOver::Serving => self.counts.serving,
            AveragedOver::Warm => self.counts.warm,
        }
    }
}

/// Works out what the signals ask for.
pub(super) fn demand(
    ground: &Ground<'_>,
    readings: &[Reading],
    memory: &mut Memory,
    trail: &mut Trail,
) -> Demand {
    let policy = ground.policy;
    let unread = Reading {
        answer: Answer::Failed("the metric was not read at this evaluation".to_owned()),
        warnings: Vec::new(),
        age: Age::Unknown("not read".to_owned()),
        covered_pods: None,
    };
    let readings = readings.iter().chain(std::iter::repeat(&unread));
    let seen: Vec<Seen<'_>> = policy
        .signals
        .iter()
        .zip(readings)
        .zip(&mut memory.signals)
        .map(|((signal, reading), memory)| see(ground, signal, reading, memory))
        .collect();

    let mut leading = fitness(&seen);
    let mut replicas = lead(ground, leading, &seen, trail);
    if policy.compat == Compat::Hpa && leading == Fitness::Some {
        // HPA takes what it can read for the whole, unless that would remove pods: then it has read nothing.
        (leading, replicas) =
            if replicas < ground.base { (Fitness::None, ground.base) } else { (Fitness::All, replicas) };
    }
    if policy.compat == Compat::None {
        replicas = add_by_nets(ground, &seen, memory, replicas, trail);
    }
    Demand {
        safe: smallest_safe_count(ground, &seen, memory),
        leading,
        replicas,
        no_scale_down: no_scale_down(ground, &seen),
        ages_proven: seen.iter().all(|seen| seen.judged.age_proven),
        signals: seen.into_iter().map(Seen::into_report).collect(),
    }
}

/// One signal, judged, with the need that follows.
struct Seen<'a> {
    signal: &'a Signal,
    judged: Judged,
    need: Option<Need>,
}

/// Replicas that one leading signal asks for, headroom included.
#[derive(Clone, Copy)]
struct Need {
    /// Without headroom.
    bare: f64,
    /// What a steady rise adds until pods asked for now serve.
    rise: f64,
    /// Headroom that was learnt.
    headroom: Option<HeadroomReport>,
    /// With headroom and the rise, by no more pods than were asked for.
    of_asked: f64,
    /// As growth sees it.
    grow: f64,
    /// As shrinking sees it: never less than the raw value asks for.
    shrink: f64,
}

impl Seen<'_> {
    fn is_fit_leading(&self) -> bool {
        self.signal.role == Role::Leading && self.judged.is_fresh()
    }

    /// A safety net above its target.
    fn net_value_above_target(&self) -> Option<f64> {
        let over = |value: &f64| *value > self.signal.target * (1.0 + self.signal.scale_up_tolerance);
        self.fresh_net_value().filter(over)
    }

    fn fresh_net_value(&self) -> Option<f64> {
        (self.signal.role == Role::SafetyNet && self.judged.is_fresh()).then_some(self.judged.value).flatten()
    }

    fn into_report(self) -> SignalReport {
        let (signal, judged) = (self.signal, self.judged);
        let percent = if signal.kind == TargetKind::Utilization { "%" } else { "" };
        let value = match judged.value {
            Some(value) if judged.state == crate::signal::SignalState::Fresh => spelled(value),
            _ => "?".to_owned(),
        };
        let each = if signal.kind == TargetKind::AverageValue { " each" } else { "" };
        SignalReport {
            text: format!("{} {value}{percent}/{}{percent}{each}", signal.name, spelled(signal.target)),
            name: signal.name.clone(),
            state: judged.state,
            reason: judged.reason,
            value: judged.value,
            target: signal.target,
            need: self.need.map(|need| ceil_count_forgiving(need.grow)),
            rise: self.need.map(|need| need.rise).filter(|rise| *rise > 0.0),
            headroom: self.need.and_then(|need| need.headroom),
            age: judged.age,
            message: judged.message,
        }
    }
}

fn see<'a>(
    ground: &Ground<'_>,
    signal: &'a Signal,
    reading: &Reading,
    memory: &mut SignalMemory,
) -> Seen<'a> {
    let averaged = ground.averaged(signal);
    let pods = if signal.kind == TargetKind::AverageValue { 1.0 } else { from_count(averaged) };
    // Surge is no demand: a level that has yet to fall is not multiplied with it.
    let asked_for = pods.min(from_count(ground.asked.max(1)));
    let surroundings = Surroundings {
        serving: ground.counts.serving,
        largest_value: if signal.role == Role::Leading {
            from_count(MAX_COUNT) * signal.target / pods.max(1.0)
        } else {
            f64::INFINITY
        },
        now: ground.now,
    };
    let judged = match ground.policy.compat {
        Compat::None => memory.quality.judge(signal, reading, &surroundings),
        Compat::Hpa => Judged::unquestioned(reading),
    };
    // A level per pod says nothing where no pod serves.
    let speaks = judged.is_fresh() && signal.role == Role::Leading && pods > 0.0;
    if !speaks {
        memory.calibration.interrupt();
        memory.trend.interrupt();
    }
    let need = judged.value.filter(|_| speaks).map(|value| {
        let policy = ground.policy;
        let bare = (pods * value / signal.target).max(0.0);
        let (rise, headroom) = look_forward(ground, signal, memory, bare);
        let added = if policy.lead_compensation.enforced { rise } else { 0.0 };
        let learnt = headroom.filter(|headroom| headroom.added).map_or(0.0, |headroom| headroom.replicas);
        let headed =
            (bare + added + (bare * (policy.headroom_factor - 1.0)).max(learnt)) / ground.target_share;
        let of_asked = headed * asked_for / pods;
        let grow = memory.fast.update(of_asked, ground.now, policy.scale_up_half_life);
        let slow = memory.slow.update(headed, ground.now, policy.scale_down_half_life);
        let lags = policy.compat == Compat::None && slow > headed * (1.0 + SMOOTHING_TAIL);
        let shrink = if lags { slow } else { headed };
        memory.need.push(headed, ground.now, ground.keep);
        Need { bare, rise, headroom, of_asked, grow, shrink }
    });
    Seen { signal, judged, need }
}

/// What a steady rise adds to a need, and the headroom learnt of it. Only what comes from outside tells of load: levels per
/// pod follow the count.
fn look_forward(
    ground: &Ground<'_>,
    signal: &Signal,
    memory: &mut SignalMemory,
    bare: f64,
) -> (f64, Option<HeadroomReport>) {
    let policy = ground.policy;
    if !signal.tells_load() || policy.compat == Compat::Hpa {
        return (0.0, None);
    }
    let lead_compensation = policy.lead_compensation;
    memory.trend.observe(bare, ground.now);
    let rise = memory.trend.rise(ground.ahead.horizon()).min(lead_compensation.most * (bare + 1.0));
    let expected = if lead_compensation.enforced { bare + rise } else { bare };
    if ground.teaches {
        memory.calibration.observe(bare, expected, policy.calibrated.most, &ground.ahead, ground.now);
    } else {
        memory.calibration.interrupt();
    }
    (rise, memory.calibration.headroom(bare, &policy.calibrated))
}

fn fitness(seen: &[Seen<'_>]) -> Fitness {
    let leading = || seen.iter().filter(|seen| seen.signal.role == Role::Leading);
    if leading().all(Seen::is_fit_leading) {
        Fitness::All
    } else if leading().any(Seen::is_fit_leading) {
        Fitness::Some
    } else {
        Fitness::None
    }
}

/// The largest need of the leading signals, each with its own dead band: inside it a signal asks for the base.
fn lead(ground: &Ground<'_>, leading: Fitness, seen: &[Seen<'_>], trail: &mut Trail) -> u32 {
    let base = ground.base;
    let mut largest: Option<(u32, &Seen<'_>, Need)> = None;
    for seen in seen.iter().filter(|seen| seen.signal.role == Role::Leading) {
        let Some(need) = seen.need else {
            let message = if seen.judged.is_fresh() {
                format!("{}: a level per pod says nothing while no pod serves", seen.signal.name)
            } else {
                format!("{}: {}", seen.signal.name, seen.judged.message)
            };
            trail.note(StepName::Need, base, base, seen.judged.reason, message);
            continue;
        };
        let proposal = band(base, seen.signal, need);
        trail.note(
            StepName::Need,
            base,
            ceil_count_forgiving(need.grow),
            Reason::Fresh,
            need_sentence(ground, seen, need),
        );
        if largest.is_none_or(|(so_far, ..)| proposal > so_far) {
            largest = Some((proposal, seen, need));
        }
    }
    let Some((proposal, seen, need)) = largest else {
        let message = "no leading signal is fit to use".to_owned();
        trail.note(StepName::Tolerance, base, base, Reason::NoFreshSignal, message);
        return base;
    };
    let signal = seen.signal;
    if proposal < base && leading == Fitness::Some && ground.policy.compat == Compat::None {
        let message = format!(
            "{} needs {}, but not every leading signal is fit to use",
            signal.name,
            spelled(need.shrink)
        );
        trail.note(StepName::Tolerance, base, base, Reason::SignalsUnfit, message);
        return base;
    }
    let (reason, message) = if proposal > base {
        (
            Reason::AboveTarget,
            if need.grow > from_count(base) * (1.0 + signal.scale_up_tolerance) {
                let tolerance = percent(signal.scale_up_tolerance);
                format!(
                    "{} needs {}, more than {base} and its tolerance of {tolerance}",
                    signal.name,
                    spelled(need.grow)
                )
            } else {
                format!("{} needs {}, more than {base}", signal.name, spelled(need.grow))
            },
        )
    } else if proposal < base {
        (
            Reason::BelowTarget,
            format!(
                "{} needs {}, less than {base} and its tolerance of {}",
                signal.name,
                spelled(need.shrink),
                percent(signal.scale_down_tolerance)
            ),
        )
    } else {
        (
            Reason::WithinTolerance,
            format!("{} needs {}, within the tolerance around {base}", signal.name, spelled(need.grow)),
        )
    };
    trail.note(StepName::Tolerance, base, proposal, reason, message);
    proposal
}

/// The dead band: inside it the recommendation is the present count. Headroom that was learnt is just enough, so that growth
/// has no band to lose of it: what is restless about the load is in the headroom.
fn band(base: u32, signal: &Signal, need: Need) -> u32 {
    let count = from_count(base);
    let learnt = need.headroom.is_some_and(|headroom| headroom.added);
    let tolerance = if learnt { 0.0 } else { signal.scale_up_tolerance };
    if need.grow / count > 1.0 + tolerance && ceil_count_forgiving(need.grow) > base {
        ceil_count_forgiving(need.grow)
    } else if need.shrink / count < 1.0 - signal.scale_down_tolerance {
        ceil_count_forgiving(need.shrink)
    } else {
        base
    }
}

fn need_sentence(ground: &Ground<'_>, seen: &Seen<'_>, need: Need) -> String {
    let signal = seen.signal;
    let value = seen.judged.value.map(spelled).unwrap_or_default();
    let target = spelled(signal.target);
    let policy = ground.policy;
    let mut head = String::new();
    let learnt = need.headroom.filter(|headroom| headroom.added).map_or(0.0, |headroom| headroom.replicas);
    let declared = need.bare * (policy.headroom_factor - 1.0);
    if policy.headroom_factor > 1.0 && declared >= learnt {
        head = format!(" × {} headroom", spelled(policy.headroom_factor));
    } else if learnt > 0.0 {
        head = format!(" + {} learnt headroom", spelled(learnt));
    }
    if need.rise > 0.0 && policy.lead_compensation.enforced {
        let ahead = ground.ahead.horizon();
        head = format!("{head} + {} that its rise will take in {ahead}", spelled(need.rise));
    }
    if (ground.target_share - 1.0).abs() > f64::EPSILON {
        head = format!("{head}, at {} of the target for the error budget,", percent(ground.target_share));
    }
    let needs = spelled(need.of_asked);
    match signal.kind {
        TargetKind::AverageValue => {
            format!("{}: {value} ÷ {target} per replica{head} = {needs}", signal.name)
        }
        TargetKind::Value | TargetKind::Utilization => {
            let averaged = ground.averaged(signal);
            let pods = averaged.min(ground.asked.max(1));
            let surge = match averaged.saturating_sub(pods) {
                0 => String::new(),
                more => format!(", without {more} that nobody asked for,"),
            };
            format!("{}: {pods} pods{surge} × {value} ÷ {target}{head} = {needs}", signal.name)
        }
    }
}

fn add_by_nets(
    ground: &Ground<'_>,
    seen: &[Seen<'_>],
    memory: &mut Memory,
    leading: u32,
    trail: &mut Trail,
) -> u32 {
    let base = ground.base;
    let leading_need =
        seen.iter().filter_map(|seen| seen.need).map(|need| ceil_count_forgiving(need.grow)).max();
    // While nothing is known of the load, what is added in all stays measured by what was known last.
    let leading_need = leading_need.or(memory.leading_need).unwrap_or(base);
    memory.leading_need = Some(leading_need);
    let mut replicas = leading;
    for (seen, memory) in seen.iter().zip(&mut memory.signals) {
        let Some(value) = seen.net_value_above_target() else {
            if seen.signal.role == Role::SafetyNet && seen.judged.is_fresh() {
                net::relax(memory);
            }
            continue;
        };
        if let Some(guard) = ground.guarded_by {
            // What becomes of the value now tells nothing of the step before.
            memory.net_step = None;
            let message = format!(
                "{} is {}, above {}: silent while guard {guard} holds the count",
                seen.signal.name,
                spelled(value),
                spelled(seen.signal.target)
            );
            trail.note(StepName::SafetyNet, replicas, replicas, Reason::NetSilent, message);
            continue;
        }
        let situation = NetSituation {
            base,
            leading_need,
            ordered: ground.counts.ordered,
            lead_time: ground.lead_time + seen.signal.max_age,
            now: ground.now,
        };
        let proposal = net::propose(seen.signal, memory, value, situation);
        let after = replicas.max(proposal.replicas);
        let message = net_sentence(seen.signal, value, proposal, base);
        trail.note(StepName::SafetyNet, replicas, after, proposal.reason, message);
        replicas = after;
    }
    replicas
}

fn net_sentence(signal: &Signal, value: f64, proposal: net::NetProposal, base: u32) -> String {
    let above = format!("{} is {}, above {}", signal.name, spelled(value), spelled(signal.target));
    match proposal.reason {
        Reason::NetAboveTarget => {
            format!("{above}: {} more are tried", proposal.replicas.saturating_sub(base))
        }
        Reason::NetWaiting => format!("{above}: waiting for the pods already ordered to show"),
        Reason::NetIneffective => {
            format!(
                "{above}, and the last step did not help: the cause is not too few pods, look behind this workload"
            )
        }
        _ => format!(
            "{above}: {} % over the leading need are the most that it may add",
            signal.max_add_percent
        ),
    }
}

/// The smallest count at which no signal would be back over its scale-out edge, with the largest need of the scale-in
/// window, and the signal that sets it. A linear loss of capacity is assumed, which is never less than what the
/// Universal Scalability Law loses on the way down.
fn smallest_safe_count(ground: &Ground<'_>, seen: &[Seen<'_>], memory: &Memory) -> Option<(u32, String)> {
    let smallest = seen.iter().zip(&memory.signals).filter_map(|(seen, memory)| {
        let signal = seen.signal;
        let smallest = match seen.need {
            Some(need) => {
                let peak = memory
                    .need
                    .over(ground.scale_down_window, ground.now)
                    .unwrap_or(need.grow)
                    .max(need.grow);
                peak / (1.0 + signal.scale_up_tolerance)
            }
            None => net::smallest_safe_count(signal, seen.fresh_net_value()?, ground.counts.serving),
        };
        Some((ceil_count_forgiving(smallest), &signal.name))
    });
    smallest.max_by_key(|(smallest, _)| *smallest).map(|(smallest, name)| (smallest, name.clone()))
}

/// The first reason, among the signals, not to remove anything.
fn no_scale_down(ground: &Ground<'_>, seen: &[Seen<'_>]) -> Option<(Reason, String)> {
    let serving = ground.counts.serving;
    let unfit = seen.iter().find(|seen| !seen.judged.is_fresh()).map(|seen| {
        (Reason::SignalsUnfit, format!("nothing is removed while {} is not fit to use", seen.signal.name))
    });
    let over = || {
        let above = seen.iter().find(|seen| {
            seen.need.is_some_and(|need| need.bare / ground.target_share > from_count(serving))
        })?;
        Some((
            Reason::ServingAboveTarget,
            format!(
                "nothing is removed while {} is above its target on the {serving} pods that serve",
                above.signal.name
            ),
        ))
    };
    unfit.or_else(over)
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", spelled(share * 100.0))
}
