//! What is left of a workload that is spread evenly over zones when some of them are lost.

use serde::{Deserialize, Serialize};

use crate::number::{MAX_COUNT, from_count};

/// The label by which Kubernetes tells the zone of a node, and from 1.35 on of its pods.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Zones, and how many of them may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// How many there are.
    pub all: u32,
    /// How many may be lost; fewer.
    pub lost: u32,
}

impl Zones {
    /// Replicas left when the zones are lost that held the most. Spread evenly, zones differ by one replica at most.
    pub fn left(self, replicas: u32) -> u32 {
        let all = self.all.max(1);
        let (each, over) = (replicas.div_euclid(all), replicas.rem_euclid(all));
        replicas.saturating_sub(each.saturating_mul(self.lost).saturating_add(over.min(self.lost)))
    }

    /// The fewest replicas of which so many are left.
    pub fn fewest(self, left: u32) -> u32 {
        let kept = self.all.saturating_sub(self.lost).max(1);
        // Full rounds of the zones, less one, leave too few: a few steps from there at most.
        let rounds = left.div_euclid(kept).saturating_sub(1);
        let from = rounds.saturating_mul(self.all);
        let most = from.saturating_add(self.all.saturating_mul(3)).min(MAX_COUNT);
        (from..=most).find(|replicas| self.left(*replicas) >= left).unwrap_or(most)
    }

    /// What need is multiplied by, so that the zones left carry it.
    pub fn factor(self) -> f64 {
        from_count(self.all.max(1)) / from_count(self.all.saturating_sub(self.lost).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas put one by one into the emptiest zone, the fullest zones lost.
    fn spread(zones: Zones, replicas: u32) -> u32 {
        let mut held = vec![0_u32; usize::try_from(zones.all).unwrap()];
        for _ in 0..replicas {
            *held.iter_mut().min().unwrap() += 1;
        }
        held.sort_unstable();
        held.iter().take(usize::try_from(zones.all - zones.lost).unwrap()).sum()
    }

    #[test]
    fn what_is_left_is_what_is_left_of_replicas_put_one_by_one() {
        for all in 2..=6 {
            for lost in 1..all {
                let zones = Zones { all, lost };
                for replicas in 0..60 {
                    assert_eq!(zones.left(replicas), spread(zones, replicas), "{zones:?} {replicas}");
                    let fewest =
                        (0..=replicas * all).find(|count| spread(zones, *count) >= replicas).unwrap();
                    assert_eq!(zones.fewest(replicas), fewest, "{zones:?} {replicas}");
                    // The factor alone is short of less than a replica for each zone that is lost.
                    let by_factor =
                        crate::number::ceil_count_forgiving(from_count(replicas) * zones.factor());
                    assert!(zones.left(by_factor) + lost > replicas, "{zones:?} {replicas}");
                }
            }
        }
        assert_eq!(Zones { all: 3, lost: 1 }.fewest(6), 9);
        assert_eq!(Zones { all: 3, lost: 1 }.left(u32::MAX), u32::MAX / 3 * 2);
    }
}
