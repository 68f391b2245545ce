//! The image format that the ESP8266's ROM loads from offset 0: built, and checked as the ROM does.
//!
//! Little-endian: `E9`, number of segments, flash mode, size nibble << 4 | frequency nibble, entry; then for each
//! segment address, length and data; then zeros up to one byte short of a multiple of 16, and the checksum: `EF` XOR
//! every byte of data. The ROM copies segments wherever they say and looks at nothing else in the header than number,
//! mode and entry; neither is there a length of the whole, so bytes behind the checksum are nobody's.
//!
//! The ROM reads the flash in chunks of 16 bytes and prints about each segment how it lay in them; [`Loads`] gives
//! those numbers, for what prints or explains a boot log. Left out: images that begin with `EA`, which a second boot
//! loader reads, not the ROM.

use alloc::vec::Vec;
use core::fmt;

/// First byte of an image for the ROM.
pub const BOOT_MAGIC: u8 = 0xE9;
/// What the checksum begins with.
const CHECKSUM_SEED: u8 = 0xEF;
/// Bytes that the ROM reads at once.
const CHUNK: usize = 16;
/// Bytes of the header, and of the header of a segment.
const HEADER_LENGTH: usize = 8;

/// The header of a boot image without its number of segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootHeader {
    /// Address that the ROM calls.
    pub entry: u32,
    /// Flash mode: 0 QIO, 1 QOUT, 2 DIO, 3 DOUT.
    pub mode: u8,
    /// Flash size, 0-15: 4 is 4 MB. The ROM does not look at it.
    pub size_nibble: u8,
    /// Flash clock, 0-15: 0 is 40 MHz. The ROM does not look at it.
    pub frequency_nibble: u8,
}

impl BootHeader {
    /// The safe choice for a board of 4 MB: DOUT, which every flash chip and wiring can do, at 40 MHz.
    pub const fn dout_4m(entry: u32) -> Self {
        Self { entry, mode: 3, size_nibble: 4, frequency_nibble: 0 }
    }

    /// Reads the header that `image` begins with, and the number of segments.
    ///
    /// # Errors
    ///
    /// [`BootImageError::Cut`] and [`BootImageError::Magic`].
    pub fn parse(image: &[u8]) -> Result<(Self, u8), BootImageError> {
        let &[magic, ref rest @ ..] = image else { return Err(BootImageError::Cut) };
        if magic != BOOT_MAGIC {
            return Err(BootImageError::Magic { found: magic });
        }
        let &[segments, mode, size_and_frequency, e0, e1, e2, e3, ..] = rest else {
            return Err(BootImageError::Cut);
        };
        let header = Self {
            entry: u32::from_le_bytes([e0, e1, e2, e3]),
            mode,
            size_nibble: size_and_frequency >> 4,
            frequency_nibble: size_and_frequency & 0x0F,
        };
        Ok((header, segments))
    }
}

/// One segment on its way into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Where the ROM copies it.
    pub address: u32,
    /// Bytes.
    pub length: u32,
    /// First byte of its data in the image.
    pub offset: usize,
    /// `room` of the boot log: bytes of the current chunk that are left for the data, 0-16.
    pub room: u8,
    /// First number of a `ho` line: bytes of the last chunk that were used before the tail, 0-15.
    pub used: u8,
    /// `tail` of the boot log: bytes taken from the last chunk, 0-15.
    pub tail: u8,
    /// `chksum` of the boot log: the checksum so far.
    pub checksum: u8,
}

impl Load {
    /// Bytes left in the last chunk. Below 8 the next segment's header is split, and the ROM prints a `ho` line.
    pub const fn left(&self) -> u8 {
        16_u8.saturating_sub(self.used).saturating_sub(self.tail)
    }
}

/// A boot image that the ROM would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootImage {
    /// Entry and flash settings.
    pub header: BootHeader,
    /// Segments in the order of loading, at least one.
    pub segments: Vec<Load>,
    /// Bytes up to and with the checksum; what follows is none of the ROM's business.
    pub length: usize,
    /// The checksum.
    pub checksum: u8,
}

/// Why the ROM would not run an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootImageError {
    /// It does not begin with `E9`: the ROM says nothing and gives up.
    Magic {
        /// First byte.
        found: u8,
    },
    /// It has no segments.
    NoSegments,
    /// It ends inside a segment or before the checksum.
    Cut,
    /// The checksum is wrong: `csum err` in the boot log.
    Checksum {
        /// Checksum in the image.
        stated: u8,
        /// Checksum of what is there.
        found: u8,
    },
}

impl fmt::Display for BootImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(formatter, "boot image does not begin with e9: {found:02x}"),
            Self::NoSegments => formatter.write_str("boot image has no segments"),
            Self::Cut => formatter.write_str("boot image ends inside a segment or before its checksum"),
            Self::Checksum { stated, found } => {
                write!(formatter, "checksum of the boot image is not the stated {stated:02x}: {found:02x}")
            }
        }
    }
}

impl core::error::Error for BootImageError {}

