//! Worlds that the decision is told of, and what it promises in every one of them.

use arbitrary::{Result, Unstructured};
use plimsoll::api::{Enforcement, Mode};
use plimsoll::control::{
    BudgetShare, ConnectionSource, Connections, CountOrPercent, Decision, Departed, ForecastPhase, Foreseen,
    GuardReport, GuardState, Lesson, Memory, Observation, Override, Overrides, Pod, PodId, Policy, Reason,
    Recall, Rival, Rollout, ScalabilitySample, ScalabilityView, Target, TargetFault, TargetFaultKind,
    UpdateStrategy, Workload, decide,
};
use plimsoll::forecast::{Model, Outlook, Peak, Standing, Unforeseen, UnforeseenKind, Verdict};
use plimsoll::signal::{Age, Answer, Moments, Reading, SignalState};
use plimsoll::time::{Span, Time};

/// When each history begins.
const START: i64 = 1_790_000_000_000;
/// The most evaluations of one history.
const LONGEST_HISTORY: usize = 24;
/// The most pods of one world.
const MOST_PODS: u32 = 24;
/// The longest sentence of a decision, in bytes: people read it in a terminal.
const LONGEST_SENTENCE: usize = 4_096;
/// The most steps of a decision.
const MOST_STEPS: usize = 64;
/// The most bytes of a whole decision, as it is recorded.
const LARGEST_DECISION: usize = 128 * 1024;

/// What is seen at one evaluation.
#[derive(Debug)]
pub(crate) struct World {
    observation: Observation,
    /// Whether the count is what was written last, as it is when nobody else writes.
    keeps_count: bool,
    now: Time,
}

impl World {
    /// A history of worlds, each with a reading of every signal and every guard.
    pub(crate) fn several(source: &mut Unstructured, signals: usize, guards: usize) -> Result<Vec<Self>> {
        let mut now = START;
        let mut worlds = Vec::new();
        while !source.is_empty() && worlds.len() < LONGEST_HISTORY {
            now = match source.int_in_range(0..=31_u8)? {
                0 => source.arbitrary()?,
                1 => now.saturating_sub(source.int_in_range(0..=7_200_000)?),
                2 => now.saturating_add(source.int_in_range(0..=86_400_000)?),
                seconds => now.saturating_add(i64::from(seconds) * 1000),
            };
            worlds.push(Self::one(source, signals, guards, Time::from_millis(now))?);
        }
        Ok(worlds)
    }

    fn one(source: &mut Unstructured, signals: usize, guards: usize, now: Time) -> Result<Self> {
        let readings = (0..signals).map(|_| reading(source, now)).collect::<Result<_>>()?;
        let target = if source.ratio(1, 24)? {
            use TargetFaultKind::{Forbidden, NotFound, NotScalable, Unavailable};
            let kind = *source.choose(&[NotFound, NotScalable, Forbidden, Unavailable])?;
            Target::Unseen(TargetFault { kind, message: "it is not there".to_owned() })
        } else {
            Target::Seen(workload(source, now)?)
        };
        let overrides = Overrides {
            emergency_max: person(source, now)?,
            freeze: person(source, now)?,
            unreadable: source.ratio(1, 24)?.then(|| "it is not understood".to_owned()),
        };
        let rival = Rival { kind: "HorizontalPodAutoscaler".to_owned(), name: "checkout".to_owned() };
        let rivals = if source.ratio(1, 24)? { vec![rival] } else { Vec::new() };
        let share = BudgetShare {
            budget: "orders-db".to_owned(),
            granted: source.ratio(3, 4)?.then_some(source.int_in_range(0..=2_000_u32)?),
            excess: if source.ratio(1, 8)? { source.arbitrary()? } else { 0 },
            recall: *source.choose(&[None, None, Some(Recall::Soft), Some(Recall::Hard)])?,
            message: String::new(),
            sharing_off: false,
        };
        let shares = if source.ratio(1, 4)? { vec![share] } else { Vec::new() };
        let scalability = scalability(source, now)?;
        let guards = (0..guards).map(|_| reading(source, now)).collect::<Result<_>>()?;
        let lessons = if source.ratio(1, 16)? { vec![lesson(source, now)?] } else { Vec::new() };
        let windows = if source.ratio(1, 2)? { source.int_in_range(0..=5_u32)? } else { 0 };
        let slo = (0..windows).map(|_| burn(source, now)).collect::<Result<_>>()?;
        let forecasts = if source.ratio(1, 4)? { vec![foreseen(source, now)?] } else { Vec::new() };
        let observation = Observation {
            readings,
            guards,
            target,
            overrides,
            shares,
            scalability,
            lessons,
            slo,
            forecasts,
            rivals,
        };
        Ok(Self { observation, keeps_count: !source.ratio(1, 6)?, now })
    }
}

