//! Workloads on the double: counts, rollouts, drains and deadlines, in virtual time.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::collections::BTreeMap;

use e2e::apiserver::ApiServer;
use e2e::plant::{CRASH_LOOP, Lasting, Plant, PlantSettings, STARTUP_SECONDS};
use serde_json::{Value, json};
use support::cluster::{condition, counts, deployments, edit, pass, planted, pods, server, web};
use tokio::time::{Duration, Instant};

fn create(server: &ApiServer, deployment: Value) {
    deployments(server).create("default", deployment).unwrap();
}

fn is_terminating(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

#[tokio::test(start_paused = true)]
async fn a_deployment_serves_once_its_pods_have_started() {
    let (server, _plant) = planted();
    create(&server, web(3, &json!({})));
    pass(9).await;
    assert_eq!(counts(&server), [3, 3, 0, 0, 3]);
    assert_eq!(condition(&server, "Available").0, "False");
    assert_eq!(condition(&server, "Progressing"), ("True".into(), "ReplicaSetUpdated".into()));
    pass(1).await;
    assert_eq!(counts(&server), [3, 3, 3, 3, 0]);
    assert_eq!(condition(&server, "Available").0, "True");
    assert_eq!(condition(&server, "Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    let deployment = deployments(&server).get("default", "web").unwrap();
    assert_eq!(deployment["status"]["observedGeneration"], deployment["metadata"]["generation"]);
    for pod in pods(&server).list("default") {
        let ready =
            pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
        assert_eq!(ready["lastTransitionTime"], "2026-01-01T00:00:10Z");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
        assert!(pod["metadata"]["labels"]["pod-template-hash"].is_string());
        assert!(pod["spec"]["nodeName"].as_str().unwrap().starts_with("node-"));
    }
}

#[tokio::test(start_paused = true)]
async fn scaling_in_takes_pods_that_do_not_serve_first_and_drains_the_others() {
    let (server, _plant) = planted();
    create(&server, web(3, &json!({})));
    pass(20).await;
    edit(&server, &json!({"spec": {"replicas": 5}}));
    pass(1).await;
    edit(&server, &json!({"spec": {"replicas": 2}}));
    pass(1).await;
    let all = pods(&server).list("default");
    let serving = all.iter().filter(|pod| !is_terminating(pod)).collect::<Vec<_>>();
    assert_eq!(serving.len(), 2);
    assert!(serving.iter().all(|pod| is_ready(pod)), "unready pods go first");
    let leaving: Vec<&Value> = all.iter().filter(|pod| is_terminating(pod)).collect();
    assert_eq!(leaving.len(), 3, "they drain for five seconds");
    assert_eq!(leaving[0]["metadata"]["deletionGracePeriodSeconds"], 30);
    pass(5).await;
    assert_eq!(pods(&server).list("default").len(), 2);
    assert_eq!(counts(&server), [2, 2, 2, 2, 0]);
}

/// The most pods and the fewest serving ones while the Deployment rolls, at every change of a pod.
async fn extremes_of(server: &ApiServer, seconds: u64) -> (usize, usize) {
    let mut news = pods(server).subscribe();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut most, mut fewest) = (0, usize::MAX);
    loop {
        let active: Vec<Value> =
            pods(server).list("default").into_iter().filter(|pod| !is_terminating(pod)).collect();
        most = most.max(active.len());
        fewest = fewest.min(active.iter().filter(|pod| is_ready(pod)).count());
        tokio::select! {
            changed = news.changed() => changed.unwrap(),
            () = tokio::time::sleep_until(end) => return (most, fewest),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_stays_within_surge_and_unavailability() {
    for (replicas, surge, unavailable, most, fewest) in [
        (4, json!("25%"), json!("25%"), 5, 3),
        (10, json!("25%"), json!("25%"), 13, 8),
        (5, json!(1), json!(0), 6, 5),
        (5, json!(0), json!(2), 5, 3),
        (3, json!("0%"), json!("10%"), 3, 2),
        (1, json!("25%"), json!("25%"), 2, 1),
    ] {
        let (server, _plant) = planted();
        let strategy = json!({"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        create(&server, web(replicas, &json!({"spec": {"strategy": strategy}})));
        pass(15).await;
        edit(&server, &json!({"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}}));
        let (found_most, found_fewest) = extremes_of(&server, 200).await;
        assert!(found_most <= most, "{found_most} pods of {replicas} with {strategy}");
        assert!(found_fewest >= fewest, "{found_fewest} serving of {replicas} with {strategy}");
        assert_eq!((found_most, found_fewest), (most, fewest), "{replicas} with {strategy} uses what it may");
        let all = pods(&server).list("default");
        assert_eq!(all.len(), usize::try_from(replicas).unwrap());
        assert!(all.iter().all(|pod| pod["metadata"]["labels"]["version"] == "2"));
        assert_eq!(condition(&server, "Progressing").1, "NewReplicaSetAvailable");
    }
}

#[tokio::test(start_paused = true)]
async fn recreate_never_has_pods_of_two_revisions() {
    let (server, _plant) = planted();
    create(&server, web(3, &json!({"spec": {"strategy": {"type": "Recreate"}}})));
    pass(15).await;
    edit(&server, &json!({"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}}));
    let mut news = pods(&server).subscribe();
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let versions: std::collections::BTreeSet<String> = pods(&server)
            .list("default")
            .iter()
            .map(|pod| pod["metadata"]["labels"]["version"].as_str().unwrap_or("1").to_owned())
            .collect();
        assert!(versions.len() <= 1, "{versions:?}");
        tokio::select! {
            changed = news.changed() => changed.unwrap(),
            () = tokio::time::sleep_until(end) => break,
        }
    }
    assert_eq!(counts(&server), [3, 3, 3, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_looping_revision_stops_at_its_deadline_and_leaves_old_pods_serving() {
    let (server, _plant) = planted();
    create(&server, web(4, &json!({})));
    pass(15).await;
    edit(&server, &json!({"spec": {"template": {"metadata": {"annotations": {CRASH_LOOP: "true"}}}}}));
    pass(300).await;
    assert_eq!(counts(&server), [5, 2, 3, 3, 2], "one surges, one is missing");
    assert_eq!(condition(&server, "Progressing"), ("True".into(), "ReplicaSetUpdated".into()));
    pass(400).await;
    assert_eq!(condition(&server, "Progressing"), ("False".into(), "ProgressDeadlineExceeded".into()));
    let crashing: Vec<Value> =
        pods(&server).list("default").into_iter().filter(|pod| !is_ready(pod)).collect();
    let status = &crashing[0]["status"]["containerStatuses"][0];
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert!(status["restartCount"].as_u64().unwrap() > 3);
    edit(&server, &json!({"spec": {"template": {"metadata": {"annotations": {CRASH_LOOP: null}}}}}));
    pass(60).await;
    assert_eq!(counts(&server), [4, 4, 4, 4, 0]);
    assert_eq!(condition(&server, "Progressing").1, "NewReplicaSetAvailable");
    let revision = deployments(&server).get("default", "web").unwrap();
    assert_eq!(revision["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
}

#[tokio::test(start_paused = true)]
async fn scaling_in_the_middle_of_a_rollout_shares_the_pods_by_size() {
    let (server, _plant) = planted();
    create(&server, web(10, &json!({})));
    pass(15).await;
    edit(&server, &json!({"spec": {"template": {"metadata": {"annotations": {CRASH_LOOP: "true"}}}}}));
    pass(30).await;
    let sizes = |server: &ApiServer| {
        let sets = server.collection("apps", "v1", "replicasets").unwrap().list("default");
        let mut sizes: Vec<u64> = sets.iter().map(|set| set["spec"]["replicas"].as_u64().unwrap()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&server), [5, 8], "13 may exist, 8 must serve");
    edit(&server, &json!({"spec": {"replicas": 20}}));
    pass(30).await;
    assert_eq!(sizes(&server).iter().sum::<u64>(), 25, "20 and a quarter more");
    assert!(sizes(&server)[0] >= 9, "both grew: {:?}", sizes(&server));
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let (server, _plant) = planted();
    create(&server, web(2, &json!({})));
    pass(15).await;
    edit(
        &server,
        &json!({"spec": {"paused": true, "replicas": 4, "template": {"metadata": {"labels": {"v": "2"}}}}}),
    );
    pass(30).await;
    assert_eq!(counts(&server)[..2], [4, 0]);
    edit(&server, &json!({"spec": {"paused": null}}));
    pass(100).await;
    assert_eq!(counts(&server), [4, 4, 4, 4, 0]);
}

#[tokio::test(start_paused = true)]
async fn minimum_ready_seconds_delay_availability() {
    let (server, _plant) = planted();
    create(&server, web(2, &json!({"spec": {"minReadySeconds": 30}})));
    pass(20).await;
    assert_eq!(counts(&server), [2, 2, 2, 0, 2]);
    pass(20).await;
    assert_eq!(counts(&server), [2, 2, 2, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_deployment_owned_goes_with_it_unless_it_is_set_free() {
    let (server, _plant) = planted();
    let sets = server.collection("apps", "v1", "replicasets").unwrap();
    create(&server, web(2, &json!({})));
    pass(15).await;
    deployments(&server).delete("default", "web", None).unwrap();
    pass(6).await;
    assert_eq!((sets.list("").len(), pods(&server).list("").len()), (0, 0));

    create(&server, web(2, &json!({})));
    pass(15).await;
    let client = server.client();
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    let orphan = json!({"propagationPolicy": "Orphan"}).to_string();
    assert_eq!(support::send(&client, "DELETE", path, "application/json", &orphan).await.0, 200);
    pass(6).await;
    assert!(deployments(&server).get("default", "web").is_none());
    assert_eq!((sets.list("").len(), pods(&server).list("").len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_is_replaced() {
    let (server, _plant) = planted();
    create(&server, web(2, &json!({})));
    pass(15).await;
    let victim = pods(&server).list("default")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    pods(&server).delete("default", &victim, None).unwrap();
    pass(1).await;
    assert_eq!(counts(&server), [2, 2, 1, 1, 1]);
    pass(15).await;
    assert_eq!(counts(&server), [2, 2, 2, 2, 0]);
    assert_eq!(condition(&server, "Progressing").1, "NewReplicaSetAvailable", "losing a pod is no rollout");
}

#[tokio::test(start_paused = true)]
async fn a_template_may_name_its_own_start_up_time() {
    let (server, _plant) = planted();
    create(
        &server,
        web(1, &json!({"spec": {"template": {"metadata": {"annotations": {STARTUP_SECONDS: "90"}}}}})),
    );
    pass(89).await;
    assert_eq!(counts(&server)[2], 0);
    pass(1).await;
    assert_eq!(counts(&server)[2], 1);
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_starts_replaces_and_ends_its_pods_in_order() {
    let (server, _plant) = planted();
    let sets = server.collection("apps", "v1", "statefulsets").unwrap();
    let set = json!({"metadata": {"name": "db"}, "spec": {
        "replicas": 3,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "v1"}]}},
    }});
    sets.create("default", set).unwrap();
    let there = |server: &ApiServer| {
        let pods = pods(server).list("default");
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    pass(15).await;
    assert_eq!(there(&server), ["db-0", "db-1"], "the third waits for the second");
    pass(20).await;
    let status = sets.get("default", "db").unwrap()["status"].clone();
    assert_eq!((&status["readyReplicas"], &status["updatedReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(status["currentRevision"], status["updateRevision"]);

    let mut newer = sets.get("default", "db").unwrap();
    newer["spec"]["template"]["spec"]["containers"][0]["image"] = json!("v2");
    sets.update("default", newer).unwrap();
    pass(16).await;
    let images = |server: &ApiServer| {
        let pods = pods(server).list("default");
        pods.iter()
            .map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(images(&server), ["v1", "v1", "v2"], "the highest number first");
    pass(40).await;
    assert_eq!(images(&server), ["v2", "v2", "v2"]);

    let mut fewer = sets.get("default", "db").unwrap();
    fewer["spec"]["replicas"] = json!(1);
    sets.update("default", fewer).unwrap();
    pass(3).await;
    assert_eq!(there(&server), ["db-0", "db-1", "db-2"], "the third is draining, the second waits");
    pass(20).await;
    assert_eq!(there(&server), ["db-0"]);

    let again = json!({"metadata": {"name": "db"}, "spec": sets.get("default", "db").unwrap()["spec"]});
    sets.delete("default", "db", None).unwrap();
    pass(1).await;
    sets.create("default", again).unwrap();
    pass(20).await;
    let ready = sets.get("default", "db").unwrap()["status"]["readyReplicas"].clone();
    assert_eq!(ready, json!(1), "the name of a pod that drains is free once it is gone");
}

#[tokio::test(start_paused = true)]
async fn a_disruption_budget_allows_as_many_evictions_as_there_are_pods_to_spare() {
    let (server, _plant) = planted();
    create(&server, web(4, &json!({})));
    let selector = json!({"matchLabels": {"app": "web"}});
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": "70%", "selector": selector}});
    let budgets = server.collection("policy", "v1", "poddisruptionbudgets").unwrap();
    budgets.create("default", budget).unwrap();
    let allowed = || budgets.get("default", "b").unwrap()["status"]["disruptionsAllowed"].as_u64();
    pass(5).await;
    assert_eq!(allowed(), Some(0), "nothing serves yet");
    pass(10).await;
    assert_eq!(allowed(), Some(1), "three of four must stay");
    let client = server.client();
    let mut codes = Vec::new();
    for pod in pods(&server).list("default").iter().take(2) {
        let path =
            format!("/api/v1/namespaces/default/pods/{}/eviction", pod["metadata"]["name"].as_str().unwrap());
        codes.push(support::send(&client, "POST", &path, "application/json", "{}").await.0);
    }
    assert_eq!(codes, [201, 429], "the second at the same moment is one too many");
    pass(20).await;
    assert_eq!(allowed(), Some(1), "the evicted pod has been replaced");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_first() {
    let (server, _plant) = planted();
    server.add_namespace("shop");
    let mut deployment = web(2, &json!({}));
    deployment["metadata"]["namespace"] = json!("shop");
    deployments(&server).create("shop", deployment.clone()).unwrap();
    pass(15).await;
    let namespaces = server.collection("", "v1", "namespaces").unwrap();
    namespaces.delete("", "shop", None).unwrap();
    pass(1).await;
    assert_eq!(namespaces.get("", "shop").unwrap()["status"]["phase"], "Terminating");
    let refused = deployments(&server).create("shop", deployment).unwrap_err();
    assert_eq!(refused.code, 403, "{refused}");
    pass(10).await;
    assert!(namespaces.get("", "shop").is_none());
    assert!(pods(&server).list("shop").is_empty());
}

/// The moments at which the ready count changed, over an hour of changing demand.
async fn course(seed: u64) -> BTreeMap<String, u64> {
    let server = server();
    let settings = PlantSettings {
        seed,
        startup: Lasting::Between(Duration::from_secs(5), Duration::from_mins(1)),
        drain: Lasting::Between(Duration::from_secs(1), Duration::from_secs(20)),
        nodes: 5,
        ..PlantSettings::default()
    };
    let _plant = Plant::start(&server, settings).unwrap();
    create(&server, web(1, &json!({})));
    let mut course = BTreeMap::new();
    for minute in 0..60_u64 {
        edit(&server, &json!({"spec": {"replicas": 1 + (minute * 7) % 23}}));
        if minute % 20 == 10 {
            edit(
                &server,
                &json!({"spec": {"template": {"metadata": {"labels": {"minute": minute.to_string()}}}}}),
            );
        }
        for _ in 0..6 {
            pass(10).await;
            course.insert(server.clock().now().to_string(), counts(&server)[2]);
        }
    }
    println!("seed {seed}: {} writes in an hour", server.revision());
    course
}

#[tokio::test(start_paused = true)]
async fn hours_take_seconds_and_the_same_seed_takes_the_same_course() {
    let begun = std::time::Instant::now();
    let (one, again, other) = (course(1).await, course(1).await, course(2).await);
    let taken = begun.elapsed();
    assert_eq!(one, again);
    assert_ne!(one, other);
    println!("three hours took {taken:?}");
    assert!(taken < Duration::from_mins(6), "three hours took {taken:?}, on however busy a machine");
}
