//! [`MemoryFlash`]: flash that is forgotten when the program ends.
//!
//! Only sectors that were programmed take memory: most of a flash stays erased, and a broker that runs for months on a
//! router should not pay for it.

use espbroker_config::flash_map::SECTOR_SIZE;

use crate::flash::{Flash, FlashError};

const SECTOR: usize = SECTOR_SIZE as usize;
const ERASED: u8 = 0xFF;

/// Flash in memory.
#[derive(Clone, Debug)]
pub struct MemoryFlash {
    capacity: usize,
    /// `None` is an erased sector; the last one may reach beyond the capacity.
    sectors: Vec<Option<Box<[u8; SECTOR]>>>,
}

impl MemoryFlash {
    /// Erased flash of `capacity` bytes.
    pub fn blank(capacity: usize) -> Self {
        Self { capacity, sectors: vec![None; capacity.div_ceil(SECTOR)] }
    }

    /// The parts of the sectors that `length` bytes at `offset` lie in, each with its share of those bytes: index of
    /// the sector, first byte in it, and how many.
    fn spans(
        &self,
        offset: u32,
        length: usize,
    ) -> Result<impl Iterator<Item = (usize, usize, usize)> + use<>, FlashError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(length).filter(|end| *end <= self.capacity);
        let end = end.ok_or(FlashError::OutOfBounds { offset, length })?;
        Ok((start / SECTOR..end.div_ceil(SECTOR)).map(move |sector| {
            let base = sector * SECTOR;
            let first = start.max(base);
            (sector, first - base, end.min(base + SECTOR) - first)
        }))
    }
}

impl Flash for MemoryFlash {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let mut rest = bytes;
        for (sector, first, length) in self.spans(offset, rest.len())? {
            let Some((part, behind)) = rest.split_at_mut_checked(length) else { break };
            rest = behind;
            match self.sectors.get(sector).and_then(|sector| sector.as_ref()?.get(first..first + length)) {
                Some(held) => part.copy_from_slice(held),
                None => part.fill(ERASED),
            }
        }
        Ok(())
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut rest = bytes.iter();
        for (sector, first, length) in self.spans(offset, bytes.len())? {
            let Some(sector) = self.sectors.get_mut(sector) else { break };
            let sector = sector.get_or_insert_with(|| Box::new([ERASED; SECTOR]));
            let held = sector.iter_mut().skip(first).take(length);
            held.zip(&mut rest).for_each(|(held, byte)| *held &= byte);
        }
        Ok(())
    }

    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError> {
        if !offset.is_multiple_of(SECTOR_SIZE) {
            return Err(FlashError::NotAligned { offset, length: SECTOR });
        }
        for (sector, ..) in self.spans(offset, SECTOR)? {
            self.sectors.get_mut(sector).into_iter().for_each(|sector| *sector = None);
        }
        Ok(())
    }
}
