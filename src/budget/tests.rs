use std::collections::BTreeMap;

use super::*;
use crate::api::RolloutOverlap;
use crate::ceiling::connections::RolloutShape;
use crate::control::UpdateStrategy;
use crate::time::{Span, Time};

const NOW: Time = Time::from_seconds(1_790_000_000);

fn at(seconds: i64) -> Time {
    Time::from_seconds(1_790_000_000 + seconds)
}

fn workload(name: &str) -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        name: name.to_owned(),
    }
}

/// A workload without surge, so that its reach is its replicas' connections.
fn claim(guaranteed: u32, wanted: u32, draws: &[(&str, u32, u32)]) -> Claim {
    Claim {
        shape: RolloutShape {
            update: UpdateStrategy::Replace,
            termination_grace: Span::from_seconds(30),
            drain: None,
            start_up: None,
        },
        guaranteed,
        least: 0,
        wanted,
        movable: true,
        fixed: "",
        draws: draws
            .iter()
            .map(|(budget, per_pod, weight)| Draw {
                budget: (*budget).to_owned(),
                per_pod: *per_pod,
                overlap: RolloutOverlap::Pods(0),
                weight: *weight,
                enforced: true,
            })
            .collect(),
    }
}

fn limit(connections: u32) -> LimitSeen {
    LimitSeen {
        limit: Some(connections),
        for_growth: connections,
        for_recall: connections,
        ..LimitSeen::default()
    }
}

fn ledger(connections: u32) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.open("db", BTreeMap::new(), Lending::default(), NOW);
    ledger.set_limit("db", limit(connections), Lending::default());
    ledger
}

fn see(ledger: &mut Ledger, name: &str, guaranteed: u32, wanted: u32, spec: u32, now: Time) {
    let sight = Sight { uid: 1, spec, beside: 0, pods: 0 };
    ledger.see(&workload(name), claim(guaranteed, wanted, &[("db", 10, 1)]), sight, now);
}

/// Plans, persists, and tells the plan.
fn turn(ledger: &mut Ledger, now: Time) -> Plan {
    let plan = ledger.plan(now)["db"].clone();
    if plan.changes {
        ledger.intend("db", &plan);
        ledger.acknowledge("db");
    }
    plan
}

fn granted(ledger: &Ledger, name: &str, now: Time) -> u32 {
    ledger.share(&workload(name), "db", now).unwrap().granted
}

fn shares(available: &[(&str, u32)], claims: &[(&str, Claim)]) -> (Vec<u32>, bool) {
    let available = available.iter().map(|(name, room)| ((*name).to_owned(), *room)).collect();
    let claims: BTreeMap<_, _> = claims.iter().map(|(name, claim)| (workload(name), claim)).collect();
    let filling = fill(&available, &claims);
    (filling.targets.into_values().collect(), filling.infeasible.is_empty())
}

#[test]
fn shares_are_weighted_max_min() {
    // anchors: B = 380, demand 40, 200, 300, weights 1, 1, 2: 40, 113.3, 226.7.
    let claims = [
        ("a", claim(0, 40, &[("db", 1, 1)])),
        ("b", claim(0, 200, &[("db", 1, 1)])),
        ("c", claim(0, 300, &[("db", 1, 2)])),
    ];
    assert_eq!(shares(&[("db", 380)], &claims), (vec![40, 113, 227], true));
}

#[test]
fn floors_come_first_and_what_does_not_fit_is_shared_by_weight() {
    let floors = [("a", claim(6, 20, &[("db", 10, 1)])), ("b", claim(10, 10, &[("db", 10, 1)]))];
    assert_eq!(shares(&[("db", 170)], &floors), (vec![7, 10], true));
    assert_eq!(shares(&[("db", 160)], &floors), (vec![6, 10], true));
    let heavy = [("a", claim(9, 20, &[("db", 10, 2)])), ("b", claim(9, 10, &[("db", 10, 1)]))];
    assert_eq!(shares(&[("db", 90)], &heavy), (vec![6, 3], false));
}

