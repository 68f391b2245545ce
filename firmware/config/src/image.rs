//! The descriptor that every espbroker image carries, and the digest that proves what is in flash.
//!
//! Layout, 128 bytes, little-endian, 4-byte aligned anywhere in the image:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `EBimage\x01` |
//! | 8 | 1 | target: 1 ESP8266, 2 virtual, 3 emulated board |
//! | 9 | 1 | flash map number |
//! | 10 | 2 | zero |
//! | 12 | 4 | length of the whole image in bytes |
//! | 16 | 32 | name, UTF-8, zero padded |
//! | 48 | 32 | version, UTF-8, zero padded |
//! | 80 | 32 | SHA-256 of the image with these 32 bytes and the CRC as zeros |
//! | 112 | 12 | zero |
//! | 124 | 4 | CRC-32 (IEEE) of bytes 0-123 |
//!
//! The CRC makes a stray copy of the magic (in code that searches for it) harmless; the first descriptor with a
//! right CRC is the image's. The digest covers every other byte of the image, so that the device can prove to the host
//! what it holds, which the ROM loader cannot. A CRC and a digest are no signature: they find accidents, not forgers.
//!
//! The sub-module [`boot`] is about the other header, the one that the chip's ROM reads.

use alloc::string::String;
use core::{convert::Infallible, fmt};

use embedded_storage::nor_flash::ReadNorFlash;

use crate::{
    crc::Crc32,
    flash_map::{FlashMap, Region},
    words::words,
};

pub mod boot;
mod digest;
mod seal;

pub use self::{
    boot::{BootHeader, BootImage, BootImageError, boot_image, check_boot_image},
    digest::{DigestStream, digest},
    seal::{Fields, SealError, seal},
};

/// Bytes of a descriptor.
pub const DESCRIPTOR_LENGTH: usize = 128;
/// First bytes of a descriptor; the last one is the version of its layout.
pub const MAGIC: [u8; 8] = *b"EBimage\x01";

const TARGET: usize = 8;
const FLASH_MAP: usize = 9;
const LENGTH: usize = 12;
const NAME: usize = 16;
const VERSION: usize = 48;
const DIGEST: usize = 80;
const CRC: usize = 124;

/// Bytes of the name and of the version.
const TEXT_LENGTH: usize = 32;

/// Which machine an image was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A real ESP8266.
    Esp8266,
    /// The virtual ESP8266 of this project.
    Virtual,
    /// The emulated development board.
    EmulatedBoard,
}

words!(Target { Esp8266 = 1 "esp8266", Virtual = 2 "virtual", EmulatedBoard = 3 "emulated-board" });

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Machine.
    pub target: Target,
    /// Flash map.
    pub flash_map: FlashMap,
    /// Bytes of the whole image, from offset 0.
    pub length: u32,
    /// At most 32 bytes.
    pub name: String,
    /// At most 32 bytes.
    pub version: String,
    /// SHA-256 as laid down above.
    pub digest: [u8; 32],
}

/// A descriptor and its place, which [`DigestStream`] needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Bytes from the beginning of the image, a multiple of 4.
    pub offset: usize,
    /// What is said there.
    pub descriptor: Descriptor,
}

/// Why an image is not one of ours, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// It carries no descriptor.
    NoDescriptor,
    /// It was built for a machine that this version does not know.
    Target {
        /// Number of the machine.
        number: u8,
    },
    /// It was built for a flash map that this version does not know.
    FlashMap {
        /// Number of the map.
        number: u8,
    },
    /// Name or version are not UTF-8.
    Text,
    /// It is shorter or longer than its descriptor says.
    Length {
        /// Bytes stated.
        stated: u32,
        /// Bytes there are.
        found: usize,
    },
    /// It is not what the descriptor was sealed over.
    Digest,
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDescriptor => formatter.write_str("image carries no espbroker descriptor"),
            Self::Target { number } => write!(formatter, "image is for an unknown machine: {number}"),
            Self::FlashMap { number } => write!(formatter, "image is for an unknown flash map: {number}"),
            Self::Text => formatter.write_str("name or version of the image is not UTF-8"),
            Self::Length { stated, found } => write!(formatter, "image is not {stated} bytes long: {found}"),
            Self::Digest => formatter.write_str("image is not what its descriptor was sealed over"),
        }
    }
}

impl core::error::Error for ImageError {}

/// The descriptor of `image`; says nothing about the rest, [`check`] does.
///
/// # Errors
///
/// [`ImageError`], but neither `Length` nor `Digest`.
pub fn find(image: &[u8]) -> Result<Descriptor, ImageError> {
    locate(image).map(|located| located.descriptor)
}

