//! Forecasts: floors ahead of what comes again, and nothing but floors.

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

use common::{answered, fresh, observation, workload};
use plimsoll::control::{
    ConditionStatus, ConditionType, Decision, ForecastPhase, Foreseen, Limit, Memory, Observation, Policy,
    Reason, StepName, decide,
};
use plimsoll::forecast::{Accuracy, Model, Outlook, Peak, Standing, Unforeseen, UnforeseenKind, Verdict};
use plimsoll::number::{count_of, from_count};
use plimsoll::signal::{Answer, Moments};
use plimsoll::simulate::{
    Load, PlantSettings, PolicyScaler, Run, Scaler, SensorSettings, Settings, Trace, map, simulate,
};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

const ACTS: &str = "forecast: {mode: ForecastAndScale}\n";
const STEP: Span = Span::from_seconds(300);
const NOW: Time = Time::from_seconds(1_795_000_000);

fn policy(more: &str) -> Policy {
    common::policy(&format!("minReplicas: 2\n{more}"))
}

fn outlook(verdict: Verdict, first: Time, upper: &[f64]) -> Outlook {
    Outlook {
        standing: Standing {
            model: Model::Mstl,
            seasons: vec![Span::from_seconds(86_400)],
            fitted: first,
            observed: Span::from_seconds(14 * 86_400),
            peak: Peak { at: first + STEP.times(20), replicas: 33.0 },
            accuracy: Some(Accuracy {
                error: 0.062,
                naive_error: 0.184,
                missed: 0.11,
                allowed: 0.1,
                moments: 288,
            }),
            verdict,
        },
        moments: Moments { first, step: STEP, count: count_of(upper.len()) },
        expected: upper.to_vec(),
        upper: upper.to_vec(),
    }
}

fn foreseen(outlook: Outlook) -> Vec<Foreseen> {
    vec![Foreseen { metric: "rps".to_owned(), outlook: Some(outlook), fault: None }]
}

/// Need in the hour before and the hours after now: eight, and soon twenty.
fn rising(verdict: Verdict) -> Vec<Foreseen> {
    let upper: Vec<f64> = (0..48).map(|step| if step < 13 { 8.0 } else { 19.4 }).collect();
    foreseen(outlook(verdict, NOW - STEP.times(12), &upper))
}

fn told(replicas: u32, load: Option<f64>, forecasts: Vec<Foreseen>) -> Observation {
    let reading = load.map_or_else(|| answered(Answer::NoSeries), fresh);
    Observation { forecasts, guards: vec![fresh(0.9)], ..observation(workload(replicas, NOW), vec![reading]) }
}

/// The first decision on a workload of so many replicas with a load that needs `load` / 100.
fn decided(policy: &Policy, replicas: u32, load: Option<f64>, forecasts: Vec<Foreseen>) -> Decision {
    decide(policy, &told(replicas, load, forecasts), Memory::default(), NOW).0
}

fn worth(decision: &Decision) -> (ConditionStatus, Reason, &str) {
    let of = |kind| decision.conditions.iter().find(|condition| condition.kind == kind);
    let condition = of(ConditionType::ForecastAccurate).expect("the forecast is judged");
    (condition.status, condition.reason, &condition.message)
}

