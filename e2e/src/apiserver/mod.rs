//! An API server that lives in the test's own process: objects, watches, patches, server-side apply, CRDs with their
//! rules, tables and discovery, answered as a real `kube-apiserver` answers them.
//!
//! It is a [`tower::Service`] for [`kube::Client`], under tokio's paused clock if the test wishes, and it can listen on
//! loopback for `kubectl`. Controllers do not run in it: workloads come to life with [`crate::plant`].
//!
//! It leaves out: protobuf bodies (`kubectl create` of built-in kinds sends them, `kubectl apply` does not), the cost
//! budget of CEL rules, webhooks, quotas, conversion between versions of a CRD, aggregated APIs, and RBAC objects as a
//! source of permissions ([`ApiServer::deny`] and [`ApiServer::bind`] stand in for them).

mod authorization;
mod cluster;
mod collection;
mod custom;
mod delete;
mod discovery;
mod event;
mod http;
mod incoming;
mod jsonpath;
mod kinds;
mod listen;
pub(crate) mod object;
mod openapi;
mod ownership;
mod patch;
mod read;
mod representation;
mod request;
mod scale;
mod schema;
mod selector;
mod service;
mod status;
mod store;
mod strategic;
mod strategy;
mod subresources;
mod table;
mod watch;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub use authorization::Rule;
pub use collection::Collection;
pub use listen::Listening;
pub use request::{ResourceRequest, Verb};
pub use service::ApiService;
pub use status::{Cause, Failure, Subject};

pub(crate) use selector::label_selector_matches;
pub(crate) use store::{Change, Key, Object};

use crate::clock::Clock;
use authorization::Authorization;
use cluster::Cluster;

/// How the server is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Of names and uids.
    pub seed: u64,
    /// How many changes of each resource a watch can look back on.
    pub history: usize,
    /// The time that the server writes into objects.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, history: 10_000, clock: Clock::system() }
    }
}

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Arc<Mutex<Cluster>>,
    authorization: Mutex<Authorization>,
    clock: Clock,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// A server with nothing but the namespaces `default` and `kube-system`.
    pub fn new(settings: Settings) -> Self {
        let server = Self {
            shared: Arc::new(Shared {
                cluster: Arc::new(Mutex::new(Cluster::new(settings.seed, settings.history))),
                authorization: Mutex::default(),
                clock: settings.clock,
            }),
        };
        for namespace in ["default", "kube-system"] {
            server.add_namespace(namespace);
        }
        server
    }

    /// Makes a namespace, unless it is there.
    pub fn add_namespace(&self, name: &str) {
        let namespace: Value = json!({"metadata": {"name": name}});
        if let Ok(namespaces) = self.collection("", "v1", "namespaces") {
            // The only way to fail is that it exists.
            let _ = namespaces.create("", namespace);
        }
    }

    /// The clock that the server writes into objects.
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The revision of the last write.
    pub fn revision(&self) -> u64 {
        self.lock().store.revision()
    }

    /// Forgets the history of changes: watches that would begin before now are answered with 410.
    pub fn compact(&self) {
        self.lock().store.compact();
    }

    /// Refuses `verb` on `resource` (or `resource/subresource`) to everybody, with 403.
    pub fn deny(&self, verb: Verb, resource: &str) {
        self.authorization().deny(verb, resource);
    }

    /// Takes a denial back.
    pub fn allow_again(&self, verb: Verb, resource: &str) {
        self.authorization().allow_again(verb, resource);
    }

    /// Binds the bearer of `token`, known as `user`, to `rules` and nothing else.
    pub fn bind(&self, token: &str, user: &str, rules: Vec<Rule>) {
        self.authorization().bind(token, user, rules);
    }

    /// The server as a service for [`kube::Client::new`].
    pub fn service(&self) -> ApiService {
        ApiService::new(self.clone())
    }

    /// A client of the server that may do everything.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    /// A client that bears `token`.
    pub fn client_with_token(&self, token: &str) -> kube::Client {
        kube::Client::new(self.service().bearing(token), "default")
    }

    /// Deletes what is in a terminating namespace; true when nothing is left and the namespace is gone.
    pub(crate) fn empty_namespace(&self, name: &str) -> bool {
        let now = self.clock().now();
        self.lock().empty_namespace(name, now)
    }

    fn authorization(&self) -> MutexGuard<'_, Authorization> {
        self.shared.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
