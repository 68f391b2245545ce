//! The firmware's digest of its own image, read back from flash: what proves to the host that flashing worked.
//!
//! The ROM loader cannot verify what it wrote; this can. Work is done in steps that take a few milliseconds on the
//! chip, so that its watchdog is fed and the console answers in between. What the descriptor says is believed only
//! as far as the boot sector and the first slot reach.

use alloc::boxed::Box;

use embedded_storage::nor_flash::ReadNorFlash;
use espbroker_config::{
    flash_map::{FlashMap, Region},
    image::{self, DESCRIPTOR_LENGTH, Descriptor, DigestStream, ImageError, Located},
};

use crate::status::{ImageCheck, Stated};

/// Bytes searched or digested in one step.
const STEP: u32 = 4096;

/// Bytes read at once; kept on the stack, which is 4 KB on the chip.
const PIECE: usize = 256;

/// What has to be read beyond a step to see a descriptor that begins in it.
const OVERLAP: u32 = 124;
const _: () = assert!(OVERLAP as usize + 4 == DESCRIPTOR_LENGTH, "descriptors are aligned to 4 bytes");

/// A measurement under way.
pub(crate) enum Measurement {
    /// Looking for the descriptor from this offset on.
    Search(u32),
    /// Calculating the digest.
    Digest(Box<Calculation>),
}

pub(crate) struct Calculation {
    descriptor: Descriptor,
    stream: DigestStream,
    position: u32,
}

/// What one step of the search found.
enum Found {
    Nothing,
    Image(Located),
    /// A descriptor that this firmware cannot hold the image against.
    Unusable,
}

impl Measurement {
    pub(crate) const fn start() -> Self {
        Self::Search(0)
    }

    /// Does one step; `Some` ends the measurement.
    pub(crate) fn step<F: ReadNorFlash>(&mut self, flash: &mut F) -> Option<ImageCheck> {
        self.try_step(flash).unwrap_or(Some(ImageCheck::Unreadable))
    }

    fn try_step<F: ReadNorFlash>(&mut self, flash: &mut F) -> Result<Option<ImageCheck>, F::Error> {
        match self {
            Self::Search(offset) => {
                let limit =
                    FlashMap::of(flash).image_max().min(u32::try_from(flash.capacity()).unwrap_or(u32::MAX));
                match search(flash, *offset, limit)? {
                    Found::Image(Located { offset, descriptor }) => {
                        let stream = DigestStream::new(offset);
                        *self = Self::Digest(Box::new(Calculation { descriptor, stream, position: 0 }));
                    }
                    Found::Nothing if *offset < limit => *offset += STEP,
                    Found::Nothing | Found::Unusable => return Ok(Some(ImageCheck::NoDescriptor)),
                }
                Ok(None)
            }
            Self::Digest(calculation) => calculation.step(flash),
        }
    }
}

fn search<F: ReadNorFlash>(flash: &mut F, start: u32, limit: u32) -> Result<Found, F::Error> {
    let window =
        Region { name: "image", offset: start, length: (STEP + OVERLAP).min(limit.saturating_sub(start)) };
    let mut located = match image::read_from(flash, &window)? {
        Ok(located) => located,
        Err(ImageError::NoDescriptor) => return Ok(Found::Nothing),
        Err(_) => return Ok(Found::Unusable),
    };
    located.offset += usize::try_from(start).unwrap_or(usize::MAX);
    let length = located.descriptor.length;
    let holds_itself =
        usize::try_from(length).is_ok_and(|length| located.offset + DESCRIPTOR_LENGTH <= length);
    Ok(if holds_itself && length <= limit { Found::Image(located) } else { Found::Unusable })
}

