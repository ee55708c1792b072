//! A seeded stream of choices, from which a whole case is built.

/// A stream of pseudo-random choices: the same seed makes the same choices on every machine.
#[derive(Debug)]
pub struct Choices {
    state: u64,
}

impl Choices {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any 64 bits: one step of SplitMix64, whose neighbouring seeds make unrelated streams.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % bound as u64).expect("less than a `usize`")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent as usize
    }

    /// True in `permille` of a thousand cases.
    pub fn rarely(&mut self, permille: u32) -> bool {
        self.below(1000) < permille as usize
    }

    /// One of several, which are not none.
    pub fn pick<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[self.below(several.len())]
    }

    /// One of several words, which are not none.
    pub fn word(&mut self, several: &[&'static str]) -> &'static str {
        several[self.below(several.len())]
    }

    /// One of several, each as likely as its weight says.
    pub fn weighted<T: Copy>(&mut self, several: &[(usize, T)]) -> T {
        let mut left = self.below(several.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in several {
            if left < *weight {
                return *one;
            }
            left -= weight;
        }
        unreachable!("`left` was below the sum of the weights")
    }
}
