//! The flash chip through the boot ROM's functions, which take whole words from word-aligned memory only: bytes go
//! through a buffer on the stack. The cache that shows the flash as code is off meanwhile.

use core::ffi::c_void;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use espbroker_config::flash_map::SECTOR_SIZE;

use crate::watchdog;

const WORD: usize = 4;
/// Words of the buffer.
const PIECE: usize = 64;
/// `SPI_FLASH_RESULT_OK`.
const OK: u32 = 0;
/// Capacities by the last byte of the flash chip's number: powers of two; a chip with any other has 4 MB.
const CAPACITIES: core::ops::RangeInclusive<u32> = 0x12..=0x18;
const CAPACITY: usize = 4 << 20;

type Function = *const c_void;

unsafe extern "C" {
    fn board_flash(function: Function, a: u32, b: u32, c: u32) -> u32;
    static board_flash_id: c_void;
    static SPIUnlock: c_void;
    static SPIRead: c_void;
    static SPIWrite: c_void;
    static SPIEraseSector: c_void;
}

/// The flash chip.
#[derive(Debug)]
pub(crate) struct Flash {
    capacity: usize,
}

impl Flash {
    /// The flash, without the protection that the boot ROM's serial loader leaves.
    pub(crate) fn open() -> Self {
        // SAFETY: neither function takes arguments or touches memory.
        let id = unsafe {
            board_flash(&raw const SPIUnlock, 0, 0, 0);
            board_flash(&raw const board_flash_id, 0, 0, 0)
        };
        let code = id >> 16 & 0xFF;
        Self { capacity: if CAPACITIES.contains(&code) { 1 << code } else { CAPACITY } }
    }
}

fn checked(result: u32) -> Result<(), NorFlashErrorKind> {
    if result == OK { Ok(()) } else { Err(NorFlashErrorKind::Other) }
}

/// A length or address that fits in 32 bits, as all of this CPU.
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let mut buffer = [0_u32; PIECE];
        let mut address = offset;
        for piece in bytes.chunks_mut(PIECE * WORD) {
            let words = buffer.get_mut(..piece.len() / WORD).unwrap_or_default();
            let (target, length) = (words.as_mut_ptr().expose_provenance(), short(piece.len()));
            // SAFETY: the slice is aligned and that long.
            checked(unsafe { board_flash(&raw const SPIRead, address, short(target), length) })?;
            for (to, from) in piece.as_chunks_mut().0.iter_mut().zip(words) {
                *to = from.to_le_bytes();
            }
            address += length;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR_SIZE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        for sector in from / SECTOR_SIZE..to / SECTOR_SIZE {
            // A sector takes up to 0.4 s.
            watchdog::feed();
            // SAFETY: the function touches no memory.
            checked(unsafe { board_flash(&raw const SPIEraseSector, sector, 0, 0) })?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        let mut buffer = [0_u32; PIECE];
        let mut address = offset;
        for piece in bytes.chunks(PIECE * WORD) {
            let words = buffer.get_mut(..piece.len() / WORD).unwrap_or_default();
            for (to, from) in words.iter_mut().zip(piece.as_chunks().0) {
                *to = u32::from_le_bytes(*from);
            }
            let (source, length) = (words.as_ptr().expose_provenance(), short(piece.len()));
            watchdog::feed();
            // SAFETY: the slice is aligned and that long.
            checked(unsafe { board_flash(&raw const SPIWrite, address, short(source), length) })?;
            address += length;
        }
        Ok(())
    }
}
