//! NOR flash that refuses what real flash would garble, and loses power when told to.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use espbroker_config::{
    flash_map::{FlashMap, SECTOR_SIZE},
    slots::{Slot, TAIL},
};

const SECTOR: usize = SECTOR_SIZE as usize;

/// The two sectors of the config partition.
#[derive(Clone)]
pub(crate) struct Nor {
    /// Where the two are.
    pub(crate) map: FlashMap,
    pub(crate) bytes: Vec<u8>,
    /// Bytes that can still be erased or programmed before the power goes.
    pub(crate) power: Option<usize>,
    /// A byte that the power leaves half done gets these bits of its old value.
    pub(crate) torn_bits: u8,
    /// A cell that has worn out: its bits stay as they are when programmed.
    pub(crate) stuck_at: Option<u32>,
    /// Sectors erased so far.
    pub(crate) erased: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NorError {
    /// The power is gone.
    Power,
    /// The caller broke a rule of the flash.
    Rule(&'static str),
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Nor {
    /// Erased flash of 4 MB.
    pub(crate) fn blank() -> Self {
        Self::blank_of(FlashMap::Map4M)
    }

    /// Erased flash.
    pub(crate) fn blank_of(map: FlashMap) -> Self {
        Self { map, bytes: vec![0xFF; 2 * SECTOR], power: None, torn_bits: 0, stuck_at: None, erased: 0 }
    }

    /// What a slot's sector holds.
    pub(crate) fn sector(&self, slot: Slot) -> &[u8] {
        let start = self.start(slot);
        &self.bytes[start..start + SECTOR]
    }

    /// Puts `bytes` into a slot by other means than the flash's own.
    pub(crate) fn put(&mut self, slot: Slot, bytes: &[u8]) {
        let start = self.start(slot);
        self.bytes[start..start + SECTOR].fill(0xFF);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    fn start(&self, slot: Slot) -> usize {
        (self.map.config(slot).offset - self.map.config(Slot::A).offset) as usize
    }

    fn index(&self, offset: u32, length: usize, unit: usize) -> Result<usize, NorError> {
        let (first, last) = (self.map.config(Slot::A), self.map.config(Slot::B));
        let end = offset as usize + length;
        if offset < first.offset || end > last.end() as usize {
            return Err(NorError::Rule("outside the config partition"));
        }
        if !(offset as usize).is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(NorError::Rule("not aligned"));
        }
        Ok((offset - first.offset) as usize)
    }

    /// Changes bytes from `start` on, one after the other, until the power is gone.
    fn change(&mut self, start: usize, new: impl Iterator<Item = u8>) -> Result<(), NorError> {
        for (index, new) in (start..).zip(new) {
            let old = self.bytes[index];
            match &mut self.power {
                Some(0) => {
                    self.bytes[index] = new & !self.torn_bits | old & self.torn_bits;
                    return Err(NorError::Power);
                }
                Some(left) => *left -= 1,
                None => {}
            }
            self.bytes[index] = new;
        }
        Ok(())
    }
}

impl ErrorType for Nor {
    type Error = NorError;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        let start = self.index(offset, bytes.len(), 4)?;
        bytes.copy_from_slice(&self.bytes[start..start + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.map.flash_size() as usize
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        let start = self.index(from, (to - from) as usize, SECTOR)?;
        self.change(start, std::iter::repeat_n(0xFF, (to - from) as usize))?;
        self.erased += 1;
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        let start = self.index(offset, bytes.len(), 4)?;
        let old = &self.bytes[start..start + bytes.len()];
        // A word of a trial may be programmed again, but no bit of it can be set.
        let again = start % SECTOR >= TAIL && old.iter().zip(bytes).all(|(old, new)| new & !old == 0);
        if !again && old.iter().any(|byte| *byte != 0xFF) {
            return Err(NorError::Rule("programmed without being erased"));
        }
        let stuck = self.stuck_at.map(|offset| (offset - self.map.config(Slot::A).offset) as usize);
        let new = (start..).zip(bytes).map(|(index, byte)| if Some(index) == stuck { 0xFF } else { *byte });
        self.change(start, new.collect::<Vec<_>>().into_iter())
    }
}
