//! What the chip and its flash are: register reads only, nothing is changed.
//!
//! Register and eFuse layout follow the vendor's headers and the esptool serial protocol; the flash id is JEDEC's.

use crate::event::Stage;
use crate::link::CommandError;
use crate::protocol::{CHIP_MAGIC, CHIP_MAGIC_REGISTER, EFUSE_BASE, UART_CLOCK_DIVIDER};
use crate::session::Session;

/// Which chip of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// With its flash outside.
    Esp8266,
    /// With 1 or 2 MB of flash inside.
    Esp8285,
}

impl std::fmt::Display for Chip {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Esp8266 => "ESP8266",
            Self::Esp8285 => "ESP8285",
        })
    }
}

/// The flash's JEDEC id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashId {
    /// JEDEC manufacturer.
    pub manufacturer: u8,
    /// Memory type in the high byte, capacity code in the low one.
    pub device: u16,
    /// Bytes; `None` when the id is of no flash (pins, power, a flash in deep sleep) or the code is unknown.
    pub capacity: Option<u32>,
}

impl FlashId {
    /// Takes the three id bytes, first one lowest.
    pub fn from_word(word: u32) -> Self {
        let [manufacturer, kind, code, _] = word.to_le_bytes();
        let unreadable = matches!(word & 0x00FF_FFFF, 0 | 0x00FF_FFFF | 0x003F_FFFF);
        // Adesto keeps the size in the low five bits of the second byte, where 4 is 512 KiB.
        let capacity = match (manufacturer, code) {
            _ if unreadable => None,
            (0x1F, _) => Some(kind & 0x1F).filter(|code| (3..=9).contains(code)).map(|code| 1 << (code + 15)),
            (_, 0x12..=0x18) => Some(1 << code),
            (_, 0x32..=0x38) => Some(1 << (code - 0x20)),
            _ => None,
        };
        Self { manufacturer, device: u16::from_be_bytes([kind, code]), capacity }
    }

    /// The three bytes as hex, in the order of the wire.
    pub fn hex(&self) -> String {
        format!("{:02x}{:04x}", self.manufacturer, self.device)
    }
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// ESP8266 or ESP8285.
    pub chip: Chip,
    /// The station's address.
    pub mac: [u8; 6],
    /// 26 or 40.
    pub crystal_mhz: u32,
    /// The flash.
    pub flash: FlashId,
}

/// Why a device could not be identified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    /// A command failed.
    #[error("cannot identify the chip: {0}")]
    Command(#[from] CommandError),
    /// The chip is of another family.
    #[error(
        "chip is no ESP8266: register {CHIP_MAGIC_REGISTER:#010x} holds {found:#010x}, not: {expected:#010x}"
    )]
    WrongChip {
        /// [`CHIP_MAGIC`].
        expected: u32,
        /// What the register holds.
        found: u32,
    },
}

/// A reset stops the chip and not its flash, which answers nothing but its status while it erases: 64 KB take a W25Q32 2 s
/// at most.
const BUSY_MAX: std::time::Duration = std::time::Duration::from_secs(2);
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Session<'_> {
    /// Reads chip, MAC address, crystal and flash id.
    ///
    /// # Errors
    /// [`IdentifyError`]; a bad flash id is no error but a [`FlashId`] without capacity.
    pub fn identify(&mut self) -> Result<DeviceInfo, IdentifyError> {
        self.link.stage(Stage::Identify);
        // Reading the others does no harm on another chip.
        let [found, word0, word1, word2, word3, divider] = self.read_registers([
            CHIP_MAGIC_REGISTER,
            EFUSE_BASE,
            EFUSE_BASE + 4,
            EFUSE_BASE + 8,
            EFUSE_BASE + 12,
            UART_CLOCK_DIVIDER,
        ])?;
        if found != CHIP_MAGIC {
            return Err(IdentifyError::WrongChip { expected: CHIP_MAGIC, found });
        }
        let efuse = [word0, word1, word2, word3];
        let divider = divider & 0x000F_FFFF;
        let mut flash = FlashId::from_word(self.flash_id_word()?);
        let deadline = self.link.now() + BUSY_MAX;
        while flash.capacity.is_none() && self.link.now() < deadline {
            self.link.check_cancel().map_err(IdentifyError::Command)?;
            self.link.sleep(BUSY_PAUSE);
            flash = FlashId::from_word(self.flash_id_word()?);
        }
        Ok(DeviceInfo {
            chip: chip(efuse),
            mac: mac(efuse),
            crystal_mhz: crystal_mhz(self.link.baud(), divider),
            flash,
        })
    }
}

