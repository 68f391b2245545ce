//! [`Nor`]: a serial NOR flash chip of the W25Q kind, at the level of the commands on its pins.
//!
//! Follows the Winbond W25Q32 data sheet: programming clears bits and never sets them, a page program wraps at the
//! page's end, only sectors (4 KiB), blocks (64 KiB) and the whole chip can be erased, each of these needs "write
//! enable" first and keeps the chip busy, and the three block protection bits refuse them all. Time is an argument;
//! nothing here sleeps. Left out: dual and quad modes, suspend, one-time programmable pages, SFDP and protection of
//! a part of the array (any protection bit protects everything).

mod memory;

pub use memory::{FlashSource, StorageError};

use std::time::Duration;

use crate::random::Random;
use crate::timing::Pace;
use memory::Memory;

/// Bytes that one program command can reach.
pub(crate) const PAGE: u32 = 256;
/// Bytes in the smallest unit that can be erased.
pub(crate) const SECTOR: u32 = 4096;
/// Bytes in the larger unit.
pub(crate) const BLOCK: u32 = 0x1_0000;

/// Status register: an erase or a program is going on.
pub(crate) const STATUS_BUSY: u8 = 1 << 0;
/// Status register: the next erase, program or status write is allowed.
pub(crate) const STATUS_WRITE_ENABLED: u8 = 1 << 1;
/// Status register: block protection bits; they survive a power cut.
pub(crate) const STATUS_PROTECTION: u8 = 0x1C;

const STATUS_WRITABLE: u8 = 0xFC;
/// The first byte of a program, each further one, and a whole page.
const FIRST_BYTE_TIME: Duration = Duration::from_micros(30);
const BYTE_TIME: Duration = Duration::from_nanos(2_500);
const PAGE_TIME: Duration = Duration::from_micros(700);
const SECTOR_TIME: Duration = Duration::from_millis(45);
const BLOCK_TIME: Duration = Duration::from_millis(150);
const CHIP_TIME_4M: Duration = Duration::from_secs(10);
const STATUS_WRITE_TIME: Duration = Duration::from_millis(10);

/// What an erase command erases; an address anywhere inside the unit names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erase {
    /// 4 KiB.
    Sector(u32),
    /// 64 KiB.
    Block(u32),
    /// Everything.
    Chip,
}

/// A flash chip: its array, its status register and what it is doing.
#[derive(Debug)]
pub(crate) struct Nor {
    memory: Memory,
    pace: Pace,
    id: [u8; 3],
    status: u8,
    busy_until: Duration,
    operations: u64,
    busy: Duration,
    power_cut_after: Option<u64>,
    power_lost_at: Option<Duration>,
    stuck_sectors: Vec<u32>,
    shorted: bool,
    torn: Random,
}

impl Nor {
    /// A chip of `size` bytes (a power of two) that holds what `source` gives; shorter contents are followed by FF.
    ///
    /// # Errors
    /// [`StorageError`] when the file of [`FlashSource::File`] cannot be opened or has the wrong size.
    pub(crate) fn new(
        source: FlashSource,
        size: u32,
        id: [u8; 3],
        pace: Pace,
        seed: u64,
    ) -> Result<Self, StorageError> {
        Ok(Self {
            memory: Memory::open(source, size)?,
            pace,
            id,
            status: 0,
            busy_until: Duration::ZERO,
            operations: 0,
            busy: Duration::ZERO,
            power_cut_after: None,
            power_lost_at: None,
            stuck_sectors: Vec::new(),
            shorted: false,
            torn: Random::new(seed),
        })
    }

    /// Bytes in the array.
    pub(crate) const fn size(&self) -> u32 {
        self.memory.size()
    }

    /// A copy of the whole array.
    pub(crate) fn contents(&self) -> Vec<u8> {
        self.memory.bytes().to_vec()
    }

    /// Page programs and erases begun since the chip was made.
    pub(crate) const fn operations(&self) -> u64 {
        self.operations
    }

    /// Time of all of these together.
    pub(crate) const fn busy(&self) -> Duration {
        self.busy
    }

    /// When the operation going on ends; in the past when there is none.
    pub(crate) const fn busy_until(&self) -> Duration {
        self.busy_until
    }

    /// When a power cut by [`Self::cut_power_after`] came; `None` while there is power.
    pub(crate) const fn power_lost_at(&self) -> Option<Duration> {
        self.power_lost_at
    }

    const fn is_powered(&self) -> bool {
        self.power_lost_at.is_none()
    }

    /// The first error of the backing file; the array in memory stays right.
    pub(crate) fn storage_error(&self) -> Option<&str> {
        self.memory.error()
    }

    /// Lets `operations` more programs and erases succeed and takes the supply away in the middle of the next one.
    pub(crate) const fn cut_power_after(&mut self, operations: u64) {
        self.power_cut_after = Some(self.operations + operations);
    }

    /// Makes the sector at `address` refuse to erase: it stays as it is.
    pub(crate) fn wear_out(&mut self, address: u32) {
        self.stuck_sectors.push(self.memory.wrap(address) / SECTOR);
    }

    /// Makes everything read as 0, as with a data line shorted to ground; the array itself still works.
    pub(crate) const fn short_data_line(&mut self) {
        self.shorted = true;
    }

    /// Answers 9F with `id` from now on, whatever the size.
    pub(crate) const fn claim_id(&mut self, id: [u8; 3]) {
        self.id = id;
    }

    /// Supply off and on: forgets write enable and ends what was going on. The array and the protection bits stay.
    pub(crate) const fn power_cycle(&mut self) {
        self.power_lost_at = None;
        self.status &= STATUS_WRITABLE;
        self.busy_until = Duration::ZERO;
    }