#[test]
fn a_forecast_raises_the_count_by_the_time_that_pods_take_to_start_and_says_so() {
    // Twenty are needed at NOW + 300 s, 19.4 of them to be exact; the step that is told next counts in any case.
    for (what, at, replicas) in [
        ("an hour before", NOW - STEP.times(11), 8),
        ("before", NOW - Span::from_seconds(400), 8),
        ("in time", NOW, 20),
    ] {
        let seen =
            Observation { readings: vec![fresh(800.0)], ..told(8, Some(800.0), rising(Verdict::Trusted)) };
        let decision = decide(&policy(ACTS), &seen, Memory::default(), at).0;
        assert_eq!(decision.desired, Some(replicas), "{what}: {:#?}", decision.forecasts);
    }
    let decision = decided(&policy(ACTS), 8, Some(800.0), rising(Verdict::Trusted));
    assert_eq!(
        decision.message,
        "8 → 20: the forecast of rps keeps at least 20: 2026-11-18T11:11:40Z takes 20"
    );
    let floor = decision.steps.iter().find(|step| step.step == StepName::Floor).unwrap();
    assert_eq!((floor.before, floor.after, floor.reason), (8, 20, Reason::Forecast));
    let report = &decision.forecasts[0];
    assert_eq!((report.phase, report.replicas), (ForecastPhase::Acting, Some(20)));
    assert_eq!(
        worth(&decision),
        (
            ConditionStatus::True,
            Reason::ForecastAccurate,
            "rps comes again after 24 h; over the last day forecasts were off by 6.2 %, what anybody could say by 18.4 %, and \
             11 % of the time load passed the 90th percentile"
        )
    );
    let earlier = policy("forecast: {mode: ForecastAndScale, schedulingBufferSeconds: 3600}\n");
    let decision = decide(
        &earlier,
        &told(8, Some(800.0), rising(Verdict::Trusted)),
        Memory::default(),
        NOW - STEP.times(11),
    )
    .0;
    assert_eq!(decision.desired, Some(20), "the buffer looks an hour further");
}

#[test]
fn without_a_forecast_that_may_be_trusted_nothing_changes_and_the_reason_is_named() {
    use ConditionStatus::{False, True, Unknown};
    let fault = |kind: UnforeseenKind| {
        vec![Foreseen {
            metric: "rps".to_owned(),
            outlook: None,
            fault: Some(Unforeseen::new(kind, "it is away")),
        }]
    };
    let old = || foreseen(outlook(Verdict::Trusted, NOW - STEP.times(60), &[30.0; 48]));
    let odd =
        foreseen(outlook(Verdict::Trusted, NOW - STEP, &[f64::NAN, f64::INFINITY, -7.0, f64::NEG_INFINITY]));
    let other = vec![Foreseen { metric: "cpu".to_owned(), ..rising(Verdict::Trusted)[0].clone() }];
    let only = "forecast: {}\n";
    for (what, more, forecasts, status, reason) in [
        ("only shown", only, rising(Verdict::Trusted), True, Reason::ForecastAccurate),
        ("unproven", ACTS, rising(Verdict::Unproven), Unknown, Reason::ForecastUnproven),
        ("no better", ACTS, rising(Verdict::NoBetterThanNaive), False, Reason::ForecastNoBetterThanNaive),
        ("far off", ACTS, rising(Verdict::TooFarOff), False, Reason::ForecastTooFarOff),
        ("missed", ACTS, rising(Verdict::MissedTooOften), False, Reason::ForecastMissedTooOften),
        ("not read yet", ACTS, Vec::new(), Unknown, Reason::ForecastPending),
        ("unreadable", ACTS, fault(UnforeseenKind::Unreadable), Unknown, Reason::ForecastHistoryUnreadable),
        ("too short", ACTS, fault(UnforeseenKind::TooShort), Unknown, Reason::ForecastHistoryTooShort),
        ("gaps", ACTS, fault(UnforeseenKind::TooManyGaps), Unknown, Reason::ForecastHistoryGaps),
        ("no season", ACTS, fault(UnforeseenKind::NoSeason), Unknown, Reason::NoSeasonFound),
        ("run out", ACTS, old(), Unknown, Reason::ForecastPending),
        ("no numbers", ACTS, odd, Unknown, Reason::ForecastPending),
        ("of another metric", ACTS, other, Unknown, Reason::ForecastPending),
    ] {
        let plain = decided(&policy(""), 8, Some(800.0), Vec::new());
        let decision = decided(&policy(more), 8, Some(800.0), forecasts);
        assert_eq!((decision.desired, &decision.steps), (plain.desired, &plain.steps), "{what}");
        let worth = worth(&decision);
        assert_eq!((worth.0, worth.1), (status, reason), "{what}: {}", worth.2);
    }
    let shown = decided(&policy(only), 8, Some(800.0), rising(Verdict::Trusted));
    assert_eq!((shown.forecasts[0].phase, shown.forecasts[0].replicas), (ForecastPhase::Shown, Some(20)));
    let stale = vec![Foreseen {
        fault: fault(UnforeseenKind::Unreadable)[0].fault.clone(),
        ..rising(Verdict::Trusted)[0].clone()
    }];
    let decision = decided(&policy(ACTS), 8, Some(800.0), stale);
    assert_eq!(decision.desired, Some(20), "what was foreseen holds until it has run out");
    assert!(worth(&decision).2.ends_with("; no newer forecast: it is away"), "{}", worth(&decision).2);
}

