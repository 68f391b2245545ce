//! The SDK in a folder: whether it is one, and of which version.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::process::Failure;

/// The first version that this was linked with; the partition table came with 3.0, and this allocator with 3.0.
const OLDEST: [u32; 3] = [3, 0, 4];

/// Espressif's NONOS SDK.
#[derive(Debug)]
pub(crate) struct Sdk {
    pub(crate) folder: PathBuf,
    pub(crate) version: String,
}

impl Sdk {
    /// Looks for the SDK in a folder.
    ///
    /// # Errors
    ///
    /// When there is none, or one of another version.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let header = folder.join("include/version.h");
        let text = fs::read_to_string(&header)
            .map_err(|error| format!("no NONOS SDK in `{}`: {error}", folder.display()))?;
        let version = version(&text)?;
        let text = version.map(|number| number.to_string()).join(".");
        if version < OLDEST || version[..2] != OLDEST[..2] {
            let [major, minor, patch] = OLDEST;
            return Err(format!(
                "NONOS SDK must be {major}.{minor}.{patch} or a later {major}.{minor}: {text}"
            )
            .into());
        }
        Ok(Self { folder: fs::canonicalize(folder)?, version: text })
    }

    /// The boot loader that goes to offset 0.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub(crate) fn boot_loader(&self) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join("bin/boot_v1.7.bin");
        fs::read(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()).into())
    }

    /// The radio's settings for a chip that has none yet.
    pub(crate) fn phy_data(&self) -> PathBuf {
        self.folder.join("bin/esp_init_data_default_v08.bin")
    }
}

/// `ESP_SDK_VERSION_MAJOR` and its kin.
fn version(header: &str) -> Result<[u32; 3], Failure> {
    let number = |name: &str| {
        let line = header.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        line.and_then(|line| line.split_whitespace().nth(2)?.parse().ok())
            .ok_or_else(|| format!("include/version.h of the SDK does not say {name}"))
    };
    Ok([number("ESP_SDK_VERSION_MAJOR")?, number("ESP_SDK_VERSION_MINOR")?, number("ESP_SDK_VERSION_PATCH")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(version: [u32; 3]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("include")).unwrap();
        let [major, minor, patch] = version;
        let header = format!(
            "#define ESP_SDK_VERSION_MAJOR   {major}\n#define ESP_SDK_VERSION_MINOR   {minor}\n#define \
             ESP_SDK_VERSION_PATCH   {patch}\n"
        );
        fs::write(folder.path().join("include/version.h"), header).unwrap();
        folder
    }

    #[test]
    fn another_sdk_is_refused_with_its_version() {
        assert_eq!(Sdk::open(folder_with([3, 0, 6]).path()).unwrap().version, "3.0.6");
        for other in [[2, 2, 1], [3, 0, 3], [3, 1, 0], [4, 0, 4]] {
            let error = Sdk::open(folder_with(other).path()).unwrap_err().to_string();
            assert!(error.ends_with(&other.map(|number| number.to_string()).join(".")), "{error}");
        }
    }

    #[test]
    fn a_folder_without_an_sdk_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Sdk::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    }
}