#[test]
fn a_workload_gets_a_replica_in_all_its_budgets_or_in_none() {
    let claims =
        [("a", claim(1, 50, &[("db", 10, 1), ("pool", 1, 1)])), ("b", claim(1, 50, &[("db", 10, 1)]))];
    assert_eq!(shares(&[("db", 300), ("pool", 5)], &claims), (vec![5, 25], true));
    assert_eq!(
        shares(&[("db", 300)], &claims),
        (vec![0, 30], false),
        "a budget that is not there gives nothing"
    );
}

#[test]
fn growth_begins_only_under_a_persisted_grant() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 1, 8, 2, NOW);
    let to = |spec| Sight { uid: 1, spec, beside: 0, pods: 0 };
    let refused = ledger.begin(&workload("a"), to(3), NOW).unwrap_err();
    assert_eq!((refused.reach, refused.granted), (30, 0));
    let plan = ledger.plan(NOW)["db"].clone();
    assert!(plan.changes && plan.raises);
    ledger.intend("db", &plan);
    assert!(ledger.begin(&workload("a"), to(3), NOW).is_err(), "sent is not persisted");
    ledger.acknowledge("db");
    assert_eq!(ledger.begin(&workload("a"), to(8), NOW), Ok(()));
    assert!(ledger.begin(&workload("a"), to(9), NOW).is_err());
}

#[test]
fn what_a_running_workload_reaches_is_its_own_and_asks_for_no_proof() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 1, 8, 8, NOW);
    let plan = turn(&mut ledger, NOW);
    assert!(plan.changes && !plan.raises);
    assert_eq!(granted(&ledger, "a", NOW), 80);
}

#[test]
fn nothing_is_given_on_before_it_has_gone_and_lingered() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 10, 10, NOW);
    turn(&mut ledger, NOW);
    assert_eq!(granted(&ledger, "a", NOW), 100);
    // b comes with a floor of 4: a is asked back at once, although its lease is young.
    see(&mut ledger, "b", 4, 4, 0, at(1));
    turn(&mut ledger, at(1));
    let share = ledger.share(&workload("a"), "db", at(1)).unwrap();
    assert_eq!(share, Share { granted: 60, excess: 0, standing: Standing::Recalled { deadline: at(301) } });
    turn(&mut ledger, at(2));
    assert_eq!(granted(&ledger, "b", at(2)), 0, "a's pods still hold all of it");
    // a walks down: its pods end.
    for (second, spec, beside) in [(10, 8, 2), (20, 6, 4), (30, 6, 2), (40, 6, 0)] {
        let sight = Sight { uid: 1, spec, beside, pods: spec + beside };
        ledger.see(&workload("a"), claim(2, 10, &[("db", 10, 1)]), sight, at(second));
        turn(&mut ledger, at(second));
        assert_eq!(granted(&ledger, "b", at(second)), 0, "{second} s");
    }
    for (second, expected) in [(45, 20), (50, 20), (51, 40)] {
        see(&mut ledger, "a", 2, 10, 6, at(second));
        turn(&mut ledger, at(second));
        assert_eq!(granted(&ledger, "b", at(second)), expected, "{second} s");
    }
    assert_eq!(ledger.share(&workload("a"), "db", at(51)).unwrap().standing, Standing::Held);
}

#[test]
fn a_growth_whose_outcome_is_unclear_is_charged_until_it_can_no_longer_land() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 1, 10, 2, NOW);
    turn(&mut ledger, NOW);
    ledger.begin(&workload("a"), Sight { uid: 1, spec: 10, beside: 0, pods: 0 }, NOW).unwrap();
    ledger.end(&workload("a"), Outcome::Unknown(at(30)), at(5));
    for (second, held, why) in [
        (6, 100, "it may land yet"),
        (29, 100, "long after what it would have held had lingered"),
        (31, 100, "it lingers"),
        (42, 20, "it can no longer land"),
    ] {
        see(&mut ledger, "a", 1, 2, 2, at(second));
        assert_eq!(ledger.held(&workload("a"), "db", at(second)), held, "{why}");
    }
}

