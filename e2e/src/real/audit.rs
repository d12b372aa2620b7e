//! What was asked of the API server and by whom, from its audit log.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

/// The API server's audit policy: every request of every user who is part of the scenario, without its body.
pub(crate) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  users: [system:apiserver, system:kube-controller-manager, system:kube-scheduler, kubelet, fake-kubelet]
- level: None
  nonResourceURLs: ['/*']
- level: Metadata
";

/// A request as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// The resource, with its subresource if any: `deployments/scale`.
    pub resource: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The object's name; empty for lists and watches of many.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl Request {
    /// Whether the request would change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The requests in the audit log at `path`, in the order in which they were answered.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Request>> {
    let log = fs::read_to_string(path)?;
    // The last line may be half written.
    Ok(log.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()).map(Request::from).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    user: EventUser,
    verb: String,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let ObjectRef { resource, subresource, namespace, name } = event.object_ref;
        let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        let code = event.response_status.map_or(0, |status| status.code);
        Self { user: event.user.username, verb: event.verb, resource, namespace, name, code }
    }
}
