//! The array behind [`super::Nor`]: bytes in memory, written through to a file when there is one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// What the flash holds at the start, and where it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FlashSource {
    /// All FF, kept in memory.
    #[default]
    Blank,
    /// These bytes and FF behind them, kept in memory.
    Bytes(Vec<u8>),
    /// This file, made if it is not there; each program and erase goes to it at once.
    File(PathBuf),
}

/// Why the flash cannot have these contents.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file cannot be opened, read or grown to the flash's size.
    #[error("cannot use the flash file: `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// More bytes than the flash has.
    #[error("contents do not fit the flash of {size} bytes: {length}")]
    TooLong {
        /// Bytes in the flash.
        size: u32,
        /// Bytes given.
        length: u64,
    },
}

/// Bytes by address; every address wraps at the end, as a chip ignores the upper address bits.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    mask: u32,
    file: Option<File>,
    error: Option<String>,
}

impl Memory {
    pub(super) fn open(source: FlashSource, size: u32) -> Result<Self, StorageError> {
        let size = size.next_power_of_two();
        let (mut bytes, file) = match source {
            FlashSource::Blank => (Vec::new(), None),
            FlashSource::Bytes(bytes) => (bytes, None),
            FlashSource::File(path) => {
                let (bytes, file) =
                    read_file(&path, size).map_err(|source| StorageError::File { path, source })?;
                (bytes, Some(file))
            }
        };
        let length = bytes.len();
        if length > size as usize {
            return Err(StorageError::TooLong { size, length: length as u64 });
        }
        bytes.resize(size as usize, 0xFF);
        Ok(Self { bytes, mask: size - 1, file, error: None })
    }

    pub(super) const fn size(&self) -> u32 {
        self.mask + 1
    }

    pub(super) const fn wrap(&self, address: u32) -> u32 {
        address & self.mask
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn read(&self, address: u32, buffer: &mut [u8]) {
        let start = self.wrap(address) as usize;
        let from_start = self.bytes.iter().cycle().skip(start);
        match self.bytes.get(start..start + buffer.len()) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => buffer.iter_mut().zip(from_start).for_each(|(target, byte)| *target = *byte),
        }
    }

    pub(super) fn clear_bits(&mut self, address: u32, mask: u8) {
        let index = self.wrap(address) as usize;
        if let Some(byte) = self.bytes.get_mut(index) {
            *byte &= mask;
        }
    }

    pub(super) fn set_bits(&mut self, address: u32, bits: u8) {
        let index = self.wrap(address) as usize;
        if let Some(byte) = self.bytes.get_mut(index) {
            *byte |= bits;
        }
    }

    pub(super) fn fill_erased(&mut self, address: u32, length: u32) {
        let start = self.wrap(address) as usize;
        if let Some(bytes) = self.bytes.get_mut(start..start + length as usize) {
            bytes.fill(0xFF);
        }
    }

    /// Writes a span through to the file. After the first error the file is left alone and [`Self::error`] tells.
    pub(super) fn store(&mut self, address: u32, length: u32) {
        let start = self.wrap(address);
        let Some(file) = &mut self.file else { return };
        let Some(bytes) = self.bytes.get(start as usize..(start + length) as usize) else { return };
        let written = file.seek(SeekFrom::Start(u64::from(start))).and_then(|_| file.write_all(bytes));
        if let Err(error) = written {
            self.error = Some(error.to_string());
            self.file = None;
        }
    }
}

fn read_file(path: &PathBuf, size: u32) -> std::io::Result<(Vec<u8>, File)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    // What is flashed holds credentials, so a new file is for its owner only.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Two devices on one file would corrupt each other's flash; the lock ends with the file handle.
    file.try_lock()?;
    let mut bytes = Vec::new();
    // One byte more than fits, so that a longer file is noticed and never read whole.
    (&mut file).take(u64::from(size) + 1).read_to_end(&mut bytes)?;
    let missing = (size as usize).saturating_sub(bytes.len());
    file.write_all(&vec![0xFF; missing])?;
    Ok((bytes, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash.bin");
        Memory::open(FlashSource::File(path.clone()), 64).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_is_grown_to_the_flash_at_once_and_belongs_to_one_device_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash.bin");
        std::fs::write(&path, [0; 16]).unwrap();
        let open = || Memory::open(FlashSource::File(path.clone()), 64);
        let first = open().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [[0; 16], [0xFF; 16], [0xFF; 16], [0xFF; 16]].concat());
        assert!(matches!(open(), Err(StorageError::File { .. })));
        drop(first);
        assert!(open().is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_and_the_array_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash.bin");
        std::fs::write(&path, [0; 64]).unwrap();
        let mut memory = Memory::open(FlashSource::File(path.clone()), 64).unwrap();
        memory.file = Some(File::open(path).unwrap());
        memory.fill_erased(0, 32);
        memory.store(0, 32);
        assert!(memory.error().is_some());
        assert_eq!(memory.bytes().iter().filter(|&&byte| byte == 0xFF).count(), 32);
    }
}
