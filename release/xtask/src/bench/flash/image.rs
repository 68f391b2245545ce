//! What is written: an image that packs as real ones do, the one before it, and config sectors. All the same in every
//! run.

use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B, FlashMap, SECTOR_SIZE},
    image::{BootHeader, DESCRIPTOR_LENGTH, Fields, Target, boot::Segment, boot_image, seal},
    model::Config,
    slots::encode_sector,
};

use crate::process::Failure;

/// Where the random numbers begin.
pub(super) const SEED: u64 = 0xE5B0_0004;
/// Bytes of the image: 500 KB.
pub(super) const LENGTH: usize = 125 * SECTOR;

const SECTOR: usize = SECTOR_SIZE as usize;
/// Bytes of the flash.
const FLASH: usize = 0x40_0000;
/// Where the part begins that a chip runs from flash; the descriptor is its first thing.
const FLASH_CODE: usize = 0x1_0000;
/// Loaded segments of a typical program: instructions, constants, data.
const SEGMENTS: [(u32, usize); 3] = [(0x4010_0000, 26_336), (0x3FFE_8000, 848), (0x3FFE_8350, 34_184)];
const ENTRY: u32 = 0x4010_0004;
/// At the entry point, `j .`: the device executes it after the measurement, and it does nothing.
const LOOP: [u8; 3] = [0x06, 0xFF, 0xFF];
const LOOP_AT: usize = 4;
/// Sectors that the image before this one had otherwise, beside that of the descriptor.
const CHANGED: [usize; 4] = [37, 61, 90, 121];

/// Contents for all cases.
pub(super) struct Contents {
    /// The image to write.
    pub(super) image: Vec<u8>,
    /// Another build of it, with five other sectors.
    pub(super) before: Vec<u8>,
    /// A config sector to write.
    pub(super) config: Vec<u8>,
    /// Config slots A and B as they are on a device that was set up twice; A is in use.
    pub(super) slots: [Vec<u8>; 2],
}

impl Contents {
    /// Makes everything.
    ///
    /// # Errors
    ///
    /// When the image or a config cannot be built, which would be a defect.
    pub(super) fn new() -> Result<Self, Failure> {
        let body = body()?;
        let mut other = body.clone();
        for sector in CHANGED {
            if let Some(byte) = other.get_mut(sector * SECTOR + 100) {
                *byte ^= 0x55;
            }
        }
        let config = |sequence| Ok::<_, Failure>(encode_sector(&config(), sequence)?);
        Ok(Self {
            image: sealed(body)?,
            before: sealed(other)?,
            config: config(3)?,
            slots: [config(2)?, config(1)?],
        })
    }

    /// A flash with this image, or none, and both config slots.
    pub(super) fn flash(&self, image: &[u8]) -> Vec<u8> {
        let mut flash = vec![0xFF; FLASH];
        let [a, b] = &self.slots;
        for (offset, bytes) in [(0, image), (CONFIG_A.offset, a), (CONFIG_B.offset, b)] {
            let places = flash.iter_mut().skip(usize::try_from(offset).unwrap_or(FLASH));
            places.zip(bytes).for_each(|(place, byte)| *place = *byte);
        }
        flash
    }

    /// A flash as it leaves the factory.
    pub(super) fn blank() -> Vec<u8> {
        vec![0xFF; FLASH]
    }
}

/// Sectors in which two images differ.
pub(super) fn different_sectors(one: &[u8], other: &[u8]) -> usize {
    one.chunks(SECTOR).zip(other.chunks(SECTOR)).filter(|(one, other)| one != other).count()
}

fn config() -> Config {
    Config::new("hall")
}

/// The image without its descriptor.
fn body() -> Result<Vec<u8>, Failure> {
    let mut random = Random(SEED);
    let mut code = SEGMENTS.map(|(address, length)| (address, filler(&mut random, length)));
    let [(_, instructions), ..] = &mut code;
    instructions.iter_mut().skip(LOOP_AT).zip(LOOP).for_each(|(target, byte)| *target = byte);
    let segments: Vec<Segment<'_>> =
        code.iter().map(|(address, data)| Segment { address: *address, data }).collect();
    let mut image = boot_image(&BootHeader::dout_4m(ENTRY), &segments)?;
    image.resize(FLASH_CODE + DESCRIPTOR_LENGTH, 0xFF);
    image.extend(filler(&mut random, LENGTH.saturating_sub(image.len())));
    Ok(image)
}

fn sealed(mut body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let fields =
        Fields { target: Target::Esp8266, flash_map: FlashMap::Map4M, name: "espbroker", version: "bench" };
    seal(&mut body, FLASH_CODE, &fields)?;
    Ok(body)
}

/// Bytes that pack as machine code does: small values are frequent, and short strings come again.
fn filler(random: &mut Random, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(length);
    while bytes.len() < length {
        let back = 1 + usize::from(random.byte()) * 16;
        if random.byte() < 9 && back <= bytes.len() {
            let start = bytes.len() - back;
            let count = (3 + usize::from(random.byte() & 15)).min(back);
            bytes.extend_from_within(start..start + count);
        } else {
            let byte = random.byte() & random.byte();
            bytes.push(byte);
        }
    }
    bytes.truncate(length);
    bytes
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let [.., byte, _, _] = self.0.to_be_bytes();
        byte
    }
}

#[cfg(test)]
mod tests {
    use espbroker_config::image::{check, check_boot_image};

    use super::*;
    use crate::bench::flash::packed;

    #[test]
    fn the_image_is_bootable_and_packs_as_real_ones_do() {
        let contents = Contents::new().unwrap();
        assert_eq!(contents.image.len(), LENGTH);
        assert!(check(&contents.image).is_ok() && check_boot_image(&contents.image).is_ok());
        let percent = packed(&contents.image).unwrap() * 100 / LENGTH;
        assert_eq!(percent, 68);
    }

    #[test]
    fn five_sectors_differ_from_the_build_before() {
        let contents = Contents::new().unwrap();
        assert_eq!(different_sectors(&contents.image, &contents.before), 5);
        assert!(check(&contents.before).is_ok());
    }

    #[test]
    fn a_device_that_was_set_up_has_everything_in_its_place() {
        let contents = Contents::new().unwrap();
        let flash = contents.flash(&contents.image);
        assert_eq!(flash.len(), FLASH);
        assert!(flash.starts_with(&contents.image));
        let slot = |start: u32| flash.get(usize::try_from(start).unwrap()..).unwrap();
        assert!(slot(CONFIG_A.offset).starts_with(&contents.slots[0]));
        assert!(slot(CONFIG_B.offset).starts_with(&contents.slots[1]));
    }
}
