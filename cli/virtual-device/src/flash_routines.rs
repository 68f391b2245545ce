//! The boot ROM's flash routines, which both the ROM loader and flasher stubs call.
//!
//! From the ROM's entry points as the vendor SDK links against them (`SPIUnlock`, `SPIEraseSector`, `SPIWrite`, ...)
//! and its machine code. Each works through the whole job at once and keeps the time that this takes on the chip:
//! it starts at a [`Flash::now`] and moves it to the end.

use std::sync::MutexGuard;
use std::time::Duration;

use crate::nor::{BLOCK, Erase, Nor, PAGE, SECTOR, STATUS_BUSY, STATUS_PROTECTION};

/// Flash size that the ROM takes for granted until it is told otherwise.
pub(crate) const DEFAULT_SIZE: u32 = 0x40_0000;
/// As far as three address bytes reach.
pub(crate) const LARGEST_SIZE: u32 = 0x100_0000;
/// Time on the controller's pins for 32 bytes of read: 13 MHz clock, 36 bytes, and the ROM around it.
const CHUNK_TIME: Duration = Duration::from_micros(30);
/// Sectors in a block.
const BLOCK_SECTORS: u32 = BLOCK / SECTOR;

/// What a flash routine reports; `Err` is the ROM's result 1.
pub(crate) type FlashResult = Result<(), FlashFailure>;

/// The routine gave up: address out of range or not aligned, chip protected, worn out or without supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlashFailure;

/// A flash chip in the hands of the CPU.
#[derive(Debug)]
pub(crate) struct Flash<'a> {
    nor: MutexGuard<'a, Nor>,
    size: u32,
    /// The CPU's time, which the routines move on.
    pub(crate) now: Duration,
}

impl<'a> Flash<'a> {
    /// Starts to use `nor` at `now`; addresses from `size` or [`LARGEST_SIZE`] on are refused.
    pub(crate) fn new(nor: MutexGuard<'a, Nor>, size: u32, now: Duration) -> Self {
        Self { nor, size: size.min(LARGEST_SIZE), now }
    }

    /// Waits for the end of what the flash is doing.
    fn wait(&mut self) -> FlashResult {
        self.now = self.now.max(self.nor.busy_until());
        if self.nor.read_status(self.now) & STATUS_BUSY == 0 { Ok(()) } else { Err(FlashFailure) }
    }

    /// `SPIUnlock`: clears the protection bits.
    pub(crate) fn unlock(&mut self) -> FlashResult {
        self.write_status(0)
    }

    /// `SPILock`: protects everything.
    pub(crate) fn lock(&mut self) -> FlashResult {
        self.write_status(STATUS_PROTECTION)
    }

    fn write_status(&mut self, value: u8) -> FlashResult {
        self.wait()?;
        // Writing what is there already costs a real chip 10 ms too, but not its software: it looks first.
        if self.nor.read_status(self.now) & STATUS_PROTECTION != value {
            self.nor.write_enable(self.now);
            self.nor.write_status(value, self.now);
        }
        self.wait()
    }

    /// `SPIEraseSector`, with the sector's number.
    pub(crate) fn erase_sector(&mut self, sector: u32) -> FlashResult {
        self.erase(sector < self.size / SECTOR, Erase::Sector(sector.wrapping_mul(SECTOR)))
    }

    /// `SPIEraseBlock`, with the block's number.
    pub(crate) fn erase_block(&mut self, block: u32) -> FlashResult {
        self.erase(block < self.size / BLOCK, Erase::Block(block.wrapping_mul(BLOCK)))
    }

    fn erase(&mut self, in_range: bool, unit: Erase) -> FlashResult {
        if !in_range {
            return Err(FlashFailure);
        }
        self.wait()?;
        self.nor.write_enable(self.now);
        self.nor.erase(unit, self.now);
        self.wait()
    }

    /// `SPIEraseArea`, with its bug: the sectors up to the first block boundary (all of them, if the area ends before
    /// it) are erased and then forgotten to be counted, so that as many too many are erased behind the area. Only one
    /// sector is therefore two. Running past the flash's end is a failure, after everything before it was erased.
    pub(crate) fn erase_area(&mut self, address: u32, length: u32) -> FlashResult {
        if address.checked_add(length).is_none_or(|end| end > self.size) || !address.is_multiple_of(SECTOR) {
            return Err(FlashFailure);
        }
        self.unlock()?;
        let total = length.div_ceil(SECTOR);
        let mut sector = address / SECTOR;
        let head = total.min(BLOCK_SECTORS - sector % BLOCK_SECTORS);
        for _ in 0..head {
            self.erase_sector(sector)?;
            sector += 1;
        }
        // Here `head` was meant to be taken off.
        let mut left = total;
        while left > BLOCK_SECTORS {
            self.erase_block(sector / BLOCK_SECTORS)?;
            sector += BLOCK_SECTORS;
            left -= BLOCK_SECTORS;
        }
        for _ in 0..left {
            self.erase_sector(sector)?;
            sector += 1;
        }
        Ok(())
    }

