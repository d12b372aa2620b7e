use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::api::ScalingPolicyStatus;
use crate::cluster::pod;
use crate::control::Rollout;
use crate::time::Span;

const NOW: Time = Time::from_seconds(1_790_000_000);

fn index() -> (Index, UnboundedReceiver<PolicyKey>) {
    let (changes, news) = unbounded_channel();
    (Index::new(changes), news)
}

fn web() -> TargetKey {
    TargetKey::new("apps/v1", "Deployment", "shop", "web")
}

fn put_deployment(index: &Index, key: &TargetKey, uid: &str) {
    let deployment = serde_json::from_value(json!({
        "metadata": {"uid": uid, "resourceVersion": "5", "generation": 1},
        "spec": {"replicas": 3, "selector": {}, "template": {}},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3}
    }))
    .unwrap();
    index.put_workload(key.clone(), |before| WorkloadRecord::deployment(&deployment, before));
}

fn pod_record(uid: &str, owner: &str, more: &Value) -> PodRecord {
    let mut value = json!({
        "metadata": {
            "uid": uid, "labels": {"app": owner},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": owner, "controller": true}]
        },
        "status": {"phase": "Running"}
    });
    for (key, more) in more.as_object().unwrap() {
        value["metadata"][key] = more.clone();
    }
    pod::trim(&serde_json::from_value(value).unwrap()).unwrap()
}

fn put_pod(index: &Index, uid: &str, owner: &str) {
    index.put_pod("shop", pod_record(uid, owner, &json!({})), NOW);
}

fn terminating(uid: &str, owner: &str) -> PodRecord {
    // Ten seconds ago, with thirty to go.
    let deadline = json!({"deletionTimestamp": "2026-09-21T14:13:40Z", "deletionGracePeriodSeconds": 30});
    pod_record(uid, owner, &deadline)
}

fn policy(name: &str, created: i64, mode: &str) -> PolicyRecord {
    let policy = serde_json::from_value(json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": 1,
                     "creationTimestamp": jiff::Timestamp::from_second(created).unwrap().to_string()},
        "spec": {"scaleTargetRef": {"name": "web"}, "maxReplicas": 9, "mode": mode, "metrics": [
            {"name": "rps", "prometheus": {"query": "q"}, "target": {"type": "AverageValue", "averageValue": "9"}}]}
    }))
    .unwrap();
    PolicyRecord::trim(policy).unwrap().0
}

fn ids(uids: &[&str]) -> Vec<PodId> {
    let mut ids: Vec<_> = uids.iter().map(|uid| Uid::of(uid).pod()).collect();
    ids.sort();
    ids
}

fn seen(index: &Index) -> Vec<PodId> {
    index.workload(&web(), 0).unwrap().workload.pods.iter().map(|pod| pod.id).collect()
}

#[test]
fn pods_are_found_by_owner_and_not_by_label() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "d");
    index.put_replica_set(Uid::of("rs1"), "shop", Uid::of("d"));
    index.put_replica_set(Uid::of("rs9"), "shop", Uid::of("another deployment"));
    put_pod(&index, "p1", "rs1");
    put_pod(&index, "p2", "rs1");
    put_pod(&index, "stranger", "rs9");
    assert_eq!(seen(&index), ids(&["p1", "p2"]));
    assert_eq!(index.workload(&web(), 0).unwrap().workload.rollout, Rollout::Settled);
    // A pod seen before its ReplicaSet is found as soon as that is.
    put_pod(&index, "p3", "rs2");
    index.put_replica_set(Uid::of("rs2"), "shop", Uid::of("d"));
    assert_eq!(seen(&index), ids(&["p1", "p2", "p3"]));
    assert_eq!(
        index.workload(&web(), 0).unwrap().workload.rollout,
        Rollout::Progressing,
        "two revisions live"
    );
    index.put_pod("shop", terminating("p3", "rs2"), NOW);
    assert_eq!(
        index.workload(&web(), 0).unwrap().workload.rollout,
        Rollout::Settled,
        "one of them only shuts down"
    );
}

