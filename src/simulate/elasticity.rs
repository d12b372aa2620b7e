//! The elasticity metrics of the SPEC Research Group (Herbst et al., ACM TOMPECS 2018).

use serde::Serialize;

use crate::number::from_count;

/// How well supply followed demand; percentages, 0 is ideal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Elasticity {
    /// θ_U: pods missing, as a share of demand, the mean over time.
    pub under_provisioning_accuracy: f64,
    /// θ_O: pods too many, as a share of demand, the mean over time.
    pub over_provisioning_accuracy: f64,
    /// τ_U: share of time with pods missing.
    pub under_provisioned_time: f64,
    /// τ_O: share of time with pods too many.
    pub over_provisioned_time: f64,
    /// υ: share of time in which supply and demand did not move in the same direction.
    pub instability: f64,
}

/// One interval: all of the same length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Fewest pods that meet the demand; 1 or more.
    pub demand: u32,
    /// Ready pods: what under-provisioning and instability are about.
    pub ready: u32,
    /// Pods paid for, booting ones included: what over-provisioning is about.
    pub provisioned: u32,
}

impl Elasticity {
    /// Of intervals of the same length, in order.
    pub fn of(intervals: &[Interval]) -> Self {
        let mut adding = Adding::default();
        for interval in intervals {
            adding.add(interval, 1.0);
            adding.move_to(interval);
        }
        adding.finish()
    }
}

/// Adds intervals up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Adding {
    sums: Elasticity,
    time: f64,
    moves: u32,
    apart: u32,
    last: Option<Interval>,
}

impl Adding {
    /// An interval that lasts so long.
    pub(super) fn add(&mut self, interval: &Interval, time: f64) {
        let demand = from_count(interval.demand.max(1));
        let missing = interval.demand.saturating_sub(interval.ready);
        let extra = interval.provisioned.saturating_sub(interval.demand);
        let sums = &mut self.sums;
        sums.under_provisioning_accuracy += time * from_count(missing) / demand;
        sums.over_provisioning_accuracy += time * from_count(extra) / demand;
        sums.under_provisioned_time += time * f64::from(u8::from(missing > 0));
        sums.over_provisioned_time += time * f64::from(u8::from(extra > 0));
        self.time += time;
    }

    /// The next interval of those that instability is about, all of the same length.
    pub(super) fn move_to(&mut self, next: &Interval) {
        if let Some(last) = self.last.replace(*next) {
            self.moves += 1;
            self.apart += u32::from(next.ready.cmp(&last.ready) != next.demand.cmp(&last.demand));
        }
    }

    pub(super) fn finish(self) -> Elasticity {
        let share = |sum: f64| if self.time > 0.0 { 100.0 * sum / self.time } else { 0.0 };
        Elasticity {
            under_provisioning_accuracy: share(self.sums.under_provisioning_accuracy),
            over_provisioning_accuracy: share(self.sums.over_provisioning_accuracy),
            under_provisioned_time: share(self.sums.under_provisioned_time),
            over_provisioned_time: share(self.sums.over_provisioned_time),
            instability: 100.0 * from_count(self.apart) / from_count(self.moves).max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_vector_is_met() {
        let demand = [2, 4, 4, 6, 3];
        let supply = [2, 2, 4, 4, 4];
        let intervals: Vec<_> = demand
            .into_iter()
            .zip(supply)
            .map(|(demand, supply)| Interval { demand, ready: supply, provisioned: supply })
            .collect();
        let found = Elasticity::of(&intervals);
        let expected = Elasticity {
            under_provisioning_accuracy: 100.0 / 6.0,
            over_provisioning_accuracy: 100.0 / 15.0,
            under_provisioned_time: 40.0,
            over_provisioned_time: 20.0,
            instability: 100.0,
        };
        for (found, expected) in [
            (found.under_provisioning_accuracy, expected.under_provisioning_accuracy),
            (found.over_provisioning_accuracy, expected.over_provisioning_accuracy),
            (found.under_provisioned_time, expected.under_provisioned_time),
            (found.over_provisioned_time, expected.over_provisioned_time),
            (found.instability, expected.instability),
        ] {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn perfect_supply_has_no_fault_and_no_time_is_no_number_to_divide_by() {
        let perfect = [1, 5, 3].map(|pods| Interval { demand: pods, ready: pods, provisioned: pods });
        assert_eq!(Elasticity::of(&perfect), Elasticity::default());
        assert_eq!(Elasticity::of(&[]), Elasticity::default());
    }
}
