//! The file: `devices.json`, format 1.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{Entry, keyring::KeyringError};
use crate::{credentials, private_file, screen::Screen};

/// Newest format that this version knows.
const FORMAT: u32 = 1;
const FILE: &str = "devices.json";
const LOCK: &str = "devices.lock";
/// Damaged files kept side by side.
const ASIDE_MAX: u32 = 1000;

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("there is no data folder: HOME is not set")]
    NoFolder,
    #[error("cannot use the registry of devices: `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the registry of devices was written by a newer espbroker (format {format}): `{}`", path.display())]
    Newer { path: PathBuf, format: u32 },
    #[error("no device is known as `{name}`")]
    Unknown { name: String },
    #[error("several devices are known as `{name}`: {}", macs.join(", "))]
    Several { name: String, macs: Vec<String> },
    #[error("`{name}` is the name of another device already")]
    Taken { name: String },
    #[error("this is no name: `{name}`")]
    NoName { name: String },
    #[error("this would forget the keys of {}", names.join(", "))]
    WouldForget { names: Vec<String> },
    #[error("nothing but its hash is known of a password on `{name}`")]
    NoPassword { name: String },
    #[error("the secrets are in a keyring, and there is none")]
    NoKeyring,
    #[error("the keyring does not have the secrets")]
    NotInKeyring,
    #[error("the keyring does not answer")]
    Keyring(#[source] KeyringError),
}

#[derive(Deserialize, Serialize)]
struct Contents {
    format: u32,
    #[serde(default)]
    devices: Vec<Entry>,
    /// What a newer version has added.
    #[serde(flatten)]
    unknown: serde_json::Map<String, serde_json::Value>,
}

/// Only the format, which must be known before anything else is believed.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The registry's place.
pub(crate) struct Store {
    folder: PathBuf,
    screen: Screen,
}

impl Store {
    /// The user's own.
    ///
    /// # Errors
    ///
    /// When the user has no data folder.
    pub(crate) fn open(screen: Screen) -> Result<Self, RegistryError> {
        Ok(Self::at(credentials::folder().ok_or(RegistryError::NoFolder)?, screen))
    }

    /// That in this folder, which is made when there is something to keep.
    pub(crate) fn at(folder: PathBuf, screen: Screen) -> Self {
        Self { folder, screen }
    }

    /// All devices, by what they are called.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read, or is of a newer format. A damaged one is moved aside.
    pub(crate) fn devices(&self) -> Result<Vec<Entry>, RegistryError> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let _lock = self.lock()?;
        let mut devices = self.read()?.devices;
        devices.sort_by(|one, other| (one.label(), &one.mac).cmp(&(other.label(), &other.mac)));
        Ok(devices)
    }

    /// Changes the list, and saves it if that went well.
    ///
    /// # Errors
    ///
    /// As [`Store::devices`], those of `change`, and when the file cannot be written: it is then as it was.
    pub(crate) fn update<T, E: From<RegistryError>>(
        &self,
        change: impl FnOnce(&mut Vec<Entry>) -> Result<T, E>,
    ) -> Result<T, E> {
        private_file::create_folder(&self.folder).map_err(|source| self.failed(source))?;
        let _lock = self.lock()?;
        let mut contents = self.read()?;
        let before = contents.devices.clone();
        let result = change(&mut contents.devices)?;
        if contents.devices != before {
            self.write(&contents).map_err(|source| self.failed(source))?;
        }
        Ok(result)
    }

    /// Where `setup` saves the password that it has generated for a device of this name.
    pub(crate) fn password_file(&self, name: &str) -> PathBuf {
        self.folder.join(credentials::file_name(name))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn failed(&self, source: io::Error) -> RegistryError {
        RegistryError::File { path: self.path(), source }
    }

    /// Held until it is dropped, or the program ends.
    fn lock(&self) -> Result<File, RegistryError> {
        let lock = || {
            let mut options = File::options();
            options.create(true).truncate(false).write(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(self.folder.join(LOCK))?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| self.failed(source))
    }

    fn read(&self) -> Result<Contents, RegistryError> {
        let nothing = || Contents { format: FORMAT, devices: Vec::new(), unknown: serde_json::Map::new() };
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing()),
            Err(error) => return Err(self.failed(error)),
        };
        if let Ok(Version { format }) = serde_json::from_slice(&bytes)
            && format > FORMAT
        {
            return Err(RegistryError::Newer { path, format });
        }
        if let Ok(contents) = serde_json::from_slice(&bytes) {
            return Ok(contents);
        }
        let aside = self.move_aside().map_err(|source| self.failed(source))?;
        self.screen.warning(format!(
            "the registry of devices was damaged, and a new one is begun; what it held is in `{}`",
            aside.display()
        ));
        Ok(nothing())
    }

    /// Gives the file a name that no other file has.
    fn move_aside(&self) -> io::Result<PathBuf> {
        for number in 1..=ASIDE_MAX {
            let aside = self.folder.join(format!("{FILE}.damaged-{number}"));
            // A link is refused where the name is taken; a rename would take it.
            match fs::hard_link(self.path(), &aside) {
                Ok(()) => {
                    fs::remove_file(self.path())?;
                    return Ok(aside);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn write(&self, contents: &Contents) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(contents)?;
        text.push(b'\n');
        private_file::replace(&self.path(), &text)
    }
}
