//! A workload in virtual time: pods that take their time to start and to drain, rollouts, evictions, load.

use std::collections::VecDeque;

use super::chance::Chance;
use crate::control::{CountOrPercent, Departed, Pod, PodId, Rollout, UpdateStrategy, Workload};
use crate::number::{count_of, floor_count, from_count, percent_rounded_down, percent_rounded_up};
use crate::time::{Span, Time};

/// What a plant is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlantSettings {
    /// Time from creation to Ready; the median where it varies.
    pub start_up: Span,
    /// How much it varies: the standard deviation of its logarithm (a log-normal distribution). 0: not at all.
    pub start_up_spread: f64,
    /// A Ready pod's capacity grows in proportion to the time over this span.
    pub warm_up: Span,
    /// Time from the request to shut down until a pod is gone.
    pub drain: Span,
    /// `maxSurge` and `maxUnavailable`.
    pub max_surge: CountOrPercent,
    /// `maxUnavailable`.
    pub max_unavailable: CountOrPercent,
    /// Load that one Ready pod carries.
    pub capacity_per_pod: f64,
    /// Repeats the start-up times.
    pub seed: u64,
}

impl Default for PlantSettings {
    /// A Deployment with Kubernetes' defaults whose pods start in 20 s, drain in 2 s and carry 100 each.
    fn default() -> Self {
        Self {
            start_up: Span::from_seconds(20),
            start_up_spread: 0.0,
            warm_up: Span::ZERO,
            drain: Span::from_seconds(2),
            max_surge: CountOrPercent::Percent(25),
            max_unavailable: CountOrPercent::Percent(25),
            capacity_per_pod: 100.0,
            seed: 0,
        }
    }
}

/// A workload in virtual time.
#[derive(Clone, Debug)]
pub struct Plant {
    settings: PlantSettings,
    now: Time,
    replicas: u32,
    revision: u32,
    /// Pods of a revision from here on never become Ready.
    broken_from: Option<u32>,
    pods: VecDeque<PlantPod>,
    departed: Vec<Departed>,
    next_id: u64,
    /// When the rollout last moved on, and how many pods it had brought to Ready.
    progress: (Time, u32),
    chance: Chance,
    /// Ready pods.
    serving: u32,
    /// Nothing happens by itself before this moment.
    next_event: Option<Time>,
}

/// Without progress for this long, a rollout has failed; Kubernetes' default.
const PROGRESS_DEADLINE: Span = Span::from_seconds(600);

#[derive(Clone, Copy, Debug)]
struct PlantPod {
    id: PodId,
    revision: u32,
    created: Time,
    ready: Time,
    terminating_since: Option<Time>,
}

impl Plant {
    /// A workload whose `replicas` pods have been Ready for an hour.
    pub fn new(settings: PlantSettings, replicas: u32, now: Time) -> Self {
        let mut plant = Self {
            settings,
            now: now - Span::from_seconds(3600),
            replicas,
            revision: 0,
            broken_from: None,
            pods: VecDeque::new(),
            departed: Vec::new(),
            next_id: 0,
            progress: (now, 0),
            chance: Chance::new(settings.seed),
            serving: 0,
            next_event: None,
        };
        plant.reconcile();
        plant.advance(now);
        plant
    }

    /// Asks for a count.
    pub fn scale(&mut self, replicas: u32) {
        self.replicas = replicas;
        self.reconcile();
    }

    /// Begins to roll out a new revision; a `broken` one never becomes Ready.
    pub fn roll_out(&mut self, broken: bool) {
        self.revision += 1;
        self.broken_from = broken.then_some(self.revision);
        self.progress = (self.now, 0);
        self.reconcile();
    }

    /// Evicts this many of the oldest pods.
    pub fn evict(&mut self, pods: usize) {
        let now = self.now;
        for pod in self.pods.iter_mut().filter(|pod| pod.terminating_since.is_none()).take(pods) {
            pod.terminating_since = Some(now);
        }
        self.reconcile();
    }

    /// Lets time pass.
    pub fn advance(&mut self, until: Time) {
        while let Some(event) = self.next_event.filter(|event| *event <= until) {
            self.now = event.max(self.now);
            self.reconcile();
        }
        self.now = self.now.max(until);
    }

    /// Replicas asked for.
    pub fn replicas(&self) -> u32 {
        self.replicas
    }

    /// Ready pods.
    pub fn serving(&self) -> u32 {
        self.serving
    }

    /// What the Ready pods carry, in pods: those that still warm up count in part.
    pub fn capacity(&self) -> f64 {
        let warm_up = self.settings.warm_up;
        if warm_up == Span::ZERO {
            return from_count(self.serving);
        }
        let share =
            |pod: &PlantPod| (self.now.since(pod.ready).seconds() / warm_up.seconds()).clamp(0.0, 1.0);
        self.pods.iter().filter(|pod| self.is_serving(pod)).map(share).sum()
    }

    /// Pods that are not asked to stop, each with the moment since which it is Ready, if it is.
    pub fn alive_since(&self) -> impl Iterator<Item = (Time, Option<Time>)> {
        let alive = self.pods.iter().filter(|pod| pod.terminating_since.is_none());
        alive.map(|pod| (pod.created, self.is_started(pod).then_some(pod.ready)))
    }

    /// Pods that exist and so can hold connections.
    pub fn existing(&self) -> u32 {
        count_of(self.pods.len())
    }