/// The descriptor of `image` and its place; says nothing about the rest, [`check`] does.
///
/// # Errors
///
/// [`ImageError`], but neither `Length` nor `Digest`.
pub fn locate(image: &[u8]) -> Result<Located, ImageError> {
    let read = |offset: usize, buffer: &mut [u8]| -> Result<(), Infallible> {
        // The scan asks for nothing beyond the end.
        if let Some(bytes) = image.get(offset..).and_then(|rest| rest.get(..buffer.len())) {
            buffer.copy_from_slice(bytes);
        }
        Ok(())
    };
    match scan(image.len(), read) {
        Ok(located) => located,
        Err(never) => match never {},
    }
}

/// The descriptor of `image`, if the image is whole and as it was sealed.
///
/// # Errors
///
/// [`ImageError`] for the first thing that is not so.
pub fn check(image: &[u8]) -> Result<Descriptor, ImageError> {
    let Located { offset, descriptor } = locate(image)?;
    if usize::try_from(descriptor.length) != Ok(image.len()) {
        return Err(ImageError::Length { stated: descriptor.length, found: image.len() });
    }
    match digest(image, offset) == descriptor.digest {
        true => Ok(descriptor),
        false => Err(ImageError::Digest),
    }
}

/// The descriptor of the image in `region` of a flash; offsets count from the beginning of the region.
///
/// Reads in small pieces and stops at the descriptor; an erased region is read to its end.
///
/// # Errors
///
/// The outer error is the flash's own, the inner one as of [`locate`].
pub fn read_from<F: ReadNorFlash>(
    flash: &mut F,
    region: &Region,
) -> Result<Result<Located, ImageError>, F::Error> {
    const { assert!(4_usize.is_multiple_of(F::READ_SIZE), "descriptors are aligned to 4 bytes") }
    let length = usize::try_from(region.length).unwrap_or(usize::MAX);
    scan(length, |offset, buffer| {
        // Below `length`, which came from a `u32`.
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        flash.read(region.offset.saturating_add(offset), buffer)
    })
}

/// Looks for the first descriptor in `length` bytes that `read` gives out: an offset, a multiple of 4, and a buffer.
fn scan<E>(
    length: usize,
    mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
) -> Result<Result<Located, ImageError>, E> {
    const STEP: usize = 256;
    let mut piece = [0; STEP];
    let mut start = 0;
    while length.saturating_sub(start) >= DESCRIPTOR_LENGTH {
        // Whole words only: a tail of 1-3 bytes cannot belong to a descriptor.
        let size = STEP.min(length - start) / 4 * 4;
        let (piece, _) = piece.split_at_mut(size);
        read(start, piece)?;
        // Half of the magic is enough to look closer, and keeps the pieces from having to overlap.
        let hits = piece.chunks_exact(4).enumerate().filter(|(_, word)| MAGIC.starts_with(word));
        for (index, _) in hits {
            let offset = start + index * 4;
            if length - offset < DESCRIPTOR_LENGTH {
                continue;
            }
            let mut bytes = [0; DESCRIPTOR_LENGTH];
            read(offset, &mut bytes)?;
            if let Some(parsed) = Descriptor::parse(&bytes) {
                return Ok(parsed.map(|descriptor| Located { offset, descriptor }));
            }
        }
        start += size;
    }
    Ok(Err(ImageError::NoDescriptor))
}

impl Descriptor {
    /// Reads a descriptor; `None` if the bytes are something else.
    fn parse(bytes: &[u8; DESCRIPTOR_LENGTH]) -> Option<Result<Self, ImageError>> {
        let (covered, stated) = bytes.split_last_chunk()?;
        if !bytes.starts_with(&MAGIC) || Crc32::new().update(covered).finish() != u32::from_le_bytes(*stated)
        {
            return None;
        }
        let (target, flash_map) = (*bytes.get(TARGET)?, *bytes.get(FLASH_MAP)?);
        let length = u32::from_le_bytes(*bytes.get(LENGTH..)?.first_chunk()?);
        let (name, version) = (bytes.get(NAME..)?.first_chunk()?, bytes.get(VERSION..)?.first_chunk()?);
        let digest = *bytes.get(DIGEST..)?.first_chunk()?;
        let read = || {
            Ok(Self {
                target: Target::from_number(target).ok_or(ImageError::Target { number: target })?,
                flash_map: FlashMap::from_number(flash_map)
                    .ok_or(ImageError::FlashMap { number: flash_map })?,
                length,
                name: text(name)?,
                version: text(version)?,
                digest,
            })
        };
        Some(read())
    }
}

/// The text before the zeros that pad it.
fn text(bytes: &[u8; TEXT_LENGTH]) -> Result<String, ImageError> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    core::str::from_utf8(text).map(String::from).map_err(|_| ImageError::Text)
}
