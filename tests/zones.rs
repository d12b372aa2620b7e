//! The loss of zones: what is left must carry the load.

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

use common::{fresh, observation, policy, workload};
use plimsoll::control::{Decision, Memory, Policy, Reason, decide};
use plimsoll::time::Time;

fn decided(policy: &Policy, replicas: u32, load: f64) -> Decision {
    let now = Time::from_seconds(1_790_000_000);
    decide(policy, &observation(workload(replicas, now), vec![fresh(load)]), Memory::default(), now).0
}

#[test]
fn the_zones_that_are_left_carry_the_load_and_min_replicas() {
    for (what, more, load, replicas, extra, left) in [
        ("load", "headroom: {surviveZones: 1, zones: 3}\n", 1800.0, 27, 9, 18),
        ("load, two of three zones", "headroom: {surviveZones: 2, zones: 3}\n", 1200.0, 36, 24, 12),
        (
            "a smaller percentage is part of it",
            "headroom: {surviveZones: 1, zones: 3, percent: 20}\n",
            1000.0,
            15,
            3,
            10,
        ),
        (
            "a larger percentage is enough",
            "headroom: {surviveZones: 1, zones: 3, percent: 100}\n",
            1000.0,
            20,
            0,
            13,
        ),
        ("minReplicas", "minReplicas: 6\nheadroom: {surviveZones: 1, zones: 3}\n", 100.0, 9, 0, 6),
        ("a ceiling", "maxReplicas: 20\nheadroom: {surviveZones: 1, zones: 3}\n", 1800.0, 20, 9, 13),
    ] {
        let decision = decided(&policy(more), 6, load);
        let growing = decided(&policy(more), replicas, load);
        let kept = growing.zone_loss.unwrap();
        assert_eq!(growing.desired, Some(replicas), "{what}: {}", growing.message);
        assert_eq!((kept.extra, kept.left), (extra, left), "{what}");
        assert!(decision.desired > Some(6), "{what}: {}", decision.message);
    }
    let decision = decided(&policy("minReplicas: 6\nheadroom: {surviveZones: 1, zones: 3}\n"), 6, 100.0);
    assert_eq!(
        decision.message,
        "6 → 9: 9 are kept, so that minReplicas 6 are left when 1 of 3 zones are lost"
    );
    assert!(decision.steps.iter().any(|step| step.reason == Reason::ZoneLoss && step.after == 9));
    assert!(decided(&policy(""), 6, 600.0).zone_loss.is_none());
}

/// The count and what is kept, evaluation after evaluation, where pods are seen in so many zones at such a second.
fn seen(policy: &Policy, memory: Memory, replicas: u32, course: &[(i64, u32)]) -> Vec<(u32, u32, u32)> {
    let mut memory = memory;
    let mut told = Vec::new();
    for (second, zones) in course {
        let now = Time::from_seconds(1_790_000_000 + second);
        let workload = plimsoll::control::Workload { zones: *zones, ..workload(replicas, now) };
        let (decision, next) = decide(policy, &observation(workload, vec![fresh(1800.0)]), memory, now);
        memory = next;
        let kept = decision.zone_loss.unwrap();
        told.push((decision.need.unwrap(), kept.zones.all, kept.extra));
    }
    told
}

#[test]
fn zones_that_are_not_declared_are_those_seen_and_one_that_is_lost_counts_for_a_day() {
    let policy = policy("headroom: {surviveZones: 1}\n");
    let day = 86_400;
    for (what, course, expected) in [
        ("three", &[(0, 3)][..], &[(27, 3, 9)][..]),
        (
            "more come; a need of 24 is within the tolerance of 27",
            &[(0, 2), (15, 3), (30, 4)],
            &[(36, 2, 18), (27, 3, 9), (27, 4, 6)],
        ),
        (
            "one is lost",
            &[(0, 3), (15, 2), (day - 1, 2), (day + 15, 2)],
            &[(27, 3, 9), (27, 3, 9), (27, 3, 9), (36, 2, 18)],
        ),
        ("none is known", &[(0, 0)], &[(27, 0, 0)]),
        ("all in one", &[(0, 1)], &[(27, 1, 0)]),
    ] {
        assert_eq!(seen(&policy, Memory::default(), 27, course), expected, "{what}");
    }
    let mut after_a_restart = Memory::default();
    after_a_restart.recall_zones(3);
    assert_eq!(
        seen(&policy, after_a_restart, 27, &[(0, 2), (day, 2)]),
        [(27, 3, 9), (36, 2, 18)],
        "a zone that was lost before"
    );
    let declared = self::policy("headroom: {surviveZones: 1, zones: 3}\n");
    assert_eq!(seen(&declared, Memory::default(), 27, &[(0, 2)]), [(27, 3, 9)], "what is declared counts");
}

#[test]
fn where_no_zone_can_be_told_it_is_said_what_to_write() {
    let policy = policy("headroom: {surviveZones: 1}\n");
    for (zones, told) in
        [(0, Some("declare headroom.zones")), (1, Some("all pods are in 1 of the zones")), (2, None)]
    {
        let now = Time::from_seconds(1_790_000_000);
        let workload = plimsoll::control::Workload { zones, ..workload(6, now) };
        let (decision, _) =
            decide(&policy, &observation(workload, vec![fresh(600.0)]), Memory::default(), now);
        let fault = decision.zone_loss.unwrap().fault();
        assert_eq!(fault.is_some(), told.is_some(), "{zones}: {fault:?}");
        assert!(fault.unwrap_or_default().contains(told.unwrap_or_default()), "{zones}");
    }
}
