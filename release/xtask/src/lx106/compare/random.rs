//! A small generator of random numbers: the same sequence from the same seed, on every machine.

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 32 bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let [a, b, c, d, ..] = (mixed ^ (mixed >> 31)).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.bits() % bound
    }

    /// An operand: extreme values are as likely as any others.
    pub(super) fn operand(&mut self) -> u32 {
        match self.below(8) {
            0 => self.below(64),
            1 => 0_u32.wrapping_sub(self.below(64)),
            2 => 1 << self.below(32),
            3 => (1 << self.below(32)) - 1,
            4 => 0x8000_0000_u32.wrapping_sub(self.below(3)).wrapping_add(1),
            _ => self.bits(),
        }
    }

    /// One of the choices.
    pub(super) fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        let count = u32::try_from(choices.len()).unwrap_or(u32::MAX).max(1);
        choices.get(self.below(count) as usize).copied().unwrap_or_default()
    }
}
