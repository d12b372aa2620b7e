//! What happens between a run's beginning and its calm: deeds of people and nature, faults, crashes, clocks that jump.

use std::time::Duration;

use serde_json::{Value, json};

use super::dice::{Dice, Draw};
use super::fault::{ApiClass, ApiFault, Crash, MetricClass, MetricFault, Moment, On, WriteKind};
use super::scenario::{Deed, Revision, STORM_BEGINS, Workload, wall_at};
use crate::random::Random;

/// Draws what happens between [`STORM_BEGINS`] and the calm.
pub struct Storm {
    /// What is drawn from.
    pub dice: Dice,
    /// When it ends.
    pub calm: Duration,
}

impl Storm {
    /// A moment within the storm.
    pub fn moment(&self, random: &mut Random) -> Duration {
        let span = self.calm.saturating_sub(STORM_BEGINS);
        STORM_BEGINS + span.mul_f64(random.unit())
    }

    /// A stretch of it, of ten seconds to so many.
    pub fn stretch(&self, random: &mut Random, most: u32) -> (Duration, Duration) {
        let from = self.moment(random);
        (from, (from + Duration::from_secs(u64::from(random.between(10, most)))).min(self.calm))
    }

    /// What people and nature do to a workload.
    pub fn deeds(&self, index: usize, workload: &Workload) -> Vec<(Duration, usize, Deed)> {
        let mut random = self.dice.of("deeds").of(&workload.name).random();
        let mut deeds = Vec::new();
        for _ in 0..random.between(0, 6) {
            let (from, to) = self.stretch(&mut random, 240);
            // Shortly before the calm, what is put right needs no second deed: the calm does it.
            let mut both = |first: Deed, second: Deed| {
                deeds.push((from, index, first));
                deeds.push((to, index, second));
            };
            match random.below(17) {
                0 | 1 => deeds.push((from, index, Deed::Scale(random.between(1, 15)))),
                2 => both(Deed::Scale(0), Deed::Scale(random.between(1, 8))),
                3 | 4 => deeds.push((from, index, Deed::RollOut(Revision::Good))),
                5 => both(Deed::RollOut(Revision::Crashing), Deed::RollOut(Revision::Good)),
                6 => both(Deed::RollOut(Revision::NeverReady), Deed::RollOut(Revision::Good)),
                7 if workload.stateful => deeds.push((from, index, Deed::RollOut(Revision::Good))),
                7 => both(Deed::RollOut(Revision::SlowToEnd), Deed::RollOut(Revision::Good)),
                8 | 9 => {
                    let (first, second) = edit(&mut random);
                    deeds.push((from, index, Deed::Edit(first)));
                    if let Some(second) = second.filter(|_| random.chance(0.8)) {
                        deeds.push((to, index, Deed::Edit(second)));
                    }
                }
                10 => {
                    let name = random.one(
                        &[plimsoll::cluster::EMERGENCY_MAX, plimsoll::cluster::FREEZE],
                        plimsoll::cluster::FREEZE,
                    );
                    let until = wall_at(to);
                    let count = random.between(1, 10);
                    let text = if random.chance(0.7) {
                        format!("{count} until {until} because INC-1")
                    } else {
                        count.to_string()
                    };
                    both(Deed::Annotate(name, Some(text)), Deed::Annotate(name, None));
                }
                11 => both(Deed::DeletePolicy, Deed::CreatePolicy),
                12 => both(Deed::DeleteTarget, Deed::CreateTarget),
                13 => both(Deed::PutAutoscaler, Deed::RemoveAutoscaler),
                14 => both(Deed::PutRival, Deed::RemoveRival),
                15 => {
                    let share = random.level(0.2, 1.0);
                    let evicted = random.between(1, 5);
                    deeds.push((
                        from,
                        index,
                        if random.chance(0.5) { Deed::Evict(evicted) } else { Deed::LoseNode(share) },
                    ));
                }
                _ => both(Deed::FillQuota, Deed::EmptyQuota),
            }
        }
        deeds
    }

    /// What meets requests to the API server.
    pub fn api(&self) -> Vec<ApiFault> {
        let mut random = self.dice.of("api").random();
        let count = random.between(0, 6);
        (0..count)
            .map(|_| {
                let on = random.one(&On::ALL, On::Scale);
                let (from, to) =
                    self.stretch(&mut random, if matches!(on, On::Watch(_)) { 450 } else { 150 });
                let class = random.one(on.classes(), ApiClass::ServerError);
                let probability = if on.is_stream() {
                    random.one(&[0.5, 1.0], 1.0)
                } else {
                    random.one(&[0.2, 0.5, 1.0], 0.5)
                };
                ApiFault { from, to, on, class, probability }
            })
            .collect()
    }

