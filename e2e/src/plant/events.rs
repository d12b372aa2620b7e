//! Events that controllers record, so that `kubectl describe` tells what happened.

use serde_json::{Value, json};

use super::Controllers;
use crate::apiserver::object;
use crate::clock::whole_seconds;

impl Controllers {
    /// Records a normal event about `about`; a failure to record is of no consequence.
    pub(super) fn record(&mut self, about: &Value, reason: &str, message: &str, component: &str) {
        let now = whole_seconds(self.clock.now());
        let namespace = object::namespace(about).to_owned();
        let event = json!({
            "metadata": {"name": format!("{}.{:016x}", object::name(about), self.random.bits())},
            "involvedObject": {
                "apiVersion": object::text(about, &["apiVersion"]),
                "kind": object::text(about, &["kind"]),
                "name": object::name(about),
                "namespace": namespace,
                "uid": object::uid(about),
                "resourceVersion": object::resource_version(about),
            },
            "reason": reason,
            "message": message,
            "type": "Normal",
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        });
        if let Err(failure) = self.events.create(&namespace, event) {
            tracing::debug!(%failure, "an event was not recorded");
        }
    }
}
