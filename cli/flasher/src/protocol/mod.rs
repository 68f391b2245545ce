//! The serial loader's wire format: opcodes, request and response frames, checksum, refusals.
//!
//! Implements the "Serial Protocol" chapter of the esptool documentation for the ESP8266: its boot ROM and the
//! flasher stubs that speak the same frames. All numbers are little-endian; SLIP ([`crate::slip`]) is applied after
//! the checksum and lengths. Left out: flash encryption, the NAND plug-in and everything only later chips have. The
//! project's own stub adds three commands, from 0xE0 up, which no other loader of this chip knows.

mod command;
mod frame;
pub mod spi;
mod stub_info;

pub use command::{Command, CommandParseError, RegisterWrite};
pub use frame::{FrameError, Refusal, Request, Response};
pub use stub_info::{StubInfo, StubInfoError};

/// Bytes in one block of a RAM upload.
pub const RAM_BLOCK: usize = 0x1800;
/// Bytes in one block of a flash write through the boot ROM.
pub const ROM_FLASH_BLOCK: usize = 0x400;
/// Bytes in one block of a flash write through a stub.
pub const STUB_FLASH_BLOCK: usize = 0x4000;
/// The longest request or reply that either side sends, unescaped.
pub const FRAME_MAX: usize = STUB_FLASH_BLOCK + 64;
/// What the checksum starts from.
pub const CHECKSUM_SEED: u8 = 0xEF;
/// What a stub sends, as one SLIP frame, when it has started.
pub const STUB_GREETING: &[u8] = b"OHAI";
/// What follows the opcode of SYNC; the boot ROM measures the baud rate on the 32 alternating bytes.
pub const SYNC_PAYLOAD: [u8; 36] = {
    let mut payload = [0x55; 36];
    payload[0] = 0x07;
    payload[1] = 0x07;
    payload[2] = 0x12;
    payload[3] = 0x20;
    payload
};
/// Replies that the boot ROM sends to one SYNC.
pub const SYNC_REPLIES: u32 = 8;
/// Sectors in one SECTOR_DIGESTS request at most.
pub const SECTOR_DIGESTS_MAX: u32 = 1024;
/// Bytes in one ECHO request at most.
pub const ECHO_MAX: usize = 4096;
/// Register that tells the chips of the family apart.
pub const CHIP_MAGIC_REGISTER: u32 = 0x4000_1000;
/// What an ESP8266 and an ESP8285 hold in [`CHIP_MAGIC_REGISTER`].
pub const CHIP_MAGIC: u32 = 0xFFF0_C101;
/// First of the four eFuse words: MAC address, ESP8285 marks.
pub const EFUSE_BASE: u32 = 0x3FF0_0050;
/// UART0's clock divider, which the ROM sets by measuring SYNC.
pub const UART_CLOCK_DIVIDER: u32 = 0x6000_0014;

/// The checksum of a data command: XOR over the block, without the 16 bytes of header before it.
pub fn checksum(block: &[u8]) -> u8 {
    block.iter().fold(CHECKSUM_SEED, |sum, byte| sum ^ byte)
}

/// The operation byte of a request, echoed in its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Erase, and announce blocks to write.
    FlashBegin = 0x02,
    /// One block for flash.
    FlashData = 0x03,
    /// Leave the loader; the boot ROM also sets the flash's block protection bits.
    FlashEnd = 0x04,
    /// Announce blocks for RAM.
    MemBegin = 0x05,
    /// End of a RAM upload, jump to its entry point.
    MemEnd = 0x06,
    /// One block for RAM.
    MemData = 0x07,
    /// Find the baud rate and answer eight times.
    Sync = 0x08,
    /// Write registers.
    WriteRegister = 0x09,
    /// Read one register.
    ReadRegister = 0x0A,
    /// Tell the flash's geometry.
    SpiSetParameters = 0x0B,
    /// Attach the flash pins.
    SpiAttach = 0x0D,
    /// Stub only: go to another baud rate.
    ChangeBaud = 0x0F,
    /// Stub only: announce compressed blocks.
    FlashDeflateBegin = 0x10,
    /// Stub only: one compressed block.
    FlashDeflateData = 0x11,
    /// Stub only: end of a compressed write.
    FlashDeflateEnd = 0x12,
    /// Stub only: MD5 of a span of flash.
    SpiFlashMd5 = 0x13,
    /// Stub only: erase all.
    EraseFlash = 0xD0,
    /// Stub only: erase whole sectors.
    EraseRegion = 0xD1,
    /// Stub only: send a span of flash.
    ReadFlash = 0xD2,
    /// Stub only: leave the loader and start what is in flash.
    RunUserCode = 0xD3,
    /// The project's stub only: version and buffer sizes.
    StubInfo = 0xE0,
    /// The project's stub only: the MD5 of each of many sectors.
    SectorDigests = 0xE1,
    /// The project's stub only: send the same bytes back.
    Echo = 0xE2,
}

impl Opcode {
    /// Every opcode, in ascending order.
    pub const ALL: [Self; 23] = [
        Self::FlashBegin,
        Self::FlashData,
        Self::FlashEnd,
        Self::MemBegin,
        Self::MemEnd,
        Self::MemData,
        Self::Sync,
        Self::WriteRegister,
        Self::ReadRegister,
        Self::SpiSetParameters,
        Self::SpiAttach,
        Self::ChangeBaud,
        Self::FlashDeflateBegin,
        Self::FlashDeflateData,
        Self::FlashDeflateEnd,
        Self::SpiFlashMd5,
        Self::EraseFlash,
        Self::EraseRegion,
        Self::ReadFlash,
        Self::RunUserCode,
        Self::StubInfo,
        Self::SectorDigests,
        Self::Echo,
    ];

    /// The opcode with this number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|opcode| opcode.byte() == byte)
    }

    /// The number on the wire.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The name that the protocol's document uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlashBegin => "FLASH_BEGIN",
            Self::FlashData => "FLASH_DATA",
            Self::FlashEnd => "FLASH_END",
            Self::MemBegin => "MEM_BEGIN",
            Self::MemEnd => "MEM_END",
            Self::MemData => "MEM_DATA",
            Self::Sync => "SYNC",
            Self::WriteRegister => "WRITE_REG",
            Self::ReadRegister => "READ_REG",
            Self::SpiSetParameters => "SPI_SET_PARAMS",
            Self::SpiAttach => "SPI_ATTACH",
            Self::ChangeBaud => "CHANGE_BAUDRATE",
            Self::FlashDeflateBegin => "FLASH_DEFL_BEGIN",
            Self::FlashDeflateData => "FLASH_DEFL_DATA",
            Self::FlashDeflateEnd => "FLASH_DEFL_END",
            Self::SpiFlashMd5 => "SPI_FLASH_MD5",
            Self::EraseFlash => "ERASE_FLASH",
            Self::EraseRegion => "ERASE_REGION",
            Self::ReadFlash => "READ_FLASH",
            Self::RunUserCode => "RUN_USER_CODE",
            Self::StubInfo => "STUB_INFO",
            Self::SectorDigests => "SECTOR_DIGESTS",
            Self::Echo => "ECHO",
        }
    }

    /// Whether the request carries a block with a checksum.
    pub const fn carries_block(self) -> bool {
        matches!(self, Self::FlashData | Self::MemData | Self::FlashDeflateData)
    }
}

impl std::fmt::Display for Opcode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
