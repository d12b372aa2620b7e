//! Properties of the decision that hold whatever it is told. A failing case is printed and kept in
//! `tests/properties.proptest-regressions`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod common;

use common::{policy, workload};
use plimsoll::api::{Enforcement, GuardAction, Role};
use plimsoll::control::{
    CountOrPercent, Decision, Departed, GuardReport, GuardState, Memory, Observation, Override, Overrides,
    Pod, PodId, Policy, Reason, Rollout, ScalabilityView, Target, UpdateStrategy, Workload, decide,
};
use plimsoll::signal::{Age, Answer, Reading, SignalState};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

const START: Time = Time::from_seconds(1_000_000);

/// A policy and what happens to it, evaluation by evaluation.
#[derive(Clone, Debug)]
struct History {
    yaml: String,
    worlds: Vec<World>,
}

/// One evaluation.
#[derive(Clone, Debug)]
struct World {
    seconds_later: u32,
    /// Somebody else's write before it, if any.
    set_to: Option<u32>,
    answers: Vec<Reading>,
    guards: Vec<Reading>,
    /// Ready pods out of ten.
    ready: u32,
    cold: u32,
    terminating: u32,
    rollout: Rollout,
    update: UpdateStrategy,
    emergency: Option<u32>,
    freeze: Option<u32>,
    rival: bool,
}

fn count_or_percent() -> impl Strategy<Value = CountOrPercent> {
    prop_oneof![(0_u32..20).prop_map(CountOrPercent::Count), (0_u32..150).prop_map(CountOrPercent::Percent)]
}

fn ordinary() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..5_000.0_f64, 1 => Just(0.0)]
}

fn odd() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(1e308),
        Just(-1e308),
        Just(f64::MIN_POSITIVE),
        Just(2_147_483_647.0 * 100.0),
        Just(2_147_483_648.5 * 100.0),
        Just(4_294_967_296.0 * 100.0),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    let answer = prop_oneof![
        60 => ordinary().prop_map(Answer::Value),
        2 => odd().prop_map(Answer::Value),
        1 => Just(Answer::NoSeries),
        1 => (2_u32..9).prop_map(Answer::ManySeries),
        1 => Just(Answer::Failed("refused".to_owned())),
    ];
    let age = prop_oneof![
        30 => (0_u64..62).prop_map(|age| Age::Measured(Span::from_seconds(age))),
        4 => (0_u64..90, 0_i64..120).prop_map(|(age, at)| Age::Earlier {
            age: Span::from_seconds(age),
            at: START + Span::from_seconds(at.unsigned_abs()),
        }),
        1 => Just(Age::NotSampled),
        1 => Just(Age::NoSample),
        1 => Just(Age::Unknown("timed out".to_owned())),
    ];
    (answer, age, prop::option::weighted(0.02, Just("partial".to_owned())), prop::option::of(0_u32..30))
        .prop_map(|(answer, age, warning, covered_pods)| Reading {
            answer,
            age,
            warnings: warning.into_iter().collect(),
            covered_pods,
        })
}

fn world() -> impl Strategy<Value = World> {
    (
        (1_u32..60, prop::option::weighted(0.05, 0_u32..60), prop::collection::vec(reading(), 5)),
        (prop_oneof![6 => Just(10_u32), 2 => 0_u32..=10], 0_u32..4, prop_oneof![4 => Just(0_u32), 1 => 0_u32..6]),
        prop_oneof![6 => Just(Rollout::Settled), 1 => Just(Rollout::Progressing), 1 => Just(Rollout::Stalled)],
        prop_oneof![
            4 => (count_or_percent(), count_or_percent())
                .prop_map(|(max_surge, max_unavailable)| UpdateStrategy::RollingUpdate { max_surge, max_unavailable }),
            1 => Just(UpdateStrategy::Replace),
            1 => Just(UpdateStrategy::Unknown),
        ],
        prop::option::weighted(0.03, 0_u32..60),
        prop::option::weighted(0.03, 0_u32..60),
        prop::bool::weighted(0.03),
    )
        .prop_map(|((seconds_later, set_to, mut answers), (ready, cold, terminating), rollout, update, emergency, freeze, rival)| World {
            seconds_later,
            set_to,
            guards: answers.split_off(3),
            answers,
            ready,
            cold,
            terminating,
            rollout,
            update,
            emergency,
            freeze,
            rival,
        })
}

