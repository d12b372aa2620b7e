//! The double through `kube`: what a client sees when it reads, writes, watches and applies.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what is wrong by panicking"
)]

mod support;

use std::pin::pin;

use e2e::apiserver::{Rule, Verb};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, ObjectReference, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, PartialObjectMeta};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use support::cluster::{pass, planted, server, server_with_widgets, web, widget};
use tokio::time::Duration;

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"v": value}}, "data": {"v": value}}))
        .unwrap()
}

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

fn widgets(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("test.dev", "v1", "Widget");
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind))
}

fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.message),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn objects_are_created_read_replaced_and_deleted() {
    let client = server().client();
    let maps = config_maps(&client);
    let created = maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());
    let again = maps.create(&PostParams::default(), &config_map("a", "1")).await;
    assert_eq!(refusal(again), (409, "configmaps \"a\" already exists".into()));

    let mut newer = created.clone();
    newer.data = Some([("v".into(), "2".into())].into());
    let replaced = maps.replace("a", &PostParams::default(), &newer).await.unwrap();
    assert_ne!(replaced.resource_version(), created.resource_version());
    let stale = maps.replace("a", &PostParams::default(), &newer).await;
    assert!(matches!(&stale, Err(kube::Error::Api(status)) if status.is_conflict()), "{stale:?}");

    let unchanged = maps.replace("a", &PostParams::default(), &replaced).await.unwrap();
    assert_eq!(
        unchanged.resource_version(),
        replaced.resource_version(),
        "nothing changed, nothing is written"
    );
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn a_dry_run_is_judged_and_leaves_nothing_behind() {
    let server = server_with_widgets();
    let widgets = widgets(&server.client());
    let before = server.revision();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let good: DynamicObject = serde_json::from_value(widget("w", &json!({"name": "ok"}))).unwrap();
    let shown = widgets.create(&dry, &good).await.unwrap();
    assert_eq!(shown.data["spec"]["maxReplicas"], 10, "defaults are shown");
    let bad: DynamicObject =
        serde_json::from_value(widget("w", &json!({"name": "ok", "minReplicas": 11}))).unwrap();
    assert_eq!(refusal(widgets.create(&dry, &bad).await).0, 422);
    assert_eq!(server.revision(), before);
    assert!(widgets.get_opt("w").await.unwrap().is_none());
}

#[tokio::test]
async fn a_scale_write_with_an_old_resource_version_is_refused() {
    let server = server();
    let deployments: Api<Deployment> = Api::namespaced(server.client(), "default");
    let deployment = serde_json::from_value(web(3, &json!({}))).unwrap();
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let seen = deployments.get_scale("web").await.unwrap();
    assert_eq!(seen.status.as_ref().unwrap().selector.as_deref(), Some("app=web"));
    let to = |version: &str, count: i32| {
        Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": count}}))
    };
    let version = seen.metadata.resource_version.clone().unwrap();
    let parameters = PatchParams::default();
    let scaled = deployments.patch_scale("web", &parameters, &to(&version, 5)).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(5));
    let (code, message) = refusal(deployments.patch_scale("web", &parameters, &to(&version, 6)).await);
    assert_eq!(code, 409);
    assert!(message.contains("the object has been modified"), "{message}");
    assert_eq!(deployments.get("web").await.unwrap().metadata.generation, Some(2));
}

