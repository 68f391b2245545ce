//! The SDK's partition table, from the flash map.
//!
//! NONOS SDK API reference, "Partition Table": types below 100 are the SDK's, the radio's and system parameters must be
//! there, and the map's number must be the size in the header at the beginning of the flash.

use espbroker_config::flash_map::{FlashMap, Region};

/// The map that this image is built for.
pub(crate) const MAP: FlashMap = if cfg!(feature = "flash-1mb") { FlashMap::Map1M } else { FlashMap::Map4M };
/// `FLASH_SIZE_32M_MAP_1024_1024` or `FLASH_SIZE_8M_MAP_512_512`, the SDK's number of the map.
#[cfg(target_arch = "xtensa")]
pub(crate) const SDK_MAP: u32 = match MAP {
    FlashMap::Map4M => 6,
    FlashMap::Map1M => 2,
};
/// First of the types that are free for programs.
const OWN: u32 = 100;
/// The table's number of entries.
pub(crate) const COUNT: usize = MAP.regions().len();

/// An entry: type, address, size.
pub(crate) type Entry = (u32, u32, u32);

/// The table in the order of the addresses, which the SDK's test for overlaps wants.
pub(crate) const fn table() -> [Entry; COUNT] {
    table_of(MAP)
}

const fn table_of<const COUNT: usize>(map: FlashMap) -> [Entry; COUNT] {
    let regions = map.regions();
    let mut table = [(0, 0, 0); COUNT];
    let (mut index, mut own) = (0, OWN);
    while index < COUNT {
        #[expect(
            clippy::indexing_slicing,
            reason = "index is below the length of both, and this is not run but compiled"
        )]
        let Region { name, offset, length } = regions[index];
        let kind = match name.as_bytes() {
            b"boot" => 1,
            b"ota1" => 2,
            b"ota2" => 3,
            b"rf-cal" => 4,
            b"phy-data" => 5,
            b"sdk" => 6,
            _ => {
                own += 1;
                own - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "as above")]
        {
            table[index] = (kind, offset, length);
        }
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large() -> [Entry; 9] {
        table_of(FlashMap::Map4M)
    }

    fn small() -> [Entry; 8] {
        table_of(FlashMap::Map1M)
    }

    #[test]
    fn the_sdk_finds_its_partitions_where_its_map_6_wants_them() {
        let entry = |kind| large().into_iter().find(|entry| entry.0 == kind).unwrap();
        assert_eq!(entry(1), (1, 0, 0x1000));
        assert_eq!(entry(2).1, 0x1000);
        assert_eq!(entry(3).1, 0x10_1000);
        assert!(entry(2).2 <= 0x10_0000 && entry(3).2 <= 0x10_0000, "longer slots are refused");
        assert_eq!(entry(4).2, 0x1000);
        assert_eq!(entry(5).2, 0x1000);
        assert_eq!(entry(6), (6, 0x3F_D000, 0x3000), "the last three sectors");
    }

    #[test]
    fn the_sdk_finds_its_partitions_where_its_map_2_wants_them() {
        let entry = |kind| small().into_iter().find(|entry| entry.0 == kind).unwrap();
        assert_eq!(entry(1), (1, 0, 0x1000));
        assert_eq!(entry(2).1, 0x1000);
        assert!(entry(2).2 <= 0x10_0000, "longer slots are refused");
        assert!(small().into_iter().all(|entry| entry.0 != 3), "there is one slot");
        assert_eq!((entry(4).2, entry(5).2), (0x1000, 0x1000));
        assert_eq!(entry(6), (6, 0xF_D000, 0x3000), "the last three sectors");
    }

    #[test]
    fn every_type_stands_for_one_partition() {
        for table in [large().to_vec(), small().to_vec()] {
            let mut kinds: Vec<u32> = table.iter().map(|entry| entry.0).collect();
            kinds.sort_unstable();
            assert!(kinds.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(table.windows(2).all(|pair| pair[0].1 + pair[0].2 == pair[1].1));
        }
        assert_eq!(table().len(), MAP.regions().len());
    }
}