    /// `SPIWrite`: programs page by page.
    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> FlashResult {
        let length = u32::try_from(bytes.len()).map_err(|_| FlashFailure)?;
        if address.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(FlashFailure);
        }
        let mut address = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = (PAGE - address % PAGE) as usize;
            let (page, behind) = rest.split_at(room.min(rest.len()));
            self.wait()?;
            self.nor.write_enable(self.now);
            self.nor.program(address, page, self.now);
            self.wait()?;
            address = address.wrapping_add(u32::try_from(page.len()).unwrap_or(PAGE));
            rest = behind;
        }
        Ok(())
    }

    /// `SPIRead`: fills `buffer`.
    pub(crate) fn read(&mut self, address: u32, buffer: &mut [u8]) -> FlashResult {
        let length = u32::try_from(buffer.len()).map_err(|_| FlashFailure)?;
        if address.checked_add(length).is_none_or(|end| end > self.size) {
            return Err(FlashFailure);
        }
        self.wait()?;
        self.nor.read(address, buffer, self.now);
        self.now += CHUNK_TIME * length.div_ceil(32);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::board::SharedNor;
    use crate::nor::FlashSource;
    use crate::timing::Pace;

    const SECTORS: u32 = DEFAULT_SIZE / SECTOR;

    fn full(pace: Pace) -> SharedNor {
        let source = FlashSource::Bytes(vec![0; DEFAULT_SIZE as usize]);
        SharedNor::new(Nor::new(source, DEFAULT_SIZE, [0xEF, 0x40, 0x16], pace, 0).unwrap())
    }

    fn erased(nor: &SharedNor) -> Vec<u32> {
        let contents = nor.lock().contents();
        (0..SECTORS).filter(|&sector| contents[(sector * SECTOR) as usize] == 0xFF).collect()
    }

    fn erase_area(sector: u32, sectors: u32) -> (FlashResult, Vec<u32>) {
        let nor = full(Pace::Instant);
        let result = Flash::new(nor.lock(), DEFAULT_SIZE, Duration::ZERO)
            .erase_area(sector * SECTOR, sectors * SECTOR);
        (result, erased(&nor))
    }

    #[test]
    fn the_erase_bug_counts_the_head_sectors_twice() {
        assert_eq!(erase_area(512, 1), (Ok(()), vec![512, 513]), "one sector asked, two erased");
        assert_eq!(erase_area(15, 1), (Ok(()), vec![15, 16]));
        assert_eq!(erase_area(0, 0), (Ok(()), vec![]));
        assert_eq!(erase_area(3, 20), (Ok(()), (3..36).collect()), "13 up to the boundary, then 20 more");
        assert_eq!(erase_area(16, 40), (Ok(()), (16..72).collect()));
        assert_eq!(
            erase_area(1023, 1),
            (Err(FlashFailure), vec![1023]),
            "the last sector works and is refused"
        );
    }

    #[test]
    fn a_crooked_or_too_high_address_erases_nothing() {
        let nor = full(Pace::Instant);
        let mut flash = Flash::new(nor.lock(), DEFAULT_SIZE, Duration::ZERO);
        for (address, length) in
            [(1, 4096), (DEFAULT_SIZE, 4096), (u32::MAX - 4095, 4096), (0, DEFAULT_SIZE + 1)]
        {
            assert_eq!(flash.erase_area(address, length), Err(FlashFailure));
        }
        drop(flash);
        assert_eq!(erased(&nor), Vec::<u32>::new());
    }

    #[test]
    fn routines_take_the_time_of_the_flash() {
        let nor = full(Pace::RealTime);
        let mut flash = Flash::new(nor.lock(), DEFAULT_SIZE, Duration::ZERO);
        flash.erase_sector(1).unwrap();
        assert_eq!(flash.now, Duration::from_millis(45));
        flash.write(0x10F0, &[1; 32]).unwrap();
        assert_eq!(flash.now, Duration::from_micros(45_135), "two pages are touched");
        let mut buffer = [0; 40];
        flash.read(0x10E8, &mut buffer).unwrap();
        assert_eq!((buffer[7], buffer[8], buffer[39]), (0xFF, 1, 1));
    }

    #[test]
    fn a_locked_flash_takes_nothing_until_it_is_unlocked() {
        let nor = full(Pace::RealTime);
        let mut flash = Flash::new(nor.lock(), DEFAULT_SIZE, Duration::ZERO);
        flash.lock().unwrap();
        flash.erase_sector(0).unwrap();
        flash.unlock().unwrap();
        flash.erase_sector(1).unwrap();
        drop(flash);
        assert_eq!(erased(&nor), [1]);
    }
}
