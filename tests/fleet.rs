//! Several policies that share a budget, in one simulation.

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
use plimsoll::control::Policy;
use plimsoll::simulate::{
    Load, Member, PlantSettings, PolicyScaler, Scaler, SensorSettings, Settings, Simulable, fleet_trade_off,
    generate, map, shares, simulate, simulate_fleet,
};
use plimsoll::time::Span;

/// A policy that gives each replica 100 requests a second and draws ten connections a pod.
fn sharing(guaranteed: u32) -> Policy {
    policy(&format!(
        "ceilings: {{connections: [{{name: db, budgetRef: {{name: db}}, perPod: 10, guaranteedReplicas: {guaranteed}}}]}}\n"
    ))
}

fn simulable(policy: &Policy) -> Simulable {
    map(policy, &[], &SensorSettings::default()).unwrap()
}

fn settings() -> Settings {
    let plant = PlantSettings { drain: Span::from_seconds(5), ..PlantSettings::default() };
    common::simulated(plant, 125.0, Span::from_seconds(1))
}

fn member(name: &str, scaler: PolicyScaler, load: &str) -> Member {
    let load: Load = generate(load, 1).unwrap();
    let draws = Member::draws_of(&sharing(2));
    Member { name: name.to_owned(), settings: settings(), load, scaler, draws }
}

/// One service is busy first, then both are, then the other.
fn pair(scaler: impl Fn(&Simulable) -> PolicyScaler) -> Vec<Member> {
    let simulable = simulable(&sharing(2));
    vec![
        member("early", scaler(&simulable), "spike:base=300,peak=2500,at=10m,for=40m,length=2h"),
        member("late", scaler(&simulable), "spike:base=300,peak=2500,at=30m,for=60m,length=2h"),
    ]
}

fn budget(connections: u32) -> Vec<(String, u32)> {
    vec![("db".to_owned(), connections)]
}

#[test]
fn what_one_does_not_need_is_lent_to_the_other_and_the_sum_is_never_exceeded() {
    let (runs, budgets) = simulate_fleet(&pair(PolicyScaler::new), &budget(400));
    println!("{budgets:#?}");
    assert!(budgets[0].peak_connections <= 400 && budgets[0].peak_granted <= 400, "{budgets:?}");
    assert!(budgets[0].over_limit_seconds < 1e-9, "{budgets:?}");
    assert!(budgets[0].recalls > 0, "the first has to give back what the second needs: {budgets:?}");
    for run in &runs {
        println!("{} {:?}", run.name, run.figures);
        // Beside an equal, half of the budget would carry less than its ten replicas' worth of a rollout.
        assert!(run.figures.peak_replicas > 10, "{}: {:?}", run.name, run.figures);
        assert!(run.figures.ceiling_hits > 0, "{}: {:?}", run.name, run.figures);
    }
    assert_eq!(simulate_fleet(&pair(PolicyScaler::new), &budget(400)), (runs, budgets), "the same again");
}

#[test]
fn under_an_hpas_rules_the_same_services_pass_the_budget() {
    let (runs, budgets) = simulate_fleet(&pair(PolicyScaler::hpa), &budget(200));
    assert!(budgets[0].peak_connections > 200 && budgets[0].over_limit_seconds > 600.0, "{budgets:?}");
    assert_eq!(budgets[0].peak_granted, 0);
    assert!(runs[0].figures.unserved_percent > 1.0, "{:?}", runs[0].figures);
}