#[test]
fn a_lease_keeps_what_was_lent_from_those_who_only_want_more() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 8, 8, NOW);
    turn(&mut ledger, NOW);
    see(&mut ledger, "b", 2, 8, 2, at(10));
    turn(&mut ledger, at(10));
    assert_eq!(granted(&ledger, "a", at(10)), 80, "lent a moment ago");
    see(&mut ledger, "a", 2, 8, 8, at(121));
    see(&mut ledger, "b", 2, 8, 2, at(121));
    turn(&mut ledger, at(121));
    assert_eq!(granted(&ledger, "a", at(121)), 50, "its fair share");
}

#[test]
fn nobody_is_asked_back_while_nobody_waits() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 8, 8, NOW);
    see(&mut ledger, "b", 1, 2, 2, NOW);
    turn(&mut ledger, NOW);
    see(&mut ledger, "a", 2, 3, 3, at(1000));
    let plan = ledger.plan(at(1000))["db"].clone();
    assert!(!plan.changes, "{plan:?}");
}

#[test]
fn a_limit_that_fell_is_shared_anew_at_once() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 5, 5, NOW);
    see(&mut ledger, "b", 2, 5, 5, NOW);
    turn(&mut ledger, NOW);
    ledger.set_limit("db", limit(60), Lending::default());
    let plan = turn(&mut ledger, at(1));
    assert_eq!((granted(&ledger, "a", at(1)), granted(&ledger, "b", at(1))), (30, 30));
    assert_eq!(plan.overcommitted, 40);
    let suspect = LimitSeen { for_recall: 60, ..limit(10) };
    ledger.set_limit("db", suspect, Lending::default());
    turn(&mut ledger, at(2));
    assert_eq!(granted(&ledger, "a", at(2)), 30, "one reading asks nothing back");
}

#[test]
fn what_cannot_be_asked_back_is_counted_as_long_as_it_is_there() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 8, 8, NOW);
    turn(&mut ledger, NOW);
    ledger.freeze(&workload("a"), "it has no policy");
    see(&mut ledger, "b", 4, 4, 0, at(1));
    let plan = turn(&mut ledger, at(1));
    assert!(plan.infeasible, "the floor of b does not fit beside what a holds");
    assert_eq!((granted(&ledger, "a", at(1)), granted(&ledger, "b", at(1))), (80, 20));
}

#[test]
fn pods_of_a_deleted_workload_are_charged_while_they_may_shut_down() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 8, 8, NOW);
    turn(&mut ledger, NOW);
    ledger.vanish(&workload("a"), at(5));
    assert_eq!(ledger.held(&workload("a"), "db", at(30)), 80);
    ledger.vanish(&workload("a"), at(36));
    ledger.vanish(&workload("a"), at(47));
    assert!(!ledger.knows(&workload("a")));
    // The same name again, at once: its pods stand beside those of the old one.
    see(&mut ledger, "a", 2, 8, 3, at(50));
    ledger.see(
        &workload("a"),
        claim(2, 8, &[("db", 10, 1)]),
        Sight { uid: 2, spec: 3, beside: 0, pods: 0 },
        at(51),
    );
    assert_eq!(ledger.held(&workload("a"), "db", at(51)), 60);
}

#[test]
fn a_new_leader_covers_what_runs_and_gives_nothing_more_until_all_has_landed() {
    let mut ledger = Ledger::default();
    let grant = Grant { connections: 40, since: NOW, recalled: None };
    ledger.open("db", [(workload("a"), grant)].into(), Lending::default(), at(10));
    ledger.set_limit("db", limit(100), Lending::default());
    see(&mut ledger, "a", 2, 9, 5, NOW);
    turn(&mut ledger, at(1));
    assert_eq!(granted(&ledger, "a", at(1)), 50, "what its pods reach already");
    turn(&mut ledger, at(10));
    assert_eq!(granted(&ledger, "a", at(10)), 90);
}

