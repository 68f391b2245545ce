//! The firmware image for the virtual target.
//!
//! The device code of the virtual target is part of this program, so the image carries none: it is a boot image that
//! the boot ROM accepts, a descriptor, and filler. Its length is that of the vendor's smallest image for the chip, and
//! the filler packs about as badly as machine code does (deflate leaves 65 to 74 % of real images), so that the times
//! of a simulated set-up are those of a real one.

use espbroker_config::flash_map::FlashMap;
use espbroker_config::image::{
    BootHeader, DESCRIPTOR_LENGTH, Fields, SealError, Target, boot::BuildError as BootImageError,
    boot::Segment, boot_image, seal,
};

use crate::random::Random;

/// Bytes of the image: the vendor SDK's smallest program with Wi-Fi, as one piece from address 0.
pub const LENGTH: usize = 221_572;
/// Where the part begins that a chip runs from flash; the descriptor is its first thing.
const FLASH_CODE: usize = 0x1_0000;

/// Loaded segments of a typical program: instructions, constants, data.
const SEGMENTS: [(u32, usize); 3] = [(0x4010_0000, 26_336), (0x3FFE_8000, 848), (0x3FFE_8350, 1_184)];
const ENTRY: u32 = 0x4010_0004;
/// At the entry point, for a device that executes the image: `j .`, a loop that says and does nothing.
const LOOP: [u8; 3] = [0x06, 0xFF, 0xFF];
const LOOP_AT: usize = 4;

/// Why no image could be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The loaded part.
    #[error("cannot build boot image: {0}")]
    Boot(BootImageError),
    /// The descriptor: the version is empty, too long or has a NUL.
    #[error("cannot seal image: {0}")]
    Seal(SealError),
}

/// An image for the virtual target that reports this version, the same for the same version.
///
/// # Errors
/// [`BuildError::Seal`] unless `version` has 1 to 32 bytes without NUL.
pub fn build(version: &str) -> Result<Vec<u8>, BuildError> {
    build_for(Target::Virtual, version)
}

/// The same image with another target in its descriptor: this device executes its code, an endless loop.
///
/// # Errors
/// As [`build`].
pub fn build_for(target: Target, version: &str) -> Result<Vec<u8>, BuildError> {
    let mut random = Random::new(0xE5B0);
    let mut code = SEGMENTS.map(|(address, length)| (address, filler(&mut random, length)));
    let [(_, instructions), ..] = &mut code;
    instructions.iter_mut().skip(LOOP_AT).zip(LOOP).for_each(|(target, byte)| *target = byte);
    let segments: Vec<Segment<'_>> =
        code.iter().map(|(address, data)| Segment { address: *address, data }).collect();
    let mut image = boot_image(&BootHeader::dout_4m(ENTRY), &segments).map_err(BuildError::Boot)?;
    image.resize(FLASH_CODE + DESCRIPTOR_LENGTH, 0xFF);
    let rest = LENGTH.saturating_sub(image.len());
    image.extend(filler(&mut random, rest));
    let fields = Fields { target, flash_map: FlashMap::Map4M, name: "espbroker", version };
    seal(&mut image, FLASH_CODE, &fields).map_err(BuildError::Seal)?;
    Ok(image)
}

/// Bytes in which small values are more frequent, as in machine code.
fn filler(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.byte() & random.byte()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use espbroker_config::image::{check, check_boot_image};
    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    #[test]
    fn the_image_passes_every_check_and_is_the_same_every_time() {
        let image = build("1.2.3").unwrap();
        assert_eq!(image.len(), LENGTH);
        let descriptor = check(&image).unwrap();
        assert_eq!((descriptor.target, &descriptor.version[..]), (Target::Virtual, "1.2.3"));
        assert_eq!(check_boot_image(&image).unwrap().segments.len(), 3);
        assert_eq!(build("1.2.3").unwrap(), image);
        assert!(build("").is_err() && build(&"x".repeat(33)).is_err());
    }

    #[test]
    fn the_image_packs_as_badly_as_real_ones() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&build("1.2.3").unwrap()).unwrap();
        let percent = encoder.finish().unwrap().len() * 100 / LENGTH;
        assert!((65..=75).contains(&percent), "{percent} %");
    }
}
