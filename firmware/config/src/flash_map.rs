//! Where everything lives in flash: the only file with offsets.
//!
//! The 4 MB map follows the vendor SDK's map 6 (1024 + 1024): boot loader and two OTA slots below 2 MB, the SDK's
//! own five sectors at the end, ours between. The 1 MB map, for plugs, follows its map 2 (512 + 512), which wants the
//! first slot and the system parameters in the same places and takes a table without a second slot: one image has all
//! the room, and is replaced over the serial port only. All offsets and lengths are bytes; every region is a whole
//! number of sectors.

use core::fmt;

use embedded_storage::nor_flash::ReadNorFlash;

use crate::slots::Slot;

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
    /// 1 MB: boot loader, one slot, config A and B, store, SDK sectors.
    Map1M = 2,
}

impl FlashMap {
    /// The map with this number in the image descriptor.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Map4M),
            2 => Some(Self::Map1M),
            _ => None,
        }
    }

    /// The map of a flash of so many bytes: the largest that it has room for, if there is one.
    pub const fn for_capacity(bytes: u32) -> Option<Self> {
        if bytes >= Self::Map4M.flash_size() {
            Some(Self::Map4M)
        } else if bytes >= Self::Map1M.flash_size() {
            Some(Self::Map1M)
        } else {
            None
        }
    }

    /// The map that the device goes by: that of its flash's capacity. One too small for any map gets the smallest, and
    /// then answers that what is asked of it is out of bounds.
    pub fn of<F: ReadNorFlash>(flash: &F) -> Self {
        Self::for_capacity(u32::try_from(flash.capacity()).unwrap_or(u32::MAX)).unwrap_or(Self::Map1M)
    }

    /// Bytes of flash that the map needs.
    pub const fn flash_size(self) -> u32 {
        match self {
            Self::Map4M => 0x40_0000,
            Self::Map1M => 0x10_0000,
        }
    }

    /// Every region in ascending order; together they cover the flash without a gap.
    pub const fn regions(self) -> &'static [Region] {
        match self {
            Self::Map4M => &MAP_4M,
            Self::Map1M => &MAP_1M,
        }
    }

    /// A config slot: one sector.
    pub const fn config(self, slot: Slot) -> Region {
        match (self, slot) {
            (Self::Map4M, Slot::A) => CONFIG_A,
            (Self::Map4M, Slot::B) => CONFIG_B,
            (Self::Map1M, Slot::A) => small::CONFIG_A,
            (Self::Map1M, Slot::B) => small::CONFIG_B,
        }
    }

    /// Retained messages, sessions and counters.
    pub const fn store(self) -> Region {
        match self {
            Self::Map4M => STORE,
            Self::Map1M => small::STORE,
        }
    }

    /// SDK radio init data.
    pub const fn phy_data(self) -> Region {
        match self {
            Self::Map4M => PHY_DATA,
            Self::Map1M => small::PHY_DATA,
        }
    }

    /// SDK system parameters, with the credentials of the Wi-Fi.
    pub const fn system_parameter(self) -> Region {
        match self {
            Self::Map4M => SYSTEM_PARAMETER,
            Self::Map1M => small::SYSTEM_PARAMETER,
        }
    }

    /// The longest image that fits behind offset 0: boot loader and first slot.
    pub const fn image_max(self) -> u32 {
        match self {
            Self::Map4M => IMAGE_MAX,
            Self::Map1M => small::OTA_1.end(),
        }
    }
}

/// `4 MB` or `1 MB`, as in errors.
impl fmt::Display for FlashMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Map4M => "4 MB",
            Self::Map1M => "1 MB",
        })
    }
}

/// Boot loader sector of every map: what the chip's ROM loads.
pub const BOOT: Region = Region { name: "boot", offset: 0, length: SECTOR_SIZE };
/// First firmware slot of the 4 MB map, as is what follows.
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

/// The longest image of any map.
pub const IMAGE_MAX: u32 = OTA_1.end();

/// What is elsewhere in the 1 MB map.
mod small {
    use super::{Region, SECTOR_SIZE};

    pub(super) const OTA_1: Region = Region { name: "ota1", offset: 0x0_1000, length: 0xB_0000 };
    pub(super) const CONFIG_A: Region = Region { name: "config-a", offset: 0xB_1000, length: SECTOR_SIZE };
    pub(super) const CONFIG_B: Region = Region { name: "config-b", offset: 0xB_2000, length: SECTOR_SIZE };
    pub(super) const STORE: Region = Region { name: "store", offset: 0xB_3000, length: 0x4_8000 };
    pub(super) const RF_CAL: Region = Region { name: "rf-cal", offset: 0xF_B000, length: SECTOR_SIZE };
    pub(super) const PHY_DATA: Region = Region { name: "phy-data", offset: 0xF_C000, length: SECTOR_SIZE };
    pub(super) const SYSTEM_PARAMETER: Region =
        Region { name: "sdk", offset: 0xF_D000, length: 3 * SECTOR_SIZE };
}

const MAP_1M: [Region; 8] = [
    BOOT,
    small::OTA_1,
    small::CONFIG_A,
    small::CONFIG_B,
    small::STORE,
    small::RF_CAL,
    small::PHY_DATA,
    small::SYSTEM_PARAMETER,
];

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: [FlashMap; 2] = [FlashMap::Map4M, FlashMap::Map1M];

    #[test]
    fn regions_cover_the_flash_without_gap_or_overlap() {
        for map in MAPS {
            let end = map.regions().iter().fold(0, |end, region| {
                assert_eq!(region.offset, end, "{} starts where the one before it ends", region.name);
                assert_eq!(region.length % SECTOR_SIZE, 0, "{} is whole sectors", region.name);
                region.end()
            });
            assert_eq!(end, map.flash_size());
        }
    }

    #[test]
    fn what_is_asked_for_by_name_is_what_the_map_lists() {
        for map in MAPS {
            let named = |name| map.regions().iter().find(|region| region.name == name).copied().unwrap();
            assert_eq!(map.config(Slot::A), named("config-a"));
            assert_eq!(map.config(Slot::B), named("config-b"));
            assert_eq!(map.store(), named("store"));
            assert_eq!(map.phy_data(), named("phy-data"));
            assert_eq!(map.system_parameter(), named("sdk"));
            assert_eq!((map.image_max(), named("boot")), (named("ota1").end(), BOOT));
            assert!(map.image_max() <= IMAGE_MAX);
            assert_eq!(FlashMap::from_number(map as u8), Some(map));
        }
    }

    #[test]
    fn a_flash_gets_the_largest_map_that_it_has_room_for() {
        let maps = [0x7_FFFF, 0xF_FFFF, 0x10_0000, 0x20_0000, 0x3F_FFFF, 0x40_0000, 0x100_0000]
            .map(FlashMap::for_capacity);
        let (small, large) = (Some(FlashMap::Map1M), Some(FlashMap::Map4M));
        assert_eq!(maps, [None, None, small, small, small, large, large]);
    }

    #[test]
    fn overlap_is_found_at_both_edges_and_not_between_neighbours() {
        assert!(!CONFIG_A.overlaps(&CONFIG_B));
        let across = Region { name: "x", offset: CONFIG_A.offset + 4095, length: 2 };
        assert!(across.overlaps(&CONFIG_A) && across.overlaps(&CONFIG_B) && CONFIG_A.overlaps(&across));
    }
}