#[tokio::test]
async fn schema_and_rules_of_a_crd_accept_and_refuse() {
    let server = server_with_widgets();
    let widgets = widgets(&server.client());
    let parameters = PostParams::default();
    let of = |spec: Value| serde_json::from_value::<DynamicObject>(widget("w", &spec)).unwrap();
    for (spec, sentence) in [
        (json!({}), "spec.name: Required value"),
        (json!({"name": "x"}), "spec.name in body should be at least 2 chars long"),
        (json!({"name": "UP"}), "spec.name in body should match '^[a-z]+$'"),
        (json!({"name": "ok", "replicas": 101}), "spec.replicas in body should be less than or equal to 100"),
        (json!({"name": "ok", "replicas": "1"}), "spec.replicas in body must be of type integer: \"string\""),
        (
            json!({"name": "ok", "mode": "Off"}),
            "spec.mode: Unsupported value: \"Off\": supported values: \"Active\", \"DryRun\"",
        ),
        (json!({"name": "ok", "tags": ["a", "b", "c"]}), "spec.tags: Too many: 3: must have at most 2 items"),
        (
            json!({"name": "ok", "minReplicas": 11}),
            "minReplicas must not be above maxReplicas; raise maxReplicas",
        ),
        (json!({"name": "ok", "replicas": 13}), "unlucky: thirteen"),
    ] {
        let (code, message) = refusal(widgets.create(&parameters, &of(spec)).await);
        assert_eq!(code, 422, "{message}");
        assert!(message.contains(sentence), "{message}");
    }
    let made = widgets
        .create(&parameters, &of(json!({"name": "ok", "surge": "10%", "free": {"a": [1]}})))
        .await
        .unwrap();
    assert_eq!(
        made.data["spec"],
        json!({
            "name": "ok", "surge": "10%", "free": {"a": [1]}, "minReplicas": 1, "maxReplicas": 10, "mode": "Active",
        })
    );
    let rename = Patch::Merge(json!({"spec": {"name": "other"}}));
    let (_, message) = refusal(widgets.patch("w", &PatchParams::default(), &rename).await);
    assert!(message.contains("spec.name: Invalid value: name is immutable"), "{message}");
}