/// A share of bad events, most of the time one that can be.
fn burn(source: &mut Unstructured, now: Time) -> Result<Reading> {
    let ratio = f64::from(source.int_in_range(0..=1_000_u16)?) / 1_000.0;
    let any = reading(source, now)?;
    Ok(if source.ratio(3, 4)? {
        Reading { answer: Answer::Value(ratio), warnings: Vec::new(), ..any }
    } else {
        any
    })
}

/// Windows of 40 seconds, most of them whole.
fn scalability(source: &mut Unstructured, now: Time) -> Result<ScalabilityView> {
    let mut view = ScalabilityView { complete: source.arbitrary()?, ..ScalabilityView::default() };
    if source.ratio(1, 16)? {
        view.fault = Some("it timed out".to_owned());
    }
    let ready = f64::from(source.int_in_range(0..=60_u32)?);
    let sizes = source.int_in_range(0..=3_u32)?;
    for number in 0..source.int_in_range(0..=64_u32)? {
        let at = now - Span::from_seconds(u64::from(64 - number) * 5);
        let odd = source.ratio(1, 64)?;
        view.samples.push(ScalabilitySample {
            at: if odd { moment(source, now)? } else { at },
            throughput: measured(source, odd)?,
            ready_replicas: if odd {
                source.arbitrary()?
            } else {
                Some(ready + f64::from(number / 16 * sizes))
            },
            utilization: measured(source, odd)?.map(|value| if odd { value } else { value / 1000.0 }),
            saturation: measured(source, odd)?,
            objective: measured(source, odd)?,
        });
    }
    Ok(view)
}

/// Hours of a pattern that comes back.
fn lesson(source: &mut Unstructured, now: Time) -> Result<Lesson> {
    let odd = source.ratio(1, 8)?;
    let pattern = (0..8).map(|_| measured(source, odd)).collect::<Result<Vec<_>>>()?;
    let step = if odd { Span::from_millis(source.arbitrary()?) } else { Span::from_seconds(60) };
    let count = source.int_in_range(0..=400_u32)?;
    let first = if odd { moment(source, now)? } else { now - step.times(count.into()) };
    let moments = Moments { first, step, count };
    let values = pattern.into_iter().cycle().take(400).collect();
    Ok(Lesson { metric: "rps".to_owned(), moments, values })
}

