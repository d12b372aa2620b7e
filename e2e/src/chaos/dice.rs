//! Chance without a sequence: each draw depends on the seed and on what it is for, never on what was drawn before, so
//! that two things that happen at the same instant in another order do not change everything after them.

use crate::random::Random;

/// A place in the tree of draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// The root of a seed's draws.
    pub fn seeded(seed: u64) -> Self {
        Self(Random::seeded(seed).bits())
    }

    /// The draws for something of this name.
    #[must_use]
    pub fn of(self, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.nth(hash)
    }

    /// The draws for the `n`th of something.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self(Random::seeded(self.0 ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).bits())
    }

    /// A generator that belongs to this place alone.
    pub fn random(self) -> Random {
        Random::seeded(self.0)
    }

    /// True with this probability.
    pub fn falls(self, probability: f64) -> bool {
        self.random().unit() < probability
    }
}

/// Draws of the kinds that scenarios are made of.
pub trait Draw {
    /// A whole number from `least` to `most`, both included.
    fn between(&mut self, least: u32, most: u32) -> u32;
    /// A number from `least` to `most`.
    fn level(&mut self, least: f64, most: f64) -> f64;
    /// True with this probability.
    fn chance(&mut self, probability: f64) -> bool;
    /// One of `choices`, of which there must be one.
    fn one<T: Clone>(&mut self, choices: &[T], otherwise: T) -> T;
}

impl Draw for Random {
    fn between(&mut self, least: u32, most: u32) -> u32 {
        let span = u64::from(most.saturating_sub(least)).saturating_add(1);
        least.saturating_add(u32::try_from(self.below(span)).unwrap_or(0))
    }

    fn level(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    fn one<T: Clone>(&mut self, choices: &[T], otherwise: T) -> T {
        self.pick(choices).cloned().unwrap_or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_its_place_alone() {
        let dice = Dice::seeded(7);
        assert_eq!(dice.of("a").nth(3), Dice::seeded(7).of("a").nth(3));
        assert_ne!(dice.of("a").nth(3), dice.of("a").nth(4));
        assert_ne!(dice.of("a").nth(3), dice.of("b").nth(3));
        let share = (0..10_000).filter(|n| dice.nth(*n).falls(0.2)).count();
        assert!((1_800..2_200).contains(&share), "{share}");
    }
}