#[tokio::test]
async fn status_and_spec_have_doors_of_their_own() {
    let server = server_with_widgets();
    let widgets = widgets(&server.client());
    let made = serde_json::from_value(widget("w", &json!({"name": "ok"}))).unwrap();
    widgets.create(&PostParams::default(), &made).await.unwrap();
    let both = Patch::Merge(json!({"spec": {"replicas": 4}, "status": {"replicas": 9}}));
    let after = widgets.patch("w", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((&after.data["spec"]["replicas"], after.data.get("status")), (&json!(4), None));
    assert_eq!(after.metadata.generation, Some(2));
    let both = Patch::Merge(json!({"spec": {"replicas": 5}, "status": {"replicas": 9}}));
    let after = widgets.patch_status("w", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((&after.data["spec"]["replicas"], &after.data["status"]["replicas"]), (&json!(4), &json!(9)));
    assert_eq!(after.metadata.generation, Some(2), "status is not what the user wants");
}

#[tokio::test]
async fn conditions_are_owned_one_by_one_and_leave_with_their_owner() {
    let server = server_with_widgets();
    let widgets = widgets(&server.client());
    let made = serde_json::from_value(widget("w", &json!({"name": "ok"}))).unwrap();
    widgets.create(&PostParams::default(), &made).await.unwrap();
    let status = |conditions: Value| {
        Patch::Apply(json!({
            "apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "status": {"conditions": conditions},
        }))
    };
    let ready = json!({"type": "Ready", "status": "True"});
    let live = json!({"type": "Live", "status": "True"});
    let one = PatchParams::apply("one");
    let two = PatchParams::apply("two");
    widgets.patch_status("w", &one, &status(json!([ready]))).await.unwrap();
    let after = widgets.patch_status("w", &two, &status(json!([live]))).await.unwrap();
    assert_eq!(after.data["status"]["conditions"].as_array().unwrap().len(), 2);

    let unready = json!({"type": "Ready", "status": "False"});
    let (code, message) = refusal(widgets.patch_status("w", &two, &status(json!([live, unready]))).await);
    assert_eq!(code, 409);
    assert!(
        message.contains(
            "conflict with \"one\" with subresource \"status\": .status.conditions[type=\"Ready\"].status"
        ),
        "{message}"
    );

    let after = widgets.patch_status("w", &one, &status(json!([]))).await.unwrap();
    assert_eq!(after.data["status"]["conditions"], json!([live]), "what one no longer sends is gone");
    let again = widgets.patch_status("w", &two, &status(json!([live]))).await.unwrap();
    assert_eq!(again.resource_version(), after.resource_version(), "applying the same again writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_change_and_where_it_stands() {
    let server = server();
    let maps = config_maps(&server.client());
    let parameters = WatchParams { timeout: Some(200), ..WatchParams::default() }.labels("v in (1,2)");
    let mut watch = pin!(maps.watch(&parameters, "0").await.unwrap());
    let mut next = async || match watch.try_next().await.unwrap() {
        Some(WatchEvent::Added(map)) => format!("added {}", map.name_any()),
        Some(WatchEvent::Modified(map)) => format!("modified {}", map.name_any()),
        Some(WatchEvent::Deleted(map)) => format!("deleted {}", map.name_any()),
        Some(WatchEvent::Bookmark(mark)) => format!("bookmark {}", mark.metadata.resource_version),
        Some(WatchEvent::Error(error)) => format!("error {}", error.code),
        None => "end".to_owned(),
    };
    let put = |name: &'static str, value: &'static str| {
        let maps = maps.clone();
        async move {
            let apply = PatchParams::apply("t").force();
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"v": value}}});
            maps.patch(name, &apply, &Patch::Apply(map)).await.unwrap();
        }
    };
    put("a", "1").await;
    put("a", "2").await;
    put("b", "3").await;
    assert_eq!((next().await, next().await), ("added a".into(), "modified a".into()));
    put("b", "2").await;
    assert_eq!(next().await, "added b", "it has begun to match");
    put("a", "9").await;
    assert_eq!(next().await, "deleted a", "it no longer matches");
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!(next().await, "deleted b");
    put("c", "7").await;
    assert_eq!(next().await, format!("bookmark {}", server.revision()), "within a minute");
    assert_eq!(next().await, "end", "after the time that was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_revision_is_told_so_and_a_watcher_lists_again() {
    let server = server();
    let maps = config_maps(&server.client());
    maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let old = server.revision();
    let config = watcher::Config::default().timeout(5);
    let mut events = pin!(watcher(maps.clone(), config));
    let mut seen = Vec::new();
    let mut next = async |wanted: &str| {
        loop {
            let event =
                tokio::time::timeout(Duration::from_mins(1), events.next()).await.expect(wanted).unwrap();
            match event {
                Ok(watcher::Event::Init) => seen.push("init".to_owned()),
                Ok(watcher::Event::InitApply(map)) => seen.push(format!("list {}", map.name_any())),
                Ok(watcher::Event::InitDone) => seen.push("done".to_owned()),
                Ok(watcher::Event::Apply(map)) => seen.push(format!("apply {}", map.name_any())),
                Ok(watcher::Event::Delete(map)) => seen.push(format!("delete {}", map.name_any())),
                Err(error) => seen.push(format!("error {}", error.to_string().contains("too old"))),
            }
            if seen.last().is_some_and(|last| last == wanted) {
                return;
            }
        }
    };
    next("done").await;
    // Others write, and what they wrote is compacted away before the watcher comes back.
    let pods: Api<Pod> = Api::namespaced(server.client(), "default");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    maps.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    next("apply b").await;
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    server.compact();
    next("done").await;
    assert_eq!(seen, ["init", "list a", "done", "apply b", "error true", "init", "list a", "list b", "done"]);

    let mut late = pin!(maps.watch(&WatchParams::default(), &old.to_string()).await.unwrap());
    let Some(WatchEvent::Error(error)) = late.try_next().await.unwrap() else { panic!("no error") };
    assert_eq!((error.code, error.reason.as_str()), (410, "Expired"));
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_a_bookmark_that_says_so() {
    let server = server();
    let maps = config_maps(&server.client());
    for name in ["a", "b"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let mut events = pin!(watcher(maps, watcher::Config::default().streaming_lists()));
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        match event.unwrap() {
            watcher::Event::Init => seen.push("init".to_owned()),
            watcher::Event::InitApply(map) => seen.push(map.name_any()),
            watcher::Event::InitDone => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["init", "a", "b"]);
}

#[tokio::test]
async fn pages_show_one_state_however_much_is_written_between_them() {
    let server = server();
    let maps = config_maps(&server.client());
    for name in ["a", "b", "c", "d", "e"] {
        maps.create(&PostParams::default(), &config_map(name, "1")).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    maps.delete("c", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &config_map("cc", "1")).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let second = maps.list(&ListParams::default().limit(9).continue_token(&token)).await.unwrap();
    assert_eq!(second.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["c", "d", "e"]);
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    server.compact();
    assert_eq!(refusal(maps.list(&ListParams::default().continue_token(&token)).await).0, 410);

    let exact = ListParams::default().at(first.metadata.resource_version.as_deref().unwrap());
    let exact = exact.matching(kube::api::VersionMatch::Exact);
    assert_eq!(refusal(maps.list(&exact).await).0, 410);
    let ahead = ListParams::default().at("999999");
    assert_eq!(refusal(maps.list(&ahead).await).0, 504);
}

#[tokio::test]
async fn a_list_at_an_exact_revision_shows_the_past() {
    let server = server();
    let maps = config_maps(&server.client());
    maps.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let then = server.revision().to_string();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"v": "2"}}))).await.unwrap();
    maps.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    let past = ListParams::default().at(&then).matching(kube::api::VersionMatch::Exact);
    let past = maps.list(&past).await.unwrap();
    assert_eq!(past.items.len(), 1);
    assert_eq!(past.items[0].data.as_ref().unwrap()["v"], "1");
}

