//! [`Flash`]: the NOR flash by its own commands, each started and its end asked for later.
//!
//! Commands as in the data sheets of the W25Q family, which all flashes on ESP8266 modules share. All go through the
//! controller's user mode, 64 bytes at most; the ROM's functions wait for each 32 bytes.

use crate::chip::{Chip, FIFO, Transfer};
use crate::wire::Refusal;

pub(crate) const SECTOR: u32 = 0x1000;
/// Bytes that go through the controller at once.
pub(crate) const PIECE: u32 = 64;
const _: () = assert!(PIECE as usize == FIFO);
pub(crate) const BLOCK: u32 = 0x1_0000;

const WRITE_STATUS: u8 = 0x01;
const PAGE_PROGRAM: u8 = 0x02;
const READ: u8 = 0x03;
const READ_STATUS: u8 = 0x05;
const WRITE_ENABLE: u8 = 0x06;
const SECTOR_ERASE: u8 = 0x20;
const READ_ID: u8 = 0x9F;
const BLOCK_ERASE: u8 = 0xD8;

const BUSY: u32 = 1 << 0;
const WRITE_ENABLED: u32 = 1 << 1;
/// BP0 to BP2, TB, SEC.
const PROTECTED: u32 = 0x7C;

/// CPU cycles after which an operation has failed: 8 s at 52 MHz, four times the slowest block erase.
const TIMEOUT: u32 = 416_000_000;

/// What the controller's buffer holds.
pub(crate) type Buffer = [u32; FIFO / 4];

/// The flash did not get ready, or took no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure;

impl From<Failure> for Refusal {
    fn from(Failure: Failure) -> Self {
        Self::SpiOperation
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Sector,
    Block,
}

#[derive(Debug)]
pub(crate) struct Flash {
    /// The end of all addresses.
    pub(crate) size: u32,
    busy: bool,
    started: u32,
}

impl Flash {
    /// Takes the size from the id: the capacity's exponent of 256 KiB to 16 MiB, in the two forms that exist.
    pub(crate) fn identify<C: Chip>(chip: &mut C) -> Self {
        let capacity = answer(chip, READ_ID, 3) >> 16 & 0xFF;
        let size = match capacity {
            0x12..=0x18 => 1 << capacity,
            0x32..=0x38 => 1 << (capacity - 0x20),
            _ => 1 << 24,
        };
        Self { size, busy: false, started: 0 }
    }

    /// Whether a span ends where there still is flash.
    pub(crate) fn holds(&self, offset: u32, length: u32) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size)
    }

    /// Whether the last operation is done.
    pub(crate) fn is_ready<C: Chip>(&mut self, chip: &mut C) -> Result<bool, Failure> {
        if self.busy {
            if status(chip) & BUSY == 0 {
                self.busy = false;
            } else if chip.cycles().wrapping_sub(self.started) > TIMEOUT {
                self.busy = false;
                return Err(Failure);
            }
        }
        Ok(!self.busy)
    }

    pub(crate) fn wait<C: Chip>(&mut self, chip: &mut C) -> Result<(), Failure> {
        while !self.is_ready(chip)? {}
        Ok(())
    }

    /// Starts programming what the buffer holds, which lies in one page.
    pub(crate) fn start_program<C: Chip>(
        &mut self,
        chip: &mut C,
        address: u32,
        buffer: &mut Buffer,
        length: usize,
    ) -> Result<(), Failure> {
        self.start(chip, PAGE_PROGRAM, Some(address), length, buffer)
    }

    pub(crate) fn start_erase<C: Chip>(
        &mut self,
        chip: &mut C,
        address: u32,
        unit: Unit,
    ) -> Result<(), Failure> {
        let command = match unit {
            Unit::Sector => SECTOR_ERASE,
            Unit::Block => BLOCK_ERASE,
        };
        self.start(chip, command, Some(address), 0, &mut [])
    }

    /// Reads at most [`FIFO`] bytes.
    pub(crate) fn read<C: Chip>(chip: &mut C, address: u32, length: usize, buffer: &mut Buffer) {
        run(chip, READ, Some(address), 0, length, buffer);
    }

    /// Whether a sector reads as FF.
    pub(crate) fn is_blank<C: Chip>(chip: &mut C, sector: u32) -> bool {
        let mut buffer: Buffer = [0; FIFO / 4];
        let mut offset = 0;
        while offset < SECTOR {
            Self::read(chip, sector + offset, FIFO, &mut buffer);
            if !is_all_ones(&buffer) {
                return false;
            }
            offset += PIECE;
        }
        true
    }

    /// Takes a protection away, if there is one: the status register wears as everything does.
    pub(crate) fn unlock<C: Chip>(&mut self, chip: &mut C) -> Result<(), Refusal> {
        if status(chip) & PROTECTED != 0 {
            self.start(chip, WRITE_STATUS, None, 1, &mut [0])?;
            self.wait(chip)?;
            if status(chip) & PROTECTED != 0 {
                return Err(Refusal::Unlock);
            }
        }
        Ok(())
    }

    fn start<C: Chip>(
        &mut self,
        chip: &mut C,
        command: u8,
        address: Option<u32>,
        send: usize,
        buffer: &mut [u32],
    ) -> Result<(), Failure> {
        run(chip, WRITE_ENABLE, None, 0, 0, &mut []);
        // A flash that is busy, without power or not there does not enable writing.
        if status(chip) & (WRITE_ENABLED | BUSY) != WRITE_ENABLED {
            return Err(Failure);
        }
        run(chip, command, address, send, 0, buffer);
        self.busy = true;
        self.started = chip.cycles();
        Ok(())
    }
}

pub(crate) fn is_all_ones(buffer: &Buffer) -> bool {
    buffer.iter().all(|&word| word == u32::MAX)
}

fn status<C: Chip>(chip: &mut C) -> u32 {
    answer(chip, READ_STATUS, 1) & 0xFF
}

/// Up to four bytes that the flash answers to a command, the first one lowest.
fn answer<C: Chip>(chip: &mut C, command: u8, receive: usize) -> u32 {
    let mut word = [0];
    run(chip, command, None, 0, receive, &mut word);
    let [word] = word;
    word
}

fn run<C: Chip>(
    chip: &mut C,
    command: u8,
    address: Option<u32>,
    send: usize,
    receive: usize,
    buffer: &mut [u32],
) {
    chip.transfer(Transfer { command, address, send, receive }, buffer);
}
