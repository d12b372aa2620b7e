//! What is seen of a side each second.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::api::DynamicObject;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::meter::Recent;
use super::shop::SERVICE;
use super::side::Side;
use crate::orders::OrdersError;
use crate::orders::fleet::Fleet;
use crate::orders::limits::policies;
use crate::orders::sampling::{Patience, Samples, Sampling};

const INTERVAL: Duration = Duration::from_secs(1);
/// Over which time latency is told.
const LATENCY_WINDOW: Duration = Duration::from_secs(5);

/// A moment of one side. Counts are since the beginning of the course.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Since the beginning of the course.
    pub seconds: f64,
    /// What the service is scaled to.
    pub replicas: u32,
    /// The scalability ceiling as the policy's status tells it.
    pub ceiling: Option<u32>,
    /// Requests that arrived.
    pub asked: u64,
    /// Those that were made.
    pub done: u64,
    /// Those that a pod took and that were not made in time.
    pub given_up: u64,
    /// Those for which no pod had room.
    pub turned_away: u64,
    /// Of a hundred requests of the last five seconds that a pod took, one took longer; in seconds.
    pub p99_seconds: Option<f64>,
    /// How long each request took that ended since the sample before, in seconds.
    #[serde(skip)]
    pub ended_seconds: Vec<f64>,
}

/// Begins to look at a side.
pub fn start(side: Side, fleet: Arc<Fleet>, beginning: Instant) -> Sampling<Sample> {
    Sampling::start(move |samples| async move { watch(&side, &fleet, beginning, &samples).await })
}

async fn watch(
    side: &Side,
    fleet: &Fleet,
    beginning: Instant,
    samples: &Samples<Sample>,
) -> Result<Infallible, OrdersError> {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let policies = policies(&side.client(), side.namespace());
    let first = fleet.counts_of(side.namespace(), SERVICE);
    let mut recent = Recent::after(LATENCY_WINDOW, first);
    let mut patience = Patience::default();
    loop {
        let now = ticks.tick().await;
        let seen = async {
            let policy = policies.get_opt(SERVICE).await?;
            Ok((side.replicas().await?, policy.and_then(|policy| ceiling(&policy).0)))
        };
        let Some((replicas, ceiling)) = patience.bear(seen.await)? else { continue };
        let (counts, ended_seconds) = recent.look(fleet, side.namespace(), now);
        let sample = Sample {
            seconds: beginning.elapsed().as_secs_f64(),
            replicas,
            ceiling,
            asked: counts.asked - first.asked,
            done: counts.done - first.done,
            given_up: counts.given_up - first.given_up,
            turned_away: counts.turned_away - first.turned_away,
            p99_seconds: recent.percentile(99.0),
            ended_seconds,
        };
        samples.push(sample);
    }
}

/// The policy's scalability ceiling, and how it came about, as its status tells.
pub fn ceiling(policy: &DynamicObject) -> (Option<u32>, Option<String>) {
    let ceilings = policy.data.pointer("/status/ceilings").and_then(Value::as_array);
    let named = |ceiling: &&Value| ceiling.get("name").and_then(Value::as_str) == Some("scalability");
    let Some(found) = ceilings.into_iter().flatten().find(named) else { return (None, None) };
    let replicas = found.get("replicas").and_then(Value::as_u64);
    let reason = found.get("reason").and_then(Value::as_str);
    (replicas.and_then(|replicas| u32::try_from(replicas).ok()), reason.map(str::to_owned))
}