    /// The share of the pods' capacity that `load` takes, 1 where they are full; infinite without pods.
    pub fn utilization(&self, load: f64) -> f64 {
        load / (f64::from(self.serving()) * self.settings.capacity_per_pod)
    }

    /// The workload as the operator would see it; each pod that went is told of once.
    pub fn workload(&mut self) -> Workload {
        let departed = std::mem::take(&mut self.departed);
        Workload { departed, ..self.seen() }
    }

    /// The workload as anybody sees it.
    pub(super) fn seen(&self) -> Workload {
        let pods = self.pods.iter().map(|pod| Pod {
            id: pod.id,
            created: pod.created,
            ready_since: self.is_started(pod).then_some(pod.ready),
            terminating_since: pod.terminating_since,
        });
        let alive = || self.pods.iter().filter(|pod| pod.terminating_since.is_none());
        let settled = alive().all(|pod| pod.revision == self.revision);
        Workload {
            spec_replicas: self.replicas,
            pods: pods.collect(),
            rollout: if settled {
                Rollout::Settled
            } else if self.now.since(self.progress.0) < PROGRESS_DEADLINE {
                Rollout::Progressing
            } else {
                Rollout::Stalled
            },
            revision: self.revision.into(),
            update: UpdateStrategy::RollingUpdate {
                max_surge: self.settings.max_surge,
                max_unavailable: self.settings.max_unavailable,
            },
            termination_grace: Span::from_seconds(30),
            progress_deadline: PROGRESS_DEADLINE,
            zones: 0,
            departed: Vec::new(),
        }
    }

    fn is_started(&self, pod: &PlantPod) -> bool {
        self.now >= pod.ready && self.broken_from.is_none_or(|broken| pod.revision < broken)
    }

    fn is_serving(&self, pod: &PlantPod) -> bool {
        pod.terminating_since.is_none() && self.is_started(pod)
    }

    /// What the Deployment controller would do at this moment.
    fn reconcile(&mut self) {
        self.bury();
        let surge = match self.settings.max_surge {
            CountOrPercent::Count(count) => count,
            CountOrPercent::Percent(percent) => percent_rounded_up(self.replicas, percent),
        };
        let unavailable = match self.settings.max_unavailable {
            CountOrPercent::Count(count) => count,
            CountOrPercent::Percent(percent) => percent_rounded_down(self.replicas, percent),
        };
        self.remove_excess(self.replicas.saturating_sub(unavailable));
        self.bury();
        let rolling = self.alive(|pod| pod.revision < self.revision) > 0;
        let most = self.replicas.saturating_add(if rolling { surge } else { 0 });
        while self.alive(|_| true) < most && self.alive(|pod| pod.revision == self.revision) < self.replicas {
            let ready = self.now + self.start_up();
            self.pods.push_back(PlantPod {
                id: PodId(self.next_id),
                revision: self.revision,
                created: self.now,
                ready,
                terminating_since: None,
            });
            self.next_id += 1;
        }
        let ready = self.alive(|pod| pod.revision == self.revision && self.is_started(pod));
        if ready > self.progress.1 {
            self.progress = (self.now, ready);
        }
        self.serving = self.alive(|pod| self.is_started(pod));
        let events = self.pods.iter().map(|pod| match pod.terminating_since {
            Some(since) => since + self.settings.drain,
            None => pod.ready,
        });
        self.next_event = events.filter(|event| *event > self.now).min();
    }

    fn start_up(&mut self) -> Span {
        let median = self.settings.start_up;
        if self.settings.start_up_spread <= 0.0 {
            return median;
        }
        let factor = (self.settings.start_up_spread * self.chance.normal()).exp();
        Span::from_millis(floor_count(median.seconds() * 1000.0 * factor).into())
    }

    fn alive(&self, counts: impl Fn(&PlantPod) -> bool) -> u32 {
        count_of(self.pods.iter().filter(|pod| pod.terminating_since.is_none() && counts(pod)).count())
    }

    /// Removes pods whose drain is over.
    fn bury(&mut self) {
        let (now, drain) = (self.now, self.settings.drain);
        let departed = &mut self.departed;
        self.pods.retain(|pod| {
            let gone = pod.terminating_since.is_some_and(|since| now >= since + drain);
            if gone {
                departed.push(Departed { id: pod.id, drain });
            }
            !gone
        });
    }

    /// Stops old pods as far as enough others serve, and pods of the newest revision beyond the count, the youngest
    /// first.
    fn remove_excess(&mut self, least_serving: u32) {
        while let Some(at) = self.next_to_stop(least_serving) {
            let now = self.now;
            if let Some(pod) = self.pods.get_mut(at) {
                pod.terminating_since = Some(now);
            }
        }
    }

    fn next_to_stop(&self, least_serving: u32) -> Option<usize> {
        let alive = || self.pods.iter().enumerate().filter(|(_, pod)| pod.terminating_since.is_none());
        let newest = self.alive(|pod| pod.revision == self.revision);
        if newest > self.replicas {
            return alive().filter(|(_, pod)| pod.revision == self.revision).map(|(at, _)| at).next_back();
        }
        let enough_serve = self.alive(|pod| self.is_started(pod)) > least_serving;
        let mut old = alive().filter(|(_, pod)| pod.revision < self.revision);
        old.find(|(_, pod)| enough_serve || !self.is_started(pod)).map(|(at, _)| at)
    }
}
