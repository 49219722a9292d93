//! Numbers that nobody can foresee by chance: the random part of ids, and of pauses. Pure.
//!
//! The gateway is asked for one seed; from then on the numbers are made here, for asking costs more
//! than all the rest of an id. They are not secret: who sees some of them can tell the next.
//!
//! Invariant: a number comes again only after all others.

/// The generator `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone, Copy)]
pub struct Dice(u64);

impl Dice {
    /// Ones that begin at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        // The first values that the reference implementation gives for this seed.
        let mut dice = Dice::new(1_234_567);
        let numbers = [dice.roll(), dice.roll(), dice.roll()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
