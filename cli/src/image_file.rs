//! A firmware image: read, checked, identified. Who vouches for it is a matter of `supply`.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use espbroker_config::{
    flash_map::IMAGE_MAX,
    image::{self, BootImageError, Descriptor, ImageError, boot::BootHeader},
};
use espbroker_virtual_device::image as virtual_image;

/// An image that is whole.
#[derive(Clone, Debug)]
pub(crate) struct Firmware {
    /// Where it comes from, for people.
    pub(crate) origin: String,
    /// The bytes that go to flash offset 0.
    pub(crate) bytes: Vec<u8>,
    /// What the image says of itself; its length and digest have been checked.
    pub(crate) descriptor: Descriptor,
    /// What the boot ROM will make of it.
    pub(crate) boot: BootHeader,
    /// Whether somebody vouches for it: a release key, or this program.
    pub(crate) trusted: bool,
}

/// Why a file is no image to flash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageFileError {
    #[error("cannot read the firmware image: `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the built-in image cannot be made")]
    BuiltIn(#[source] virtual_image::BuildError),
    #[error("file is longer than the {IMAGE_MAX} bytes that the flash map has for it: `{}`", path.display())]
    TooLong { path: PathBuf },
    #[error("file is not an image that the ESP8266 can start: `{}`", path.display())]
    NotBootable {
        path: PathBuf,
        #[source]
        source: BootImageError,
    },
    #[error("image is cut short: {found} of {stated} bytes in `{}`", path.display())]
    CutShort { path: PathBuf, stated: u32, found: usize },
    #[error("file is not an espbroker image: `{}`", path.display())]
    Foreign {
        path: PathBuf,
        #[source]
        source: ImageError,
    },
}

impl Firmware {
    /// Reads and checks an image file.
    ///
    /// # Errors
    ///
    /// The first reason not to flash it. A cut image is reported as cut, not by what the cut broke.
    pub(crate) fn read(path: &Path) -> Result<Self, ImageFileError> {
        let read_error = |source| ImageFileError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(u64::from(IMAGE_MAX) + 1).read_to_end(&mut bytes))
            .map_err(read_error)?;
        if bytes.len() > IMAGE_MAX as usize {
            return Err(ImageFileError::TooLong { path: path.to_owned() });
        }
        let origin = path.display().to_string();
        Self::check(origin, bytes, path)
    }

    /// Checks the bytes of an image; `path` is for errors.
    ///
    /// # Errors
    ///
    /// As of [`Firmware::read`].
    pub(crate) fn check(origin: String, bytes: Vec<u8>, path: &Path) -> Result<Self, ImageFileError> {
        let path = path.to_owned();
        let stated = image::find(&bytes).map(|descriptor| descriptor.length);
        if let Ok(stated) = stated
            && (stated as usize) > bytes.len()
        {
            return Err(ImageFileError::CutShort { path, stated, found: bytes.len() });
        }
        let boot = image::check_boot_image(&bytes)
            .map_err(|source| ImageFileError::NotBootable { path: path.clone(), source })?
            .header;
        let descriptor = image::check(&bytes).map_err(|source| ImageFileError::Foreign { path, source })?;
        Ok(Self { origin, bytes, descriptor, boot, trusted: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply;

    fn check(bytes: Vec<u8>) -> Result<Firmware, ImageFileError> {
        Firmware::check("test".to_owned(), bytes, Path::new("test.bin"))
    }

    #[test]
    fn the_built_in_image_passes_its_own_checks() {
        let firmware = supply::for_virtual_device().unwrap();
        assert_eq!(firmware.descriptor.target, image::Target::Virtual);
        assert_eq!(firmware.descriptor.length as usize, firmware.bytes.len());
    }

    #[test]
    fn a_cut_image_is_called_cut_and_a_changed_one_changed() {
        let whole = supply::for_virtual_device().unwrap().bytes;
        let cut = whole.get(..whole.len() - 1).unwrap().to_vec();
        assert!(matches!(check(cut), Err(ImageFileError::CutShort { .. })));
        let mut longer = whole.clone();
        longer.push(0xFF);
        assert!(matches!(check(longer), Err(ImageFileError::Foreign { .. })));
        assert!(matches!(check(b"#!/bin/sh".to_vec()), Err(ImageFileError::NotBootable { .. })));
        assert!(matches!(check(Vec::new()), Err(ImageFileError::NotBootable { .. })));
    }

    #[test]
    fn a_file_longer_than_its_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.bin");
        fs::write(&path, vec![0xE9; IMAGE_MAX as usize + 1]).unwrap();
        assert!(matches!(Firmware::read(&path), Err(ImageFileError::TooLong { .. })));
    }
}