#[test]
fn alone_with_plenty_a_service_runs_as_without_a_fleet() {
    let (policy, load) = (sharing(2), "spike:base=300,peak=1500,at=10m,for=20m,length=1h");
    let simulable = simulable(&policy);
    let scaler = PolicyScaler::new(&simulable);
    let (runs, _) = simulate_fleet(&[member("alone", scaler.clone(), load)], &budget(100_000));
    let settings = Settings { shares: shares(&policy, &budget(100_000)).unwrap(), ..settings() };
    let plain = simulate("alone", &settings, &generate(load, 1).unwrap(), &Scaler::Policy(Box::new(scaler)));
    assert_eq!(runs[0].figures.peak_replicas, plain.figures.peak_replicas);
    let apart = (runs[0].figures.replica_hours / plain.figures.replica_hours - 1.0).abs();
    assert!(apart < 0.02, "a grant comes a moment after it is asked for: {apart}");
}

#[test]
fn the_course_of_a_budget_tells_its_figures() {
    let with_record = |record: bool| -> Vec<Member> {
        let with = |member: Member| Member { settings: Settings { record, ..member.settings }, ..member };
        pair(PolicyScaler::new).into_iter().map(with).collect()
    };
    let members = with_record(true);
    let (runs, budgets) = simulate_fleet(&members, &budget(400));
    let course = &budgets[0].course;
    let all = |held: &plimsoll::simulate::Held| held.wanted.iter().sum::<u32>();
    assert_eq!(course.iter().map(all).max(), Some(budgets[0].peak_connections));
    assert_eq!(course.iter().map(|held| held.granted).max(), Some(budgets[0].peak_granted));
    assert!(course.iter().all(|held| held.wanted.len() == 2 && all(held) <= 400), "{course:?}");
    assert!(course.windows(2).all(|pair| pair[0].seconds < pair[1].seconds && pair[0].wanted.len() == 2));
    let held: Vec<_> = runs[0].samples.iter().filter(|sample| sample.limited).collect();
    assert!(!held.is_empty());
    for sample in held {
        assert_eq!(
            sample.ceiling,
            Some(sample.replicas),
            "what a grant holds is drawn at its ceiling: {sample:?}"
        );
    }
    let (_, plain) = simulate_fleet(&with_record(false), &budget(400));
    assert!(plain[0].course.is_empty(), "nobody asked for it");
}

#[test]
fn tuning_several_weighs_the_cost_of_all_against_the_one_that_fares_worst() {
    let simulable = simulable(&sharing(2));
    let tuned = |connections: u32, tolerated: f64| {
        let loads = [
            "sine:low=300,high=2500,period=30m,noise=10%,length=1h",
            "sine:low=200,high=800,period=1h,length=1h",
        ];
        let members: Vec<_> = ["busy", "calm"]
            .into_iter()
            .zip(loads)
            .map(|(name, load)| (member(name, PolicyScaler::new(&simulable), load), simulable.clone()))
            .collect();
        let mut told = Vec::new();
        let found =
            fleet_trade_off(&members, &budget(connections), tolerated, |done, all| told.push((done, all)));
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 == pair[1].1), "{told:?}");
        assert!(told.iter().all(|(done, all)| done < all), "{told:?}");
        found
    };
    let found = tuned(2000, 0.5);
    let front: Vec<_> =
        found.front.iter().map(|candidate| (candidate.replica_hours(), candidate.missed())).collect();
    println!("{front:?}");
    assert!(front.len() >= 2 && front.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 > pair[1].1));
    let best = found.best.unwrap();
    let common = found.front.iter().find(|candidate| candidate.missed() <= 0.5).unwrap();
    println!("{:?} {} beside {}", best.aims, best.replica_hours(), common.replica_hours());
    assert!(
        best.missed() <= 0.5 && best.replica_hours() < common.replica_hours(),
        "the calm one needs less room"
    );
    assert!(best.aims.len() == 2 && best.judged.is_none(), "an hour has no other days: {best:?}");
    assert!(best.over_limit_seconds < 1e-9, "what is tuned shares the budget as well");
    assert_eq!(tuned(100, 0.1).best, None, "what a budget holds no target mends");
}

#[test]
fn nobody_is_no_fleet() {
    assert_eq!(simulate_fleet(&[], &budget(10)), (Vec::new(), Vec::new()));
}
