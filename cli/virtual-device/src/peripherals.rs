//! [`Peripherals`]: what the CPU of the chip reaches by address: RAM, eFuses, UART divider, flash controller.
//!
//! Addresses from the vendor SDK's register headers. The loader's register commands go through here, and RAM uploads
//! land here. Everything else in the peripheral space is plain memory that reads back what was written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use espbroker_flasher::protocol::{CHIP_MAGIC, CHIP_MAGIC_REGISTER, EFUSE_BASE, UART_CLOCK_DIVIDER};

use crate::nor::Nor;
use crate::spi::Spi;
use crate::uart;

/// Data RAM that a loader may fill: the user's 80 KiB and the ROM's 16 KiB.
pub(crate) const DRAM: Range<u32> = 0x3FFE_8000..0x4000_0000;
/// Instruction RAM, with both blocks that could be cache.
pub(crate) const IRAM: Range<u32> = 0x4010_0000..0x4011_0000;

/// The flash chip, shared between the loader, the flash controller and running firmware.
#[derive(Clone, Debug)]
pub(crate) struct SharedNor(Arc<Mutex<Nor>>);

impl SharedNor {
    /// Shares `nor`.
    pub(crate) fn new(nor: Nor) -> Self {
        Self(Arc::new(Mutex::new(nor)))
    }

    /// Waits for the others to be done with it. A holder that panicked leaves the array as it was.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Nor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that has an address.
#[derive(Debug)]
pub(crate) struct Peripherals {
    /// The flash chip on the controller's pins.
    pub(crate) nor: SharedNor,
    /// The flash controller.
    pub(crate) spi: Spi,
    /// UART0's clock divider.
    pub(crate) divider: u32,
    /// What [`CHIP_MAGIC_REGISTER`] holds.
    pub(crate) magic: u32,
    efuse: [u32; 4],
    dram: Vec<u8>,
    iram: Vec<u8>,
    others: BTreeMap<u32, u32>,
}

impl Peripherals {
    /// A chip with this MAC address and flash, before its first start.
    pub(crate) fn new(nor: SharedNor, mac: [u8; 6]) -> Self {
        let length = |range: &Range<u32>| (range.end - range.start) as usize;
        Self {
            nor,
            spi: Spi::default(),
            divider: uart::BOOT_DIVIDER,
            magic: CHIP_MAGIC,
            efuse: efuse(mac),
            dram: vec![0; length(&DRAM)],
            iram: vec![0; length(&IRAM)],
            others: BTreeMap::new(),
        }
    }

    /// Supply off and on: flash and registers as after that, RAM empty (on the chip it holds anything).
    pub(crate) fn power_cycle(&mut self) {
        self.nor.lock().power_cycle();
        self.dram.fill(0);
        self.iram.fill(0);
        self.reset();
    }

    /// Registers as after a reset; RAM keeps what it held, as on the chip.
    pub(crate) fn reset(&mut self) {
        self.spi = Spi::default();
        self.divider = uart::BOOT_DIVIDER;
        self.others.clear();
    }

    /// Reads a word; the two lowest address bits do not count.
    pub(crate) fn read(&self, address: u32) -> u32 {
        let address = address & !3;
        if let Some(bytes) = self.ram(address, 4) {
            return bytes.try_into().map_or(0, u32::from_le_bytes);
        }
        match address {
            CHIP_MAGIC_REGISTER => self.magic,
            UART_CLOCK_DIVIDER => self.divider,
            _ if Spi::contains(address) => self.spi.read(address),
            _ => {
                let word = (address.wrapping_sub(EFUSE_BASE) / 4) as usize;
                let efuse = self.efuse.get(word).copied();
                efuse.unwrap_or_else(|| self.others.get(&address).copied().unwrap_or(0))
            }
        }
    }

    /// Writes a word at `now`; writes to ROM and eFuses do nothing.
    pub(crate) fn write(&mut self, address: u32, value: u32, now: Duration) {
        let address = address & !3;
        if self.load(address, &value.to_le_bytes()) {
            return;
        }
        match address {
            UART_CLOCK_DIVIDER => self.divider = value & 0xF_FFFF,
            _ if Spi::contains(address) => self.spi.write(address, value, &mut self.nor.lock(), now),
            0x4000_0000..0x6000_0000 => {}
            _ if (EFUSE_BASE..EFUSE_BASE + 16).contains(&address) => {}
            _ => {
                self.others.insert(address, value);
            }
        }
    }

    /// Copies `bytes` into RAM; false when not all of it is RAM, and then nothing is copied.
    pub(crate) fn load(&mut self, address: u32, bytes: &[u8]) -> bool {
        let target =
            [(&DRAM, &mut self.dram), (&IRAM, &mut self.iram)].into_iter().find_map(|(range, memory)| {
                let start = address.checked_sub(range.start)? as usize;
                memory.get_mut(start..start.checked_add(bytes.len())?)
            });
        match target {
            Some(target) => {
                target.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// `length` bytes of RAM from `address` on; `None` when not all of it is RAM.
    pub(crate) fn ram(&self, address: u32, length: usize) -> Option<&[u8]> {
        [(&DRAM, &self.dram), (&IRAM, &self.iram)].into_iter().find_map(|(range, memory)| {
            let start = address.checked_sub(range.start)? as usize;
            memory.get(start..start.checked_add(length)?)
        })
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
    use crate::nor::FlashSource;
    use crate::timing::Pace;

    fn peripherals() -> Peripherals {
        let nor = Nor::new(FlashSource::Blank, 0x10_0000, [0xEF, 0x40, 0x14], Pace::Instant, 0).unwrap();
        Peripherals::new(SharedNor::new(nor), [0x5C, 0xCF, 0x7F, 0x01, 0x02, 0x03])
    }

    #[test]
    fn efuses_hold_the_mac_address_and_cannot_be_written() {
        let mut peripherals = peripherals();
        peripherals.write(EFUSE_BASE, 0, Duration::ZERO);
        let words = [0, 4, 12].map(|offset| peripherals.read(EFUSE_BASE + offset));
        assert_eq!(words, [0x0300_0000, 0x0000_0102, 0x005C_CF7F]);
        assert_eq!(peripherals.read(CHIP_MAGIC_REGISTER), 0xFFF0_C101);
    }

    #[test]
    fn ram_takes_bytes_up_to_its_last_and_not_one_more() {
        let mut peripherals = peripherals();
        assert!(peripherals.load(0x4010_C504, &[1, 2, 3, 4, 5]));
        assert_eq!(peripherals.read(0x4010_C505), 0x0403_0201);
        assert!(peripherals.load(0x3FFF_FFFF, &[9]));
        assert!(!peripherals.load(0x3FFF_FFFF, &[9, 9]));
        assert!(!peripherals.load(0x4000_0000, &[9]));
        assert!(!peripherals.load(u32::MAX, &[9, 9]));
    }

    #[test]
    fn registers_live_until_a_reset_and_ram_until_the_supply_goes() {
        let mut peripherals = peripherals();
        peripherals.write(0x6000_0704, 7, Duration::ZERO);
        peripherals.write(0x3FFE_8000, 8, Duration::ZERO);
        assert_eq!(peripherals.read(0x6000_0704), 7);
        peripherals.reset();
        assert_eq!((peripherals.read(0x6000_0704), peripherals.read(0x3FFE_8000)), (0, 8));
        peripherals.power_cycle();
        assert_eq!(peripherals.read(0x3FFE_8000), 0);
    }
}
