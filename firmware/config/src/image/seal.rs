//! Writing the descriptor into a finished image.

use core::fmt;

use super::{
    CRC, DESCRIPTOR_LENGTH, DIGEST, Descriptor, FLASH_MAP, LENGTH, MAGIC, NAME, TARGET, TEXT_LENGTH, Target,
    VERSION, check_boot_image, digest,
};
use crate::{crc::Crc32, flash_map::FlashMap};

/// What the builder of an image has to say about it; length and digest follow from the image itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Machine.
    pub target: Target,
    /// Flash map.
    pub flash_map: FlashMap,
    /// 1-32 bytes without NUL.
    pub name: &'a str,
    /// 1-32 bytes without NUL.
    pub version: &'a str,
}

/// Why an image was not sealed. It was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The descriptor's place is not a multiple of 4.
    Alignment {
        /// The place.
        offset: usize,
    },
    /// The descriptor does not fit behind its place.
    Cut {
        /// Bytes of the image.
        length: usize,
    },
    /// The image is longer than a descriptor can state.
    TooLong {
        /// Bytes of the image.
        length: usize,
    },
    /// The descriptor's place is covered by the ROM's checksum, which sealing would break.
    InsideBootImage {
        /// First byte behind what the checksum covers.
        end: usize,
    },
    /// Name or version are not 1-32 bytes without NUL.
    Text {
        /// Bytes of it.
        length: usize,
    },
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alignment { offset } => {
                write!(formatter, "descriptor must begin at a multiple of 4: {offset}")
            }
            Self::Cut { length } => {
                write!(formatter, "descriptor does not fit into an image of bytes: {length}")
            }
            Self::TooLong { length } => write!(formatter, "image is too long to be described: {length}"),
            Self::InsideBootImage { end } => {
                write!(formatter, "descriptor must be behind the boot image, which ends at: {end}")
            }
            Self::Text { length } => {
                write!(formatter, "name and version must be 1-{TEXT_LENGTH} bytes without NUL: {length}")
            }
        }
    }
}

impl core::error::Error for SealError {}

/// Writes the descriptor to `descriptor_offset` of `image`: fields, length, digest and CRC.
///
/// The 128 bytes there are replaced. The image must not be changed afterwards. If it begins with a boot image that
/// the ROM would take, the place must be behind it: the ROM's checksum and this digest cannot both cover each other.
///
/// # Errors
///
/// [`SealError`], with `image` as it was.
pub fn seal(
    image: &mut [u8],
    descriptor_offset: usize,
    fields: &Fields<'_>,
) -> Result<Descriptor, SealError> {
    if !descriptor_offset.is_multiple_of(4) {
        return Err(SealError::Alignment { offset: descriptor_offset });
    }
    let image_length = image.len();
    let length = u32::try_from(image_length).map_err(|_| SealError::TooLong { length: image_length })?;
    if let Ok(boot) = check_boot_image(image)
        && descriptor_offset < boot.length
    {
        return Err(SealError::InsideBootImage { end: boot.length });
    }
    let mut bytes = [0; DESCRIPTOR_LENGTH];
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, TARGET, &[fields.target.number()]);
    put(&mut bytes, FLASH_MAP, &[fields.flash_map as u8]);
    put(&mut bytes, LENGTH, &length.to_le_bytes());
    put(&mut bytes, NAME, text(fields.name)?);
    put(&mut bytes, VERSION, text(fields.version)?);

    let place = image.get_mut(descriptor_offset..).and_then(<[u8]>::first_chunk_mut);
    *place.ok_or(SealError::Cut { length: image_length })? = bytes;
    let digest = digest(image, descriptor_offset);
    put(&mut bytes, DIGEST, &digest);
    let crc = Crc32::new().update(bytes.split_at(CRC).0).finish();
    put(&mut bytes, CRC, &crc.to_le_bytes());
    put(image, descriptor_offset, &bytes);

    Ok(Descriptor {
        target: fields.target,
        flash_map: fields.flash_map,
        length,
        name: fields.name.into(),
        version: fields.version.into(),
        digest,
    })
}

fn text(text: &str) -> Result<&[u8], SealError> {
    match text.len() {
        1..=TEXT_LENGTH if !text.contains('\0') => Ok(text.as_bytes()),
        length => Err(SealError::Text { length }),
    }
}

/// Copies `bytes` to `offset`, where they are known to fit.
fn put(target: &mut [u8], offset: usize, bytes: &[u8]) {
    let place = target.get_mut(offset..).unwrap_or_default();
    place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
}
