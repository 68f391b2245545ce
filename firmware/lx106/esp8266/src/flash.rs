//! The flash chip through the SDK, which takes whole words from word-aligned memory only, and no source in flash: bytes
//! go through a buffer on the stack.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use espbroker_config::flash_map::SECTOR_SIZE;

use crate::{
    bindings::{spi_flash_erase_sector, spi_flash_read, spi_flash_write, system_soft_wdt_feed},
    partitions::MAP,
};

const WORD: usize = 4;
/// Words of the buffer.
const PIECE: usize = 64;
/// `SPI_FLASH_RESULT_OK`.
const OK: u32 = 0;

/// The flash chip.
#[derive(Debug)]
pub(crate) struct Flash;

fn checked(result: u32) -> Result<(), NorFlashErrorKind> {
    if result == OK { Ok(()) } else { Err(NorFlashErrorKind::Other) }
}

/// A length that fits in the flash, whose length fits in 32 bits.
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn read_words(address: u32, words: &mut [u32]) -> Result<(), NorFlashErrorKind> {
    // SAFETY: the slice is aligned and that long.
    checked(unsafe { spi_flash_read(address, words.as_mut_ptr(), short(words.len() * WORD)) })
}

fn write_words(address: u32, words: &[u32]) -> Result<(), NorFlashErrorKind> {
    // SAFETY: the slice is aligned, that long and on the stack: the flash cannot be read while it is written.
    checked(unsafe { spi_flash_write(address, words.as_ptr(), short(words.len() * WORD)) })
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let mut buffer = [0; PIECE];
        let mut address = offset;
        for piece in bytes.chunks_mut(PIECE * WORD) {
            let words = buffer.get_mut(..piece.len() / WORD).unwrap_or_default();
            read_words(address, words)?;
            for (to, from) in piece.as_chunks_mut().0.iter_mut().zip(words) {
                *to = from.to_le_bytes();
            }
            address += short(piece.len());
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        usize::try_from(MAP.flash_size()).unwrap_or(usize::MAX)
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        for sector in from / SECTOR_SIZE..to / SECTOR_SIZE {
            let sector = u16::try_from(sector).map_err(|_| NorFlashErrorKind::OutOfBounds)?;
            // A sector takes up to 0.4 s, and the SDK's watchdog waits for 3 s.
            system_soft_wdt_feed();
            checked(spi_flash_erase_sector(sector))?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        let mut buffer = [0; PIECE];
        let mut address = offset;
        for piece in bytes.chunks(PIECE * WORD) {
            let words = buffer.get_mut(..piece.len() / WORD).unwrap_or_default();
            for (to, from) in words.iter_mut().zip(piece.as_chunks().0) {
                *to = u32::from_le_bytes(*from);
            }
            write_words(address, words)?;
            address += short(piece.len());
        }
        system_soft_wdt_feed();
        Ok(())
    }
}