#[tokio::test]
async fn what_is_denied_is_refused_in_the_words_of_rbac() {
    let server = server();
    server.deny(Verb::Patch, "deployments/scale");
    let client = server.client();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    deployments
        .create(&PostParams::default(), &serde_json::from_value(web(1, &json!({}))).unwrap())
        .await
        .unwrap();
    let to_two = Patch::Merge(json!({"spec": {"replicas": 2}}));
    assert_eq!(
        refusal(deployments.patch_scale("web", &PatchParams::default(), &to_two).await),
        (
            403,
            "deployments.apps \"web\" is forbidden: User \"system:admin\" cannot patch resource \
               \"deployments/scale\" in API group \"apps\" in the namespace \"default\""
                .into()
        )
    );
    server.allow_again(Verb::Patch, "deployments/scale");
    deployments.patch_scale("web", &PatchParams::default(), &to_two).await.unwrap();

    let reader = Rule::new(&["get", "list"], &["apps"], &["deployments"]).in_namespace("default");
    server.bind("secret", "system:serviceaccount:default:reader", vec![reader]);
    let reader = server.client_with_token("secret");
    let theirs: Api<Deployment> = Api::namespaced(reader.clone(), "default");
    assert_eq!(theirs.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let (code, message) = refusal(theirs.delete("web", &DeleteParams::default()).await);
    assert_eq!(code, 403);
    assert!(message.contains("User \"system:serviceaccount:default:reader\" cannot delete"), "{message}");
    let (_, message) = refusal(Api::<Deployment>::all(reader.clone()).list(&ListParams::default()).await);
    assert!(message.ends_with("at the cluster scope"), "{message}");

    for (verb, allowed) in [("list", true), ("delete", false)] {
        let review = json!({"spec": {"resourceAttributes": {"verb": verb, "group": "apps", "resource": "deployments", "namespace": "default"}}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let (_, _, answer) =
            support::send(&reader, "POST", path, "application/json", &review.to_string()).await;
        assert_eq!(answer["status"]["allowed"], allowed, "{verb}");
    }
}

#[tokio::test]
async fn a_recorded_event_is_found_by_the_object_it_speaks_of() {
    let server = server();
    let client = server.client();
    let reference = ObjectReference {
        api_version: Some("apps/v1".into()),
        kind: Some("Deployment".into()),
        name: Some("web".into()),
        namespace: Some("default".into()),
        uid: Some("u-1".into()),
        ..ObjectReference::default()
    };
    let recorder =
        Recorder::new(client.clone(), Reporter { controller: "op".into(), instance: Some("op-1".into()) });
    let event = kube::runtime::events::Event {
        type_: EventType::Normal,
        reason: "SuccessfulRescale".into(),
        note: Some("from 1 to 2".into()),
        action: "Scale".into(),
        secondary: None,
    };
    recorder.publish(&event, &reference).await.unwrap();
    recorder.publish(&event, &reference).await.unwrap();
    let events: Api<Event> = Api::namespaced(client, "default");
    let about = ListParams::default().fields("involvedObject.name=web,involvedObject.uid=u-1");
    let found = events.list(&about).await.unwrap().items;
    assert_eq!(found.len(), 1, "the same event twice is one in a series");
    assert_eq!(found[0].message.as_deref(), Some("from 1 to 2"));
    assert_eq!(found[0].reporting_component.as_deref(), Some("op"));
    assert_eq!(found[0].series.as_ref().unwrap().count, Some(2));
    let other = ListParams::default().fields("involvedObject.name=api");
    assert!(events.list(&other).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_and_fields_of_pods_can_be_asked_for() {
    let (server, _plant) = planted();
    let client = server.client();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    deployments
        .create(&PostParams::default(), &serde_json::from_value(web(6, &json!({}))).unwrap())
        .await
        .unwrap();
    pass(15).await;
    let metadata: Api<PartialObjectMeta<Deployment>> = Api::namespaced(client.clone(), "default");
    let found = metadata.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(found.items[0].name_any(), "web");
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let mut on_nodes = 0;
    for node in ["node-1", "node-2", "node-3"] {
        let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
        on_nodes += pods.list(&here).await.unwrap().items.len();
    }
    assert_eq!(on_nodes, 6);
}

#[tokio::test]
async fn an_eviction_respects_the_disruption_budget() {
    let server = server();
    let client = server.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    let budgets = server.collection("policy", "v1", "poddisruptionbudgets").unwrap();
    let mut budget = budgets.create("default", budget).unwrap();
    let (code, message) = refusal(pods.evict("p", &kube::api::EvictParams::default()).await);
    assert_eq!(
        (code, message.as_str()),
        (429, "Cannot evict pod as it would violate the pod's disruption budget.")
    );
    budget["status"]["disruptionsAllowed"] = json!(1);
    budgets.update_status("default", budget).unwrap();
    pods.evict("p", &kube::api::EvictParams::default()).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none(), "a pod on no node ends at once");
}

#[tokio::test]
async fn the_kinds_of_a_deleted_crd_are_gone_with_their_objects() {
    let server = server_with_widgets();
    let client = server.client();
    let made = serde_json::from_value(widget("w", &json!({"name": "ok"}))).unwrap();
    widgets(&client).create(&PostParams::default(), &made).await.unwrap();
    let crds = server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let conditions = crds.get("", "widgets.test.dev").unwrap()["status"]["conditions"].clone();
    assert!(
        conditions.as_array().unwrap().iter().any(|c| c["type"] == "Established" && c["status"] == "True")
    );
    crds.delete("", "widgets.test.dev", None).unwrap();
    let path = "/apis/test.dev/v1/namespaces/default/widgets";
    assert_eq!(support::send(&client, "GET", path, "application/json", "").await.0, 404);
    let broken = include_str!("support/widgets.yaml")
        .replace("self.minReplicas <= self.maxReplicas", "self.minReplicas <=");
    let broken: Value = serde_saphyr::from_str(&broken).unwrap();
    let refused = crds.create("", broken).unwrap_err();
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("x-kubernetes-validations[0].rule"), "{}", refused.message);
}
