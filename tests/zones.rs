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