#[test]
fn what_a_leader_with_another_clock_dated_in_the_future_is_lent_from_now_on() {
    let ahead = at(3600);
    let lent = Grant { connections: 80, since: ahead, recalled: Some(ahead) };
    let mut ledger = Ledger::default();
    ledger.open("db", [(workload("a"), lent)].into(), Lending::default(), NOW);
    ledger.set_limit("db", limit(100), Lending::default());
    see(&mut ledger, "a", 2, 3, 3, NOW);
    see(&mut ledger, "b", 2, 7, 2, NOW);
    let dated = turn(&mut ledger, at(15)).grants[&workload("a")];
    assert_eq!((dated.since, dated.recalled), (at(15), None), "nothing is reached beyond it");
    assert_eq!(granted(&ledger, "b", at(15)), 20);
    // A lease of two minutes later, and not an hour.
    turn(&mut ledger, at(140));
    turn(&mut ledger, at(141));
    assert_eq!((granted(&ledger, "a", at(141)), granted(&ledger, "b", at(141))), (30, 70));
    assert!(!turn(&mut ledger, at(142)).changes);
}

#[test]
fn an_unclear_answer_uses_the_smaller_and_charges_the_larger_grant() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 1, 5, 5, NOW);
    turn(&mut ledger, NOW);
    see(&mut ledger, "a", 1, 9, 5, at(1));
    let plan = ledger.plan(at(1))["db"].clone();
    ledger.intend("db", &plan);
    assert_eq!((granted(&ledger, "a", at(1)), ledger.charge(&workload("a"), "db", at(1))), (50, 90));
    assert!(!ledger.plan(at(2))["db"].changes, "first the status is read anew");
    ledger.read("db", plan.grants);
    assert_eq!(granted(&ledger, "a", at(2)), 90);
}

#[test]
fn what_a_workload_without_a_say_does_not_reach_is_given_to_those_who_wait() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 8, 8, NOW);
    turn(&mut ledger, NOW);
    see(&mut ledger, "a", 2, 3, 3, at(200));
    ledger.freeze(&workload("a"), "it has no policy");
    for second in [220, 221] {
        see_frozen(&mut ledger, "a", 3, at(second));
        see(&mut ledger, "b", 1, 10, 1, at(second));
        turn(&mut ledger, at(second));
    }
    assert_eq!((granted(&ledger, "a", at(221)), granted(&ledger, "b", at(221))), (30, 70));
}

fn see_frozen(ledger: &mut Ledger, name: &str, spec: u32, now: Time) {
    let sight = Sight { uid: 1, spec, beside: 0, pods: spec };
    let frozen = Claim { movable: false, ..claim(2, spec, &[("db", 10, 1)]) };
    ledger.see(&workload(name), frozen, sight, now);
}

#[test]
fn a_frozen_workload_is_given_its_count_from_what_is_free_and_asked_for_nothing() {
    let mut ledger = ledger(100);
    let frozen = |spec, wanted| {
        let claim = Claim { movable: false, ..claim(2, wanted, &[("db", 10, 1)]) };
        (claim, Sight { uid: 1, spec, beside: 0, pods: spec })
    };
    let (claim, sight) = frozen(3, 5);
    ledger.see(&workload("a"), claim, sight, NOW);
    see(&mut ledger, "b", 1, 10, 1, NOW);
    turn(&mut ledger, NOW);
    turn(&mut ledger, at(1));
    assert_eq!((granted(&ledger, "a", at(1)), granted(&ledger, "b", at(1))), (50, 50));
    // Somebody set more: it is kept, whatever others want.
    for second in 2..400 {
        let (claim, sight) = frozen(6, 5);
        ledger.see(&workload("a"), claim, sight, at(second));
        see(&mut ledger, "b", 5, 10, 4, at(second));
        turn(&mut ledger, at(second));
    }
    let share = ledger.share(&workload("a"), "db", at(400)).unwrap();
    assert!(!matches!(share.standing, Standing::Recalled { .. }), "{share:?}");
    assert!(granted(&ledger, "b", at(400)) <= 50, "what is kept is given to nobody else");
}