/// Checks `image` as the ROM does: magic, segments, checksum. Bytes behind the checksum may be anything.
///
/// # Errors
///
/// [`BootImageError`] for what stops the ROM first. No segments at all are refused although the ROM's answer to that
/// is not known.
pub fn check_boot_image(image: &[u8]) -> Result<BootImage, BootImageError> {
    let (header, _) = BootHeader::parse(image)?;
    let mut loads = Loads::new(image)?;
    let mut segments = Vec::new();
    for load in &mut loads {
        segments.push(load?);
    }
    if segments.is_empty() {
        return Err(BootImageError::NoSegments);
    }
    let length = (loads.position + 1).next_multiple_of(CHUNK);
    let stated = *image.get(length - 1).ok_or(BootImageError::Cut)?;
    match loads.checksum == stated {
        true => Ok(BootImage { header, segments, length, checksum: stated }),
        false => Err(BootImageError::Checksum { stated, found: loads.checksum }),
    }
}

/// The segments of a boot image, one after the other as the ROM loads them; ends after the first error.
#[derive(Clone, Debug)]
pub struct Loads<'a> {
    image: &'a [u8],
    remaining: u8,
    position: usize,
    checksum: u8,
}

impl<'a> Loads<'a> {
    /// Begins with the first segment.
    ///
    /// # Errors
    ///
    /// As [`BootHeader::parse`].
    pub fn new(image: &'a [u8]) -> Result<Self, BootImageError> {
        let (_, remaining) = BootHeader::parse(image)?;
        Ok(Self { image, remaining, position: HEADER_LENGTH, checksum: CHECKSUM_SEED })
    }

    fn load(&mut self) -> Result<Load, BootImageError> {
        let rest = self.image.get(self.position..).ok_or(BootImageError::Cut)?;
        let &[a0, a1, a2, a3, l0, l1, l2, l3, ref data @ ..] = rest else { return Err(BootImageError::Cut) };
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let data_length = usize::try_from(length).map_err(|_| BootImageError::Cut)?;
        let data = data.get(..data_length).ok_or(BootImageError::Cut)?;
        let offset = self.position + HEADER_LENGTH;
        self.position = offset + data_length;
        self.checksum = data.iter().fold(self.checksum, |sum, byte| sum ^ byte);

        // The header's own chunk may end with it. The first segment finds a fresh chunk loaded then, all others
        // none; the ROM loads one after the first `room` bytes, that is, at once.
        let room = match offset {
            CHUNK => CHUNK,
            _ => (CHUNK - offset % CHUNK) % CHUNK,
        };
        let (used, tail) = match data_length.checked_sub(room) {
            Some(behind) => (0, behind % CHUNK),
            None => (CHUNK - room, data_length),
        };
        Ok(Load {
            address: u32::from_le_bytes([a0, a1, a2, a3]),
            length,
            offset,
            room: small(room),
            used: small(used),
            tail: small(tail),
            checksum: self.checksum,
        })
    }
}

impl Iterator for Loads<'_> {
    type Item = Result<Load, BootImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        let load = self.load();
        if load.is_err() {
            self.remaining = 0;
        }
        Some(load)
    }
}

/// A count of bytes in a chunk.
fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// A segment to be built into an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where the ROM copies it, a multiple of 4.
    pub address: u32,
    /// Its bytes; padded with zeros to a multiple of 4.
    pub data: &'a [u8],
}

/// Why an image was not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// There are no segments, or more than 255.
    Segments {
        /// How many.
        count: usize,
    },
    /// A segment's address is not a multiple of 4; instruction memory takes whole words only.
    Alignment {
        /// The address.
        address: u32,
    },
    /// A segment is longer than its header can state.
    TooLong {
        /// Bytes.
        length: usize,
    },
    /// Flash size or frequency do not fit into 4 bits.
    Nibble {
        /// The number.
        number: u8,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segments { count } => write!(formatter, "boot image must have 1-255 segments: {count}"),
            Self::Alignment { address } => {
                write!(formatter, "segment must begin at a multiple of 4: {address:08x}")
            }
            Self::TooLong { length } => write!(formatter, "segment is too long: {length}"),
            Self::Nibble { number } => write!(formatter, "flash size and frequency must be 0-15: {number}"),
        }
    }
}

impl core::error::Error for BuildError {}

/// Builds an image that [`check_boot_image`] and the ROM accept.
///
/// # Errors
///
/// [`BuildError`] for what the format cannot express.
pub fn boot_image(header: &BootHeader, segments: &[Segment<'_>]) -> Result<Vec<u8>, BuildError> {
    let count = match u8::try_from(segments.len()) {
        Ok(count @ 1..) => count,
        _ => return Err(BuildError::Segments { count: segments.len() }),
    };
    if let Some(number) =
        [header.size_nibble, header.frequency_nibble].into_iter().find(|nibble| *nibble > 0x0F)
    {
        return Err(BuildError::Nibble { number });
    }
    let mut image =
        Vec::from([BOOT_MAGIC, count, header.mode, header.size_nibble << 4 | header.frequency_nibble]);
    image.extend_from_slice(&header.entry.to_le_bytes());
    let mut checksum = CHECKSUM_SEED;
    for Segment { address, data } in segments {
        if !address.is_multiple_of(4) {
            return Err(BuildError::Alignment { address: *address });
        }
        let padded = data.len().next_multiple_of(4);
        let length = u32::try_from(padded).map_err(|_| BuildError::TooLong { length: data.len() })?;
        image.extend_from_slice(&address.to_le_bytes());
        image.extend_from_slice(&length.to_le_bytes());
        image.extend_from_slice(data);
        image.resize(image.len() + padded - data.len(), 0);
        // Zeros leave an XOR as it is.
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
    }
    // At least one byte, the checksum, follows the data.
    image.resize((image.len() + 1).next_multiple_of(CHUNK) - 1, 0);
    image.push(checksum);
    Ok(image)
}