#[test]
fn zones_are_those_that_labels_of_pods_name_and_at_least_those_that_the_spread_constraint_does() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "d");
    index.put_replica_set(Uid::of("rs1"), "shop", Uid::of("d"));
    let zones = || index.workload(&web(), 0).unwrap().workload.zones;
    put_pod(&index, "p0", "rs1");
    assert_eq!(zones(), 0, "no label tells");
    for (uid, zone) in [("p1", "a"), ("p2", "b"), ("p3", "a")] {
        let labels = json!({"labels": {"app": "rs1", "topology.kubernetes.io/zone": zone}});
        index.put_pod("shop", pod_record(uid, "rs1", &labels), NOW);
    }
    assert_eq!(zones(), 2);
    let spread = |key: &str| {
        let constraint =
            json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3});
        let deployment = serde_json::from_value(json!({
            "metadata": {"uid": "d", "resourceVersion": "6", "generation": 2},
            "spec": {"selector": {}, "template": {"spec": {"containers": [], "topologySpreadConstraints": [constraint]}}}
        }));
        index.put_deployment(web(), &deployment.unwrap());
    };
    spread("kubernetes.io/hostname");
    assert_eq!(zones(), 2, "nodes are no zones");
    spread("topology.kubernetes.io/zone");
    assert_eq!(zones(), 3);
}

#[test]
fn pods_that_ended_are_left_out() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "d");
    index.put_replica_set(Uid::of("rs1"), "shop", Uid::of("d"));
    put_pod(&index, "p1", "rs1");
    put_pod(&index, "evicted", "rs1");
    index.put_pod("shop", PodRecord { finished: true, ..pod_record("evicted", "rs1", &json!({})) }, NOW);
    assert_eq!(seen(&index), ids(&["p1"]));
}

#[test]
fn how_long_a_pod_took_to_go_is_told_once() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "d");
    index.put_replica_set(Uid::of("rs1"), "shop", Uid::of("d"));
    for uid in ["deleted", "ended", "crashed"] {
        put_pod(&index, uid, "rs1");
    }
    index.remove_pod(&pod_record("crashed", "rs1", &json!({})), NOW);
    index.remove_pod(&terminating("deleted", "rs1"), NOW);
    index.put_pod("shop", PodRecord { finished: true, ..terminating("ended", "rs1") }, NOW);
    // The entry in the list goes a while after the containers have ended; that is no news.
    index.remove_pod(
        &PodRecord { finished: true, ..terminating("ended", "rs1") },
        NOW + Span::from_seconds(60),
    );
    let found = index.workload(&web(), 0).unwrap();
    let drains: Vec<_> =
        found.workload.departed.iter().map(|departed| (departed.id, departed.drain)).collect();
    let took = Span::from_seconds(10);
    assert_eq!(drains, [(Uid::of("deleted").pod(), took), (Uid::of("ended").pod(), took)]);
    assert!(index.workload(&web(), found.departures).unwrap().workload.departed.is_empty());
}

#[test]
fn a_pod_that_is_removed_at_the_end_of_its_drain_was_told_to_end_before_it() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "d");
    index.put_replica_set(Uid::of("rs1"), "shop", Uid::of("d"));
    index.put_pod("shop", terminating("p1", "rs1"), NOW);
    // The kubelet's last request asks for no more grace, and the API server dates the deletion anew.
    let mut removed = terminating("p1", "rs1");
    removed.pod.terminating_since = Some(NOW);
    index.put_pod("shop", removed.clone(), NOW);
    index.remove_pod(&removed, NOW);
    let departed = index.workload(&web(), 0).unwrap().workload.departed;
    let drains: Vec<_> = departed.iter().map(|departed| departed.drain).collect();
    assert_eq!(drains, [Span::from_seconds(10)]);
}