#[test]
fn a_forecast_bows_to_what_stands_above_floors_and_to_nothing_below() {
    let ceiling = |replicas: u32| {
        format!(
            "ceilings: {{connections: [{{name: db, inline: {{maxConnections: {}}}, perPod: 4, rolloutOverlap: 0}}]}}\n",
            4 * (replicas + replicas.div_ceil(4))
        )
    };
    let guard = "guards: [{name: db-cpu, prometheus: {query: q}, threshold: \"0.85\", holdSeconds: 0, action: BlockScaleUp}]\n";
    for (what, more, from, load, to) in [
        ("demand below", String::new(), 8, Some(800.0), 20),
        ("demand above", String::new(), 24, Some(2400.0), 24),
        ("no signal", String::new(), 8, None, 20),
        ("a ceiling", ceiling(12), 8, Some(800.0), 12),
        ("a guard", guard.to_owned(), 8, Some(800.0), 8),
        ("maxReplicas", "maxReplicas: 15\n".to_owned(), 8, Some(800.0), 15),
        ("paused growth", "paused: [ScaleUp]\n".to_owned(), 8, Some(800.0), 8),
        ("a larger schedule", "schedules: [{name: s, startTime: 2026-11-01T00:00:00Z, durationSeconds: 2600000, minReplicas: 30}]\n".to_owned(), 8, Some(800.0), 30),
        ("an emergency", "emergencyMax: {replicas: 5}\n".to_owned(), 8, Some(800.0), 5),
        ("frozen", "mode: Frozen\nfrozen: {replicas: 4}\n".to_owned(), 8, Some(800.0), 4),
    ] {
        let decision = decided(&policy(&format!("{ACTS}{more}")), from, load, rising(Verdict::Trusted));
        assert_eq!(decision.desired, Some(to), "{what}: {:#?}", decision.steps);
    }
    let held = decided(&policy(&format!("{ACTS}{}", ceiling(12))), 8, Some(800.0), rising(Verdict::Trusted));
    assert_eq!((held.limited_by, held.unmet), (Some(Limit::Connections("db".to_owned())), 8));
    let capped =
        decided(&policy(&format!("{ACTS}maxReplicas: 15\n")), 8, Some(800.0), rising(Verdict::Trusted));
    assert_eq!(
        (capped.unmet, capped.message.as_str()),
        (
            0,
            "8 → 15: the forecast of rps keeps at least 15: 2026-11-18T11:11:40Z takes 20, and maxReplicas is 15"
        )
    );
}

#[test]
fn of_several_metrics_the_largest_forecast_counts_and_one_can_be_chosen() {
    let metrics = "metrics:\n- {name: rps, prometheus: {query: a}, target: {type: AverageValue, averageValue: 100}}\n- {name: jobs, \
                   prometheus: {query: b}, target: {type: AverageValue, averageValue: 10}}\n- {name: cpu, prometheus: {query: c}, target: \
                   {type: Utilization, averageUtilization: 70}}\n";
    let both: Vec<Foreseen> = [("rps", 12.0), ("jobs", 17.0), ("cpu", 40.0)]
        .map(|(metric, need)| Foreseen {
            metric: metric.to_owned(),
            ..foreseen(outlook(Verdict::Trusted, NOW - STEP, &[need; 12]))[0].clone()
        })
        .to_vec();
    for (forecast, desired, reports) in [
        ("forecast: {mode: ForecastAndScale}\n", 17, 2),
        ("forecast: {mode: ForecastAndScale, metric: rps}\n", 12, 1),
    ] {
        let policy = policy(&format!("{metrics}{forecast}"));
        let seen = Observation {
            readings: vec![fresh(800.0), fresh(80.0), fresh(50.0)],
            ..told(8, None, both.clone())
        };
        let decision = decide(&policy, &seen, Memory::default(), NOW).0;
        assert_eq!((decision.desired, decision.forecasts.len()), (Some(desired), reports), "{forecast}");
    }
}