fn yaml() -> impl Strategy<Value = String> {
    let metrics = "metrics:\n- {name: rps, prometheus: {query: rps}, target: {type: AverageValue, averageValue: 100}, zero: Data}\n- {name: \
                   busy, prometheus: {query: busy}, target: {type: Value, value: 300}, maxRise: 1000000}\n- {name: p99, role: \
                   SafetyNet, prometheus: {query: p99}, target: {type: Value, value: 4000}}\n";
    let rules = |direction: &'static str| {
        (prop_oneof![3 => Just(0_u32), 1 => 0_u32..400], prop_oneof![6 => Just("Max"), 2 => Just("Min"), 1 => Just("Disabled")], 1_u32..200, 1_u32..1800, prop::bool::ANY)
            .prop_map(move |(window, select, value, period, percent)| {
                let kind = if percent { "Percent" } else { "Pods" };
                format!(
                    "{direction}: {{stabilizationWindowSeconds: {window}, selectPolicy: {select}, policies: [{{type: {kind}, \
                     value: {value}, periodSeconds: {period}}}]}}"
                )
            })
    };
    let enforcement = || prop_oneof![Just("Observe"), Just("Enforce"), Just("Hard")];
    let connections = (20_u32..2000, 0_u32..19, 1_u32..30, enforcement(), prop_oneof![Just("Observed"), Just("OneRevision"), Just("3")])
        .prop_map(|(max, reserved, per_pod, enforcement, overlap)| {
            format!(
                "  connections: [{{name: db, inline: {{maxConnections: {max}, reserved: {reserved}}}, perPod: {per_pod}, \
                 enforcement: {enforcement}, rolloutOverlap: {overlap}}}]\n"
            )
        });
    let scalability = (0_u32..500, 1_u32..50, enforcement()).prop_map(|(alpha, beta, enforcement)| {
        format!("  scalability: {{alpha: {alpha}m, beta: {beta}00u, enforcement: {enforcement}}}\n")
    });
    (
        (1_u32..10, 0_u32..50),
        (rules("scaleUp"), rules("scaleDown")),
        prop::option::of(connections),
        prop::option::of(scalability),
        prop::option::of((0_u32..300, 0_u32..100, prop_oneof![Just("AtLeast"), Just("EvenIfLower")])),
        (0_u32..100, 0_u32..4),
        prop_oneof![8 => Just(""), 1 => Just("mode: DryRun\n"), 1 => Just("paused: [ScaleUp]\n"), 1 => Just("paused: [ScaleDown]\n")],
        prop::option::of(1_u32..8),
        prop::collection::vec(guard(), 0..=2),
    )
        .prop_map(move |((min, more), (up, down), connections, scalability, fallback, (percent, replicas), mode, slots, guards)| {
            let max = min + more;
            let ceilings = match (&connections, &scalability) {
                (None, None) => String::new(),
                _ => format!("ceilings:\n{}{}", connections.unwrap_or_default(), scalability.unwrap_or_default()),
            };
            let fallback = fallback.map_or_else(String::new, |(after, share, behavior)| {
                let replicas = min + more * share / 100;
                format!("fallback: {{afterSeconds: {after}, behavior: {behavior}, replicas: {replicas}}}\n")
            });
            let slots = slots.map_or_else(String::new, |slots| format!("warmUp: {{maxConcurrent: {slots}}}\n"));
            let guards: Vec<_> =
                guards.iter().enumerate().map(|(at, guard)| format!("- {{name: guard-{at}, {guard}}}\n")).collect();
            let guards = guards.concat();
            let guards = if guards.is_empty() { guards } else { format!("guards:\n{guards}") };
            format!(
                "minReplicas: {min}\nmaxReplicas: {max}\nbehavior: {{{up}, {down}}}\n{metrics}{ceilings}{fallback}headroom: \
                 {{percent: {percent}, replicas: {replicas}}}\n{mode}{slots}{guards}"
            )
        })
}

