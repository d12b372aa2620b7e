//! Seeded random numbers (SplitMix64): the same seed gives the same run.

/// A small generator whose whole state is one number.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// The characters of which Kubernetes makes name suffixes: no vowels, nothing that reads as something else.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Random {
    /// A generator that repeats itself for the same `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.bits()).wrapping_mul(u128::from(limit));
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        let high = u32::try_from(self.bits() >> 32).unwrap_or(0);
        f64::from(high) / 4_294_967_296.0
    }

    /// A name suffix of `length` characters, as `generateName` appends it.
    pub fn suffix(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(self.pick(SUFFIX).copied().unwrap_or(b'x'))).collect()
    }

    /// A UUID of version 4.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// One of `choices`, each as likely; none of none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(choices.len()).unwrap_or(0));
        choices.get(usize::try_from(index).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names_and_uuids() {
        let (mut one, mut other) = (Random::seeded(7), Random::seeded(7));
        assert_eq!((one.suffix(5), one.uuid()), (other.suffix(5), other.uuid()));
        assert_ne!(one.uuid(), one.uuid());
        assert!((0..1000).all(|_| one.below(3) < 3 && (0.0..1.0).contains(&one.unit())));
    }
}
