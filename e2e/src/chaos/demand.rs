//! What a workload is asked to do: levels, ramps and noise over time.

use std::time::Duration;

use super::dice::{Dice, Draw};

/// Demand over time, in pods' worth of work.
#[derive(Clone, Debug)]
pub struct Demand {
    legs: Vec<Leg>,
    noise: f64,
    /// From here on nothing changes.
    calm: Duration,
    dice: Dice,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    begins: Duration,
    from: f64,
    to: f64,
    lasts: Duration,
}

impl Demand {
    /// Draws demand between one pod's worth and `most`, that changes until `calm`.
    pub fn draw(dice: Dice, most: f64, calm: Duration) -> Self {
        let mut random = dice.random();
        let mut legs = Vec::new();
        let mut begins = Duration::ZERO;
        let mut level = random.level(1.0, most);
        while begins < calm {
            let to = if random.chance(0.15) { random.level(0.3, 1.0) } else { random.level(1.0, most) };
            let ramp = if random.chance(0.5) { 0 } else { random.between(10, 180) };
            let lasts = Duration::from_secs(u64::from(ramp));
            legs.push(Leg { begins, from: level, to, lasts });
            level = to;
            begins += lasts + Duration::from_secs(u64::from(random.between(20, 240)));
        }
        let noise = random.one(&[0.0, 0.0, 0.03, 0.1], 0.0);
        Self { legs, noise, calm, dice: dice.of("noise") }
    }

    /// The demand at a moment.
    pub fn at(&self, moment: Duration) -> f64 {
        let then = moment.min(self.calm);
        let leg = self.legs.iter().rev().find(|leg| leg.begins <= then);
        let level = leg.map_or(1.0, |leg| {
            let share = if leg.lasts.is_zero() {
                1.0
            } else {
                (then.saturating_sub(leg.begins).as_secs_f64() / leg.lasts.as_secs_f64()).min(1.0)
            };
            leg.from + (leg.to - leg.from) * share
        });
        if moment >= self.calm {
            return level;
        }
        let draw = self.dice.nth(u64::try_from(moment.as_millis()).unwrap_or(0)).random().level(-1.0, 1.0);
        level * (1.0 + self.noise * draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_stays_in_its_bounds_and_is_calm_in_the_end() {
        let calm = Duration::from_secs(600);
        for seed in 0..100 {
            let demand = Demand::draw(Dice::seeded(seed), 20.0, calm);
            assert!((0..600).all(|second| (0.2..=22.1).contains(&demand.at(Duration::from_secs(second)))));
            assert!((demand.at(calm) - demand.at(calm * 2)).abs() < 1e-12);
        }
    }
}