fn guard() -> impl Strategy<Value = String> {
    let action = prop_oneof![
        Just("BlockScaleUp"),
        Just("BlockScaleDown"),
        Just("Freeze"),
        Just("CapAtCurrent"),
        Just("StepDown")
    ];
    let sides = prop_oneof![
        Just("threshold: 2500, releaseThreshold: 1500"),
        Just("threshold: 1500, releaseThreshold: 2500, comparison: LessThan"),
        Just("threshold: 4000")
    ];
    let on_missing = prop_oneof![Just("Hold"), Just("Ignore"), Just("Activate")];
    (action, sides, on_missing, 0_u32..300, 1_u32..1500).prop_map(|(action, sides, on_missing, hold, longer)| {
        format!(
            "prometheus: {{query: guarded}}, {sides}, action: {action}, onMissing: {on_missing}, holdSeconds: {hold}, \
             maxDurationSeconds: {}",
            hold + longer
        )
    })
}

fn history() -> impl Strategy<Value = History> {
    (yaml(), prop::collection::vec(world(), 1..40)).prop_map(|(yaml, worlds)| History { yaml, worlds })
}

impl World {
    fn observation(&self, replicas: u32, now: Time, born: u64) -> Observation {
        let mut seen = workload(0, now);
        seen.spec_replicas = replicas;
        let ready = replicas * self.ready / 10;
        let long_ago = now - Span::from_seconds(3000);
        let pods = 0..replicas.saturating_add(self.terminating).min(200);
        seen.pods = pods
            .map(|at| Pod {
                id: PodId(u64::from(at) + 1000 * born),
                created: if at < self.cold { now - Span::from_seconds(12) } else { long_ago },
                ready_since: (at < ready)
                    .then(|| if at < self.cold { now } else { long_ago + Span::from_seconds(10) }),
                terminating_since: (at >= replicas).then(|| now - Span::from_seconds(5)),
            })
            .collect();
        seen.departed = vec![Departed { id: PodId(born), drain: Span::from_seconds(born % 40) }];
        seen.rollout = self.rollout;
        seen.update = self.update;
        let asked =
            |replicas: Option<u32>| replicas.map(|replicas| Override { replicas, until: None, reason: None });
        Observation {
            readings: self.answers.clone(),
            target: Target::Seen(seen),
            overrides: Overrides {
                emergency_max: asked(self.emergency),
                freeze: asked(self.freeze),
                unreadable: None,
            },
            guards: self.guards.clone(),
            shares: Vec::new(),
            scalability: ScalabilityView::default(),
            lessons: Vec::new(),
            slo: Vec::new(),
            forecasts: Vec::new(),
            rivals: if self.rival {
                vec![plimsoll::control::Rival { kind: "HorizontalPodAutoscaler".into(), name: "x".into() }]
            } else {
                Vec::new()
            },
        }
    }
}

/// Walks a history; `check` sees each evaluation with the memory before it.
fn walk(
    history: &History,
    mut check: impl FnMut(&Policy, &Observation, &Memory, Time, &Decision) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let policy = policy(&history.yaml);
    let (mut memory, mut now, mut replicas) = (Memory::default(), START, policy.min + 3);
    for (born, world) in history.worlds.iter().enumerate() {
        now = now + Span::from_seconds(world.seconds_later.into());
        replicas = world.set_to.unwrap_or(replicas);
        let observation = world.observation(replicas, now, u64::try_from(born).unwrap());
        let before = memory.clone();
        let (decision, after) = decide(&policy, &observation, memory, now);
        check(&policy, &observation, &before, now, &decision)?;
        memory = after;
        replicas = decision.write.unwrap_or(replicas);
    }
    Ok(())
}

