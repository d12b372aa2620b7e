//! The world around the operator: the day's load, the service that carries it, the database behind it.

use std::time::Duration;

use super::DemoError;
use super::cluster::{Cluster, Pod, PodPhase};
use super::database::{Client, Database};
use super::service::{capacity, latency};
use super::story::{Chapter, Story};
use crate::real::Exporter;

/// What arrives, counted in front of the workload.
const ARRIVALS: &str = "ingress_requests_total";
const ARRIVALS_LABELS: [(&str, &str); 1] = [("service", "checkout")];

/// The database: connections in all, those for administrators alone, and those of the reporting jobs.
const MAX_CONNECTIONS: u32 = 300;
const RESERVED: u32 = 20;
const REPORTING: u32 = 40;

/// The world around the operator.
pub struct World {
    story: Story,
    exporter: Exporter,
    database: Database,
    arrivals: f64,
    now: Duration,
    has_rolled_out: bool,
    ceiling: u32,
}

/// The world at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scene {
    /// Time since the beginning.
    pub now: Duration,
    /// Time since the moment before.
    pub step: Duration,
    /// The part of the day.
    pub chapter: Chapter,
    /// Requests a second that arrive.
    pub load: f64,
    /// Requests a second that are served.
    pub served: f64,
    /// 99 of 100 requests take less, in seconds.
    pub p99: f64,
    /// Whether the rolling update has begun.
    pub has_rolled_out: bool,
    /// Replicas asked of the Deployment.
    pub asked: u32,
    /// Pods.
    pub pods: PodCounts,
    /// Connections.
    pub connections: Connections,
}

/// Pods by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodCounts {
    /// Not Ready yet.
    pub starting: u32,
    /// Taking requests.
    pub ready: u32,
    /// Shutting down.
    pub terminating: u32,
}

/// The database's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub used: u32,
    /// Held by others, and part of the former.
    pub others: u32,
    /// The most there can be.
    pub limit: u32,
    /// The most that were open at once.
    pub peak: u32,
    /// The most that were wanted at once.
    pub peak_wanted: u32,
    /// Attempts refused so far.
    pub refused: u64,
    /// Connections each pod opens.
    pub per_pod: u32,
}

impl World {
    /// A world in which the day has not begun.
    pub fn new(story: Story, cluster: &Cluster) -> Result<Self, DemoError> {
        let database = Database::new(MAX_CONNECTIONS, RESERVED, REPORTING);
        let shape = cluster.shape();
        let pods = database.limit().saturating_sub(REPORTING).checked_div(shape.pool).unwrap_or(0);
        // By Kubernetes' rules alone: replicas, the surge beside them, and one batch of old pods that still drain.
        let reachable = |replicas: u32| {
            let batch = shape.max_surge.saturating_add(shape.max_unavailable);
            replicas.saturating_add(shape.max_surge).saturating_add(batch.min(replicas))
        };
        let ceiling = (1..=pods).take_while(|replicas| reachable(*replicas) <= pods).last().unwrap_or(0);
        let exporter = Exporter::start()?;
        exporter.counter(ARRIVALS, &ARRIVALS_LABELS, 0.0);
        Ok(Self {
            story,
            exporter,
            database,
            arrivals: 0.0,
            now: Duration::ZERO,
            has_rolled_out: false,
            ceiling,
        })
    }

    /// Where its metrics are scraped.
    pub const fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// The most replicas that the database carries at any moment, a rolling update included; worked out without the
    /// operator's code.
    pub const fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// Lets time pass until `now`, counted from the beginning.
    pub fn advance(&mut self, now: Duration, cluster: &Cluster) -> Scene {
        let step = now.saturating_sub(self.now);
        self.now = now;
        let moment = now.as_secs_f64();
        if self.story.has_rolled_out(moment) && !self.has_rolled_out {
            self.has_rolled_out = cluster.roll_out().is_ok();
        }
        let load = self.story.load(moment);
        self.expose(load * step.as_secs_f64(), moment);

        let (pods, mut counts) = (cluster.pods(), PodCounts::default());
        self.database.serve(&clients(&pods), now);
        let mut shares = 0.0;
        for pod in &pods {
            match pod.phase {
                PodPhase::Starting => counts.starting += 1,
                PodPhase::Ready => {
                    counts.ready += 1;
                    shares += self.database.share(&pod.name);
                }
                PodPhase::Terminating => counts.terminating += 1,
            }
        }
        // A pod without all of its connections carries less.
        let capacity = capacity(counts.ready) * shares / f64::from(counts.ready.max(1));
        Scene {
            now,
            step,
            chapter: self.story.chapter(moment),
            load,
            served: load.min(capacity),
            p99: latency(load, capacity),
            has_rolled_out: self.has_rolled_out,
            asked: cluster.asked(),
            pods: counts,
            connections: Connections {
                used: self.database.used(),
                others: self.database.others(),
                limit: self.database.limit(),
                peak: self.database.peak(),
                peak_wanted: self.database.peak_wanted(),
                refused: self.database.refused(),
                per_pod: cluster.shape().pool,
            },
        }
    }

    /// Lets calm time pass before the day begins.
    pub fn stand_still(&mut self, step: Duration, cluster: &Cluster) {
        self.expose(self.story.load(0.0) * step.as_secs_f64(), 0.0);
        self.database.serve(&clients(&cluster.pods()), Duration::ZERO);
    }

    fn expose(&mut self, arrived: f64, moment: f64) {
        self.arrivals += arrived;
        if self.story.is_outage(moment) {
            self.exporter.remove_metric(ARRIVALS);
        } else {
            self.exporter.counter(ARRIVALS, &ARRIVALS_LABELS, self.arrivals);
        }
    }
}

/// The pods whose containers run: those that hold connections, or try to.
fn clients(pods: &[Pod]) -> Vec<Client> {
    let running = pods.iter().filter(|pod| pod.pool > 0);
    running.map(|pod| Client { name: pod.name.clone(), size: pod.pool }).collect()
}