#[test]
fn what_cannot_be_forecast_is_refused_with_what_to_write() {
    let refused = |more: &str| {
        let error = Policy::compile(&common::spec(more)).unwrap_err();
        error.to_string()
    };
    let cpu = "metrics: [{name: cpu, prometheus: {query: c}, target: {type: Utilization, averageUtilization: 70}}]\n";
    for (more, words) in [
        (
            format!("{cpu}forecast: {{}}\n"),
            "name in forecast.metric a Leading metric with an AverageValue target",
        ),
        ("forecast: {metric: p99}\n".to_owned(), "name in forecast.metric a Leading metric"),
        ("forecast: {seasonSeconds: 60}\n".to_owned(), "forecast.seasonSeconds: write 3600 to 1209600"),
        ("forecast: {historyDays: 90}\n".to_owned(), "forecast.historyDays: write 2 to 28"),
        ("forecast: {percentile: 100}\n".to_owned(), "forecast.percentile: write 50 to 99"),
        (
            "forecast: {historyDays: 3, seasonSeconds: 604800}\n".to_owned(),
            "seasonSeconds is longer than historyDays",
        ),
    ] {
        assert!(refused(&more).contains(words), "{more}: {}", refused(&more));
    }
}

proptest! {
    /// Whatever is foreseen, no fewer pods are wanted than without it, no limit is passed, and a recording decides the same.
    #[test]
    fn a_forecast_only_ever_raises_and_never_past_a_limit(
        replicas in 1_u32..60,
        load in 0.0..6000.0_f64,
        upper in proptest::collection::vec(prop_oneof![8 => 0.0..80.0_f64, 1 => any::<f64>()], 0..48),
        before in 0_u64..60,
        verdict in prop_oneof![4 => Just(Verdict::Trusted), 1 => Just(Verdict::TooFarOff)],
        connections in 20_u32..400,
        paused in any::<bool>(),
    ) {
        let more = format!(
            "ceilings: {{connections: [{{name: db, inline: {{maxConnections: {connections}}}, perPod: 4, rolloutOverlap: 0}}]}}\n{}",
            if paused { "paused: [ScaleUp]\n" } else { "" }
        );
        let forecasts = foreseen(outlook(verdict, NOW - STEP.times(before), &upper));
        let acting = policy(&format!("{ACTS}{more}"));
        let without = decided(&policy(&more), replicas, Some(load), Vec::new());
        let seen = told(replicas, Some(load), forecasts);
        let with = decide(&acting, &seen, Memory::default(), NOW).0;
        prop_assert!(with.desired >= without.desired, "{with:#?}");
        if verdict != Verdict::Trusted {
            prop_assert_eq!(with.desired, without.desired);
        }
        if let Some(write) = with.write.filter(|write| *write > replicas) {
            prop_assert!(write <= with.effective_max && write <= acting.max);
        }
        if upper.iter().all(|value| value.is_finite()) {
            let recorded: Observation = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
            prop_assert_eq!(decide(&acting, &recorded, Memory::default(), NOW).0, with);
        }
    }
}

// What it gains and costs, learnt online from nothing in a simulation.

const CAPACITY: f64 = 100.0;

fn settings() -> Settings {
    let plant =
        PlantSettings { start_up: Span::from_seconds(180), drain: Span::ZERO, ..PlantSettings::default() };
    Settings { record: false, ..common::simulated(plant, CAPACITY, Span::from_seconds(15)) }
}