fn seen(observation: &Observation) -> &Workload {
    match &observation.target {
        Target::Seen(workload) => workload,
        Target::Unseen(_) => unreachable!("every world shows its workload"),
    }
}

/// The lowest count that any enforced ceiling or `maxReplicas` allows growth to reach.
fn growth_limit(policy: &Policy, observation: &Observation, decision: &Decision) -> u32 {
    let enforced = decision.ceilings.iter().filter(|ceiling| ceiling.enforcement != Enforcement::Observe);
    let limits = enforced.flat_map(|ceiling| [ceiling.replicas, ceiling.growth_limit]).flatten();
    let cap = observation.overrides.emergency_max.as_ref().map(|cap| cap.replicas.max(1));
    limits.chain(cap).fold(policy.max, u32::min)
}

proptest! {
    #[test]
    fn nothing_is_ever_raised_above_a_limit(history in history()) {
        walk(&history, |policy, observation, _, _, decision| {
            let spec = seen(observation).spec_replicas;
            if let Some(write) = decision.write && write > spec {
                prop_assert!(write <= growth_limit(policy, observation, decision), "{spec} → {write}: {decision:#?}");
                prop_assert!(write <= policy.max);
            }
            Ok(())
        })?;
    }

    #[test]
    fn nothing_below_the_minimum_is_written_but_by_a_person(history in history()) {
        walk(&history, |policy, _, _, _, decision| {
            if let Some(write) = decision.write {
                prop_assert!(write >= 1);
                let raised = decision.from.is_some_and(|from| write > from);
                prop_assert!(
                    write >= policy.min || decision.reason == Reason::EmergencyMax || raised,
                    "{decision:#?}"
                );
            }
            Ok(())
        })?;
    }

    #[test]
    fn demand_removes_pods_only_when_everything_is_fit_and_never_below_the_raw_need(history in history()) {
        walk(&history, |policy, observation, _, _, decision| {
            let workload = seen(observation);
            let Some(write) = decision.write.filter(|write| *write < workload.spec_replicas) else { return Ok(()) };
            let by_demand = !matches!(
                decision.reason,
                Reason::EmergencyMax
                    | Reason::HardCeiling
                    | Reason::Frozen
                    | Reason::CeilingFell
                    | Reason::Fallback
                    | Reason::GuardStepDown
            );
            if !by_demand {
                return Ok(());
            }
            for guard in &decision.guards {
                prop_assert!(matches!(guard.state, GuardState::Inactive | GuardState::Expired), "{decision:#?}");
            }
            let counts = decision.counts.unwrap();
            prop_assert!(decision.signals.iter().all(|signal| signal.state == SignalState::Fresh), "{decision:#?}");
            prop_assert!(workload.rollout != Rollout::Progressing);
            prop_assert!(counts.serving > 0 && counts.starting == 0 && counts.serving == counts.warm);
            prop_assert!(!policy.scale_down_paused);
            for (signal, report) in policy.signals.iter().zip(&decision.signals) {
                let value = report.value.unwrap();
                let pods = if signal.name == "rps" { 1.0 } else { f64::from(counts.serving) };
                let need = pods * value / signal.target;
                match signal.role {
                    Role::Leading => {
                        prop_assert!(f64::from(write) >= need - 1e-6, "{} needs {need}: {decision:#?}", signal.name);
                        prop_assert!(need <= f64::from(counts.serving), "{} is above its target", signal.name);
                    }
                    Role::SafetyNet => prop_assert!(value <= signal.target * (1.0 + signal.scale_up_tolerance)),
                }
            }
            for reading in &observation.readings {
                let proven = match &reading.age {
                    Age::Measured(age) => *age <= Span::from_seconds(60),
                    Age::Earlier { age, at } => *age + decision.time.since(*at) <= Span::from_seconds(60),
                    Age::NotSampled => true,
                    Age::NoSample | Age::Unknown(_) => false,
                };
                prop_assert!(proven, "{reading:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn guards_never_add_a_pod(history in history()) {
        walk(&history, |policy, observation, memory, now, decision| {
            let unguarded = Policy { guards: Vec::new(), ..policy.clone() };
            let (free, _) = decide(&unguarded, observation, memory.clone(), now);
            let spec = seen(observation).spec_replicas;
            prop_assert!(
                decision.desired <= free.desired.max(Some(spec)),
                "{:?} beside {:?} without guards: {decision:#?}",
                decision.desired,
                free.desired
            );
            Ok(())
        })?;
    }

    #[test]
    fn a_guard_removes_pods_only_on_a_value_that_is_fit_bad_and_proven(history in history()) {
        walk(&history, |policy, observation, _, now, decision| {
            if decision.reason != Reason::GuardStepDown {
                return Ok(());
            }
            let workload = seen(observation);
            prop_assert!(decision.write.is_none_or(|write| write < workload.spec_replicas && write >= policy.min));
            prop_assert!(workload.rollout != Rollout::Progressing && !policy.scale_down_paused);
            let proven = |reading: &Reading| match &reading.age {
                Age::Measured(age) => *age <= Span::from_seconds(60),
                Age::Earlier { age, at } => *age + now.since(*at) <= Span::from_seconds(60),
                Age::NotSampled => true,
                Age::NoSample | Age::Unknown(_) => false,
            };
            let called_for = decision.guards.iter().zip(&observation.guards).any(|(guard, reading)| {
                guard.action == GuardAction::StepDown
                    && guard.beyond
                    && guard.signal == SignalState::Fresh
                    && proven(reading)
            });
            prop_assert!(called_for, "{decision:#?}");
            Ok(())
        })?;
    }

    #[test]
    fn every_guard_ends_by_its_longest_time_and_none_within_its_hold(history in history()) {
        let mut before: Vec<GuardReport> = Vec::new();
        walk(&history, |policy, _, _, now, decision| {
            for (at, (guard, report)) in policy.guards.iter().zip(&decision.guards).enumerate() {
                if let Some(held) = &report.activation {
                    let over = now.since(held.since) >= guard.longest;
                    prop_assert_eq!(over, report.state == GuardState::Expired, "{:#?}", report);
                }
                let was = before.get(at).and_then(|was| was.activation);
                if let (Some(was), None) = (was, &report.activation) {
                    let good_since = was.good_since.unwrap_or(now);
                    prop_assert!(now.since(good_since) >= guard.hold, "it ended too soon: {was:?} {report:#?}");
                }
            }
            before.clone_from(&decision.guards);
            Ok(())
        })?;
    }

    #[test]
    fn more_of_a_leading_signal_never_means_fewer_replicas(history in history(), factor in 1.0..5.0_f64, which in 0_usize..2) {
        walk(&history, |policy, observation, memory, now, decision| {
            let mut more = observation.clone();
            let Answer::Value(value) = &mut more.readings[which].answer else { return Ok(()) };
            *value *= factor;
            let (with_more, _) = decide(policy, &more, memory.clone(), now);
            let fit = |decision: &Decision| decision.signals.get(which).is_some_and(|signal| signal.state == SignalState::Fresh);
            if fit(decision) && fit(&with_more) {
                prop_assert!(with_more.desired >= decision.desired, "×{factor}: {decision:#?}\nwith more: {with_more:#?}");
            }
            Ok(())
        })?;
    }

    #[test]
    fn removing_pods_and_pods_that_terminate_never_lower_a_ceiling(history in history(), keep in 0_usize..50) {
        walk(&history, |policy, observation, memory, now, decision| {
            let mut fewer = observation.clone();
            if let Target::Seen(workload) = &mut fewer.target {
                workload.pods.truncate(keep);
            }
            let mut terminating = observation.clone();
            if let Target::Seen(workload) = &mut terminating.target {
                for pod in workload.pods.iter_mut().skip(keep) {
                    pod.terminating_since = Some(now);
                }
            }
            for other in [fewer, terminating] {
                let (other, _) = decide(policy, &other, memory.clone(), now);
                for (before, after) in decision.ceilings.iter().zip(&other.ceilings) {
                    prop_assert!(after.replicas >= before.replicas, "{before:?} {after:?}");
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_was_recorded_decides_the_same(history in history()) {
        walk(&history, |policy, observation, memory, now, decision| {
            let text = serde_json::to_string(observation).unwrap();
            let recorded: Observation = serde_json::from_str(&text).unwrap();
            let (again, _) = decide(policy, &recorded, memory.clone(), now);
            let as_text = |decision: &Decision| serde_json::to_string(decision).unwrap();
            prop_assert_eq!(as_text(&again), as_text(decision));
            Ok(())
        })?;
    }

    #[test]
    fn the_steps_lead_from_the_first_count_to_the_last(history in history()) {
        walk(&history, |_, observation, _, _, decision| {
            let spec = seen(observation).spec_replicas;
            prop_assert!(!decision.message.is_empty() && decision.steps.iter().all(|step| !step.message.is_empty()));
            let names: Vec<_> = decision.steps.iter().map(|step| step.step).collect();
            prop_assert!(names.is_sorted(), "{names:?}");
            if let Some(write) = decision.write {
                prop_assert!(write != spec);
                prop_assert!(decision.message.contains(&write.to_string()), "{}", decision.message);
            }
            let sorted = decision.conditions.is_sorted_by_key(|condition| condition.kind.to_string());
            prop_assert!(sorted, "{:?}", decision.conditions);
            Ok(())
        })?;
    }

    #[test]
    fn extreme_policies_and_counts_saturate(
        spec in prop_oneof![any::<u32>(), Just(u32::MAX), Just(0), Just(1), Just(i32::MAX.unsigned_abs())],
        values in prop::collection::vec(odd(), 3),
        target in prop_oneof![Just("1n"), Just("9999999999E"), Just("1")],
        seconds in prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN), Just(0)],
        min in 1_u32..100_000,
    ) {
        let yaml = format!(
            "minReplicas: {min}\nmaxReplicas: 100000\nmetrics:\n- {{name: a, prometheus: {{query: a}}, target: {{type: AverageValue, \
             averageValue: {target}}}, zero: Data, negative: Data}}\n- {{name: b, prometheus: {{query: b}}, target: {{type: Value, value: \
             {target}}}, zero: Data}}\n- {{name: c, role: SafetyNet, prometheus: {{query: c}}, target: {{type: Value, value: {target}}}}}\n\
             ceilings: {{connections: [{{name: db, inline: {{maxConnections: 10000000}}, perPod: 1, enforcement: Observe}}], scalability: \
             {{alpha: 0, beta: 1n}}}}\nheadroom: {{percent: 1000, replicas: 1000}}\n"
        );
        let policy = policy(&yaml);
        let now = Time::from_millis(seconds);
        let mut memory = Memory::default();
        for value in values {
            let answer = common::fresh(value);
            let mut workload = workload(20, now);
            workload.spec_replicas = spec;
            let observation = common::observation(workload, vec![answer.clone(), answer.clone(), answer]);
            let (decision, after) = decide(&policy, &observation, memory, now);
            memory = after;
            if let Some(write) = decision.write {
                prop_assert!((1..=100_000).contains(&write) || write <= spec);
            }
        }
    }
}