impl Calculation {
    fn step<F: ReadNorFlash>(&mut self, flash: &mut F) -> Result<Option<ImageCheck>, F::Error> {
        let length = self.descriptor.length;
        let end = length.min(self.position.saturating_add(STEP));
        let mut piece = [0; PIECE];
        while self.position < end {
            let wanted = usize::try_from(end - self.position).map_or(PIECE, |wanted| wanted.min(PIECE));
            // Flash is read in whole words; the first slot ends at one, so there is a word behind a ragged end.
            let (words, _) = piece.split_at_mut(wanted.next_multiple_of(4));
            flash.read(self.position, words)?;
            self.stream.update(words.get(..wanted).unwrap_or_default());
            self.position += u32::try_from(wanted).unwrap_or(STEP);
        }
        if self.position < length {
            return Ok(None);
        }
        let sha256 = self.stream.clone().finish();
        let stated = if sha256 == self.descriptor.digest { Stated::Match } else { Stated::Differs };
        Ok(Some(ImageCheck::Measured { length, sha256, stated }))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use espbroker_config::{
        flash_map::{FlashMap, IMAGE_MAX},
        image::{Fields, Target, seal},
    };

    use super::*;
    use crate::test_flash::TestFlash;

    const FIELDS: Fields<'_> =
        Fields { target: Target::Virtual, flash_map: FlashMap::Map4M, name: "espbroker", version: "0.1.0" };

    fn sealed(length: usize, descriptor: usize) -> Vec<u8> {
        let mut image: Vec<u8> = (0..length).map(|index| (index % 251).to_le_bytes()[0]).collect();
        seal(&mut image, descriptor, &FIELDS).unwrap();
        image
    }

    /// The result, and how many steps it took; no step may read more than a step's worth.
    fn measure(mut flash: TestFlash) -> (ImageCheck, usize) {
        let mut measurement = Measurement::start();
        for steps in 1.. {
            flash.bytes_read = 0;
            let result = measurement.step(&mut flash);
            assert!(flash.bytes_read <= 8192, "{} bytes in one step", flash.bytes_read);
            if let Some(check) = result {
                return (check, steps);
            }
        }
        unreachable!("a measurement ends")
    }

    #[test]
    fn an_image_as_it_was_built_matches_wherever_its_descriptor_is() {
        for (length, descriptor) in [(128, 0), (300, 172), (9001, 4040), (9001, 4096), (50_000, 49_872)] {
            let image = sealed(length, descriptor);
            let expected = ImageCheck::Measured {
                length: u32::try_from(length).unwrap(),
                sha256: image::find(&image).unwrap().digest,
                stated: Stated::Match,
            };
            let (check, steps) = measure(TestFlash::with(0, &image));
            assert_eq!(check, expected, "descriptor at {descriptor}");
            assert!(steps >= length / 4096 + descriptor / 4096, "spread over steps");
        }
    }

    #[test]
    fn one_changed_byte_anywhere_differs() {
        let image = sealed(9001, 4096);
        for at in [0, 4095, 4096 + 128, 9000] {
            let mut damaged = image.clone();
            damaged[at] ^= 0x10;
            let (check, _) = measure(TestFlash::with(0, &damaged));
            assert!(
                matches!(check, ImageCheck::Measured { stated: Stated::Differs, .. }),
                "byte {at}: {check:?}"
            );
        }
    }

    #[test]
    fn a_missing_or_damaged_descriptor_is_none() {
        assert_eq!(measure(TestFlash::blank()).0, ImageCheck::NoDescriptor);
        let mut image = sealed(9001, 4096);
        image[4096 + 20] ^= 1;
        assert_eq!(measure(TestFlash::with(0, &image)).0, ImageCheck::NoDescriptor);
        assert_eq!(
            measure(TestFlash::with(IMAGE_MAX, &sealed(300, 0))).0,
            ImageCheck::NoDescriptor,
            "beyond the first slot is another image's"
        );
    }

    #[test]
    fn a_length_that_the_slot_cannot_hold_is_not_believed() {
        for map in [FlashMap::Map4M, FlashMap::Map1M] {
            let with = |image: &[u8]| {
                let mut flash = TestFlash::of_size(map.flash_size());
                flash.put(0, image);
                measure(flash).0
            };
            let longest = usize::try_from(map.image_max()).unwrap();
            let check = with(&sealed(longest, 256));
            assert!(matches!(check, ImageCheck::Measured { stated: Stated::Match, .. }));
            assert_eq!(with(&sealed(longest + 4, 256)), ImageCheck::NoDescriptor);
        }
        let shorter_than_its_descriptor = [vec![0; 256], sealed(300, 0)].concat();
        assert_eq!(measure(TestFlash::with(0, &shorter_than_its_descriptor)).0, ImageCheck::NoDescriptor);
    }

    #[test]
    fn a_flash_that_fails_is_unreadable() {
        let mut flash = TestFlash::with(0, &sealed(9001, 4096));
        flash.fails_from = Some(5000);
        assert_eq!(measure(flash).0, ImageCheck::Unreadable);
    }
}
