//! Arguments: xorshift64* from a seed, every fourth number an edge of its type.

/// A source of numbers that is the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts from a seed; 0 is taken as 1.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The remainder is below a u32.
        u32::try_from((self.next() >> 16) % u64::from(bound)).unwrap_or(0)
    }

    /// A number of any magnitude: as many significant bits as not, or an edge.
    pub(crate) fn wide(&mut self) -> u128 {
        let low = u128::from(self.next());
        let any = u128::from(self.next()) << 64 | low;
        match self.below(8) {
            0 => u128::MAX >> self.below(128),
            1 => 1 << self.below(128),
            2 => !0 << self.below(128),
            3 => u128::from(self.next() & 0xFF),
            _ => any >> self.below(128),
        }
    }
}
