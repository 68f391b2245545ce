//! [`Dport`]: system registers at 0x3FF00000: interrupt edges, CPU clock, the flash cache, eFuses.
//!
//! From the vendor SDK's `eagle_soc.h` and the boot ROM's use of the undocumented ones. The cache itself is
//! [`super::window`]'s, and nothing is slower than RAM. A window that is switched off reads
//! as 0, which as an instruction is illegal; what a chip gives there is not documented.

use crate::machine::registers::Plain;

const INTERRUPT_EDGES: u32 = 0x04;
const CACHE_CONTROL: u32 = 0x0C;
const CLOCK: u32 = 0x14;
/// Which RAM serves as cache.
pub(crate) const CACHE_SIZE: u32 = 0x24;
const NMI: u32 = 0x00;
/// CACHE_CONTROL: flush, and that it is done.
const CACHE_FLUSH: u32 = 1 << 0;
const CACHE_FLUSHED: u32 = 1 << 1;
const CACHE_ENABLE: u32 = 1 << 8;
/// CACHE_CONTROL: the controller is busy; never seen here.
const CACHE_BUSY: u32 = 1 << 9;
/// CACHE_SIZE: the RAM at 0x4010C000 is cache.
const CACHE_UPPER: u32 = 1 << 3;
/// CACHE_SIZE: the RAM at 0x40108000 is cache.
const CACHE_LOWER: u32 = 1 << 4;
/// Bytes that the window shows.
const WINDOW: u32 = 0x10_0000;

/// System registers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dport {
    registers: Plain,
    /// Four eFuse words from [`espbroker_flasher::protocol::EFUSE_BASE`] on.
    efuse: [u32; 4],
    cache: u32,
    cache_size: u32,
}

/// Offset of the first eFuse word.
const EFUSE: u32 = 0x50;
const EFUSE_END: u32 = EFUSE + 16;

impl Dport {
    /// The registers of a chip with this MAC address.
    pub(crate) fn new(mac: [u8; 6]) -> Self {
        Self { efuse: efuse(mac), ..Self::default() }
    }

    /// Registers as after a reset.
    pub(crate) fn restart(&mut self) {
        *self = Self { efuse: self.efuse, ..Self::default() };
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            CACHE_CONTROL => self.cache,
            CACHE_SIZE => self.cache_size,
            EFUSE..EFUSE_END => self.efuse.get(((offset - EFUSE) / 4) as usize).copied().unwrap_or(0),
            _ => self.registers.read(offset),
        }
    }

    /// Writes the register at `offset`; true when other code may be in the window now.
    pub(crate) fn write(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            CACHE_CONTROL => {
                let before = self.cache;
                self.cache = value & !CACHE_BUSY;
                // Software waits for this after a pulse, so it outlives the request.
                self.cache |= before & CACHE_FLUSHED;
                if value & CACHE_FLUSH != 0 {
                    self.cache |= CACHE_FLUSHED;
                }
                before != self.cache
            }
            CACHE_SIZE => {
                let before = self.cache_size;
                self.cache_size = value;
                before != value
            }
            EFUSE..EFUSE_END => false,
            _ => {
                self.registers.write(offset, value);
                false
            }
        }
    }

    /// Which interrupts the watchdog, FRC1 and FRC2 raise: bits 0 to 2.
    pub(crate) fn edges(&self) -> u32 {
        self.registers.read(INTERRUPT_EDGES)
    }

    /// Whether FRC1 raises the NMI.
    pub(crate) fn frc1_is_nmi(&self) -> bool {
        self.registers.read(NMI) & 1 != 0
    }

    /// CPU cycles in a period of the peripheral clock.
    pub(crate) fn cycles_per_tick(&self) -> u64 {
        1 + u64::from(self.registers.read(CLOCK) & 1)
    }

    /// Whether the instruction RAM at `address` serves as cache.
    pub(crate) const fn is_cache(&self, address: u32) -> bool {
        match address {
            0x4010_8000..0x4010_C000 => self.cache_size & CACHE_LOWER != 0,
            0x4010_C000..0x4011_0000 => self.cache_size & CACHE_UPPER != 0,
            _ => false,
        }
    }

    /// Where in flash the window's `offset` is; `None` while the cache is off.
    pub(crate) const fn flash_address(&self, offset: u32) -> Option<u32> {
        if self.cache & CACHE_ENABLE == 0 {
            return None;
        }
        let bank = (self.cache >> 16 & 7) * 2 * WINDOW;
        let odd = if self.cache >> 24 & 3 == 2 { WINDOW } else { 0 };
        Some(bank + odd + offset)
    }
}

/// The four eFuse words of an ESP8266EX: the whole address, its vendor half in the last word.
fn efuse(mac: [u8; 6]) -> [u32; 4] {
    let [vendor_0, vendor_1, vendor_2, device_0, device_1, device_2] = mac;
    // Word 1 also selects one of two built-in vendor numbers, which counts only while word 3 has none.
    [
        u32::from_be_bytes([device_2, 0, 0, 0]),
        u32::from_be_bytes([0, 0, device_0, device_1]),
        1 << 12,
        u32::from_be_bytes([0, vendor_0, vendor_1, vendor_2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_its_bank_bits() {
        let mut dport = Dport::default();
        assert_eq!(dport.flash_address(0), None);
        dport.write(CACHE_CONTROL, CACHE_ENABLE);
        assert_eq!(dport.flash_address(0x10), Some(0x10));
        dport.write(CACHE_CONTROL, CACHE_ENABLE | 2 << 24);
        assert_eq!(dport.flash_address(0), Some(0x10_0000));
        dport.write(CACHE_CONTROL, CACHE_ENABLE | 1 << 24 | 1 << 16);
        assert_eq!(dport.flash_address(0), Some(0x20_0000));
    }

    #[test]
    fn a_flush_is_done_at_once_and_the_busy_bit_never_set() {
        let mut dport = Dport::default();
        dport.write(CACHE_CONTROL, CACHE_FLUSH | CACHE_BUSY);
        assert_eq!(dport.read(CACHE_CONTROL), CACHE_FLUSH | CACHE_FLUSHED);
    }
}