#[test]
fn a_new_list_removes_what_went_unseen_in_its_scope_only() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "d");
    let elsewhere = TargetKey { namespace: "other".to_owned(), ..web() };
    put_deployment(&index, &elsewhere, "e");
    index.put_replica_set(Uid::of("rs1"), "shop", Uid::of("d"));
    put_pod(&index, "p1", "rs1");
    put_pod(&index, "p2", "rs1");
    index.put_pod("other", pod_record("p9", "rs1", &json!({})), NOW);
    index.retain_pods(Some("shop"), &HashSet::from([Uid::of("p2")]));
    assert_eq!(seen(&index), ids(&["p2", "p9"]));
    assert!(index.workload(&web(), 0).unwrap().workload.departed.is_empty(), "how long it took is not known");
    index.retain_workloads("StatefulSet", None, &HashSet::new());
    index.retain_workloads("Deployment", Some("shop"), &HashSet::new());
    assert!(index.workload(&web(), 0).is_none() && index.workload(&elsewhere, 0).is_some());
    index.retain_pods(None, &HashSet::new());
    assert!(
        index.state().pods.is_empty() && index.state().pods_of.is_empty() && index.state().pods_in.is_empty()
    );
}

#[test]
fn a_workload_made_anew_is_not_removed_by_the_old_ones_end() {
    let (index, _changes) = index();
    put_deployment(&index, &web(), "new");
    index.remove_workload(&web(), Uid::of("old"));
    assert!(index.workload(&web(), 0).is_some());
}

#[test]
fn the_older_policy_acts_and_autoscalers_are_rivals_of_all() {
    let (index, _changes) = index();
    let (older, twin, younger) = (
        policy("b-older", 100, "Active"),
        policy("a-younger", 200, "Active"),
        policy("c-younger", 200, "Active"),
    );
    let dry = policy("dry", 50, "DryRun");
    for record in [&younger, &older, &dry, &twin] {
        index.put_policy((*record).clone(), None);
    }
    let names =
        |record: &PolicyRecord| index.rivals(record).into_iter().map(|rival| rival.name).collect::<Vec<_>>();
    assert!(names(&older).is_empty(), "a policy that writes nothing is nobody's rival");
    assert_eq!(names(&twin), ["b-older"]);
    assert_eq!(names(&younger), ["b-older", "a-younger"], "of the same age, the name decides");
    index.put_autoscaler(Uid::of("hpa"), "keda-hpa-web", web());
    assert_eq!(index.rivals(&older)[0].kind, "HorizontalPodAutoscaler");
    index.put_autoscaler(Uid::of("hpa"), "keda-hpa-web", TargetKey { name: "api".to_owned(), ..web() });
    index.remove_policy(&older.key, older.uid);
    assert!(names(&twin).is_empty());
}

#[test]
fn only_changes_that_matter_are_announced() {
    let (index, mut changes) = index();
    let mut announced = || std::iter::from_fn(|| changes.try_recv().ok()).count();
    let record = policy("web", 100, "Active");
    for generation in 0..100 {
        index.put_policy(PolicyRecord { generation, ..record.clone() }, Some(Box::default()));
    }
    assert_eq!(announced(), 0, "what nobody hears piles up");
    index.act();
    index.put_policy(PolicyRecord { generation: 99, ..record.clone() }, Some(Box::default()));
    assert_eq!(announced(), 0, "our own status write is no news");
    index.put_policy(PolicyRecord { generation: 100, ..record.clone() }, None);
    assert_eq!(announced(), 1);
    assert!(index.take_status(&record.key).is_some(), "an edit does not lose the status found at the start");
    assert!(index.take_status(&record.key).is_none());
    index.retain_policies(Some("other"), &HashSet::new());
    assert_eq!(announced(), 0);
    index.retain_policies(None, &HashSet::new());
    assert_eq!((announced(), index.policies().len()), (1, 0));
}

#[test]
fn a_process_that_waits_follows_the_statuses_that_another_writes() {
    let (index, _changes) = index();
    let record = policy("web", 100, "Active");
    let status = |replicas| {
        let current_replicas = Some(replicas);
        Some(Box::new(ScalingPolicyStatus { current_replicas, ..ScalingPolicyStatus::default() }))
    };
    for replicas in 1..=3 {
        index.put_policy(record.clone(), status(replicas));
    }
    index.act();
    index.put_policy(record.clone(), status(4));
    assert_eq!(index.take_status(&record.key), status(3), "the fourth is its own");
    index.put_policy(record.clone(), status(5));
    assert_eq!(index.take_status(&record.key), None);
}