fn run(more: &str, load: &Load) -> Run {
    let yaml = format!(
        "minReplicas: 1\nmaxReplicas: 200\nmetrics: [{{name: rps, zero: Data, prometheus: {{query: rps}}, target: {{type: AverageValue, \
         averageValue: {CAPACITY}}}}}]\n{more}"
    );
    let simulable = map(&common::policy(&yaml), &[], &SensorSettings::default()).unwrap();
    simulate("", &settings(), load, &Scaler::Policy(Box::new(PolicyScaler::new(&simulable))))
}

/// No headroom and no trend: what is left is what a forecast does.
const BARE: &str =
    "headroom: {calibrated: {enforcement: Observe}, leadCompensation: {enforcement: Observe}}\n";

fn bursts() -> Load {
    // Ten minutes before nine each day load doubles within five minutes, and falls back at ten.
    let minute = |at: u32| {
        let of_day = f64::from(at % 1440);
        let share = ((of_day - 530.0) / 5.0).clamp(0.0, 1.0) - ((of_day - 600.0) / 30.0).clamp(0.0, 1.0);
        CAPACITY * (10.0 + 10.0 * share)
    };
    Load::of(Span::from_seconds(60), (0..6 * 1440).map(minute))
}

#[test]
fn pods_are_there_when_the_same_hour_comes_again_and_hardly_any_are_there_without_need() {
    let load = bursts();
    let without = run(BARE, &load);
    let with = run(&format!("{BARE}{ACTS}"), &load);
    // Of six days the first four or so teach; the rest is met before it comes.
    println!(
        "unserved {:.3} % → {:.3} %, replica-hours {:.1} → {:.1}",
        without.figures.unserved_percent,
        with.figures.unserved_percent,
        without.figures.replica_hours,
        with.figures.replica_hours
    );
    assert!(with.figures.unserved_percent < 0.8 * without.figures.unserved_percent);
    assert!(with.figures.replica_hours < 1.03 * without.figures.replica_hours);
}

#[test]
fn on_noise_a_forecast_adds_at_most_a_hundredth_of_need() {
    let noise = |at: u32| {
        let mixed = u64::from(at).wrapping_add(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        f64::from(u32::try_from((mixed ^ (mixed >> 32)) >> 40).unwrap()) / f64::from(1 << 23) - 1.0
    };
    let load = Load::of(Span::from_seconds(60), (0..4 * 1440).map(|at| CAPACITY * (20.0 + 3.0 * noise(at))));
    for forecast in [ACTS, "forecast: {mode: ForecastAndScale, seasonSeconds: 86400}\n"] {
        let (without, with) = (run(BARE, &load), run(&format!("{BARE}{forecast}"), &load));
        let more = with.figures.replica_hours / without.figures.replica_hours - 1.0;
        assert!(more.abs() < 0.01, "{forecast}: {more}");
    }
}

/// Takes minutes: run with `--run-ignored only --no-capture` to see what a forecast gains on a real load with a daily season.
#[test]
#[ignore = "minutes of fits"]
fn what_a_forecast_gains_on_real_loads() {
    for name in ["smooth", "business"] {
        let load = Trace::named(name).unwrap().load().unwrap();
        let peak = load.peak();
        let load = load.times(50.0 * CAPACITY / peak).first(Span::from_seconds(9 * 86_400));
        for (what, more) in [("default", ""), ("bare", BARE)] {
            let (without, with) = (run(more, &load), run(&format!("{more}{ACTS}"), &load));
            assert!(with.figures.unserved_percent <= without.figures.unserved_percent, "{name}, {what}");
            println!(
                "{name}, {what}: unserved {:.4} % → {:.4} %, replica-hours {:.1} → {:.1} ({:+.2} %), {} days",
                without.figures.unserved_percent,
                with.figures.unserved_percent,
                without.figures.replica_hours,
                with.figures.replica_hours,
                (with.figures.replica_hours / without.figures.replica_hours - 1.0) * 100.0,
                from_count(count_of(usize::try_from(load.span().rounded_seconds() / 86_400).unwrap())),
            );
        }
    }
}
