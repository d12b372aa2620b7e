//! The Lease that operators share: one object, read and written with the version that was seen.

use std::time::Duration;

use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use super::call::{ApiError, ApiErrorKind, Call};
use super::identity::{moment, timestamp};
use crate::election::{Outcome, Record, Versioned};
use crate::time::Span;

/// How long a request about the lease may take: short enough for a second try before the renew deadline.
const LEASE_DEADLINE: Duration = Duration::from_secs(3);
/// Who writes the lease.
const LEASE_MANAGER: &str = "plimsoll/lease";

/// Reads and writes one Lease.
pub struct Leases {
    api: Api<coordination::Lease>,
    namespace: String,
    name: String,
}

impl Leases {
    /// The Lease `name` in `namespace`.
    pub fn new(client: Client, namespace: String, name: String) -> Self {
        Self { api: Api::namespaced(client, &namespace), namespace, name }
    }

    /// What the Lease says; none if there is none.
    pub async fn read(&self) -> Result<Option<Versioned>, ApiError> {
        let found = self.call("get").answer_within(LEASE_DEADLINE, self.api.get_opt(&self.name)).await?;
        Ok(found.map(|lease| versioned(&lease)))
    }

    /// Writes the Lease if it still has this version; creates it if none is given.
    pub async fn write(&self, record: &Record, version: Option<&str>) -> (Outcome, Option<ApiError>) {
        let written = match version {
            None => self.create(record).await,
            Some(version) => self.patch(record, version).await,
        };
        match written {
            Ok(lease) => (Outcome::Landed(versioned(&lease).version), None),
            Err(error) => match error.kind {
                // With a version 404 says that the lease went; without one, that its namespace is missing.
                ApiErrorKind::Conflict => (Outcome::Refused, None),
                ApiErrorKind::NotFound if version.is_some() => (Outcome::Refused, None),
                _ => (Outcome::Unknown, Some(error)),
            },
        }
    }

    async fn create(&self, record: &Record) -> Result<coordination::Lease, ApiError> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let lease = coordination::Lease { metadata, spec: Some(spec(record)) };
        let params = PostParams { field_manager: Some(LEASE_MANAGER.to_owned()), ..PostParams::default() };
        self.call("create").answer_within(LEASE_DEADLINE, self.api.create(&params, &lease)).await
    }

    async fn patch(&self, record: &Record, version: &str) -> Result<coordination::Lease, ApiError> {
        let mut lease = json!({"metadata": {"resourceVersion": version}, "spec": spec(record)});
        if record.holder.is_none()
            && let Some(spec) = lease.get_mut("spec").and_then(|spec| spec.as_object_mut())
        {
            // A merge patch keeps what it does not name.
            spec.insert("holderIdentity".to_owned(), json!(""));
        }
        let params = PatchParams { field_manager: Some(LEASE_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&lease);
        self.call("patch").answer_within(LEASE_DEADLINE, self.api.patch(&self.name, &params, &patch)).await
    }

    fn call(&self, verb: &'static str) -> Call<'_> {
        Call { verb, resource: "leases", group: "coordination.k8s.io", namespace: Some(&self.namespace) }
    }
}

fn versioned(lease: &coordination::Lease) -> Versioned {
    let spec = lease.spec.clone().unwrap_or_default();
    let time = |time: Option<MicroTime>| time.map(|time| moment(time.0)).unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Versioned {
        record: Record {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            lease: Span::from_seconds(seconds.unwrap_or_default()),
            acquired: time(spec.acquire_time),
            renewed: time(spec.renew_time),
            transitions: spec
                .lease_transitions
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or_default(),
        },
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn spec(record: &Record) -> coordination::LeaseSpec {
    coordination::LeaseSpec {
        holder_identity: record.holder.clone(),
        lease_duration_seconds: i32::try_from(record.lease.rounded_seconds().max(1)).ok(),
        acquire_time: Some(MicroTime(timestamp(record.acquired))),
        renew_time: Some(MicroTime(timestamp(record.renewed))),
        lease_transitions: i32::try_from(record.transitions).ok(),
        ..coordination::LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cluster::testing::{Answer, refusal, server};
    use crate::time::Time;

    fn leases(client: Client) -> Leases {
        Leases::new(client, "plimsoll-system".to_owned(), "plimsoll".to_owned())
    }

    fn record(holder: Option<&str>) -> Record {
        let at = Time::from_seconds(1_789_998_400);
        let holder = holder.map(str::to_owned);
        Record { holder, lease: Span::from_seconds(15), acquired: at, renewed: at, transitions: 3 }
    }

    fn answered(holder: &str) -> Value {
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": "plimsoll", "resourceVersion": "8"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
                     "acquireTime": "2026-09-21T13:46:40.000000Z", "renewTime": "2026-09-21T13:46:40.000000Z"}})
    }

    #[tokio::test]
    async fn a_lease_is_written_with_the_version_that_was_seen_and_read_as_written() {
        let (client, log) = server(|_| Answer::Json(200, answered("a")));
        let (outcome, error) = leases(client.clone()).write(&record(Some("a")), Some("7")).await;
        assert_eq!((outcome, error), (Outcome::Landed("8".to_owned()), None));
        let asked = log.all().remove(0);
        assert_eq!(
            (asked.method.as_str(), &asked.body["metadata"]["resourceVersion"]),
            ("PATCH", &json!("7"))
        );
        let read = leases(client).read().await.unwrap().unwrap();
        assert_eq!(read, Versioned { record: record(Some("a")), version: "8".to_owned() });
    }

    #[tokio::test]
    async fn giving_back_clears_the_holder() {
        let (client, log) = server(|_| Answer::Json(200, answered("")));
        let _ = leases(client.clone()).write(&record(None), Some("7")).await;
        assert_eq!(log.all()[0].body["spec"]["holderIdentity"], "");
        assert_eq!(leases(client).read().await.unwrap().unwrap().record.holder, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_a_failed_write_is_told() {
        for (code, version, known) in [
            (409, Some("7"), true),
            (409, None, true),
            (404, Some("7"), true),
            (404, None, false),
            (403, None, false),
            (500, Some("7"), false),
            (429, Some("7"), false),
        ] {
            let (client, _) = server(move |_| refusal(code, "Whatever", "no"));
            let (outcome, error) = leases(client).write(&record(Some("a")), version).await;
            assert_eq!((outcome == Outcome::Refused, error.is_none()), (known, known), "{code} {version:?}");
        }
        let (client, _) = server(|_| Answer::Never);
        let started = tokio::time::Instant::now();
        let (outcome, error) = leases(client).write(&record(Some("a")), Some("7")).await;
        assert_eq!((outcome, started.elapsed()), (Outcome::Unknown, LEASE_DEADLINE));
        assert!(
            error
                .unwrap()
                .message
                .contains("did not answer patch leases in namespace plimsoll-system within 3 s")
        );
    }
}
