//! A flash for tests of this crate: reads only, counts, and fails where told.

use alloc::{vec, vec::Vec};

use embedded_storage::nor_flash::{ErrorType, NorFlashErrorKind, ReadNorFlash};
use espbroker_config::flash_map::FlashMap;

pub(crate) struct TestFlash {
    pub(crate) bytes: Vec<u8>,
    pub(crate) bytes_read: usize,
    /// First offset that cannot be read.
    pub(crate) fails_from: Option<u32>,
}

impl TestFlash {
    pub(crate) fn blank() -> Self {
        let size = usize::try_from(FlashMap::Map4M.flash_size()).unwrap();
        Self { bytes: vec![0xFF; size], bytes_read: 0, fails_from: None }
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
}

impl ErrorType for TestFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for TestFlash {
    // As on the chip.
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        if !offset.is_multiple_of(4) || !bytes.len().is_multiple_of(4) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        if self.fails_from.is_some_and(|from| offset >= from) {
            return Err(NorFlashErrorKind::Other);
        }
        let offset = usize::try_from(offset).unwrap();
        let source = self.bytes.get(offset..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(source.ok_or(NorFlashErrorKind::OutOfBounds)?);
        self.bytes_read += bytes.len();
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}