/// A forecast that may be of any moment, of any length and of anything.
fn foreseen(source: &mut Unstructured, now: Time) -> Result<Foreseen> {
    let odd = source.ratio(1, 8)?;
    let upper: Vec<f64> = (0..source.int_in_range(0..=48)?)
        .map(
            |_| if odd { source.arbitrary() } else { Ok(f64::from(source.int_in_range(0..=400_u32)?) / 4.0) },
        )
        .collect::<Result<_>>()?;
    let outlook = Outlook {
        standing: Standing {
            model: Model::SeasonalNaive,
            seasons: vec![Span::from_seconds(86_400)],
            fitted: moment(source, now)?,
            observed: Span::from_seconds(source.int_in_range(0..=1_000_000)?),
            peak: Peak { at: moment(source, now)?, replicas: if odd { source.arbitrary()? } else { 7.5 } },
            accuracy: None,
            verdict: *source.choose(&[
                Verdict::Trusted,
                Verdict::Trusted,
                Verdict::Unproven,
                Verdict::TooFarOff,
            ])?,
        },
        moments: Moments {
            first: if odd {
                moment(source, now)?
            } else {
                now - Span::from_seconds(source.int_in_range(0..=3600)?)
            },
            step: if odd { Span::from_millis(source.arbitrary()?) } else { Span::from_seconds(300) },
            count: if odd { source.arbitrary()? } else { 48 },
        },
        expected: Vec::new(),
        upper,
    };
    let fault = source.ratio(1, 8)?.then(|| Unforeseen::new(UnforeseenKind::Unreadable, "it timed out"));
    let metric = format!("signal-{}", source.int_in_range(0..=2_u32)?);
    Ok(Foreseen { metric, outlook: source.ratio(7, 8)?.then_some(outlook), fault })
}

fn measured(source: &mut Unstructured, odd: bool) -> Result<Option<f64>> {
    if odd { source.arbitrary() } else { Ok(Some(f64::from(source.int_in_range(0..=1000_u32)?))) }
}

fn reading(source: &mut Unstructured, now: Time) -> Result<Reading> {
    let answer = match source.int_in_range(0..=15_u8)? {
        0 => Answer::NoSeries,
        1 => Answer::ManySeries(source.arbitrary()?),
        2 => Answer::Failed("it was refused".to_owned()),
        3 => Answer::Value(source.arbitrary()?),
        4 => Answer::Value(0.0),
        _ => Answer::Value(f64::from(source.int_in_range(0..=200_000_u32)?) / 8.0),
    };
    let age = match source.int_in_range(0..=15_u8)? {
        0 => Age::NotSampled,
        1 => Age::NoSample,
        2 => Age::Unknown("it timed out".to_owned()),
        3 => Age::Measured(Span::from_millis(source.arbitrary()?)),
        4 => Age::Earlier { age: Span::from_seconds(source.int_in_range(0..=90)?), at: moment(source, now)? },
        seconds => Age::Measured(Span::from_seconds(seconds.into())),
    };
    let warnings = if source.ratio(1, 24)? { vec!["it is partial".to_owned()] } else { Vec::new() };
    Ok(Reading { answer, warnings, age, covered_pods: source.arbitrary()? })
}

fn workload(source: &mut Unstructured, now: Time) -> Result<Workload> {
    use Rollout::{Progressing, Settled, Stalled};
    let spec_replicas =
        if source.ratio(1, 24)? { source.arbitrary()? } else { source.int_in_range(0..=MOST_PODS)? };
    let ready = source.int_in_range(0..=4_u8)?;
    let pods = (0..spec_replicas.min(MOST_PODS) + source.int_in_range(0..=3)?)
        .map(|id| pod(source, id, ready, now))
        .collect::<Result<_>>()?;
    let departed = Departed { id: PodId(source.arbitrary()?), drain: Span::from_millis(source.arbitrary()?) };
    Ok(Workload {
        spec_replicas,
        pods,
        departed: if source.ratio(1, 8)? { vec![departed] } else { Vec::new() },
        rollout: *source.choose(&[Settled, Settled, Settled, Progressing, Stalled])?,
        revision: 0,
        update: match source.int_in_range(0..=3)? {
            0 => UpdateStrategy::Replace,
            1 => UpdateStrategy::Unknown,
            _ => UpdateStrategy::RollingUpdate { max_surge: share(source)?, max_unavailable: share(source)? },
        },
        termination_grace: Span::from_seconds(if source.ratio(1, 16)? { source.arbitrary()? } else { 30 }),
        progress_deadline: Span::from_seconds(if source.ratio(1, 16)? { source.arbitrary()? } else { 600 }),
        zones: source.int_in_range(0..=4)?,
    })
}

