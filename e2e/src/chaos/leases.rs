//! What happens to the lease of two operators.

use super::dice::Draw;
use super::fault::{On, WriteKind};
use super::scenario::Scenario;
use super::storm::Storm;

/// Draws what meets the writes of the lease, and at which of them a process ends.
pub fn contend(scenario: &mut Scenario, storm: &Storm) {
    let mut random = storm.dice.of("lease").random();
    for _ in 0..random.between(0, 2) {
        scenario.api.push(storm.fault(&mut random, On::Lease, 90));
    }
    if random.chance(0.4) {
        scenario.crashes.push(storm.crash_at(&mut random, WriteKind::Lease, 120));
    }
}