fn chip([word0, _, word2, _]: [u32; 4]) -> Chip {
    if word0 & (1 << 4) != 0 || word2 & (1 << 16) != 0 { Chip::Esp8285 } else { Chip::Esp8266 }
}

fn mac([word0, word1, _, word3]: [u32; 4]) -> [u8; 6] {
    let [low, middle, vendor, _] = word1.to_le_bytes();
    let [_, _, _, last] = word0.to_le_bytes();
    let [c, b, a, _] = word3.to_le_bytes();
    let [a, b, c] = match (word3, vendor) {
        (0, 0) => [0x18, 0xFE, 0x34],
        (0, 1) => [0xAC, 0xD0, 0x74],
        _ => [a, b, c],
    };
    [a, b, c, middle, low, last]
}

/// The UART divides twice the crystal's frequency, so rate and divider tell which crystal it is.
fn crystal_mhz(baud: u32, divider: u32) -> u32 {
    let estimate = u64::from(baud) * u64::from(divider) / 2;
    if estimate > 33_000_000 { 40 } else { 26 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_takes_its_vendor_part_from_the_fuses_or_from_the_two_early_blocks() {
        assert_eq!(mac([0x0100_0000, 0x0000_0000, 0, 0x005C_CF7F]), [0x5C, 0xCF, 0x7F, 0, 0, 1]);
        assert_eq!(mac([0xCC00_0000, 0x0200_AABB, 0, 0]), [0x18, 0xFE, 0x34, 0xAA, 0xBB, 0xCC]);
        assert_eq!(mac([0xCC00_0000, 0x0201_AABB, 0, 0]), [0xAC, 0xD0, 0x74, 0xAA, 0xBB, 0xCC]);
    }

    #[test]
    fn an_8285_is_known_by_either_of_two_fuse_bits() {
        assert_eq!(chip([0, 0, 0, 0]), Chip::Esp8266);
        assert_eq!(chip([1 << 4, 0, 0, 0]), Chip::Esp8285);
        assert_eq!(chip([0, 0, 1 << 16, 0]), Chip::Esp8285);
    }

    #[test]
    fn crystal_follows_from_rate_and_divider() {
        // 52 MHz and 80 MHz bus clocks.
        assert_eq!(crystal_mhz(115_200, 52_000_000 / 115_200), 26);
        assert_eq!(crystal_mhz(115_200, 80_000_000 / 115_200), 40);
        assert_eq!(crystal_mhz(460_800, 52_000_000 / 460_800), 26);
        assert_eq!(crystal_mhz(u32::MAX, u32::MAX), 40);
    }

    #[test]
    fn flash_capacity_follows_the_id_and_bad_ids_have_none() {
        assert_eq!(FlashId::from_word(0x16_40EF).capacity, Some(4 << 20));
        assert_eq!(FlashId::from_word(0x14_60C8).capacity, Some(1 << 20));
        assert_eq!(FlashId::from_word(0x36_25C2).capacity, Some(4 << 20));
        assert_eq!(FlashId::from_word(0x01_441F).capacity, Some(512 << 10));
        for bad in [0, 0x00FF_FFFF, 0x003F_FFFF] {
            assert_eq!(FlashId::from_word(bad).capacity, None);
        }
        assert_eq!(FlashId::from_word(0x16_40EF).hex(), "ef4016");
    }
}
