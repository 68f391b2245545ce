//! The config partition: two sectors that take turns, so that a power cut at any byte leaves a whole config.
//!
//! Each sector, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `EBCF` |
//! | 4 | 2 | format version, 1 |
//! | 6 | 2 | zero; ignored when read |
//! | 8 | 4 | sequence |
//! | 12 | 4 | length of the payload in bytes |
//! | 16 | 4 | CRC-32 (IEEE) of bytes 0-15 and the payload |
//! | 20 | length | payload: CBOR, see [`codec`] |
//!
//! What lies behind the payload belongs to nobody and is not looked at. The header's layout and its CRC stay the same
//! in every format version; only the payload may change its meaning. So an older program can tell a newer config
//! ([`SlotState::Newer`]) from a damaged one.
//!
//! The valid slot with the highest sequence is the config; a write goes to the other slot with the next sequence.
//! Sequences are compared as serial numbers (RFC 1982): `b` is newer than `a` if `b - a`, taken modulo 2^32, is
//! 1 to 2^31 - 1, so that the count may wrap. A sector wears out long before it does.
//!
//! [`load`] and [`store`] do this on the device; the host reads and writes the same sectors over the serial port.

use alloc::vec::Vec;
use core::fmt;

use crate::{
    codec::{self, DecodeError, EncodeError},
    crc::Crc32,
    flash_map::{CONFIG_A, CONFIG_B, Region, SECTOR_SIZE},
    model::Config,
};

mod flash;
mod trial;

pub use self::{
    flash::{Absence, Loaded, StoreError, load, store},
    trial::RollBack,
};

/// First bytes of a sector that has been written to the end.
pub const MAGIC: [u8; 4] = *b"EBCF";
/// Format version that this program reads and writes.
pub const FORMAT: u16 = 1;
/// Bytes before the payload.
pub const HEADER_LENGTH: usize = 20;
/// Most bytes of payload.
pub const PAYLOAD_MAX: usize = SECTOR_SIZE as usize - HEADER_LENGTH;

/// Bytes of the header that the CRC covers.
const CHECKED_HEADER_LENGTH: usize = 16;

/// One of the two sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The sector at the lower address.
    A,
    /// The sector at the higher address.
    B,
}

impl Slot {
    /// Where the sector is in flash.
    pub const fn region(self) -> Region {
        match self {
            Self::A => CONFIG_A,
            Self::B => CONFIG_B,
        }
    }

    /// The sector that takes the next turn.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// `a` or `b`, as in status lines.
impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// The first [`HEADER_LENGTH`] bytes of a sector, before anything has been checked against the payload.
///
/// Lets a reader on a slow line fetch the header first and then only `length` bytes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotHeader {
    /// Format version of the payload.
    pub format: u16,
    /// Turn in which the sector was written.
    pub sequence: u32,
    /// Bytes of payload, at most [`PAYLOAD_MAX`].
    pub length: u32,
    /// CRC-32 that the sector states.
    pub crc: u32,
}

impl SlotHeader {
    /// Reads the header that `bytes` begin with.
    ///
    /// # Errors
    ///
    /// [`HeaderFault`] when there is nothing to read the payload by.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let header: &[u8; HEADER_LENGTH] = bytes.first_chunk().ok_or(HeaderFault::Damaged(Damage::Cut))?;
        if header.iter().all(|byte| *byte == 0xFF) {
            return Err(HeaderFault::Blank);
        }
        let [m0, m1, m2, m3, f0, f1, _, _, s0, s1, s2, s3, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(HeaderFault::Damaged(Damage::Magic));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if usize::try_from(length).map_or(true, |length| length > PAYLOAD_MAX) {
            return Err(HeaderFault::Damaged(Damage::Length { length }));
        }
        Ok(Self {
            format: u16::from_le_bytes([f0, f1]),
            sequence: u32::from_le_bytes([s0, s1, s2, s3]),
            length,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        })
    }

    /// Bytes of payload as an index; `parse` has checked the bound.
    fn payload_length(&self) -> usize {
        usize::try_from(self.length).map_or(PAYLOAD_MAX, |length| length.min(PAYLOAD_MAX))
    }
}

/// Why there is no header to read a payload by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The header is erased flash.
    Blank,
    /// The header is something else than a header.
    Damaged(Damage),
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => formatter.write_str("sector is blank"),
            Self::Damaged(damage) => damage.fmt(formatter),
        }
    }
}

impl core::error::Error for HeaderFault {}

