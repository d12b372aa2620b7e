use super::*;
use crate::control::{Rollout, UpdateStrategy};

const NOW: Time = Time::from_seconds(1_790_000_000);

/// Three pods, of which the last is not Ready, and one that ends.
fn workload() -> Workload {
    let pod = |id: u64, ready: bool, ends: bool| Pod {
        id: PodId(id),
        created: NOW - Span::from_seconds(600 - id),
        ready_since: ready.then_some(NOW - Span::from_seconds(300)),
        terminating_since: ends.then_some(NOW - Span::from_seconds(3)),
    };
    Workload {
        spec_replicas: 3,
        pods: vec![pod(1, true, false), pod(2, true, false), pod(3, false, false), pod(4, true, true)],
        departed: Vec::new(),
        rollout: Rollout::Settled,
        revision: 0,
        update: UpdateStrategy::Replace,
        termination_grace: Span::from_seconds(30),
        progress_deadline: Span::from_seconds(600),
        zones: 0,
    }
}

#[test]
fn replicas_that_are_assumed_are_there_and_ready_unless_it_is_said_otherwise() {
    for (assumed, replicas, pods, ready) in [
        (&[][..], 3, 4, 3),
        (&[Assumption::Replicas(5)], 5, 5, 5),
        (&[Assumption::Replicas(2)], 2, 2, 2),
        (&[Assumption::Replicas(5), Assumption::Ready(1)], 5, 5, 1),
        // The one that ends is not asked to become anything.
        (&[Assumption::Ready(3)], 3, 4, 4),
        (&[Assumption::Ready(0)], 3, 4, 1),
        (&[Assumption::Replicas(0)], 0, 0, 0),
    ] {
        let seen = with_pods(workload(), assumed, NOW);
        let found = seen.pods.iter().filter(|pod| pod.ready_since.is_some()).count();
        assert_eq!((seen.spec_replicas, seen.pods.len(), found), (replicas, pods, ready), "{assumed:?}");
    }
}

#[test]
fn what_status_shows_is_read_back_and_what_was_unfit_stays_so() {
    for (value, state, expected) in [
        (Some("212m"), "Fresh", Answer::Value(0.212)),
        (Some("1.5k"), "Fresh", Answer::Value(1500.0)),
        (Some("5"), "Stale", Answer::Failed("why".to_owned())),
        (None, "Missing", Answer::Failed("why".to_owned())),
    ] {
        assert_eq!(read_back(value, state, Some("why")).answer, expected, "{value:?} {state}");
    }
    assert!(
        matches!(as_shown(None).answer, Answer::Failed(sentence) if sentence.contains("no operator has read it"))
    );
}
