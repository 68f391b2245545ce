//! Request and response frames, both ways: the virtual device parses what the flasher builds.

use super::{Opcode, checksum};

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a header, or than the two status bytes of a response.
    #[error("frame is too short: {0} bytes")]
    TooShort(usize),
    /// The first byte is neither 0 (request) nor 1 (response), or the other one of the two.
    #[error("wrong direction byte: {0:#04x}")]
    Direction(u8),
    /// The length field and the bytes behind the header disagree.
    #[error("frame states {stated} bytes and has: {actual}")]
    Length {
        /// The length field.
        stated: usize,
        /// What is there.
        actual: usize,
    },
}

const REQUEST: u8 = 0x00;
const RESPONSE: u8 = 0x01;

/// One request: `00 opcode length:u16 checksum:u32 data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// As on the wire, since a device has to refuse the unknown ones itself.
    pub opcode: u8,
    /// Only the low byte counts, and only where a block is carried.
    pub checksum: u32,
    /// Behind the header.
    pub data: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes an unescaped frame apart.
    ///
    /// # Errors
    /// [`FrameError`] when the frame is no request or its length field does not fit.
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        let (opcode, checksum, data) = split(frame, REQUEST)?;
        Ok(Self { opcode, checksum, data })
    }

    /// Whether the checksum fits the block; true where no block is carried.
    pub fn checksum_fits(&self) -> bool {
        match Opcode::from_byte(self.opcode) {
            Some(opcode) if opcode.carries_block() => {
                let block = self.data.get(16..).unwrap_or_default();
                self.checksum.to_le_bytes().first() == Some(&checksum(block))
            }
            _ => true,
        }
    }

    /// Puts the frame together, unescaped; data past 65535 bytes is cut, as the length field cannot state it.
    pub fn to_bytes(&self) -> Vec<u8> {
        join(REQUEST, self.opcode, self.checksum, &[self.data])
    }
}

/// One response: `01 opcode length:u16 value:u32 data status:u8 error:u8`.
///
/// The boot ROM of the ESP8266 and every stub send two status bytes; the boot ROMs of later chips send four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Echo of the request's.
    pub opcode: u8,
    /// The register's content after READ_REG; stale or zero otherwise.
    pub value: u32,
    /// Between header and status bytes.
    pub data: Vec<u8>,
    /// 0 is success. It comes first.
    pub status: u8,
    /// Says why when `status` is not 0; may be left-over memory on success.
    pub error: u8,
}

impl Response {
    /// A response that reports success.
    pub const fn success(opcode: u8, value: u32, data: Vec<u8>) -> Self {
        Self { opcode, value, data, status: 0, error: 0 }
    }

    /// A response that reports failure.
    pub const fn failure(opcode: u8, value: u32, refusal: Refusal) -> Self {
        Self { opcode, value, data: Vec::new(), status: 1, error: refusal.byte() }
    }

    /// Takes an unescaped frame apart.
    ///
    /// # Errors
    /// [`FrameError`] when the frame is no response, its length field does not fit or the status bytes are missing.
    pub fn parse(frame: &[u8]) -> Result<Self, FrameError> {
        let (opcode, value, body) = split(frame, RESPONSE)?;
        let (data, &[status, error]) = body.split_last_chunk().ok_or(FrameError::TooShort(frame.len()))?;
        Ok(Self { opcode, value, data: data.to_vec(), status, error })
    }

    /// Puts the frame together, unescaped; data past 65533 bytes is cut, as the length field cannot state it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let data = self.data.get(..65533).unwrap_or(&self.data);
        join(RESPONSE, self.opcode, self.value, &[data, &[self.status, self.error]])
    }

    /// Why the loader refused; `None` on success.
    pub const fn refusal(&self) -> Option<Refusal> {
        if self.status == 0 { None } else { Some(Refusal::from_byte(self.error)) }
    }
}

fn split(frame: &[u8], direction: u8) -> Result<(u8, u32, &[u8]), FrameError> {
    let (header, data) = frame.split_first_chunk::<8>().ok_or(FrameError::TooShort(frame.len()))?;
    let &[found, opcode, low, high, a, b, c, d] = header;
    if found != direction {
        return Err(FrameError::Direction(found));
    }
    let stated = usize::from(u16::from_le_bytes([low, high]));
    if stated != data.len() {
        return Err(FrameError::Length { stated, actual: data.len() });
    }
    Ok((opcode, u32::from_le_bytes([a, b, c, d]), data))
}

fn join(direction: u8, opcode: u8, word: u32, parts: &[&[u8]]) -> Vec<u8> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let length = u16::try_from(total).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(8 + total);
    frame.extend([direction, opcode]);
    frame.extend(length.to_le_bytes());
    frame.extend(word.to_le_bytes());
    for part in parts {
        frame.extend_from_slice(part);
    }
    frame.truncate(8 + usize::from(length));
    frame
}

