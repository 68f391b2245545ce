//! [`FileFlash`]: flash in a file, byte for byte, so that any tool can look at it.
//!
//! Every change is in the file before the call returns, not held back in memory: a program that is killed leaves what
//! a power cut leaves. Left out: waiting for the disk itself (`fsync`) after each word, which would make a simulated
//! flash slower than a real one.
//!
//! Two devices on one file would corrupt each other's flash, so a file belongs to one at a time; the lock ends with the
//! process, however that ends.

use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use espbroker_config::flash_map::SECTOR_SIZE;

use crate::flash::{Flash, FlashError};

/// Flash in a file.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    capacity: usize,
}

impl FileFlash {
    /// Opens the flash in the file at `path`; a missing or empty file becomes erased flash of `capacity` bytes. A new
    /// file is for its owner only, where the system knows owners: the config in it holds credentials.
    ///
    /// # Errors
    /// The file cannot be opened for reading and writing, is in use as flash ([`io::ErrorKind::ResourceBusy`]), or has
    /// another length ([`io::ErrorKind::InvalidData`]).
    pub fn open(path: &Path, capacity: usize) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(ErrorKind::ResourceBusy, "another device uses it"),
            TryLockError::Error(error) => error,
        })?;
        let length = file.metadata()?.len();
        if length == 0 {
            file.write_all(&vec![0xFF; capacity])?;
        } else if u64::try_from(capacity).ok() != Some(length) {
            let text = format!("flash file is not {capacity} bytes long: {length}");
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        Ok(Self { file, capacity })
    }

    fn seek(&mut self, offset: u32, length: usize) -> Result<(), FlashError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if start.checked_add(length).is_none_or(|end| end > self.capacity) {
            return Err(FlashError::OutOfBounds { offset, length });
        }
        self.file.seek(SeekFrom::Start(u64::from(offset)))?;
        Ok(())
    }
}

impl Flash for FileFlash {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.seek(offset, bytes.len())?;
        Ok(self.file.read_exact(bytes)?)
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut held = vec![0; bytes.len()];
        self.read(offset, &mut held)?;
        held.iter_mut().zip(bytes).for_each(|(held, byte)| *held &= byte);
        self.seek(offset, held.len())?;
        Ok(self.file.write_all(&held)?)
    }

    fn erase_sector(&mut self, offset: u32) -> Result<(), FlashError> {
        const BLANK: [u8; SECTOR_SIZE as usize] = [0xFF; SECTOR_SIZE as usize];
        if !offset.is_multiple_of(SECTOR_SIZE) {
            return Err(FlashError::NotAligned { offset, length: BLANK.len() });
        }
        self.seek(offset, BLANK.len())?;
        Ok(self.file.write_all(&BLANK)?)
    }
}