/// What is wrong with a sector that is not blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Fewer bytes were given than the header or its length need.
    Cut,
    /// The magic is missing: never written to the end, or overwritten.
    Magic,
    /// More payload is stated than a sector holds.
    Length {
        /// Bytes stated.
        length: u32,
    },
    /// Header or payload are not what was written.
    Crc {
        /// CRC-32 in the header.
        stated: u32,
        /// CRC-32 of what is there.
        found: u32,
    },
    /// The bytes are as written, but of a format version that never was.
    Format {
        /// The version.
        format: u16,
    },
    /// The bytes are as written, but are no config of this format.
    Content(DecodeError),
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => formatter.write_str("sector was read in part"),
            Self::Magic => formatter.write_str("sector was not written to its end"),
            Self::Length { length } => {
                write!(formatter, "payload is longer than {PAYLOAD_MAX} bytes: {length}")
            }
            Self::Crc { stated, found } => {
                write!(formatter, "checksum is not the stated {stated:08x}: {found:08x}")
            }
            Self::Format { format } => write!(formatter, "format version does not exist: {format}"),
            Self::Content(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for Damage {}

/// What a sector holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "few live at a time; a box would cost the chip an allocation")]
pub enum SlotState {
    /// A config.
    Valid(SlotRecord),
    /// Erased flash.
    Blank,
    /// Neither erased nor a config.
    Damaged(Damage),
    /// Whole, but of a format version that this program does not know.
    Newer {
        /// The version.
        format: u16,
        /// Turn in which the sector was written.
        sequence: u32,
    },
}

/// A config and the turn in which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// The turn.
    pub sequence: u32,
    /// CRC-32 in the header; tells two configs apart in a status line.
    pub crc: u32,
    /// The config; decoded, not validated.
    pub config: Config,
}

/// What `bytes`, a sector or as much of it as header and payload need, hold.
pub fn read_sector(bytes: &[u8]) -> SlotState {
    let header = match SlotHeader::parse(bytes) {
        Ok(header) => header,
        Err(HeaderFault::Blank) => return SlotState::Blank,
        Err(HeaderFault::Damaged(damage)) => return SlotState::Damaged(damage),
    };
    let checked = bytes.get(..CHECKED_HEADER_LENGTH);
    let payload = bytes.get(HEADER_LENGTH..).and_then(|rest| rest.get(..header.payload_length()));
    match (checked, payload) {
        (Some(checked), Some(payload)) => read_payload(&header, checked, payload),
        _ => SlotState::Damaged(Damage::Cut),
    }
}

/// What a sector holds whose header is `header`, read from `checked` and what follows it.
fn read_payload(header: &SlotHeader, checked: &[u8], payload: &[u8]) -> SlotState {
    let found = crc(checked, payload);
    if found != header.crc {
        return SlotState::Damaged(Damage::Crc { stated: header.crc, found });
    }
    match header.format {
        0 => SlotState::Damaged(Damage::Format { format: 0 }),
        FORMAT => match codec::decode(payload) {
            Ok(config) => SlotState::Valid(SlotRecord { sequence: header.sequence, crc: header.crc, config }),
            Err(error) => SlotState::Damaged(Damage::Content(error)),
        },
        format => SlotState::Newer { format, sequence: header.sequence },
    }
}

fn crc(checked_header: &[u8], payload: &[u8]) -> u32 {
    Crc32::new().update(checked_header).update(payload).finish()
}

/// The slot that holds the config, and the config.
///
/// Slots with the same sequence, or 2^31 apart, are not made by this program; slot A is taken then.
pub fn select<'a>(a: &'a SlotState, b: &'a SlotState) -> Option<(Slot, &'a SlotRecord)> {
    match (a, b) {
        (SlotState::Valid(a), SlotState::Valid(b)) if is_newer(b.sequence, a.sequence) => Some((Slot::B, b)),
        (SlotState::Valid(a), _) => Some((Slot::A, a)),
        (_, SlotState::Valid(b)) => Some((Slot::B, b)),
        _ => None,
    }
}

/// Whether sequence `this` comes after `that` (RFC 1982 §3.2).
const fn is_newer(this: u32, that: u32) -> bool {
    this.wrapping_sub(that).cast_signed() > 0
}

/// Where the next write goes, and with which sequence.
///
/// Never the slot that [`select`] takes. If there is none, a newer program's config is spared as long as the other
/// slot is free. The sequence is above every one in the slots, so that a newer program, too, finds this write first.
pub fn next(a: &SlotState, b: &SlotState) -> (Slot, u32) {
    next_turn(a.turn(), b.turn())
}

/// As much of a [`SlotState`] as decides about the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Valid(u32),
    Newer(u32),
    Free,
}

