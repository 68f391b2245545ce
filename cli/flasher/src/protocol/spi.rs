//! The flash controller's registers, which WRITE_REG and READ_REG reach from outside.
//!
//! Follows the register headers of the vendor SDK (`spi_register.h`). This is how a host reads the flash id, reads
//! flash, and erases exactly one sector while only the boot ROM runs, which has no command for any of the three.
//! The flasher uses: USER with command + MISO (0x9F, id), USER with command + address + MISO (0x03, read), and the
//! one-shot bits WREN, SE and RDSR of CMD.

/// First register of the controller that the boot flash hangs on.
pub const BASE: u32 = 0x6000_0200;
/// One-shot command bits; a bit reads 0 when its command is done.
pub const CMD: u32 = BASE;
/// Address. One-shot commands take the 24 bits as they are; a USER command with 24 address bits sends bits 31-8.
pub const ADDR: u32 = BASE + 0x04;
/// The flash's status register after [`CMD_RDSR`].
pub const RD_STATUS: u32 = BASE + 0x10;
/// Phases of a USER command.
pub const USER: u32 = BASE + 0x1C;
/// Lengths of a USER command's phases.
pub const USER1: u32 = BASE + 0x20;
/// Command byte of a USER command and its length.
pub const USER2: u32 = BASE + 0x24;
/// First of 16 data words, low byte first.
pub const W0: u32 = BASE + 0x40;

/// One-shot: write enable.
pub const CMD_WREN: u32 = 1 << 30;
/// One-shot: read the status register into [`RD_STATUS`].
pub const CMD_RDSR: u32 = 1 << 27;
/// One-shot: erase the 4 KiB sector at [`ADDR`].
pub const CMD_SE: u32 = 1 << 24;
/// One-shot: run the USER command.
pub const CMD_USR: u32 = 1 << 18;
/// Status register: an erase or a program is going on.
pub const STATUS_BUSY: u32 = 1;

/// USER has a command phase.
pub const USER_COMMAND: u32 = 1 << 31;
/// USER has an address phase.
pub const USER_ADDR: u32 = 1 << 30;
/// USER has a phase that reads into W0.
pub const USER_MISO: u32 = 1 << 28;

/// Bytes that W0 to W15 hold.
pub const DATA_BYTES: usize = 64;
/// JEDEC "read identification".
pub const FLASH_READ_ID: u32 = 0x9F;
/// "Read data" at low clock rate.
pub const FLASH_READ: u32 = 0x03;

/// USER1 for `address_bits` of address (0 for none) and `miso_bits` to read.
pub const fn user1(address_bits: u32, miso_bits: u32) -> u32 {
    (address_bits.saturating_sub(1) << 26) | (miso_bits.saturating_sub(1) << 8)
}

/// USER2 for an 8-bit command.
pub const fn user2(command: u32) -> u32 {
    (7 << 28) | command
}
