//! CRC-32 as in IEEE 802.3, zlib and everywhere else: reflected, polynomial `04C11DB7`.
//!
//! Half a byte at a time: the usual tables take 1-16 KB, on the chip out of the same memory as the heap, and what is
//! checked here is at most a sector at a time.

/// A CRC-32 over pieces.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// The CRC-32 of no bytes yet.
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Takes the next bytes.
    #[must_use]
    pub fn update(self, bytes: &[u8]) -> Self {
        let mut crc = self.0;
        for byte in bytes {
            crc = step(crc ^ u32::from(*byte));
            crc = step(crc);
        }
        Self(crc)
    }

    /// The CRC-32 of all bytes taken.
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

/// Divides by the polynomial for the four bits that come next.
fn step(crc: u32) -> u32 {
    // The index is below 16, so the default is never used.
    crc >> 4 ^ REMAINDERS.get((crc & 0xF) as usize).copied().unwrap_or_default()
}

/// Remainders of the sixteen values of four bits.
const REMAINDERS: [u32; 16] = [
    0x0000_0000,
    0x1DB7_1064,
    0x3B6E_20C8,
    0x26D9_30AC,
    0x76DC_4190,
    0x6B6B_51F4,
    0x4DB2_6158,
    0x5005_713C,
    0xEDB8_8320,
    0xF00F_9344,
    0xD6D6_A3E8,
    0xCB61_B38C,
    0x9B64_C2B0,
    0x86D3_D2D4,
    0xA00A_E278,
    0xBDBD_F21C,
];

#[cfg(test)]
mod tests {
    use super::Crc32;

    #[test]
    fn the_check_value_of_the_catalogues_comes_out_in_any_pieces() {
        for cut in 0..=9 {
            let (first, second) = b"123456789".split_at(cut);
            assert_eq!(Crc32::new().update(first).update(second).finish(), 0xCBF4_3926);
        }
        assert_eq!(Crc32::new().finish(), 0);
    }
}
