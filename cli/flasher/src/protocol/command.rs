//! Requests by meaning: each opcode with its fields, built by the flasher and parsed by a device.

use std::borrow::Cow;

use super::{Opcode, Request, SYNC_PAYLOAD, checksum};

/// One register write of a WRITE_REG request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterWrite {
    /// Where.
    pub address: u32,
    /// What.
    pub value: u32,
    /// Which bits; all ones writes without reading.
    pub mask: u32,
    /// Microseconds to wait before the write.
    pub delay: u32,
}

impl RegisterWrite {
    /// Writes all bits at once, with no delay.
    pub const fn new(address: u32, value: u32) -> Self {
        Self { address, value, mask: u32::MAX, delay: 0 }
    }
}

/// One request by meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `erase_size` is what the ROM's eraser is told and what a stub takes as bytes to write.
    FlashBegin {
        /// Bytes.
        erase_size: u32,
        /// FLASH_DATA requests that follow.
        blocks: u32,
        /// Bytes in each.
        block_size: u32,
        /// First byte in flash.
        offset: u32,
    },
    /// One block for flash.
    FlashData {
        /// Counts from 0.
        sequence: u32,
        /// At most the block size.
        block: Cow<'a, [u8]>,
    },
    /// Leaves the loader on the boot ROM, whatever the argument.
    FlashEnd {
        /// 0 reboots, 1 stays in a stub.
        stay: u32,
    },
    /// Announces a RAM upload.
    MemBegin {
        /// Bytes in all.
        size: u32,
        /// MEM_DATA requests that follow.
        blocks: u32,
        /// Bytes in each.
        block_size: u32,
        /// First address.
        address: u32,
    },
    /// One block for RAM.
    MemData {
        /// Counts from 0.
        sequence: u32,
        /// At most the block size.
        block: Cow<'a, [u8]>,
    },
    /// Ends a RAM upload.
    MemEnd {
        /// 0 jumps to `entry`, anything else stays in the loader.
        stay: u32,
        /// Where to jump.
        entry: u32,
    },
    /// Finds the baud rate.
    Sync,
    /// Writes registers in order.
    WriteRegister(Vec<RegisterWrite>),
    /// Reads one register.
    ReadRegister {
        /// Which.
        address: u32,
    },
    /// Tells the flash's geometry.
    SpiSetParameters {
        /// Flash id, total size, block size, sector size, page size, status mask.
        words: [u32; 6],
    },
    /// Attaches the flash pins.
    SpiAttach {
        /// 0 for the default pins.
        pins: u32,
    },
    /// Goes to another baud rate after the reply.
    ChangeBaud {
        /// The rate to go to.
        new: u32,
        /// The rate it runs at.
        old: u32,
    },
    /// Announces compressed blocks.
    FlashDeflateBegin {
        /// Uncompressed bytes.
        size: u32,
        /// FLASH_DEFL_DATA requests that follow.
        blocks: u32,
        /// Compressed bytes in each.
        block_size: u32,
        /// First byte in flash.
        offset: u32,
    },
    /// One block of a zlib stream.
    FlashDeflateData {
        /// Counts from 0.
        sequence: u32,
        /// At most the block size.
        block: Cow<'a, [u8]>,
    },
    /// Ends a compressed write.
    FlashDeflateEnd {
        /// 0 reboots, 1 stays in the stub.
        stay: u32,
    },
    /// Asks for the MD5 of a span.
    SpiFlashMd5 {
        /// First byte in flash.
        offset: u32,
        /// Bytes.
        size: u32,
    },
    /// Erases all.
    EraseFlash,
    /// Erases whole sectors.
    EraseRegion {
        /// First byte, a multiple of the sector size.
        offset: u32,
        /// Bytes, a multiple of the sector size.
        size: u32,
    },
    /// Sends a span of flash in frames of their own.
    ReadFlash {
        /// First byte in flash.
        offset: u32,
        /// Bytes.
        size: u32,
        /// Bytes in each frame, at most 4096.
        block_size: u32,
        /// Frames that may be unacknowledged.
        in_flight: u32,
    },
    /// Leaves the stub and starts what is in flash.
    RunUserCode,
    /// Asks for version and buffer sizes.
    StubInfo,
    /// Asks for the MD5 of each of many sectors.
    SectorDigests {
        /// First byte in flash, a multiple of the sector size.
        offset: u32,
        /// Sectors, at most [`super::SECTOR_DIGESTS_MAX`].
        count: u32,
    },
    /// Asks for the same bytes back.
    Echo {
        /// At most [`super::ECHO_MAX`].
        bytes: Cow<'a, [u8]>,
    },
}