/// A pod that has been serving for long, unless the source says otherwise.
fn pod(source: &mut Unstructured, id: u32, ready: u8, now: Time) -> Result<Pod> {
    let long_ago = now - Span::from_seconds(7200);
    let mut pod = Pod {
        id: PodId(u64::from(id)),
        created: long_ago,
        ready_since: Some(long_ago + Span::from_seconds(20)),
        terminating_since: None,
    };
    if ready == 0 || source.ratio(1, 8)? {
        pod = Pod {
            id: PodId(source.int_in_range(0..=40)?),
            created: moment(source, now)?,
            ready_since: if ready > 0 && source.arbitrary()? { Some(moment(source, now)?) } else { None },
            terminating_since: if source.arbitrary()? { Some(moment(source, now)?) } else { None },
        };
    }
    Ok(pod)
}

fn moment(source: &mut Unstructured, now: Time) -> Result<Time> {
    Ok(match source.int_in_range(0..=7_u8)? {
        0 => Time::from_millis(source.arbitrary()?),
        1 => now + Span::from_seconds(source.int_in_range(0..=600)?),
        _ => now - Span::from_seconds(source.int_in_range(0..=600)?),
    })
}

fn person(source: &mut Unstructured, now: Time) -> Result<Option<Override>> {
    if !source.ratio(1, 16)? {
        return Ok(None);
    }
    let until = if source.arbitrary()? { Some(moment(source, now)?) } else { None };
    Ok(Some(Override { replicas: source.int_in_range(1..=60)?, until, reason: None }))
}

fn share(source: &mut Unstructured) -> Result<CountOrPercent> {
    Ok(match source.int_in_range(0..=7_u8)? {
        0 => CountOrPercent::Count(source.arbitrary()?),
        1 => CountOrPercent::Percent(source.arbitrary()?),
        2 | 3 => CountOrPercent::Count(source.int_in_range(0..=5)?),
        _ => CountOrPercent::Percent(source.int_in_range(0..=100)?),
    })
}

/// Lets the policy decide on one world after another, and checks each decision.
pub(crate) fn live_through(policy: &Policy, worlds: &[World]) {
    let mut memory = Memory::default();
    let mut written = None;
    for (at, world) in worlds.iter().enumerate() {
        let mut observation = world.observation.clone();
        if let (true, Some(count), Target::Seen(workload)) =
            (world.keeps_count, written, &mut observation.target)
        {
            workload.spec_replicas = count;
        }
        let before = if at + 1 == worlds.len() { Some(memory.clone()) } else { None };
        let (decision, after) = decide(policy, &observation, memory, world.now);
        keeps_its_promises(policy, &observation, &decision);
        if let Some(before) = before {
            // Costly, and no world is more telling than the last.
            let (again, _) = decide(policy, &observation, before, world.now);
            assert_eq!(
                format!("{again:?}"),
                format!("{decision:?}"),
                "the same arguments gave two decisions"
            );
            let recorded = serde_json::to_vec(&decision).expect("a decision can be recorded");
            assert!(recorded.len() <= LARGEST_DECISION, "{} bytes", recorded.len());
        }
        memory = after;
        written = decision.write.or(decision.from);
    }
}

