//! What is seen of a side over time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::OrdersError;
use super::fleet::Fleet;
use super::sampling::{Patience, Samples, Sampling};
use super::side::Side;

/// How often the connections are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// Of so many counts, the largest is kept, with everything else as it is then.
const COUNTS_PER_SAMPLE: u32 = 5;

/// A moment of one side.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Since the beginning of the course.
    pub seconds: f64,
    /// What each service is scaled to.
    pub replicas: BTreeMap<String, u32>,
    /// Processes of pods, those that drain included.
    pub processes: usize,
    /// The most connections of the services since the sample before.
    pub connections: u32,
    /// The most of each service since then.
    pub connections_by_service: BTreeMap<String, u32>,
    /// The most connections of all clients since then.
    pub all_connections: u32,
    /// Connections asked for since the beginning.
    pub attempts: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Queries that have arrived since the beginning.
    pub asked: u64,
    /// Those of them that were made.
    pub done: u64,
}

/// Begins to look at a side.
pub fn start(side: Arc<Side>, fleet: Arc<Fleet>, beginning: Instant) -> Sampling<Sample> {
    Sampling::start(move |samples| async move { watch(&side, &fleet, beginning, &samples).await })
}

async fn watch(
    side: &Side,
    fleet: &Fleet,
    beginning: Instant,
    samples: &Samples<Sample>,
) -> Result<Infallible, OrdersError> {
    let mut ticks = interval(COUNT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut patience, mut replicas) = (Patience::default(), BTreeMap::new());
    loop {
        let (mut connections, mut all_connections) = (0, 0);
        let mut connections_by_service = BTreeMap::new();
        for _ in 0..COUNTS_PER_SAMPLE {
            ticks.tick().await;
            let mut counts = side.connections().await?;
            let others = counts.remove("").unwrap_or(0);
            let ours = counts.values().sum::<u32>();
            connections = connections.max(ours);
            all_connections = all_connections.max(ours + others);
            for (service, count) in counts {
                let most = connections_by_service.entry(service).or_insert(0);
                *most = count.max(*most);
            }
        }
        let [attempts, refused, asked, done] = fleet.counts(side.namespace());
        // Connections that were counted are not lost with the look at the replicas.
        if let Some(seen) = patience.bear(side.replicas().await)? {
            replicas = seen;
        }
        let sample = Sample {
            seconds: beginning.elapsed().as_secs_f64(),
            replicas: replicas.clone(),
            processes: fleet.running(side.namespace()),
            connections,
            connections_by_service,
            all_connections,
            attempts,
            refused,
            asked,
            done,
        };
        samples.push(sample);
    }
}
