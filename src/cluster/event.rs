//! Kubernetes events about policies: what `kubectl describe` shows last.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

use super::authority::Authority;
use super::call::{ApiError, Call};
use super::identity::{hash, timestamp};
use super::policy::PolicyRecord;
use super::status::bounded;
use crate::api::ScalingPolicy;
use crate::time::Time;

/// Who reports.
const CONTROLLER: &str = "plimsoll.dev/operator";
/// The longest note that Kubernetes takes, in bytes.
const LONGEST_NOTE: usize = 1024;
/// Events that may wait to be published; what comes beyond is dropped.
const QUEUE: usize = 1024;

/// An event about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should look.
    pub warning: bool,
    /// Reason code.
    pub reason: String,
    /// What was being done.
    pub action: &'static str,
    /// One sentence.
    pub note: String,
}

/// Where events are handed in. Handing in never waits, so events never delay scaling.
#[derive(Clone)]
pub struct Events(mpsc::Sender<v1::Event>);

/// Publishes what was handed in.
pub struct Publisher {
    client: Client,
    authority: Authority,
    queue: mpsc::Receiver<v1::Event>,
}

impl Events {
    /// A way to hand in events, and the publisher that must run for them to appear.
    pub fn new(client: Client, authority: Authority) -> (Self, Publisher) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), Publisher { client, authority, queue })
    }

    /// Hands in an event about `policy`; false if too many wait already.
    pub fn publish(&self, policy: &PolicyRecord, instance: &str, notice: &Notice, now: Time) -> bool {
        self.0.try_send(event(policy, instance, notice, now)).is_ok()
    }
}

impl Publisher {
    /// Publishes until every [`Events`] is gone. `failed` is told of each event that could not be published.
    pub async fn run(mut self, published: impl Fn(Result<(), ApiError>)) {
        while let Some(event) = self.queue.recv().await {
            let namespace = event.metadata.namespace.clone().unwrap_or_default();
            let api: Api<v1::Event> = Api::namespaced(self.client.clone(), &namespace);
            let call = Call {
                verb: "create",
                resource: "events",
                group: "events.k8s.io",
                namespace: Some(&namespace),
            };
            let params = PostParams::default();
            let created = call.written(&self.authority, api.create(&params, &event)).await;
            published(created.map(|_| ()));
        }
    }
}

/// The object behind a notice. Every notice is an object of its own: a series would repeat the first one's note.
fn event(policy: &PolicyRecord, instance: &str, notice: &Notice, now: Time) -> v1::Event {
    let content = format!("{}{}{}", notice.reason, notice.note, instance);
    let name = format!("{}.{:x}.{:08x}", policy.key.name, now.millis(), hash(content.as_bytes()) >> 32);
    v1::Event {
        action: Some(notice.action.to_owned()),
        event_time: Some(MicroTime(timestamp(now))),
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(policy.key.namespace.clone()),
            ..ObjectMeta::default()
        },
        note: Some(bounded(&notice.note, LONGEST_NOTE)),
        reason: Some(notice.reason.clone()),
        regarding: Some(ObjectReference {
            api_version: Some(ScalingPolicy::api_version(&()).into_owned()),
            kind: Some(ScalingPolicy::kind(&()).into_owned()),
            name: Some(policy.key.name.clone()),
            namespace: Some(policy.key.namespace.clone()),
            uid: Some(policy.object_uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(bounded(instance, 128)),
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        ..v1::Event::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;
    use crate::cluster::testing::{Answer, refusal, server};
    use crate::cluster::{ApiErrorKind, PolicyKey, Uid};
    use crate::control::Overrides;

    fn policy() -> PolicyRecord {
        PolicyRecord {
            key: PolicyKey { namespace: "shop".to_owned(), name: "web".to_owned() },
            uid: Uid::of("u1"),
            object_uid: "u1".to_owned(),
            generation: 1,
            edited: Time::default(),
            created: Time::default(),
            spec: Err("not needed".to_owned()),
            target: None,
            overrides: Overrides::default(),
        }
    }

    fn rescale(to: u32) -> Notice {
        let note = format!("New size: {to}; reason: demand");
        Notice { warning: false, reason: "SuccessfulRescale".to_owned(), action: "Rescale", note }
    }

    #[tokio::test]
    async fn an_event_tells_who_did_what_to_which_policy() {
        let (client, log) = server(|asked| Answer::Json(201, asked.body.clone()));
        let (events, publisher) = Events::new(client, Authority::unshared());
        assert!(events.publish(&policy(), "plimsoll-0", &rescale(9), Time::from_millis(1_790_000_000_123)));
        drop(events);
        publisher.run(|published| published.unwrap()).await;
        let asked = log.all();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].path, "/apis/events.k8s.io/v1/namespaces/shop/events?");
        let mut body = asked[0].body.clone();
        let name = body["metadata"]["name"].take();
        assert!(name.as_str().unwrap().starts_with("web."), "{name}");
        assert_eq!(
            body,
            json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event",
                "metadata": {"name": null, "namespace": "shop"},
                "eventTime": "2026-09-21T14:13:20.123000Z",
                "type": "Normal", "reason": "SuccessfulRescale", "action": "Rescale",
                "note": "New size: 9; reason: demand",
                "regarding": {"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "name": "web", "namespace": "shop", "uid": "u1"},
                "reportingController": "plimsoll.dev/operator", "reportingInstance": "plimsoll-0"
            })
        );
    }

    #[test]
    fn two_counts_at_one_moment_are_two_events_and_long_notes_are_cut() {
        let now = Time::from_seconds(1_790_000_000);
        let named = |notice: &Notice| event(&policy(), "plimsoll-0", notice, now).metadata.name;
        assert_ne!(named(&rescale(3)), named(&rescale(4)));
        let long = Notice { note: "é".repeat(2000), ..rescale(3) };
        let note = event(&policy(), "plimsoll-0", &long, now).note.unwrap();
        assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'), "{}", note.len());
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_published_is_told_and_the_next_is_tried() {
        let (client, log) = server(|_| refusal(403, "Forbidden", "no"));
        let (events, publisher) = Events::new(client, Authority::unshared());
        for replicas in [3, 4] {
            events.publish(&policy(), "plimsoll-0", &rescale(replicas), Time::default());
        }
        drop(events);
        let failures = Arc::new(Mutex::new(Vec::new()));
        let told = failures.clone();
        publisher.run(move |published| told.lock().unwrap().push(published.unwrap_err().kind)).await;
        assert_eq!(*failures.lock().unwrap(), [ApiErrorKind::Forbidden; 2]);
        assert_eq!(log.all().len(), 2);
    }

    #[test]
    fn events_beyond_the_queue_are_dropped_and_nobody_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _guard = runtime.enter();
        let (client, _) = server(|_| Answer::Never);
        let (events, _publisher) = Events::new(client, Authority::unshared());
        let taken = (0..2000)
            .filter(|count| events.publish(&policy(), "p", &rescale(*count), Time::default()))
            .count();
        assert_eq!(taken, QUEUE);
    }
}