impl Turn {
    const fn sequence(self) -> Option<u32> {
        match self {
            Self::Valid(sequence) | Self::Newer(sequence) => Some(sequence),
            Self::Free => None,
        }
    }
}

impl SlotState {
    const fn turn(&self) -> Turn {
        match self {
            Self::Valid(record) => Turn::Valid(record.sequence),
            Self::Newer { sequence, .. } => Turn::Newer(*sequence),
            Self::Blank | Self::Damaged(_) => Turn::Free,
        }
    }
}

fn next_turn(a: Turn, b: Turn) -> (Slot, u32) {
    let keep = match (a, b) {
        (Turn::Valid(a), Turn::Valid(b)) | (Turn::Newer(a), Turn::Newer(b)) if is_newer(b, a) => Slot::B,
        (Turn::Valid(_), _) => Slot::A,
        (_, Turn::Valid(_)) => Slot::B,
        (Turn::Newer(_), _) => Slot::A,
        // Slot A is the first to be written on a blank device.
        (Turn::Free, _) => Slot::B,
    };
    let highest = match (a.sequence(), b.sequence()) {
        (Some(a), Some(b)) if is_newer(b, a) => b,
        (Some(sequence), _) | (None, Some(sequence)) => sequence,
        (None, None) => 0,
    };
    (keep.other(), highest.wrapping_add(1))
}

/// The sector for `config`: header and payload, padded with `FF` to a multiple of 4 bytes; the rest stays erased.
///
/// # Errors
///
/// [`EncodeError`] when the config does not fit.
pub fn encode_sector(config: &Config, sequence: u32) -> Result<Vec<u8>, EncodeError> {
    let mut sector = Vec::from([0; HEADER_LENGTH]);
    let length = codec::encode_behind(&mut sector, config)?;
    // `encode_behind` has kept it within a sector.
    let length = u32::try_from(length).unwrap_or(SECTOR_SIZE);

    let [m0, m1, m2, m3] = MAGIC;
    let [f0, f1] = FORMAT.to_le_bytes();
    let [s0, s1, s2, s3] = sequence.to_le_bytes();
    let [l0, l1, l2, l3] = length.to_le_bytes();
    let checked = [m0, m1, m2, m3, f0, f1, 0, 0, s0, s1, s2, s3, l0, l1, l2, l3];
    if let Some((header, payload)) = sector.split_first_chunk_mut::<HEADER_LENGTH>() {
        let [c0, c1, c2, c3] = crc(&checked, payload).to_le_bytes();
        *header = [m0, m1, m2, m3, f0, f1, 0, 0, s0, s1, s2, s3, l0, l1, l2, l3, c0, c1, c2, c3];
    }
    sector.resize(sector.len().next_multiple_of(4), 0xFF);
    Ok(sector)
}

#[cfg(test)]
mod tests {
    use super::{Slot, Turn, is_newer, next_turn};

    #[test]
    fn sequences_are_compared_as_serial_numbers() {
        assert!(is_newer(1, 0) && is_newer(0, u32::MAX) && is_newer(0x7FFF_FFFF, 0));
        assert!(!is_newer(0, 0) && !is_newer(0, 1) && !is_newer(u32::MAX, 0));
        assert!(
            !is_newer(0x8000_0000, 0) && !is_newer(0, 0x8000_0000),
            "neither is newer at half the circle"
        );
    }

    #[test]
    fn the_next_write_spares_the_config_and_then_a_newer_programs_one() {
        use Turn::{Free, Newer, Valid};
        let cases = [
            (Free, Free, (Slot::A, 1)),
            (Valid(1), Free, (Slot::B, 2)),
            (Free, Valid(7), (Slot::A, 8)),
            (Valid(1), Valid(2), (Slot::A, 3)),
            (Valid(3), Valid(2), (Slot::B, 4)),
            (Valid(u32::MAX), Valid(u32::MAX - 1), (Slot::B, 0)),
            (Valid(u32::MAX), Valid(0), (Slot::A, 1)),
            (Valid(7), Newer(8), (Slot::B, 9)),
            (Newer(8), Valid(7), (Slot::A, 9)),
            (Newer(9), Free, (Slot::B, 10)),
            (Free, Newer(9), (Slot::A, 10)),
            (Newer(9), Newer(10), (Slot::A, 11)),
            (Newer(10), Newer(9), (Slot::B, 11)),
        ];
        for (a, b, expected) in cases {
            assert_eq!(next_turn(a, b), expected, "{a:?} {b:?}");
        }
    }
}
