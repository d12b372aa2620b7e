//! What is seen of a side over time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::OrdersError;
use super::fleet::Fleet;
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

/// Looks at a side until it is ended.
#[derive(Debug)]
pub struct Sampling {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<OrdersError>,
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sampling {
    /// Begins to look.
    pub fn start(side: Arc<Side>, fleet: Arc<Fleet>, beginning: Instant) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            match watch(&side, &fleet, beginning, &written).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        });
        Self { samples, task }
    }

    /// What was seen; an error if it could not be looked at to the end.
    pub async fn end(mut self) -> Result<Vec<Sample>, OrdersError> {
        if self.task.is_finished() {
            return Err((&mut self.task).await.unwrap_or_else(OrdersError::other));
        }
        Ok(self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn watch(
    side: &Side,
    fleet: &Fleet,
    beginning: Instant,
    samples: &Mutex<Vec<Sample>>,
) -> Result<std::convert::Infallible, OrdersError> {
    let mut ticks = interval(COUNT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
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
        let sample = Sample {
            seconds: beginning.elapsed().as_secs_f64(),
            replicas: side.replicas().await?,
            processes: fleet.running(side.namespace()),
            connections,
            connections_by_service,
            all_connections,
            attempts,
            refused,
            asked,
            done,
        };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}
