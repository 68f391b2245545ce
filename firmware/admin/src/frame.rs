//! The outside of a frame: header, limit, and collecting one from a stream.

use alloc::vec::Vec;
use core::fmt;

use espbroker_config::slots::PAYLOAD_MAX;

use crate::seal::{NONCE_LENGTH, TAG_LENGTH};

/// First byte of every frame: what tells a connection for the administration from one of MQTT.
pub const FIRST_BYTE: u8 = b'E';
/// Longest frame: a whole config, what goes with it, header, nonce and tag.
pub const FRAME_MAX: usize = HEADER_LENGTH + NONCE_LENGTH + PAYLOAD_MAX + 32 + TAG_LENGTH;

pub(crate) const HEADER_LENGTH: usize = 8;
const MAGIC: [u8; 4] = *b"EBAD";
const VERSION: u8 = 1;
/// Memory that is taken ahead of the bytes that have come: a length in a header takes none.
const STEP: usize = 512;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request = 1,
    Reply = 2,
    Plain = 3,
}

/// The header of a frame with `length` bytes behind it.
pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER_LENGTH] {
    let [m0, m1, m2, m3] = MAGIC;
    let [l0, l1] = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    [m0, m1, m2, m3, VERSION, kind as u8, l0, l1]
}

/// What follows the header of a whole frame of this kind.
pub(crate) fn body(frame: &[u8], kind: Kind) -> Option<(&[u8; HEADER_LENGTH], &[u8])> {
    let (found, body) = frame.split_first_chunk()?;
    (*found == header(kind, body.len())).then_some((found, body))
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// They begin with something else.
    Magic,
    /// Of a version that this program does not know.
    Version(u8),
    /// Longer than any frame.
    TooLong(u16),
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => formatter.write_str("not a frame of the administration"),
            Self::Version(version) => write!(formatter, "frame of an unknown version: {version}"),
            Self::TooLong(length) => write!(formatter, "frame is longer than {FRAME_MAX} bytes: {length}"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Collects a frame from a stream, in any split.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
}

impl FrameReader {
    /// Takes bytes up to the end of a frame; gives the frame, if it is whole, and the bytes behind it. The reader is then
    /// ready for the next one. Never holds more than a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError`] as soon as it shows; there is no way on in this stream.
    pub fn push<'a>(&mut self, bytes: &'a [u8]) -> Result<(Option<Vec<u8>>, &'a [u8]), FrameError> {
        let mut rest = bytes;
        if self.bytes.len() < HEADER_LENGTH {
            rest = self.take(HEADER_LENGTH, rest);
        }
        if let Some(wanted) = self.wanted()? {
            rest = self.take(wanted, rest);
            if self.bytes.len() == wanted {
                return Ok((Some(core::mem::take(&mut self.bytes)), rest));
            }
        }
        Ok((None, rest))
    }

    /// Bytes that are held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the next byte begins a frame.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of the whole frame, once its header is there and as far as it is sound.
    pub fn expected(&self) -> Option<usize> {
        self.wanted().ok().flatten()
    }

    /// Takes bytes until `length` are held.
    fn take<'a>(&mut self, length: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = length.saturating_sub(self.bytes.len());
        let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        let (room, ahead) = (self.bytes.capacity() - self.bytes.len(), missing.min(STEP));
        if room < taken.len() {
            self.bytes.reserve_exact(taken.len().max(ahead));
        }
        self.bytes.extend_from_slice(taken);
        rest
    }

    /// Bytes of the whole frame, once its header is there.
    fn wanted(&self) -> Result<Option<usize>, FrameError> {
        if self.bytes.iter().zip(MAGIC).any(|(found, magic)| *found != magic) {
            return Err(FrameError::Magic);
        }
        match *self.bytes {
            [_, _, _, _, version, ..] if version != VERSION => Err(FrameError::Version(version)),
            [_, _, _, _, _, _, l0, l1, ..] => {
                let length = u16::from_le_bytes([l0, l1]);
                let whole = HEADER_LENGTH + usize::from(length);
                if whole > FRAME_MAX { Err(FrameError::TooLong(length)) } else { Ok(Some(whole)) }
            }
            _ => Ok(None),
        }
    }
}

/// Why a device does not answer under the key. Nobody vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// The frame cannot be opened with the device's key.
    WrongKey,
    /// The device has no admin key.
    NoKey,
    /// Longer than any frame.
    TooLong,
    /// The device has its hands full: another connection of this kind, or too little memory. Try again.
    Busy,
    /// Too many frames that could not be opened have come; nothing is opened for a second.
    Later,
    /// Of a version that the device does not know.
    Version,
    /// Something that a newer device says.
    Other(u8),
}

impl Plain {
    /// The frame that says so.
    pub fn frame(self) -> Vec<u8> {
        let number = match self {
            Self::WrongKey => 1,
            Self::NoKey => 2,
            Self::TooLong => 3,
            Self::Busy => 4,
            Self::Later => 5,
            Self::Version => 6,
            Self::Other(number) => number,
        };
        let mut frame = Vec::from(header(Kind::Plain, 1));
        frame.push(number);
        frame
    }

    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let (_, body) = body(frame, Kind::Plain)?;
        let &[number] = body else { return None };
        Some(match number {
            1 => Self::WrongKey,
            2 => Self::NoKey,
            3 => Self::TooLong,
            4 => Self::Busy,
            5 => Self::Later,
            6 => Self::Version,
            number => Self::Other(number),
        })
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::WrongKey => "the device has another admin key",
            Self::NoKey => "the device has no admin key",
            Self::TooLong => "the request is too long for the device",
            Self::Busy => "the device is busy",
            Self::Later => "too many requests under a wrong key have come to the device",
            Self::Version => "the device does not know this version of the protocol",
            Self::Other(number) => return write!(formatter, "the device refuses with number: {number}"),
        })
    }
}