/// Why a request's data does not fit its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandParseError {
    /// No such opcode.
    #[error("unknown opcode: {0:#04x}")]
    UnknownOpcode(u8),
    /// Too few or too many bytes for the opcode.
    #[error("wrong data length for {opcode}: {length}")]
    Length {
        /// Whose.
        opcode: Opcode,
        /// What came.
        length: usize,
    },
}

impl<'a> Command<'a> {
    /// Its operation byte.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Self::FlashBegin { .. } => Opcode::FlashBegin,
            Self::FlashData { .. } => Opcode::FlashData,
            Self::FlashEnd { .. } => Opcode::FlashEnd,
            Self::MemBegin { .. } => Opcode::MemBegin,
            Self::MemData { .. } => Opcode::MemData,
            Self::MemEnd { .. } => Opcode::MemEnd,
            Self::Sync => Opcode::Sync,
            Self::WriteRegister(_) => Opcode::WriteRegister,
            Self::ReadRegister { .. } => Opcode::ReadRegister,
            Self::SpiSetParameters { .. } => Opcode::SpiSetParameters,
            Self::SpiAttach { .. } => Opcode::SpiAttach,
            Self::ChangeBaud { .. } => Opcode::ChangeBaud,
            Self::FlashDeflateBegin { .. } => Opcode::FlashDeflateBegin,
            Self::FlashDeflateData { .. } => Opcode::FlashDeflateData,
            Self::FlashDeflateEnd { .. } => Opcode::FlashDeflateEnd,
            Self::SpiFlashMd5 { .. } => Opcode::SpiFlashMd5,
            Self::EraseFlash => Opcode::EraseFlash,
            Self::EraseRegion { .. } => Opcode::EraseRegion,
            Self::ReadFlash { .. } => Opcode::ReadFlash,
            Self::RunUserCode => Opcode::RunUserCode,
            Self::StubInfo => Opcode::StubInfo,
            Self::SectorDigests { .. } => Opcode::SectorDigests,
            Self::Echo { .. } => Opcode::Echo,
        }
    }

    /// The whole request, unescaped, with its checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sum = match self {
            Self::FlashData { block, .. }
            | Self::MemData { block, .. }
            | Self::FlashDeflateData { block, .. } => u32::from(checksum(block)),
            _ => 0,
        };
        Request { opcode: self.opcode().byte(), checksum: sum, data: &self.data() }.to_bytes()
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::FlashBegin { erase_size: size, blocks, block_size, offset }
            | Self::MemBegin { size, blocks, block_size, address: offset }
            | Self::FlashDeflateBegin { size, blocks, block_size, offset }
            | Self::ReadFlash { offset: size, size: blocks, block_size, in_flight: offset } => {
                words(&[*size, *blocks, *block_size, *offset])
            }
            Self::FlashData { sequence, block }
            | Self::MemData { sequence, block }
            | Self::FlashDeflateData { sequence, block } => {
                let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
                let mut data = words(&[length, *sequence, 0, 0]);
                data.extend_from_slice(block);
                data
            }
            Self::FlashEnd { stay } | Self::FlashDeflateEnd { stay } => words(&[*stay]),
            Self::MemEnd { stay, entry } => words(&[*stay, *entry]),
            Self::Sync => SYNC_PAYLOAD.to_vec(),
            Self::WriteRegister(writes) => writes
                .iter()
                .flat_map(|write| words(&[write.address, write.value, write.mask, write.delay]))
                .collect(),
            Self::ReadRegister { address: word } | Self::SpiAttach { pins: word } => words(&[*word]),
            Self::SpiSetParameters { words: parameters } => words(parameters),
            Self::ChangeBaud { new, old } => words(&[*new, *old]),
            Self::SpiFlashMd5 { offset, size } => words(&[*offset, *size, 0, 0]),
            Self::EraseRegion { offset, size } => words(&[*offset, *size]),
            Self::SectorDigests { offset, count } => words(&[*offset, *count]),
            Self::Echo { bytes } => bytes.to_vec(),
            Self::EraseFlash | Self::RunUserCode | Self::StubInfo => Vec::new(),
        }
    }

    /// Takes a request's data apart; the checksum is not looked at.
    ///
    /// # Errors
    /// [`CommandParseError`] when the opcode is unknown or the data has not the length that it needs.
    pub fn parse(request: &Request<'a>) -> Result<Self, CommandParseError> {
        let opcode =
            Opcode::from_byte(request.opcode).ok_or(CommandParseError::UnknownOpcode(request.opcode))?;
        let wrong_length = CommandParseError::Length { opcode, length: request.data.len() };
        Self::parse_data(opcode, request.data).ok_or(wrong_length)
    }

    fn parse_data(opcode: Opcode, data: &'a [u8]) -> Option<Self> {
        Some(match opcode {
            Opcode::FlashBegin => {
                let [erase_size, blocks, block_size, offset] = exact(data)?;
                Self::FlashBegin { erase_size, blocks, block_size, offset }
            }
            Opcode::FlashData => {
                let (sequence, block) = parse_block(data)?;
                Self::FlashData { sequence, block }
            }
            Opcode::FlashEnd => {
                let [stay] = exact(data)?;
                Self::FlashEnd { stay }
            }
            Opcode::MemBegin => {
                let [size, blocks, block_size, address] = exact(data)?;
                Self::MemBegin { size, blocks, block_size, address }
            }
            Opcode::MemData => {
                let (sequence, block) = parse_block(data)?;
                Self::MemData { sequence, block }
            }
            Opcode::MemEnd => {
                let [stay, entry] = exact(data)?;
                Self::MemEnd { stay, entry }
            }
            Opcode::Sync => (data == SYNC_PAYLOAD).then_some(Self::Sync)?,
            Opcode::WriteRegister => {
                let (writes, rest) = data.as_chunks::<16>();
                let writes: Option<Vec<_>> = writes.iter().map(|write| parse_write(write)).collect();
                rest.is_empty().then_some(Self::WriteRegister(writes?))?
            }
            Opcode::ReadRegister => {
                let [address] = exact(data)?;
                Self::ReadRegister { address }
            }
            Opcode::SpiSetParameters => Self::SpiSetParameters { words: exact(data)? },
            Opcode::SpiAttach => {
                let [pins] = exact(data)?;
                Self::SpiAttach { pins }
            }
            Opcode::ChangeBaud => {
                let [new, old] = exact(data)?;
                Self::ChangeBaud { new, old }
            }
            Opcode::FlashDeflateBegin => {
                let [size, blocks, block_size, offset] = exact(data)?;
                Self::FlashDeflateBegin { size, blocks, block_size, offset }
            }
            Opcode::FlashDeflateData => {
                let (sequence, block) = parse_block(data)?;
                Self::FlashDeflateData { sequence, block }
            }
            Opcode::FlashDeflateEnd => {
                let [stay] = exact(data)?;
                Self::FlashDeflateEnd { stay }
            }
            Opcode::SpiFlashMd5 => {
                let [offset, size, _, _] = exact(data)?;
                Self::SpiFlashMd5 { offset, size }
            }
            Opcode::EraseFlash => data.is_empty().then_some(Self::EraseFlash)?,
            Opcode::EraseRegion => {
                let [offset, size] = exact(data)?;
                Self::EraseRegion { offset, size }
            }
            Opcode::ReadFlash => {
                let [offset, size, block_size, in_flight] = exact(data)?;
                Self::ReadFlash { offset, size, block_size, in_flight }
            }
            Opcode::RunUserCode => data.is_empty().then_some(Self::RunUserCode)?,
            Opcode::StubInfo => data.is_empty().then_some(Self::StubInfo)?,
            Opcode::SectorDigests => {
                let [offset, count] = exact(data)?;
                Self::SectorDigests { offset, count }
            }
            Opcode::Echo => Self::Echo { bytes: Cow::Borrowed(data) },
        })
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Exactly `N` words and nothing behind them.
fn exact<const N: usize>(data: &[u8]) -> Option<[u32; N]> {
    let (chunks, rest) = data.as_chunks::<4>();
    let chunks: &[[u8; 4]; N] = chunks.try_into().ok()?;
    rest.is_empty().then(|| chunks.map(u32::from_le_bytes))
}

/// The header of a data command and its block, whose length must be the stated one.
fn parse_block(data: &[u8]) -> Option<(u32, Cow<'_, [u8]>)> {
    let (header, block) = data.split_first_chunk::<16>()?;
    let [length, sequence, _, _] = exact(header)?;
    (usize::try_from(length) == Ok(block.len())).then_some((sequence, Cow::Borrowed(block)))
}

fn parse_write(data: &[u8]) -> Option<RegisterWrite> {
    let [address, value, mask, delay] = exact(data)?;
    Some(RegisterWrite { address, value, mask, delay })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sync_has_the_bytes_of_the_protocol_document() {
        let bytes = Command::Sync.to_bytes();
        assert_eq!(bytes[..12], [0x00, 0x08, 0x24, 0x00, 0, 0, 0, 0, 0x07, 0x07, 0x12, 0x20]);
        assert_eq!(bytes[12..], [0x55; 32]);
    }

    #[test]
    fn a_data_command_sums_its_block_and_not_its_header() {
        let bytes = Command::FlashData { sequence: 3, block: Cow::Borrowed(&[0x12, 0x34]) }.to_bytes();
        assert_eq!(
            bytes,
            [
                0x00,
                0x03,
                18,
                0,
                0xEF ^ 0x12 ^ 0x34,
                0,
                0,
                0, // header
                2,
                0,
                0,
                0,
                3,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0, // length, sequence, two zeroes
                0x12,
                0x34,
            ]
        );
        assert!(Request::parse(&bytes).unwrap().checksum_fits());
    }

    #[test]
    fn flash_begin_has_four_words_and_no_encryption_word() {
        let command =
            Command::FlashBegin { erase_size: 0x7000, blocks: 28, block_size: 0x400, offset: 0x1000 };
        assert_eq!(command.to_bytes().len(), 8 + 16);
        let read = Command::ReadFlash { offset: 1, size: 2, block_size: 3, in_flight: 4 };
        assert_eq!(read.to_bytes()[8..], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    }

    fn any_command() -> impl Strategy<Value = Command<'static>> {
        let block = || (any::<u32>(), proptest::collection::vec(any::<u8>(), 0..80));
        let quad = any::<[u32; 4]>;
        prop_oneof![
            quad().prop_map(|[erase_size, blocks, block_size, offset]| Command::FlashBegin {
                erase_size,
                blocks,
                block_size,
                offset
            }),
            block().prop_map(|(sequence, block)| Command::FlashData { sequence, block: block.into() }),
            block().prop_map(|(sequence, block)| Command::MemData { sequence, block: block.into() }),
            block().prop_map(|(sequence, block)| Command::FlashDeflateData { sequence, block: block.into() }),
            quad().prop_map(|[size, blocks, block_size, address]| Command::MemBegin {
                size,
                blocks,
                block_size,
                address
            }),
            quad().prop_map(|[size, blocks, block_size, offset]| Command::FlashDeflateBegin {
                size,
                blocks,
                block_size,
                offset
            }),
            quad().prop_map(|[offset, size, block_size, in_flight]| Command::ReadFlash {
                offset,
                size,
                block_size,
                in_flight
            }),
            proptest::collection::vec(quad(), 0..4).prop_map(|writes| Command::WriteRegister(
                writes
                    .into_iter()
                    .map(|[address, value, mask, delay]| RegisterWrite { address, value, mask, delay })
                    .collect()
            )),
            any::<[u32; 6]>().prop_map(|words| Command::SpiSetParameters { words }),
            any::<[u32; 2]>().prop_map(|[new, old]| Command::ChangeBaud { new, old }),
            any::<[u32; 2]>().prop_map(|[stay, entry]| Command::MemEnd { stay, entry }),
            any::<[u32; 2]>().prop_map(|[offset, size]| Command::SpiFlashMd5 { offset, size }),
            any::<[u32; 2]>().prop_map(|[offset, size]| Command::EraseRegion { offset, size }),
            any::<u32>().prop_map(|stay| Command::FlashEnd { stay }),
            any::<u32>().prop_map(|stay| Command::FlashDeflateEnd { stay }),
            any::<u32>().prop_map(|address| Command::ReadRegister { address }),
            any::<u32>().prop_map(|pins| Command::SpiAttach { pins }),
            Just(Command::Sync),
            Just(Command::EraseFlash),
            Just(Command::RunUserCode),
            Just(Command::StubInfo),
            any::<[u32; 2]>().prop_map(|[offset, count]| Command::SectorDigests { offset, count }),
            proptest::collection::vec(any::<u8>(), 0..80)
                .prop_map(|bytes| Command::Echo { bytes: bytes.into() }),
        ]
    }

    proptest! {
        #[test]
        fn every_command_survives_the_round_trip(command in any_command()) {
            let bytes = command.to_bytes();
            let request = Request::parse(&bytes).unwrap();
            prop_assert!(request.checksum_fits());
            prop_assert_eq!(Command::parse(&request), Ok(command));
        }

        #[test]
        fn any_request_parses_or_fails_without_a_panic(
            opcode in any::<u8>(), data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Command::parse(&Request { opcode, checksum: 0, data: &data });
        }
    }
}
