//! Where everything lives in flash: the only file with offsets.
//!
//! The 4 MB map follows the vendor SDK's map 6 (1024 + 1024): boot loader and two OTA slots below 2 MB, the SDK's
//! own five sectors at the end, ours between. All offsets and lengths are bytes; every region is a whole number of
//! sectors.

/// Bytes in the smallest unit that NOR flash erases.
pub const SECTOR_SIZE: u32 = 4096;

/// A named, sector-aligned span of flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Short name used in plans, errors and `--region`.
    pub name: &'static str,
    /// First byte, a multiple of [`SECTOR_SIZE`].
    pub offset: u32,
    /// Bytes, a multiple of [`SECTOR_SIZE`].
    pub length: u32,
}

impl Region {
    /// First byte behind the region.
    pub const fn end(&self) -> u32 {
        self.offset + self.length
    }

    /// Whether `other` shares at least one byte with this region.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// Which map an image was built for; the number stands in the image descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FlashMap {
    /// 4 MB: boot loader, two OTA slots, config A and B, store, SDK sectors.
    Map4M = 1,
}

impl FlashMap {
    /// The map with this number in the image descriptor.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Map4M),
            _ => None,
        }
    }

    /// Bytes of flash that the map needs.
    pub const fn flash_size(self) -> u32 {
        match self {
            Self::Map4M => 0x40_0000,
        }
    }

    /// Every region in ascending order; together they cover the flash without a gap.
    pub const fn regions(self) -> &'static [Region] {
        match self {
            Self::Map4M => &MAP_4M,
        }
    }
}

/// Boot loader sector: what the chip's ROM loads.
pub const BOOT: Region = Region { name: "boot", offset: 0, length: SECTOR_SIZE };
/// First firmware slot.
pub const OTA_1: Region = Region { name: "ota1", offset: 0x00_1000, length: 0x10_0000 };
/// Second firmware slot, same link address as the first.
pub const OTA_2: Region = Region { name: "ota2", offset: 0x10_1000, length: 0x0F_F000 };
/// Config slot A: one sector.
pub const CONFIG_A: Region = Region { name: "config-a", offset: 0x20_0000, length: SECTOR_SIZE };
/// Config slot B: one sector.
pub const CONFIG_B: Region = Region { name: "config-b", offset: 0x20_1000, length: SECTOR_SIZE };
/// Retained messages, sessions and counters.
pub const STORE: Region = Region { name: "store", offset: 0x20_2000, length: 0x1F_9000 };
/// SDK radio calibration.
pub const RF_CAL: Region = Region { name: "rf-cal", offset: 0x3F_B000, length: SECTOR_SIZE };
/// SDK radio init data (`esp_init_data_default`).
pub const PHY_DATA: Region = Region { name: "phy-data", offset: 0x3F_C000, length: SECTOR_SIZE };
/// SDK system parameters, three sectors.
pub const SYSTEM_PARAMETER: Region = Region { name: "sdk", offset: 0x3F_D000, length: 3 * SECTOR_SIZE };

const MAP_4M: [Region; 9] =
    [BOOT, OTA_1, OTA_2, CONFIG_A, CONFIG_B, STORE, RF_CAL, PHY_DATA, SYSTEM_PARAMETER];

/// The longest image that fits behind offset 0: boot loader and first slot.
pub const IMAGE_MAX: u32 = OTA_1.end();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_cover_the_flash_without_gap_or_overlap() {
        let map = FlashMap::Map4M;
        let end = map.regions().iter().fold(0, |end, region| {
            assert_eq!(region.offset, end, "{} starts where the one before it ends", region.name);
            assert_eq!(region.length % SECTOR_SIZE, 0, "{} is whole sectors", region.name);
            region.end()
        });
        assert_eq!(end, map.flash_size());
    }

    #[test]
    fn overlap_is_found_at_both_edges_and_not_between_neighbours() {
        assert!(!CONFIG_A.overlaps(&CONFIG_B));
        let across = Region { name: "x", offset: CONFIG_A.offset + 4095, length: 2 };
        assert!(across.overlaps(&CONFIG_A) && across.overlaps(&CONFIG_B) && CONFIG_A.overlaps(&across));
    }
}
