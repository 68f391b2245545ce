//! [`MemoryFlash`]: flash that is forgotten when the program ends.

use espbroker_config::flash_map::SECTOR_SIZE;

use crate::flash::{Flash, FlashError};

/// Flash in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryFlash(Vec<u8>);

impl MemoryFlash {
    /// Erased flash of `capacity` bytes.
    pub fn blank(capacity: usize) -> Self {
        Self(vec![0xFF; capacity])
    }

    /// Flash that holds exactly `bytes`.
    pub const fn with(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn span(&mut self, offset: u32, length: usize) -> Result<&mut [u8], FlashError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.0.get_mut(start..);
        rest.and_then(|rest| rest.get_mut(..length)).ok_or(FlashError::OutOfBounds { offset, length })
    }
}

impl Flash for MemoryFlash {
    fn capacity(&self) -> usize {
        self.0.len()
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        bytes.copy_from_slice(self.span(offset, bytes.len())?);
        Ok(())
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let span = self.span(offset, bytes.len())?;
        span.iter_mut().zip(bytes).for_each(|(held, byte)| *held &= byte);
        Ok(())
    }

    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError> {
        let length = SECTOR_SIZE as usize;
        if !offset.is_multiple_of(SECTOR_SIZE) {
            return Err(FlashError::NotAligned { offset, length });
        }
        self.span(offset, length)?.fill(0xFF);
        Ok(())
    }
}