/// Why a loader refused a request: the second status byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// ROM 05: unknown opcode, wrong length or block number.
    #[error("message is invalid")]
    InvalidMessage,
    /// ROM 06: erase or end failed.
    #[error("operation failed")]
    OperationFailed,
    /// ROM 07: the block's checksum does not fit.
    #[error("checksum of the block does not fit")]
    Checksum,
    /// ROM 08: what was read back differs from what was written.
    #[error("flash does not hold what was written")]
    FlashWrite,
    /// ROM 09: reading flash failed.
    #[error("flash cannot be read")]
    FlashRead,
    /// ROM 0A: read length out of range.
    #[error("read length is out of range")]
    FlashReadLength,
    /// ROM 0B to 0D: inflating failed.
    #[error("compressed data cannot be unpacked")]
    Deflate,
    /// Stub C0: payload length does not fit the command.
    #[error("stub: data length does not fit the command")]
    StubDataLength,
    /// Stub C1: the block's checksum does not fit.
    #[error("stub: checksum of the block does not fit")]
    StubChecksum,
    /// Stub C2: block size out of range.
    #[error("stub: block size is out of range")]
    StubBlockSize,
    /// Stub C3: unknown command.
    #[error("stub: command is unknown")]
    StubUnknownCommand,
    /// Stub C4: the flash did not do what it was told.
    #[error("stub: flash operation failed")]
    StubSpiOperation,
    /// Stub C5: write protection cannot be lifted.
    #[error("stub: flash cannot be unlocked")]
    StubUnlock,
    /// Stub C6: data without a begin command.
    #[error("stub: not in flash mode")]
    StubNotInFlashMode,
    /// Stub C7: inflating failed.
    #[error("stub: compressed data cannot be unpacked")]
    StubInflate,
    /// Stub C8: end command before all data had come.
    #[error("stub: not enough data")]
    StubNotEnoughData,
    /// Stub C9: more data than announced.
    #[error("stub: too much data")]
    StubTooMuchData,
    /// Stub FF: the command exists and does nothing here.
    #[error("stub: command is not implemented")]
    StubNotImplemented,
    /// None of the documented ones.
    #[error("unknown error code: {0:#04x}")]
    Unknown(u8),
}

impl Refusal {
    /// The meaning of an error byte.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0x05 => Self::InvalidMessage,
            0x06 => Self::OperationFailed,
            0x07 => Self::Checksum,
            0x08 => Self::FlashWrite,
            0x09 => Self::FlashRead,
            0x0A => Self::FlashReadLength,
            0x0B..=0x0D => Self::Deflate,
            0xC0 => Self::StubDataLength,
            0xC1 => Self::StubChecksum,
            0xC2 => Self::StubBlockSize,
            0xC3 => Self::StubUnknownCommand,
            0xC4 => Self::StubSpiOperation,
            0xC5 => Self::StubUnlock,
            0xC6 => Self::StubNotInFlashMode,
            0xC7 => Self::StubInflate,
            0xC8 => Self::StubNotEnoughData,
            0xC9 => Self::StubTooMuchData,
            0xFF => Self::StubNotImplemented,
            other => Self::Unknown(other),
        }
    }

    /// The error byte; the lowest where several share a meaning.
    pub const fn byte(self) -> u8 {
        match self {
            Self::InvalidMessage => 0x05,
            Self::OperationFailed => 0x06,
            Self::Checksum => 0x07,
            Self::FlashWrite => 0x08,
            Self::FlashRead => 0x09,
            Self::FlashReadLength => 0x0A,
            Self::Deflate => 0x0B,
            Self::StubDataLength => 0xC0,
            Self::StubChecksum => 0xC1,
            Self::StubBlockSize => 0xC2,
            Self::StubUnknownCommand => 0xC3,
            Self::StubSpiOperation => 0xC4,
            Self::StubUnlock => 0xC5,
            Self::StubNotInFlashMode => 0xC6,
            Self::StubInflate => 0xC7,
            Self::StubNotEnoughData => 0xC8,
            Self::StubTooMuchData => 0xC9,
            Self::StubNotImplemented => 0xFF,
            Self::Unknown(byte) => byte,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sync_reply_of_a_real_boot_rom_parses() {
        // From a capture in a field report: 01 08 02 00, the echoed first data word, two status bytes.
        let frame = [0x01, 0x08, 0x02, 0x00, 0x07, 0x07, 0x12, 0x20, 0x00, 0x00];
        let response = Response::parse(&frame).unwrap();
        assert_eq!(response, Response::success(0x08, 0x2012_0707, Vec::new()));
        assert_eq!(response.refusal(), None);
        assert_eq!(response.to_bytes(), frame);
    }

    #[test]
    fn status_is_the_first_byte_and_the_error_the_second() {
        let frame = [0x01, 0x03, 0x02, 0x00, 0, 0, 0, 0, 0x01, 0x07];
        assert_eq!(Response::parse(&frame).unwrap().refusal(), Some(Refusal::Checksum));
        let success_with_stale_error = [0x01, 0x03, 0x02, 0x00, 0, 0, 0, 0, 0x00, 0x07];
        assert_eq!(Response::parse(&success_with_stale_error).unwrap().refusal(), None);
    }

    #[test]
    fn a_request_is_no_response_and_the_other_way_round() {
        let request = Request { opcode: 8, checksum: 0, data: &[1, 2, 3] }.to_bytes();
        assert_eq!(Response::parse(&request), Err(FrameError::Direction(0)));
        let response = Response::success(8, 0, Vec::new()).to_bytes();
        assert_eq!(Request::parse(&response), Err(FrameError::Direction(1)));
    }

    #[test]
    fn every_error_byte_survives_the_round_trip_or_shares_its_meaning() {
        for byte in 0..=255 {
            let refusal = Refusal::from_byte(byte);
            assert_eq!(Refusal::from_byte(refusal.byte()), refusal);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(request) = Request::parse(&bytes) {
                let _ = request.checksum_fits();
                prop_assert_eq!(request.to_bytes(), bytes.clone());
            }
            if let Ok(response) = Response::parse(&bytes) {
                prop_assert_eq!(response.to_bytes(), bytes);
            }
        }
    }
}
