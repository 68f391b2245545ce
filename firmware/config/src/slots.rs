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
//! Between the payload and the last 24 bytes lies what belongs to nobody and is not looked at. Those bytes tell whether a
//! config is on trial, and what came of it ([`Standing`]); they are erased flash where it never was. The header's layout and its CRC stay the same
//! in every format version; only the payload may change its meaning. So an older program can tell a newer config
//! ([`SlotState::Newer`]) from a damaged one.
//!
//! The valid slot with the highest sequence is the config, unless it was tried and has failed; a write goes to the other
//! slot with the next sequence, and over one on trial rather than over one that has proved itself.
//! Sequences are compared as serial numbers (RFC 1982): `b` is newer than `a` if `b - a`, taken modulo 2^32, is
//! 1 to 2^31 - 1, so that the count may wrap. A sector wears out long before it does.
//!
//! [`load`] and [`store`] do this on the device; the host reads and writes the same sectors over the serial port.

use alloc::vec::Vec;
use core::fmt;

use self::turn::{Turn, is_newer, next_turn};
use crate::{
    codec::{self, DecodeError, EncodeError},
    crc::Crc32,
    flash_map::{FlashMap, Region, SECTOR_SIZE},
    model::Config,
};

mod flash;
mod trial;
mod turn;

pub use self::{
    flash::{
        Absence, History, Loaded, StoreError, history, load, mark, read_header, read_slot, store,
        store_on_trial,
    },
    trial::{Mark, RollBack, Standing, TAIL, TAIL_LENGTH, TRIAL_PAYLOAD_MAX, TRY_FOR},
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
    /// Where the sector is in the 4 MB map; [`FlashMap::config`] knows the others.
    pub const fn region(self) -> Region {
        FlashMap::Map4M.config(self)
    }

    /// The region's name, the same in every map.
    pub const fn name(self) -> &'static str {
        self.region().name
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
    /// Whether it is on trial.
    pub standing: Standing,
}

/// What `bytes`, a sector or as much of it as header and payload need, hold. Without the last [`TAIL_LENGTH`] bytes a
/// config that is or was on trial cannot be told: it is taken as [`Standing::Settled`].
pub fn read_sector(bytes: &[u8]) -> SlotState {
    read_sector_parts(bytes, bytes.get(TAIL..).and_then(<[u8]>::first_chunk))
}

/// As [`read_sector`], from header and payload in `bytes` and the sector's last bytes, for a reader on a slow line.
pub fn read_sector_parts(bytes: &[u8], tail: Option<&[u8; TAIL_LENGTH]>) -> SlotState {
    let header = match SlotHeader::parse(bytes) {
        Ok(header) => header,
        Err(HeaderFault::Blank) => return SlotState::Blank,
        Err(HeaderFault::Damaged(damage)) => return SlotState::Damaged(damage),
    };
    let checked = bytes.get(..CHECKED_HEADER_LENGTH);
    let payload = bytes.get(HEADER_LENGTH..).and_then(|rest| rest.get(..header.payload_length()));
    match (checked, payload) {
        (Some(checked), Some(payload)) => read_payload(&header, checked, payload, tail),
        _ => SlotState::Damaged(Damage::Cut),
    }
}

/// What a sector holds whose header is `header`, read from `checked` and what follows it.
fn read_payload(
    header: &SlotHeader,
    checked: &[u8],
    payload: &[u8],
    tail: Option<&[u8; TAIL_LENGTH]>,
) -> SlotState {
    let found = crc(checked, payload);
    if found != header.crc {
        return SlotState::Damaged(Damage::Crc { stated: header.crc, found });
    }
    match header.format {
        0 => SlotState::Damaged(Damage::Format { format: 0 }),
        FORMAT => match codec::decode(payload) {
            Ok(config) => SlotState::Valid(SlotRecord {
                sequence: header.sequence,
                crc: header.crc,
                config,
                standing: Standing::of(payload.len(), tail),
            }),
            Err(error) => SlotState::Damaged(Damage::Content(error)),
        },
        format => SlotState::Newer { format, sequence: header.sequence },
    }
}

fn crc(checked_header: &[u8], payload: &[u8]) -> u32 {
    Crc32::new().update(checked_header).update(payload).finish()
}

/// The slot that holds the config, and the config: the newest that was not given up.
///
/// Slots with the same sequence, or 2^31 apart, are not made by this program; slot A is taken then.
pub fn select<'a>(a: &'a SlotState, b: &'a SlotState) -> Option<(Slot, &'a SlotRecord)> {
    match (a.usable(), b.usable()) {
        (Some(a), Some(b)) if is_newer(b.sequence, a.sequence) => Some((Slot::B, b)),
        (Some(a), _) => Some((Slot::A, a)),
        (None, Some(b)) => Some((Slot::B, b)),
        (None, None) => None,
    }
}

/// Where the next write goes, and with which sequence.
///
/// Never over a config that has proved itself or was written to be used, if there is only one; else never the slot that
/// [`select`] takes. If there is none, a newer program's config is spared as long as the other slot is free. The sequence
/// is above every one in the slots, so that a newer program, too, finds this write first.
pub fn next(a: &SlotState, b: &SlotState) -> (Slot, u32) {
    next_turn(a.turn(), b.turn())
}

impl SlotState {
    /// The config, if the device may run on it.
    const fn usable(&self) -> Option<&SlotRecord> {
        match self {
            Self::Valid(record) if record.standing.is_usable() => Some(record),
            _ => None,
        }
    }

    const fn turn(&self) -> Turn {
        match self {
            Self::Valid(SlotRecord { sequence, standing, .. }) => match standing {
                standing if !standing.is_usable() => Turn::GivenUp(*sequence),
                Standing::OnTrial { .. } => Turn::OnTrial(*sequence),
                _ => Turn::Valid(*sequence),
            },
            Self::Newer { sequence, .. } => Turn::Newer(*sequence),
            Self::Blank | Self::Damaged(_) => Turn::Free,
        }
    }
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

/// The whole sector for a config that is to be tried for so many seconds, within [`TRY_FOR`].
///
/// # Errors
///
/// [`EncodeError`] when the config does not fit beside the words that the trial needs.
pub fn encode_sector_on_trial(config: &Config, sequence: u32, try_for: u16) -> Result<Vec<u8>, EncodeError> {
    let mut sector = encode_sector(config, sequence)?;
    check_trial_length(&sector)?;
    sector.resize(TAIL, 0xFF);
    sector.extend_from_slice(&trial::trial_word(try_for));
    sector.resize(SECTOR_SIZE as usize, 0xFF);
    Ok(sector)
}

/// Whether a sector, as [`encode_sector`] makes it, leaves room for the words of a trial.
fn check_trial_length(sector: &[u8]) -> Result<(), EncodeError> {
    match SlotHeader::parse(sector).map_or(0, |header| header.payload_length()) {
        length if length > TRIAL_PAYLOAD_MAX => {
            Err(EncodeError::TooLong { length, limit: TRIAL_PAYLOAD_MAX })
        }
        _ => Ok(()),
    }
}
