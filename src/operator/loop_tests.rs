use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::testing::{DEFECT, START, World, condition};
use crate::cluster::testing::{Answer, refusal, scale};
use crate::time::Span;

const NONE: Value = Value::Null;

fn no_more() -> Value {
    json!({})
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

async fn world() -> World {
    World::new(|_| None).await
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_acts_within_a_second_and_then_at_its_interval() {
    let world = world().await;
    world.told.set("web", 9.0, Duration::from_millis(20));
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(1).await;
    assert_eq!(world.written("web"), [(9, "41".to_owned())]);
    let status = world.status("web");
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(9), &json!(9)));
    assert_eq!(status["lastChanges"][0]["from"], 4);
    assert_eq!(world.events(), ["SuccessfulRescale"]);
    seconds(120).await;
    let asked = world.told.asked("web");
    let regular = asked.windows(2).skip(1).all(|pair| pair[1].0.since(pair[0].0) == Span::from_seconds(15));
    assert!(regular && (8..=10).contains(&asked.len()), "{asked:?}");
    let ages: Vec<_> = asked.iter().map(|(_, age)| *age).take(8).collect();
    assert_eq!(ages, [true, false, false, false, true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn an_edited_policy_is_evaluated_within_a_second() {
    let world = world().await;
    world.told.set("web", 4.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &json!({"pollingInterval": 3600}));
    seconds(30).await;
    let before = world.told.asked("web").len();
    world.put_policy("web", 2, &json!({"pollingInterval": 3600, "maxReplicas": 50}));
    seconds(1).await;
    assert_eq!(world.told.asked("web").len(), before + 1);
    assert_eq!(world.status("web")["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn when_the_workload_changed_meanwhile_the_decision_is_made_anew_from_the_memory_before() {
    let conflicts = Arc::new(AtomicU32::new(2));
    let left = conflicts.clone();
    let world = World::new(move |asked| match (asked.method.as_str(), asked.path.contains("/scale?")) {
        ("GET", _) if asked.path.contains("/scale") => {
            Some(scale(5, &format!("9{}", left.load(Ordering::SeqCst)), "app=web"))
        }
        ("PATCH", true)
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() =>
        {
            Some(refusal(409, "Conflict", "the object has been modified"))
        }
        _ => None,
    })
    .await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(1).await;
    let written: Vec<_> = world.written("web").into_iter().map(|(_, version)| version).collect();
    assert_eq!(written, ["41", "91", "90"], "each time with the version just seen");
    assert_eq!(world.told.asked("web").len(), 1, "the signals are not asked again");
    let status = world.status("web");
    assert_eq!(
        status["lastChanges"],
        json!([{"from": 5, "to": 9, "reason": "AboveTarget", "time": status["asOf"]}])
    );
    assert_eq!(status["decision"]["message"], "9 are wanted by an empty memory");
    assert_eq!(world.events(), ["SuccessfulRescale"], "a conflict is nobody's fault");
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_never_stands_still_is_left_until_the_next_evaluation() {
    let world = World::new(|asked| match asked.method.as_str() {
        "PATCH" if asked.path.contains("/scale?") => {
            Some(refusal(409, "Conflict", "the object has been modified"))
        }
        _ => None,
    })
    .await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    sleep(Duration::from_millis(600)).await;
    assert_eq!(world.written("web").len(), 3);
    assert_eq!(condition(&world.status("web"), "AbleToScale")["status"], "True");
    assert!(world.events().is_empty(), "{:?}", world.events());
    seconds(2).await;
    assert_eq!(world.written("web").len(), 6, "tried again soon");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_cannot_be_written_is_told_once_and_tried_again() {
    let world = World::new(|asked| match asked.method.as_str() {
        "PATCH" if asked.path.contains("/scale?") => Some(refusal(403, "Forbidden", "no")),
        _ => None,
    })
    .await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(61).await;
    let status = world.status("web");
    for kind in ["AbleToScale", "Ready"] {
        let condition = condition(&status, kind);
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("FailedUpdateScale"))
        );
        let message = condition["message"].as_str().unwrap();
        assert!(
            message.contains("grant it the verb patch on deployments/scale in API group apps"),
            "{message}"
        );
    }
    assert_eq!((status["currentReplicas"].clone(), status["desiredReplicas"].clone()), (json!(4), json!(9)));
    assert_eq!(status["lastChanges"], NONE);
    assert_eq!(world.events(), ["FailedRescale"]);
    assert!((4..=6).contains(&world.written("web").len()), "at every evaluation: {:?}", world.written("web"));
    assert_eq!(world.log.about("/status").len(), 1, "said once");
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_given_up_and_the_count_is_read_before_the_next() {
    let world = World::new(|asked| match asked.method.as_str() {
        "PATCH" if asked.path.contains("/scale?") => Some(Answer::Never),
        // It was carried out all the same.
        "GET" if asked.path.contains("/scale") => Some(scale(9, "43", "app=web")),
        _ => None,
    })
    .await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(6).await;
    let message = condition(&world.status("web"), "AbleToScale")["message"].clone();
    assert!(message.as_str().unwrap().contains("did not answer patch deployments/scale"), "{message}");
    seconds(20).await;
    assert_eq!(world.written("web").len(), 1, "there is nothing left to write");
    assert_eq!(condition(&world.status("web"), "AbleToScale")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_slow_metrics_server_delays_only_its_own_policies() {
    let world = world().await;
    for name in ["slow-1", "slow-2", "slow-3", "slow-4", "slow-5", "slow-6"] {
        world.told.set(name, 9.0, Duration::from_hours(1));
        world.put_workload(name);
        world.put_policy(name, 1, &no_more());
    }
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(1).await;
    assert_eq!(world.written("web").len(), 1);
    seconds(60).await;
    assert!(world.told.asked("web").len() >= 5);
    assert_eq!(world.told.asked("slow-1").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_defect_in_one_policys_evaluation_leaves_the_others_alone_and_heals() {
    let world = world().await;
    for (name, value) in [("bad", DEFECT), ("web", 9.0)] {
        world.told.set(name, value, Duration::ZERO);
        world.put_workload(name);
        world.put_policy(name, 1, &json!({"pollingInterval": 5}));
    }
    seconds(30).await;
    assert!(world.told.asked("web").len() >= 5);
    assert_eq!(world.told.asked("bad").len(), 1, "not tried in a hurry");
    assert!(world.context.metrics.text().unwrap().contains("plimsoll_evaluation_panics_total 1"));
    world.told.set("bad", 7.0, Duration::ZERO);
    seconds(30).await;
    assert_eq!(world.written("bad")[0], (7, "41".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_goes_leaves_nothing_behind() {
    let world = world().await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    let key = world.put_policy("web", 1, &no_more());
    seconds(20).await;
    assert!(world.context.metrics.text().unwrap().contains("policy=\"web\""));
    world.remove_policy(&key);
    let asked = world.told.asked("web").len();
    seconds(60).await;
    assert_eq!(world.told.asked("web").len(), asked);
    assert!(!world.context.metrics.text().unwrap().contains("policy=\"web\""));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_contradicts_itself_moves_nothing_and_says_so_within_a_second() {
    let world = world().await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &json!({"minReplicas": 91}));
    seconds(1).await;
    let status = world.status("web");
    for kind in ["Ready", "ScalingActive"] {
        let condition = condition(&status, kind);
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("InvalidPolicy")));
        assert!(condition["message"].as_str().unwrap().contains("raise maxReplicas or lower minReplicas"));
    }
    assert_eq!(world.events(), ["InvalidPolicy"]);
    world.put_policy("web", 2, &json!({"someFieldOfTheNextVersion": true}));
    seconds(1).await;
    let message = condition(&world.status("web"), "Ready")["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("someFieldOfTheNextVersion") && message.contains("update the operator"),
        "{message}"
    );
    assert!(world.written("web").is_empty() && world.told.asked("web").is_empty());
    world.put_policy("web", 3, &no_more());
    seconds(1).await;
    assert_eq!(world.written("web").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_workload_is_named() {
    let world = world().await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_policy("web", 1, &no_more());
    seconds(1).await;
    assert!(world.written("web").is_empty());
    assert_eq!(world.log.about("/scale").len(), 0);
    assert_eq!(world.told.asked("web")[0].0.since(START).rounded_seconds(), 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_a_write_under_way_end_and_begins_none() {
    let mut world = World::new(|_| None).await;
    world.told.set("slow", 9.0, Duration::from_hours(1));
    world.told.set("web", 9.0, Duration::ZERO);
    for name in ["slow", "web"] {
        world.put_workload(name);
        world.put_policy(name, 1, &no_more());
    }
    seconds(2).await;
    let begin = Instant::now();
    world.stop.cancel();
    timeout(Duration::from_secs(10), world.stopped()).await.expect("no question is waited for");
    assert!(begin.elapsed() < Duration::from_secs(1));
    let (asked, requests) = (world.told.asked("web").len(), world.log.all().len());
    seconds(100).await;
    assert_eq!((world.told.asked("web").len(), world.log.all().len()), (asked, requests));
    assert!(world.written("slow").is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_steady_state_nothing_is_written() {
    let world = world().await;
    world.told.set("web", 4.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(2).await;
    let requests = world.log.all().len();
    assert_eq!(requests, 1, "the first status: {:?}", world.log.all());
    seconds(86_400).await;
    assert_eq!(world.log.all().len(), requests);
}

#[tokio::test(start_paused = true)]
async fn policies_that_were_there_before_the_operator_do_not_all_ask_at_once() {
    let mut world = World::before_the_operator(|_| None);
    for policy in 0..150 {
        let name = format!("web-{policy}");
        world.told.set(&name, 4.0, Duration::ZERO);
        world.put_workload(&name);
        world.put_policy(&name, 1, &no_more());
    }
    world.begin();
    let mut asked = Vec::new();
    for _ in 0..15 {
        seconds(1).await;
        asked.push((0..150).filter(|policy| !world.told.asked(&format!("web-{policy}")).is_empty()).count());
    }
    let most = asked.windows(2).map(|pair| pair[1] - pair[0]).chain([asked[0]]).max();
    assert!(most.is_some_and(|most| most <= 25) && asked.last() == Some(&150), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_a_write_under_way_until_its_deadline_and_reports_it() {
    let mut world = World::new(|asked| match asked.method.as_str() {
        "PATCH" if asked.path.contains("/scale?") => Some(Answer::Never),
        _ => None,
    })
    .await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy("web", 1, &no_more());
    seconds(1).await;
    assert_eq!(world.written("web").len(), 1);
    world.stop.cancel();
    timeout(Duration::from_secs(5), world.stopped()).await.expect("no longer than the write's deadline");
    assert_eq!(condition(&world.status("web"), "AbleToScale")["reason"], "FailedUpdateScale");
}

#[tokio::test(start_paused = true)]
async fn growth_under_a_connection_limit_rests_on_what_the_api_server_tells_of_the_pods() {
    let world = World::new(|asked| {
        let get = asked.method == "GET";
        let deployments = json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": [{
            "metadata": {"uid": "web", "name": "web", "namespace": "shop", "resourceVersion": "77", "generation": 1},
            "spec": {"replicas": 5, "selector": {"matchLabels": {"app": "web"}}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 5, "updatedReplicas": 5}}]});
        let pods = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []});
        match asked.path.as_str() {
            path if get && path.contains("/deployments?") => Some(Answer::Json(200, deployments)),
            path if get && path.contains("/pods?") => Some(Answer::Json(200, pods)),
            _ => None,
        }
    })
    .await;
    world.told.set("web", 9.0, Duration::ZERO);
    world.put_workload("web");
    world.put_policy(
        "web",
        1,
        &json!({"ceilings": {"connections": [{"name": "db", "perPod": 2, "inline": {"maxConnections": 100}}]}}),
    );
    seconds(1).await;
    let asked: Vec<_> = world.log.all().into_iter().filter(|asked| asked.path.contains("/shop/")).collect();
    let paths: Vec<_> = asked.iter().map(|asked| asked.path.as_str()).take(3).collect();
    assert!(paths[0].contains("/deployments?") && paths[0].contains("metadata.name%3Dweb"), "{paths:?}");
    assert!(paths[1].contains("/pods?") && paths[1].contains("app%3Dweb"), "{paths:?}");
    assert!(paths[2].contains("/deployments/web/scale"), "{paths:?}");
    assert_eq!(world.written("web"), [(9, "77".to_owned())], "with the version just read");
}