#[test]
fn a_list_that_is_older_than_the_watch_brings_no_policy_back_and_undoes_no_edit() {
    let (index, _changes) = index();
    let status = |replicas| {
        let current_replicas = Some(replicas);
        Some(Box::new(ScalingPolicyStatus { current_replicas, ..ScalingPolicyStatus::default() }))
    };
    let listed = policy("web", 100, "Active");
    let edited = PolicyRecord { generation: 2, edited: Time::from_seconds(200), ..listed.clone() };
    index.put_policy(edited.clone(), status(1));
    index.refresh_policy(listed.clone(), status(2));
    assert_eq!(*index.policy(&listed.key).unwrap(), edited);
    assert_eq!(index.take_status(&listed.key), status(2), "nobody else writes the status meanwhile");
    let annotated = PolicyRecord { edited: Time::from_seconds(300), ..edited.clone() };
    index.refresh_policy(annotated.clone(), status(3));
    assert_eq!(*index.policy(&listed.key).unwrap(), annotated, "the watch may be behind");
    assert_eq!(index.take_status(&listed.key), status(3));
    let made_anew = PolicyRecord { uid: Uid::of("another"), ..listed.clone() };
    index.put_policy(made_anew.clone(), None);
    index.refresh_policy(annotated, status(4));
    assert_eq!((&*index.policy(&listed.key).unwrap(), index.take_status(&listed.key)), (&made_anew, None));
    index.remove_policy(&made_anew.key, made_anew.uid);
    index.refresh_policy(made_anew, status(5));
    assert!(index.policies().is_empty(), "it was deleted while the list was under way");
}

/// A policy of `workload` that draws on `budget`.
fn drawing(workload: &str, budget: &str) -> PolicyRecord {
    let ceiling = json!({"name": "db", "budgetRef": {"name": budget}, "perPod": 10});
    let mut record = policy(workload, 100, "Active");
    let mut spec = (*record.spec.unwrap()).clone();
    spec.ceilings = Some(serde_json::from_value(json!({"connections": [ceiling]})).unwrap());
    record.spec = Ok(spec.into());
    record.target = Some(TargetKey { name: workload.to_owned(), ..web() });
    record
}

#[test]
fn a_workload_draws_on_what_its_last_policy_named_until_it_goes_itself() {
    let drew = |change: fn(&Index, &PolicyRecord)| {
        let (index, _changes) = index();
        let record = drawing("web", "orders-db");
        put_deployment(&index, &web(), "web");
        index.put_policy(record.clone(), None);
        assert_eq!(index.deleted_policy(&web()), None);
        change(&index, &record);
        let drew = index.drawing_on("orders-db").contains(&web());
        assert!(!drew || index.deleted_policy(&web()).as_deref() == Some(&record));
        (drew, index.drawing_on("reports-db").contains(&web()))
    };
    assert_eq!(drew(|index, record| index.remove_policy(&record.key, record.uid)), (true, false));
    let points_elsewhere = |index: &Index, record: &PolicyRecord| {
        let api = Some(TargetKey { name: "api".to_owned(), ..web() });
        index.put_policy(PolicyRecord { generation: 2, target: api, ..record.clone() }, None);
    };
    assert_eq!(drew(points_elsewhere), (true, false));
    let made_anew = |index: &Index, record: &PolicyRecord| {
        index.remove_policy(&record.key, record.uid);
        index.put_policy(drawing("web", "reports-db"), None);
    };
    assert_eq!(drew(made_anew), (false, true));
    let deleted = |index: &Index, record: &PolicyRecord| {
        index.remove_policy(&record.key, record.uid);
        index.remove_workload(&web(), Uid::of("web"));
    };
    assert_eq!(drew(deleted), (false, false));
    let not_listed_anymore = |index: &Index, record: &PolicyRecord| {
        index.remove_policy(&record.key, record.uid);
        index.retain_workloads("Deployment", None, &HashSet::new());
    };
    assert_eq!(drew(not_listed_anymore), (false, false));
}

