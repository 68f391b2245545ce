//! The flash chip: 4 MB of the board's RAM that behave as NOR flash.

use core::{ptr, slice};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use crate::faults;

const BASE: usize = 0x6040_0000;
const CAPACITY: usize = 4 << 20;
const SECTOR: usize = 4096;

/// The board's flash; there is one.
pub(crate) struct Nor(());

impl Nor {
    /// Takes the flash.
    ///
    /// # Safety
    ///
    /// Once in a program.
    pub(crate) const unsafe fn take() -> Self {
        Self(())
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the board has RAM there that nothing else uses, and there is one `Nor`.
        unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(BASE), CAPACITY) }
    }

    /// A span that the checks have found to be within the flash.
    fn span(&mut self, offset: u32, length: usize) -> &mut [u8] {
        let start = usize::try_from(offset).unwrap_or(CAPACITY);
        self.bytes().get_mut(start..start.saturating_add(length)).unwrap_or_default()
    }
}

impl ErrorType for Nor {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        bytes.copy_from_slice(self.span(offset, bytes.len()));
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or_default();
        if let Some(share) = faults::cut() {
            let (whole, bits) = part(length, share);
            let span = self.span(from, length);
            span.iter_mut().take(whole).for_each(|cell| *cell = 0xFF);
            span.iter_mut().skip(whole).take(1).for_each(|cell| *cell |= bits);
            faults::stand();
        }
        self.span(from, length).fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        if let Some(share) = faults::cut() {
            let (whole, bits) = part(bytes.len(), share);
            let mut pairs = self.span(offset, bytes.len()).iter_mut().zip(bytes);
            pairs.by_ref().take(whole).for_each(|(cell, byte)| *cell &= byte);
            pairs.take(1).for_each(|(cell, byte)| *cell &= byte | !bits);
            faults::stand();
        }
        // Programming clears bits and sets none.
        self.span(offset, bytes.len()).iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        Ok(())
    }
}

/// The first 256ths of `length` bytes: whole bytes, and a mask of the bits of the next that come with them.
fn part(length: usize, share: u32) -> (usize, u8) {
    let bits = (length * 8).saturating_mul(usize::try_from(share).unwrap_or(256)) / 256;
    (bits / 8, 0xFF_u8.checked_shr(u32::try_from(8 - bits % 8).unwrap_or(8)).unwrap_or(0))
}
