//! Flash memory as the host sees it: a trait that can be a trait object, and its way to the device's own traits.
//!
//! All kinds behave as serial NOR flash does: erasing sets a whole sector to ones, programming only clears bits.
//! Reads and writes are aligned as on the chip, whose flash controller moves whole words.

use std::sync::{Arc, Mutex, PoisonError};

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use espbroker_config::flash_map::SECTOR_SIZE;

/// Bytes that the flash controller moves at once.
const WORD: usize = 4;

/// A NOR flash that the device runs on.
pub trait Flash: Send {
    /// Bytes.
    fn capacity(&self) -> usize;

    /// Copies what is at `offset`.
    ///
    /// # Errors
    /// The bytes are not all within the flash, or it failed; `bytes` is then of no use.
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError>;

    /// Clears the bits at `offset` that are zero in `bytes`; those that are one stay as they are.
    ///
    /// # Errors
    /// The bytes are not all within the flash, or it failed; some of them may have been programmed then.
    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError>;

    /// Sets every bit of the sector at `offset`, a multiple of [`SECTOR_SIZE`].
    ///
    /// # Errors
    /// There is no such sector, or the flash failed; the sector may be erased in part then.
    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError>;
}

/// Why the flash did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// Not all of the bytes exist.
    #[error("outside the flash: {length} bytes at {offset:#x}")]
    OutOfBounds {
        /// First byte.
        offset: u32,
        /// How many.
        length: usize,
    },
    /// Not whole words or sectors.
    #[error("not aligned: {length} bytes at {offset:#x}")]
    NotAligned {
        /// First byte.
        offset: u32,
        /// How many.
        length: usize,
    },
    /// The file behind it cannot be read or written.
    #[error("flash file failed")]
    File(#[from] std::io::Error),
    /// The chip refuses: no power, or a sector is worn out.
    #[error("flash failed at {offset:#x}")]
    Failed {
        /// First byte.
        offset: u32,
    },
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds { .. } => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned { .. } => NorFlashErrorKind::NotAligned,
            Self::File(_) | Self::Failed { .. } => NorFlashErrorKind::Other,
        }
    }
}

/// A flash that several hold, for example the device and the virtual chip around it.
impl<F: Flash + ?Sized> Flash for Arc<Mutex<F>> {
    fn capacity(&self) -> usize {
        self.lock().unwrap_or_else(PoisonError::into_inner).capacity()
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).read(offset, bytes)
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).program(offset, bytes)
    }

    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).erase_sector(offset)
    }
}

impl Flash for Box<dyn Flash> {
    fn capacity(&self) -> usize {
        (**self).capacity()
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        (**self).read(offset, bytes)
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        (**self).program(offset, bytes)
    }

    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError> {
        (**self).erase_sector(offset)
    }
}

/// Any [`Flash`] as the device's code wants it.
#[derive(Debug)]
pub struct Nor<F>(pub F);

impl<F> ErrorType for Nor<F> {
    type Error = FlashError;
}

impl<F: Flash> ReadNorFlash for Nor<F> {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        aligned(offset, bytes.len())?;
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: Flash> NorFlash for Nor<F> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        if !from.is_multiple_of(SECTOR_SIZE) || !to.is_multiple_of(SECTOR_SIZE) || from > to {
            let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
            return Err(FlashError::NotAligned { offset: from, length });
        }
        let mut offset = from;
        while offset < to {
            self.0.erase_sector(offset)?;
            offset += SECTOR_SIZE;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        aligned(offset, bytes.len())?;
        self.0.program(offset, bytes)
    }
}

fn aligned(offset: u32, length: usize) -> Result<(), FlashError> {
    let whole_words = offset.is_multiple_of(4) && length.is_multiple_of(WORD);
    if whole_words { Ok(()) } else { Err(FlashError::NotAligned { offset, length }) }
}
