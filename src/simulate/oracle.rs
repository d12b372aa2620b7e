//! Who knows the future: the cheapest supply that never falls short, with the same start-up delay.
//!
//! Each level of demand is a pod of its own: between two needs it is either kept, or stopped and started again, which
//! costs the start-up time once more. The cheaper of both for every gap of every level is the least in all.

use crate::number::{MAX_COUNT, count_of, from_count};

/// The cheapest supply that never falls short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    /// Changes, by step: pods provisioned and Ready, each more or fewer.
    changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    step: u32,
    provisioned: i64,
    ready: i64,
}

impl Oracle {
    /// For a demand a step, with a start-up of so many steps. Pods that are needed sooner than they can start have been
    /// ordered before the beginning.
    pub fn new(demand: &[u32], start_up: u32) -> Self {
        let mut oracle = Self::default();
        // When each level was needed last, lowest first.
        let mut idle_since: Vec<Option<u32>> = Vec::new();
        let mut level = 0_u32;
        for (step, wanted) in (0_u32..).zip(demand) {
            let wanted = *wanted;
            let many = usize::try_from(wanted.max(level)).unwrap_or(usize::MAX);
            if idle_since.len() < many {
                idle_since.resize(many, None);
            }
            let (low, high) = (level.min(wanted), level.max(wanted));
            let range = usize::try_from(low).unwrap_or(0)..usize::try_from(high).unwrap_or(0);
            for idle in idle_since.get_mut(range).unwrap_or_default() {
                if wanted < level {
                    *idle = Some(step);
                } else {
                    oracle.need(*idle, step, start_up);
                }
            }
            level = wanted;
        }
        let end = count_of(demand.len());
        // What is needed up to the end is stopped there; what was not needed any more has been stopped.
        let still = usize::try_from(level).unwrap_or(usize::MAX);
        for idle in idle_since.iter().skip(still).flatten() {
            oracle.change(*idle, -1, -1);
        }
        oracle.changes.retain(|change| change.step < end);
        oracle.changes.sort_by_key(|change| change.step);
        oracle
    }

    /// A level that was idle, if it was ever needed, is needed from now on.
    fn need(&mut self, idle: Option<u32>, now: u32, start_up: u32) {
        match idle {
            Some(since) if now - since <= start_up => {}
            Some(since) => {
                self.change(since, -1, -1);
                self.start(now, start_up);
            }
            None => self.start(now, start_up),
        }
    }

    fn start(&mut self, needed: u32, start_up: u32) {
        self.change(needed.saturating_sub(start_up), 1, 0);
        self.change(needed, 0, 1);
    }

    fn change(&mut self, step: u32, provisioned: i64, ready: i64) {
        self.changes.push(Change { step, provisioned, ready });
    }

    /// Pods provisioned and Ready at each of so many steps.
    pub fn supply(&self, steps: u32) -> impl Iterator<Item = (u32, u32)> {
        let (mut provisioned, mut ready) = (0_i64, 0_i64);
        let mut changes = self.changes.iter().peekable();
        (0..steps).map(move |step| {
            while let Some(change) = changes.next_if(|change| change.step <= step) {
                provisioned += change.provisioned;
                ready += change.ready;
            }
            (count(provisioned), count(ready))
        })
    }

    /// Pods times steps, in all.
    pub fn cost(&self, steps: u32) -> f64 {
        self.supply(steps).map(|(provisioned, _)| from_count(provisioned)).sum()
    }
}

fn count(pods: i64) -> u32 {
    u32::try_from(pods.max(0)).unwrap_or(MAX_COUNT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::number::floor_count;

    /// The least cost there is, by trying everything: at each step, before it is paid, pods are stopped, booting or
    /// Ready, and started. The state is how many pods become Ready in so many steps, Ready ones at 0.
    fn cheapest(demand: &[u32], start_up: usize) -> u32 {
        let most = demand.iter().copied().max().unwrap_or(0) + 1;
        let mut states: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        // What is ordered before the beginning is free, but only what could have been ordered.
        for state in pipelines(start_up + 1, most) {
            states.insert(state, 0);
        }
        for &wanted in demand {
            let mut next: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
            for (state, cost) in &states {
                for kept in fewer(state) {
                    for started in 0..=most.saturating_sub(kept.iter().sum()) {
                        let mut now = kept.clone();
                        now[start_up] += started;
                        if now[0] < wanted {
                            continue;
                        }
                        let cost = cost + now.iter().sum::<u32>();
                        let mut later = now[1..].to_vec();
                        later.push(0);
                        later[0] += now[0];
                        let known = next.entry(later).or_insert(u32::MAX);
                        *known = (*known).min(cost);
                    }
                }
            }
            states = next;
        }
        *states.values().min().unwrap()
    }

    /// All ways to have up to `most` pods at so many stages.
    fn pipelines(stages: usize, most: u32) -> Vec<Vec<u32>> {
        if stages == 0 {
            return vec![Vec::new()];
        }
        (0..=most)
            .flat_map(|here| {
                pipelines(stages - 1, most - here).into_iter().map(move |mut rest| {
                    rest.insert(0, here);
                    rest
                })
            })
            .collect()
    }

    fn fewer(state: &[u32]) -> Vec<Vec<u32>> {
        state.iter().fold(vec![Vec::new()], |all, &pods| {
            all.iter()
                .flat_map(|begun| {
                    (0..=pods).map(move |kept| begun.iter().copied().chain([kept]).collect::<Vec<_>>())
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn nothing_that_serves_all_demand_is_cheaper(
            demand in prop::collection::vec(0_u32..4, 1..9),
            start_up in 1_u32..4,
        ) {
            let oracle = Oracle::new(&demand, start_up);
            let steps = count_of(demand.len());
            for ((provisioned, ready), wanted) in oracle.supply(steps).zip(&demand) {
                prop_assert!(ready >= *wanted && provisioned >= ready);
            }
            let best = cheapest(&demand, usize::try_from(start_up).unwrap());
            prop_assert_eq!(floor_count(oracle.cost(steps)), best);
        }
    }

    #[test]
    fn a_gap_shorter_than_a_start_is_kept_and_a_longer_one_is_not() {
        let demand = [1, 1, 2, 1, 2, 1, 1, 1, 1, 2];
        // Level 2: one step booting before step 2, needed at 2, 4 and 9; the gap of one is kept, the gap of four costs a start.
        let oracle = Oracle::new(&demand, 2);
        assert_eq!(floor_count(oracle.cost(10)), 10 + 2 + 3 + 3);
        let ready: Vec<u32> = oracle.supply(10).map(|(_, ready)| ready).collect();
        assert_eq!(ready, [1, 1, 2, 2, 2, 1, 1, 1, 1, 2]);
    }
}
