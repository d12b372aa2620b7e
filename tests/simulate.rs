//! The simulation as a whole: what scales, on which load, comes to which figures.

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

use common::policy;
use plimsoll::simulate::{
    Database, Days, Load, Overload, PlantSettings, PolicyScaler, Run, Scaler, SensorSettings,
    ServiceSettings, Settings, Simulable, Trace, demand, generate, map, simulate,
};
use plimsoll::time::Span;

fn settings() -> Settings {
    let plant =
        PlantSettings { start_up: Span::from_seconds(60), drain: Span::ZERO, ..PlantSettings::default() };
    common::simulated(plant, 100.0, Span::from_seconds(5))
}

fn simulable(more: &str) -> Simulable {
    map(&policy(more), &[], &SensorSettings::default()).unwrap()
}

const EIGHTY: &str = "minReplicas: 1\nmaxReplicas: 100\nmetrics:\n- name: rps\n  prometheus: {query: a}\n  target: {type: AverageValue, averageValue: 80}\n  zero: Data\n";

fn run(settings: &Settings, load: &Load, more: &str) -> Run {
    let scaler = PolicyScaler::new(&simulable(more));
    simulate("policy", settings, load, &Scaler::Policy(Box::new(scaler)))
}

fn oracle(settings: &Settings, load: &Load) -> Run {
    simulate("oracle", settings, load, &Scaler::Oracle { min: 1, max: 100 })
}

#[test]
fn the_oracle_serves_everything_and_nobody_who_does_is_cheaper() {
    for name in ["business", "diurnal-hour"] {
        let load = Trace::named(name).unwrap().load().unwrap().first(Span::from_seconds(2 * 86_400));
        let load = load.clone().times(5000.0 / load.peak());
        let settings = settings();
        let best = oracle(&settings, &load);
        assert!(best.figures.unserved_percent < 1e-9, "{name}: {:?}", best.figures);
        assert!(best.figures.elasticity.under_provisioned_time < 1e-9);
        let fixed = simulate("static", &settings, &load, &Scaler::Static(50));
        assert!(
            fixed.figures.unserved_percent < 1e-9 && fixed.figures.replica_hours > best.figures.replica_hours
        );
        let policy = run(&settings, &load, EIGHTY);
        assert!(policy.figures.replica_hours > best.figures.replica_hours, "{name}");
        let busy: f64 = demand(&settings, &load, 1, 100).into_iter().map(f64::from).sum();
        let busy_hours = busy * settings.step.seconds() / 3600.0;
        assert!(best.figures.replica_hours >= busy_hours && best.figures.replica_hours < 1.2 * busy_hours);
    }
}

#[test]
fn a_peak_that_a_schedule_knows_is_served_from_its_first_second() {
    // A simulation begins at a midnight in UTC, which is one o'clock in Berlin.
    let load = generate("spike:base=300,peak=1500,at=2h,for=1h,length=4h,noise=0%", 1).unwrap();
    let known = "schedules: [{name: peak, start: 58 2 * * *, end: 0 4 * * *, timeZone: Europe/Berlin, minReplicas: 19}]\n";
    let without = run(&settings(), &load, EIGHTY);
    let with = run(&settings(), &load, &format!("{EIGHTY}{known}"));
    assert!(without.figures.unserved_percent > 0.05, "{:?}", without.figures);
    assert!(with.figures.unserved_percent < 1e-9, "{:?}", with.figures);
    let raised = with.events.iter().find(|event| event.to >= 19).unwrap();
    assert!((raised.seconds - 7080.0).abs() < 15.5, "{raised:?}");
    assert!(
        raised.message.contains("schedule peak keeps at least 19, until 2026-01-01T03:00:00Z"),
        "{raised:?}"
    );
    // An HPA beside it has no schedules.
    let hpa = PolicyScaler::hpa(&simulable(&format!("{EIGHTY}{known}")));
    let hpa = simulate("HPA", &settings(), &load, &Scaler::Policy(Box::new(hpa)));
    assert!(hpa.figures.unserved_percent > 0.05, "{:?}", hpa.figures);
}

