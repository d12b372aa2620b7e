//! Kubernetes events about policies: what `kubectl describe` shows last.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;

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
    queue: mpsc::Receiver<v1::Event>,
}

impl Events {
    /// A way to hand in events, and the publisher that must run for them to appear.
    pub fn new(client: Client) -> (Self, Publisher) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), Publisher { client, queue })
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
            published(call.answer(api.create(&PostParams::default(), &event)).await.map(|_| ()));
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