/// a holds all of 100 connections with 5 of its 10 pods there, and b comes with a floor of 4.
fn a_recall_of_a() -> (Ledger, Plan) {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 2, 10, 5, NOW);
    turn(&mut ledger, NOW);
    assert_eq!(granted(&ledger, "a", NOW), 100);
    see(&mut ledger, "b", 4, 4, 0, at(1));
    let plan = ledger.plan(at(1))["db"].clone();
    (ledger, plan)
}

#[test]
fn from_the_moment_that_a_grant_is_to_be_lowered_nothing_begins_on_the_larger_one() {
    let (mut ledger, plan) = a_recall_of_a();
    let to = |spec| Sight { uid: 1, spec, beside: 0, pods: 0 };
    assert_eq!(plan.grants[&workload("a")].connections, 60);
    ledger.intend("db", &plan);
    // Sent, and no answer yet.
    assert_eq!((granted(&ledger, "a", at(1)), ledger.charge(&workload("a"), "db", at(1))), (60, 100));
    assert!(ledger.begin(&workload("a"), to(7), at(1)).is_err());
    assert_eq!(ledger.begin(&workload("a"), to(6), at(1)), Ok(()));
}

#[test]
fn no_grant_is_lowered_below_growth_under_way() {
    let (mut ledger, _) = a_recall_of_a();
    ledger.begin(&workload("a"), Sight { uid: 1, spec: 9, beside: 0, pods: 0 }, at(1)).unwrap();
    assert_eq!(
        ledger.plan(at(2))["db"].grants[&workload("a")].connections,
        90,
        "a successor knows of it by this"
    );
    ledger.end(&workload("a"), Outcome::Refused, at(3));
    assert_eq!(ledger.plan(at(4))["db"].grants[&workload("a")].connections, 60);
}

#[test]
fn what_min_replicas_hold_is_granted_to_nobody_else() {
    let mut ledger = ledger(295);
    ledger.open("pool", BTreeMap::new(), Lending::default(), NOW);
    ledger.set_limit("pool", limit(40), Lending::default());
    let mut told = Vec::new();
    for second in 0..600 {
        let now = at(second);
        // Somebody declares that a pod opens more than was said.
        let per_pod = if second < 300 { 15 } else { 20 };
        let kept = Claim { least: 8, ..claim(8, 8, &[("db", per_pod, 1), ("pool", 10, 1)]) };
        ledger.see(&workload("kept"), kept, Sight { uid: 1, spec: 8, beside: 0, pods: 8 }, now);
        see(&mut ledger, "other", 7, 17, 10, now);
        for (budget, plan) in &ledger.plan(now) {
            ledger.intend(budget, plan);
            ledger.acknowledge(budget);
        }
        told.push((granted(&ledger, "other", now), ledger.excess("db", now)));
    }
    assert_eq!(told[299], (170, 0), "beside 8 pods of 15 connections");
    // The pool carries 4 of the 8 pods, but all of them stay, with 20 connections each; 135 are left.
    assert_eq!(told[599], (130, 0), "what is granted and cannot be used keeps nobody from growing");
    assert!(ledger.plan(at(600))["pool"].infeasible && !ledger.plan(at(600))["db"].infeasible);
}

#[test]
fn while_one_workload_cannot_be_looked_at_nobody_is_granted_more() {
    let mut ledger = ledger(100);
    see(&mut ledger, "a", 1, 8, 2, NOW);
    ledger.trust("db", false);
    let plan = ledger.plan(NOW)["db"].clone();
    assert_eq!(
        (plan.raises, plan.grants[&workload("a")].connections),
        (false, 20),
        "what its pods reach already"
    );
    ledger.trust("db", true);
    assert!(ledger.plan(NOW)["db"].raises);
}
