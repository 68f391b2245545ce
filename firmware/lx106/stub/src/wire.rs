//! Numbers of the wire format: operations, refusals, sizes.

/// Bytes of the receive ring.
pub const RING: usize = 0xA800;
/// Bytes of block that one FLASH_DATA or FLASH_DEFL_DATA may carry.
pub const BLOCK_MAX: u32 = 0x4000;
/// Sum of the lengths (header and data, unescaped) of requests that a host may have sent without their responses.
///
/// The ring also holds one data frame that was answered and is still being unpacked, two bytes of its own for each
/// frame, of which the shortest has eight, and one byte that stays free.
pub const RECEIVE_WINDOW: u32 = 0x5000;
const _: () = assert!(RECEIVE_WINDOW as usize / 8 * 10 + BLOCK_MAX as usize + 26 < RING);
/// The first bytes of the answer to STUB_INFO.
pub const INFO_MAGIC: [u8; 4] = *b"EBS1";
/// Version of the stub's own operations.
pub const VERSION: u16 = 1;

/// The operation byte of a request, echoed in its response.
///
/// A request is `00`, operation, length of the data (u16), checksum (u32), data; a response `01`, operation, length
/// (u16), value (u32), data, status (0, or 1 when refused), [`Refusal`]. Lengths are minimal: what follows is ignored.
/// All numbers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Bytes to write, blocks, block size, offset: announces [`FlashData`](Self::FlashData). Erasing starts at once,
    /// sector by sector ahead of the data, and only what is not blank.
    FlashBegin = 0x02,
    /// Length, sequence, 0, 0, block: bytes as they are; what goes beyond the size announced is padding and ignored.
    ///
    /// Answered as soon as the checksum was right; an error in writing is the answer of those that follow. The
    /// sequence counts from 0. The last block once more is answered and ignored, any other one out of sequence is
    /// refused with [`Refusal::Message`], so a host that has sent several goes back to the one that was lost.
    FlashData = 0x03,
    /// 0 restarts the chip, 1 stays: answered when everything is in flash. Refused while something is missing.
    FlashEnd = 0x04,
    /// Size, blocks, block size, address: announces [`MemData`](Self::MemData). The address is a multiple of 4.
    MemBegin = 0x05,
    /// 1 stays, 0 calls the entry point, entry point.
    MemEnd = 0x06,
    /// Length, sequence, 0, 0, block: words for RAM.
    MemData = 0x07,
    /// Answered eight times, with the value 0 (the ROM's is not), as a stub does.
    Sync = 0x08,
    /// Address, value, mask, delay in microseconds before it; any number of them.
    WriteRegister = 0x09,
    /// Address: answered with its word as the value.
    ReadRegister = 0x0A,
    /// Id, size of the flash, block, sector, page, status mask: only the size is used, as the end of all addresses.
    SpiSetParameters = 0x0B,
    /// Connects the flash again.
    SpiAttach = 0x0D,
    /// New rate, old rate: answered at the old one. The divider is the one at start times the rate at start (the
    /// first `old`) by the new rate, so rounding does not add up however often it is changed.
    ChangeBaud = 0x0F,
    /// As [`FlashBegin`](Self::FlashBegin), with the size unpacked: announces a zlib stream.
    FlashDeflateBegin = 0x10,
    /// As [`FlashData`](Self::FlashData): the next piece of the zlib stream. What follows its end is ignored.
    FlashDeflateData = 0x11,
    /// As [`FlashEnd`](Self::FlashEnd).
    FlashDeflateEnd = 0x12,
    /// Offset, size, 0, 0: answered with the MD5 of that span as 16 bytes.
    SpiFlashMd5 = 0x13,
    /// Erases what is not blank.
    EraseFlash = 0xD0,
    /// Offset, size, both multiples of 4096: erases what is not blank there.
    EraseRegion = 0xD1,
    /// Offset, size, block size up to 4096, blocks in flight: answered, then come the blocks, each a frame of its own.
    /// The host answers with the number of bytes it has, in all, as a frame of four bytes; after the last one comes
    /// the MD5 of all. A frame of eight bytes or more ends the transfer and is the next request.
    ReadFlash = 0xD2,
    /// Answered; then the chip starts what is in flash.
    RunUserCode = 0xD3,
    /// Our own: answered with [`INFO_MAGIC`], [`VERSION`] (u16), 0 (u16), [`RECEIVE_WINDOW`] (u32), [`BLOCK_MAX`] (u32).
    StubInfo = 0xE0,
    /// Our own: offset (a multiple of 4096), count (1 to 1024): answered with the MD5 of each sector, in order.
    SectorDigests = 0xE1,
    /// Our own: up to 4096 bytes, answered with the same.
    Echo = 0xE2,
}

impl Operation {
    /// Every operation, with the least length of its data.
    pub const ALL: [(Self, u8); 23] = [
        (Self::FlashBegin, 16),
        (Self::FlashData, 16),
        // espflash sends one byte.
        (Self::FlashEnd, 1),
        (Self::MemBegin, 16),
        (Self::MemEnd, 8),
        (Self::MemData, 16),
        (Self::Sync, 0),
        (Self::WriteRegister, 16),
        (Self::ReadRegister, 4),
        (Self::SpiSetParameters, 24),
        (Self::SpiAttach, 0),
        (Self::ChangeBaud, 8),
        (Self::FlashDeflateBegin, 16),
        (Self::FlashDeflateData, 16),
        (Self::FlashDeflateEnd, 1),
        (Self::SpiFlashMd5, 8),
        (Self::EraseFlash, 0),
        (Self::EraseRegion, 8),
        (Self::ReadFlash, 16),
        (Self::RunUserCode, 0),
        (Self::StubInfo, 0),
        (Self::SectorDigests, 8),
        (Self::Echo, 0),
    ];
}

/// The last byte of a response whose status is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// A block out of sequence; the boot ROM's "bad message".
    Message = 0x05,
    /// Data too short for the operation, or a length, an offset or a rate that cannot be.
    DataLength = 0xC0,
    /// Checksum of a block.
    Checksum = 0xC1,
    /// Block size above [`BLOCK_MAX`], or above 4096 for READ_FLASH.
    BlockSize = 0xC2,
    /// No such operation.
    UnknownCommand = 0xC3,
    /// The flash did not get ready in time or refused, or an address is beyond its end.
    SpiOperation = 0xC4,
    /// The flash stays protected.
    Unlock = 0xC5,
    /// A block or an end without its beginning.
    NotInFlashMode = 0xC6,
    /// Not a zlib stream, or one whose Adler-32 is wrong.
    Inflate = 0xC7,
    /// End before all bytes that were announced.
    NotEnoughData = 0xC8,
    /// The zlib stream holds more than was announced.
    TooMuchData = 0xC9,
    /// An operation of esptool's that this chip has no hardware for.
    NotImplemented = 0xFF,
}