fn keeps_its_promises(policy: &Policy, observation: &Observation, decision: &Decision) {
    is_bounded(decision);
    let Some(write) = decision.write else { return };
    let Target::Seen(workload) = &observation.target else {
        panic!("a workload that was not seen is written: {decision:#?}");
    };
    let spec = workload.spec_replicas;
    assert!(write != spec && write >= 1, "{decision:#?}");
    assert!(spec > 0, "0 that somebody set is not left alone: {decision:#?}");
    assert!(policy.mode != Mode::DryRun && observation.rivals.is_empty(), "{decision:#?}");
    if write > spec {
        assert!(write <= policy.max, "{write} is above {}: {decision:#?}", policy.max);
        let mut shares = observation.shares.iter();
        for connections in &policy.connections {
            let share = match &connections.limit {
                ConnectionSource::Inline { max_connections, reserved, others } => {
                    max_connections - reserved - others
                }
                // Of a budget that gives nothing, or more than there is, nothing is taken.
                ConnectionSource::Budget { .. } => shares
                    .next()
                    .filter(|share| share.excess == 0)
                    .and_then(|share| share.granted)
                    .unwrap_or(0),
            };
            let holds = connections.enforcement == Enforcement::Observe
                || fits(connections, share, write, workload.update);
            assert!(holds, "{write} pods do not fit into {connections:?}: {decision:#?}");
        }
    } else {
        assert!(
            write >= policy.min || decision.reason == Reason::EmergencyMax,
            "{write} is below minReplicas: {decision:#?}"
        );
        if decision.reason == Reason::GuardStepDown {
            let fit = |guard: &GuardReport| guard.beyond && guard.signal == SignalState::Fresh;
            assert!(
                decision.guards.iter().any(fit),
                "a guard removes pods on what is not fit: {decision:#?}"
            );
            assert!(workload.rollout != Rollout::Progressing && !policy.scale_down_paused, "{decision:#?}");
        } else if !is_by_order(decision.reason) {
            let free =
                |guard: &GuardReport| matches!(guard.state, GuardState::Inactive | GuardState::Expired);
            assert!(decision.guards.iter().all(free), "demand removes pods under a guard: {decision:#?}");
            let acting = decision.forecasts.iter().filter(|forecast| forecast.phase == ForecastPhase::Acting);
            let forecast = acting.filter_map(|forecast| Some(forecast.replicas?.min(policy.max)));
            let floor = decision.schedules.iter().filter_map(|schedule| schedule.floor).chain(forecast).max();
            assert!(
                floor.is_none_or(|floor| write >= floor),
                "demand passes a schedule's or a forecast's floor: {decision:#?}"
            );
            let fit = decision.signals.iter().all(|signal| signal.state == SignalState::Fresh);
            assert!(fit, "demand removes pods on signals that are not fit: {decision:#?}");
            assert!(
                workload.rollout != Rollout::Progressing,
                "demand removes pods in a rollout: {decision:#?}"
            );
            assert!(!policy.scale_down_paused, "{decision:#?}");
        }
    }
}

/// Whether a person or a limit asked for fewer pods, rather than demand.
fn is_by_order(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::EmergencyMax | Reason::HardCeiling | Reason::Frozen | Reason::CeilingFell | Reason::Fallback
    )
}

/// Whether `count` pods and those that a rolling update adds fit, by Kubernetes' own rounding.
fn fits(connections: &Connections, share: u32, count: u32, update: UpdateStrategy) -> bool {
    let count = u64::from(count);
    let surge = match update {
        UpdateStrategy::RollingUpdate { max_surge: CountOrPercent::Count(pods), .. } => u64::from(pods),
        UpdateStrategy::RollingUpdate { max_surge: CountOrPercent::Percent(percent), .. } => {
            (count * u64::from(percent)).div_ceil(100)
        }
        UpdateStrategy::Replace => 0,
        UpdateStrategy::Unknown => count,
    };
    count.saturating_add(surge).saturating_mul(connections.per_pod.into()) <= share.into()
}

fn is_bounded(decision: &Decision) {
    let sentences = decision.steps.iter().map(|step| &step.message);
    let sentences = sentences.chain(decision.conditions.iter().map(|condition| &condition.message));
    for sentence in sentences.chain([&decision.message]) {
        assert!(
            !sentence.is_empty() && sentence.len() <= LONGEST_SENTENCE,
            "{} bytes: {sentence}",
            sentence.len()
        );
    }
    assert!(decision.steps.len() <= MOST_STEPS, "{} steps", decision.steps.len());
    assert!(decision.steps.is_sorted_by_key(|step| step.step), "{decision:#?}");
}
