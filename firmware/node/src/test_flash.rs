//! A flash for tests of this crate: refuses what real flash would garble, counts, fails where told, and loses power.

use alloc::{vec, vec::Vec};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use espbroker_config::{
    flash_map::{CONFIG_A, CONFIG_B, FlashMap, SECTOR_SIZE},
    slots::TAIL,
};

const SECTOR: usize = SECTOR_SIZE as usize;

#[derive(Clone)]
pub(crate) struct TestFlash {
    pub(crate) bytes: Vec<u8>,
    pub(crate) bytes_read: usize,
    /// First offset that cannot be read.
    pub(crate) fails_from: Option<u32>,
    /// Times that each sector was erased.
    pub(crate) erased: Vec<u32>,
    /// Program operations so far.
    pub(crate) programs: usize,
    /// Bytes erased or programmed so far.
    pub(crate) bytes_changed: usize,
    /// Bytes that can still be erased or programmed before the power goes; without power nothing can be read.
    pub(crate) power: Option<usize>,
    /// A byte that the power leaves half done gets these bits of its old value.
    pub(crate) torn_bits: u8,
    /// The sector at this offset refuses to be erased.
    pub(crate) unerasable: Option<u32>,
    /// Bits of the byte at this offset that stay 0 when it is erased.
    pub(crate) stuck_at_0: Option<(u32, u8)>,
    /// The byte at this offset stays `FF` when it is programmed.
    pub(crate) stuck_at_1: Option<u32>,
    off: bool,
}

impl TestFlash {
    pub(crate) fn blank() -> Self {
        Self::of_size(FlashMap::Map4M.flash_size())
    }

    /// Erased, and of so many bytes.
    pub(crate) fn of_size(size: u32) -> Self {
        let size = usize::try_from(size).unwrap();
        Self {
            bytes: vec![0xFF; size],
            bytes_read: 0,
            fails_from: None,
            erased: vec![0; size / SECTOR],
            programs: 0,
            bytes_changed: 0,
            power: None,
            torn_bits: 0,
            unerasable: None,
            stuck_at_0: None,
            stuck_at_1: None,
            off: false,
        }
    }

    pub(crate) fn with(offset: u32, bytes: &[u8]) -> Self {
        let mut flash = Self::blank();
        flash.put(offset, bytes);
        flash
    }

    pub(crate) fn put(&mut self, offset: u32, bytes: &[u8]) {
        let offset = usize::try_from(offset).unwrap();
        self.bytes[offset..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Whether the power went.
    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Power for as long as it is wanted.
    pub(crate) fn power_up(&mut self) {
        (self.power, self.off) = (None, false);
    }

    fn index(&self, offset: u32, length: usize, unit: usize) -> Result<usize, NorFlashErrorKind> {
        let start = usize::try_from(offset).unwrap();
        if !start.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        if start + length > self.bytes.len() {
            return Err(NorFlashErrorKind::OutOfBounds);
        }
        if self.off { Err(NorFlashErrorKind::Other) } else { Ok(start) }
    }

    /// Changes a byte if there is power.
    fn change(&mut self, index: usize, new: u8) -> Result<(), NorFlashErrorKind> {
        let byte = &mut self.bytes[index];
        match &mut self.power {
            Some(0) => {
                *byte = new & !self.torn_bits | *byte & self.torn_bits;
                self.off = true;
                return Err(NorFlashErrorKind::Other);
            }
            Some(left) => *left -= 1,
            None => {}
        }
        *byte = new;
        self.bytes_changed += 1;
        Ok(())
    }
}

impl ErrorType for TestFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for TestFlash {
    // As on the chip.
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let start = self.index(offset, bytes.len(), 4)?;
        if self.fails_from.is_some_and(|from| offset >= from) {
            return Err(NorFlashErrorKind::Other);
        }
        bytes.copy_from_slice(&self.bytes[start..][..bytes.len()]);
        self.bytes_read += bytes.len();
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for TestFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let length = usize::try_from(to - from).unwrap();
        let start = self.index(from, length, SECTOR)?;
        if self.unerasable.is_some_and(|offset| (from..to).contains(&offset)) {
            return Err(NorFlashErrorKind::Other);
        }
        let stuck = self.stuck_at_0.map(|(offset, bits)| (usize::try_from(offset).unwrap(), bits));
        for index in start..start + length {
            let zeros = stuck.map_or(0, |(offset, bits)| if offset == index { bits } else { 0 });
            self.change(index, !zeros)?;
        }
        self.erased[start / SECTOR..][..length / SECTOR].iter_mut().for_each(|times| *times += 1);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let start = self.index(offset, bytes.len(), 4)?;
        let old = &self.bytes[start..][..bytes.len()];
        // A word of a trial that a power cut has left half done may be programmed again; no bit of it can be set.
        let is_tail = (CONFIG_A.offset..CONFIG_B.end()).contains(&offset) && start % SECTOR >= TAIL;
        let again = is_tail && old.iter().zip(bytes).all(|(old, new)| new & !old == 0);
        let erased = old.iter().all(|byte| *byte == 0xFF);
        assert!(erased || again, "programmed without being erased: {offset:#x}");
        for (index, byte) in (start..).zip(bytes) {
            let stuck = self.stuck_at_1.is_some_and(|offset| usize::try_from(offset).unwrap() == index);
            self.change(index, if stuck { 0xFF } else { *byte })?;
        }
        self.programs += 1;
        Ok(())
    }
}