#[test]
fn the_same_seed_gives_the_same_course_and_another_one_another() {
    let load = generate("spike:base=300,peak=1500,at=10m,for=20m,length=1h,noise=10%", 4).unwrap();
    let plant = |seed| PlantSettings { start_up_spread: 0.5, seed, ..settings().plant };
    let of = |seed| run(&Settings { plant: plant(seed), ..settings() }, &load, EIGHTY);
    assert_eq!(of(1), of(1));
    assert_ne!(of(1).figures, of(2).figures);
}

#[test]
fn a_step_is_unserved_for_as_long_as_it_takes_to_see_and_to_start() {
    let load = generate("step:from=400,to=800,at=10m,length=30m", 1).unwrap();
    let found = run(&settings(), &load, EIGHTY);
    let figures = found.figures;
    // 5 pods carry 500 of 800; the minute's mean passes 440 after 15 s, 15 s late, and pods take 60 s.
    let missed = figures.unserved_percent / 100.0 * load.mean() * 1800.0;
    assert!((300.0 * 75.0..300.0 * 150.0).contains(&missed), "{missed} {figures:?}");
    assert!((75.0..150.0).contains(&figures.slo_violation_seconds), "{figures:?}");
    let end = found.samples.last().unwrap();
    assert_eq!((end.replicas, end.demand), (10, 8));
    assert_eq!(figures.reversals, 0);
    assert!(found.events.iter().all(|event| event.to > event.from && !event.steps.is_empty()));
}

#[test]
fn work_that_waits_comes_late_and_work_that_is_dropped_is_lost() {
    let load = generate("spike:base=400,peak=900,at=10m,for=5m,length=1h", 1).unwrap();
    let queued = Settings {
        service: ServiceSettings { overload: Overload::Queued { patience: 60.0 }, ..settings().service },
        ..settings()
    };
    let (dropped, queued) = (run(&settings(), &load, EIGHTY).figures, run(&queued, &load, EIGHTY).figures);
    assert!(dropped.unserved_percent > 1.0 && dropped.late_percent < 1e-9, "{dropped:?}");
    assert!(queued.unserved_percent < dropped.unserved_percent, "{queued:?}");
    assert!(queued.late_percent > 1.0 && queued.worst_p99_latency_seconds > 5.0, "{queued:?}");
    assert!(queued.slo_violation_seconds >= dropped.slo_violation_seconds);
}

#[test]
fn connections_bind_and_an_hpa_that_knows_none_runs_past_them() {
    let ceiling = "ceilings: {connections: [{name: db, inline: {maxConnections: 120}, perPod: 10}]}\n";
    let load = generate("ramp:from=300,to=1500,at=10m,over=20m,length=1h", 1).unwrap();
    let behind = Settings { database: Some(Database { connections: 120, per_pod: 10 }), ..settings() };
    let more = format!("{EIGHTY}{ceiling}");
    let held = run(&behind, &load, &more);
    assert!(held.figures.ceiling_hits >= 1 && held.figures.ceiling_seconds > 600.0, "{:?}", held.figures);
    assert!(held.figures.peak_connections <= Some(120) && held.figures.over_connection_limit_seconds == 0.0);
    assert!(
        held.events.iter().any(|event| { event.limited_by.as_deref() == Some("database connections of db") })
    );
    let hpa = Scaler::Policy(Box::new(PolicyScaler::hpa(&simulable(&more))));
    let hpa = simulate("hpa", &behind, &load, &hpa).figures;
    assert!(hpa.peak_connections > Some(120) && hpa.over_connection_limit_seconds > 600.0, "{hpa:?}");
}

#[test]
fn hpa_on_cpu_holds_its_target() {
    let load = generate("constant:rate=1600,length=1h", 1).unwrap();
    let hpa = PolicyScaler::hpa_on_cpu(&simulable(EIGHTY), 80);
    let settings = Settings { initial_replicas: Some(30), ..settings() };
    let found = simulate("hpa", &settings, &load, &Scaler::Policy(Box::new(hpa)));
    // 1600 of 100 each at 80 % are 20 pods; 53 % of 30 pods are outside the tolerance.
    assert_eq!(found.samples.last().unwrap().replicas, 20);
    let settings = Settings { initial_replicas: Some(10), ..settings };
    let hpa = PolicyScaler::hpa_on_cpu(&simulable(EIGHTY), 80);
    let found = simulate("hpa", &settings, &load, &Scaler::Policy(Box::new(hpa)));
    // CPU never shows more than 100 %: it grows by a quarter at a time, and unready pods hold it in between.
    let counts: Vec<u32> = found.events.iter().map(|event| event.to).collect();
    assert_eq!(counts.first(), Some(&13));
    assert!(counts.last().is_some_and(|last| (19..=22).contains(last)), "{counts:?}");
    assert!(found.figures.slo_violation_seconds > 100.0, "{:?}", found.figures);
}