    /// What meets such requests for a stretch of at most so many seconds.
    pub fn fault(&self, random: &mut Random, on: On, most: u32) -> ApiFault {
        let (from, to) = self.stretch(random, most);
        let class = random.one(on.classes(), ApiClass::ServerError);
        ApiFault { from, to, on, class, probability: random.one(&[0.3, 0.6, 1.0], 0.6) }
    }

    /// A process that ends at one of the first so many writes of a kind.
    pub fn crash_at(&self, random: &mut Random, kind: WriteKind, most: u32) -> Crash {
        let when = Moment::Write { kind, nth: random.between(1, most), after: random.chance(0.5) };
        Crash { when, down: down(random), gentle: false }
    }

    /// What meets questions to the metrics server.
    pub fn metrics(&self, workloads: usize) -> Vec<MetricFault> {
        let mut random = self.dice.of("metrics").random();
        let count = random.between(0, 5);
        (0..count)
            .map(|_| {
                let (from, to) = self.stretch(&mut random, 180);
                let workloads = u64::try_from(workloads).unwrap_or(1);
                let workload = usize::try_from(random.below(workloads)).unwrap_or(0);
                let class = random.one(&MetricClass::ALL, MetricClass::Empty);
                MetricFault { from, to, workload, class, probability: random.one(&[0.3, 0.7, 1.0, 1.0], 1.0) }
            })
            .collect()
    }

    /// When processes end.
    pub fn crashes(&self) -> Vec<Crash> {
        let mut random = self.dice.of("crashes").random();
        let count = random.one(&[0, 0, 1, 1, 2, 3], 0);
        (0..count)
            .map(|_| {
                let when = if random.chance(0.25) {
                    Moment::At(self.moment(&mut random))
                } else {
                    let kind = random.one(
                        &[WriteKind::Scale, WriteKind::Scale, WriteKind::Status, WriteKind::Event],
                        WriteKind::Scale,
                    );
                    let nth = random.between(1, if kind == WriteKind::Scale { 8 } else { 20 });
                    Moment::Write { kind, nth, after: random.chance(0.5) }
                };
                Crash { when, down: down(&mut random), gentle: random.chance(0.2) }
            })
            .collect()
    }

    /// When the clock jumps, and what it is wrong by from then on.
    pub fn clock(&self) -> Vec<(Duration, i64)> {
        let mut random = self.dice.of("clock").random();
        let mut jumps = Vec::new();
        if random.chance(0.2) {
            for _ in 0..random.between(1, 3) {
                let size = random.one(&[2_000, 20_000, 25_000, 90_000, 3_600_000, 86_400_000], 2_000);
                let size = if random.chance(0.5) { size } else { -size };
                jumps.push((self.moment(&mut random), size));
            }
            jumps.sort_unstable();
            jumps.push((self.calm, 0));
        }
        jumps
    }
}

/// How long a process is down.
fn down(random: &mut Random) -> Duration {
    Duration::from_secs(random.one(&[1_u64, 5, 30, 120], 5))
}

/// An edit of a policy, and one that takes it back.
fn edit(random: &mut Random) -> (Value, Option<Value>) {
    match random.below(9) {
        0 => (json!({"mode": "DryRun"}), Some(json!({"mode": "Active"}))),
        1 => (
            json!({"mode": "Frozen", "frozen": {"replicas": 5}, "minReplicas": 1, "maxReplicas": 20}),
            Some(json!({"mode": "Active"})),
        ),
        2 => (json!({"paused": ["ScaleDown"]}), Some(json!({"paused": null}))),
        3 => (json!({"paused": ["ScaleUp"]}), Some(json!({"paused": null}))),
        4 => {
            (json!({"emergencyMax": {"replicas": random.between(1, 8)}}), Some(json!({"emergencyMax": null})))
        }
        5 => (
            json!({"minReplicas": 1, "maxReplicas": random.between(2, 20), "frozen": null, "fallback": null}),
            None,
        ),
        6 => {
            let max = random.between(8, 22);
            (
                json!({"minReplicas": random.between(3, 8), "maxReplicas": max, "frozen": null, "fallback": null}),
                None,
            )
        }
        7 => {
            let target = random.one(&["5", "10", "20"], "10");
            (json!({"target": target}), None)
        }
        _ => (json!({"pollingInterval": random.one(&[5, 10, 15], 10)}), None),
    }
}
