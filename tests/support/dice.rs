//! Random numbers from a seed, for simulations.

use std::time::Duration;

/// A random number generator with a seed.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// From 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }

    pub fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.roll(most))
    }
}