#[test]
fn figures_of_even_and_odd_days_add_up_to_those_of_all() {
    let load = Trace::named("smooth").unwrap().load().unwrap().first(Span::from_seconds(4 * 86_400));
    let load = load.clone().times(1000.0 / load.peak());
    let of = |days| run(&Settings { days, record: false, ..settings() }, &load, EIGHTY).figures;
    let (all, even, odd) = (of(Days::All), of(Days::Even), of(Days::Odd));
    assert!((all.replica_hours - even.replica_hours - odd.replica_hours).abs() < 1e-6);
    assert!((all.requests - even.requests - odd.requests).abs() < 1.0);
    assert!((even.days - 2.0).abs() < 1e-6 && (odd.days - 2.0).abs() < 1e-6);
    assert_eq!(all.scale_actions, even.scale_actions + odd.scale_actions);
}

#[test]
fn a_guard_holds_the_count_while_its_script_says_that_it_suffers() {
    let guarded = "guards:\n- {name: db-cpu, prometheus: {query: a}, threshold: 0.85, releaseThreshold: 0.7, action: BlockScaleUp, holdSeconds: 30, maxDurationSeconds: 3600}\n";
    let load = generate("step:from=400,to=1200,at=20m,length=1h", 1).unwrap();
    let script = generate("spike:base=0.5,peak=0.95,at=15m,for=20m,length=1h", 1).unwrap();
    let policy = policy(&format!("{EIGHTY}{guarded}"));
    let left_out = map(&policy, &[], &SensorSettings::default()).unwrap();
    assert!(left_out.notes.iter().any(|note| note.contains("--guard db-cpu=LOAD")), "{:?}", left_out.notes);
    let fault = left_out.clone().with_guards(&policy, &[("db".to_owned(), script.clone())]).unwrap_err();
    assert_eq!(fault, "the policy has no guard \"db\": it has db-cpu");
    let scripted = left_out.with_guards(&policy, &[("db-cpu".to_owned(), script)]).unwrap();
    assert!(scripted.notes.iter().all(|note| !note.contains("is left out")), "{:?}", scripted.notes);
    let run =
        simulate("guarded", &settings(), &load, &Scaler::Policy(Box::new(PolicyScaler::new(&scripted))));
    let replicas =
        |minute: f64| run.samples.iter().rfind(|sample| sample.seconds <= minute * 60.0).unwrap().replicas;
    assert_eq!((replicas(14.0), replicas(34.0), replicas(45.0)), (5, 5, 15), "{:?}", run.events);
    assert_eq!(run.events[0].limited_by.as_deref(), Some("guard db-cpu"), "{:?}", run.events);
}

#[test]
fn a_fitted_ceiling_is_learnt_from_the_simulated_service() {
    let fit = "ceilings:\n  scalability:\n    fit: {throughputQuery: a, readyReplicasQuery: b, utilizationQuery: c}\n    enforcement: Enforce\n";
    let rps = "minReplicas: 1\nmaxReplicas: 60\nmetrics:\n- name: rps\n  prometheus: {query: a}\n  target: {type: AverageValue, averageValue: 30}\n";
    let settings = Settings {
        service: ServiceSettings { scalability: Some((0.03, 0.0008)), ..settings().service },
        ..settings()
    };
    let load = generate("sine:low=150,high=1500,length=5d,noise=2%", 1).unwrap();
    let run = run(&settings, &load, &format!("{rps}{fit}"));
    let (first, last) = (run.samples[0].ceiling, run.samples.last().unwrap().ceiling.unwrap());
    println!("{first:?} {last} {:?}", run.figures);
    assert_eq!(first, Some(60), "nothing is known at first");
    // The law's peak lies at 34.8.
    assert!((20..=36).contains(&last), "{last}");
}
