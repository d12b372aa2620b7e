//! What happens to the lease of two operators.

use std::time::Duration;

use super::dice::{Dice, Draw};
use super::fault::{ApiClass, ApiFault, Crash, Moment, On, WriteKind};
use super::scenario::{STORM_BEGINS, Scenario};

/// Draws what meets the writes of the lease, and at which of them a process ends.
pub fn contend(scenario: &mut Scenario, dice: Dice) {
    let mut random = dice.of("lease").random();
    for _ in 0..random.between(0, 2) {
        let from = STORM_BEGINS + scenario.calm.saturating_sub(STORM_BEGINS).mul_f64(random.unit());
        let to = (from + Duration::from_secs(u64::from(random.between(5, 90)))).min(scenario.calm);
        let class = random.one(On::Lease.classes(), ApiClass::ServerError);
        let probability = random.one(&[0.3, 0.6, 1.0], 0.6);
        scenario.api.push(ApiFault { from, to, on: On::Lease, class, probability });
    }
    if random.chance(0.4) {
        let when =
            Moment::Write { kind: WriteKind::Lease, nth: random.between(1, 120), after: random.chance(0.5) };
        let down = Duration::from_secs(random.one(&[1_u64, 5, 30, 120], 5));
        scenario.crashes.push(Crash { when, down, gentle: false });
    }
}