    /// Manufacturer, type and capacity (9F).
    pub(crate) const fn read_id(&self, now: Duration) -> [u8; 3] {
        if self.shorted {
            return [0; 3];
        }
        if self.answers(now) { self.id } else { [0xFF; 3] }
    }

    /// The status register (05), the only thing that a busy chip answers.
    pub(crate) fn read_status(&self, now: Duration) -> u8 {
        if self.shorted {
            return 0;
        }
        if !self.is_powered() {
            return 0xFF;
        }
        if now < self.busy_until { self.status | STATUS_BUSY } else { self.status }
    }

    /// Fills `buffer` from `address` on (03, 0B), wrapping at the array's end.
    pub(crate) fn read(&self, address: u32, buffer: &mut [u8], now: Duration) {
        if self.shorted {
            buffer.fill(0);
        } else if self.answers(now) {
            self.memory.read(address, buffer);
        } else {
            buffer.fill(0xFF);
        }
    }

    /// Allows the next erase, program or status write (06).
    pub(crate) const fn write_enable(&mut self, now: Duration) {
        if self.answers(now) {
            self.status |= STATUS_WRITE_ENABLED;
        }
    }

    /// Takes [`Self::write_enable`] back (04).
    pub(crate) const fn write_disable(&mut self, now: Duration) {
        if self.answers(now) {
            self.status &= !STATUS_WRITE_ENABLED;
        }
    }

    /// Writes the status register (01).
    pub(crate) fn write_status(&mut self, value: u8, now: Duration) {
        if self.take_write_enable(now) {
            self.status = value & STATUS_WRITABLE;
            self.busy_until = now + self.duration(STATUS_WRITE_TIME);
        }
    }

    /// Programs at most a page (02): clears the bits that are clear in `data`.
    ///
    /// The address counts up inside the page of `address` only; of more than 256 bytes the last 256 count. Ignored
    /// while busy, without write enable and under protection.
    pub(crate) fn program(&mut self, address: u32, data: &[u8], now: Duration) {
        if !self.begin_operation(now) {
            return;
        }
        let address = self.memory.wrap(address);
        let page = address & !(PAGE - 1);
        let excess = data.len().saturating_sub(PAGE as usize);
        // Where power goes away, the bytes before that point are programmed, one is half done, the rest untouched.
        let whole = if self.is_powered() { data.len() } else { excess + (data.len() - excess) / 2 };
        for (index, &byte) in data.iter().enumerate().skip(excess).take(whole + 1 - excess) {
            let column = u32::try_from(index).unwrap_or(0).wrapping_add(address) % PAGE;
            let mask = if index < whole { byte } else { byte | self.torn.byte() };
            self.memory.clear_bits(page + column, mask);
        }
        self.memory.store(page, PAGE);
        self.take_time(program_time(data.len()), now);
    }

    /// Erases to FF (20, D8, C7). Ignored while busy, without write enable and under protection.
    pub(crate) fn erase(&mut self, unit: Erase, now: Duration) {
        if !self.begin_operation(now) {
            return;
        }
        let (start, length, time) = match unit {
            Erase::Sector(address) => (self.memory.wrap(address) & !(SECTOR - 1), SECTOR, SECTOR_TIME),
            Erase::Block(address) => (self.memory.wrap(address) & !(BLOCK - 1), BLOCK, BLOCK_TIME),
            Erase::Chip => (0, self.size(), CHIP_TIME_4M * (self.size() >> 16) / 64),
        };
        for sector in (start..start + length).step_by(SECTOR as usize) {
            if !self.stuck_sectors.contains(&(self.memory.wrap(sector) / SECTOR)) {
                self.erase_sector(sector);
            }
        }
        self.memory.store(start, length);
        self.take_time(time, now);
    }

    fn erase_sector(&mut self, start: u32) {
        if self.is_powered() {
            self.memory.fill_erased(start, SECTOR);
            return;
        }
        // A cell that was being erased reads as anything between what it held and FF.
        for address in start..start + SECTOR {
            let bits = self.torn.byte();
            self.memory.set_bits(address, bits);
        }
    }

    const fn answers(&self, now: Duration) -> bool {
        self.is_powered() && now.as_nanos() >= self.busy_until.as_nanos()
    }

    const fn take_write_enable(&mut self, now: Duration) -> bool {
        let enabled = self.answers(now) && self.status & STATUS_WRITE_ENABLED != 0;
        if enabled {
            self.status &= !STATUS_WRITE_ENABLED;
        }
        enabled
    }

    /// Whether an erase or program starts; counts it, and cuts the power if it is the one to be cut.
    fn begin_operation(&mut self, now: Duration) -> bool {
        if !self.take_write_enable(now) || self.status & STATUS_PROTECTION != 0 {
            return false;
        }
        if self.power_cut_after == Some(self.operations) {
            self.power_lost_at = Some(now);
            self.power_cut_after = None;
        }
        self.operations += 1;
        true
    }

    fn take_time(&mut self, typical: Duration, now: Duration) {
        let time = self.duration(typical);
        self.busy += time;
        self.busy_until = now + time;
    }

    fn duration(&self, typical: Duration) -> Duration {
        match self.pace {
            Pace::RealTime => typical,
            Pace::Instant => Duration::ZERO,
        }
    }
}

/// How long it takes to program so many bytes: the boot ROM's 32 at a time take longer than a page at once.
fn program_time(bytes: usize) -> Duration {
    match u32::try_from(bytes) {
        Ok(bytes) if bytes < PAGE => FIRST_BYTE_TIME + BYTE_TIME * bytes.saturating_sub(1),
        _ => PAGE_TIME,
    }
}

#[cfg(test)]
mod tests;
