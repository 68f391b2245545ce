//! The image for offset 0: Espressif's boot loader, the program in the form that it loads, our descriptor.
//!
//! | offset | what |
//! |---|---|
//! | 0 | boot loader, its header's flash mode and size set; FF up to the slot |
//! | 0x1000 | `EA 04`, mode, size, entry; address 0 and length of what stays in flash, and that, up to a multiple of 16 |
//! | then | a boot image (`E9`) with what goes to RAM |
//! | then | a sum over the slot so far, which the boot loader's updater looks at |
//! | then | the descriptor |

use espbroker_config::{
    crc::Crc32,
    flash_map::{BOOT, FlashMap},
    image::{BootHeader, DESCRIPTOR_LENGTH, Fields, Target, boot_image, check_boot_image, seal},
};

use super::program::Program;
use crate::process::Failure;

/// First bytes of an image for the second boot loader; the second is its version of the format.
const MAGIC: [u8; 2] = [0xEA, 4];
/// DOUT, which every flash chip and wiring can do.
const MODE: u8 = 3;
/// 40 MHz.
const FREQUENCY: u8 = 0;
const PARAGRAPH: usize = 16;

/// Puts the image together.
///
/// # Errors
///
/// When the boot loader is none, or the program is too long for its slot.
pub(crate) fn build(
    program: &Program<'_>,
    boot_loader: &[u8],
    flash_map: FlashMap,
    version: &str,
) -> Result<Vec<u8>, Failure> {
    let size = size(flash_map);
    let boot = usize::try_from(BOOT.length)?;
    check_boot_image(boot_loader)?;
    if boot_loader.len() > boot {
        return Err(format!("the boot loader is longer than {boot} bytes: {}", boot_loader.len()).into());
    }
    let mut image = boot_loader.to_vec();
    // Neither is covered by the boot loader's checksum.
    if let Some([_, _, mode, flash, ..]) = image.first_chunk_mut::<4>() {
        (*mode, *flash) = (MODE, size << 4 | FREQUENCY);
    }
    image.resize(boot, 0xFF);
    image.extend(slot(program, size)?);
    image.resize(image.len().next_multiple_of(4), 0xFF);
    let descriptor = image.len();
    image.resize(descriptor + DESCRIPTOR_LENGTH, 0);
    let longest = flash_map.image_max();
    if image.len() > usize::try_from(longest)? {
        return Err(format!("the image is longer than {longest} bytes: {}", image.len()).into());
    }
    let fields = Fields { target: Target::Esp8266, flash_map, name: "espbroker", version };
    seal(&mut image, descriptor, &fields)?;
    Ok(image)
}

/// The SDK's number of the map; it must be the one that the partition table goes with.
const fn size(flash_map: FlashMap) -> u8 {
    match flash_map {
        FlashMap::Map4M => 6,
        FlashMap::Map1M => 2,
    }
}

fn slot(program: &Program<'_>, size: u8) -> Result<Vec<u8>, Failure> {
    let header =
        BootHeader { entry: program.entry, mode: MODE, size_nibble: size, frequency_nibble: FREQUENCY };
    let mut slot = Vec::from(MAGIC);
    slot.extend([MODE, size << 4 | FREQUENCY]);
    slot.extend(program.entry.to_le_bytes());
    slot.extend(0_u32.to_le_bytes());
    slot.extend(u32::try_from(program.flash.len().next_multiple_of(PARAGRAPH))?.to_le_bytes());
    slot.extend(program.flash);
    slot.resize(slot.len().next_multiple_of(PARAGRAPH), 0);
    slot.extend(boot_image(&header, &program.ram)?);
    slot.extend(sum(&slot).to_le_bytes());
    Ok(slot)
}

/// The boot loader's sum: a CRC-32 (IEEE) whose sign bit is cleared as Espressif's tools do it.
fn sum(bytes: &[u8]) -> u32 {
    let crc = Crc32::new().update(bytes).finish();
    if crc & 0x8000_0000 == 0 { crc.wrapping_add(1) } else { !crc }
}

#[cfg(test)]
mod tests {
    use espbroker_config::image::{boot::Segment, check};

    use super::{super::budget::Figures, *};

    fn program(flash: &[u8]) -> Program<'_> {
        let figures = Figures { instruction_ram: 0, data: 0, zeroed: 0, heap_at_link: 0, flash: 0 };
        let ram = vec![Segment { address: 0x4010_0000, data: b"code" }];
        Program { entry: 0x4010_0004, flash, ram, figures }
    }

    fn boot_loader() -> Vec<u8> {
        boot_image(&BootHeader::dout_4m(0x4010_0000), &[Segment { address: 0x4010_0000, data: b"boot" }])
            .unwrap()
    }

    #[test]
    fn the_boot_rom_and_the_set_up_accept_the_image() {
        for (map, nibble) in [(FlashMap::Map4M, 6), (FlashMap::Map1M, 2)] {
            let image = build(&program(&[7; 100]), &boot_loader(), map, "0.1.0").unwrap();
            assert_eq!(check_boot_image(&image).unwrap().header.size_nibble, nibble);
            let descriptor = check(&image).unwrap();
            assert_eq!((descriptor.target, descriptor.version.as_str()), (Target::Esp8266, "0.1.0"));
            assert_eq!(descriptor.flash_map, map);
        }
    }

    #[test]
    fn the_slot_holds_flash_and_ram_in_the_boot_loaders_form() {
        let image = build(&program(&[7; 100]), &boot_loader(), FlashMap::Map4M, "0.1.0").unwrap();
        let slot = &image[0x1000..];
        assert_eq!(slot[..16], [0xEA, 4, 3, 0x60, 4, 0, 0x10, 0x40, 0, 0, 0, 0, 112, 0, 0, 0]);
        assert_eq!(slot[16..128], [[7; 100].as_slice(), &[0; 12]].concat());
        let ram = check_boot_image(&slot[128..]).unwrap();
        assert_eq!((ram.header.entry, ram.segments[0].address), (0x4010_0004, 0x4010_0000));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refuses = |length, boot_loader: &[u8], map| {
            build(&program(&vec![0; length]), boot_loader, map, "0.1.0").is_err()
        };
        assert!(refuses(0x10_0000, &boot_loader(), FlashMap::Map4M));
        assert!(refuses(0xB_0000, &boot_loader(), FlashMap::Map1M));
        assert!(!refuses(0xB_0000, &boot_loader(), FlashMap::Map4M));
        let long = boot_image(&BootHeader::dout_4m(0), &[Segment { address: 0, data: &[0; 4096] }]).unwrap();
        assert!(refuses(0, &long, FlashMap::Map4M));
        assert!(refuses(0, b"none", FlashMap::Map4M));
    }
}