#[test]
fn of_deleted_policies_the_oldest_are_forgotten_first() {
    let (index, _changes) = index();
    for workload in 0..1010 {
        let record = drawing(&format!("w{workload}"), "orders-db");
        index.put_policy(record.clone(), None);
        index.remove_policy(&record.key, record.uid);
    }
    let kept = |name: &str| index.deleted_policy(&TargetKey { name: name.to_owned(), ..web() }).is_some();
    assert_eq!((index.drawing_on("orders-db").len(), kept("w9"), kept("w10")), (1000, false, true));
}

#[test]
fn a_workload_is_found_among_twenty_thousand_pods_without_looking_at_them_all() {
    let (index, _changes) = index();
    for workload in 0..1000 {
        let (deployment, set) = (format!("d{workload}"), format!("rs{workload}"));
        put_deployment(&index, &TargetKey { name: deployment.clone(), ..web() }, &deployment);
        index.put_replica_set(Uid::of(&set), "shop", Uid::of(&deployment));
        (0..20).for_each(|pod| put_pod(&index, &format!("{set}-{pod}"), &set));
    }
    let begin = Instant::now();
    let rounds = 10_000;
    for round in 0..rounds {
        let key = TargetKey { name: format!("d{}", round % 1000), ..web() };
        assert_eq!(index.workload(&key, 0).unwrap().workload.pods.len(), 20);
    }
    // A scan of all pods takes milliseconds; this takes some ten microseconds in a debug build.
    let each = begin.elapsed() / rounds;
    assert!(each.as_micros() < 500, "{each:?} each");
}

#[test]
fn pods_just_read_are_told_apart_by_owner_and_those_of_an_unknown_replica_set_count() {
    let (index, _news) = index();
    put_deployment(&index, &web(), "web");
    index.put_replica_set(Uid::of("rs-web"), "shop", Uid::of("web"));
    index.put_replica_set(Uid::of("rs-other"), "shop", Uid::of("other"));
    let record = index.trim_workload(&web(), |before| Some(before?.clone())).unwrap();
    let job = PodRecord { in_replica_set: false, ..pod_record("of-a-job", "job", &json!({})) };
    let pods = [
        pod_record("a", "rs-web", &json!({})),
        pod_record("b", "rs-unheard-of", &json!({})),
        pod_record("c", "rs-other", &json!({})),
        terminating("d", "rs-web"),
        job,
    ];
    let found = index.found(&web(), &record, &pods, 0);
    let mut ids: Vec<_> = found.workload.pods.iter().map(|pod| pod.id).collect();
    let mut expected: Vec<_> = ["a", "b", "d"].map(|uid| Uid::of(uid).pod()).into();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(found.workload.rollout, Rollout::Progressing, "live pods of two revisions");
}

#[test]
fn pods_that_end_with_a_workload_of_the_same_name_count_and_those_of_other_workloads_do_not() {
    let (index, _news) = index();
    put_deployment(&index, &web(), "deleted");
    put_deployment(&index, &TargetKey { name: "canary".to_owned(), ..web() }, "canary");
    for (set, owner) in [("rs-deleted", "deleted"), ("rs-before", "before"), ("rs-canary", "canary")] {
        index.put_replica_set(Uid::of(set), "shop", Uid::of(owner));
    }
    let mut made_anew = index.trim_workload(&web(), |before| Some(before?.clone())).unwrap();
    made_anew.uid = Uid::of("anew");
    let of_a_stateful_set = PodRecord { in_replica_set: false, ..terminating("d", "set-before") };
    let pods = [
        terminating("a", "rs-deleted"),
        terminating("b", "rs-before"),
        terminating("c", "rs-canary"),
        of_a_stateful_set,
        pod_record("e", "rs-before", &json!({})),
    ];
    let mut ids: Vec<_> =
        index.found(&web(), &made_anew, &pods, 0).workload.pods.iter().map(|pod| pod.id).collect();
    let mut expected: Vec<_> = ["a", "b", "d"].map(|uid| Uid::of(uid).pod()).into();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected, "no watch has told yet that the first two have gone");
}
