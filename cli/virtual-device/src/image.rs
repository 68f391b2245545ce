//! Firmware images: the one for the virtual target, and fillers for tests.
//!
//! [`build`] makes the image that the virtual ESP8266 executes, from the program that
//! `cargo xtask lx106 virtual` has built (`firmware/lx106/virtual-board`).
//!
//! [`filler`] makes images of no code for any target: boot images that the boot ROM accepts, with a descriptor. Their
//! length is that of the vendor's smallest image for the chip, and they pack about as badly as machine code does (deflate
//! leaves 65 to 74 % of real images), so that flashing them takes as long as a real one.

use espbroker_config::flash_map::FlashMap;
use espbroker_config::image::{
    BootHeader, DESCRIPTOR_LENGTH, Fields, SealError, Target, boot::BuildError as BootImageError,
    boot::Segment, boot_image, seal,
};

use crate::random::Random;

/// The program for the virtual target, with room for a descriptor.
const PROGRAM: &[u8] = include_bytes!("../../../firmware/lx106/virtual-board/virtual.bin");
/// Where that room is.
const DESCRIPTOR: usize = 0x8000;

/// Bytes of the image for the virtual target.
pub const LENGTH: usize = PROGRAM.len();
/// Bytes of a filler: the vendor SDK's smallest program with Wi-Fi, as one piece from address 0.
pub const FILLER_LENGTH: usize = 221_572;
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

/// The image for the virtual target with this version in its descriptor, the same for the same version. What the
/// firmware says of itself is the version that it was built as.
///
/// # Errors
/// [`BuildError::Seal`] unless `version` has 1 to 32 bytes without NUL.
pub fn build(version: &str) -> Result<Vec<u8>, BuildError> {
    let mut image = PROGRAM.to_vec();
    let fields = Fields { target: Target::Virtual, flash_map: FlashMap::Map4M, name: "espbroker", version };
    seal(&mut image, DESCRIPTOR, &fields).map_err(BuildError::Seal)?;
    Ok(image)
}

/// An image of no use for this target: what is executed of it is an endless loop.
///
/// # Errors
/// As [`build`].
pub fn filler(target: Target, version: &str) -> Result<Vec<u8>, BuildError> {
    let mut random = Random::new(0xE5B0);
    let mut code = SEGMENTS.map(|(address, length)| (address, like_code(&mut random, length)));
    let [(_, instructions), ..] = &mut code;
    instructions.iter_mut().skip(LOOP_AT).zip(LOOP).for_each(|(target, byte)| *target = byte);
    let segments: Vec<Segment<'_>> =
        code.iter().map(|(address, data)| Segment { address: *address, data }).collect();
    let mut image = boot_image(&BootHeader::dout_4m(ENTRY), &segments).map_err(BuildError::Boot)?;
    image.resize(FLASH_CODE + DESCRIPTOR_LENGTH, 0xFF);
    let rest = FILLER_LENGTH.saturating_sub(image.len());
    image.extend(like_code(&mut random, rest));
    let fields = Fields { target, flash_map: FlashMap::Map4M, name: "espbroker", version };
    seal(&mut image, FLASH_CODE, &fields).map_err(BuildError::Seal)?;
    Ok(image)
}

/// Bytes in which small values are more frequent, as in machine code.
fn like_code(random: &mut Random, length: usize) -> Vec<u8> {
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
    fn images_pass_every_check_and_are_the_same_every_time() {
        for (image, segments, target, length) in [
            (build("1.2.3"), 2, Target::Virtual, LENGTH),
            (filler(Target::Esp8266, "1.2.3"), 3, Target::Esp8266, FILLER_LENGTH),
        ] {
            let image = image.unwrap();
            assert_eq!(image.len(), length);
            let descriptor = check(&image).unwrap();
            assert_eq!((descriptor.target, &descriptor.version[..]), (target, "1.2.3"));
            assert_eq!(check_boot_image(&image).unwrap().segments.len(), segments);
        }
        assert_eq!(build("1.2.3").unwrap(), build("1.2.3").unwrap());
        assert!(build("").is_err() && build(&"x".repeat(33)).is_err());
    }

    #[test]
    fn fillers_pack_as_badly_as_real_ones() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&filler(Target::Virtual, "1.2.3").unwrap()).unwrap();
        let percent = encoder.finish().unwrap().len() * 100 / FILLER_LENGTH;
        assert!((65..=75).contains(&percent), "{percent} %");
    }
}
